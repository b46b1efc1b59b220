//! Passes over rows of channels: statistics and normalisation.

use std::ops::Range;

use crate::isa::Isa;
use crate::kernels::{Kernel, Kernels};

/// Channels `part` of four rows of parameters. No closure of `array::map`: it is not always inlined, and then lacks the
/// instruction set.
#[inline(always)]
fn of_channels<I: Isa>(isa: I, rows: [&[f32]; 4], part: Range<usize>) -> [I::F32; 4] {
    let [a, b, c, d] = rows;
    [
        isa.load_chunk(&a[part.clone()]),
        isa.load_chunk(&b[part.clone()]),
        isa.load_chunk(&c[part.clone()]),
        isa.load_chunk(&d[part]),
    ]
}

/// Count, mean and squared deviations of each channel, merged from parts (Chan, Golub, LeVeque 1979) in 64 bits.
#[derive(Clone, Debug)]
pub(super) struct Moments {
    count: f64,
    mean: Vec<f64>,
    squares: Vec<f64>,
}

impl Moments {
    pub(super) fn new(channels: usize) -> Self {
        Self { count: 0.0, mean: vec![0.0; channels], squares: vec![0.0; channels] }
    }

    /// Adds what [`channel_sums`] found.
    pub(super) fn merge(&mut self, rows: usize, sums: &[f32]) {
        let channels = self.mean.len();
        let (shift, rest) = sums.split_at(channels);
        let (first, second) = rest.split_at(channels);
        let count = rows as f64;
        let total = self.count + count;
        let values = self.mean.iter_mut().zip(&mut self.squares).zip(shift.iter().zip(first.iter().zip(second)));
        for ((mean, squares), (&shift, (&first, &second))) in values {
            let offset = f64::from(first) / count;
            let part_mean = f64::from(shift) + offset;
            let part_squares = (f64::from(second) - count * offset * offset).max(0.0);
            let delta = part_mean - *mean;
            *squares += part_squares + delta * delta * self.count * count / total;
            *mean += delta * count / total;
        }
        self.count = total;
    }

    /// Mean and biased variance of each channel.
    pub(super) fn finish(self) -> [Vec<f32>; 2] {
        let count = self.count;
        let variance = self.squares.iter().map(|squares| (squares / count) as f32).collect();
        [self.mean.iter().map(|&mean| mean as f32).collect(), variance]
    }
}

/// Writes the first row, and the sums of all rows' differences from it and of their squares: three times `channels`.
pub(super) fn channel_sums(kernels: Kernels, rows: &[f32], channels: usize, sums: &mut [f32]) {
    kernels.dispatch(ChannelSums { rows, channels, sums });
}

struct ChannelSums<'a> {
    rows: &'a [f32],
    channels: usize,
    sums: &'a mut [f32],
}

impl Kernel for ChannelSums<'_> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) {
        let Self { rows, channels, sums } = self;
        let (shift, rest) = sums.split_at_mut(channels);
        let (first, second) = rest.split_at_mut(channels);
        shift.copy_from_slice(&rows[..channels]);
        let mut column = 0;
        while column < channels {
            let width = I::LEN.min(channels - column);
            let origin = isa.load_chunk(&shift[column..column + width]);
            let mut sums = [isa.zero(); 4];
            let mut squares = [isa.zero(); 4];
            for (at, row) in rows.chunks_exact(channels).enumerate() {
                let offset = isa.sub(isa.load_chunk(&row[column..column + width]), origin);
                let lane = at % 4;
                sums[lane] = isa.add(sums[lane], offset);
                squares[lane] = isa.mul_add(offset, offset, squares[lane]);
            }
            let total = |parts: [I::F32; 4]| isa.add(isa.add(parts[0], parts[1]), isa.add(parts[2], parts[3]));
            isa.store_chunk(&mut first[column..column + width], total(sums));
            isa.store_chunk(&mut second[column..column + width], total(squares));
            column += width;
        }
    }
}

/// `output[r] = (input[r] - mean) · inverse`, rows of `mean.len()` into rows of `stride`.
pub(super) fn normalize(
    kernels: Kernels,
    input: &[f32],
    mean: &[f32],
    inverse: &[f32],
    output: &mut [f32],
    stride: usize,
) {
    kernels.dispatch(Normalize { input, mean, inverse, output, stride });
}

