//! AVX-512 (F, VL, BW, DQ): 32 registers of 16 floats; with BF16 where the CPU has it.

use core::arch::x86_64::*;

use super::Isa;
use crate::IsaKind;

/// Proof that the CPU has AVX-512 F, VL, BW and DQ.
#[derive(Clone, Copy)]
pub(crate) struct Avx512(());

impl Avx512 {
    /// The token, if this CPU has the instructions.
    pub(crate) fn detect() -> Option<Self> {
        let found = is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512vl")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512dq")
            && is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("fma");
        found.then_some(Self(()))
    }
}

/// Proof that the CPU also multiplies pairs of bfloat16 (AVX512_BF16).
#[derive(Clone, Copy)]
pub(crate) struct Avx512Bf16(Avx512);

impl Avx512Bf16 {
    /// The instructions without bfloat16.
    #[inline(always)]
    pub(crate) fn vectors(self) -> Avx512 {
        self.0
    }
}

/// Methods that are one expression of intrinsics on registers.
macro_rules! register_ops {
    ($($name:ident($($arg:ident),+) -> $result:ty = $body:expr;)+) => {$(
        #[inline(always)]
        fn $name(self, $($arg: __m512),+) -> $result {
            // SAFETY: the token proves that the CPU has AVX-512, and only registers are touched.
            unsafe { $body }
        }
    )+};
}

/// A mask of the first `count` lanes.
#[inline(always)]
fn first(count: usize) -> __mmask16 {
    debug_assert!(count <= 16);
    ((1u32 << count) - 1) as __mmask16
}

// SAFETY: only `detect` makes a token; masked-out lanes are neither read nor written.
unsafe impl Isa for Avx512 {
    const KIND: IsaKind = IsaKind::Avx512;
    const LEN: usize = 16;
    // 6 × 4 accumulators, 4 weights and a broadcast: 29 of 32 registers.
    const TILE_VECTORS: usize = 4;
    // Zen 4 works on 512 bits in two steps; where one step does, a half takes as long as a whole.
    const HALVES: bool = true;
    type F32 = __m512;

    #[inline(always)]
    fn bf16_pairs(self) -> Option<Avx512Bf16> {
        is_x86_feature_detected!("avx512bf16").then_some(Avx512Bf16(self))
    }

    #[inline(always)]
    fn splat(self, value: f32) -> __m512 {
        // SAFETY: the token proves AVX-512.
        unsafe { _mm512_set1_ps(value) }
    }
    #[inline(always)]
    unsafe fn load(self, source: *const f32) -> __m512 {
        // SAFETY: the token proves AVX-512, the caller vouches for the pointer.
        unsafe { _mm512_loadu_ps(source) }
    }
    #[inline(always)]
    unsafe fn load_first(self, source: *const f32, count: usize) -> __m512 {
        // SAFETY: the token proves AVX-512, the caller vouches for `count` floats.
        unsafe { _mm512_maskz_loadu_ps(first(count), source) }
    }
    #[inline(always)]
    unsafe fn load_half(self, source: *const f32) -> __m512 {
        // SAFETY: the token proves AVX-512, the caller vouches for eight floats.
        unsafe { _mm512_castps256_ps512(_mm256_loadu_ps(source)) }
    }
    #[inline(always)]
    unsafe fn store_half(self, target: *mut f32, value: __m512) {
        // SAFETY: the token proves AVX-512, the caller vouches for eight floats.
        unsafe { _mm256_storeu_ps(target, _mm512_castps512_ps256(value)) }
    }
    #[inline(always)]
    fn mul_add_half(self, a: __m512, b: __m512, c: __m512) -> __m512 {
        // SAFETY: the token proves AVX-512 and FMA, and only registers are touched.
        unsafe {
            let half = |vector| _mm512_castps512_ps256(vector);
            _mm512_castps256_ps512(_mm256_fmadd_ps(half(a), half(b), half(c)))
        }
    }
    #[inline(always)]
    unsafe fn load_bf16(self, source: *const u16) -> __m512 {
        // SAFETY: the token proves the instructions, the caller vouches for the pointer.
        unsafe {
            _mm512_castsi512_ps(_mm512_slli_epi32::<16>(_mm512_cvtepu16_epi32(_mm256_loadu_si256(source.cast()))))
        }
    }
    #[inline(always)]
    unsafe fn store(self, target: *mut f32, value: __m512) {
        // SAFETY: the token proves AVX-512, the caller vouches for the pointer.
        unsafe { _mm512_storeu_ps(target, value) }
    }
    #[inline(always)]
    unsafe fn store_first(self, target: *mut f32, value: __m512, count: usize) {
        // SAFETY: the token proves AVX-512, the caller vouches for `count` floats.
        unsafe { _mm512_mask_storeu_ps(target, first(count), value) }
    }

    register_ops! {
        add(a, b) -> __m512 = _mm512_add_ps(a, b);
        sub(a, b) -> __m512 = _mm512_sub_ps(a, b);
        mul(a, b) -> __m512 = _mm512_mul_ps(a, b);
        div(a, b) -> __m512 = _mm512_div_ps(a, b);
        mul_add(a, b, c) -> __m512 = _mm512_fmadd_ps(a, b, c);
        neg_mul_add(a, b, c) -> __m512 = _mm512_fnmadd_ps(a, b, c);
        max(a, b) -> __m512 = _mm512_max_ps(a, b);
        min(a, b) -> __m512 = _mm512_min_ps(a, b);
        abs(a) -> __m512 = _mm512_abs_ps(a);
        copysign(magnitude, sign) -> __m512 = _mm512_or_ps(
            _mm512_abs_ps(magnitude),
            _mm512_and_ps(sign, _mm512_set1_ps(-0.0)),
        );
        round(a) -> __m512 = _mm512_roundscale_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(a);
        pow2(a) -> __m512 = _mm512_scalef_ps(_mm512_set1_ps(1.0), a);
        reduce_add(a) -> f32 = _mm512_reduce_add_ps(a);
        reduce_max(a) -> f32 = _mm512_reduce_max_ps(a);
    }
}
