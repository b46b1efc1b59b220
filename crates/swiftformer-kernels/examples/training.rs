//! What each kind of layer of SwiftFormer-XS costs in training, forwards and backwards, and how close that comes to the
//! ceiling of this machine's arithmetic.
//!
//! `cargo run --release -p swiftformer-kernels --example training [BATCHxSIDE]... [--threads N] [--rounds N]`
//!
//! Every time is the least of some rounds, in each of which all layers have their turn. The multiply-adds are those that
//! the mathematics needs, three times the forward pass's; what is computed again on the way back counts as loss.

use std::time::Instant;

use swiftformer_kernels::{
    Kernels, Pooling,
    train::{AdamW, AdditiveAttention, AttentionParameters, Block, ConvNorm, Engine, Hidden, keep_freed_memory},
};

const DIMS: [usize; 4] = [48, 56, 112, 220];
const DEPTHS: [usize; 4] = [3, 3, 6, 4];

fn filled(len: usize) -> Vec<f32> {
    (0..len).map(|at| (at * 7919 % 10_007) as f32 / 10_007.0 - 0.5).collect()
}

struct Layer {
    name: String,
    /// How often the network has it.
    count: usize,
    multiply_adds: usize,
    kind: Kind,
    size: [usize; 4],
    values: Vec<Vec<f32>>,
    x: Vec<f32>,
    output: Vec<f32>,
    gradient: Vec<f32>,
    /// Least seconds forwards and backwards.
    best: [f64; 2],
}

#[derive(Clone, Copy)]
enum Kind {
    Conv { outputs: usize, relu: bool, first: bool },
    Block { hidden: usize, depthwise: bool },
    Attention,
}

impl Layer {
    fn new(name: String, count: usize, size: [usize; 4], kind: Kind) -> Self {
        let [batch, height, width, c] = size;
        let tokens = batch * height * width;
        let (lengths, output, multiply_adds) = match kind {
            Kind::Conv { outputs, .. } => {
                let output = tokens / 4 * outputs;
                (vec![outputs * c * 9, outputs, outputs, outputs], output, output * 9 * c)
            }
            Kind::Block { hidden, depthwise } => {
                let mut lengths = if depthwise { vec![9 * c, c] } else { vec![] };
                lengths.extend([c, c, hidden * c, hidden, c * hidden, c, c]);
                (lengths, tokens * c, tokens * c * (2 * hidden + if depthwise { 9 } else { 0 }))
            }
            Kind::Attention => {
                (vec![c * c, c, c * c, c, c, c * c, c, c * c, c, c], tokens * c, tokens * c * (4 * c + 3))
            }
        };
        let values = lengths.into_iter().map(filled).collect();
        let (x, gradient) = (filled(tokens * c), filled(output));
        Self {
            name,
            count,
            multiply_adds,
            kind,
            size,
            values,
            x,
            output: vec![0.0; output],
            gradient,
            best: [f64::MAX; 2],
        }
    }

    fn run(&mut self, engine: &mut Engine, x_gradient: &mut [f32]) {
        let Self { kind, size, values: v, x, output, gradient, best, .. } = self;
        let [batch, height, width, _] = *size;
        let x_gradient = &mut x_gradient[..x.len()];
        let start = Instant::now();
        let middle;
        match *kind {
            Kind::Conv { relu, first, .. } => {
                let layer = ConvNorm {
                    size: *size,
                    kernel: [3, 3],
                    stride: [2, 2],
                    padding: [1, 1],
                    weight: &v[0],
                    bias: &v[1],
                    gamma: &v[2],
                    beta: &v[3],
                    eps: 1e-5,
                    relu,
                };
                let state = layer.forward(engine, x, None, output);
                middle = Instant::now();
                layer.backward(engine, x, state, gradient, (!first).then_some(x_gradient));
            }
            Kind::Block { depthwise, .. } => {
                let at = if depthwise { 2 } else { 0 };
                let block = Block {
                    size: [batch, height, width],
                    depthwise: depthwise.then(|| [&*v[0], &*v[1]]),
                    hidden: Hidden {
                        gamma: &v[at],
                        beta: &v[at + 1],
                        weight1: &v[at + 2],
                        bias1: &v[at + 3],
                        weight2: &v[at + 4],
                        bias2: &v[at + 5],
                        scale: Some(&v[at + 6]),
                    },
                    eps: 1e-5,
                    factors: None,
                };
                let state = block.forward(engine, x, None, output);
                middle = Instant::now();
                block.backward(engine, x, state, gradient, x_gradient);
            }
            Kind::Attention => {
                let layer = AdditiveAttention {
                    size: [batch, height * width, size[3]],
                    pooling: Pooling::L2,
                    normalize: true,
                    parameters: AttentionParameters {
                        query: [&v[0], &v[1]],
                        key: [&v[2], &v[3]],
                        token_weights: &v[4],
                        proj: [&v[5], &v[6]],
                        last: [&v[7], &v[8]],
                        scale: Some(&v[9]),
                    },
                    factors: None,
                };
                let state = layer.forward(engine, x, output);
                middle = Instant::now();
                layer.backward(engine, x, state, gradient, x_gradient);
            }
        }
        best[0] = best[0].min((middle - start).as_secs_f64());
        best[1] = best[1].min(middle.elapsed().as_secs_f64());
    }
}

