//! Weights and activations in the order in which tiles read them.
//!
//! In `f32` a number is the sum of three bfloat16 (8 significant bits each make 24): high, middle and low. Inputs come in
//! groups of 32; a rest of up to 16 makes a tail, in which the halves of a tile belong to different parts, so that 48
//! inputs cost one and a half groups, not two.

use core::arch::x86_64::*;

use crate::{
    Precision,
    buffer::AlignedBuffer,
    gemm::scratch::{LINE, row_stride},
    isa::{Isa, amx::Amx},
};

/// Bytes of a tile of weights.
pub(super) const TILE_BYTES: usize = 1024;
/// Bytes of one of its rows: two inputs for each of 16 output channels.
pub(super) const WEIGHT_ROW: usize = 64;
/// Output channels of a tile.
pub(super) const TILE_COLUMNS: usize = 16;
/// Inputs of a group.
pub(super) const GROUP: usize = 32;
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

    /// bfloat16 numbers from one row to the next.
    pub(crate) fn row_len(self) -> usize {
        let len = self.groups * self.group_len() + if self.tail { 2 * LINE } else { 0 };
        row_stride(len)
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
    #[inline(always)]
    pub(crate) fn pack(
        amx: Amx,
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
            weight: AlignedBuffer::for_weights(column_tiles * depth.tiles() * TILE_LEN),
            bias: AlignedBuffer::zeros(column_tiles * TILE_COLUMNS),
        };
        if let Some(bias) = bias {
            packed.bias[..outputs].copy_from_slice(bias);
        }
        let columns = weight.chunks(TILE_COLUMNS * inputs.max(1)).take(column_tiles);
        for (index, columns) in columns.enumerate() {
            packed.pack_columns(amx, index, columns, inputs);
        }
        packed
    }

    /// Packs tile `index` of output channels, whose weights are `[channels, inputs]`.
    #[inline(always)]
    fn pack_columns(&mut self, amx: Amx, index: usize, columns: &[f32], inputs: usize) {
        let Depth { precision, groups, .. } = self.depth;
        let strip = self.strip(index / 2);
        let start = (strip.first_tile * self.depth.tiles() + index % 2) * TILE_LEN;
        // From one part of a group to the next, and from a group to the next.
        let part = strip.tiles * TILE_LEN;
        let step = self.depth.parts() * part;
        let mut tiles = [Pairs::default(); PARTS];
        for group in 0..self.depth.steps() {
            for (column, row) in columns.chunks_exact(inputs).enumerate() {
                let row = &row[group * GROUP..inputs.min((group + 1) * GROUP)];
                let (first, second) = row.split_at(row.len().min(16));
                let (first, second) = (amx.load_chunk(first), amx.load_chunk(second));
                // SAFETY: the token proves AVX-512.
                unsafe {
                    if precision == Precision::Bf16 {
                        tiles[0].set(column, round(first), round(second));
                        continue;
                    }
                    let [high, middle, low] = split(first);
                    let rows = if group < groups {
                        let second = split(second);
                        [[high, second[0]], [middle, second[1]], [low, second[2]]]
                    } else {
                        [[high, middle], [low, high], [middle, high]]
                    };
                    for (tile, [first, second]) in tiles.iter_mut().zip(rows) {
                        tile.set(column, first, second);
                    }
                }
            }
            for (index, tile) in tiles[..self.depth.parts()].iter().enumerate() {
                let target = &mut self.weight[start + group * step + index * part..][..TILE_LEN];
                // SAFETY: the token proves AVX-512.
                unsafe { tile.write(target) };
            }
        }
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

/// A tile of weights before it is turned: for each of 16 output channels 16 pairs of inputs.
#[derive(Clone, Copy, Default)]
#[repr(C, align(64))]
struct Pairs([[u32; 16]; TILE_COLUMNS]);

impl Pairs {
    /// Sets the inputs of a channel: 16, then 16 more.
    ///
    /// # Safety
    /// The CPU has AVX-512.
    #[inline(always)]
    unsafe fn set(&mut self, column: usize, first: __m256i, second: __m256i) {
        let row = &mut self.0[column];
        // SAFETY: a row has 64 bytes, each half of it 32; the caller vouches for the instructions.
        unsafe {
            _mm256_storeu_si256(row.as_mut_ptr().cast(), first);
            _mm256_storeu_si256(row[8..].as_mut_ptr().cast(), second);
        }
    }

    /// Writes the tile as the CPU reads it: a row for each pair of inputs, with all channels.
    ///
    /// # Safety
    /// The CPU has AVX-512.
    #[inline(always)]
    unsafe fn write(&self, target: &mut [u16]) {
        const { assert!(size_of::<Self>() == TILE_BYTES) };
        for (pair, row) in target.as_chunks_mut::<{ WEIGHT_ROW / 2 }>().0.iter_mut().enumerate() {
            let columns = self.0.map(|column| column[pair % 16]);
            // SAFETY: both have 64 bytes; the caller vouches for the instructions.
            unsafe { _mm512_storeu_si512(row.as_mut_ptr().cast(), _mm512_loadu_si512(columns.as_ptr().cast())) };
        }
    }
}

/// The three bfloat16 whose sum is the value, each nearest to what is left: sixteen times high, middle, low.
///
/// # Safety
/// The CPU has AVX-512.
#[inline(always)]
unsafe fn split(value: __m512) -> [__m256i; PARTS] {
    // SAFETY: registers only; the caller vouches for the instructions.
    unsafe {
        let infinity = _mm512_set1_epi32(0x7f80_0000);
        let magnitude = |bits: __m512i| _mm512_and_si512(bits, _mm512_set1_epi32(0x7fff_ffff));
        let bits = _mm512_castps_si512(value);
        let rounded = rounded_bits(value);
        // The largest numbers would round to infinity: they are cut off.
        let too_large =
            _mm512_cmplt_epi32_mask(magnitude(bits), infinity) & _mm512_cmpge_epi32_mask(magnitude(rounded), infinity);
        let high = _mm512_mask_and_epi32(rounded, too_large, bits, _mm512_set1_epi32(0xffff_0000u32 as i32));
        // Of an infinity or NaN nothing is left.
        let finite = _mm512_cmplt_epi32_mask(magnitude(bits), infinity);
        let rest = _mm512_maskz_sub_ps(finite, value, _mm512_castsi512_ps(high));
        let middle = rounded_bits(rest);
        let low = rounded_bits(_mm512_sub_ps(rest, _mm512_castsi512_ps(middle)));
        [upper_halves(high), upper_halves(middle), upper_halves(low)]
    }
}

/// The nearest bfloat16.
///
/// # Safety
/// The CPU has AVX-512.
#[inline(always)]
unsafe fn round(value: __m512) -> __m256i {
    // SAFETY: as the caller promises.
    unsafe { upper_halves(rounded_bits(value)) }
}

/// # Safety
/// The CPU has AVX-512.
#[inline(always)]
unsafe fn upper_halves(bits: __m512i) -> __m256i {
    // SAFETY: registers only; the caller vouches for the instructions.
    unsafe { _mm512_cvtepi32_epi16(_mm512_srli_epi32::<16>(bits)) }
}

/// The nearest bfloat16, ties to even, as the bits of an `f32`; NaN stays NaN.
///
/// # Safety
/// The CPU has AVX-512.
#[inline(always)]
unsafe fn rounded_bits(value: __m512) -> __m512i {
    // SAFETY: registers only; the caller vouches for the instructions.
    unsafe {
        let bits = _mm512_castps_si512(value);
        let odd = _mm512_and_si512(_mm512_srli_epi32::<16>(bits), _mm512_set1_epi32(1));
        let sum = _mm512_add_epi32(_mm512_add_epi32(bits, _mm512_set1_epi32(0x7fff)), odd);
        let nan = _mm512_cmp_ps_mask::<_CMP_UNORD_Q>(value, value);
        let kept = _mm512_mask_or_epi32(sum, nan, bits, _mm512_set1_epi32(0x0040_0000));
        _mm512_and_si512(kept, _mm512_set1_epi32(0xffff_0000u32 as i32))
    }
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
    use half::bf16;

    use super::*;

    /// The parts of sixteen numbers, or `None` where this machine has not the instructions (said aloud).
    fn parts_of(values: [f32; 16]) -> Option<[[u16; 16]; PARTS]> {
        #[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq")]
        unsafe fn all(values: [f32; 16]) -> [[u16; 16]; PARTS] {
            // SAFETY: 64 readable bytes, and 32 bytes each as they are.
            unsafe {
                split(_mm512_loadu_ps(values.as_ptr())).map(|part| core::mem::transmute::<__m256i, [u16; 16]>(part))
            }
        }
        if crate::Kernels::with(crate::IsaKind::Avx512).is_none() {
            eprintln!("this machine has no AVX-512");
            return None;
        }
        // SAFETY: just detected.
        Some(unsafe { all(values) })
    }

    #[test]
    fn the_three_parts_of_a_number_add_up_to_it() {
        let values = [
            1.0f32,
            -1.0,
            0.1,
            1.234_567_9,
            -2.5e-7,
            1e30,
            16_777_215.0,
            f32::MAX,
            0.0,
            -0.0,
            f32::MIN,
            1e-30,
            -6.5e4,
            -7.654_321e-12,
            8_388_609.0,
            0.333_333_34,
        ];
        let Some(parts) = parts_of(values) else { return };
        for (lane, value) in values.into_iter().enumerate() {
            let [high, middle, low] = parts.map(|part| bf16::from_bits(part[lane]));
            assert_eq!(high.to_f64() + middle.to_f64() + low.to_f64(), f64::from(value), "{high} {middle} {low}");
            let nearest = bf16::from_f32(value);
            assert!(high == nearest || !nearest.is_finite(), "{high} is nearest to {value}");
        }
    }

    #[test]
    fn infinity_and_nan_are_their_own_high_part() {
        let mut values = [f32::NAN; 16];
        values[..3].copy_from_slice(&[f32::INFINITY, f32::NEG_INFINITY, f32::from_bits(0x7f80_0001)]);
        let Some(parts) = parts_of(values) else { return };
        assert_eq!(parts[0][..2], [0x7f80, 0xff80]);
        assert!(parts[0][2..].iter().all(|&high| bf16::from_bits(high).is_nan()));
        assert_eq!(parts[1..], [[0; 16]; 2]);
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
