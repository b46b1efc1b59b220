//! What the vector unit does with a row of sums: the activation, then where it goes.

use core::arch::x86_64::*;

use super::pack::{Depth, GROUP, Splitter, Strip, TILE_COLUMNS};
use super::{Planes, Precision};
use crate::activation::{Activation, activate_rows};
use crate::isa::{Isa, amx::Amx};
use crate::math;

/// The activations that are fused, as constants.
pub(super) const IDENTITY: u8 = 0;
pub(super) const GELU: u8 = 1;
pub(super) const RELU: u8 = 2;
/// The others, which go through memory.
pub(super) const OTHER: u8 = 3;
/// For results that are rounded to bfloat16.
pub(super) const GELU_TO_BF16: u8 = 4;

#[inline(always)]
fn activate<const ACTIVATION: u8>(amx: Amx, activation: Activation, sum: __m512) -> __m512 {
    match ACTIVATION {
        GELU => math::gelu(amx, sum),
        GELU_TO_BF16 => math::gelu_to_bf16(amx, sum),
        RELU => amx.max(amx.zero(), sum),
        OTHER => {
            let mut lanes = [0.0; 16];
            // SAFETY: a row of 16 floats.
            unsafe {
                amx.store(lanes.as_mut_ptr(), sum);
                activate_rows(amx, activation, lanes.as_mut_ptr(), [1, 16, 16]);
                amx.load(lanes.as_ptr())
            }
        }
        _ => sum,
    }
}

/// Takes rows of sums, a strip at a time.
pub(super) trait Finish: Copy {
    /// What is the same for all rows of a strip.
    type Strip: Copy;

    /// Prepares for a strip of `V` tiles.
    fn strip<const V: usize>(&self, strip: Strip) -> Self::Strip;

    /// Takes row `row`: 16 sums for each of `V` tiles.
    ///
    /// # Safety
    /// `sums` is readable, and the row exists in the output.
    unsafe fn row<const V: usize, const ACTIVATION: u8, const ACCUMULATE: bool>(
        &self,
        amx: Amx,
        strip: Self::Strip,
        row: usize,
        sums: *const f32,
    );
}

/// Into rows of floats.
#[derive(Clone, Copy)]
pub(super) struct Store {
    pub(super) output: *mut f32,
    pub(super) stride: usize,
    /// What is added where rows accumulate, and from one row of it to the next.
    pub(super) residual: (*const f32, usize),
    /// Output channels.
    pub(super) columns: usize,
    pub(super) activation: Activation,
}

impl Finish for Store {
    /// First column, and which lanes of each tile exist.
    type Strip = (usize, [__mmask16; 2]);

    #[inline(always)]
    fn strip<const V: usize>(&self, strip: Strip) -> Self::Strip {
        let column = strip.first_tile * TILE_COLUMNS;
        let lanes = |first: usize| {
            let count = self.columns.saturating_sub(first).min(TILE_COLUMNS);
            ((1u32 << count) - 1) as __mmask16
        };
        (column, [lanes(column), lanes(column + TILE_COLUMNS)])
    }

    #[inline(always)]
    unsafe fn row<const V: usize, const ACTIVATION: u8, const ACCUMULATE: bool>(
        &self,
        amx: Amx,
        (column, masks): Self::Strip,
        row: usize,
        sums: *const f32,
    ) {
        let mut tile = 0;
        while tile < V {
            // SAFETY: the lanes of the masks exist in the row.
            unsafe {
                let at = self.output.add(row * self.stride + column + tile * TILE_COLUMNS);
                let mut sum = amx.load(sums.add(tile * TILE_COLUMNS));
                if ACCUMULATE {
                    let (residual, stride) = self.residual;
                    let added = residual.add(row * stride + column + tile * TILE_COLUMNS);
                    sum = amx.add(sum, _mm512_maskz_loadu_ps(masks[tile], added));
                }
                _mm512_mask_storeu_ps(at, masks[tile], activate::<ACTIVATION>(amx, self.activation, sum));
            }
            tile += 1;
        }
    }
}

/// Into the tiles' order, as the inputs of the next layer.
#[derive(Clone, Copy)]
pub(super) struct Hidden {
    pub(super) planes: Planes,
    /// The next layer's.
    pub(super) depth: Depth,
    /// The strip that is the planes' first group.
    pub(super) first: usize,
    pub(super) splitter: Splitter,
    pub(super) activation: Activation,
}

impl Finish for Hidden {
    /// Offset of the group in a row, and whether it is the tail.
    type Strip = (usize, bool);

    #[inline(always)]
    fn strip<const V: usize>(&self, strip: Strip) -> Self::Strip {
        let group = strip.first_tile * TILE_COLUMNS / GROUP;
        ((group - self.first) * self.depth.group_len(), V == 1 && self.depth.tail)
    }

    #[inline(always)]
    unsafe fn row<const V: usize, const ACTIVATION: u8, const ACCUMULATE: bool>(
        &self,
        amx: Amx,
        (offset, tail): Self::Strip,
        row: usize,
        sums: *const f32,
    ) {
        // SAFETY: the planes have this row and group.
        unsafe {
            let target = self.planes.row(row).add(offset);
            let first = activate::<ACTIVATION>(amx, self.activation, amx.load(sums));
            if tail {
                self.splitter.write_tail(target, first);
                return;
            }
            let second = if V == 2 {
                activate::<ACTIVATION>(amx, self.activation, amx.load(sums.add(TILE_COLUMNS)))
            } else {
                amx.zero()
            };
            match self.depth.precision {
                Precision::F32 => self.splitter.write_split(target, first, second),
                Precision::Bf16 => self.splitter.write_bf16(target, first, second),
            }
        }
    }
}