fn layers(batch: usize, side: usize) -> Vec<Layer> {
    let conv = |name: String, side: usize, inputs, outputs, relu, first| {
        Layer::new(name, 1, [batch, side, side, inputs], Kind::Conv { outputs, relu, first })
    };
    let mut layers = vec![
        conv("stem 1".into(), side, 3, DIMS[0] / 2, true, true),
        conv("stem 2".into(), side / 2, DIMS[0] / 2, DIMS[0], true, false),
    ];
    for (stage, (dim, depth)) in DIMS.into_iter().zip(DEPTHS).enumerate() {
        let side = side >> (2 + stage);
        let name = |what: &str| format!("stage {} {what}", stage + 1);
        if stage > 0 {
            layers.push(conv(name("transition"), 2 * side, DIMS[stage - 1], dim, false, false));
        }
        let size = [batch, side, side, dim];
        layers.extend([
            Layer::new(name("encoder"), depth - 1, size, Kind::Block { hidden: 4 * dim, depthwise: true }),
            Layer::new(name("local"), 1, size, Kind::Block { hidden: dim, depthwise: true }),
            Layer::new(name("attention"), 1, size, Kind::Attention),
            Layer::new(name("mlp"), 1, size, Kind::Block { hidden: 4 * dim, depthwise: false }),
        ]);
    }
    layers
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let (mut threads, mut rounds, mut sizes) = (2, 5, Vec::new());
    while let Some(argument) = arguments.next() {
        let mut number = || arguments.next().and_then(|n| n.parse().ok()).expect("a number behind the option");
        match argument.as_str() {
            "--threads" => threads = number(),
            "--rounds" => rounds = number(),
            size => {
                let (batch, side) = size.split_once('x').expect("BATCHxSIDE");
                sizes.push((batch.parse().expect("a batch"), side.parse().expect("a side")));
            }
        }
    }
    if sizes.is_empty() {
        sizes = vec![(8, 224), (16, 128), (32, 64)];
    }
    keep_freed_memory();
    let mut engine = Engine::new(threads);
    println!("{engine:?}");
    for (batch, side) in sizes {
        let mut layers = layers(batch, side);
        let mut x_gradient = vec![0.0; layers.iter().map(|layer| layer.x.len()).max().unwrap_or(0)];
        let mut ceiling: f64 = 0.0;
        let (mut parameters, mut moments) = (filled(3_475_360), [filled(3_475_360), vec![1.0; 3_475_360]]);
        let gradient = parameters.clone();
        let mut update = f64::MAX;
        for _ in 0..rounds {
            let start = Instant::now();
            let spent = Kernels::detect().spend_operations(50_000_000);
            ceiling = ceiling.max(spent as f64 / start.elapsed().as_secs_f64() * threads as f64);
            layers.iter_mut().for_each(|layer| layer.run(&mut engine, &mut x_gradient));
            let step = AdamW { shrink: 0.999, betas: [0.9, 0.999], step_size: 1e-3, correction: 0.1, eps: 1e-8 };
            let start = Instant::now();
            let [first, second] = &mut moments;
            Kernels::detect().adamw(step, &mut parameters, &gradient, [first, second]);
            update = update.min(start.elapsed().as_secs_f64());
        }
        println!("\n{batch} × {side}², {threads} threads, ceiling {:.0} GFLOP/s", ceiling / 1e9);
        let mut totals = [0.0; 3];
        for layer in &layers {
            let floor = 2.0 * layer.multiply_adds as f64 / ceiling;
            let [forward, backward] = layer.best.map(|seconds| seconds * layer.count as f64 * 1e3);
            let floor = floor * layer.count as f64 * 1e3;
            let share = |floor: f64, time: f64| 100.0 * floor / time;
            println!(
                "{:<20} ×{} {forward:7.2} ms {:3.0} %   backward {backward:7.2} ms {:3.0} %",
                layer.name,
                layer.count,
                share(floor, forward),
                share(2.0 * floor, backward),
            );
            totals = [totals[0] + forward, totals[1] + backward, totals[2] + 3.0 * floor];
        }
        let [forward, backward, floor] = totals;
        println!(
            "sum {forward:.1} + {backward:.1} = {:.1} ms, floor {floor:.1}; AdamW on one thread {:.1} ms",
            forward + backward,
            update * 1e3
        );
    }
}
