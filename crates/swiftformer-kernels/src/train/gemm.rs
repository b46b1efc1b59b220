//! The matrix product of training: `C = A·B`, where A may be read along either axis.
//!
//! Forward products have A's inputs side by side, weight gradients its rows: both are a stride. B's rows are read in whole
//! vectors, so B has room behind its last row. The tile is the engine's: six rows by up to four vectors of sums.

use crate::isa::Isa;
use crate::kernels::{Kernel, Kernels};
use crate::unroll::unroll;

/// Rows of a tile.
const TILE_ROWS: usize = 6;

/// The most rows of the right-hand side at once: four vectors of each stay in the first-level cache while the rows of the
/// left-hand side pass.
const MOST_DEPTH: usize = 96;

/// The left-hand side: element `(row, k)` is at `row · row_stride + k · step`.
#[derive(Clone, Copy)]
pub(super) struct Left<'a> {
    pub(super) data: &'a [f32],
    pub(super) row_stride: usize,
    pub(super) step: usize,
}

/// The right-hand side: row `k` starts at `k · stride`.
#[derive(Clone, Copy)]
pub(super) struct Right<'a> {
    pub(super) data: &'a [f32],
    pub(super) stride: usize,
}

/// What a product is added to.
#[derive(Clone, Copy)]
pub(super) enum Add<'a> {
    Nothing,
    /// What the output holds.
    Output,
    /// Rows, and from one to the next.
    Rows(&'a [f32], usize),
}

impl Add<'_> {
    /// The output after the first of several products that are summed.
    pub(super) fn after(first: bool) -> Self {
        if first { Self::Nothing } else { Self::Output }
    }
}

/// `output[m, n] = Σ_k left[m, k] · right[k, n] (+ bias[n]) (+ added[m, n])`
pub(super) struct Product<'a> {
    /// Rows, inner length, columns.
    pub(super) size: [usize; 3],
    pub(super) left: Left<'a>,
    pub(super) right: Right<'a>,
    /// Read in whole vectors too.
    pub(super) bias: Option<&'a [f32]>,
    pub(super) output: &'a mut [f32],
    pub(super) output_stride: usize,
    pub(super) add: Add<'a>,
}

/// The longest vector of any instruction set, in floats: rows that are multiples of it can be read in whole vectors.
pub(super) const LONGEST: usize = 16;

/// `width` in whole vectors of any instruction set.
pub(super) fn padded(width: usize) -> usize {
    width.next_multiple_of(LONGEST)
}

impl Product<'_> {
    /// Multiplies.
    pub(super) fn run(self, kernels: Kernels) {
        kernels.dispatch(self);
    }
}

impl Kernel for Product<'_> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) {
        let [m, k, n] = self.size;
        if m == 0 || n == 0 {
            return;
        }
        let (last, whole) = (k.saturating_sub(1), n.next_multiple_of(I::LEN));
        let left = (m - 1) * self.left.row_stride + last * self.left.step;
        assert!(k == 0 || left < self.left.data.len(), "left of a product of {m}×{k}×{n}");
        assert!(k == 0 || last * self.right.stride + whole <= self.right.data.len(), "right of {m}×{k}×{n}");
        assert!(self.bias.is_none_or(|bias| bias.len() >= whole), "bias of {m}×{k}×{n}");
        assert!(n <= self.output_stride || m == 1, "rows of the output overlap");
        assert!((m - 1) * self.output_stride + n <= self.output.len(), "output of {m}×{k}×{n}");
        if let Add::Rows(rows, stride) = self.add {
            assert!((m - 1) * stride + n <= rows.len(), "what is added to {m}×{k}×{n}");
        }
        let vectors = n.div_ceil(I::LEN);
        let panels = vectors.div_ceil(I::TILE_VECTORS);
        let (narrow, wide_panels) = (vectors / panels, vectors % panels);
        // Even pieces of the inner length.
        let depth = k.div_ceil(k.div_ceil(MOST_DEPTH).max(1)).max(1);
        let mut start = 0;
        loop {
            let mut column = 0;
            for panel in 0..panels {
                let count = narrow + usize::from(panel < wide_panels);
                let pass = Panel {
                    m,
                    k: depth.min(k - start),
                    columns: (n - column).min(count * I::LEN),
                    left: self.left.data.as_ptr().wrapping_add(start * self.left.step),
                    left_row: self.left.row_stride,
                    left_step: self.left.step,
                    right: self.right.data.as_ptr().wrapping_add(start * self.right.stride + column),
                    right_stride: self.right.stride,
                    bias: match self.bias.filter(|_| start == 0) {
                        Some(bias) => bias.as_ptr().wrapping_add(column),
                        None => std::ptr::null(),
                    },
                    output: self.output.as_mut_ptr().wrapping_add(column),
                    output_stride: self.output_stride,
                    added: match self.add {
                        Add::Nothing if start == 0 => (std::ptr::null(), 0),
                        Add::Rows(rows, stride) if start == 0 => (rows.as_ptr().wrapping_add(column), stride),
                        _ => (self.output.as_ptr().wrapping_add(column), self.output_stride),
                    },
                };
                // SAFETY: the assertions above cover every element that the panels read and write.
                unsafe {
                    match count {
                        1 => pass.rows::<I, 1>(isa),
                        2 => pass.rows::<I, 2>(isa),
                        3 if I::TILE_VECTORS > 2 => pass.rows::<I, 3>(isa),
                        4 if I::TILE_VECTORS > 2 => pass.rows::<I, 4>(isa),
                        count => unreachable!("a panel of {count} vectors"),
                    }
                }
                column += count * I::LEN;
            }
            start += depth;
            if start >= k {
                return;
            }
        }
    }
}

