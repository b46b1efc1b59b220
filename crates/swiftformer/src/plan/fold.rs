//! Folding: BatchNorms, layer scales and back-to-back linear layers become one linear map each.
//!
//! A BatchNorm behind a convolution folds into it; one before a 1×1 convolution folds forwards into it (a 1×1 has no
//! padding, so no border sees a different constant). A layer scale folds into the layer before it. All products are
//! taken in `f64` and rounded once.

use super::product::product;
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
pub(crate) struct Folder<'a> {
    state: &'a StateDict,
    epsilon: f64,
}

/// A per-channel map `scale · x + shift`.
struct Channels {
    scale: Vec<f64>,
    shift: Vec<f64>,
}

impl<'a> Folder<'a> {
    pub(crate) fn new(state: &'a StateDict, epsilon: f64) -> Self {
        Self { state, epsilon }
    }

    pub(crate) fn values(&self, module: Module, leaf: Leaf) -> Vec<f32> {
        self.state.values(module, leaf)
    }

    /// A value for each channel. Whole matrices stay `f32`, and are widened value by value.
    fn channels(&self, module: Module, leaf: Leaf) -> Vec<f64> {
        self.values(module, leaf).into_iter().map(f64::from).collect()
    }

    fn norm_channels(&self, norm: &Norm) -> Channels {
        let read = |leaf| self.channels(norm.module, leaf);
        let (gamma, beta) = (read(Leaf::Weight), read(Leaf::Bias));
        let (mean, variance) = (read(Leaf::RunningMean), read(Leaf::RunningVar));
        let scale: Vec<f64> = gamma.iter().zip(&variance).map(|(g, v)| g / (v + self.epsilon).sqrt()).collect();
        let shift = beta.iter().zip(&scale).zip(&mean).map(|((b, s), m)| b - s * m).collect();
        Channels { scale, shift }
    }

    /// A BatchNorm by itself, as scale and shift per channel.
    pub(crate) fn norm(&self, norm: &Norm) -> (Vec<f32>, Vec<f32>) {
        let Channels { scale, shift } = self.norm_channels(norm);
        (round(&scale), round(&shift))
    }

    /// A convolution and the BatchNorm behind it.
    pub(crate) fn conv_norm(&self, layer: &ConvNorm) -> Affine {
        let Channels { scale, shift } = self.norm_channels(&layer.norm);
        let mut affine = self.conv(&layer.conv);
        scale_rows(&mut affine.weight, &scale);
        let bias = affine.bias.iter_mut().zip(scale).zip(shift);
        bias.for_each(|((b, s), t)| *b = (f64::from(*b) * s + t) as f32);
        affine
    }

    /// A convolution as it is.
    pub(crate) fn conv(&self, conv: &Conv) -> Affine {
        let (weight, bias) = (self.values(conv.module, Leaf::Weight), self.values(conv.module, Leaf::Bias));
        Affine { out: conv.out_channels, weight, bias }
    }

    /// A 1×1 convolution and the layer scale behind it.
    pub(crate) fn conv_scale(&self, conv: &Conv, scale: Option<&Scale>) -> Affine {
        let mut affine = self.conv(conv);
        if let Some(scale) = scale {
            let scale = self.channels(scale.module, Leaf::Value);
            scale_rows(&mut affine.weight, &scale);
            scale_rows(&mut affine.bias, &scale);
        }
        affine
    }

    /// A BatchNorm and the 1×1 convolution or linear layer behind it.
    pub(crate) fn norm_linear(&self, norm: &Norm, module: Module, out: usize) -> Affine {
        let (mut weight, mut bias) = (self.values(module, Leaf::Weight), self.values(module, Leaf::Bias));
        let Channels { scale, shift } = self.norm_channels(norm);
        for (row, b) in weight.chunks_exact_mut(scale.len()).zip(&mut bias) {
            *b = (f64::from(*b) + dot(row, &shift)) as f32;
            row.iter_mut().zip(&scale).for_each(|(w, s)| *w = (f64::from(*w) * s) as f32);
        }
        Affine { out, weight, bias }
    }