struct Normalize<'a> {
    input: &'a [f32],
    mean: &'a [f32],
    inverse: &'a [f32],
    output: &'a mut [f32],
    stride: usize,
}

impl Kernel for Normalize<'_> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) {
        let channels = self.mean.len();
        for (row, output) in self.input.chunks_exact(channels).zip(self.output.chunks_mut(self.stride)) {
            let mut column = 0;
            while column < channels {
                let width = I::LEN.min(channels - column);
                let part = column..column + width;
                let value = isa.sub(isa.load_chunk(&row[part.clone()]), isa.load_chunk(&self.mean[part.clone()]));
                let value = isa.mul(value, isa.load_chunk(&self.inverse[part.clone()]));
                isa.store_chunk(&mut output[part], value);
                column += width;
            }
        }
    }
}

/// What BatchNorm's backward pass needs of each channel.
#[derive(Clone, Copy)]
pub(super) struct NormGradient<'a> {
    pub(super) mean: &'a [f32],
    /// `1 / √(variance + ε)`
    pub(super) inverse: &'a [f32],
    /// Mean of the normalised value's gradient.
    pub(super) shift: &'a [f32],
    /// Mean of that gradient times the normalised value.
    pub(super) slope: &'a [f32],
}

/// `gradient ← inverse · (gradient - shift - (input - mean) · inverse · slope) [+ add]` in place.
pub(super) fn norm_backward(
    kernels: Kernels,
    norm: NormGradient<'_>,
    input: &[f32],
    gradient: &mut [f32],
    add: Option<&[f32]>,
) {
    assert_eq!(input.len(), gradient.len(), "input and gradient of a BatchNorm");
    assert!(add.is_none_or(|add| add.len() == gradient.len()), "what is added to a gradient");
    kernels.dispatch(NormBackward { norm, input, gradient, add });
}

struct NormBackward<'a> {
    norm: NormGradient<'a>,
    input: &'a [f32],
    gradient: &'a mut [f32],
    add: Option<&'a [f32]>,
}

impl Kernel for NormBackward<'_> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) {
        let channels = self.norm.mean.len();
        let NormGradient { mean, inverse, shift, slope } = self.norm;
        let mut start = 0;
        while start < self.gradient.len() {
            let row = &mut self.gradient[start..start + channels];
            let input = &self.input[start..start + channels];
            let mut column = 0;
            while column < channels {
                let part = column..column + I::LEN.min(channels - column);
                let load = |values: &[f32]| isa.load_chunk(&values[part.clone()]);
                let inverse = load(inverse);
                let normal = isa.mul(isa.sub(load(input), load(mean)), inverse);
                let value = isa.neg_mul_add(normal, load(slope), isa.sub(load(row), load(shift)));
                let mut value = isa.mul(value, inverse);
                if let Some(add) = self.add {
                    value = isa.add(value, isa.load_chunk(&add[start + part.start..start + part.end]));
                }
                isa.store_chunk(&mut row[part.clone()], value);
                column = part.end;
            }
            start += channels;
        }
    }
}

/// Adds the sum of every column of rows `width` wide, `stride` apart.
pub(super) fn add_column_sums(kernels: Kernels, rows: &[f32], width: usize, stride: usize, sums: &mut [f32]) {
    kernels.dispatch(ColumnSums { rows, width, stride, sums });
}

struct ColumnSums<'a> {
    rows: &'a [f32],
    width: usize,
    stride: usize,
    sums: &'a mut [f32],
}

impl Kernel for ColumnSums<'_> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) {
        let mut column = 0;
        while column < self.width {
            let part = column..column + I::LEN.min(self.width - column);
            let mut total = isa.load_chunk(&self.sums[part.clone()]);
            for row in self.rows.chunks(self.stride) {
                total = isa.add(total, isa.load_chunk(&row[part.clone()]));
            }
            isa.store_chunk(&mut self.sums[part.clone()], total);
            column = part.end;
        }
    }
}

