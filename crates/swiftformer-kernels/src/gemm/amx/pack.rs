//! Weights and activations in the order in which tiles read them.
//!
//! In `f32` a number is the sum of three bfloat16 (8 significant bits each make 24): high, middle and low. Inputs come in
//! groups of 32; a rest of up to 16 makes a tail, in which the halves of a tile belong to different parts, so that 48
//! inputs cost one and a half groups, not two.

use core::arch::x86_64::*;

use half::bf16;

use crate::{Precision, buffer::AlignedBuffer};

/// Bytes of a tile of weights.
pub(super) const TILE_BYTES: usize = 1024;
/// Bytes of one of its rows: two inputs for each of 16 output channels.
pub(super) const WEIGHT_ROW: usize = 64;
/// Output channels of a tile.
pub(super) const TILE_COLUMNS: usize = 16;
/// Inputs of a group.
pub(super) const GROUP: usize = 32;
/// bfloat16 numbers in a cache line.
const LINE: usize = 32;
/// bfloat16 numbers in a tile.
const TILE_LEN: usize = TILE_BYTES / 2;
/// Parts of an `f32`.
const PARTS: usize = 3;

/// How the inputs of a matrix lie in the rows that tiles read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Depth {
    pub(super) precision: Precision,
    /// Groups of 32 inputs, the last one zero-padded.
    pub(super) groups: usize,
    /// Whether up to 16 inputs more follow.
    pub(super) tail: bool,
}

impl Depth {
    pub(crate) fn new(precision: Precision, inputs: usize) -> Self {
        let rest = inputs % GROUP;
        let tail = precision == Precision::F32 && (1..=16).contains(&rest);
        Self { precision, groups: inputs / GROUP + usize::from(rest > 0 && !tail), tail }
    }

    /// Parts of a number, each a bfloat16: also tiles of weights for a step and a tile of output channels.
    pub(super) fn parts(self) -> usize {
        match self.precision {
            Precision::F32 => PARTS,
            Precision::Bf16 => 1,
        }
    }

    /// Products of tiles in a step: of nine pairs of parts six count. (The tail has half as many.)
    pub(super) fn products(self) -> usize {
        match self.precision {
            Precision::F32 => 6,
            Precision::Bf16 => 1,
        }
    }

    /// bfloat16 numbers of a group in a row.
    pub(super) fn group_len(self) -> usize {
        self.parts() * GROUP
    }

    /// bfloat16 numbers from one row to the next: an odd number of cache lines, so that the rows of a tile lie in
    /// different sets of the cache.
    pub(crate) fn row_len(self) -> usize {
        let len = self.groups * self.group_len() + if self.tail { 2 * LINE } else { 0 };
        (len.div_ceil(LINE) | 1) * LINE
    }

    /// Tiles of weights for one tile of output channels.
    fn tiles(self) -> usize {
        self.steps() * self.parts()
    }

    /// Groups, and the tail as one more.
    pub(super) fn steps(self) -> usize {
        self.groups + usize::from(self.tail)
    }
}

/// A weight matrix in tiles: strips of two tiles of output channels, then one of a single tile if their number is odd. In
/// a strip, step after step, the parts of a group side by side, and of each part the strip's tiles.
#[derive(Clone, Debug)]
pub(crate) struct TileMatrix {
    pub(super) depth: Depth,
    column_tiles: usize,
    weight: AlignedBuffer<u16>,
    bias: AlignedBuffer,
}

