//! Kernels for AVX2, and for AVX-512 with byte permutations. What both share is written once, over registers of 16-bit
//! numbers of either width, whose 128-bit parts do not mix.

use core::arch::x86_64::*;

use super::scalar::rotation::*;
use super::{DctSize, JPEG_LANES, JPEG_STEP, JpegBlocks, scalar};

/// Whether the CPU has AVX-512's byte permutations, beyond what AVX-512 kernels need otherwise.
pub(super) fn has_byte_permutations() -> bool {
    is_x86_feature_detected!("avx512vbmi")
}

/// Defines the kernels for the registers that the surrounding module names.
macro_rules! kernels {
    ($features:literal) => {
        use super::*;

        #[inline]
        #[target_feature(enable = $features)]
        fn pair([first, second]: [i16; 2]) -> Words {
            set32(i32::from(first) & 0xffff | i32::from(second) << 16)
        }

        #[inline]
        #[target_feature(enable = $features)]
        fn dot(words: Words, constants: [i16; 2]) -> Words {
            madd16(words, pair(constants))
        }

        /// Sums and differences of `even` and `odd` in both halves, without `SHIFT` bits.
        #[inline]
        #[target_feature(enable = $features)]
        fn butterfly<const SHIFT: Bits>(even: [Words; 2], odd: [Words; 2]) -> [Words; 2] {
            let sums = [add32(even[0], odd[0]), add32(even[1], odd[1])];
            let differences = [sub32(even[0], odd[0]), sub32(even[1], odd[1])];
            [
                narrow32(sra32::<SHIFT>(sums[0]), sra32::<SHIFT>(sums[1])),
                narrow32(sra32::<SHIFT>(differences[0]), sra32::<SHIFT>(differences[1])),
            ]
        }

        /// Pairs of 16-bit numbers of `a` and `b`.
        #[inline]
        #[target_feature(enable = $features)]
        fn pairs(a: Words, b: Words) -> [Words; 2] {
            [low16(a, b), high16(a, b)]
        }

        #[inline]
        #[target_feature(enable = $features)]
        fn dots(words: [Words; 2], constants: [i16; 2]) -> [Words; 2] {
            [dot(words[0], constants), dot(words[1], constants)]
        }

        #[inline]
        #[target_feature(enable = $features)]
        fn sums(a: [Words; 2], b: [Words; 2]) -> [Words; 2] {
            [add32(a[0], b[0]), add32(a[1], b[1])]
        }

        /// `words` in 32 bits with `16 - DROPPED` fractional bits, plus `round`.
        #[inline]
        #[target_feature(enable = $features)]
        fn scaled<const DROPPED: Bits>(words: Words, round: Words) -> [Words; 2] {
            let [low, high] = pairs(zero(), words);
            [add32(sra32::<DROPPED>(low), round), add32(sra32::<DROPPED>(high), round)]
        }

        #[inline]
        #[target_feature(enable = $features)]
        fn eight<const SHIFT: Bits>(x: [Words; 8]) -> [Words; 8] {
            let round = set32(1 << (SHIFT - 1));
            let even = pairs(x[2], x[6]);
            let (two, three) = (dots(even, EVEN_2), dots(even, EVEN_3));
            let (sum, difference) = (scaled::<3>(add16(x[0], x[4]), round), scaled::<3>(sub16(x[0], x[4]), round));
            let z = pairs(add16(x[7], x[3]), add16(x[5], x[1]));
            let (z3, z4) = (dots(z, ODD_Z3), dots(z, ODD_Z4));
            let (outer, inner) = (pairs(x[7], x[1]), pairs(x[5], x[3]));
            let [y0, y7] = butterfly::<SHIFT>(sums(sum, three), sums(dots(outer, ODD_3), z4));
            let [y1, y6] = butterfly::<SHIFT>(sums(difference, two), sums(dots(inner, ODD_2), z3));
            let less = |a: [Words; 2], b: [Words; 2]| [sub32(a[0], b[0]), sub32(a[1], b[1])];
            let [y2, y5] = butterfly::<SHIFT>(less(difference, two), sums(dots(inner, ODD_1), z4));
            let [y3, y4] = butterfly::<SHIFT>(less(sum, three), sums(dots(outer, ODD_0), z3));
            [y0, y1, y2, y3, y4, y5, y6, y7]
        }

        /// As [`eight`] where the last four numbers are zero.
        #[inline]
        #[target_feature(enable = $features)]
        fn eight_of_four<const SHIFT: Bits>(x: [Words; 4]) -> [Words; 8] {
            let round = set32(1 << (SHIFT - 1));
            let even = pairs(x[2], zero());
            let (two, three) = (dots(even, EVEN_2), dots(even, EVEN_3));
            let base = scaled::<3>(x[0], round);
            let odd = pairs(x[3], x[1]);
            let less = |a: [Words; 2], b: [Words; 2]| [sub32(a[0], b[0]), sub32(a[1], b[1])];
            // Of inputs 3 and 1: the sums of what both rotations give.
            let [y0, y7] = butterfly::<SHIFT>(sums(base, three), dots(odd, [ODD_Z4[0], ODD_3[1] + ODD_Z4[1]]));
            let [y1, y6] = butterfly::<SHIFT>(sums(base, two), dots(odd, [ODD_2[1] + ODD_Z3[0], ODD_Z3[1]]));
            // -20995 + 9633 and -7373 + 9633 fit; the other sums are in reach of 16 bits as well.
            let [y2, y5] = butterfly::<SHIFT>(less(base, two), dots(odd, [ODD_1[1] + ODD_Z4[0], ODD_Z4[1]]));
            let [y3, y4] = butterfly::<SHIFT>(less(base, three), dots(odd, [ODD_Z3[0], ODD_0[1] + ODD_Z3[1]]));
            [y0, y1, y2, y3, y4, y5, y6, y7]
        }

        #[inline]
        #[target_feature(enable = $features)]
        fn four<const SHIFT: Bits>(x: [Words; 8]) -> [Words; 4] {
            let round = set32(1 << (SHIFT - 1));
            let base = scaled::<2>(x[0], round);
            let even = dots(pairs(x[2], x[6]), FOUR_EVEN);
            let (far, near) = (pairs(x[7], x[5]), pairs(x[3], x[1]));
            let zero = sums(dots(far, FOUR_75_0), dots(near, FOUR_31_0));
            let two = sums(dots(far, FOUR_75_2), dots(near, FOUR_31_2));
            let [y0, y3] = butterfly::<SHIFT>(sums(base, even), two);
            let minus = [sub32(base[0], even[0]), sub32(base[1], even[1])];
            let [y1, y2] = butterfly::<SHIFT>(minus, zero);
            [y0, y1, y2, y3]
        }

        /// Sum and difference of the two samples out of `base` (scaled) and the odd coefficients, in 32 bits.
        #[inline]
        #[target_feature(enable = $features)]
        fn two(base: [Words; 2], x: [Words; 8]) -> [[Words; 2]; 2] {
            let odd = sums(dots(pairs(x[7], x[5]), TWO_75), dots(pairs(x[3], x[1]), TWO_31));
            [sums(base, odd), [sub32(base[0], odd[0]), sub32(base[1], odd[1])]]
        }

        /// Where dequantised coefficients are so large that the first pass overflows.
        #[inline]
        #[target_feature(enable = $features)]
        fn overflow(words: Words) -> Words {
            xor(sra16::<13>(words), sra16::<15>(words))
        }

        /// Coefficient `at` of the blocks from lane `lane`, dequantised.
        #[inline]
        #[target_feature(enable = $features)]
        fn coefficient(blocks: &JpegBlocks, quantization: &[i16; 64], at: usize, lane: usize) -> Words {
            let place = &blocks.coefficients()[at * JPEG_LANES + lane..][..LEN];
            // SAFETY: `place` has the length of a register.
            let words = unsafe { load(place.as_ptr().cast()) };
            mul16(words, set16(quantization[at]))
        }

        /// # Safety
        /// The CPU has the features; `out` holds the rows of `size` at `stride`.
        #[target_feature(enable = $features)]
        pub(in crate::jpeg) unsafe fn inverse_dct(
            size: DctSize,
            blocks: &JpegBlocks,
            used: usize,
            quantization: &[i16; 64],
            out: &mut [u8],
            stride: usize,
        ) {
            for lane in (0..JPEG_LANES).step_by(LEN) {
                let read = |row: usize, column: usize| coefficient(blocks, quantization, 8 * row + column, lane);
                match size {
                    DctSize::Eight => {
                        let mut middle = [[zero(); 8]; 8];
                        let first_row = [0, 1, 2, 3, 4, 5, 6, 7].map(|column| overflow(read(0, column)));
                        if any(first_row.into_iter().fold(zero(), |all, one| or(all, one))) {
                            return scalar::inverse_dct(size, blocks, quantization, out, stride);
                        }
                        if used <= 10 {
                            // Zigzag order begins with the corner of 4 x 4.
                            for (column, middle) in middle.iter_mut().enumerate().take(4) {
                                *middle = eight_of_four::<11>([0, 1, 2, 3].map(|row| read(row, column)));
                            }
                            for row in 0..8 {
                                let samples = eight_of_four::<18>([0, 1, 2, 3].map(|column| middle[column][row]));
                                // SAFETY: the caller's.
                                unsafe { store_eight(samples, &mut out[row * stride..][..8 * JPEG_LANES], lane) };
                            }
                        } else {
                            for (column, middle) in middle.iter_mut().enumerate() {
                                *middle = eight::<11>([0, 1, 2, 3, 4, 5, 6, 7].map(|row| read(row, column)));
                            }
                            for row in 0..8 {
                                let columns = [0, 1, 2, 3, 4, 5, 6, 7].map(|column: usize| middle[column][row]);
                                // SAFETY: the caller's.
                                unsafe {
                                    store_eight(eight::<18>(columns), &mut out[row * stride..][..8 * JPEG_LANES], lane)
                                };
                            }
                        }
                    }
                    DctSize::Four => {
                        let mut middle = [[zero(); 4]; 8];
                        let first_row = [0, 1, 2, 3, 4, 5, 6, 7].map(|column| overflow(read(0, column)));
                        if any(first_row.into_iter().fold(zero(), |all, one| or(all, one))) {
                            return scalar::inverse_dct(size, blocks, quantization, out, stride);
                        }
                        for column in [0, 1, 2, 3, 5, 6, 7] {
                            middle[column] = four::<12>([0, 1, 2, 3, 4, 5, 6, 7].map(|row| read(row, column)));
                        }
                        for row in 0..4 {
                            let columns = [0, 1, 2, 3, 4, 5, 6, 7].map(|column: usize| middle[column][row]);
                            store_few(four::<19>(columns), &mut out[row * stride..][..4 * JPEG_LANES], lane);
                        }
                    }
                    DctSize::Two | DctSize::One => {
                        let mut middle = [[[zero(); 2]; 2]; 8];
                        for column in [0, 1, 3, 5, 7] {
                            let x = [0, 1, 2, 3, 4, 5, 6, 7].map(|row| read(row, column));
                            let sums = two(scaled::<1>(x[0], set32(1 << 12)), x);
                            middle[column] = sums.map(|sum| sum.map(|half| sra32::<13>(half)));
                        }
                        for row in 0..2 {
                            let columns = [0, 1, 2, 3, 4, 5, 6, 7].map(|column: usize| {
                                let [low, high] = middle[column][row];
                                narrow32(low, high)
                            });
                            // The first column keeps 32 bits between the passes.
                            let base = middle[0][row].map(|half| add32(sll32::<15>(half), set32(1 << 19)));
                            let samples =
                                two(base, columns).map(|[low, high]| narrow32(sra32::<20>(low), sra32::<20>(high)));
                            store_few(samples, &mut out[row * stride..][..2 * JPEG_LANES], lane);
                        }
                    }
                }
            }
        }

        /// Writes eight columns of one row of the blocks from lane `lane`.
        ///
        /// # Safety
        /// `row` holds the row of all blocks.
        #[inline]
        #[target_feature(enable = $features)]
        unsafe fn store_eight(columns: [Words; 8], row: &mut [u8], lane: usize) {
            debug_assert!(row.len() == 8 * JPEG_LANES);
            let center = set8(-128);
            let [a, b, c, d] = [0, 1, 2, 3].map(|at: usize| add8(narrow16(columns[at], columns[at + 4]), center));
            let (ab, cd) = ([low8(a, b), high8(a, b)], [low8(c, d), high8(c, d)]);
            let (left, right) = (pairs(ab[0], cd[0]), pairs(ab[1], cd[1]));
            let order = [
                low32(left[0], right[0]),
                high32(left[0], right[0]),
                low32(left[1], right[1]),
                high32(left[1], right[1]),
            ];
            for (quarter, bytes) in order.into_iter().enumerate() {
                // SAFETY: four quarters of 64 bytes, of which a register takes `2 * LEN` from twice its lane.
                unsafe { store(row.as_mut_ptr().add(quarter * 64 + 2 * lane).cast(), bytes) };
            }
        }

        /// Writes `N` columns of one row of the blocks from lane `lane`.
        #[inline]
        #[target_feature(enable = $features)]
        fn store_few<const N: usize>(columns: [Words; N], row: &mut [u8], lane: usize) {
            let mut bytes = [[0u8; 2 * LEN]; N];
            for (bytes, column) in bytes.iter_mut().zip(columns) {
                let samples = add8(narrow16(column, column), set8(-128));
                // SAFETY: an array of a register's size.
                unsafe { store(bytes.as_mut_ptr().cast(), samples) };
            }
            for (block, out) in row.chunks_exact_mut(N).enumerate() {
                let at = JpegBlocks::lane(block).wrapping_sub(lane);
                if at < LEN {
                    // Each 128-bit part holds its eight numbers twice.
                    let at = at / 8 * 16 + at % 8;
                    for (out, bytes) in out.iter_mut().zip(&bytes) {
                        *out = bytes[at];
                    }
                }
            }
        }

        /// # Safety
        /// The CPU has the features; `row` has half as many samples as `out` and two more, `out` is in steps.
        #[target_feature(enable = $features)]
        pub(in crate::jpeg) unsafe fn upsample_h2v1(row: &[u8], out: &mut [u8]) {
            let (one, two) = (set16(1), set16(2));
            for at in (0..out.len() / 2).step_by(LEN) {
                // SAFETY: `LEN` samples and two more are left in `row`, twice `LEN` in `out`.
                unsafe {
                    let from = row.as_ptr().add(at);
                    let [left, this, right] = [widen(from), widen(from.add(1)), widen(from.add(2))];
                    let this = add16(this, add16(this, this));
                    let even = srl16::<2>(add16(add16(this, left), one));
                    let odd = srl16::<2>(add16(add16(this, right), two));
                    store(out.as_mut_ptr().add(2 * at).cast(), or(even, sll16::<8>(odd)));
                }
            }
        }

        /// # Safety
        /// The CPU has the features; `near` and `far` have half as many samples as `out` and two more, `out` is in steps.
        #[target_feature(enable = $features)]
        pub(in crate::jpeg) unsafe fn upsample_h2v2(near: &[u8], far: &[u8], out: &mut [u8]) {
            let (seven, eight) = (set16(7), set16(8));
            for at in (0..out.len() / 2).step_by(LEN) {
                let sum = |offset: usize| {
                    let (near, far) = (near.as_ptr().wrapping_add(at + offset), far.as_ptr().wrapping_add(at + offset));
                    // SAFETY: `LEN` samples and two more are left in both rows.
                    let (near, far) = unsafe { (widen(near), widen(far)) };
                    add16(add16(near, far), add16(near, near))
                };
                let [left, this, right] = [sum(0), sum(1), sum(2)];
                let this = add16(this, add16(this, this));
                let even = srl16::<4>(add16(add16(this, left), eight));
                let odd = srl16::<4>(add16(add16(this, right), seven));
                // SAFETY: twice `LEN` samples are left in `out`.
                unsafe { store(out.as_mut_ptr().add(2 * at).cast(), or(even, sll16::<8>(odd))) };
            }
        }

        /// Red, green and blue of `LEN` pixels as 16-bit numbers, not yet clipped.
        #[inline]
        #[target_feature(enable = $features)]
        fn colours(luma: Words, blue: Words, red: Words) -> [Words; 3] {
            let (center, one, half) = (set16(128), set16(1), set32(1 << 15));
            let (blue, red) = (sub16(blue, center), sub16(red, center));
            let (blue2, red2) = (add16(blue, blue), add16(red, red));
            // 1.402 is 1 + 26345 / 65536, and 1.772 is 2 - 14942 / 65536: products of doubled numbers without their low
            // halves, and once more halved with rounding, are the products rounded.
            let rounded = |doubled: Words, factor: i16| sra16::<1>(add16(mulhi16(doubled, set16(factor)), one));
            let r = add16(add16(luma, red), rounded(red2, 26345));
            let b = add16(add16(luma, blue2), rounded(blue2, -14942));
            // 0.71414 is 1 - 18734 / 65536.
            let [low, high] = dots(pairs(blue, red), [-22554, 18734]);
            let green = narrow32(sra32::<16>(add32(low, half)), sra32::<16>(add32(high, half)));
            [r, add16(sub16(luma, red), green), b]
        }
    };
}

