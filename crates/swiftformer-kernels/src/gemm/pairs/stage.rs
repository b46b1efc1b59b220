//! Rows of floats rounded to bfloat16, where a product reads them.

use core::arch::x86_64::*;

use crate::gemm::scratch::{ALIGNMENT, LINE, Scratch, floats};
use crate::gemm::view::InputView;
use crate::isa::{Isa, avx512::Avx512Bf16};

/// Floats of scratch for a product whose rows cover `covered` inputs.
pub(crate) fn scratch_len(covered: usize) -> usize {
    floats(covered) + ALIGNMENT
}

/// Rounds all rows of a view.
///
/// # Safety
/// The view lies within its data.
#[inline(always)]
pub(super) unsafe fn stage<'a>(
    pairs: Avx512Bf16,
    input: InputView<'_>,
    scratch: &mut Scratch<'a>,
) -> InputView<'a, u16> {
    let InputView { groups, group_stride, rows, row_stride, segments, segment_stride, segment_len, .. } = input;
    let source = input.data.as_ptr();
    let apart = groups == 1 && segments == 1 && row_stride > segment_len;
    let (data, row_stride) = if apart {
        let data = scratch.cut(rows * segment_len);
        for row in 0..rows {
            let target = &mut data[row * segment_len..][..segment_len];
            // SAFETY: row `row` has `segment_len` floats.
            unsafe { round(pairs, source.add(row * row_stride), target) };
        }
        (data, segment_len)
    } else {
        // The windows of a convolution overlap: what they cover is rounded once, and they keep their strides.
        let span = input.span().expect("checked at entry");
        let data = scratch.cut(span);
        // SAFETY: the view lies within its data.
        unsafe { round(pairs, source, data) };
        (data, row_stride)
    };
    InputView { data, groups, group_stride, rows, row_stride, segments, segment_stride, segment_len }
}

/// Rounds as many floats as `target` has.
///
/// # Safety
/// `source` is valid for reading them.
#[inline(always)]
unsafe fn round(pairs: Avx512Bf16, source: *const f32, target: &mut [u16]) {
    let isa = pairs.vectors();
    let whole = target.len() / LINE * LINE;
    let mut at = 0;
    // SAFETY: `at` stays below the length, and the masks cover what is left; the token proves the instructions.
    unsafe {
        while at < whole {
            let (low, high) = (isa.load(source.add(at)), isa.load(source.add(at + LINE / 2)));
            let both: __m512 = std::mem::transmute(_mm512_cvtne2ps_pbh(high, low));
            isa.store(target.as_mut_ptr().add(at).cast(), both);
            at += LINE;
        }
        while at < target.len() {
            let count = (target.len() - at).min(LINE / 2);
            let lanes = ((1u32 << count) - 1) as __mmask16;
            let values = round_vector(isa.load_first(source.add(at), count));
            _mm256_mask_storeu_epi16(target.as_mut_ptr().add(at).cast(), lanes, values);
            at += count;
        }
    }
}

/// Sixteen floats as bfloat16.
///
/// # Safety
/// The CPU has AVX512_BF16.
#[inline(always)]
pub(super) unsafe fn round_vector(values: __m512) -> __m256i {
    // SAFETY: the caller vouches for the instruction; both types are the same 256 bits.
    unsafe { std::mem::transmute(_mm512_cvtneps_pbh(values)) }
}
