//! Kernels for AVX2, and for AVX-512 with VBMI and VNNI.

use core::arch::x86_64::*;

use super::{RESAMPLE_BITS, RESAMPLE_HALF, Span, scalar};

/// Whether the CPU has AVX-512's byte permutation and dot products of bytes, beyond what AVX-512 kernels need otherwise.
pub(super) fn has_byte_dots() -> bool {
    is_x86_feature_detected!("avx512vbmi") && is_x86_feature_detected!("avx512vnni")
}

/// Bytes of a group of sixteen pixels.
const SIXTEEN: usize = 48;

/// Byte order that puts sixteen RGB pixels into three lanes by channel.
const BY_CHANNEL: [i8; 64] = {
    let mut order = [0; 64];
    let mut at = 0;
    while at < SIXTEEN {
        order[at] = (at % 16 * 3 + at / 16) as i8;
        at += 1;
    }
    order
};

/// Sums of the bytes of one span: four each of red, green and blue, in a 128-bit lane each, still to be added up. Sixteen
/// pixels a step: three dot products of bytes, one for each digit of the weights.
///
/// # Safety
/// The span lies inside of `row`, and has its groups of digits.
#[inline]
#[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,avx512vbmi,avx512vnni")]
unsafe fn span_sums(row: &[u8], span: &Span, groups: &[[[i8; 16]; 3]], order: __m512i) -> __m512i {
    let bytes = &row[span.first * 3..];
    let groups = &groups[span.group..][..span.weights.len().div_ceil(16)];
    let mut sums = [_mm512_setzero_si512(); 3];
    // A whole register can be read at each group, but for the last spans of a row.
    let inside = bytes.len() + SIXTEEN >= groups.len() * SIXTEEN + 64;
    for (index, group) in groups.iter().enumerate() {
        let from = bytes.as_ptr().wrapping_add(index * SIXTEEN).cast();
        let left = bytes.len().saturating_sub(index * SIXTEEN);
        let mask = if inside || left >= SIXTEEN { (1 << SIXTEEN) - 1 } else { (1u64 << left) - 1 };
        // SAFETY: inside, 64 bytes are left of the row; elsewhere the mask keeps the bytes beyond it from being read. Digits
        // are arrays of 16 bytes.
        let (pixels, digits) = unsafe {
            let pixels = if inside { _mm512_loadu_epi8(from) } else { _mm512_maskz_loadu_epi8(mask, from) };
            (pixels, group.each_ref().map(|digits| _mm_loadu_epi8(digits.as_ptr())))
        };
        let pixels = _mm512_permutexvar_epi8(order, pixels);
        for (sum, digits) in sums.iter_mut().zip(digits) {
            *sum = _mm512_dpbusd_epi32(*sum, pixels, _mm512_broadcast_i32x4(digits));
        }
    }
    let [low, middle, high] = sums;
    let high = _mm512_add_epi32(_mm512_slli_epi32::<8>(high), middle);
    _mm512_add_epi32(_mm512_slli_epi32::<8>(high), low)
}

/// Four output pixels at a time, whose sums are added up side by side.
///
/// # Safety
/// The CPU has the features; every span lies inside of `row`, and has its groups of digits.
#[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,avx512vbmi,avx512vnni")]
pub(super) unsafe fn row_by_digits(row: &[u8], spans: &[Span], groups: &[[[i8; 16]; 3]], out: &mut [u8]) {
    // SAFETY: 64 bytes are read from an array of 64.
    let order = unsafe { _mm512_loadu_epi8(BY_CHANNEL.as_ptr()) };
    let half = _mm512_set1_epi32(RESAMPLE_HALF);
    // Four bytes of red, of green, of blue become four pixels.
    let interleave = _mm_setr_epi8(0, 4, 8, 1, 5, 9, 2, 6, 10, 3, 7, 11, -1, -1, -1, -1);
    for (out, spans) in out.chunks_mut(12).zip(spans.chunks(4)) {
        // The last pixels of a row may be fewer: the last one stands in for those that are missing.
        let [a, b, c, d] = [0, 1, 2, 3].map(|at: usize| {
            let span = &spans[at.min(spans.len() - 1)];
            // SAFETY: the caller's.
            unsafe { span_sums(row, span, groups, order) }
        });
        let add_halves = |a, b| _mm512_add_epi32(_mm512_unpacklo_epi32(a, b), _mm512_unpackhi_epi32(a, b));
        let (ab, cd) = (add_halves(a, b), add_halves(c, d));
        let sums = _mm512_add_epi32(_mm512_unpacklo_epi64(ab, cd), _mm512_unpackhi_epi64(ab, cd));
        let levels = _mm512_srai_epi32::<{ RESAMPLE_BITS }>(_mm512_add_epi32(sums, half));
        let bytes = _mm512_cvtusepi32_epi8(_mm512_max_epi32(levels, _mm512_setzero_si512()));
        let mask = ((1u32 << out.len()) - 1) as u16;
        // SAFETY: the mask keeps the bytes beyond `out` from being written.
        unsafe { _mm_mask_storeu_epi8(out.as_mut_ptr().cast(), mask, _mm_shuffle_epi8(bytes, interleave)) };
    }
}

