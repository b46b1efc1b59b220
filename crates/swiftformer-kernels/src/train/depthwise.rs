//! Depthwise 3×3 convolutions of stride 1 on one image, and the gradients of their weights.

use std::ops::Range;

use crate::isa::Isa;
use crate::kernels::Kernel;

/// Rows beyond the image.
static ZEROS: [f32; 64] = [0.0; 64];

/// PyTorch's `[channels, 1, 3, 3]` as `[9, channels]`; turned around for the way back.
pub(super) fn taps(weight: &[f32], channels: usize, turned: bool) -> Vec<f32> {
    let mut taps = vec![0.0; 9 * channels];
    for (channel, kernel) in weight.chunks_exact(9).enumerate() {
        for (tap, &value) in kernel.iter().enumerate() {
            taps[if turned { 8 - tap } else { tap } * channels + channel] = value;
        }
    }
    taps
}

/// Rows `y - 1` to `y + 1` of an image `[height, width, channels]`, from channel `column` on: where each starts, and how far
/// it is from one pixel to the next. Those beyond the image are zeros.
#[inline(always)]
fn rows_around(
    input: &[f32],
    [height, width]: [usize; 2],
    channels: usize,
    [y, column]: [usize; 2],
) -> [(*const f32, usize); 3] {
    let row = |y: Option<usize>| match y.filter(|&y| y < height) {
        Some(y) => (input[y * width * channels + column..].as_ptr(), channels),
        None => (ZEROS.as_ptr(), 0),
    };
    [row(y.checked_sub(1)), row(Some(y)), row(Some(y + 1))]
}

/// `output = taps ∗ input (+ bias) (+ add)` for an image `[height, width, channels]`.
pub(super) struct Depthwise<'a> {
    pub(super) size: [usize; 2],
    pub(super) channels: usize,
    pub(super) taps: &'a [f32],
    pub(super) bias: Option<&'a [f32]>,
    pub(super) input: &'a [f32],
    pub(super) add: Option<&'a [f32]>,
    pub(super) output: &'a mut [f32],
}

/// Pixels of a row that are worked on at once: neighbours share what they read.
const TOGETHER: usize = 4;

/// Floats of an image whose rows are passed over once for each vector of channels: they stay in the second-level cache.
const BAND: usize = 24 << 10;

/// Calls `visit` with each vector of channels of each band of an image's rows: the first row and the one behind the last,
/// and the channels.
#[inline(always)]
fn bands<I: Isa>([height, width]: [usize; 2], channels: usize, mut visit: impl FnMut([usize; 2], Range<usize>)) {
    let rows = (BAND / (width * channels).max(1)).max(1);
    for first in (0..height).step_by(rows) {
        let last = (first + rows).min(height);
        for column in (0..channels).step_by(I::LEN) {
            visit([first, last], column..column + I::LEN.min(channels - column));
        }
    }
}

/// Reads `lanes` floats, all of a vector where it is `WHOLE`.
///
/// # Safety
/// As for [`Isa::load_first`]; where it is `WHOLE`, `lanes` is `LEN`.
#[inline(always)]
unsafe fn load<I: Isa, const WHOLE: bool>(isa: I, source: *const f32, lanes: usize) -> I::F32 {
    // SAFETY: as the caller promises.
    unsafe { if WHOLE { isa.load(source) } else { isa.load_first(source, lanes) } }
}

/// [`TOGETHER`] pixels of a row from `source` on, `stride` apart, with one more on each side.
///
/// # Safety
/// As for [`load`], for each pixel.
#[inline(always)]
unsafe fn pixels<I: Isa, const WHOLE: bool>(
    isa: I,
    source: *const f32,
    stride: usize,
    lanes: usize,
) -> [I::F32; TOGETHER + 2] {
    let mut values = [isa.zero(); TOGETHER + 2];
    for (pixel, value) in values.iter_mut().enumerate() {
        // SAFETY: as the caller promises.
        *value = unsafe { load::<I, WHOLE>(isa, source.wrapping_add(pixel * stride), lanes) };
    }
    values
}

/// Channels `part` of nine rows of `channels`. A loop, since the closure of `array::from_fn` is not always inlined and then
/// lacks the instruction set.
#[inline(always)]
fn of_taps<I: Isa>(isa: I, rows: &[f32], channels: usize, part: Range<usize>) -> [I::F32; 9] {
    let mut values = [isa.zero(); 9];
    for (value, row) in values.iter_mut().zip(rows.chunks_exact(channels)) {
        *value = isa.load_chunk(&row[part.clone()]);
    }
    values
}

/// Those of a pixel's three neighbours in a row of `width` that exist.
#[inline(always)]
fn neighbours(x: usize, width: usize) -> Range<usize> {
    usize::from(x == 0)..if x + 1 == width { 2 } else { 3 }
}

impl Kernel for Depthwise<'_> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(mut self, isa: I) {
        let &mut Self { size: [height, width], channels, taps, bias, input, add, ref output } = &mut self;
        let len = height * width * channels;
        assert!(input.len() == len && output.len() == len && taps.len() == 9 * channels, "a depthwise convolution");
        assert!(add.is_none_or(|add| add.len() == len) && bias.is_none_or(|bias| bias.len() == channels), "its parts");
        bands::<I>([height, width], channels, |[first, last], part| {
            let weights = of_taps(isa, taps, channels, part.clone());
            let bias = bias.map_or(isa.zero(), |bias| isa.load_chunk(&bias[part.clone()]));
            for y in first..last {
                match part.len() == I::LEN {
                    true => self.row::<I, true>(isa, y, part.clone(), &weights, bias),
                    false => self.row::<I, false>(isa, y, part.clone(), &weights, bias),
                }
            }
        });
    }
}