pub(super) mod avx2 {
    use core::arch::x86_64::{
        __m256i as Words, _mm256_add_epi8 as add8, _mm256_add_epi16 as add16, _mm256_add_epi32 as add32,
        _mm256_loadu_si256 as load, _mm256_madd_epi16 as madd16, _mm256_mulhi_epi16 as mulhi16,
        _mm256_mullo_epi16 as mul16, _mm256_or_si256 as or, _mm256_packs_epi16 as narrow16,
        _mm256_packs_epi32 as narrow32, _mm256_set1_epi8 as set8, _mm256_set1_epi16 as set16,
        _mm256_set1_epi32 as set32, _mm256_setzero_si256 as zero, _mm256_slli_epi16 as sll16,
        _mm256_slli_epi32 as sll32, _mm256_srai_epi16 as sra16, _mm256_srai_epi32 as sra32, _mm256_srli_epi16 as srl16,
        _mm256_storeu_si256 as store, _mm256_sub_epi16 as sub16, _mm256_sub_epi32 as sub32,
        _mm256_unpackhi_epi8 as high8, _mm256_unpackhi_epi16 as high16, _mm256_unpackhi_epi32 as high32,
        _mm256_unpacklo_epi8 as low8, _mm256_unpacklo_epi16 as low16, _mm256_unpacklo_epi32 as low32,
        _mm256_xor_si256 as xor,
    };

