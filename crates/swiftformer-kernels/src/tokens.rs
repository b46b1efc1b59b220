//! Light kernels over tokens: mean, softmax, per-channel scales.

use crate::activation::{Activation, activate_rows};
use crate::isa::Isa;
use crate::kernels::{Kernel, Kernels};
use crate::math;
use crate::rows::{Rows, RowsMut};

impl Kernels {
    /// The mean over all rows, `[channels]` with `channels = mean.len()`; zeros if there are no rows. The order of
    /// summation is fixed: short runs in `f32`, their sums in `f64`.
    ///
    /// # Panics
    /// When `input` is too short.
    pub fn mean_rows(self, input: Rows<'_>, mean: &mut [f32]) {
        input.check(mean.len(), "input of a mean");
        self.dispatch(MeanRows { input, mean });
    }

    /// Softmax in place. Entries 87 and more below the largest become 1e-38 or less; an infinite largest entry or a
    /// NaN makes all NaN.
    pub fn softmax(self, values: &mut [f32]) {
        self.dispatch(Softmax { values });
    }

    /// `output[i] += input[i]`
    ///
    /// # Panics
    /// When the lengths differ.
    pub fn add(self, input: &[f32], output: &mut [f32]) {
        assert_eq!(input.len(), output.len(), "what is added, and to what");
        self.dispatch(Add { input, output });
    }

    /// `output[r][c] = activation(scale[c] · input[r][c] + shift[c])`: a batch normalisation that could not be folded
    /// into a neighbour.
    ///
    /// # Panics
    /// When `scale` and `shift` differ in length, the views in their number of rows, or a view is too short.
    pub fn affine(self, scale: &[f32], shift: &[f32], activation: Activation, input: Rows<'_>, output: RowsMut<'_>) {
        assert_eq!(scale.len(), shift.len(), "channels of scale and shift");
        check_pair(input, &output, scale.len());
        self.dispatch(Affine { scale, shift, activation, input, output });
    }
}

fn check_pair(input: Rows<'_>, output: &RowsMut<'_>, width: usize) {
    assert_eq!(input.rows, output.rows, "rows of input and output");
    input.check(width, "input of a per-channel scale");
    output.check(width, "output of a per-channel scale");
}

struct MeanRows<'a> {
    input: Rows<'a>,
    mean: &'a mut [f32],
}

impl Kernel for MeanRows<'_> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) {
        /// Rows summed in `f32`.
        const RUN: usize = 32;
        let Self { input, mean } = self;
        for (index, mean) in mean.chunks_mut(I::LEN).enumerate() {
            let mut total = [0.0f64; 64];
            for start in (0..input.rows).step_by(RUN) {
                let mut sum = isa.zero();
                for row in start..input.rows.min(start + RUN) {
                    let at = row * input.stride + index * I::LEN;
                    sum = isa.add(sum, isa.load_chunk(&input.data[at..at + mean.len()]));
                }
                let mut lanes = [0.0f32; 64];
                isa.store_chunk(&mut lanes[..I::LEN], sum);
                for (total, lane) in total.iter_mut().zip(&lanes[..I::LEN]) {
                    *total += f64::from(*lane);
                }
            }
            let count = input.rows.max(1) as f64;
            for (mean, total) in mean.iter_mut().zip(total) {
                *mean = (total / count) as f32;
            }
        }
    }
}

struct Softmax<'a> {
    values: &'a mut [f32],
}

impl Kernel for Softmax<'_> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) {
        let mut largest = f32::NEG_INFINITY;
        let mut chunks = self.values.chunks_exact(I::LEN);
        for chunk in &mut chunks {
            largest = largest.max(isa.reduce_max(isa.load_chunk(chunk)));
        }
        for &value in chunks.remainder() {
            largest = largest.max(value);
        }
        let largest = isa.splat(largest);
        let mut sum = 0.0f64;
        for chunk in self.values.chunks_mut(I::LEN) {
            let value = math::exp(isa, isa.sub(isa.load_chunk(chunk), largest));
            isa.store_chunk(chunk, value);
            // The lanes beyond the end hold no entries, so a short chunk is summed as it was stored.
            sum += f64::from(isa.reduce_add(isa.load_chunk(chunk)));
        }
        let scale = isa.splat((1.0 / sum) as f32);
        for chunk in self.values.chunks_mut(I::LEN) {
            let value = isa.mul(isa.load_chunk(chunk), scale);
            isa.store_chunk(chunk, value);
        }
    }
}

struct Add<'a> {
    input: &'a [f32],
    output: &'a mut [f32],
}

impl Kernel for Add<'_> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) {
        for (target, value) in self.output.chunks_mut(I::LEN).zip(self.input.chunks(I::LEN)) {
            isa.store_chunk(target, isa.add(isa.load_chunk(target), isa.load_chunk(value)));
        }
    }
}

struct Affine<'a> {
    scale: &'a [f32],
    shift: &'a [f32],
    activation: Activation,
    input: Rows<'a>,
    output: RowsMut<'a>,
}

impl Kernel for Affine<'_> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) {
        let Self { scale, shift, activation, input, mut output } = self;
        let width = scale.len();
        for row in 0..input.rows {
            let factors = scale.chunks(I::LEN).zip(shift.chunks(I::LEN));
            let values = input.row(row, width).chunks(I::LEN).zip(factors);
            for (target, (value, (scale, shift))) in output.row(row, width).chunks_mut(I::LEN).zip(values) {
                let sum = isa.mul_add(isa.load_chunk(value), isa.load_chunk(scale), isa.load_chunk(shift));
                isa.store_chunk(target, sum);
            }
        }
        // SAFETY: the public entry checked that all rows of `width` floats exist.
        unsafe { activate_rows(isa, activation, output.data.as_mut_ptr(), [output.rows, width, output.stride]) };
    }
}
