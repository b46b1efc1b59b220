//! Matrix products in bfloat16 on vectors: one instruction multiplies sixteen pairs of inputs with sixteen pairs of weights
//! and adds both products of each to sixteen `f32` sums, twice the multiply-adds of one in `f32`.
//!
//! Panels and tiles are those of `panel`. What differs: weights lie in pairs of inputs, the inputs are rounded to bfloat16
//! first ([`stage`]), and a tile is finished in registers, so that hidden activations are never stored in `f32`.

mod mlp;
mod stage;

use core::arch::x86_64::*;

use self::stage::stage;
use super::ahead::Ahead;
use super::packed::{PanelMatrix, PanelWeight};
use super::scratch::Scratch;
use super::{InputView, OutputView, TILE_ROWS};
use crate::activation::{Activation, activate_rows};
use crate::isa::{
    Isa,
    avx512::{Avx512, Avx512Bf16},
};
use crate::pointwise::Epilogue;
use crate::unroll::unroll;

pub(crate) use self::mlp::{MlpBlock, mlp_panels, mlp_scratch_len};
pub(crate) use self::stage::scratch_len;

/// Sums of a vector.
const LANES: usize = 16;

/// Pairs between two requests for the next panel's weights; see `panel`.
const REQUEST_PAIRS: usize = 8;

/// `output = activation(input · weightᵀ + bias [+ output])` for the `outputs` output channels of `matrix`.
///
/// # Safety
/// `input` and `output` lie within their data and fit `matrix`, whose weights are pairs.
#[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,avx512bf16,avx2,fma")]
pub(crate) unsafe fn multiply(
    pairs: Avx512Bf16,
    matrix: &PanelMatrix,
    input: InputView<'_>,
    output: OutputView<'_>,
    outputs: usize,
    epilogue: Epilogue,
    scratch: &mut [f32],
) {
    let shape = [input.groups * input.rows, outputs, output.row_stride];
    let residual = epilogue.accumulate.then(|| output.residual());
    let store = Store { output: output.data.as_mut_ptr(), stride: output.row_stride, residual, columns: outputs };
    // SAFETY: as the caller promises.
    unsafe {
        let input = stage(pairs, input, &mut Scratch::new(scratch));
        if epilogue.activation == Activation::Relu {
            run(pairs, matrix, input, Rectify(store));
        } else {
            run(pairs, matrix, input, store);
            activate_rows(pairs.vectors(), epilogue.activation, store.output, shape);
        }
    }
}

/// Takes the sums of a tile.
trait Finish: Copy {
    /// Takes the sums of the sixteen output channels from `column` on, in row `row`.
    ///
    /// # Safety
    /// The row and at least the first of the channels exist.
    unsafe fn take(self, pairs: Avx512Bf16, row: usize, column: usize, sums: __m512);
}

/// Into rows of floats.
#[derive(Clone, Copy)]
struct Store {
    output: *mut f32,
    stride: usize,
    /// What is added, and from one row of it to the next.
    residual: Option<(*const f32, usize)>,
    /// Output channels.
    columns: usize,
}

impl Store {
    /// # Safety
    /// As for [`Finish::take`].
    #[inline(always)]
    unsafe fn write(self, isa: Avx512, [row, column]: [usize; 2], sums: __m512, last: impl Fn(__m512) -> __m512) {
        let count = self.columns - column;
        // SAFETY: `count` floats of the row are left, and as many of what is added.
        unsafe {
            let at = self.output.add(row * self.stride + column);
            let added = self.residual.map(|(residual, stride)| residual.add(row * stride + column));
            let sum = |added: Option<__m512>| last(added.map_or(sums, |added| isa.add(added, sums)));
            if count >= LANES {
                isa.store(at, sum(added.map(|added| isa.load(added))));
            } else if count == LANES / 2 {
                isa.store_half(at, sum(added.map(|added| isa.load_half(added))));
            } else {
                isa.store_first(at, sum(added.map(|added| isa.load_first(added, count))), count);
            }
        }
    }
}

impl Finish for Store {
    #[inline(always)]
    unsafe fn take(self, pairs: Avx512Bf16, row: usize, column: usize, sums: __m512) {
        // SAFETY: as the caller promises.
        unsafe { self.write(pairs.vectors(), [row, column], sums, |sums| sums) };
    }
}

/// The same with negative sums as zeros.
#[derive(Clone, Copy)]
struct Rectify(Store);

