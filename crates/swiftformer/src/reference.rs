//! The network as the paper writes it, layer by layer in `f64`, nothing folded: slow, plain, and what the compiled plan
//! is compared with.
//!
//! Maps are `[channels, height, width]`, one image at a time.

use crate::{
    arch::{Arch, Attention, AttentionBlock, Block, Conv, ConvBlock, ConvNorm, Leaf, Linear, Module, Norm, Tail},
    config::{Activation, Dialect},
    weights::state::StateDict,
};

/// A feature map in double precision.
#[derive(Clone, Debug, PartialEq)]
pub struct Map {
    /// Channels.
    pub channels: usize,
    /// `[height, width]`.
    pub size: [usize; 2],
    /// `[channels, height, width]`.
    pub data: Vec<f64>,
}

/// What the reference computes for one image.
#[derive(Clone, Debug)]
pub struct ReferenceOutput {
    /// transformers' hidden states: the stem's output, then every stage's and transition's.
    pub hidden_states: Vec<Map>,
    /// The output of every stage.
    pub stages: Vec<Map>,
    /// The last stage's output behind the tail's BatchNorm, if there is one.
    pub normed: Option<Map>,
    /// Mean over the map of `normed`, `[channels]`.
    pub pooled: Option<Vec<f64>>,
    /// Outputs of `head` and `dist_head`.
    pub heads: Option<[Vec<f64>; 2]>,
    /// Average of the heads, or `pooled` without heads.
    pub logits: Option<Vec<f64>>,
}

/// Runs one image `[channels, height, width]`.
///
/// # Panics
/// When the state dict is not this network's, or the image's channels are not.
pub fn forward(arch: &Arch, state: &StateDict, image: Map) -> ReferenceOutput {
    let run = Run { state, epsilon: arch.config.batch_norm_eps };
    let mut x = image;
    for layer in &arch.stem {
        x = run.conv_norm(layer, &x);
        x.data.iter_mut().for_each(|value| *value = value.max(0.0));
    }
    let mut hidden_states = vec![x.clone()];
    let mut stages = Vec::new();
    for stage in &arch.stages {
        if let Some(transition) = &stage.transition {
            x = run.conv_norm(transition, &x);
            hidden_states.push(x.clone());
        }
        for block in &stage.blocks {
            x = match block {
                Block::ConvEncoder(block) => run.conv_block(block, &x),
                Block::Attention(block) => run.attention_block(block, &x),
            };
        }
        hidden_states.push(x.clone());
        stages.push(x.clone());
    }
    let mut output = ReferenceOutput { hidden_states, stages, normed: None, pooled: None, heads: None, logits: None };
    match &arch.tail {
        Tail::None => {}
        Tail::Features(norms) => {
            for (stage, norm) in output.stages.iter_mut().zip(norms) {
                *stage = run.norm(norm, stage.clone());
            }
        }
        Tail::Classifier { norm, heads } => {
            let normed = run.norm(norm, x);
            let area = (normed.size[0] * normed.size[1]).max(1);
            let pooled: Vec<f64> =
                normed.data.chunks_exact(area).map(|map| map.iter().sum::<f64>() / area as f64).collect();
            output.heads = heads.as_ref().map(|heads| [0, 1].map(|head| run.linear(&heads[head], &pooled)));
            output.logits = Some(match &output.heads {
                Some([head, dist]) => head.iter().zip(dist).map(|(a, b)| (a + b) / 2.0).collect(),
                None => pooled.clone(),
            });
            output.normed = Some(normed);
            output.pooled = Some(pooled);
        }
    }
    output
}

struct Run<'a> {
    state: &'a StateDict,
    epsilon: f64,
}

