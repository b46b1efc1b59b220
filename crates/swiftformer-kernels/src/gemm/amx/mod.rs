//! Matrix products on AMX tiles.
//!
//! The tile unit multiplies bfloat16 and sums in `f32`. For `f32` results every number is taken as the sum of three
//! bfloat16, of whose nine products the six largest are summed; what is left out is below a rounding error of `f32`.
//! (An infinite number becomes NaN, since its rest is.) In bfloat16 there is one product.
//!
//! All rows of a call are brought into the tiles' order first ([`pack`]). Then strip after strip of output channels meets
//! block after block of rows ([`block`]). While the tile unit works on a block, the vector unit finishes the block before
//! it ([`finish`]): both kinds of instruction alternate in the program, step by step.

mod block;
mod finish;
mod pack;

use self::block::{Operands, Shape, Tiles};
use self::finish::{Finish, Hidden, Store};
use self::pack::{Depth, GROUP, Splitter, Strip};
use super::view::{InputView, OutputView};
use crate::Precision;
use crate::activation::Activation;
use crate::isa::{Isa, amx::Amx};
use crate::pointwise::Epilogue;

pub(crate) use self::pack::TileMatrix;

/// Most rows of a call: what a block of tokens and its hidden activations may take of the second-level cache.
pub(crate) const BLOCK_ROWS: usize = 256;

/// Hidden channels, in groups, that the two layers of an MLP work on at a time.
const HIDDEN_GROUPS: usize = 16;

/// Floats of slack to start at a cache line.
const ALIGNMENT: usize = 16;

/// How rows are cut into tiles of equal height.
#[derive(Clone, Copy)]
struct RowTiles {
    rows: usize,
    /// An even number.
    tiles: usize,
    height: usize,
}

impl RowTiles {
    fn new(rows: usize) -> Self {
        let tiles = 2 * rows.div_ceil(32).max(1);
        Self { rows, tiles, height: rows.div_ceil(tiles).max(1) }
    }

    /// Rows, counting those that only fill up the last tiles.
    fn padded(self) -> usize {
        self.tiles * self.height
    }
}

/// Floats that hold `rows` rows of a matrix's inputs in the tiles' order.
fn planes_len(depth: Depth, rows: usize) -> usize {
    RowTiles::new(rows).padded() * depth.row_len() / 2
}

impl TileMatrix {
    /// Floats of scratch for a product with `rows` rows.
    pub(crate) fn scratch_len(&self, rows: usize) -> usize {
        planes_len(self.depth, rows) + ALIGNMENT
    }
}

/// Floats of scratch for [`mlp`] on `rows` rows.
pub(crate) fn mlp_scratch_len(first: &TileMatrix, second: &TileMatrix, rows: usize) -> usize {
    let hidden = Depth { groups: second.depth.groups.min(HIDDEN_GROUPS), ..second.depth };
    planes_len(first.depth, rows) + planes_len(hidden, rows) + ALIGNMENT
}

/// Rows in the tiles' order.
#[derive(Clone, Copy)]
struct Planes {
    data: *mut u16,
    row_len: usize,
    tiles: RowTiles,
}

impl Planes {
    #[inline(always)]
    fn row(self, row: usize) -> *mut u16 {
        self.data.wrapping_add(row * self.row_len)
    }
}

/// Scratch from which planes are cut.
struct Scratch<'a>(&'a mut [f32]);

impl<'a> Scratch<'a> {
    fn new(scratch: &'a mut [f32]) -> Self {
        let offset = scratch.as_ptr().align_offset(64).min(scratch.len());
        Self(&mut scratch[offset..])
    }

    fn planes(&mut self, depth: Depth, tiles: RowTiles) -> Planes {
        let row_len = depth.row_len();
        let (planes, rest) = std::mem::take(&mut self.0).split_at_mut(tiles.padded() * row_len / 2);
        self.0 = rest;
        Planes { data: planes.as_mut_ptr().cast(), row_len, tiles }
    }
}

