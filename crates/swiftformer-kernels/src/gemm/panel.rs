//! The tile: up to six rows times up to four vectors of sums that stay in registers.
//!
//! Six rows are reached from two base pointers and one stride (`base`, `base + stride`, `base + 2·stride` are
//! addressing modes), so no pointer spills; with four vectors that makes 24 accumulators, enough to hide the latency of
//! the multiply-adds, and 10 loads for every 24 of them.

use super::ahead::Ahead;
use super::packed::{PanelMatrix, PanelWeight};
use super::{InputView, OutputView, TILE_ROWS};
use crate::activation::{Activation, activate_rows};
use crate::isa::Isa;
use crate::pointwise::Epilogue;
use crate::unroll::unroll;

/// Inputs between two requests for the next panel's weights. Requests in one burst would take all the buffers that the first-
/// level cache has for lines on their way.
const REQUEST_INPUTS: usize = 8;

/// Weights as they lie in memory.
trait Weight: Copy {
    /// Whether panels may end with half a vector.
    const HALVES: bool;

    /// Reads `LEN` of them as floats.
    ///
    /// # Safety
    /// `source` is valid for reading `LEN` weights.
    unsafe fn load<I: Isa>(isa: I, source: *const Self) -> I::F32;

    /// Reads `LEN / 2` of them as floats.
    ///
    /// # Safety
    /// `source` is valid for reading `LEN / 2` weights.
    unsafe fn load_half<I: Isa>(isa: I, source: *const Self) -> I::F32;
}

impl Weight for f32 {
    const HALVES: bool = true;

    #[inline(always)]
    unsafe fn load<I: Isa>(isa: I, source: *const f32) -> I::F32 {
        // SAFETY: as the caller promises.
        unsafe { isa.load(source) }
    }

    #[inline(always)]
    unsafe fn load_half<I: Isa>(isa: I, source: *const f32) -> I::F32 {
        // SAFETY: as the caller promises.
        unsafe { isa.load_half(source) }
    }
}

impl Weight for u16 {
    const HALVES: bool = false;

    #[inline(always)]
    unsafe fn load<I: Isa>(isa: I, source: *const u16) -> I::F32 {
        // SAFETY: as the caller promises.
        unsafe { isa.load_bf16(source) }
    }

    unsafe fn load_half<I: Isa>(_: I, _: *const u16) -> I::F32 {
        unreachable!("panels of bfloat16 have whole vectors")
    }
}

/// `output = activation(input · weightᵀ + bias [+ output])` for the `outputs` output channels of `matrix`.
///
/// # Safety
/// Both views lie within their data and fit the matrix, which is packed for `isa`.
#[inline(always)]
pub(super) unsafe fn multiply<I: Isa>(
    isa: I,
    matrix: &PanelMatrix,
    input: InputView<'_>,
    output: OutputView<'_>,
    outputs: usize,
    epilogue: Epilogue,
) {
    // SAFETY: as the caller promises.
    unsafe {
        match matrix.weight() {
            PanelWeight::F32(weight) => multiply_with(isa, matrix, weight, input, output, outputs, epilogue),
            PanelWeight::Bf16(weight) => multiply_with(isa, matrix, weight, input, output, outputs, epilogue),
            #[cfg(target_arch = "x86_64")]
            PanelWeight::Pairs { .. } => unreachable!("pairs have products of their own"),
        }
    }
}