impl TileMatrix {
    /// Packs `[outputs, inputs]`.
    pub(crate) fn pack(
        precision: Precision,
        weight: &[f32],
        bias: Option<&[f32]>,
        inputs: usize,
        outputs: usize,
    ) -> Self {
        let depth = Depth::new(precision, inputs);
        let column_tiles = outputs.div_ceil(TILE_COLUMNS);
        let mut packed = Self {
            depth,
            column_tiles,
            weight: AlignedBuffer::zeros(column_tiles * depth.tiles() * TILE_LEN),
            bias: AlignedBuffer::zeros(column_tiles * TILE_COLUMNS),
        };
        if let Some(bias) = bias {
            packed.bias[..outputs].copy_from_slice(bias);
        }
        for column in 0..outputs {
            let row = &weight[column * inputs..][..inputs];
            let strip = packed.strip(column / TILE_COLUMNS / 2);
            // Where this column starts in its strip's first tile, and from a tile of it to the next.
            let strip_start = strip.first_tile * depth.tiles() * TILE_LEN;
            let start = strip_start + (column / TILE_COLUMNS % 2) * TILE_LEN + 2 * (column % TILE_COLUMNS);
            let step = strip.tiles * TILE_LEN;
            for (group, values) in row.chunks(GROUP).enumerate() {
                let target = &mut packed.weight[start + group * depth.parts() * step..];
                for (input, &value) in values.iter().enumerate() {
                    // Two inputs lie side by side, the next two a row further.
                    let at = |input: usize| input / 2 * (WEIGHT_ROW / 2) + input % 2;
                    if precision == Precision::Bf16 {
                        target[at(input)] = bf16::from_f32(value).to_bits();
                        continue;
                    }
                    let [high, middle, low] = split(value);
                    if group < depth.groups {
                        target[at(input)] = high;
                        target[step + at(input)] = middle;
                        target[2 * step + at(input)] = low;
                    } else {
                        for (tile, [first, second]) in [[high, middle], [low, high], [middle, high]].iter().enumerate()
                        {
                            target[tile * step + at(input)] = *first;
                            target[tile * step + at(input + 16)] = *second;
                        }
                    }
                }
            }
        }
        packed
    }

    /// Strips of output channels.
    pub(super) fn strips(&self) -> usize {
        self.column_tiles.div_ceil(2)
    }

    #[inline(always)]
    pub(super) fn strip(&self, index: usize) -> Strip {
        let first_tile = 2 * index;
        Strip { first_tile, tiles: 2.min(self.column_tiles - first_tile) }
    }

    /// A strip's weights from step `step` on.
    #[inline(always)]
    pub(super) fn strip_weight(&self, strip: Strip, step: usize) -> *const u8 {
        let tiles = strip.first_tile * self.depth.tiles() + strip.tiles * step * self.depth.parts();
        self.weight[tiles * TILE_LEN..].as_ptr().cast()
    }

    /// A strip's bias: 16 floats a tile.
    #[inline(always)]
    pub(super) fn strip_bias(&self, strip: Strip) -> *const f32 {
        self.bias[strip.first_tile * TILE_COLUMNS..][..strip.tiles * TILE_COLUMNS].as_ptr()
    }
}

/// One or two tiles of output channels.
#[derive(Clone, Copy, Debug)]
pub(super) struct Strip {
    pub(super) first_tile: usize,
    pub(super) tiles: usize,
}

/// The three bfloat16 whose sum is `value`, each nearest to what is left.
fn split(value: f32) -> [u16; 3] {
    let mut high = bf16::from_f32(value);
    if !value.is_finite() {
        return [high.to_bits(), 0, 0];
    }
    if !high.is_finite() {
        // The largest numbers would round to infinity.
        high = bf16::from_bits((value.to_bits() >> 16) as u16);
    }
    let rest = value - high.to_f32();
    let middle = bf16::from_f32(rest);
    [high, middle, bf16::from_f32(rest - middle.to_f32())].map(bf16::to_bits)
}

/// The vectors that splitting needs.
#[derive(Clone, Copy)]
pub(super) struct Splitter {
    /// The upper halves of the lanes of one vector, then of another.
    upper_halves: __m512i,
    upper_mask: __m512i,
}

