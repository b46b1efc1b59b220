//! AVX2 and FMA: 16 registers of 8 floats.

use core::arch::x86_64::*;

use super::Isa;
use crate::IsaKind;

/// Proof that the CPU has AVX2 and FMA.
#[derive(Clone, Copy)]
pub(crate) struct Avx2(());

impl Avx2 {
    /// The token, if this CPU has the instructions.
    pub(crate) fn detect() -> Option<Self> {
        (is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma")).then_some(Self(()))
    }
}

/// Methods that are one expression of intrinsics on registers.
macro_rules! register_ops {
    ($($name:ident($($arg:ident),+) -> $result:ty = $body:expr;)+) => {$(
        #[inline(always)]
        fn $name(self, $($arg: __m256),+) -> $result {
            // SAFETY: the token proves that the CPU has AVX2 and FMA, and only registers are touched.
            unsafe { $body }
        }
    )+};
}

/// Eight set lanes, then eight clear ones: reading from `8 - count` sets the first `count`.
static LANES: [i32; 16] = [-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0];

// SAFETY: only `detect` makes a token; masked-out lanes are neither read nor written.
unsafe impl Isa for Avx2 {
    const KIND: IsaKind = IsaKind::Avx2;
    const LEN: usize = 8;
    // 6 × 2 accumulators, 2 weights and a broadcast: 15 of 16 registers.
    const TILE_VECTORS: usize = 2;
    type F32 = __m256;

    #[inline(always)]
    fn splat(self, value: f32) -> __m256 {
        // SAFETY: the token proves AVX2.
        unsafe { _mm256_set1_ps(value) }
    }
    #[inline(always)]
    unsafe fn load(self, source: *const f32) -> __m256 {
        // SAFETY: the token proves AVX2, the caller vouches for the pointer.
        unsafe { _mm256_loadu_ps(source) }
    }
    #[inline(always)]
    unsafe fn load_first(self, source: *const f32, count: usize) -> __m256 {
        debug_assert!(count <= 8);
        // SAFETY: the token proves AVX2, the caller vouches for `count <= 8` floats; `8 - count + 8 <= 16` lanes exist.
        unsafe { _mm256_maskload_ps(source, _mm256_loadu_si256(LANES.as_ptr().add(8 - count).cast())) }
    }
    #[inline(always)]
    unsafe fn load_bf16(self, source: *const u16) -> __m256 {
        // SAFETY: the token proves the instructions, the caller vouches for the pointer.
        unsafe { _mm256_castsi256_ps(_mm256_slli_epi32::<16>(_mm256_cvtepu16_epi32(_mm_loadu_si128(source.cast())))) }
    }
    #[inline(always)]
    unsafe fn store(self, target: *mut f32, value: __m256) {
        // SAFETY: the token proves AVX2, the caller vouches for the pointer.
        unsafe { _mm256_storeu_ps(target, value) }
    }
    #[inline(always)]
    unsafe fn store_first(self, target: *mut f32, value: __m256, count: usize) {
        debug_assert!(count <= 8);
        // SAFETY: the token proves AVX2, the caller vouches for `count <= 8` floats; `8 - count + 8 <= 16` lanes exist.
        unsafe { _mm256_maskstore_ps(target, _mm256_loadu_si256(LANES.as_ptr().add(8 - count).cast()), value) }
    }

    register_ops! {
        add(a, b) -> __m256 = _mm256_add_ps(a, b);
        sub(a, b) -> __m256 = _mm256_sub_ps(a, b);
        mul(a, b) -> __m256 = _mm256_mul_ps(a, b);
        div(a, b) -> __m256 = _mm256_div_ps(a, b);
        mul_add(a, b, c) -> __m256 = _mm256_fmadd_ps(a, b, c);
        neg_mul_add(a, b, c) -> __m256 = _mm256_fnmadd_ps(a, b, c);
        max(a, b) -> __m256 = _mm256_max_ps(a, b);
        min(a, b) -> __m256 = _mm256_min_ps(a, b);
        abs(a) -> __m256 = _mm256_andnot_ps(_mm256_set1_ps(-0.0), a);
        copysign(magnitude, sign) -> __m256 = {
            let sign_bit = _mm256_set1_ps(-0.0);
            _mm256_or_ps(_mm256_andnot_ps(sign_bit, magnitude), _mm256_and_ps(sign_bit, sign))
        };
        round(a) -> __m256 = _mm256_round_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(a);
        pow2(a) -> __m256 = _mm256_castsi256_ps(_mm256_slli_epi32::<23>(_mm256_add_epi32(
            _mm256_cvtps_epi32(a),
            _mm256_set1_epi32(127),
        )));
        reduce_add(a) -> f32 = {
            let half = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps::<1>(a));
            let pair = _mm_add_ps(half, _mm_movehl_ps(half, half));
            _mm_cvtss_f32(_mm_add_ss(pair, _mm_movehdup_ps(pair)))
        };
        reduce_max(a) -> f32 = {
            let half = _mm_max_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps::<1>(a));
            let pair = _mm_max_ps(half, _mm_movehl_ps(half, half));
            _mm_cvtss_f32(_mm_max_ss(pair, _mm_movehdup_ps(pair)))
        };
    }
}
