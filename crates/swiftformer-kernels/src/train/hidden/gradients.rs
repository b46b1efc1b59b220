//! The parameters' gradients, from the sums over all tokens.

use super::super::engine::for_all;
use super::{Hidden, HiddenGradients, PANEL};
use crate::isa::Isa;
use crate::kernels::{Kernel, Kernels};
use crate::pool::Pool;

impl Hidden<'_> {
    /// All parameters' gradients from the sums over tokens.
    pub(super) fn gradients(&self, kernels: Kernels, pool: &Pool, sums: &[f32]) -> HiddenGradients {
        let [channels, hidden, ..] = self.sizes();
        let (inner, rest) = sums.split_at(channels * hidden);
        let (outer, rest) = rest.split_at(channels * hidden);
        let (bias1, above) = rest.split_at(hidden);
        let mut gradients = HiddenGradients {
            gamma: Vec::new(),
            beta: Vec::new(),
            weight1: inner.to_vec(),
            bias1: bias1.to_vec(),
            weight2: outer.to_vec(),
            bias2: (0..channels).map(|channel| above[channel] * self.scale_of(channel)).collect(),
            scale: vec![0.0; if self.scale.is_some() { channels } else { 0 }],
        };
        let parts = hidden.div_ceil(PANEL);
        let mut norm_sums = vec![0.0; parts * 2 * channels];
        let rows = gradients.weight1.chunks_mut(PANEL * channels).zip(self.weight1.chunks(PANEL * channels));
        let rows = rows.zip(bias1.chunks(PANEL)).zip(norm_sums.chunks_exact_mut(2 * channels));
        let first = rows.map(|(((values, weight), bias), sums)| {
            Finish::First(FirstGradients { layer: self, values, weight, bias, sums })
        });
        let rows = gradients.weight2.chunks_mut(PANEL * hidden).zip(self.weight2.chunks(PANEL * hidden));
        let rows = rows.zip(gradients.scale.chunks_mut(PANEL)).enumerate();
        let second = rows.map(|(part, ((values, weight), slopes))| {
            Finish::Second(SecondGradients { layer: self, channel: part * PANEL, values, weight, above, slopes })
        });
        for_all(pool, first.chain(second).collect(), |task| match task {
            Finish::First(task) => kernels.dispatch(task),
            Finish::Second(task) => kernels.dispatch(task),
        });
        let total = |at: usize| norm_sums.chunks_exact(2 * channels).map(|sums| sums[at]).sum::<f64>() as f32;
        gradients.gamma = (0..channels).map(total).collect();
        gradients.beta = (channels..2 * channels).map(total).collect();
        gradients
    }
}

/// A piece of what follows from the sums over tokens.
enum Finish<'a> {
    First(FirstGradients<'a>),
    Second(SecondGradients<'a>),
}

/// Some rows of the first weight's gradient, and what they add to BatchNorm's: terms that cancel, so in 64 bits.
struct FirstGradients<'a> {
    layer: &'a Hidden<'a>,
    values: &'a mut [f32],
    weight: &'a [f32],
    bias: &'a [f32],
    /// Those of γ, then of β.
    sums: &'a mut [f64],
}

impl Kernel for FirstGradients<'_> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, _isa: I) {
        let Hidden { gamma, beta, .. } = *self.layer;
        let channels = gamma.len();
        let (gamma_sums, beta_sums) = self.sums.split_at_mut(channels);
        let rows = self.values.chunks_exact_mut(channels).zip(self.weight.chunks_exact(channels));
        for ((row, weight), &bias) in rows.zip(self.bias) {
            let sums = gamma_sums.iter_mut().zip(beta_sums.iter_mut());
            let parameters = gamma.iter().zip(beta).zip(weight);
            for ((value, ((gamma, beta), &weight)), (gamma_sum, beta_sum)) in row.iter_mut().zip(parameters).zip(sums) {
                *gamma_sum += f64::from(weight) * f64::from(*value);
                *beta_sum += f64::from(weight) * f64::from(bias);
                *value = *value * gamma + bias * beta;
            }
        }
    }
}

/// Some rows of the second weight's gradient, from output channel `channel` on, and the scale's there.
struct SecondGradients<'a> {
    layer: &'a Hidden<'a>,
    channel: usize,
    values: &'a mut [f32],
    weight: &'a [f32],
    above: &'a [f32],
    slopes: &'a mut [f32],
}

impl Kernel for SecondGradients<'_> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, _isa: I) {
        let hidden = self.layer.bias1.len();
        let rows = self.values.chunks_exact_mut(hidden).zip(self.weight.chunks_exact(hidden));
        for ((row, weight), (slope, channel)) in rows.zip(self.slopes.iter_mut().zip(self.channel..)) {
            let scale = self.layer.scale_of(channel);
            let mut parts = [0.0_f64; 8];
            for (row, weight) in row.chunks_mut(8).zip(weight.chunks(8)) {
                for ((value, weight), part) in row.iter_mut().zip(weight).zip(&mut parts) {
                    *part += f64::from(*value) * f64::from(*weight);
                    *value *= scale;
                }
            }
            let bias = f64::from(self.layer.bias2[channel]) * f64::from(self.above[channel]);
            *slope = (parts.iter().sum::<f64>() + bias) as f32;
        }
    }
}