impl Depthwise<'_> {
    /// Channels `part` of row `y`, whose lengths were checked.
    #[inline(always)]
    fn row<I: Isa, const WHOLE: bool>(
        &mut self,
        isa: I,
        y: usize,
        part: Range<usize>,
        weights: &[I::F32; 9],
        bias: I::F32,
    ) {
        let &mut Self { size: [height, width], channels, input, add, ref mut output, .. } = self;
        let (column, lanes) = (part.start, part.len());
        let rows = rows_around(input, [height, width], channels, [y, column]);
        let mut x = 0;
        while x < width {
            let at = (y * width + x) * channels + column;
            if x > 0 && x + TOGETHER < width {
                let mut sums = [bias; TOGETHER];
                if let Some(add) = add {
                    for (pixel, sum) in sums.iter_mut().enumerate() {
                        let at = at + pixel * channels;
                        *sum = isa.add(*sum, isa.load_chunk(&add[at..at + lanes]));
                    }
                }
                for (index, &(start, stride)) in rows.iter().enumerate() {
                    // SAFETY: pixels `x - 1` to `x + TOGETHER` lie in the row, and `lanes` of their channels; the row of
                    // zeros is read at its start, and longer than a vector.
                    let values =
                        unsafe { pixels::<I, WHOLE>(isa, start.wrapping_add((x - 1) * stride), stride, lanes) };
                    for (pixel, sum) in sums.iter_mut().enumerate() {
                        for tap in 0..3 {
                            *sum = isa.mul_add(values[pixel + tap], weights[3 * index + tap], *sum);
                        }
                    }
                }
                for (pixel, &sum) in sums.iter().enumerate() {
                    let at = at + pixel * channels;
                    isa.store_chunk(&mut output[at..at + lanes], sum);
                }
                x += TOGETHER;
                continue;
            }
            let mut sum = bias;
            if let Some(add) = add {
                sum = isa.add(sum, isa.load_chunk(&add[at..at + lanes]));
            }
            for (index, &(start, stride)) in rows.iter().enumerate() {
                for tap in neighbours(x, width) {
                    // SAFETY: pixel `x + tap - 1` lies in the row, and `lanes` of its channels; the row of zeros is read at
                    // its start.
                    let value = unsafe { load::<I, WHOLE>(isa, start.wrapping_add((x + tap - 1) * stride), lanes) };
                    sum = isa.mul_add(value, weights[3 * index + tap], sum);
                }
            }
            isa.store_chunk(&mut output[at..at + lanes], sum);
            x += 1;
        }
    }
}

/// Adds the gradients of the taps, `[9, channels]`, for one image.
pub(super) struct DepthwiseWeights<'a> {
    pub(super) size: [usize; 2],
    pub(super) channels: usize,
    pub(super) input: &'a [f32],
    pub(super) gradient: &'a [f32],
    pub(super) sums: &'a mut [f32],
}

impl Kernel for DepthwiseWeights<'_> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) {
        let Self { size: [height, width], channels, input, gradient, sums } = self;
        let len = height * width * channels;
        assert!(input.len() == len && gradient.len() == len && sums.len() == 9 * channels, "weights of a depthwise");
        bands::<I>([height, width], channels, |[first, last], part| {
            let mut totals = of_taps(isa, sums, channels, part.clone());
            for y in first..last {
                let rows = rows_around(input, [height, width], channels, [y, part.start]);
                let slopes = &gradient[y * width * channels + part.start..];
                match part.len() == I::LEN {
                    true => add_row::<I, true>(isa, rows, slopes, [width, channels, part.len()], &mut totals),
                    false => add_row::<I, false>(isa, rows, slopes, [width, channels, part.len()], &mut totals),
                }
            }
            for (tap, &total) in totals.iter().enumerate() {
                isa.store_chunk(&mut sums[tap * channels..][..channels][part.clone()], total);
            }
        });
    }
}

/// Adds what a row of `width` pixels' gradients (of which `lanes` channels count) and the three rows of inputs around it
/// give to the taps' gradients.
#[inline(always)]
fn add_row<I: Isa, const WHOLE: bool>(
    isa: I,
    rows: [(*const f32, usize); 3],
    slopes: &[f32],
    [width, channels, lanes]: [usize; 3],
    totals: &mut [I::F32; 9],
) {
    let mut x = 0;
    while x < width {
        if x > 0 && x + TOGETHER < width {
            let mut together = [isa.zero(); TOGETHER];
            for (pixel, slope) in together.iter_mut().enumerate() {
                let at = (x + pixel) * channels;
                *slope = isa.load_chunk(&slopes[at..at + lanes]);
            }
            for (index, &(start, stride)) in rows.iter().enumerate() {
                // SAFETY: as for the convolution.
                let values = unsafe { pixels::<I, WHOLE>(isa, start.wrapping_add((x - 1) * stride), stride, lanes) };
                for (pixel, &slope) in together.iter().enumerate() {
                    for tap in 0..3 {
                        let total = &mut totals[3 * index + tap];
                        *total = isa.mul_add(values[pixel + tap], slope, *total);
                    }
                }
            }
            x += TOGETHER;
            continue;
        }
        let slope = isa.load_chunk(&slopes[x * channels..x * channels + lanes]);
        for (index, &(start, stride)) in rows.iter().enumerate() {
            for tap in neighbours(x, width) {
                // SAFETY: as for the convolution.
                let value = unsafe { load::<I, WHOLE>(isa, start.wrapping_add((x + tap - 1) * stride), lanes) };
                totals[3 * index + tap] = isa.mul_add(value, slope, totals[3 * index + tap]);
            }
        }
        x += 1;
    }
}
