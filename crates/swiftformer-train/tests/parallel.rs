//! Processes that train together against one that trains alone. The program of this test starts itself as the others, so
//! it has a `main` of its own.

mod support;

use std::process::{Command, ExitCode};

use support::processes::{train, train_as_one};
use swiftformer_train::{
    data::Shard,
    parallel::{Group, ParallelError, replicas},
};

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

fn two_processes_train_as_one() {
    train_as_one(|fused| start(Role::Train { fused }, 2));
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