/// `output = activation(input · weightᵀ + bias [+ output])`
///
/// # Safety
/// `input` and `output` lie within their data and fit `matrix` (`columns` output channels).
#[inline(always)]
pub(crate) unsafe fn multiply(
    amx: Amx,
    matrix: &TileMatrix,
    input: InputView<'_>,
    output: OutputView<'_>,
    columns: usize,
    epilogue: Epilogue,
    scratch: &mut [f32],
) {
    let tiles = RowTiles::new(input.groups * input.rows);
    let planes = Scratch::new(scratch).planes(matrix.depth, tiles);
    let activation = epilogue.activation;
    let store = Store { output: output.data.as_mut_ptr(), stride: output.row_stride, columns, activation };
    let product = Product { matrix, planes, steps: 0..matrix.depth.steps(), strips: 0..matrix.strips() };
    // SAFETY: the token proves the instructions; the views are checked by the caller, and the planes have the matrix's
    // depth for all rows of tiles.
    unsafe {
        split_rows(amx, matrix.depth, input, planes);
        let _open = Tiles::open(tiles.height);
        if epilogue.accumulate {
            product.run_activated::<_, true>(amx, activation, store);
        } else {
            product.run_activated::<_, false>(amx, activation, store);
        }
    }
}

/// `output = second(activation(first(input))) [+ output]`, the hidden layer in pieces that stay in cache. `input` may be
/// what `output` points to: it is read before anything is written.
///
/// # Safety
/// `input` and `output` lie within their data and fit the matrices, `columns` output channels of the second.
#[inline(always)]
pub(crate) unsafe fn mlp(
    amx: Amx,
    [first, second]: [&TileMatrix; 2],
    activation: Activation,
    input: InputView<'_>,
    (output, stride, columns): (*mut f32, usize, usize),
    accumulate: bool,
    scratch: &mut [f32],
) {
    let tiles = RowTiles::new(input.rows);
    let mut scratch = Scratch::new(scratch);
    let planes = scratch.planes(first.depth, tiles);
    // As even as they go. This must not depend on the rows, for it decides the order of summation.
    let all = first.strips();
    let pieces = all.div_ceil(HIDDEN_GROUPS).max(1);
    let hidden_depth = Depth { groups: second.depth.groups.min(HIDDEN_GROUPS), ..second.depth };
    let hidden = scratch.planes(hidden_depth, tiles);
    let store = Store { output, stride, columns, activation: Activation::Identity };
    // SAFETY: as for `multiply`; a strip of hidden channels is a group of the second matrix's inputs.
    unsafe {
        split_rows(amx, first.depth, input, planes);
        let _open = Tiles::open(tiles.height);
        let mut start = 0;
        for piece in 0..pieces {
            let count = all / pieces + usize::from(piece < all % pieces);
            let strips = start..start + count;
            let splitter = Splitter::new();
            let to_hidden = Hidden { planes: hidden, depth: second.depth, first: start, splitter, activation };
            Product { matrix: first, planes, steps: 0..first.depth.steps(), strips: strips.clone() }
                .run_activated::<_, false>(amx, activation, to_hidden);
            let product = Product { matrix: second, planes: hidden, steps: strips, strips: 0..second.strips() };
            if accumulate || piece > 0 {
                product.run::<_, { finish::IDENTITY }, true>(amx, store);
            } else {
                product.run::<_, { finish::IDENTITY }, false>(amx, store);
            }
            start += count;
        }
    }
}

/// Brings rows into the tiles' order.
///
/// # Safety
/// The view lies within its data, and `planes` has room for its rows at `depth`.
#[inline(always)]
unsafe fn split_rows(amx: Amx, depth: Depth, input: InputView<'_>, planes: Planes) {
    // SAFETY: the token proves AVX-512.
    let splitter = unsafe { Splitter::new() };
    let inputs = input.segments * input.segment_len;
    let mut target = planes.data;
    for group in 0..input.groups {
        for row in 0..input.rows {
            let start = input.data.as_ptr().wrapping_add(group * input.group_stride + row * input.row_stride);
            let mut reader = Reader { start, segment_len: input.segment_len, stride: input.segment_stride, at: 0 };
            let mut target_group = target;
            let mut left = inputs;
            for _ in 0..depth.groups {
                // SAFETY: the row has `left` floats more; the target has `groups` groups.
                unsafe {
                    let first = reader.next(amx, left.min(16));
                    let second = reader.next(amx, left.saturating_sub(16).min(16));
                    match depth.precision {
                        Precision::F32 => splitter.write_split(target_group, first, second),
                        Precision::Bf16 => splitter.write_bf16(target_group, first, second),
                    }
                }
                target_group = target_group.wrapping_add(depth.group_len());
                left = left.saturating_sub(GROUP);
            }
            if depth.tail {
                // SAFETY: as above; a tail follows the groups.
                unsafe { splitter.write_tail(target_group, reader.next(amx, left)) };
            }
            target = target.wrapping_add(planes.row_len);
        }
    }
}