impl Finish for Rectify {
    #[inline(always)]
    unsafe fn take(self, pairs: Avx512Bf16, row: usize, column: usize, sums: __m512) {
        let isa = pairs.vectors();
        // SAFETY: as the caller promises.
        unsafe { self.0.write(isa, [row, column], sums, |sums| isa.max(isa.zero(), sums)) };
    }
}

/// All panels of a matrix against all rows: a function of its own for each way to finish, since one that holds them all is
/// beyond what the compiler inlines.
///
/// # Safety
/// `input` lies within its data and fits `matrix`, whose weights are pairs; `finish` takes all its rows and channels.
#[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,avx512bf16,avx2,fma")]
#[inline(never)]
unsafe fn run<F: Finish>(pairs: Avx512Bf16, matrix: &PanelMatrix, input: InputView<'_, u16>, finish: F) {
    let PanelWeight::Pairs { values, segments } = matrix.weight() else { unreachable!("weights that are no pairs") };
    assert_eq!(*segments, input.segments, "segments of the rows and of the weights");
    let depth = input.segments * input.segment_len.div_ceil(2) * 2;
    for index in 0..matrix.panels() {
        let panel = matrix.panel(index);
        let weight = |index: usize| {
            let panel = matrix.panel(index);
            &values[panel.column * depth..][..panel.width * depth]
        };
        let next: &[u16] = if index + 1 < matrix.panels() { weight(index + 1) } else { &[] };
        let pass =
            Pass { pairs, input, weight: weight(index), next, bias: matrix.panel_bias(panel), column: panel.column };
        // SAFETY: the caller vouches for view and finish; weights and bias have as many vectors, the last of the weights' a
        // half where the panel says so.
        unsafe {
            match (panel.vectors, panel.half) {
                (1, false) => pass.run::<F, 1, false>(finish),
                (2, false) => pass.run::<F, 2, false>(finish),
                (3, false) => pass.run::<F, 3, false>(finish),
                (_, false) => pass.run::<F, 4, false>(finish),
                (1, true) => pass.run::<F, 1, true>(finish),
                (2, true) => pass.run::<F, 2, true>(finish),
                (3, true) => pass.run::<F, 3, true>(finish),
                (_, true) => pass.run::<F, 4, true>(finish),
            }
        }
    }
}

/// One panel of weights against all rows.
struct Pass<'a> {
    pairs: Avx512Bf16,
    input: InputView<'a, u16>,
    weight: &'a [u16],
    /// The next panel's weights, asked for meanwhile.
    next: &'a [u16],
    bias: &'a [f32],
    /// First output channel.
    column: usize,
}

