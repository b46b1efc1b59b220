//! Training by one or several processes, for tests of how they find each other.

use swiftformer::{
    tensor::TensorMap,
    weights::names::{Layout, Names},
};
use swiftformer_train::{
    data::Shard,
    loss::{BaseHead, BaseLoss, Criterion, Distillation, Targets},
    optim::{GroupOptions, HostGradients, Optimizer, Rule},
    parallel::Group,
    trainer::{Batch, Trainer},
};

use super::{Golden, batch, checkpoint, network, tensors};

const STEPS: usize = 20;

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
pub fn train(fused: bool, group: &Group) -> (HostGradients, Vec<f64>) {
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

/// Asserts that `start` gives a process that trains with others as one alone does.
pub fn train_as_one(start: impl Fn(bool) -> Group) {
    let names = {
        let opened = checkpoint("hf_tiny");
        let names = Names::new(opened.arch(), Layout::HuggingFace);
        opened.arch().params().iter().map(|param| names.name(param).unwrap()).collect::<Vec<_>>()
    };
    let golden = Golden::open("hf_tiny");
    for fused in [true, false] {
        let (expected, alone) = train(fused, &Group::alone());
        let (found, together) = train(fused, &start(fused));
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