/// Reads the floats of a row that lies in segments.
struct Reader {
    /// The segment's start.
    start: *const f32,
    segment_len: usize,
    stride: usize,
    /// Floats of the segment already read.
    at: usize,
}

impl Reader {
    /// The next `count` floats, the other lanes zero.
    ///
    /// # Safety
    /// The row has `count` floats more, 16 at most.
    #[inline(always)]
    unsafe fn next(&mut self, amx: Amx, count: usize) -> <Amx as Isa>::F32 {
        use core::arch::x86_64::*;
        // SAFETY: masked lanes are not read; the caller vouches for the others.
        unsafe {
            if self.at + 16 <= self.segment_len && count == 16 {
                let values = amx.load(self.start.wrapping_add(self.at));
                self.at += 16;
                return values;
            }
            let mut values = amx.zero();
            let mut lane = 0;
            while lane < count {
                if self.at == self.segment_len {
                    self.start = self.start.wrapping_add(self.stride);
                    self.at = 0;
                }
                let run = (count - lane).min(self.segment_len - self.at);
                let mask = (((1u32 << run) - 1) << lane) as __mmask16;
                values = _mm512_mask_loadu_ps(values, mask, self.start.wrapping_add(self.at).wrapping_sub(lane));
                self.at += run;
                lane += run;
            }
            values
        }
    }
}

/// A product of rows in the tiles' order with some strips of a matrix.
struct Product<'a> {
    matrix: &'a TileMatrix,
    planes: Planes,
    /// The matrix's groups of inputs (its tail is the last) that lie in `planes`.
    steps: std::ops::Range<usize>,
    strips: std::ops::Range<usize>,
}

/// Sums that wait for the vector unit.
#[derive(Clone, Copy)]
struct Pending {
    strip: Strip,
    /// First row.
    row: usize,
    /// Rows that are not filling, and how many of them are finished.
    rows: usize,
    done: usize,
    /// Which of the two buffers.
    buffer: usize,
}

/// Two buffers of sums, one being finished while the next block is on its way.
#[repr(C, align(64))]
struct Buffers([[f32; 1024]; 2]);