/// `relu?(γ (input - mean) · inverse + β)`; the parameters are mean, inverse, γ and β.
pub(super) fn activated_norm(kernels: Kernels, norm: [&[f32]; 4], relu: bool, input: &[f32], output: &mut [f32]) {
    assert_eq!(input.len(), output.len(), "input and output of a BatchNorm");
    kernels.dispatch(ActivatedNorm { norm, relu, input, output });
}

struct ActivatedNorm<'a> {
    norm: [&'a [f32]; 4],
    relu: bool,
    input: &'a [f32],
    output: &'a mut [f32],
}

impl Kernel for ActivatedNorm<'_> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) {
        let channels = self.norm[0].len();
        for (row, output) in self.input.chunks_exact(channels).zip(self.output.chunks_exact_mut(channels)) {
            let mut column = 0;
            while column < channels {
                let part = column..column + I::LEN.min(channels - column);
                let [mean, inverse, gamma, beta] = of_channels(isa, self.norm, part.clone());
                let normal = isa.mul(isa.sub(isa.load_chunk(&row[part.clone()]), mean), inverse);
                let mut value = isa.mul_add(normal, gamma, beta);
                if self.relu {
                    value = isa.max(isa.zero(), value);
                }
                isa.store_chunk(&mut output[part.clone()], value);
                column = part.end;
            }
        }
    }
}

/// The sums of the gradient, and of the gradient times the normalised input, of [`activated_norm`]: twice the channels.
pub(super) fn norm_sums(
    kernels: Kernels,
    norm: [&[f32]; 4],
    relu: bool,
    input: &[f32],
    gradient: &[f32],
    sums: &mut [f32],
) {
    assert_eq!(input.len(), gradient.len(), "input and gradient of a BatchNorm");
    kernels.dispatch(NormSums { norm, relu, input, gradient, sums });
}

struct NormSums<'a> {
    norm: [&'a [f32]; 4],
    relu: bool,
    input: &'a [f32],
    gradient: &'a [f32],
    sums: &'a mut [f32],
}

impl Kernel for NormSums<'_> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) {
        let channels = self.norm[0].len();
        let mut column = 0;
        while column < channels {
            let part = column..column + I::LEN.min(channels - column);
            let [mean, inverse, gamma, beta] = of_channels(isa, self.norm, part.clone());
            let (mut first, mut second) = ([isa.zero(); 2], [isa.zero(); 2]);
            let rows = self.input.chunks_exact(channels).zip(self.gradient.chunks_exact(channels));
            for (at, (row, above)) in rows.enumerate() {
                let normal = isa.mul(isa.sub(isa.load_chunk(&row[part.clone()]), mean), inverse);
                let mut above = isa.load_chunk(&above[part.clone()]);
                if self.relu {
                    above = isa.mul(above, isa.step(isa.mul_add(normal, gamma, beta)));
                }
                first[at % 2] = isa.add(first[at % 2], above);
                second[at % 2] = isa.mul_add(above, normal, second[at % 2]);
            }
            isa.store_chunk(&mut self.sums[part.clone()], isa.add(first[0], first[1]));
            isa.store_chunk(&mut self.sums[channels..][part.clone()], isa.add(second[0], second[1]));
            column = part.end;
        }
    }
}

/// [`norm_backward`] of [`activated_norm`], for rows of the convolution's output into rows of `stride`.
pub(super) struct NormBackwardInto<'a> {
    pub(super) norm: NormGradient<'a>,
    pub(super) gamma: &'a [f32],
    pub(super) beta: &'a [f32],
    pub(super) relu: bool,
    pub(super) input: &'a [f32],
    pub(super) above: &'a [f32],
    pub(super) output: &'a mut [f32],
    pub(super) stride: usize,
}

impl NormBackwardInto<'_> {
    pub(super) fn run(self, kernels: Kernels) {
        assert_eq!(self.input.len(), self.above.len(), "input and gradient of a BatchNorm");
        kernels.dispatch(self);
    }
}