    /// The final BatchNorm and the average of both heads.
    pub(crate) fn heads(&self, norm: &Norm, heads: &[Linear; 2]) -> Affine {
        let [first, second] = heads.each_ref().map(|head| head.module);
        let mut weight = self.values(first, Leaf::Weight);
        let other = self.values(second, Leaf::Weight);
        let biases = [first, second].map(|head| self.channels(head, Leaf::Bias));
        let mut bias: Vec<f32> = Vec::with_capacity(biases[0].len());
        let Channels { scale, shift } = self.norm_channels(norm);
        let mut average = vec![0.0; scale.len()];
        let rows = weight.chunks_exact_mut(scale.len()).zip(other.chunks_exact(scale.len()));
        for ((row, other), (a, b)) in rows.zip(biases[0].iter().zip(&biases[1])) {
            let pairs = row.iter().zip(other);
            average.iter_mut().zip(pairs).for_each(|(mean, (&a, &b))| *mean = (f64::from(a) + f64::from(b)) / 2.0);
            bias.push(((a + b) / 2.0 + dot(&average, &shift)) as f32);
            row.iter_mut().zip(average.iter().zip(&scale)).for_each(|(w, (mean, s))| *w = (mean * s) as f32);
        }
        Affine { out: heads[0].out_features, weight, bias }
    }

    /// The last two linear layers of attention merged, its layer scale folded in.
    pub(crate) fn attention(&self, attention: &Attention, scale: Option<&Scale>) -> FoldedAttention {
        let dim = attention.query.out_features;
        let stacked = |leaf| {
            let mut values = self.values(attention.key.module, leaf);
            self.state.append_values(attention.query.module, leaf, &mut values);
            values
        };
        let proj = self.values(attention.proj.module, Leaf::Weight);
        let proj_bias = self.channels(attention.proj.module, Leaf::Bias);
        let last = self.values(attention.last.module, Leaf::Weight);
        let last_bias = self.channels(attention.last.module, Leaf::Bias);
        let scale = scale.map_or_else(|| vec![1.0; dim], |scale| self.channels(scale.module, Leaf::Value));
        let mut weight = vec![0.0; 2 * dim * dim];
        product(&last, &proj, dim, |row, column, sums| {
            let merged = &mut weight[row * 2 * dim + column..][..sums.len()];
            merged.iter_mut().zip(sums).for_each(|(m, sum)| *m = (scale[row] * sum) as f32);
        });
        let mut bias = Vec::with_capacity(dim);
        let rows = last.chunks_exact(dim).zip(weight.chunks_exact_mut(2 * dim));
        for ((row, weight), (b, &s)) in rows.zip(last_bias.iter().zip(&scale)) {
            weight[dim..].iter_mut().zip(row).for_each(|(w, &f)| *w = (s * f64::from(f)) as f32);
            bias.push((s * (dot(row, &proj_bias) + b)) as f32);
        }
        FoldedAttention {
            key_query: Affine { out: 2 * dim, weight: stacked(Leaf::Weight), bias: stacked(Leaf::Bias) },
            token_weights: self.values(attention.token_weights, Leaf::Value),
            output: Affine { out: dim, weight, bias },
        }
    }

    /// Learnt values of an activation.
    pub(crate) fn activation_value(&self, module: Module, name: &'static str) -> f32 {
        self.values(module, Leaf::Activation(name)).first().copied().unwrap_or(0.0)
    }
}

fn round(values: &[f64]) -> Vec<f32> {
    values.iter().map(|&value| value as f32).collect()
}

/// Multiplies each row of a matrix that has as many rows as there are scales.
fn scale_rows(matrix: &mut [f32], scale: &[f64]) {
    let row = matrix.len() / scale.len();
    for (row, s) in matrix.chunks_exact_mut(row).zip(scale) {
        row.iter_mut().for_each(|w| *w = (f64::from(*w) * s) as f32);
    }
}

/// Eight sums side by side, so that none waits for the one before.
fn dot<T: Copy + Into<f64>>(row: &[T], vector: &[f64]) -> f64 {
    let (rows, rest) = row.as_chunks::<8>();
    let (vectors, rest_vector) = vector.as_chunks::<8>();
    let mut sums = [0.0; 8];
    for (row, vector) in rows.iter().zip(vectors) {
        sums.iter_mut().zip(row.iter().zip(vector)).for_each(|(sum, (&x, y))| *sum += x.into() * y);
    }
    sums.iter().sum::<f64>() + rest.iter().zip(rest_vector).map(|(&x, y)| x.into() * y).sum::<f64>()
}
