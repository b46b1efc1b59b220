//! Matrix products on AMX tiles.
//!
//! The tile unit multiplies bfloat16 and sums in `f32`. For `f32` results every number is taken as the sum of three
//! bfloat16, of whose nine products the six largest are summed; what is left out is below a rounding error of `f32`.
//! (An infinite number becomes NaN, since its rest is.) In bfloat16 there is one product.
//!
//! All rows of a call are brought into the tiles' order first ([`split`]). Then strip after strip of output channels meets
//! block after block of rows ([`block`]). While the tile unit works on a block, the vector unit finishes the block before
//! it ([`finish`]): both kinds of instruction alternate in the program, product by product, since the CPU looks only some
//! hundreds of instructions ahead.

mod block;
mod finish;
mod mlp;
mod pack;
mod split;

use std::ops::Range;

use self::block::{Operands, Shape, Tiles};
use self::finish::{Finish, Store};
use self::pack::{Depth, Strip};
use self::split::split_rows;
use super::ahead::Ahead;
use super::scratch::{ALIGNMENT, Scratch, floats};
use super::view::{InputView, OutputView};
use crate::Precision;
use crate::activation::Activation;
use crate::isa::amx::Amx;
use crate::pointwise::Epilogue;

pub(crate) use self::mlp::{MlpBlock, mlp_pieces, mlp_scratch_len, mlp_tiles};
pub(crate) use self::pack::TileMatrix;

/// Most rows of a call: what a block of tokens and its hidden activations may take of the second-level cache.
pub(crate) const BLOCK_ROWS: usize = 256;

/// No weights.
const NOTHING: Range<*const u8> = std::ptr::null()..std::ptr::null();

/// Rows that the vector unit finishes at a time, at least: fewer are not worth the call.
const FINISH_ROWS: usize = 4;

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
    floats(RowTiles::new(rows).padded() * depth.row_len())
}

impl TileMatrix {
    /// Floats of scratch for a product with `rows` rows.
    pub(crate) fn scratch_len(&self, rows: usize) -> usize {
        planes_len(self.depth, rows) + ALIGNMENT
    }
}

/// Rows in the tiles' order.
#[derive(Clone, Copy)]
struct Planes {
    data: *mut u16,
    row_len: usize,
    tiles: RowTiles,
}

impl Planes {
    /// Room for the rows of `tiles`.
    fn cut(scratch: &mut Scratch<'_>, depth: Depth, tiles: RowTiles) -> Self {
        let row_len = depth.row_len();
        Self { data: scratch.cut(tiles.padded() * row_len).as_mut_ptr(), row_len, tiles }
    }

    #[inline(always)]
    fn row(self, row: usize) -> *mut u16 {
        self.data.wrapping_add(row * self.row_len)
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
    let planes = Planes::cut(&mut Scratch::new(scratch), matrix.depth, tiles);
    let activation = epilogue.activation;
    let (residual, stride) = (output.residual(), output.row_stride);
    let store = Store { output: output.data.as_mut_ptr(), stride, residual, columns, activation };
    let product =
        Product { matrix, planes, steps: 0..matrix.depth.steps(), strips: 0..matrix.strips(), after: NOTHING };
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

/// A product of rows in the tiles' order with some strips of a matrix.
struct Product<'a> {
    matrix: &'a TileMatrix,
    planes: Planes,
    /// The matrix's groups of inputs (its tail is the last) that lie in `planes`.
    steps: Range<usize>,
    strips: Range<usize>,
    /// Weights that are needed behind this product.
    after: Range<*const u8>,
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

/// What else is done while a block is multiplied.
struct Meanwhile<'a> {
    pending: &'a mut Option<Pending>,
    buffers: &'a Buffers,
    ahead: &'a mut Ahead,
}

/// Two buffers of sums, one being finished while the next block is on its way.
#[repr(C, align(64))]
struct Buffers([[f32; 1024]; 2]);

impl Product<'_> {
    /// Products of tiles for each tile of sums; a tail counts as a whole step.
    #[inline(always)]
    fn products(&self) -> usize {
        self.steps.len() * self.matrix.depth.products()
    }

    /// A strip's weights for these steps.
    #[inline(always)]
    fn strip_weights(&self, index: usize) -> Range<*const u8> {
        let strip = self.matrix.strip(index);
        let start = self.matrix.strip_weight(strip, self.steps.start);
        start..start.wrapping_add(strip.tiles * self.steps.len() * self.matrix.depth.parts() * pack::TILE_BYTES)
    }

    /// The weights that are needed first.
    #[inline(always)]
    fn first_weights(&self) -> Range<*const u8> {
        self.strip_weights(self.strips.start)
    }