impl Product<'_> {
    /// [`Product::run`] with the activation made a constant.
    ///
    /// # Safety
    /// As for `run`.
    #[inline(always)]
    unsafe fn run_activated<F: Finish, const ACCUMULATE: bool>(&self, amx: Amx, activation: Activation, finish: F) {
        // SAFETY: as the caller promises.
        unsafe {
            match activation {
                Activation::Identity => self.run::<F, { finish::IDENTITY }, ACCUMULATE>(amx, finish),
                Activation::Gelu => self.run::<F, { finish::GELU }, ACCUMULATE>(amx, finish),
                Activation::Relu => self.run::<F, { finish::RELU }, ACCUMULATE>(amx, finish),
                _ => self.run::<F, { finish::OTHER }, ACCUMULATE>(amx, finish),
            }
        }
    }

    /// # Safety
    /// Tiles of the planes' height are open, the planes hold all rows of the steps, and `finish` takes all rows of the
    /// strips.
    #[inline(always)]
    unsafe fn run<F: Finish, const ACTIVATION: u8, const ACCUMULATE: bool>(&self, amx: Amx, finish: F) {
        let mut buffers = Buffers([[0.0; 1024]; 2]);
        let mut pending: Option<Pending> = None;
        let tiles = self.planes.tiles;
        let mut parity = 0;
        for strip in self.strips.clone() {
            let strip = self.matrix.strip(strip);
            let mut tile = 0;
            while tile < tiles.tiles {
                let shape = match strip.tiles {
                    2 => Shape::Pair,
                    _ if tile + 4 <= tiles.tiles => Shape::Quad,
                    _ => Shape::Duo,
                };
                let row = tile * tiles.height;
                // SAFETY: the caller vouches for the planes; the block's sums fit a buffer.
                unsafe {
                    match shape {
                        Shape::Pair => {
                            self.block::<F, ACTIVATION, ACCUMULATE, 0>(amx, strip, row, finish, &mut pending, &buffers)
                        }
                        Shape::Quad => {
                            self.block::<F, ACTIVATION, ACCUMULATE, 1>(amx, strip, row, finish, &mut pending, &buffers)
                        }
                        Shape::Duo => {
                            self.block::<F, ACTIVATION, ACCUMULATE, 2>(amx, strip, row, finish, &mut pending, &buffers)
                        }
                    }
                    block::finish(shape, buffers.0[parity].as_mut_ptr(), tiles.height);
                }
                let rows = (shape.row_tiles() * tiles.height).min(tiles.rows.saturating_sub(row));
                pending = Some(Pending { strip, row, rows, done: 0, buffer: parity });
                parity ^= 1;
                tile += shape.row_tiles();
            }
        }
        if let Some(mut pending) = pending {
            // SAFETY: as above.
            unsafe { pending.finish::<F, ACTIVATION, ACCUMULATE>(amx, finish, usize::MAX, &buffers) };
        }
    }

    /// The sums of one block, in registers, and meanwhile the finish of the pending block.
    ///
    /// # Safety
    /// As for `run`.
    #[inline(always)]
    unsafe fn block<F: Finish, const ACTIVATION: u8, const ACCUMULATE: bool, const SHAPE: u8>(
        &self,
        amx: Amx,
        strip: Strip,
        row: usize,
        finish: F,
        pending: &mut Option<Pending>,
        buffers: &Buffers,
    ) {
        static NO_BIAS: [f32; 32] = [0.0; 32];
        let shape = [Shape::Pair, Shape::Quad, Shape::Duo][usize::from(SHAPE)];
        let depth = self.matrix.depth;
        let bias = if self.steps.start == 0 { self.matrix.strip_bias(strip) } else { NO_BIAS.as_ptr() };
        let mut operands = Operands {
            input: self.planes.row(row).cast_const().cast(),
            row_bytes: 2 * self.planes.row_len,
            tile_bytes: 2 * self.planes.row_len * self.planes.tiles.height,
            weight: self.matrix.strip_weight(strip, self.steps.start),
        };
        let weight_step = strip.tiles * depth.group_len() / GROUP * pack::TILE_BYTES;
        let steps = self.steps.len();
        let share = pending.map_or(0, |pending| pending.rows.div_ceil(steps.max(1)));
        // SAFETY: the caller vouches for tiles, planes and weights.
        unsafe {
            block::start(shape, bias);
            for step in self.steps.clone() {
                match depth.precision {
                    Precision::F32 if step == depth.groups => block::split_tail(shape, operands),
                    Precision::F32 => block::split_group(shape, operands),
                    Precision::Bf16 => block::bf16_group(shape, operands),
                }
                operands.input = operands.input.wrapping_add(2 * depth.group_len());
                operands.weight = operands.weight.wrapping_add(weight_step);
                if let Some(pending) = pending {
                    pending.finish::<F, ACTIVATION, ACCUMULATE>(amx, finish, share, buffers);
                }
            }
            if let Some(pending) = pending {
                pending.finish::<F, ACTIVATION, ACCUMULATE>(amx, finish, usize::MAX, buffers);
            }
        }
    }
}

impl Pending {
    /// Finishes up to `count` rows more.
    ///
    /// # Safety
    /// The buffer holds this block's sums, and `finish` takes its rows.
    #[inline(always)]
    unsafe fn finish<F: Finish, const ACTIVATION: u8, const ACCUMULATE: bool>(
        &mut self,
        amx: Amx,
        finish: F,
        count: usize,
        buffers: &Buffers,
    ) {
        let end = self.rows.min(self.done.saturating_add(count));
        let sums = buffers.0[self.buffer].as_ptr();
        // SAFETY: the caller vouches for the rows.
        unsafe {
            if self.strip.tiles == 2 {
                let ready = finish.strip::<2>(self.strip);
                for row in self.done..end {
                    finish.row::<2, ACTIVATION, ACCUMULATE>(amx, ready, self.row + row, sums.add(row * 32));
                }
            } else {
                let ready = finish.strip::<1>(self.strip);
                for row in self.done..end {
                    finish.row::<1, ACTIVATION, ACCUMULATE>(amx, ready, self.row + row, sums.add(row * 16));
                }
            }
        }
        self.done = end;
    }
}