impl Kernel for NormBackwardInto<'_> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) {
        let NormGradient { mean, inverse, shift, slope } = self.norm;
        let channels = mean.len();
        let rows = self.input.chunks_exact(channels).zip(self.above.chunks_exact(channels));
        for ((row, above), output) in rows.zip(self.output.chunks_mut(self.stride)) {
            let mut column = 0;
            while column < channels {
                let part = column..column + I::LEN.min(channels - column);
                let load = |values: &[f32]| isa.load_chunk(&values[part.clone()]);
                let (inverse, gamma) = (load(inverse), load(self.gamma));
                let normal = isa.mul(isa.sub(load(row), load(mean)), inverse);
                let mut above = load(above);
                if self.relu {
                    above = isa.mul(above, isa.step(isa.mul_add(normal, gamma, load(self.beta))));
                }
                let value = isa.sub(isa.mul(above, gamma), load(shift));
                let value = isa.neg_mul_add(normal, load(slope), value);
                isa.store_chunk(&mut output[part.clone()], isa.mul(value, inverse));
                column = part.end;
            }
        }
    }
}

/// 1 above zero, 0 elsewhere.
trait Step: Isa {
    fn step(self, value: Self::F32) -> Self::F32;
}

impl<I: Isa> Step for I {
    #[inline(always)]
    fn step(self, value: I::F32) -> I::F32 {
        // The smallest positive number times 2^100 twice is beyond 1.
        let big = self.splat(f32::from_bits(0x7180_0000));
        let positive = self.max(self.zero(), value);
        self.min(self.splat(1.0), self.mul(self.mul(positive, big), big))
    }
}

/// Divides each row by the larger of its L2 norm and `least`, and keeps one over that.
pub(super) fn normalize_rows(kernels: Kernels, rows: &mut [f32], width: usize, least: f32, inverses: &mut [f32]) {
    kernels.dispatch(NormalizeRows { rows, width, least, inverses });
}

struct NormalizeRows<'a> {
    rows: &'a mut [f32],
    width: usize,
    least: f32,
    inverses: &'a mut [f32],
}

impl Kernel for NormalizeRows<'_> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) {
        for (row, inverse) in self.rows.chunks_exact_mut(self.width).zip(self.inverses) {
            let mut squares = isa.zero();
            for chunk in row.chunks(I::LEN) {
                let value = isa.load_chunk(chunk);
                squares = isa.mul_add(value, value, squares);
            }
            *inverse = 1.0 / isa.reduce_add(squares).sqrt().max(self.least);
            let factor = isa.splat(*inverse);
            for chunk in row.chunks_mut(I::LEN) {
                isa.store_chunk(chunk, isa.mul(isa.load_chunk(chunk), factor));
            }
        }
    }
}

/// The way back through [`normalize_rows`], in place: `gradient ← (gradient - row (row · gradient)) · inverse`, where
/// `rows` are the divided ones.
pub(super) fn normalize_rows_backward(
    kernels: Kernels,
    rows: &[f32],
    inverses: &[f32],
    least: f32,
    gradient: &mut [f32],
) {
    assert_eq!(rows.len(), gradient.len(), "rows and their gradient");
    kernels.dispatch(NormalizeRowsBackward { rows, inverses, least, gradient });
}

struct NormalizeRowsBackward<'a> {
    rows: &'a [f32],
    inverses: &'a [f32],
    least: f32,
    gradient: &'a mut [f32],
}

impl Kernel for NormalizeRowsBackward<'_> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) {
        let width = self.rows.len() / self.inverses.len().max(1);
        let rows = self.rows.chunks_exact(width).zip(self.gradient.chunks_exact_mut(width)).zip(self.inverses);
        for ((row, gradient), &inverse) in rows {
            let mut along = isa.zero();
            for (value, slope) in row.chunks(I::LEN).zip(gradient.chunks(I::LEN)) {
                along = isa.mul_add(isa.load_chunk(value), isa.load_chunk(slope), along);
            }
            // A row shorter than the bound was divided by a constant.
            let along = if inverse * self.least < 1.0 { isa.reduce_add(along) } else { 0.0 };
            let (along, inverse) = (isa.splat(along), isa.splat(inverse));
            for (value, slope) in row.chunks(I::LEN).zip(gradient.chunks_mut(I::LEN)) {
                let result = isa.neg_mul_add(isa.load_chunk(value), along, isa.load_chunk(slope));
                isa.store_chunk(slope, isa.mul(result, inverse));
            }
        }
    }
}