/// # Safety
/// As for [`multiply`]; `weight` is the matrix's.
#[inline(always)]
unsafe fn multiply_with<I: Isa, W: Weight>(
    isa: I,
    matrix: &PanelMatrix,
    weight: &[W],
    input: InputView<'_>,
    output: OutputView<'_>,
    outputs: usize,
    epilogue: Epilogue,
) {
    let inputs = input.segments * input.segment_len;
    let (residual, residual_stride) = output.residual();
    for index in 0..matrix.panels() {
        let panel = matrix.panel(index);
        let pass = PanelPass {
            input,
            weight: weight[panel.column * inputs..][..panel.width * inputs].as_ptr(),
            bias: matrix.panel_bias(panel).as_ptr(),
            // SAFETY: the panel's column lies within an output row.
            output: unsafe { output.data.as_mut_ptr().add(panel.column) },
            output_stride: output.row_stride,
            residual: (residual.wrapping_add(panel.column), residual_stride),
            next: match index + 1 < matrix.panels() {
                true => {
                    let panel = matrix.panel(index + 1);
                    &weight[panel.column * inputs..][..panel.width * inputs]
                }
                false => &[],
            },
            columns: (outputs - panel.column).min(panel.width),
            accumulate: epilogue.accumulate,
            relu: epilogue.activation == Activation::Relu && !epilogue.accumulate,
        };
        // SAFETY: the caller vouches for the views, and the panel's weights and bias have as many vectors, the last of the
        // weights' a half where it says so.
        unsafe {
            match (panel.vectors, panel.half) {
                (1, false) => pass.run::<I, 1, false>(isa),
                (2, false) => pass.run::<I, 2, false>(isa),
                (3, false) if I::TILE_VECTORS > 2 => pass.run::<I, 3, false>(isa),
                (4, false) if I::TILE_VECTORS > 2 => pass.run::<I, 4, false>(isa),
                (1, true) if I::HALVES && W::HALVES => pass.run::<I, 1, true>(isa),
                (2, true) if I::HALVES && W::HALVES => pass.run::<I, 2, true>(isa),
                (3, true) if I::HALVES && W::HALVES => pass.run::<I, 3, true>(isa),
                (4, true) if I::HALVES && W::HALVES => pass.run::<I, 4, true>(isa),
                _ => unreachable!("no tile for {panel:?}"),
            }
            if !pass.relu {
                // While the panel's results are still in the first-level cache.
                let shape = [input.groups * input.rows, pass.columns, output.row_stride];
                activate_rows(isa, epilogue.activation, pass.output, shape);
            }
        }
    }
}

/// One panel of weights against all rows.
struct PanelPass<'a, W> {
    input: InputView<'a>,
    weight: *const W,
    bias: *const f32,
    output: *mut f32,
    output_stride: usize,
    /// What is added where rows accumulate, and from one row of it to the next.
    residual: (*const f32, usize),
    /// The next panel's weights, asked for while this one is multiplied: a large matrix does not stay in the second-level
    /// cache.
    next: &'a [W],
    /// Output channels to write; fewer than the panel's lanes at the matrix's end.
    columns: usize,
    accumulate: bool,
    /// Whether negative sums become zero; other activations take more registers than a tile leaves.
    relu: bool,
}