impl Pass<'_> {
    /// # Safety
    /// The view lies within its data; weights and bias have `V` vectors for it, the last of the weights' a half where `HALF`;
    /// `finish` takes all rows.
    #[inline(always)]
    unsafe fn run<F: Finish, const V: usize, const HALF: bool>(&self, finish: F) {
        let rows = self.input.rows;
        // As even as they go, as in `panel`.
        let tiles = rows.div_ceil(TILE_ROWS);
        let (low, high_tiles) = (rows / tiles, rows % tiles);
        let requests = self.input.segments * (self.input.segment_len / 2).div_ceil(REQUEST_PAIRS);
        let mut ahead = Ahead::new(self.next.as_ptr_range(), tiles * self.input.groups * requests);
        for group in 0..self.input.groups {
            let mut row = 0;
            for tile in 0..tiles {
                let count = low + usize::from(tile < high_tiles);
                let offset = group * self.input.group_stride + row * self.input.row_stride;
                let input = self.input.data.as_ptr().wrapping_add(offset);
                let target = group * rows + row;
                // SAFETY: `row + count <= rows`, so the tile lies within the view.
                unsafe {
                    match count {
                        1 => self.tile::<F, 1, V, HALF>(finish, input, target, &mut ahead),
                        2 => self.tile::<F, 2, V, HALF>(finish, input, target, &mut ahead),
                        3 => self.tile::<F, 3, V, HALF>(finish, input, target, &mut ahead),
                        4 => self.tile::<F, 4, V, HALF>(finish, input, target, &mut ahead),
                        5 => self.tile::<F, 5, V, HALF>(finish, input, target, &mut ahead),
                        _ => self.tile::<F, TILE_ROWS, V, HALF>(finish, input, target, &mut ahead),
                    }
                }
                row += count;
            }
        }
    }

    /// # Safety
    /// As for `run`, for `R` rows from `input`, which `finish` knows as those from `target` on.
    #[inline(always)]
    unsafe fn tile<F: Finish, const R: usize, const V: usize, const HALF: bool>(
        &self,
        finish: F,
        input: *const u16,
        target: usize,
        ahead: &mut Ahead,
    ) {
        let isa = self.pairs.vectors();
        let stride = self.input.row_stride;
        let is_half = |vector: usize| HALF && vector + 1 == V;
        let width = if HALF { V * LANES - LANES / 2 } else { V * LANES };
        let mut weight = self.weight.as_ptr();
        let mut sums = [[isa.zero(); V]; R];
        unroll!(vector < V, {
            // SAFETY: the bias has `V` vectors.
            let bias = unsafe { isa.load(self.bias.as_ptr().add(vector * LANES)) };
            unroll!(row < R, {
                sums[row][vector] = bias;
            });
        });
        for segment in 0..self.input.segments {
            let mut upper = input.wrapping_add(segment * self.input.segment_stride);
            let mut lower = upper.wrapping_add(if R > 3 { 3 * stride } else { 0 });
            /// Multiplies one pair of inputs of every row, which `$read` gets from where it lies.
            macro_rules! multiply_pair {
                ($read:expr) => {
                    let mut weights = [isa.zero(); V];
                    unroll!(vector < V, {
                        // SAFETY: the panel holds `V` vectors of pairs for every pair, of which the last may be a half.
                        weights[vector] = unsafe {
                            let at = weight.add(vector * 2 * LANES).cast();
                            if is_half(vector) { isa.load_half(at) } else { isa.load(at) }
                        };
                    });
                    unroll!(row < R, {
                        let at = if row < 3 {
                            upper.wrapping_add(row * stride)
                        } else {
                            lower.wrapping_add((row - 3) * stride)
                        };
                        // SAFETY: row `row < R` of the view has this pair.
                        let pair = unsafe { $read(at) };
                        unroll!(vector < V, {
                            // SAFETY: the token proves the instructions.
                            sums[row][vector] = unsafe {
                                match is_half(vector) {
                                    true => add_half_products(sums[row][vector], pair, weights[vector]),
                                    false => add_products(sums[row][vector], pair, weights[vector]),
                                }
                            };
                        });
                    });
                    weight = weight.wrapping_add(2 * width);
                };
            }
            let mut left = self.input.segment_len / 2;
            while left > 0 {
                let count = left.min(REQUEST_PAIRS);
                left -= count;
                ahead.fetch(isa);
                for _ in 0..count {
                    multiply_pair!(both);
                    upper = upper.wrapping_add(2);
                    lower = lower.wrapping_add(2);
                }
            }
            if self.input.segment_len % 2 == 1 {
                multiply_pair!(first);
            }
        }
        unroll!(row < R, {
            unroll!(vector < V, {
                // SAFETY: the caller vouches for the rows; a panel's last vector has a channel at least.
                unsafe { finish.take(self.pairs, target + row, self.column + vector * LANES, sums[row][vector]) };
            });
        });
    }
}

/// A pair of inputs.
///
/// # Safety
/// `at` is valid for reading two numbers.
#[inline(always)]
unsafe fn both(at: *const u16) -> i32 {
    // SAFETY: as the caller promises.
    unsafe { at.cast::<i32>().read_unaligned() }
}

/// The last input of an odd number, and zero.
///
/// # Safety
/// `at` is valid for reading a number.
#[inline(always)]
unsafe fn first(at: *const u16) -> i32 {
    // SAFETY: as the caller promises.
    i32::from(unsafe { *at })
}

/// `sums + first input · first weights + second input · second weights`
///
/// # Safety
/// The CPU has AVX512_BF16.
#[inline(always)]
pub(crate) unsafe fn add_products(sums: __m512, pair: i32, weights: __m512) -> __m512 {
    // SAFETY: the caller vouches for the instructions; the three types are the same 512 bits.
    unsafe {
        let inputs: __m512bh = std::mem::transmute(_mm512_set1_epi32(pair));
        _mm512_dpbf16_ps(sums, inputs, std::mem::transmute::<__m512, __m512bh>(weights))
    }
}

/// [`add_products`] of the first half of the lanes; the others become anything.
///
/// # Safety
/// The CPU has AVX512_BF16 and AVX512VL.
#[inline(always)]
unsafe fn add_half_products(sums: __m512, pair: i32, weights: __m512) -> __m512 {
    // SAFETY: the caller vouches for the instructions; the types are the same 256 bits.
    unsafe {
        let inputs: __m256bh = std::mem::transmute(_mm256_set1_epi32(pair));
        let weights = std::mem::transmute::<__m256, __m256bh>(_mm512_castps512_ps256(weights));
        _mm512_castps256_ps512(_mm256_dpbf16_ps(_mm512_castps512_ps256(sums), inputs, weights))
    }
}
