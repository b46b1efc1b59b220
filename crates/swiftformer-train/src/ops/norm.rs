//! BatchNorm in train mode over the values of several processes, where no block of ours contains it.

use std::sync::PoisonError;

use swiftformer_kernels::train::ChannelStatistics;

use super::{Kept, Operation, SharedEngine, StatisticsCell};
use crate::parallel::Group;

/// `γ · (x − mean) / √(variance + ε) + β`; behind the tokens come γ and β.
#[derive(Debug)]
pub(crate) struct NormOperation {
    pub(crate) group: Group,
    /// `[tokens, channels]`.
    pub(crate) size: [usize; 2],
    pub(crate) eps: f64,
    /// Where the statistics go.
    pub(crate) statistics: StatisticsCell,
}

/// Mean and `1 / √(variance + ε)` of each channel.
type State = [Vec<f32>; 2];

impl NormOperation {
    /// Averages of `value` over the tokens of all processes, for each channel.
    fn averages(&self, x: &[f32], value: impl Fn(f64, usize) -> f64) -> Vec<f64> {
        let [tokens, channels] = self.size;
        let mut sums = vec![0.0; channels];
        for row in x.chunks_exact(channels) {
            sums.iter_mut().zip(row).enumerate().for_each(|(at, (sum, &x))| *sum += value(f64::from(x), at));
        }
        sums.iter_mut().for_each(|sum| *sum /= tokens as f64);
        self.group.average(&mut sums);
        sums
    }
}

fn narrow(values: &[f64]) -> Vec<f32> {
    values.iter().map(|&value| value as f32).collect()
}

impl Operation for NormOperation {
    fn engine(&self) -> Option<&SharedEngine> {
        None
    }

    fn shape(&self) -> Vec<usize> {
        self.size.to_vec()
    }

    fn forward(&self, inputs: &[&[f32]]) -> (Vec<f32>, Kept) {
        let [x, gamma, beta] = [inputs[0], inputs[1], inputs[2]];
        let means = self.averages(x, |x, _| x);
        let variances = self.averages(x, |x, channel| (x - means[channel]).powi(2));
        let inverse = variances.iter().map(|variance| (1.0 / (variance + self.eps).sqrt()) as f32).collect::<Vec<_>>();
        let mean = narrow(&means);
        let mut output = x.to_vec();
        for row in output.chunks_exact_mut(self.size[1]) {
            for (channel, value) in row.iter_mut().enumerate() {
                *value = (*value - mean[channel]) * inverse[channel] * gamma[channel] + beta[channel];
            }
        }
        let found = ChannelStatistics { mean: mean.clone(), variance: narrow(&variances) };
        *self.statistics.lock().unwrap_or_else(PoisonError::into_inner) = Some(found);
        (output, Box::new([mean, inverse]))
    }

    fn backward(&self, inputs: &[&[f32]], kept: Kept, gradient: &[f32], _wanted: bool) -> Vec<Vec<f32>> {
        let [mean, inverse] = *kept.downcast::<State>().unwrap_or_else(|_| panic!("the state of a norm"));
        let [tokens, channels] = self.size;
        let (x, gamma) = (inputs[0], inputs[1]);
        let normal = |x: f32, channel: usize| (x - mean[channel]) * inverse[channel];
        // Σ g·x̂ and Σ g: the gradients of γ and β.
        let mut sums = vec![0.0_f64; 2 * channels];
        for (row, gradient) in x.chunks_exact(channels).zip(gradient.chunks_exact(channels)) {
            for (channel, (&x, &gradient)) in row.iter().zip(gradient).enumerate() {
                sums[channel] += f64::from(gradient * normal(x, channel));
                sums[channels + channel] += f64::from(gradient);
            }
        }
        let own = narrow(&sums);
        sums.iter_mut().for_each(|sum| *sum /= tokens as f64);
        self.group.average(&mut sums);
        let (slope, shift) = sums.split_at(channels);
        let mut x_gradient = gradient.to_vec();
        for (row, gradient) in x.chunks_exact(channels).zip(x_gradient.chunks_exact_mut(channels)) {
            for (channel, (&x, gradient)) in row.iter().zip(gradient).enumerate() {
                let centred = *gradient - shift[channel] as f32 - normal(x, channel) * slope[channel] as f32;
                *gradient = gamma[channel] * inverse[channel] * centred;
            }
        }
        vec![x_gradient, own[..channels].to_vec(), own[channels..].to_vec()]
    }

    fn discard(&self, _kept: Kept) {}
}