#[derive(Clone, Copy)]
struct Panel {
    m: usize,
    k: usize,
    columns: usize,
    left: *const f32,
    left_row: usize,
    left_step: usize,
    right: *const f32,
    right_stride: usize,
    bias: *const f32,
    output: *mut f32,
    output_stride: usize,
    /// What is added, where anything is, and from one row of it to the next.
    added: (*const f32, usize),
}

impl Panel {
    /// # Safety
    /// Left has `m` rows of `k`, right `k` rows of `V` vectors, bias (if it is not null) `V` vectors, and the output and what
    /// is added (if it is not null) `m` rows of `columns`, of which `V` vectors cover all but none more than needed.
    #[inline(always)]
    unsafe fn rows<I: Isa, const V: usize>(self, isa: I) {
        let mut row = 0;
        while row < self.m {
            let left = self.left.wrapping_add(row * self.left_row);
            let output = self.output.wrapping_add(row * self.output_stride);
            let added = match self.added {
                (rows, stride) if !rows.is_null() => rows.wrapping_add(row * stride),
                (none, _) => none,
            };
            // SAFETY: so many rows are left.
            unsafe {
                match self.m - row {
                    1 => self.tile::<I, 1, V>(isa, left, output, added),
                    2 => self.tile::<I, 2, V>(isa, left, output, added),
                    3 => self.tile::<I, 3, V>(isa, left, output, added),
                    4 => self.tile::<I, 4, V>(isa, left, output, added),
                    5 => self.tile::<I, 5, V>(isa, left, output, added),
                    _ => self.tile::<I, TILE_ROWS, V>(isa, left, output, added),
                }
            }
            row += TILE_ROWS;
        }
    }

    /// # Safety
    /// As for [`Panel::rows`], of which this is `R` rows.
    #[inline(always)]
    unsafe fn tile<I: Isa, const R: usize, const V: usize>(
        self,
        isa: I,
        left: *const f32,
        output: *mut f32,
        added: *const f32,
    ) {
        let mut sums = [[isa.zero(); V]; R];
        if !self.bias.is_null() {
            for vector in 0..V {
                // SAFETY: the bias has `V` vectors.
                let bias = unsafe { isa.load(self.bias.add(vector * I::LEN)) };
                for row in &mut sums {
                    row[vector] = bias;
                }
            }
        }
        let stride = self.left_row;
        let mut upper = left;
        let mut lower = upper.wrapping_add(if R > 3 { 3 * stride } else { 0 });
        let mut right = self.right;
        for _ in 0..self.k {
            let mut weights = [isa.zero(); V];
            for (vector, lanes) in weights.iter_mut().enumerate() {
                // SAFETY: row `k` of the right-hand side has `V` vectors.
                *lanes = unsafe { isa.load(right.add(vector * I::LEN)) };
            }
            unroll!(row < R, {
                // SAFETY: row `row < R` of the left-hand side has element `k`.
                let value = unsafe { if row < 3 { *upper.add(row * stride) } else { *lower.add((row - 3) * stride) } };
                let value = isa.splat(value);
                for (sum, &lanes) in sums[row].iter_mut().zip(&weights) {
                    *sum = isa.mul_add(value, lanes, *sum);
                }
            });
            right = right.wrapping_add(self.right_stride);
            upper = upper.wrapping_add(self.left_step);
            lower = lower.wrapping_add(self.left_step);
        }
        let last = self.columns - (V - 1) * I::LEN;
        unroll!(row < R, {
            unroll!(vector < V, {
                let sum = sums[row][vector];
                // SAFETY: `columns` floats of every output row are writable, and of what is added readable: whole vectors,
                // then `last`.
                unsafe {
                    let at = output.add(row * self.output_stride + vector * I::LEN);
                    let more = added.wrapping_add(row * self.added.1 + vector * I::LEN);
                    if vector + 1 < V || last == I::LEN {
                        isa.store(at, if added.is_null() { sum } else { isa.add(isa.load(more), sum) });
                    } else {
                        let sum = if added.is_null() { sum } else { isa.add(isa.load_first(more, last), sum) };
                        isa.store_first(at, sum, last);
                    }
                }
            });
        });
    }
}
