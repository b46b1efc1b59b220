//! One block of sums in tile registers: the instructions, shape by shape.
//!
//! Registers 0 to 3 hold sums, 4 and 5 rows of the input, 6 and 7 weights. A tile of the input or of sums has as many
//! rows as [`configure`] was told, a tile of weights always 16 (two inputs each), and every row is 64 bytes. The
//! registers keep their values between the functions here; nothing else in the process uses them on this thread.

use core::arch::asm;

use super::pack::{TILE_BYTES, WEIGHT_ROW};

/// What `ldtilecfg` reads: palette 1, and rows and bytes a row of each register.
#[repr(C, align(64))]
struct Configuration {
    palette: u8,
    start_row: u8,
    reserved: [u8; 14],
    row_bytes: [u16; 16],
    rows: [u8; 16],
}

/// Opens the tile registers; closed again when dropped, since an open tile unit costs at every context switch.
pub(super) struct Tiles(());

impl Tiles {
    /// Sets up the registers for tiles of `rows` rows.
    ///
    /// # Safety
    /// The CPU has AMX and the system grants it; `1 <= rows <= 16`; no other value of this type lives on this thread.
    #[inline(always)]
    pub(super) unsafe fn open(rows: usize) -> Self {
        debug_assert!((1..=16).contains(&rows));
        let mut configuration =
            Configuration { palette: 1, start_row: 0, reserved: [0; 14], row_bytes: [0; 16], rows: [0; 16] };
        configuration.row_bytes[..8].fill(64);
        configuration.rows[..6].fill(rows as u8);
        configuration.rows[6..8].fill(16);
        // SAFETY: the configuration is valid, and the caller vouches for the instruction.
        unsafe { asm!("ldtilecfg [{}]", in(reg) &raw const configuration, options(nostack, preserves_flags)) };
        Self(())
    }
}

impl Drop for Tiles {
    #[inline(always)]
    fn drop(&mut self) {
        // SAFETY: `open` needed the same instructions.
        unsafe { asm!("tilerelease", options(nostack, nomem, preserves_flags)) };
    }
}

/// Which registers make up a block of sums.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// Two tiles of rows, two of output channels.
    Pair,
    /// Four tiles of rows, one of output channels.
    Quad,
    /// Two tiles of rows, one of output channels.
    Duo,
}

impl Shape {
    /// Tiles of rows.
    #[inline(always)]
    pub(super) fn row_tiles(self) -> usize {
        if self == Self::Quad { 4 } else { 2 }
    }
}

/// Runs assembly on operands that are all read only.
macro_rules! tile_asm {
    ([$($text:expr),+ $(,)?] $($operands:tt)*) => {
        asm!(concat!($($text, "\n"),+), $($operands)*
            out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
            out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
            options(nostack, preserves_flags))
    };
}

/// Every sum starts at its channel's bias: a stride of zero reads the same 16 floats for all rows.
///
/// # Safety
/// Tiles are open; `bias` has 16 floats for each tile of output channels.
#[inline(always)]
pub(super) unsafe fn start(shape: Shape, bias: *const f32) {
    // SAFETY: the caller vouches for the floats.
    unsafe {
        match shape {
            Shape::Pair => tile_asm!([
                "tileloadd tmm0, [{bias} + {zero}*1]",
                "tileloadd tmm1, [{bias} + {zero}*1 + 64]",
                "tileloadd tmm2, [{bias} + {zero}*1]",
                "tileloadd tmm3, [{bias} + {zero}*1 + 64]",
            ] bias = in(reg) bias, zero = in(reg) 0usize,),
            Shape::Quad | Shape::Duo => tile_asm!([
                "tileloadd tmm0, [{bias} + {zero}*1]",
                "tileloadd tmm1, [{bias} + {zero}*1]",
                "tileloadd tmm2, [{bias} + {zero}*1]",
                "tileloadd tmm3, [{bias} + {zero}*1]",
            ] bias = in(reg) bias, zero = in(reg) 0usize,),
        }
    }
}

