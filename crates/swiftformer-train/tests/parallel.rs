//! Processes that train together against one that trains alone. The program of this test starts itself as the others, so
//! it has a `main` of its own.

mod support;

use std::process::{Command, ExitCode};

use support::{batch, checkpoint, network, tensors};
use swiftformer::{
    tensor::TensorMap,
    weights::names::{Layout, Names},
};
use swiftformer_train::{
    data::Shard,
    loss::{BaseHead, BaseLoss, Criterion, Distillation, Targets},
    optim::{GroupOptions, HostGradients, Optimizer, Rule},
    parallel::{Group, ParallelError, replicas},
    trainer::{Batch, Trainer},
};

const STEPS: usize = 20;

/// What other processes do.
#[derive(Clone, Copy, PartialEq)]
enum Role {
    /// Train with blocks of own kernels, or with burn's operations.
    Train { fused: bool },
    /// Exchange lists of all kinds.
    Exchange,
    /// End in the middle of the work.
    Die,
    /// Train something else.
    Stray,
}

impl Role {
    const ALL: [(&str, Self); 5] = [
        ("fused", Self::Train { fused: true }),
        ("composed", Self::Train { fused: false }),
        ("exchange", Self::Exchange),
        ("die", Self::Die),
        ("stray", Self::Stray),
    ];

    fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, role)| *role == self).unwrap().0
    }
}

/// Starts `world - 1` other processes with a role.
fn start(role: Role, world: usize) -> Group {
    let command = |server: &str, Shard { rank, world }: Shard| {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["other", role.name(), server, &rank.to_string(), &world.to_string()]);
        command
    };
    replicas::start(world, command).unwrap()
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    if let [_, other, role, server, rank, world] = arguments.as_slice()
        && other == "other"
    {
        let shard = Shard { rank: rank.parse().unwrap(), world: world.parse().unwrap() };
        let role = Role::ALL.into_iter().find(|(name, _)| name == role).unwrap().1;
        return work(role, &replicas::join(server, shard).unwrap());
    }
    let tests: [(&str, fn()); 5] = [
        ("sums_and_lists_are_those_of_all_processes", sums_and_lists_are_those_of_all_processes),
        ("two_processes_train_as_one", two_processes_train_as_one),
        ("a_process_that_ends_is_reported", a_process_that_ends_is_reported),
        ("processes_that_do_different_things_are_told_so", processes_that_do_different_things_are_told_so),
        ("a_process_that_never_joins_is_reported", a_process_that_never_joins_is_reported),
    ];
    let wanted = |name: &str| arguments.iter().skip(1).all(|filter| filter.starts_with('-') || name.contains(filter));
    for (name, test) in tests.into_iter().filter(|(name, _)| wanted(name)) {
        test();
        println!("test {name} ... ok");
    }
    ExitCode::SUCCESS
}

/// The work of every process but the first.
fn work(role: Role, group: &Group) -> ExitCode {
    match role {
        Role::Train { fused } => drop(train(fused, group)),
        Role::Exchange => exchange(group),
        Role::Die => {
            group.sum(&mut [1.0]).unwrap();
            std::process::abort();
        }
        Role::Stray => {
            let error = group.agree("the recipe", b"another").unwrap_err();
            assert!(matches!(error, ParallelError::Differs { .. }));
        }
    }
    ExitCode::SUCCESS
}

/// Lists of lengths below and above what travels through a socket.
fn exchange(group: &Group) {
    let Shard { rank, world } = group.shard();
    let total = (0..world).map(|rank| rank as f32 + 1.0).sum::<f32>();
    for length in [1, 1000, 300_001] {
        let mut values = vec![rank as f32 + 1.0; length];
        values[0] = 0.25;
        group.sum(&mut values).unwrap();
        assert_eq!(
            (values[0], values[length - 1]),
            if length == 1 { (0.25 * world as f32, 0.25 * world as f32) } else { (0.25 * world as f32, total) }
        );
    }
    let mut wide = [1e-12 * rank as f64 + 1.0];
    group.sum_wide(&mut wide).unwrap();
    assert_eq!(wide, [(0..world).map(|rank| 1e-12 * rank as f64 + 1.0).sum::<f64>()]);
    let lists = group.gather(&vec![rank as u8; rank * 100_000]).unwrap();
    assert!(lists.iter().enumerate().all(|(rank, list)| *list == vec![rank as u8; rank * 100_000]));
    assert_eq!(lists.len(), world);
    assert!(group.any(rank == 1).unwrap() && !group.any(false).unwrap());
    group.agree("the recipe", b"the same").unwrap();
}

fn sums_and_lists_are_those_of_all_processes() {
    exchange(&start(Role::Exchange, 3));
    let alone = Group::alone();
    let mut values = [3.0];
    alone.sum(&mut values).unwrap();
    assert_eq!((values, alone.gather(b"x").unwrap()), ([3.0], vec![b"x".to_vec()]));
}

