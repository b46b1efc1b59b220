//! Blocks of training: every instruction set against plain Rust, gradients against differences, and any number of threads.

use swiftformer_kernels::{
    IsaKind, Kernels, Pooling,
    train::{AdditiveAttention, AttentionParameters, Block, ConvNorm, Engine, Hidden},
};

/// Values in −1..1 that look random, the same everywhere.
fn noise(count: usize, seed: u64) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    };
    std::iter::repeat_with(next).take(count).collect()
}

/// A layer under test: its parameters as one list, the map first.
trait Layer {
    /// Lengths of map and parameters.
    fn lengths(&self) -> Vec<usize>;
    /// The output, and for a gradient of it the gradients of all inputs.
    fn run(&self, engine: &mut Engine, inputs: &[Vec<f32>], gradient: &[f32]) -> (Vec<f32>, Vec<Vec<f32>>);
    fn output_len(&self) -> usize;

    fn inputs(&self) -> Vec<Vec<f32>> {
        let lengths = self.lengths();
        lengths.iter().enumerate().map(|(at, &len)| noise(len, at as u64 + 3)).collect()
    }
}

/// A pass that keeps its state, which has the bits of one that forgets it.
fn with_and_without_state<T: PartialEq>(mut pass: impl FnMut(bool) -> T) -> T {
    let kept = pass(false);
    assert!(pass(true) == kept, "a pass that computes its state again");
    kept
}

struct BlockCase {
    size: [usize; 3],
    channels: usize,
    hidden: usize,
    depthwise: bool,
    scale: bool,
    factors: Option<Vec<f32>>,
}

impl Layer for BlockCase {
    fn lengths(&self) -> Vec<usize> {
        let (c, h) = (self.channels, self.hidden);
        let mut lengths = vec![self.output_len()];
        lengths.extend(if self.depthwise { vec![9 * c, c] } else { vec![] });
        lengths.extend([c, c, h * c, h, c * h, c]);
        lengths.extend(self.scale.then_some(c));
        lengths
    }

    fn output_len(&self) -> usize {
        self.size.iter().product::<usize>() * self.channels
    }

    fn run(&self, engine: &mut Engine, inputs: &[Vec<f32>], gradient: &[f32]) -> (Vec<f32>, Vec<Vec<f32>>) {
        let start = if self.depthwise { 3 } else { 1 };
        let block = Block {
            size: self.size,
            depthwise: self.depthwise.then(|| [&*inputs[1], &*inputs[2]]),
            hidden: Hidden {
                gamma: &inputs[start],
                beta: &inputs[start + 1],
                weight1: &inputs[start + 2],
                bias1: &inputs[start + 3],
                weight2: &inputs[start + 4],
                bias2: &inputs[start + 5],
                scale: self.scale.then(|| &*inputs[start + 6]),
            },
            eps: 1e-5,
            factors: self.factors.as_deref(),
        };
        with_and_without_state(|forget| {
            let mut output = vec![f32::NAN; self.output_len()];
            let mut x_gradient = vec![f32::NAN; self.output_len()];
            let mut state = block.forward(engine, &inputs[0], None, &mut output);
            if forget {
                state.forget(engine);
            }
            let found = block.backward(engine, &inputs[0], state, gradient, &mut x_gradient);
            let mut all = vec![x_gradient];
            if self.depthwise {
                all.extend([found.depthwise_weight, found.depthwise_bias]);
            }
            let h = found.hidden;
            all.extend([h.gamma, h.beta, h.weight1, h.bias1, h.weight2, h.bias2]);
            all.extend(self.scale.then_some(h.scale));
            (output, all)
        })
    }
}

struct ConvCase {
    size: [usize; 4],
    outputs: usize,
    kernel: [usize; 2],
    relu: bool,
}

impl ConvCase {
    fn layer<'a>(&self, inputs: &'a [Vec<f32>]) -> ConvNorm<'a> {
        ConvNorm {
            size: self.size,
            kernel: self.kernel,
            stride: [2, 2],
            padding: [1, 1],
            weight: &inputs[1],
            bias: &inputs[2],
            gamma: &inputs[3],
            beta: &inputs[4],
            eps: 1e-5,
            relu: self.relu,
        }
    }
}

impl Layer for ConvCase {
    fn lengths(&self) -> Vec<usize> {
        let weight = self.outputs * self.size[3] * self.kernel[0] * self.kernel[1];
        vec![self.size.iter().product(), weight, self.outputs, self.outputs, self.outputs]
    }

    fn output_len(&self) -> usize {
        let side = |axis: usize| (self.size[1 + axis] + 2 - self.kernel[axis]) / 2 + 1;
        self.size[0] * side(0) * side(1) * self.outputs
    }

    fn run(&self, engine: &mut Engine, inputs: &[Vec<f32>], gradient: &[f32]) -> (Vec<f32>, Vec<Vec<f32>>) {
        let layer = self.layer(inputs);
        with_and_without_state(|forget| {
            let mut output = vec![f32::NAN; self.output_len()];
            let mut x_gradient = vec![f32::NAN; inputs[0].len()];
            let mut state = layer.forward(engine, &inputs[0], None, &mut output);
            if forget {
                state.forget(engine);
            }
            let found = layer.backward(engine, &inputs[0], state, gradient, Some(&mut x_gradient));
            (output, vec![x_gradient, found.weight, found.bias, found.gamma, found.beta])
        })
    }
}

struct AttentionCase {
    size: [usize; 3],
    pooling: Pooling,
    normalize: bool,
    scale: bool,
    factors: Option<Vec<f32>>,
}

