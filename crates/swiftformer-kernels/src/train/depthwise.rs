//! Depthwise 3×3 convolutions of stride 1 on one image, and the gradients of their weights.

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

impl Kernel for Depthwise<'_> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) {
        let Self { size: [height, width], channels, taps, bias, input, add, output } = self;
        let len = height * width * channels;
        assert!(input.len() == len && output.len() == len && taps.len() == 9 * channels, "a depthwise convolution");
        assert!(add.is_none_or(|add| add.len() == len) && bias.is_none_or(|bias| bias.len() == channels), "its parts");
        let mut column = 0;
        while column < channels {
            let lanes = I::LEN.min(channels - column);
            let part = column..column + lanes;
            let weights: [I::F32; 9] =
                std::array::from_fn(|tap| isa.load_chunk(&taps[tap * channels..][..channels][part.clone()]));
            let bias = bias.map_or(isa.zero(), |bias| isa.load_chunk(&bias[part.clone()]));
            for y in 0..height {
                let rows = rows_around(input, [height, width], channels, [y, column]);
                for x in 0..width {
                    let at = (y * width + x) * channels + column;
                    let mut sum = match add {
                        Some(add) => isa.add(bias, isa.load_chunk(&add[at..at + lanes])),
                        None => bias,
                    };
                    let taps = usize::from(x == 0)..if x + 1 == width { 2 } else { 3 };
                    if taps.len() == 3 && lanes == I::LEN {
                        for (index, &(start, stride)) in rows.iter().enumerate() {
                            // SAFETY: pixels `x - 1` to `x + 1` lie in the row, and a whole vector of their channels; the
                            // row of zeros is read at its start, and longer than a vector.
                            unsafe {
                                let at = start.wrapping_add((x - 1) * stride);
                                sum = isa.mul_add(isa.load(at), weights[3 * index], sum);
                                sum = isa.mul_add(isa.load(at.wrapping_add(stride)), weights[3 * index + 1], sum);
                                sum = isa.mul_add(isa.load(at.wrapping_add(2 * stride)), weights[3 * index + 2], sum);
                            }
                        }
                    } else {
                        for (index, &(start, stride)) in rows.iter().enumerate() {
                            for tap in taps.clone() {
                                // SAFETY: pixel `x + tap - 1` lies in the row, and `lanes` of its channels; the row of
                                // zeros is read at its start.
                                let value =
                                    unsafe { isa.load_first(start.wrapping_add((x + tap - 1) * stride), lanes) };
                                sum = isa.mul_add(value, weights[3 * index + tap], sum);
                            }
                        }
                    }
                    isa.store_chunk(&mut output[at..at + lanes], sum);
                }
            }
            column += lanes;
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
        let mut column = 0;
        while column < channels {
            let lanes = I::LEN.min(channels - column);
            let part = column..column + lanes;
            let mut totals: [I::F32; 9] =
                std::array::from_fn(|tap| isa.load_chunk(&sums[tap * channels..][..channels][part.clone()]));
            for y in 0..height {
                let rows = rows_around(input, [height, width], channels, [y, column]);
                for x in 0..width {
                    let at = (y * width + x) * channels + column;
                    let slope = isa.load_chunk(&gradient[at..at + lanes]);
                    if x > 0 && x + 1 < width && lanes == I::LEN {
                        for (index, &(start, stride)) in rows.iter().enumerate() {
                            // SAFETY: as for the convolution.
                            unsafe {
                                let at = start.wrapping_add((x - 1) * stride);
                                let total = &mut totals[3 * index..];
                                total[0] = isa.mul_add(isa.load(at), slope, total[0]);
                                total[1] = isa.mul_add(isa.load(at.wrapping_add(stride)), slope, total[1]);
                                total[2] = isa.mul_add(isa.load(at.wrapping_add(2 * stride)), slope, total[2]);
                            }
                        }
                    } else {
                        for (index, &(start, stride)) in rows.iter().enumerate() {
                            for tap in usize::from(x == 0)..if x + 1 == width { 2 } else { 3 } {
                                // SAFETY: as for the convolution.
                                let value =
                                    unsafe { isa.load_first(start.wrapping_add((x + tap - 1) * stride), lanes) };
                                totals[3 * index + tap] = isa.mul_add(value, slope, totals[3 * index + tap]);
                            }
                        }
                    }
                }
            }
            for (tap, &total) in totals.iter().enumerate() {
                isa.store_chunk(&mut sums[tap * channels..][..channels][part.clone()], total);
            }
            column += lanes;
        }
    }
}
