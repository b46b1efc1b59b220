//! Which source positions an output position reads, and with which weights.

use std::ops::Range;

use swiftformer_kernels::{Kernels, RESAMPLE_BITS, ResampleTaps};

use crate::image::Filter;

/// Weights of a row that are kept in memory (64 MiB).
const MAX_CACHED_WEIGHTS: usize = 1 << 24;

/// One side being resampled by an antialiasing filter.
pub(super) struct Side {
    filter: Filter,
    source: usize,
    scale: f64,
    filter_scale: f64,
}

impl Side {
    pub(super) fn new(filter: Filter, source: usize, target: usize) -> Self {
        let scale = source as f64 / target as f64;
        Self { filter, source, scale, filter_scale: scale.max(1.0) }
    }

    /// The source positions that the output position `position` reads.
    pub(super) fn span(&self, position: usize) -> Range<usize> {
        let center = (position as f64 + 0.5) * self.scale;
        let support = self.filter.support() * self.filter_scale;
        // Float-to-integer casts cut off towards zero, as C's do.
        let first = (center - support + 0.5).max(0.0) as usize;
        first..((center + support + 0.5) as usize).min(self.source)
    }

    /// Appends the weights of the output position `position` to `weights`, as integers of 22 fractional bits.
    pub(super) fn weights(&self, position: usize, weights: &mut Vec<i32>) {
        let center = (position as f64 + 0.5) * self.scale;
        let inverse = 1.0 / self.filter_scale;
        let exact = |x: usize| self.filter.weight((x as f64 - center + 0.5) * inverse);
        let sum: f64 = self.span(position).map(exact).sum();
        weights.extend(self.span(position).map(|x| {
            let weight = if sum == 0.0 { exact(x) } else { exact(x) / sum };
            let scaled = weight * f64::from(1u32 << RESAMPLE_BITS);
            (if weight < 0.0 { scaled - 0.5 } else { scaled + 0.5 }) as i32
        }));
    }

    /// Packed weights of the output positions `wanted` for rows that begin at `start` of the source.
    fn taps(&self, kernels: Kernels, channels: usize, wanted: Range<usize>, start: usize) -> ResampleTaps {
        let mut weights = Vec::new();
        let mut spans = Vec::with_capacity(wanted.len());
        for position in wanted {
            let from = weights.len();
            self.weights(position, &mut weights);
            spans.push((self.span(position).start - start, from..weights.len()));
        }
        ResampleTaps::pack(kernels, channels, &spans, weights)
    }
}

/// The pass along rows: makes the columns `wanted` of one row at a time.
pub(super) struct RowPass {
    pub(super) wanted: Range<usize>,
    /// `None` when the width does not change.
    side: Option<Side>,
    /// Weights made once. For an extremely wide image they are made anew for each of its few rows, to bound memory.
    cached: Option<ResampleTaps>,
    kernels: Kernels,
}

impl RowPass {
    pub(super) fn new(
        kernels: Kernels,
        channels: usize,
        filter: Filter,
        (source, target): (usize, usize),
        wanted: Range<usize>,
    ) -> Self {
        let side = (source != target).then(|| Side::new(filter, source, target));
        let cached = side.as_ref().and_then(|side| {
            let middle = side.span(wanted.start + wanted.len() / 2).len();
            let start = side.span(wanted.start).start;
            let few = middle.saturating_mul(wanted.len()) <= MAX_CACHED_WEIGHTS;
            few.then(|| side.taps(kernels, channels, wanted.clone(), start))
        });
        Self { wanted, side, cached, kernels }
    }

    /// The columns of the source that are read.
    pub(super) fn source(&self) -> Range<usize> {
        match &self.side {
            None => self.wanted.clone(),
            Some(side) => side.span(self.wanted.start).start..side.span(self.wanted.end - 1).end,
        }
    }

    /// Resamples `row`, which holds the columns [`Self::source`].
    pub(super) fn apply<const CHANNELS: usize>(&self, row: &[u8], out: &mut [u8]) {
        match (&self.side, &self.cached) {
            (None, _) => out.copy_from_slice(row),
            (Some(_), Some(taps)) => self.kernels.resample_row::<CHANNELS>(row, taps, out),
            (Some(side), None) => {
                let start = side.span(self.wanted.start).start;
                for (position, out) in self.wanted.clone().zip(out.chunks_exact_mut(CHANNELS)) {
                    let taps = side.taps(self.kernels, CHANNELS, position..position + 1, start);
                    self.kernels.resample_row::<CHANNELS>(row, &taps, out);
                }
            }
        }
    }
}