/// Writes the sums to `buffer` as `[rows of all tiles, 16 · column tiles]`.
///
/// # Safety
/// Tiles of `rows` rows are open, and `buffer` has room.
#[inline(always)]
pub(super) unsafe fn finish(shape: Shape, buffer: *mut f32, rows: usize) {
    // SAFETY: the caller vouches for the room.
    unsafe {
        match shape {
            Shape::Pair => tile_asm!([
                "tilestored [{upper} + {stride}*1], tmm0",
                "tilestored [{upper} + {stride}*1 + 64], tmm1",
                "tilestored [{lower} + {stride}*1], tmm2",
                "tilestored [{lower} + {stride}*1 + 64], tmm3",
            ] upper = in(reg) buffer, lower = in(reg) buffer.add(32 * rows), stride = in(reg) 128usize,),
            Shape::Quad => tile_asm!([
                "tilestored [{first} + {stride}*1], tmm0",
                "tilestored [{second} + {stride}*1], tmm1",
                "tilestored [{third} + {stride}*1], tmm2",
                "tilestored [{fourth} + {stride}*1], tmm3",
            ] first = in(reg) buffer, second = in(reg) buffer.add(16 * rows), third = in(reg) buffer.add(32 * rows),
                fourth = in(reg) buffer.add(48 * rows), stride = in(reg) 64usize,),
            Shape::Duo => tile_asm!([
                "tilestored [{first} + {stride}*1], tmm0",
                "tilestored [{second} + {stride}*1], tmm1",
            ] first = in(reg) buffer, second = in(reg) buffer.add(16 * rows), stride = in(reg) 64usize,),
        }
    }
}

/// What a step multiplies: where its input starts, the bytes between rows and between tiles of rows, and its weights.
#[derive(Clone, Copy)]
pub(super) struct Operands {
    pub(super) input: *const u8,
    pub(super) row_bytes: usize,
    pub(super) tile_bytes: usize,
    pub(super) weight: *const u8,
}

/// Input tiles at byte `$at` of the step.
macro_rules! input {
    (pair $at:literal) => {
        concat!(
            "tileloadd tmm4, [{first} + {rows}*1 + ",
            $at,
            "]\n",
            "tileloadd tmm5, [{second} + {rows}*1 + ",
            $at,
            "]",
        )
    };
}

/// Products with weight tiles number `$tile` (and the next) of the step.
macro_rules! product {
    (pair $tile:literal, $next:literal) => {
        concat!(
            "tileloadd tmm6, [{weight} + {line}*1 + 1024*",
            $tile,
            "]\n",
            "tdpbf16ps tmm0, tmm4, tmm6\n",
            "tdpbf16ps tmm2, tmm5, tmm6\n",
            "tileloadd tmm7, [{weight} + {line}*1 + 1024*",
            $next,
            "]\n",
            "tdpbf16ps tmm1, tmm4, tmm7\n",
            "tdpbf16ps tmm3, tmm5, tmm7",
        )
    };
    (quad $at:literal, $tile:literal) => {
        concat!(
            "tileloadd tmm6, [{weight} + {line}*1 + 1024*",
            $tile,
            "]\n",
            "tileloadd tmm4, [{first} + {rows}*1 + ",
            $at,
            "]\n",
            "tdpbf16ps tmm0, tmm4, tmm6\n",
            "tileloadd tmm5, [{second} + {rows}*1 + ",
            $at,
            "]\n",
            "tdpbf16ps tmm1, tmm5, tmm6\n",
            "tileloadd tmm4, [{third} + {rows}*1 + ",
            $at,
            "]\n",
            "tdpbf16ps tmm2, tmm4, tmm6\n",
            "tileloadd tmm5, [{fourth} + {rows}*1 + ",
            $at,
            "]\n",
            "tdpbf16ps tmm3, tmm5, tmm6",
        )
    };
    (duo $at:literal, $tile:literal) => {
        concat!(
            "tileloadd tmm6, [{weight} + {line}*1 + 1024*",
            $tile,
            "]\n",
            "tileloadd tmm4, [{first} + {rows}*1 + ",
            $at,
            "]\n",
            "tdpbf16ps tmm0, tmm4, tmm6\n",
            "tileloadd tmm5, [{second} + {rows}*1 + ",
            $at,
            "]\n",
            "tdpbf16ps tmm1, tmm5, tmm6",
        )
    };
}