impl Run<'_> {
    fn read(&self, module: Module, leaf: Leaf) -> Vec<f64> {
        self.state.values(module, leaf).into_iter().map(f64::from).collect()
    }

    fn conv(&self, conv: &Conv, x: &Map) -> Map {
        let (weight, bias) = (self.read(conv.module, Leaf::Weight), self.read(conv.module, Leaf::Bias));
        let size = conv.output_size(x.size).unwrap_or_else(|| panic!("{:?} of {:?}", conv.module, x.size));
        let [kernel_y, kernel_x] = conv.kernel;
        let group_in = conv.in_channels / conv.groups;
        let group_out = conv.out_channels / conv.groups;
        let mut data = Vec::with_capacity(conv.out_channels * size[0] * size[1]);
        for (out, &bias) in bias.iter().enumerate() {
            let first_in = out / group_out * group_in;
            for oy in 0..size[0] {
                for ox in 0..size[1] {
                    let mut sum = bias;
                    for i in 0..group_in {
                        for ky in 0..kernel_y {
                            for kx in 0..kernel_x {
                                let y = (oy * conv.stride[0] + ky).wrapping_sub(conv.padding[0]);
                                let x_at = (ox * conv.stride[1] + kx).wrapping_sub(conv.padding[1]);
                                if y < x.size[0] && x_at < x.size[1] {
                                    let weight = weight[((out * group_in + i) * kernel_y + ky) * kernel_x + kx];
                                    sum += weight * x.data[((first_in + i) * x.size[0] + y) * x.size[1] + x_at];
                                }
                            }
                        }
                    }
                    data.push(sum);
                }
            }
        }
        Map { channels: conv.out_channels, size, data }
    }

    fn norm(&self, norm: &Norm, mut x: Map) -> Map {
        let read = |leaf| self.read(norm.module, leaf);
        let (gamma, beta) = (read(Leaf::Weight), read(Leaf::Bias));
        let (mean, variance) = (read(Leaf::RunningMean), read(Leaf::RunningVar));
        let area = (x.size[0] * x.size[1]).max(1);
        for (channel, map) in x.data.chunks_exact_mut(area).enumerate() {
            let scale = gamma[channel] / (variance[channel] + self.epsilon).sqrt();
            map.iter_mut().for_each(|value| *value = (*value - mean[channel]) * scale + beta[channel]);
        }
        x
    }

    fn conv_norm(&self, layer: &ConvNorm, x: &Map) -> Map {
        self.norm(&layer.norm, self.conv(&layer.conv, x))
    }

    fn linear(&self, linear: &Linear, x: &[f64]) -> Vec<f64> {
        let (weight, bias) = (self.read(linear.module, Leaf::Weight), self.read(linear.module, Leaf::Bias));
        let rows = weight.chunks_exact(linear.in_features);
        rows.zip(&bias).map(|(row, bias)| bias + row.iter().zip(x).map(|(w, v)| w * v).sum::<f64>()).collect()
    }

    fn activate(&self, act: &crate::arch::Act, mut x: Map) -> Map {
        let value = |name| self.read(act.module, Leaf::Activation(name))[0];
        let learnt: Vec<f64> = act.function.parameters().iter().map(|&(name, _)| value(name)).collect();
        x.data.iter_mut().for_each(|value| *value = activation(act.function, &learnt, *value));
        x
    }

    /// `x + scale · branch`.
    fn residual(&self, x: &Map, branch: Map, scale: Option<&crate::arch::Scale>) -> Map {
        let scale = scale.map(|scale| self.read(scale.module, Leaf::Value));
        let area = (x.size[0] * x.size[1]).max(1);
        let mut sum = x.clone();
        for (index, (value, add)) in sum.data.iter_mut().zip(&branch.data).enumerate() {
            *value += add * scale.as_ref().map_or(1.0, |scale| scale[index / area]);
        }
        sum
    }

    fn conv_block(&self, block: &ConvBlock, x: &Map) -> Map {
        let y = self.conv_norm(&block.depthwise, x);
        let y = self.activate(&block.activation, self.conv(&block.pointwise1, &y));
        let y = self.conv(&block.pointwise2, &y);
        self.residual(x, y, block.scale.as_ref())
    }

    fn attention_block(&self, block: &AttentionBlock, x: &Map) -> Map {
        let x = self.conv_block(&block.local, x);
        let x = self.residual(&x, self.attention(&block.attention, &x), block.scale1.as_ref());
        let y = self.conv(&block.fc1, &self.norm(&block.norm, x.clone()));
        let y = self.conv(&block.fc2, &self.activate(&block.activation, y));
        self.residual(&x, y, block.scale2.as_ref())
    }

    fn attention(&self, attention: &Attention, x: &Map) -> Map {
        let dim = attention.query.out_features;
        let tokens = x.size[0] * x.size[1];
        let token = |n: usize| -> Vec<f64> { (0..dim).map(|channel| x.data[channel * tokens + n]).collect() };
        let project = |linear: &Linear| -> Vec<Vec<f64>> {
            (0..tokens)
                .map(|n| {
                    let row = self.linear(linear, &token(n));
                    if attention.normalize_qk { normalized(&row) } else { row }
                })
                .collect()
        };
        let (queries, keys) = (project(&attention.query), project(&attention.key));
        let token_weights = self.read(attention.token_weights, Leaf::Value);
        let root = (dim as f64).powf(-0.5);
        let raw: Vec<f64> =
            queries.iter().map(|q| q.iter().zip(&token_weights).map(|(q, w)| q * w).sum::<f64>() * root).collect();
        let weights = match attention.dialect {
            Dialect::Sum => vec![1.0; tokens],
            Dialect::L2 => normalized(&raw),
            Dialect::Raw => raw,
            Dialect::Softmax => {
                let most = raw.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                let exponentials: Vec<f64> = raw.iter().map(|a| (a - most).exp()).collect();
                let total: f64 = exponentials.iter().sum();
                exponentials.iter().map(|e| e / total).collect()
            }
        };
        let mut global = vec![0.0; dim];
        for (query, weight) in queries.iter().zip(&weights) {
            global.iter_mut().zip(query).for_each(|(sum, q)| *sum += weight * q);
        }
        let mut data = vec![0.0; dim * tokens];
        for (n, (query, key)) in queries.iter().zip(&keys).enumerate() {
            let product: Vec<f64> = key.iter().zip(&global).map(|(k, g)| k * g).collect();
            let mixed = self.linear(&attention.proj, &product);
            let mixed: Vec<f64> = mixed.iter().zip(query).map(|(m, q)| m + q).collect();
            for (channel, value) in self.linear(&attention.last, &mixed).into_iter().enumerate() {
                data[channel * tokens + n] = value;
            }
        }
        Map { channels: dim, size: x.size, data }
    }
}