    type Bits = i32;
    const LEN: usize = 16;
    kernels!("avx2");

    #[inline]
    #[target_feature(enable = "avx2")]
    fn any(words: Words) -> bool {
        _mm256_testz_si256(words, words) == 0
    }

    /// # Safety
    /// 16 bytes can be read.
    #[inline]
    #[target_feature(enable = "avx2")]
    unsafe fn widen(from: *const u8) -> Words {
        // SAFETY: the caller's.
        unsafe { _mm256_cvtepu8_epi16(_mm_loadu_si128(from.cast())) }
    }

    /// Byte orders that bring a third of sixteen pixels' bytes from one channel.
    const THIRDS: [[[i8; 16]; 3]; 3] = {
        let mut orders = [[[-1; 16]; 3]; 3];
        let mut byte = 0;
        while byte < 48 {
            orders[byte / 16][byte % 3][byte % 16] = (byte / 3) as i8;
            byte += 1;
        }
        orders
    };

    /// # Safety
    /// The CPU has the features; the slices are of equally many pixels, in steps.
    #[target_feature(enable = "avx2")]
    pub(in crate::jpeg) unsafe fn ycc_to_rgb(luma: &[u8], blue: &[u8], red: &[u8], out: &mut [u8]) {
        for (step, out) in out.as_chunks_mut::<96>().0.iter_mut().enumerate() {
            let at = step * 32;
            let half = |at: usize| {
                // SAFETY: 16 pixels are left in each channel.
                let words = unsafe { [luma, blue, red].map(|channel| widen(channel.as_ptr().add(at))) };
                colours(words[0], words[1], words[2])
            };
            let (first, second) = (half(at), half(at + 16));
            // Eight pixels of one half, eight of the other, twice: put in order.
            let channels = [0, 1, 2].map(|channel: usize| {
                let bytes = _mm256_packus_epi16(first[channel], second[channel]);
                _mm256_permute4x64_epi64::<0b11_01_10_00>(bytes)
            });
            for (third, orders) in THIRDS.iter().enumerate() {
                let parts = [0, 1, 2].map(|channel: usize| {
                    // SAFETY: 16 bytes are read from an array of 16.
                    let order = unsafe { _mm_loadu_si128(orders[channel].as_ptr().cast()) };
                    _mm256_shuffle_epi8(channels[channel], _mm256_broadcastsi128_si256(order))
                });
                let bytes = or(or(parts[0], parts[1]), parts[2]);
                // SAFETY: 96 bytes are twice 48, of which each third takes 16.
                unsafe {
                    _mm_storeu_si128(out.as_mut_ptr().add(third * 16).cast(), _mm256_castsi256_si128(bytes));
                    let upper = _mm256_extracti128_si256::<1>(bytes);
                    _mm_storeu_si128(out.as_mut_ptr().add(48 + third * 16).cast(), upper);
                }
            }
        }
    }
}

