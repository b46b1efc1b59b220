//! Depthwise 3×3 convolution, stride 1, zero padding 1.

use std::ops::Range;

use crate::buffer::AlignedBuffer;
use crate::isa::Isa;
use crate::kernels::{Kernel, Kernels};
use crate::unroll::unroll;

/// The shape of an NHWC image (or feature map) of batch 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ImageShape {
    /// Rows of pixels.
    pub height: usize,
    /// Pixels in a row.
    pub width: usize,
    /// Values of a pixel.
    pub channels: usize,
}

impl ImageShape {
    /// Floats in the image.
    ///
    /// # Panics
    /// When the product overflows.
    pub fn len(&self) -> usize {
        let pixels = self.height.checked_mul(self.width);
        pixels.and_then(|pixels| pixels.checked_mul(self.channels)).expect("an image that fits memory")
    }

    /// Whether the image has no values.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Weights and bias of a depthwise 3×3 convolution, in the order `[3, 3, channels]`.
#[derive(Clone, Debug)]
pub struct Depthwise3x3 {
    channels: usize,
    /// Nine rows of `channels` weights, then one of biases.
    data: AlignedBuffer,
}

impl Depthwise3x3 {
    /// Packs `weight`, `[channels, 3, 3]` row-major, and `bias`, `[channels]` (zeros if there is none).
    ///
    /// # Panics
    /// When a slice's length does not fit.
    pub fn pack(weight: &[f32], bias: Option<&[f32]>, channels: usize) -> Self {
        assert_eq!(weight.len(), channels * 9, "weight of [{channels}, 3, 3]");
        let mut data = AlignedBuffer::zeros(channels * 10);
        for channel in 0..channels {
            for tap in 0..9 {
                data[tap * channels + channel] = weight[channel * 9 + tap];
            }
        }
        if let Some(bias) = bias {
            assert_eq!(bias.len(), channels, "bias of [{channels}]");
            data[9 * channels..].copy_from_slice(bias);
        }
        Self { channels, data }
    }

    /// Channels of input and output.
    pub fn channels(&self) -> usize {
        self.channels
    }
}

impl Kernels {
    /// Pixels `pixels` of the convolution of `input`, an image of `shape`, counted row by row. `output` holds those pixels
    /// only, `[pixels.len(), channels]`.
    ///
    /// # Panics
    /// When `weights`, a slice's length or `pixels` do not fit `shape`.
    pub fn depthwise3x3(
        self,
        weights: &Depthwise3x3,
        input: &[f32],
        shape: ImageShape,
        pixels: Range<usize>,
        output: &mut [f32],
    ) {
        assert_eq!(weights.channels, shape.channels, "channels of a depthwise convolution");
        assert_eq!(input.len(), shape.len(), "input of {shape:?}");
        let all = shape.height * shape.width;
        assert!(pixels.start <= pixels.end && pixels.end <= all, "pixels {pixels:?} of {shape:?}");
        assert_eq!(output.len(), pixels.len() * shape.channels, "output pixels {pixels:?} of {shape:?}");
        if !output.is_empty() {
            self.dispatch(Depthwise { weights, input, shape, pixels, output });
        }
    }
}

struct Depthwise<'a> {
    weights: &'a Depthwise3x3,
    input: &'a [f32],
    shape: ImageShape,
    /// At least one.
    pixels: Range<usize>,
    output: &'a mut [f32],
}

/// Two rows of four outputs: 24 loads serve 72 multiply-adds, and eight sums, six weights and an input fit even 16
/// registers.
const TILE_HEIGHT: usize = 2;
const TILE_WIDTH: usize = 4;

impl Kernel for Depthwise<'_> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(mut self, isa: I) {
        let width = self.shape.width;
        let Range { start, end } = self.pixels.clone();
        // The rest of a row that has begun, whole rows, and the beginning of a row: one loop, so that the tiles are compiled
        // once.
        let mut at = start;
        while at < end {
            let (y, x) = (at / width, at % width);
            let whole_rows = if x == 0 { (end - at) / width } else { 0 };
            let columns = if whole_rows > 0 { width } else { (width - x).min(end - at) };
            // SAFETY: the window's pixels lie within `pixels`; the public entry checked all lengths.
            unsafe { self.window(isa, y..y + whole_rows.max(1), x..x + columns) };
            at += columns * whole_rows.max(1);
        }
    }
}

