//! Milliseconds of a training step of XS by several processes of this machine.
//!
//! `processes [BATCHxSIDE]... [--replicas N] [--threads N] [--steps N] [--synchronise]`; threads are those of each process.

use std::{process::Command, time::Instant};

use burn::tensor::Device;
use swiftformer::{
    arch::{Arch, TailKind},
    config::Variant,
    weights::state::StateDict,
};
use swiftformer_train::{
    data::Shard,
    loss::{BaseHead, BaseLoss, Criterion, Distillation, Targets},
    model::{Network, NetworkOptions},
    optim::{GroupOptions, Optimizer, Rule},
    parallel::{Group, replicas},
    trainer::{Batch, Trainer},
};

fn main() {
    let own: Vec<String> = std::env::args().skip(1).collect();
    let mut arguments = own.iter().cloned();
    let (mut sizes, mut count, mut threads, mut steps, mut synchronise) = (Vec::new(), 1, 1, 8, false);
    let mut place = None;
    while let Some(argument) = arguments.next() {
        let mut text = || arguments.next().expect("a value behind the option");
        let number = |text: String| text.parse::<usize>().expect("a number behind the option");
        match argument.as_str() {
            "--replicas" => count = number(text()),
            "--threads" => threads = number(text()),
            "--steps" => steps = number(text()),
            "--synchronise" => synchronise = true,
            "--rank" => place = Some((number(text()), text())),
            size => {
                let size = size.split_once('x').and_then(|(b, s)| Some((b.parse().ok()?, s.parse().ok()?)));
                sizes.push(size.expect("BATCHxSIDE"));
            }
        }
    }
    if sizes.is_empty() {
        sizes = vec![(32_usize, 64_usize), (16, 128), (8, 224)];
    }
    swiftformer_train::process::prepare(threads);
    let group = match place {
        Some((rank, server)) => replicas::join(&server, Shard { rank, world: count }),
        None if count == 1 => Ok(Group::alone()),
        None => replicas::start(count, |server, Shard { rank, .. }| {
            let mut command = Command::new(std::env::current_exe().expect("this program"));
            command.args(&own).args(["--rank", &rank.to_string(), server]);
            command
        }),
    };
    let group = group.expect("processes of this machine");
    for (batch, side) in sizes {
        let [best, exchange] = measure(&group, [batch / count, side], threads, steps, synchronise);
        if group.is_first() {
            println!(
                "{batch}x{side}, {count} processes of {threads} threads: {best:.1} ms, of which {exchange:.1} ms exchange"
            );
        }
    }
}

/// The least milliseconds of a step, and of its exchange of gradients.
fn measure(group: &Group, [batch, side]: [usize; 2], threads: usize, steps: usize, synchronise: bool) -> [f64; 2] {
    let arch = Arch::build(&Variant::Xs.config(), TailKind::Classifier).expect("a published variant");
    let state = StateDict::initialised(&arch, 1);
    let options = NetworkOptions { threads, ..NetworkOptions::default() };
    let mut network = Network::new(arch, &state, &options, &Device::flex()).expect("its own state");
    network.join(group, synchronise).expect("the CPU");
    let groups = GroupOptions { weight_decay: 0.025, layer_decay: 1.0 };
    let optimizer = Optimizer::new(Rule::ADAMW, network.parameters(), &groups);
    let base = BaseLoss::CrossEntropy { smoothing: 0.1 };
    let criterion = Criterion { base, base_head: BaseHead::Mean, distillation: Distillation::None };
    let mut trainer = Trainer::new(network, optimizer, criterion);
    trainer.group = group.clone();
    let images: Vec<f32> = (0..batch * 3 * side * side).map(|at| (at * 7919 % 10_007) as f32 / 5_000.0 - 1.0).collect();
    let labels: Vec<usize> = (0..batch).map(|image| image * 31 % 1000).collect();
    let mut best = [f64::INFINITY; 2];
    for step in 0..steps {
        let (images, targets) = (images.clone(), Targets::Classes(labels.clone()));
        let data = Batch { images, shape: [batch, 3, side, side], targets, teacher: None };
        // All begin together.
        group.any(false).expect("the other processes");
        let start = Instant::now();
        trainer.accumulate(data, 1.0, step as u64).expect("a batch that fits");
        group.any(false).expect("the other processes");
        let middle = Instant::now();
        trainer.share_gradients().expect("the other processes");
        let exchange = middle.elapsed();
        trainer.apply(1e-3);
        for (best, time) in best.iter_mut().zip([start.elapsed(), exchange]) {
            *best = best.min(time.as_secs_f64() * 1e3);
        }
    }
    best
}