/// The rows of a batch that a process trains on.
fn part(inputs: &TensorMap, step: usize, Shard { rank, world }: Shard) -> Batch {
    let whole = batch(inputs, step % 3);
    let rows = whole.shape[0] / world;
    let cut = |values: &[f32]| {
        let width = values.len() / whole.shape[0];
        values[rank * rows * width..(rank + 1) * rows * width].to_vec()
    };
    let Targets::Soft(targets) = &whole.targets else { unreachable!("the fixtures' targets are soft") };
    Batch {
        images: cut(&whole.images),
        shape: [rows, whole.shape[1], whole.shape[2], whole.shape[3]],
        targets: Targets::Soft(cut(targets)),
        teacher: whole.teacher.as_deref().map(cut),
    }
}

/// The first step's gradients, and every step's loss over all processes.
fn train(fused: bool, group: &Group) -> (HostGradients, Vec<f64>) {
    let opened = checkpoint("hf_tiny");
    let inputs = tensors("training/inputs.safetensors");
    let mut network = network(&opened, fused);
    network.join(group, true).unwrap();
    let options = GroupOptions { weight_decay: 0.025, layer_decay: 1.0 };
    let optimizer = Optimizer::new(Rule::ADAMW, network.parameters(), &options);
    let criterion = Criterion {
        base: BaseLoss::CrossEntropy { smoothing: 0.0 },
        base_head: BaseHead::Class,
        distillation: Distillation::Soft { alpha: 0.5, tau: 1.0 },
    };
    let mut trainer = Trainer::new(network, optimizer, criterion);
    trainer.group = group.clone();
    let (mut first, mut losses) = (None, Vec::new());
    for step in 0..STEPS {
        let report = trainer.accumulate(part(&inputs, step, group.shard()), 1.0, 0).unwrap();
        trainer.share_gradients().unwrap();
        first.get_or_insert_with(|| trainer.gradients_mut().unwrap().clone());
        let mut loss = [f64::from(report.loss)];
        group.sum_wide(&mut loss).unwrap();
        losses.push(loss[0] / group.shard().world as f64);
        trainer.apply(1e-3);
    }
    let state = trainer.network.to_state();
    let weights: Vec<u8> =
        opened.arch().params().iter().flat_map(|p| state.get(p.module, p.leaf).unwrap().bytes().to_vec()).collect();
    group.agree("the trained weights", &weights).unwrap();
    (first.unwrap(), losses)
}

fn two_processes_train_as_one() {
    let names = {
        let opened = checkpoint("hf_tiny");
        let names = Names::new(opened.arch(), Layout::HuggingFace);
        opened.arch().params().iter().map(|param| names.name(param).unwrap()).collect::<Vec<_>>()
    };
    let golden = support::Golden::open("hf_tiny");
    for fused in [true, false] {
        let (expected, alone) = train(fused, &Group::alone());
        let (found, together) = train(fused, &start(Role::Train { fused }, 2));
        let norm = |values: &mut dyn Iterator<Item = f64>| values.map(|v| v * v).sum::<f64>().sqrt();
        let mut compared = 0;
        for ((name, expected), found) in names.iter().zip(&expected).zip(&found) {
            let (Some(expected), Some(found)) = (expected, found) else { continue };
            let size = norm(&mut expected.iter().map(|&v| f64::from(v)));
            let difference = norm(&mut expected.iter().zip(found).map(|(&a, &b)| f64::from(a) - f64::from(b)));
            // Where the exact gradient is zero, both have rounding noise of the size of the golden tests' 1e-5.
            let allowed = if golden.is_noise(name) { 1e-5 } else { 1e-5 * size };
            assert!(difference <= allowed, "{fused} {name}: {difference:e} of {size:e}");
            compared += 1;
        }
        assert_eq!(compared, 175);
        let (expected, found) = (alone[STEPS - 1], together[STEPS - 1]);
        assert!(expected < alone[0] - 0.1, "it learns: {alone:?}");
        assert!((found - expected).abs() <= 1e-3, "{fused}: {together:?} {alone:?}");
    }
}

fn a_process_that_ends_is_reported() {
    let group = start(Role::Die, 3);
    let begun = std::time::Instant::now();
    group.sum(&mut [1.0]).unwrap();
    let error = group.sum(&mut [1.0]).unwrap_err();
    assert!(matches!(&error, ParallelError::Lost { rank: 1, world: 3, how } if how.contains("signal")), "{error}");
    assert_eq!(group.any(true).unwrap_err(), error, "the first failure is every later call's");
    assert!(begun.elapsed().as_secs() < 20);
}

fn processes_that_do_different_things_are_told_so() {
    let error = start(Role::Stray, 2).agree("the recipe", b"mine").unwrap_err();
    assert_eq!(error.to_string(), "process 1 of 2 trains something else: the recipe");
}

fn a_process_that_never_joins_is_reported() {
    let error = replicas::start(2, |_, _| Command::new("false")).unwrap_err();
    assert!(matches!(&error, ParallelError::Start { rank: 1, why, .. } if why.contains("exit status: 1")), "{error}");
    let error = replicas::start(2, |_, _| Command::new("/no/such/program")).unwrap_err();
    assert!(matches!(error, ParallelError::Start { .. }));
    assert!(replicas::join("/no/such/server", Shard { rank: 1, world: 2 }).is_err());
}
