//! Attention and the light token kernels by their definitions.

use super::activation;
use crate::{Activation, Pooling, Rows, RowsMut};

/// The mean over all rows.
pub fn mean_rows(input: Rows<'_>, mean: &mut [f32]) {
    let width = mean.len();
    for (channel, mean) in mean.iter_mut().enumerate() {
        let sum: f64 = (0..input.rows).map(|row| f64::from(input.row(row, width)[channel])).sum();
        *mean = (sum / input.rows.max(1) as f64) as f32;
    }
}

/// Softmax in place.
pub fn softmax(values: &mut [f32]) {
    let largest = values.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let exponentials: Vec<f64> = values.iter().map(|&value| (f64::from(value) - f64::from(largest)).exp()).collect();
    let sum: f64 = exponentials.iter().sum();
    for (value, exponential) in values.iter_mut().zip(exponentials) {
        *value = (exponential / sum) as f32;
    }
}

/// `output[r][c] = activation(scale[c] · input[r][c] + shift[c])`
pub fn affine(scale: &[f32], shift: &[f32], function: Activation, input: Rows<'_>, mut output: RowsMut<'_>) {
    for row in 0..input.rows {
        for (channel, target) in output.row(row, scale.len()).iter_mut().enumerate() {
            let value = f64::from(input.row(row, scale.len())[channel]);
            let sum = f64::from(scale[channel]) * value + f64::from(shift[channel]);
            *target = activation(function, sum) as f32;
        }
    }
}

/// Keys and queries, `[tokens, 2·C]`, of tokens `[tokens, C]`: `weight` `[2·C, C]` times each token plus `bias`, both
/// halves divided by `max(‖·‖₂, 1e-12)` if `normalize`.
pub fn attention_keys_queries(
    weight: &[f32],
    bias: &[f32],
    channels: usize,
    normalize: bool,
    input: Rows<'_>,
    keys_queries: &mut [f32],
) {
    for (row, token) in keys_queries.chunks_exact_mut(2 * channels).enumerate() {
        let input = input.row(row, channels);
        let values = weight.chunks_exact(channels).zip(bias).map(|(weight, &bias)| {
            let products = weight.iter().zip(input).map(|(&weight, &value)| f64::from(weight) * f64::from(value));
            products.sum::<f64>() + f64::from(bias)
        });
        let values: Vec<f64> = values.collect();
        for (half, target) in values.chunks_exact(channels).zip(token.chunks_exact_mut(channels)) {
            let norm = half.iter().map(|value| value * value).sum::<f64>().sqrt();
            let divisor = if normalize { norm.clamp(1e-12, f64::INFINITY) } else { 1.0 };
            for (target, value) in target.iter_mut().zip(half) {
                *target = (value / divisor) as f32;
            }
        }
    }
}

/// The global query of queries in `keys_queries`, `[tokens, 2·C]`, with `C = gate.len()`.
pub fn attention_pool(pooling: Pooling, gate: &[f32], scale: f32, keys_queries: &[f32], global: &mut [f32]) {
    let channels = gate.len();
    let queries = || keys_queries.chunks_exact(2 * channels).map(|token| &token[channels..]);
    let score = |query: &[f32]| {
        let products = query.iter().zip(gate).map(|(&query, &gate)| f64::from(query) * f64::from(gate));
        products.sum::<f64>() * f64::from(scale)
    };
    let scores: Vec<f64> = queries().map(score).collect();
    let norm = scores.iter().map(|score| score * score).sum::<f64>().sqrt();
    let exponentials: f64 = scores.iter().map(|score| score.exp()).sum();
    for (channel, global) in global.iter_mut().enumerate() {
        let weighted = queries().zip(&scores).map(|(query, &score)| {
            let weight = match pooling {
                Pooling::Sum => 1.0,
                Pooling::L2 => score / norm.clamp(1e-12, f64::INFINITY),
                Pooling::Softmax => score.exp() / exponentials,
                Pooling::Raw => score,
            };
            weight * f64::from(query[channel])
        });
        *global = weighted.sum::<f64>() as f32;
    }
}
