//! Folding: BatchNorms, layer scales and back-to-back linear layers become one linear map each.
//!
//! A BatchNorm behind a convolution folds into it; one before a 1×1 convolution folds forwards into it (a 1×1 has no
//! padding, so no border sees a different constant). A layer scale folds into the layer before it. All products are
//! taken in `f64` and rounded once.

use crate::{
    arch::{Attention, Conv, ConvNorm, Leaf, Linear, Module, Norm, Scale},
    weights::state::StateDict,
};

/// A linear map with bias: a convolution's or a matrix's values, row-major, output channels first.
#[derive(Clone, Debug, PartialEq)]
pub struct Affine {
    /// Output channels.
    pub out: usize,
    /// `[out, in · kernel]` or `[out, in, height, width]`.
    pub weight: Vec<f32>,
    /// `[out]`.
    pub bias: Vec<f32>,
}

/// The parts of efficient additive attention after folding:
/// `x + M (g ⊙ k) + F q + b` with `M = s·Wf·Wp`, `F = s·Wf`, `b = s·(Wf bp + bf)`.
#[derive(Clone, Debug, PartialEq)]
pub struct FoldedAttention {
    /// Wk, then Wq, `[2·dim, dim]`, with their biases.
    pub key_query: Affine,
    /// `w_g`, `[dim]`.
    pub token_weights: Vec<f32>,
    /// `[M | F]`, `[dim, 2·dim]`, with `b`.
    pub output: Affine,
}

/// Reads the weights of one network and folds them.
pub(super) struct Folder<'a> {
    state: &'a StateDict,
    epsilon: f64,
}

/// A per-channel map `scale · x + shift`.
struct Channels {
    scale: Vec<f64>,
    shift: Vec<f64>,
}

impl<'a> Folder<'a> {
    pub(super) fn new(state: &'a StateDict, epsilon: f64) -> Self {
        Self { state, epsilon }
    }

    fn read(&self, module: Module, leaf: Leaf) -> Vec<f64> {
        self.state.values(module, leaf).into_iter().map(f64::from).collect()
    }

    fn norm_channels(&self, norm: &Norm) -> Channels {
        let read = |leaf| self.read(norm.module, leaf);
        let (gamma, beta) = (read(Leaf::Weight), read(Leaf::Bias));
        let (mean, variance) = (read(Leaf::RunningMean), read(Leaf::RunningVar));
        let scale: Vec<f64> = gamma.iter().zip(&variance).map(|(g, v)| g / (v + self.epsilon).sqrt()).collect();
        let shift = beta.iter().zip(&scale).zip(&mean).map(|((b, s), m)| b - s * m).collect();
        Channels { scale, shift }
    }

    /// A BatchNorm by itself, as scale and shift per channel.
    pub(super) fn norm(&self, norm: &Norm) -> (Vec<f32>, Vec<f32>) {
        let Channels { scale, shift } = self.norm_channels(norm);
        (round(&scale), round(&shift))
    }

    /// A convolution and the BatchNorm behind it.
    pub(super) fn conv_norm(&self, layer: &ConvNorm) -> Affine {
        let Channels { scale, shift } = self.norm_channels(&layer.norm);
        self.scaled(layer.conv.module, layer.conv.out_channels, &scale, &shift)
    }

    /// A layer whose output is scaled and shifted per channel.
    fn scaled(&self, module: Module, out: usize, scale: &[f64], shift: &[f64]) -> Affine {
        let (weight, bias) = (self.read(module, Leaf::Weight), self.read(module, Leaf::Bias));
        let row = weight.len() / out;
        let weight = weight.chunks_exact(row).zip(scale).flat_map(|(row, s)| row.iter().map(move |w| w * s));
        let bias = bias.iter().zip(scale).zip(shift).map(|((b, s), t)| b * s + t);
        Affine { out, weight: weight.map(|w| w as f32).collect(), bias: bias.map(|b| b as f32).collect() }
    }

    /// A convolution as it is.
    pub(super) fn conv(&self, conv: &Conv) -> Affine {
        let out = conv.out_channels;
        self.scaled(conv.module, out, &vec![1.0; out], &vec![0.0; out])
    }