pub(super) mod avx512 {
    use core::arch::x86_64::{
        __m512i as Words, _mm512_add_epi8 as add8, _mm512_add_epi16 as add16, _mm512_add_epi32 as add32,
        _mm512_loadu_si512 as load, _mm512_madd_epi16 as madd16, _mm512_mulhi_epi16 as mulhi16,
        _mm512_mullo_epi16 as mul16, _mm512_or_si512 as or, _mm512_packs_epi16 as narrow16,
        _mm512_packs_epi32 as narrow32, _mm512_set1_epi8 as set8, _mm512_set1_epi16 as set16,
        _mm512_set1_epi32 as set32, _mm512_setzero_si512 as zero, _mm512_slli_epi16 as sll16,
        _mm512_slli_epi32 as sll32, _mm512_srai_epi16 as sra16, _mm512_srai_epi32 as sra32, _mm512_srli_epi16 as srl16,
        _mm512_storeu_si512 as store, _mm512_sub_epi16 as sub16, _mm512_sub_epi32 as sub32,
        _mm512_unpackhi_epi8 as high8, _mm512_unpackhi_epi16 as high16, _mm512_unpackhi_epi32 as high32,
        _mm512_unpacklo_epi8 as low8, _mm512_unpacklo_epi16 as low16, _mm512_unpacklo_epi32 as low32,
        _mm512_xor_si512 as xor,
    };