    /// The weights to ask for while strip `index` is multiplied.
    #[inline(always)]
    fn ahead(&self, index: usize) -> Ahead {
        let next = index + 1;
        let weights = if next < self.strips.end { self.strip_weights(next) } else { self.after.clone() };
        // Blocks of rows that this strip meets meanwhile: two tiles each.
        let blocks = self.planes.tiles.tiles / 2;
        Ahead::new(weights, self.products() * blocks)
    }

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
        for index in self.strips.clone() {
            let strip = self.matrix.strip(index);
            let mut ahead = self.ahead(index);
            let mut tile = 0;
            while tile < tiles.tiles {
                let shape = match strip.tiles {
                    2 => Shape::Pair,
                    _ if tile + 4 <= tiles.tiles => Shape::Quad,
                    _ => Shape::Duo,
                };
                let row = tile * tiles.height;
                let meanwhile = Meanwhile { pending: &mut pending, buffers: &buffers, ahead: &mut ahead };
                // SAFETY: the caller vouches for the planes; the block's sums fit a buffer.
                unsafe {
                    match shape {
                        Shape::Pair => self.block::<F, ACTIVATION, ACCUMULATE, 0>(amx, strip, row, finish, meanwhile),
                        Shape::Quad => self.block::<F, ACTIVATION, ACCUMULATE, 1>(amx, strip, row, finish, meanwhile),
                        Shape::Duo => self.block::<F, ACTIVATION, ACCUMULATE, 2>(amx, strip, row, finish, meanwhile),
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
        meanwhile: Meanwhile<'_>,
    ) {
        static NO_BIAS: [f32; 32] = [0.0; 32];
        let Meanwhile { pending, buffers, ahead } = meanwhile;
        let shape = [Shape::Pair, Shape::Quad, Shape::Duo][usize::from(SHAPE)];
        let depth = self.matrix.depth;
        let bias = if self.steps.start == 0 { self.matrix.strip_bias(strip) } else { NO_BIAS.as_ptr() };
        let mut operands = Operands {
            input: self.planes.row(row).cast_const().cast(),
            row_bytes: 2 * self.planes.row_len,
            tile_bytes: 2 * self.planes.row_len * self.planes.tiles.height,
            weight: self.matrix.strip_weight(strip, self.steps.start),
        };
        let weight_step = strip.tiles * depth.parts() * pack::TILE_BYTES;
        // Rows to finish behind each product, in parts of 256.
        let share = pending.map_or(0, |pending| (pending.rows * 256).div_ceil(self.products().max(1)));
        let mut due = 0;
        /// One product, then the share of the pending block.
        macro_rules! product {
            ($at:literal, $tile:literal, $load:literal) => {
                block::product::<$at, $tile, $load>(shape, operands);
                ahead.fetch(amx);
                due += share;
                if let Some(pending) = pending
                    && due / 256 >= pending.done + FINISH_ROWS
                {
                    pending.finish::<F, ACTIVATION, ACCUMULATE>(amx, finish, due / 256, buffers);
                }
            };
        }
        // SAFETY: the caller vouches for tiles, planes and weights.
        unsafe {
            block::start(shape, bias);
            for step in self.steps.clone() {
                match depth.precision {
                    // A row of the tail holds `high high middle low`; three overlapping tiles of it meet weights
                    // `high middle`, `low high` and `middle high`.
                    Precision::F32 if step == depth.groups => {
                        product!(0, 0, true);
                        product!(32, 1, true);
                        product!(64, 2, true);
                    }
                    // High with high, middle and low; middle with middle and high; low with high.
                    Precision::F32 => {
                        product!(0, 0, true);
                        product!(0, 1, false);
                        product!(0, 2, false);
                        product!(64, 1, true);
                        product!(64, 0, false);
                        product!(128, 0, true);
                    }
                    Precision::Bf16 => {
                        product!(0, 0, true);
                    }
                }
                operands.input = operands.input.wrapping_add(2 * depth.group_len());
                operands.weight = operands.weight.wrapping_add(weight_step);
            }
            if let Some(pending) = pending {
                pending.finish::<F, ACTIVATION, ACCUMULATE>(amx, finish, usize::MAX, buffers);
            }
        }
    }
}

impl Pending {
    /// Finishes rows up to `end`.
    ///
    /// # Safety
    /// The buffer holds this block's sums, and `finish` takes its rows.
    #[inline(always)]
    unsafe fn finish<F: Finish, const ACTIVATION: u8, const ACCUMULATE: bool>(
        &mut self,
        amx: Amx,
        finish: F,
        end: usize,
        buffers: &Buffers,
    ) {
        let end = end.min(self.rows);
        if end > self.done {
            let sums = buffers.0[self.buffer].as_ptr();
            let rows = self.done..end;
            // SAFETY: the caller vouches for the rows, the token for the instructions.
            unsafe {
                if self.strip.tiles == 2 {
                    finish_rows::<F, ACTIVATION, ACCUMULATE, 2>(amx, finish, self.strip, self.row, rows, sums);
                } else {
                    finish_rows::<F, ACTIVATION, ACCUMULATE, 1>(amx, finish, self.strip, self.row, rows, sums);
                }
            }
            self.done = end;
        }
    }
}

/// A function of its own, since it is called between any two products.
///
/// # Safety
/// As for [`Pending::finish`]; the CPU has the instructions.
#[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,avx512bf16,avx2,fma")]
#[inline(never)]
unsafe fn finish_rows<F: Finish, const ACTIVATION: u8, const ACCUMULATE: bool, const V: usize>(
    amx: Amx,
    finish: F,
    strip: Strip,
    first: usize,
    rows: Range<usize>,
    sums: *const f32,
) {
    let ready = finish.strip::<V>(strip);
    for row in rows {
        // SAFETY: as the caller promises.
        unsafe { finish.row::<V, ACTIVATION, ACCUMULATE>(amx, ready, first + row, sums.add(row * V * 16)) };
    }
}
