//! BatchNorm over the images of several processes: what has to be averaged over them between two passes.
//!
//! Every process has as many images as the others, so averages of averages are averages of all.

use std::sync::Arc;

use super::block::ChannelStatistics;

/// Replaces each value by its average over all processes that train together. All of them call it in the same order with
/// lists of the same length.
pub type SharedAverage = Arc<dyn Fn(&mut [f64]) + Send + Sync>;

impl ChannelStatistics {
    /// The statistics of all processes' values together.
    pub(super) fn shared(self, average: Option<&SharedAverage>) -> Self {
        let Some(average) = average else { return self };
        let channels = self.mean.len();
        // Mean, square of the mean, variance: 64 bits leave room for what cancels below.
        let mut list: Vec<f64> = self.mean.iter().map(|&mean| f64::from(mean)).collect();
        list.extend(self.mean.iter().map(|&mean| f64::from(mean) * f64::from(mean)));
        list.extend(self.variance.iter().map(|&variance| f64::from(variance)));
        average(&mut list);
        let (mean, rest) = list.split_at(channels);
        let (squares, variance) = rest.split_at(channels);
        let between = mean.iter().zip(squares).map(|(mean, square)| (square - mean * mean).max(0.0));
        Self {
            mean: mean.iter().map(|&mean| mean as f32).collect(),
            variance: variance.iter().zip(between).map(|(within, between)| (within + between) as f32).collect(),
        }
    }
}

/// Sums over a process's tokens as what they would be if every process had the same: the sums of all are that many times
/// as large.
pub(super) fn shared_sums<const N: usize>(average: Option<&SharedAverage>, sums: [&[f32]; N]) -> [Vec<f32>; N] {
    let Some(average) = average else { return sums.map(<[f32]>::to_vec) };
    let mut list: Vec<f64> = sums.iter().flat_map(|sums| sums.iter().map(|&sum| f64::from(sum))).collect();
    average(&mut list);
    let mut rest = list.as_slice();
    sums.map(|sums| {
        let (own, others) = rest.split_at(sums.len());
        rest = others;
        own.iter().map(|&sum| sum as f32).collect()
    })
}