/// The assembly of one step, for the operands that its shape has.
macro_rules! step {
    (pair $operands:ident, [$($text:expr),+ $(,)?]) => {
        tile_asm!([$($text),+]
            first = in(reg) $operands.input,
            second = in(reg) $operands.input.wrapping_add($operands.tile_bytes),
            rows = in(reg) $operands.row_bytes,
            weight = in(reg) $operands.weight,
            line = in(reg) WEIGHT_ROW,)
    };
    (duo $operands:ident, [$($text:expr),+ $(,)?]) => {
        step!(pair $operands, [$($text),+])
    };
    (quad $operands:ident, [$($text:expr),+ $(,)?]) => {
        tile_asm!([$($text),+]
            first = in(reg) $operands.input,
            second = in(reg) $operands.input.wrapping_add($operands.tile_bytes),
            third = in(reg) $operands.input.wrapping_add(2 * $operands.tile_bytes),
            fourth = in(reg) $operands.input.wrapping_add(3 * $operands.tile_bytes),
            rows = in(reg) $operands.row_bytes,
            weight = in(reg) $operands.weight,
            line = in(reg) WEIGHT_ROW,)
    };
}

const _: () = assert!(TILE_BYTES == 1024 && WEIGHT_ROW == 64, "as the assembly has it");

/// 32 inputs in three parts: the six largest of the nine products of parts.
///
/// # Safety
/// Tiles are open; the operands are readable: 192 bytes of every input row, three tiles of weights a column tile.
#[inline(always)]
pub(super) unsafe fn split_group(shape: Shape, operands: Operands) {
    // SAFETY: the caller vouches for the operands.
    unsafe {
        match shape {
            Shape::Pair => step!(pair operands, [
                input!(pair 0),
                product!(pair 0, 1),
                product!(pair 2, 3),
                product!(pair 4, 5),
                input!(pair 64),
                product!(pair 2, 3),
                product!(pair 0, 1),
                input!(pair 128),
                product!(pair 0, 1),
            ]),
            Shape::Quad => step!(quad operands, [
                product!(quad 0, 0),
                product!(quad 0, 1),
                product!(quad 0, 2),
                product!(quad 64, 1),
                product!(quad 64, 0),
                product!(quad 128, 0),
            ]),
            Shape::Duo => step!(duo operands, [
                product!(duo 0, 0),
                product!(duo 0, 1),
                product!(duo 0, 2),
                product!(duo 64, 1),
                product!(duo 64, 0),
                product!(duo 128, 0),
            ]),
        }
    }
}

/// The last 16 inputs in three parts: a row holds `high high middle low`, and three overlapping tiles of it meet weights
/// `high middle`, `low high` and `middle high`.
///
/// # Safety
/// As for [`split_group`], with 128 bytes of every input row.
#[inline(always)]
pub(super) unsafe fn split_tail(shape: Shape, operands: Operands) {
    // SAFETY: the caller vouches for the operands.
    unsafe {
        match shape {
            Shape::Pair => step!(pair operands, [
                input!(pair 0),
                product!(pair 0, 1),
                input!(pair 32),
                product!(pair 2, 3),
                input!(pair 64),
                product!(pair 4, 5),
            ]),
            Shape::Quad => step!(quad operands, [
                product!(quad 0, 0),
                product!(quad 32, 1),
                product!(quad 64, 2),
            ]),
            Shape::Duo => step!(duo operands, [
                product!(duo 0, 0),
                product!(duo 32, 1),
                product!(duo 64, 2),
            ]),
        }
    }
}

/// 32 inputs in bfloat16.
///
/// # Safety
/// As for [`split_group`], with 64 bytes of every input row and one tile of weights a column tile.
#[inline(always)]
pub(super) unsafe fn bf16_group(shape: Shape, operands: Operands) {
    // SAFETY: the caller vouches for the operands.
    unsafe {
        match shape {
            Shape::Pair => step!(pair operands, [input!(pair 0), product!(pair 0, 1)]),
            Shape::Quad => step!(quad operands, [product!(quad 0, 0)]),
            Shape::Duo => step!(duo operands, [product!(duo 0, 0)]),
        }
    }
}