/// Four pixels a step: pairs of 16-bit products, once for the high parts of the weights and once for the low ones.
///
/// # Safety
/// The CPU has AVX2; every span lies inside of `row`, and has its groups of weights.
#[target_feature(enable = "avx2")]
pub(super) unsafe fn row_by_halves(row: &[u8], spans: &[Span], groups: &[[i16; 8]], out: &mut [u8]) {
    // Bytes become 16-bit numbers: red of pixels 0 to 3, green of the same, then blue.
    let order = _mm256_setr_epi8(
        0, -1, 3, -1, 6, -1, 9, -1, 1, -1, 4, -1, 7, -1, 10, -1, //
        2, -1, 5, -1, 8, -1, 11, -1, -1, -1, -1, -1, -1, -1, -1, -1,
    );
    let half = _mm_set1_epi32(RESAMPLE_HALF);
    for (out, span) in out.as_chunks_mut::<3>().0.iter_mut().zip(spans) {
        let bytes = &row[span.first * 3..];
        let groups = &groups[span.group..][..span.weights.len().div_ceil(4)];
        let (mut high, mut low) = (_mm256_setzero_si256(), _mm256_setzero_si256());
        for (index, group) in groups.iter().enumerate() {
            let bytes = &bytes[(index * 12).min(bytes.len())..];
            let pixels = match bytes.first_chunk::<16>() {
                // SAFETY: 16 bytes are read from an array of 16.
                Some(bytes) => unsafe { _mm_loadu_si128(bytes.as_ptr().cast()) },
                None => {
                    let mut last = [0u8; 16];
                    last[..bytes.len()].copy_from_slice(bytes);
                    // SAFETY: as above.
                    unsafe { _mm_loadu_si128(last.as_ptr().cast()) }
                }
            };
            let pixels = _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(pixels), order);
            // SAFETY: a group is 16 bytes.
            let weights = unsafe { _mm_loadu_si128(group.as_ptr().cast()) };
            let high_weights = _mm256_broadcastq_epi64(weights);
            let low_weights = _mm256_broadcastq_epi64(_mm_unpackhi_epi64(weights, weights));
            high = _mm256_add_epi32(high, _mm256_madd_epi16(pixels, high_weights));
            low = _mm256_add_epi32(low, _mm256_madd_epi16(pixels, low_weights));
        }
        let sum = _mm256_add_epi32(_mm256_slli_epi32::<15>(high), low);
        // [red, green, blue, 0]
        let sums = _mm_hadd_epi32(_mm256_castsi256_si128(sum), _mm256_extracti128_si256::<1>(sum));
        let levels = _mm_srai_epi32::<{ RESAMPLE_BITS as i32 }>(_mm_add_epi32(sums, half));
        let levels = _mm_packs_epi32(levels, levels);
        let [red, green, blue, _] = _mm_cvtsi128_si32(_mm_packus_epi16(levels, levels)).to_le_bytes();
        *out = [red, green, blue];
    }
}

/// Defines functions that are the plain ones, compiled for wider instructions.
macro_rules! compiled_for {
    ($features:literal: $add:ident, $round:ident) => {
        /// # Safety
        /// The CPU has the features.
        #[target_feature(enable = $features)]
        pub(super) unsafe fn $add(sums: &mut [i32], bytes: &[u8], weight: i32) {
            scalar::add_weighted_bytes(sums, bytes, weight);
        }

        /// # Safety
        /// The CPU has the features.
        #[target_feature(enable = $features)]
        pub(super) unsafe fn $round(sums: &[i32], out: &mut [u8]) {
            scalar::sums_to_bytes(sums, out);
        }
    };
}

compiled_for!("avx512f,avx512vl,avx512bw,avx512dq": add_weighted_bytes_avx512, sums_to_bytes_avx512);
compiled_for!("avx2": add_weighted_bytes_avx2, sums_to_bytes_avx2);