impl Depthwise<'_> {
    /// # Safety
    /// All pixels of these rows and columns lie within `pixels`.
    #[inline(always)]
    unsafe fn window<I: Isa>(&mut self, isa: I, rows: Range<usize>, columns: Range<usize>) {
        let ImageShape { height, width, channels } = self.shape;
        let row = width * channels;
        // Where the image's first pixel would be.
        let output = self.output.as_mut_ptr().wrapping_sub(self.pixels.start * channels);
        let mut y = rows.start;
        while y < rows.end {
            let tall = y + TILE_HEIGHT <= rows.end;
            let mut x = columns.start;
            while x < columns.end {
                let tile = Tile {
                    input: self.input.as_ptr(),
                    output: output.wrapping_add(y * row),
                    weights: self.weights.data.as_ptr(),
                    channels,
                    row,
                    y,
                    x,
                    height,
                    width,
                };
                let columns = TILE_WIDTH.min(columns.end - x);
                // SAFETY: the tile's outputs lie in the window.
                unsafe {
                    match (tall, columns) {
                        (true, 1) => tile.run::<I, 2, 1>(isa),
                        (true, 2) => tile.run::<I, 2, 2>(isa),
                        (true, 3) => tile.run::<I, 2, 3>(isa),
                        (true, _) => tile.run::<I, TILE_HEIGHT, TILE_WIDTH>(isa),
                        (false, 1) => tile.run::<I, 1, 1>(isa),
                        (false, 2) => tile.run::<I, 1, 2>(isa),
                        (false, 3) => tile.run::<I, 1, 3>(isa),
                        (false, _) => tile.run::<I, 1, TILE_WIDTH>(isa),
                    }
                }
                x += columns;
            }
            y += if tall { TILE_HEIGHT } else { 1 };
        }
    }
}

/// A tile of outputs over all channels.
struct Tile {
    input: *const f32,
    /// Where output row `y` starts, or would start.
    output: *mut f32,
    weights: *const f32,
    channels: usize,
    /// Floats in a row of the image.
    row: usize,
    y: usize,
    x: usize,
    height: usize,
    width: usize,
}

impl Tile {
    /// # Safety
    /// `H` rows of `W` outputs at `(y, x)` lie in the image, and so does the output for them.
    #[inline(always)]
    unsafe fn run<I: Isa, const H: usize, const W: usize>(&self, isa: I) {
        let mut channel = 0;
        while channel + I::LEN <= self.channels {
            // SAFETY: `LEN` channels are left.
            unsafe { self.vector::<I, H, W, false>(isa, channel, I::LEN) };
            channel += I::LEN;
        }
        if channel < self.channels {
            // SAFETY: `channels - channel` channels are left.
            unsafe { self.vector::<I, H, W, true>(isa, channel, self.channels - channel) };
        }
    }

    /// # Safety
    /// As for `run`, and `channel + count <= channels`; `count` is `LEN` unless `PARTIAL`.
    #[inline(always)]
    unsafe fn vector<I: Isa, const H: usize, const W: usize, const PARTIAL: bool>(
        &self,
        isa: I,
        channel: usize,
        count: usize,
    ) {
        let load = |at: *const f32| {
            // SAFETY: everywhere below, the pointer has `count` floats, and `count` is `LEN` unless `PARTIAL`.
            unsafe { if PARTIAL { isa.load_first(at, count) } else { isa.load(at) } }
        };
        let weight =
            |row: usize, column: usize| load(self.weights.wrapping_add((row * 3 + column) * self.channels + channel));

        let bias = load(self.weights.wrapping_add(9 * self.channels + channel));
        let mut sums = [[bias; W]; H];
        // Input row by input row; each loaded value goes to all outputs that see it.
        unroll!(row < H + 2, {
            let y = self.y + row;
            if y > 0 && y <= self.height {
                let start = self.input.wrapping_add((y - 1) * self.row + channel);
                let mut weights = [[isa.zero(); 3]; H];
                unroll!(line < H, {
                    let tap = row.wrapping_sub(line);
                    if tap < 3 {
                        weights[line] = [weight(tap, 0), weight(tap, 1), weight(tap, 2)];
                    }
                });
                unroll!(column < W + 2, {
                    let x = self.x + column;
                    // Only the outermost columns can lie outside of the image.
                    if (column > 0 || x > 0) && (column <= W || x <= self.width) {
                        let value = load(start.wrapping_add((x - 1) * self.channels));
                        unroll!(line < H, {
                            unroll!(output < W, {
                                // The tap that sees this column, if any.
                                let tap = weights[line].get(column.wrapping_sub(output));
                                if let (Some(&weight), true) = (tap, row.wrapping_sub(line) < 3) {
                                    sums[line][output] = isa.mul_add(value, weight, sums[line][output]);
                                }
                            });
                        });
                    }
                });
            }
        });
        unroll!(line < H, {
            unroll!(output < W, {
                let at = self.output.wrapping_add(line * self.row + (self.x + output) * self.channels + channel);
                let sum = sums[line][output];
                // SAFETY: the output has this pixel's `count` channels.
                unsafe { if PARTIAL { isa.store_first(at, sum, count) } else { isa.store(at, sum) } };
            });
        });
    }
}