impl Splitter {
    /// # Safety
    /// The CPU has AVX-512.
    #[inline(always)]
    pub(super) unsafe fn new() -> Self {
        let mut words = [0i16; 32];
        for (index, word) in words.iter_mut().enumerate() {
            *word = 2 * index as i16 + 1;
        }
        // SAFETY: 64 readable bytes; the caller vouches for the instructions.
        unsafe {
            Self {
                upper_halves: _mm512_loadu_si512(words.as_ptr().cast()),
                upper_mask: _mm512_set1_epi32(0xffff_0000u32 as i32),
            }
        }
    }

    /// What is left of every lane without its upper half, exactly.
    #[inline(always)]
    unsafe fn rest(self, value: __m512) -> __m512 {
        // SAFETY: registers only; `new` promised the instructions.
        unsafe {
            let high = _mm512_castsi512_ps(_mm512_and_si512(_mm512_castps_si512(value), self.upper_mask));
            _mm512_sub_ps(value, high)
        }
    }

    #[inline(always)]
    unsafe fn upper(self, first: __m512, second: __m512) -> __m512i {
        // SAFETY: registers only; `new` promised the instructions.
        unsafe { _mm512_permutex2var_epi16(_mm512_castps_si512(first), self.upper_halves, _mm512_castps_si512(second)) }
    }

    /// Writes a group of 32 numbers in three parts, each cut off (not rounded) where it ends: their sum is exact.
    ///
    /// # Safety
    /// `target` has room for 96 numbers.
    #[inline(always)]
    pub(super) unsafe fn write_split(self, target: *mut u16, first: __m512, second: __m512) {
        // SAFETY: the caller vouches for the room.
        unsafe {
            let (first_rest, second_rest) = (self.rest(first), self.rest(second));
            _mm512_storeu_si512(target.cast(), self.upper(first, second));
            _mm512_storeu_si512(target.add(GROUP).cast(), self.upper(first_rest, second_rest));
            let low = self.upper(self.rest(first_rest), self.rest(second_rest));
            _mm512_storeu_si512(target.add(2 * GROUP).cast(), low);
        }
    }

    /// Writes a tail of 16 numbers: high, high, middle, low.
    ///
    /// # Safety
    /// `target` has room for 64 numbers.
    #[inline(always)]
    pub(super) unsafe fn write_tail(self, target: *mut u16, values: __m512) {
        // SAFETY: the caller vouches for the room.
        unsafe {
            let rest = self.rest(values);
            _mm512_storeu_si512(target.cast(), self.upper(values, values));
            _mm512_storeu_si512(target.add(LINE).cast(), self.upper(rest, self.rest(rest)));
        }
    }

    /// Writes a group of 32 numbers, rounded.
    ///
    /// # Safety
    /// `target` has room for 32 numbers; the CPU has AVX-512 BF16.
    #[inline(always)]
    pub(super) unsafe fn write_bf16(self, target: *mut u16, first: __m512, second: __m512) {
        // SAFETY: the caller vouches for the room and the instruction.
        unsafe {
            let rounded = _mm512_cvtne2ps_pbh(second, first);
            _mm512_storeu_si512(target.cast(), core::mem::transmute::<__m512bh, __m512i>(rounded));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_three_parts_of_a_number_add_up_to_it() {
        for value in [1.0f32, -1.0, 0.1, 1.234_567_9, -2.5e-7, 1e30, 16_777_215.0, f32::MAX, 0.0, -0.0] {
            let sum: f64 = split(value).into_iter().map(|part| bf16::from_bits(part).to_f64()).sum();
            assert_eq!(sum, f64::from(value));
        }
    }

    #[test]
    fn depths_take_a_tail_where_it_saves_half_a_group() {
        let of = |inputs| {
            let depth = Depth::new(Precision::F32, inputs);
            (depth.groups, depth.tail)
        };
        assert_eq!(
            [0, 1, 16, 17, 32, 48, 56, 220].map(of),
            [(0, false), (0, true), (0, true), (1, false), (1, false), (1, true), (2, false), (7, false)]
        );
        assert_eq!(Depth::new(Precision::Bf16, 48), Depth { precision: Precision::Bf16, groups: 2, tail: false });
    }
}