    /// A 1×1 convolution and the layer scale behind it.
    pub(super) fn conv_scale(&self, conv: &Conv, scale: Option<&Scale>) -> Affine {
        let out = conv.out_channels;
        self.scaled(conv.module, out, &self.scale(scale, out), &vec![0.0; out])
    }

    fn scale(&self, scale: Option<&Scale>, channels: usize) -> Vec<f64> {
        scale.map_or_else(|| vec![1.0; channels], |scale| self.read(scale.module, Leaf::Value))
    }

    /// A BatchNorm and the 1×1 convolution or linear layer behind it.
    pub(super) fn norm_linear(&self, norm: &Norm, module: Module, out: usize) -> Affine {
        let channels = self.norm_channels(norm);
        let (weight, bias) = (self.read(module, Leaf::Weight), self.read(module, Leaf::Bias));
        self.behind_norm(&channels, &weight, &bias, out)
    }

    fn behind_norm(&self, norm: &Channels, weight: &[f64], bias: &[f64], out: usize) -> Affine {
        let rows = weight.chunks_exact(norm.scale.len());
        let bias = rows.clone().zip(bias).map(|(row, b)| b + dot(row, &norm.shift)).map(|b| b as f32).collect();
        let weight = rows.flat_map(|row| row.iter().zip(&norm.scale).map(|(w, s)| (w * s) as f32)).collect();
        Affine { out, weight, bias }
    }

    /// The final BatchNorm and the average of both heads.
    pub(super) fn heads(&self, norm: &Norm, heads: &[Linear; 2]) -> Affine {
        let average = |leaf| -> Vec<f64> {
            let (first, second) = (self.read(heads[0].module, leaf), self.read(heads[1].module, leaf));
            first.iter().zip(&second).map(|(a, b)| (a + b) / 2.0).collect()
        };
        let (weight, bias) = (average(Leaf::Weight), average(Leaf::Bias));
        self.behind_norm(&self.norm_channels(norm), &weight, &bias, heads[0].out_features)
    }

    /// The last two linear layers of attention merged, its layer scale folded in.
    pub(super) fn attention(&self, attention: &Attention, scale: Option<&Scale>) -> FoldedAttention {
        let dim = attention.query.out_features;
        let stacked = |leaf| {
            let [mut key, query] =
                [&attention.key, &attention.query].map(|linear| self.state.values(linear.module, leaf));
            key.extend(query);
            key
        };
        let scale = self.scale(scale, dim);
        let proj = self.read(attention.proj.module, Leaf::Weight);
        let proj_bias = self.read(attention.proj.module, Leaf::Bias);
        let last = self.read(attention.last.module, Leaf::Weight);
        let last_bias = self.read(attention.last.module, Leaf::Bias);
        let mut weight = Vec::with_capacity(2 * dim * dim);
        let mut bias = Vec::with_capacity(dim);
        let mut product = vec![0.0; dim];
        for ((row, b), s) in last.chunks_exact(dim).zip(&last_bias).zip(&scale) {
            product.fill(0.0);
            for (f, proj_row) in row.iter().zip(proj.chunks_exact(dim)) {
                product.iter_mut().zip(proj_row).for_each(|(sum, p)| *sum += f * p);
            }
            weight.extend(product.iter().map(|m| (s * m) as f32));
            weight.extend(row.iter().map(|f| (s * f) as f32));
            bias.push((s * (dot(row, &proj_bias) + b)) as f32);
        }
        FoldedAttention {
            key_query: Affine { out: 2 * dim, weight: stacked(Leaf::Weight), bias: stacked(Leaf::Bias) },
            token_weights: self.state.values(attention.token_weights, Leaf::Value),
            output: Affine { out: dim, weight, bias },
        }
    }

    /// Learnt values of an activation.
    pub(super) fn activation_value(&self, module: Module, name: &'static str) -> f32 {
        self.state.values(module, Leaf::Activation(name)).first().copied().unwrap_or(0.0)
    }
}

fn round(values: &[f64]) -> Vec<f32> {
    values.iter().map(|&value| value as f32).collect()
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(x, y)| x * y).sum()
}