impl Layer for AttentionCase {
    fn lengths(&self) -> Vec<usize> {
        let d = self.size[2];
        let mut lengths = vec![self.output_len(), d * d, d, d * d, d, d, d * d, d, d * d, d];
        lengths.extend(self.scale.then_some(d));
        lengths
    }

    fn output_len(&self) -> usize {
        self.size.iter().product()
    }

    fn run(&self, engine: &mut Engine, inputs: &[Vec<f32>], gradient: &[f32]) -> (Vec<f32>, Vec<Vec<f32>>) {
        let layer = AdditiveAttention {
            size: self.size,
            pooling: self.pooling,
            normalize: self.normalize,
            parameters: AttentionParameters {
                query: [&inputs[1], &inputs[2]],
                key: [&inputs[3], &inputs[4]],
                token_weights: &inputs[5],
                proj: [&inputs[6], &inputs[7]],
                last: [&inputs[8], &inputs[9]],
                scale: self.scale.then(|| &*inputs[10]),
            },
            factors: self.factors.as_deref(),
        };
        with_and_without_state(|forget| {
            let mut output = vec![f32::NAN; self.output_len()];
            let mut x_gradient = vec![f32::NAN; self.output_len()];
            let mut state = layer.forward(engine, &inputs[0], &mut output);
            if forget {
                state.forget(engine);
            }
            let found = layer.backward(engine, &inputs[0], state, gradient, &mut x_gradient);
            let mut all = vec![x_gradient];
            all.extend(found.query.into_iter().chain(found.key));
            all.push(found.token_weights);
            all.extend(found.proj.into_iter().chain(found.last));
            all.extend(self.scale.then_some(found.scale));
            (output, all)
        })
    }
}

fn cases() -> Vec<Box<dyn Layer>> {
    let block = |size, channels, hidden, depthwise, scale, factors| BlockCase {
        size,
        channels,
        hidden,
        depthwise,
        scale,
        factors,
    };
    let attention =
        |pooling, normalize, scale, factors| AttentionCase { size: [3, 7, 20], pooling, normalize, scale, factors };
    vec![
        Box::new(block([2, 5, 7], 20, 70, true, true, None)),
        Box::new(block([3, 1, 4], 5, 9, true, false, Some(vec![0.0, 1.25, 2.0]))),
        Box::new(block([2, 9, 10], 36, 64, false, true, Some(vec![1.5, 0.5]))),
        Box::new(ConvCase { size: [2, 7, 9, 3], outputs: 5, kernel: [3, 3], relu: true }),
        Box::new(ConvCase { size: [3, 4, 6, 18], outputs: 33, kernel: [3, 3], relu: false }),
        Box::new(ConvCase { size: [1, 6, 5, 2], outputs: 4, kernel: [2, 4], relu: true }),
        Box::new(attention(Pooling::Sum, true, true, None)),
        Box::new(attention(Pooling::L2, true, true, Some(vec![1.0, 0.0, 2.0]))),
        Box::new(attention(Pooling::Softmax, true, false, None)),
        Box::new(attention(Pooling::Raw, false, true, None)),
    ]
}

fn largest(values: &[f32]) -> f32 {
    values.iter().fold(0.0, |most, value| most.max(value.abs()))
}

#[test]
fn every_instruction_set_and_thread_count_gives_the_plain_ones_results() {
    for (index, case) in cases().iter().enumerate() {
        let (inputs, gradient) = (case.inputs(), noise(case.output_len(), 99));
        let run = |kind, threads| {
            let mut engine = Engine::with_kernels(Kernels::with(kind).unwrap(), threads);
            // A second run finds used memory.
            case.run(&mut engine, &inputs, &gradient);
            case.run(&mut engine, &inputs, &gradient)
        };
        let (output, gradients) = run(IsaKind::Scalar, 1);
        for kind in Kernels::available() {
            let (found, found_gradients) = run(kind, 1);
            for (at, (found, expected)) in
                std::iter::once((&found, &output)).chain(found_gradients.iter().zip(&gradients)).enumerate()
            {
                assert_eq!(found.len(), expected.len());
                let allowed = 2e-5 * largest(expected).max(0.1);
                for (a, b) in found.iter().zip(expected) {
                    assert!((a - b).abs() <= allowed, "case {index}, {kind}, tensor {at}: {a} {b}");
                }
            }
            assert!(run(kind, 3) == (found, found_gradients), "case {index}, {kind}: threads change bits");
        }
    }
}

#[test]
fn gradients_are_the_slopes_of_the_outputs() {
    for (index, case) in cases().iter().enumerate() {
        let (inputs, weights) = (case.inputs(), noise(case.output_len(), 99));
        let mut engine = Engine::new(1);
        let (_, gradients) = case.run(&mut engine, &inputs, &weights);
        let mut value = |inputs: &[Vec<f32>]| {
            let (output, _) = case.run(&mut engine, inputs, &weights);
            output.iter().zip(&weights).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>()
        };
        for (at, gradient) in gradients.iter().enumerate() {
            assert_eq!(gradient.len(), inputs[at].len(), "case {index}, input {at}");
            let direction = noise(gradient.len(), 7 + at as u64);
            let expected: f64 = gradient.iter().zip(&direction).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
            let moved = |step: f32| {
                let mut inputs = inputs.clone();
                inputs[at].iter_mut().zip(&direction).for_each(|(value, d)| *value += step * d);
                inputs
            };
            let step = 2e-3;
            let found = (value(&moved(step)) - value(&moved(-step))) / (2.0 * f64::from(step));
            let size = gradient.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>().sqrt();
            assert!(
                (found - expected).abs() < 2e-2 * size + 2e-2,
                "case {index}, input {at}: {found} {expected} {size}"
            );
        }
    }
}