    type Bits = u32;
    const LEN: usize = 32;
    kernels!("avx512f,avx512bw,avx512vl,avx512vbmi,avx2");

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vbmi,avx2")]
    fn any(words: Words) -> bool {
        _mm512_test_epi32_mask(words, words) != 0
    }

    /// # Safety
    /// 32 bytes can be read.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vbmi,avx2")]
    unsafe fn widen(from: *const u8) -> Words {
        // SAFETY: the caller's.
        unsafe { _mm512_cvtepu8_epi16(_mm256_loadu_si256(from.cast())) }
    }

    /// For each byte of the three registers of 64 RGB pixels: where its pixel stands after two registers of 32 pixels were
    /// narrowed into one.
    const PLACES: [[i8; 64]; 3] = {
        let mut places = [[0; 64]; 3];
        let mut byte = 0;
        while byte < 192 {
            let pixel = byte / 3;
            places[byte / 64][byte % 64] = (pixel % 32 / 8 * 16 + pixel / 32 * 8 + pixel % 8) as i8;
            byte += 1;
        }
        places
    };

    /// The bytes of those registers that belong to each channel.
    const MASKS: [[u64; 3]; 3] = {
        let mut masks = [[0; 3]; 3];
        let mut byte = 0;
        while byte < 192 {
            masks[byte / 64][byte % 3] |= 1 << (byte % 64);
            byte += 1;
        }
        masks
    };

