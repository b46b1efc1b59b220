//! One block of sums in tile registers: the instructions, shape by shape.
//!
//! Registers 0 to 3 hold sums, 4 and 5 rows of the input, 6 and 7 weights. A tile of the input or of sums has as many
//! rows as [`Tiles::open`] was told, a tile of weights always 16 (two inputs each), and every row is 64 bytes. The
//! registers keep their values between the functions here; nothing else in the process uses them on this thread.

use core::arch::asm;

use super::pack::{TILE_BYTES, WEIGHT_ROW};

const _: () = assert!(TILE_BYTES == 1024 && WEIGHT_ROW == 64, "as the assembly has it");

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

/// What a product reads: where its input starts, the bytes between rows and between tiles of rows, and its weights.
#[derive(Clone, Copy)]
pub(super) struct Operands {
    pub(super) input: *const u8,
    pub(super) row_bytes: usize,
    pub(super) tile_bytes: usize,
    pub(super) weight: *const u8,
}

/// Adds the products of the input tiles at byte `AT` with weight tile `TILE` of every column tile. Of a [`Shape::Pair`]
/// the input is loaded only if `LOAD`: otherwise it is that of the product before.
///
/// # Safety
/// Tiles are open; 64 bytes of every input row from `AT` on, and the weights, are readable.
#[inline(always)]
pub(super) unsafe fn product<const AT: usize, const TILE: usize, const LOAD: bool>(shape: Shape, operands: Operands) {
    let Operands { input, row_bytes, tile_bytes, weight } = operands;
    let input = input.wrapping_add(AT);
    // SAFETY: the caller vouches for the operands.
    unsafe {
        match shape {
            Shape::Pair => {
                if LOAD {
                    tile_asm!([
                        "tileloadd tmm4, [{first} + {rows}*1]",
                        "tileloadd tmm5, [{second} + {rows}*1]",
                    ] first = in(reg) input, second = in(reg) input.wrapping_add(tile_bytes), rows = in(reg) row_bytes,);
                }
                let weight = weight.wrapping_add(2 * TILE * TILE_BYTES);
                tile_asm!([
                    "tileloadd tmm6, [{weight} + {line}*1]",
                    "tdpbf16ps tmm0, tmm4, tmm6",
                    "tdpbf16ps tmm2, tmm5, tmm6",
                    "tileloadd tmm7, [{weight} + {line}*1 + 1024]",
                    "tdpbf16ps tmm1, tmm4, tmm7",
                    "tdpbf16ps tmm3, tmm5, tmm7",
                ] weight = in(reg) weight, line = in(reg) WEIGHT_ROW,);
            }
            Shape::Quad => tile_asm!([
                "tileloadd tmm6, [{weight} + {line}*1]",
                "tileloadd tmm4, [{first} + {rows}*1]",
                "tdpbf16ps tmm0, tmm4, tmm6",
                "tileloadd tmm5, [{second} + {rows}*1]",
                "tdpbf16ps tmm1, tmm5, tmm6",
                "tileloadd tmm4, [{third} + {rows}*1]",
                "tdpbf16ps tmm2, tmm4, tmm6",
                "tileloadd tmm5, [{fourth} + {rows}*1]",
                "tdpbf16ps tmm3, tmm5, tmm6",
            ] first = in(reg) input, second = in(reg) input.wrapping_add(tile_bytes),
                third = in(reg) input.wrapping_add(2 * tile_bytes), fourth = in(reg) input.wrapping_add(3 * tile_bytes),
                rows = in(reg) row_bytes, weight = in(reg) weight.wrapping_add(TILE * TILE_BYTES),
                line = in(reg) WEIGHT_ROW,),
            Shape::Duo => tile_asm!([
                "tileloadd tmm6, [{weight} + {line}*1]",
                "tileloadd tmm4, [{first} + {rows}*1]",
                "tdpbf16ps tmm0, tmm4, tmm6",
                "tileloadd tmm5, [{second} + {rows}*1]",
                "tdpbf16ps tmm1, tmm5, tmm6",
            ] first = in(reg) input, second = in(reg) input.wrapping_add(tile_bytes), rows = in(reg) row_bytes,
                weight = in(reg) weight.wrapping_add(TILE * TILE_BYTES), line = in(reg) WEIGHT_ROW,),
        }
    }
}