impl<W: Weight> PanelPass<'_, W> {
    /// # Safety
    /// The view lies within its data; `bias` has `V` vectors, and so has `weight` for each input, but for half a one where
    /// `HALF`; the output rows are writable.
    #[inline(always)]
    unsafe fn run<I: Isa, const V: usize, const HALF: bool>(&self, isa: I) {
        let rows = self.input.rows;
        // As even as they go: 7 rows as 4 + 3, since a tile of one row would wait for its own sums.
        let tiles = rows.div_ceil(TILE_ROWS);
        let (low, high_tiles) = (rows / tiles, rows % tiles);
        let requests = self.input.segments * self.input.segment_len.div_ceil(REQUEST_INPUTS);
        let mut ahead = Ahead::new(self.next.as_ptr_range(), tiles * self.input.groups * requests);
        for group in 0..self.input.groups {
            let mut row = 0;
            for tile in 0..tiles {
                let count = low + usize::from(tile < high_tiles);
                // SAFETY: `row + count <= rows`, so the tile lies within the view and the output.
                unsafe {
                    // Wrapping, since a matrix without inputs may have no input data at all.
                    let offset = group * self.input.group_stride + row * self.input.row_stride;
                    let input = self.input.data.as_ptr().wrapping_add(offset);
                    let target = group * rows + row;
                    match count {
                        1 => self.tile::<I, 1, V, HALF>(isa, input, target, &mut ahead),
                        2 => self.tile::<I, 2, V, HALF>(isa, input, target, &mut ahead),
                        3 => self.tile::<I, 3, V, HALF>(isa, input, target, &mut ahead),
                        4 => self.tile::<I, 4, V, HALF>(isa, input, target, &mut ahead),
                        5 => self.tile::<I, 5, V, HALF>(isa, input, target, &mut ahead),
                        _ => self.tile::<I, TILE_ROWS, V, HALF>(isa, input, target, &mut ahead),
                    }
                }
                row += count;
            }
        }
    }

    /// # Safety
    /// As for `run`, for `R` rows from `input`, the output's from row `target` on.
    #[inline(always)]
    unsafe fn tile<I: Isa, const R: usize, const V: usize, const HALF: bool>(
        &self,
        isa: I,
        input: *const f32,
        target: usize,
        ahead: &mut Ahead,
    ) {
        let stride = self.input.row_stride;
        let is_half = |vector: usize| HALF && vector + 1 == V;
        let width = if HALF { V * I::LEN - I::LEN / 2 } else { V * I::LEN };
        let mut weight = self.weight;
        let mut sums = [[isa.zero(); V]; R];
        for vector in 0..V {
            // SAFETY: the bias has `V` vectors.
            let bias = unsafe { isa.load(self.bias.add(vector * I::LEN)) };
            for row in &mut sums {
                row[vector] = bias;
            }
        }
        for segment in 0..self.input.segments {
            let mut upper = input.wrapping_add(segment * self.input.segment_stride);
            let mut lower = upper.wrapping_add(if R > 3 { 3 * stride } else { 0 });
            let mut left = self.input.segment_len;
            while left > 0 {
                let inputs = left.min(REQUEST_INPUTS);
                left -= inputs;
                ahead.fetch(isa);
                for _ in 0..inputs {
                    let mut weights = [isa.zero(); V];
                    for (vector, lanes) in weights.iter_mut().enumerate() {
                        // SAFETY: the panel holds `V` vectors for every input, of which the last may be a half.
                        *lanes = unsafe {
                            let at = weight.add(vector * I::LEN);
                            if is_half(vector) { W::load_half(isa, at) } else { W::load(isa, at) }
                        };
                    }
                    unroll!(row < R, {
                        // SAFETY: row `row < R` of the view has this float.
                        let value =
                            unsafe { if row < 3 { *upper.add(row * stride) } else { *lower.add((row - 3) * stride) } };
                        let value = isa.splat(value);
                        for (vector, (sum, &lanes)) in sums[row].iter_mut().zip(&weights).enumerate() {
                            *sum = match is_half(vector) {
                                true => isa.mul_add_half(value, lanes, *sum),
                                false => isa.mul_add(value, lanes, *sum),
                            };
                        }
                    });
                    weight = weight.wrapping_add(width);
                    upper = upper.wrapping_add(1);
                    lower = lower.wrapping_add(1);
                }
            }
        }
        if self.relu {
            unroll!(row < R, {
                sums[row].iter_mut().for_each(|sum| *sum = isa.max(isa.zero(), *sum));
            });
        }
        let last = self.columns - (V - 1) * I::LEN;
        unroll!(row < R, {
            unroll!(vector < V, {
                // SAFETY: `columns` floats of every output row are writable: whole vectors, then `last`.
                unsafe {
                    let at = self.output.add((target + row) * self.output_stride + vector * I::LEN);
                    let added = self.residual.0.wrapping_add((target + row) * self.residual.1 + vector * I::LEN);
                    let accumulate = self.accumulate;
                    let sum = sums[row][vector];
                    if vector + 1 < V || last == I::LEN {
                        isa.store(at, if accumulate { isa.add(isa.load(added), sum) } else { sum });
                    } else if HALF && last == I::LEN / 2 {
                        isa.store_half(at, if accumulate { isa.add(isa.load_half(added), sum) } else { sum });
                    } else {
                        let sum = if accumulate { isa.add(isa.load_first(added, last), sum) } else { sum };
                        isa.store_first(at, sum, last);
                    }
                }
            });
        });
    }
}