    /// # Safety
    /// The CPU has the features; the slices are of equally many pixels, in steps.
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vbmi,avx2")]
    pub(in crate::jpeg) unsafe fn ycc_to_rgb(luma: &[u8], blue: &[u8], red: &[u8], out: &mut [u8]) {
        // SAFETY: arrays of a register's size.
        let places = PLACES.each_ref().map(|places| unsafe { load(places.as_ptr().cast()) });
        for (step, out) in out.as_chunks_mut::<{ 3 * JPEG_STEP }>().0.iter_mut().enumerate() {
            let at = step * JPEG_STEP;
            let half = |at: usize| {
                // SAFETY: 32 pixels are left in each channel.
                let words = unsafe { [luma, blue, red].map(|channel| widen(channel.as_ptr().add(at))) };
                colours(words[0], words[1], words[2])
            };
            let (first, second) = (half(at), half(at + 32));
            let [r, g, b] = [0, 1, 2].map(|channel: usize| _mm512_packus_epi16(first[channel], second[channel]));
            for (third, (&places, masks)) in places.iter().zip(&MASKS).enumerate() {
                let bytes = _mm512_maskz_permutexvar_epi8(masks[0], places, r);
                let bytes = _mm512_mask_permutexvar_epi8(bytes, masks[1], places, g);
                let bytes = _mm512_mask_permutexvar_epi8(bytes, masks[2], places, b);
                // SAFETY: `out` is three registers long.
                unsafe { store(out.as_mut_ptr().add(third * 64).cast(), bytes) };
            }
        }
    }
}
