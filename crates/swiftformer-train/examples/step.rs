//! Milliseconds of a training step (forward, backward, AdamW) of a variant with both heads.
//!
//! `step [VARIANT] [BATCHxSIDE]... [--threads N] [--steps N] [--stock] [--checkpointing]`; `--stock` composes everything of
//! burn's operations.

use std::time::Instant;

use burn::tensor::Device;
use swiftformer::{
    arch::{Arch, TailKind},
    config::Variant,
    weights::state::StateDict,
};
use swiftformer_train::{
    loss::{BaseHead, BaseLoss, Criterion, Distillation, Targets},
    model::{Network, NetworkOptions},
    optim::{GroupOptions, Optimizer, Rule},
    trainer::{Batch, Trainer},
};

fn main() {
    let mut arguments = std::env::args().skip(1);
    let (mut variant, mut sizes, mut threads, mut steps, mut fused) = (Variant::Xs, Vec::new(), 2, 8_usize, true);
    let mut checkpointing = false;
    while let Some(argument) = arguments.next() {
        let mut number = || arguments.next().and_then(|n| n.parse().ok()).expect("a number behind the option");
        match argument.as_str() {
            "--threads" => threads = number(),
            "--steps" => steps = number(),
            "--stock" => fused = false,
            "--checkpointing" => checkpointing = true,
            other => match other.split_once('x').and_then(|(b, s)| Some((b.parse().ok()?, s.parse().ok()?))) {
                Some(size) => sizes.push(size),
                None => variant = other.parse().expect("xs, s, l1, l3 or BATCHxSIDE"),
            },
        }
    }
    if sizes.is_empty() {
        sizes = vec![(32_usize, 64_usize), (16, 128), (8, 224)];
    }
    swiftformer_train::process::prepare(threads);
    for (batch, side) in sizes {
        let arch = Arch::build(&variant.config(), TailKind::Classifier).expect("a published variant");
        let state = StateDict::initialised(&arch, 1);
        let options = NetworkOptions { fused, threads, checkpointing, ..NetworkOptions::default() };
        let network = Network::new(arch, &state, &options, &Device::flex()).expect("its own state");
        let groups = GroupOptions { weight_decay: 0.025, layer_decay: 1.0 };
        let optimizer = Optimizer::new(Rule::ADAMW, network.parameters(), &groups);
        let criterion = Criterion {
            base: BaseLoss::CrossEntropy { smoothing: 0.1 },
            base_head: BaseHead::Mean,
            distillation: Distillation::None,
        };
        let mut trainer = Trainer::new(network, optimizer, criterion);
        let count = batch * 3 * side * side;
        let images: Vec<f32> = (0..count).map(|at| (at * 7919 % 10_007) as f32 / 5_000.0 - 1.0).collect();
        let labels: Vec<usize> = (0..batch).map(|image| image * 31 % 1000).collect();
        let mut best = [f64::INFINITY; 3];
        for step in 0..steps {
            let images = images.clone();
            let targets = Targets::Classes(labels.clone());
            let data = Batch { images, shape: [batch, 3, side, side], targets, teacher: None };
            let start = Instant::now();
            trainer.accumulate(data, 1.0, step as u64).expect("a batch that fits");
            let middle = Instant::now();
            trainer.apply(1e-3);
            let times = [start.elapsed(), middle - start, middle.elapsed()].map(|time| time.as_secs_f64() * 1e3);
            best.iter_mut().zip(times).for_each(|(best, time)| *best = best.min(time));
        }
        let [whole, gradients, update] = best;
        println!("{batch}x{side}: {whole:.1} ms (gradients {gradients:.1}, update {update:.1}), peak {} MiB", peak());
    }
}

/// The most memory that the process has had, in MiB; 0 where the system does not say.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.trim().trim_end_matches("kB").trim().parse::<u64>().ok()).unwrap_or(0) >> 10
}
