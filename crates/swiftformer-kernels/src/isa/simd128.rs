//! WebAssembly SIMD: vectors of 4 floats, no fused multiply-add. Chosen when the module is compiled with `simd128`.

use core::arch::wasm32::*;

use super::Isa;
use crate::IsaKind;

/// SIMD is part of the compiled module, so the token can always be made.
#[derive(Clone, Copy)]
pub(crate) struct Simd128(());

impl Simd128 {
    /// Always there in a module compiled with `simd128`.
    pub(crate) fn detect() -> Option<Self> {
        Some(Self(()))
    }
}

/// Methods that are one expression of intrinsics.
macro_rules! register_ops {
    ($($name:ident($($arg:ident),+) -> $result:ty = $body:expr;)+) => {$(
        #[inline(always)]
        fn $name(self, $($arg: v128),+) -> $result {
            $body
        }
    )+};
}

// SAFETY: a module compiled with `simd128` runs only where it exists; partial loads and stores go lane by lane.
unsafe impl Isa for Simd128 {
    const KIND: IsaKind = IsaKind::Simd128;
    const LEN: usize = 4;
    // Engines map these to the 16 registers of SSE or the 32 of NEON: 6 × 2 accumulators fit both.
    const TILE_VECTORS: usize = 2;
    type F32 = v128;

    #[inline(always)]
    fn splat(self, value: f32) -> v128 {
        f32x4_splat(value)
    }
    #[inline(always)]
    unsafe fn load(self, source: *const f32) -> v128 {
        // SAFETY: the caller vouches for the pointer; wasm loads need no alignment.
        unsafe { v128_load(source.cast()) }
    }
    #[inline(always)]
    unsafe fn load_first(self, source: *const f32, count: usize) -> v128 {
        debug_assert!(count <= 4);
        let mut lanes = [0.0f32; 4];
        for (lane, value) in lanes.iter_mut().enumerate().take(count) {
            // SAFETY: the caller vouches for `count` floats.
            *value = unsafe { source.add(lane).read() };
        }
        f32x4(lanes[0], lanes[1], lanes[2], lanes[3])
    }
    #[inline(always)]
    unsafe fn store(self, target: *mut f32, value: v128) {
        // SAFETY: the caller vouches for the pointer; wasm stores need no alignment.
        unsafe { v128_store(target.cast(), value) }
    }
    #[inline(always)]
    unsafe fn store_first(self, target: *mut f32, value: v128, count: usize) {
        debug_assert!(count <= 4);
        let lanes = [
            f32x4_extract_lane::<0>(value),
            f32x4_extract_lane::<1>(value),
            f32x4_extract_lane::<2>(value),
            f32x4_extract_lane::<3>(value),
        ];
        for (lane, value) in lanes.into_iter().enumerate().take(count) {
            // SAFETY: the caller vouches for `count` floats.
            unsafe { target.add(lane).write(value) };
        }
    }

    register_ops! {
        add(a, b) -> v128 = f32x4_add(a, b);
        sub(a, b) -> v128 = f32x4_sub(a, b);
        mul(a, b) -> v128 = f32x4_mul(a, b);
        div(a, b) -> v128 = f32x4_div(a, b);
        mul_add(a, b, c) -> v128 = f32x4_add(f32x4_mul(a, b), c);
        neg_mul_add(a, b, c) -> v128 = f32x4_sub(c, f32x4_mul(a, b));
        max(a, b) -> v128 = f32x4_max(a, b);
        min(a, b) -> v128 = f32x4_min(a, b);
        abs(a) -> v128 = f32x4_abs(a);
        copysign(magnitude, sign) -> v128 = v128_bitselect(sign, magnitude, f32x4_splat(-0.0));
        round(a) -> v128 = f32x4_nearest(a);
        pow2(a) -> v128 = i32x4_shl(i32x4_add(i32x4_trunc_sat_f32x4(a), i32x4_splat(127)), 23);
        reduce_add(a) -> f32 = {
            (f32x4_extract_lane::<0>(a) + f32x4_extract_lane::<2>(a))
                + (f32x4_extract_lane::<1>(a) + f32x4_extract_lane::<3>(a))
        };
        reduce_max(a) -> f32 = {
            f32x4_extract_lane::<0>(a)
                .max(f32x4_extract_lane::<2>(a))
                .max(f32x4_extract_lane::<1>(a).max(f32x4_extract_lane::<3>(a)))
        };
    }
}