/// PyTorch's `normalize`: divided by the larger of the L2 norm and 1e-12.
fn normalized(row: &[f64]) -> Vec<f64> {
    let norm = row.iter().map(|v| v * v).sum::<f64>().sqrt().max(1e-12);
    row.iter().map(|v| v / norm).collect()
}

/// An activation at one point; `learnt` holds its learnt values in the order of [`Activation::parameters`].
pub fn activation(function: Activation, learnt: &[f64], x: f64) -> f64 {
    let gelu = |x: f64| 0.5 * x * (1.0 + erf(x * std::f64::consts::FRAC_1_SQRT_2));
    let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
    let softplus = |x: f64| x.max(0.0) + (-x.abs()).exp().ln_1p();
    match (function, learnt) {
        (Activation::Gelu, _) => gelu(x),
        (Activation::Gelu10, _) => gelu(x).clamp(-10.0, 10.0),
        (Activation::GeluTanh, _) => {
            let inner = (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044_715 * x * x * x);
            0.5 * x * (1.0 + inner.tanh())
        }
        (Activation::QuickGelu, _) => x * sigmoid(1.702 * x),
        (Activation::Relu, _) => x.max(0.0),
        (Activation::Relu2, _) => x.max(0.0) * x.max(0.0),
        (Activation::Relu6, _) => x.clamp(0.0, 6.0),
        (Activation::LeakyRelu, _) => x.max(0.0) + 0.01 * x.min(0.0),
        (Activation::Prelu, &[slope]) => x.max(0.0) + slope * x.min(0.0),
        (Activation::Silu, _) => x * sigmoid(x),
        (Activation::HardSwish, _) => x * (x + 3.0).clamp(0.0, 6.0) / 6.0,
        (Activation::Mish, _) => x * softplus(x).tanh(),
        (Activation::Sigmoid, _) => sigmoid(x),
        (Activation::Tanh, _) => x.tanh(),
        (Activation::SqrtSoftplus, _) => softplus(x).sqrt(),
        // transformers writes 1/√2 and 1/√(4π) with six digits.
        #[allow(clippy::approx_constant)]
        (Activation::Laplace, _) => 0.5 * (1.0 + erf((x - 0.707_107) / (0.282_095 * std::f64::consts::SQRT_2))),
        (Activation::Xielu, &[alpha_p, alpha_n, beta, epsilon]) => {
            if x > 0.0 {
                softplus(alpha_p) * x * x + beta * x
            } else {
                (x.min(epsilon).exp_m1() - x) * (beta + softplus(alpha_n)) + beta * x
            }
        }
        (Activation::Linear | Activation::Prelu | Activation::Xielu, _) => x,
    }
}

/// The error function to about 1e-15: its Taylor series up to 3, the continued fraction of `erfc` beyond.
pub fn erf(x: f64) -> f64 {
    let magnitude = x.abs();
    if x.is_nan() {
        return x;
    }
    if magnitude > 6.0 {
        return x.signum();
    }
    let two_over_root_pi = std::f64::consts::FRAC_2_SQRT_PI;
    if magnitude < 3.0 {
        // erf(x) = 2/√π e^{-x²} Σ 2ⁿ x^{2n+1} / (2n+1)!!, all terms positive.
        let (mut term, mut sum, mut n) = (x, x, 0.0);
        while term.abs() > 1e-17 * sum.abs() && n < 200.0 {
            n += 1.0;
            term *= 2.0 * x * x / (2.0 * n + 1.0);
            sum += term;
        }
        return two_over_root_pi * (-x * x).exp() * sum;
    }
    let fraction = (1..=60).rev().fold(0.0, |tail, k| 0.5 * f64::from(k) / (magnitude + tail));
    let complement = two_over_root_pi / 2.0 * (-x * x).exp() / (magnitude + fraction);
    x.signum() * (1.0 - complement)
}

#[cfg(test)]
mod tests {
    use super::erf;

    #[test]
    fn erf_has_its_tabulated_values() {
        // Abramowitz & Stegun, table 7.1, and DLMF 7.23.
        for (x, value) in [
            (0.0, 0.0),
            (0.5, 0.520_499_877_813_046_5),
            (1.0, 0.842_700_792_949_714_9),
            (2.0, 0.995_322_265_018_952_7),
            (3.0, 0.999_977_909_503_001_4),
            (4.0, 0.999_999_984_582_742_1),
        ] {
            assert!((erf(x) - value).abs() < 1e-15, "{x}: {}", erf(x));
            assert_eq!(erf(-x), -erf(x));
        }
    }
}
