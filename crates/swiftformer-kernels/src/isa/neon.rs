//! NEON, the baseline of every 64-bit ARM: 32 registers of 4 floats.

use core::arch::aarch64::*;

use super::Isa;
use crate::IsaKind;

/// NEON is part of the target, so the token can always be made.
#[derive(Clone, Copy)]
pub(crate) struct Neon(());

impl Neon {
    /// Always there.
    pub(crate) fn detect() -> Option<Self> {
        Some(Self(()))
    }
}

/// Methods that are one expression of intrinsics on registers.
macro_rules! register_ops {
    ($($name:ident($($arg:ident),+) -> $result:ty = $body:expr;)+) => {$(
        #[inline(always)]
        fn $name(self, $($arg: float32x4_t),+) -> $result {
            // SAFETY: NEON is part of every aarch64 target, and only registers are touched.
            #[allow(unused_unsafe, reason = "these intrinsics are safe functions where the target has NEON")]
            unsafe {
                $body
            }
        }
    )+};
}

// SAFETY: every aarch64 CPU has NEON; partial loads and stores go lane by lane.
unsafe impl Isa for Neon {
    const KIND: IsaKind = IsaKind::Neon;
    const LEN: usize = 4;
    // 6 × 4 accumulators, 4 weights and a broadcast: 29 of 32 registers.
    const TILE_VECTORS: usize = 4;
    type F32 = float32x4_t;

    #[inline(always)]
    fn splat(self, value: f32) -> float32x4_t {
        // SAFETY: NEON is part of every aarch64 target.
        #[allow(unused_unsafe, reason = "a safe function where the target has NEON")]
        unsafe {
            vdupq_n_f32(value)
        }
    }
    #[inline(always)]
    unsafe fn load(self, source: *const f32) -> float32x4_t {
        // SAFETY: the caller vouches for the pointer.
        unsafe { vld1q_f32(source) }
    }
    #[inline(always)]
    unsafe fn load_first(self, source: *const f32, count: usize) -> float32x4_t {
        debug_assert!(count <= 4);
        let mut lanes = [0.0f32; 4];
        for (lane, value) in lanes.iter_mut().enumerate().take(count) {
            // SAFETY: the caller vouches for `count` floats.
            *value = unsafe { source.add(lane).read() };
        }
        // SAFETY: four floats on the stack.
        unsafe { vld1q_f32(lanes.as_ptr()) }
    }
    #[inline(always)]
    unsafe fn load_bf16(self, source: *const u16) -> float32x4_t {
        // SAFETY: the token proves NEON, the caller vouches for the pointer.
        unsafe { vreinterpretq_f32_u32(vshll_n_u16::<16>(vld1_u16(source))) }
    }
    #[inline(always)]
    unsafe fn store(self, target: *mut f32, value: float32x4_t) {
        // SAFETY: the caller vouches for the pointer.
        unsafe { vst1q_f32(target, value) }
    }
    #[inline(always)]
    unsafe fn store_first(self, target: *mut f32, value: float32x4_t, count: usize) {
        debug_assert!(count <= 4);
        let mut lanes = [0.0f32; 4];
        // SAFETY: four floats on the stack.
        unsafe { vst1q_f32(lanes.as_mut_ptr(), value) };
        for (lane, value) in lanes.into_iter().enumerate().take(count) {
            // SAFETY: the caller vouches for `count` floats.
            unsafe { target.add(lane).write(value) };
        }
    }

    register_ops! {
        add(a, b) -> float32x4_t = vaddq_f32(a, b);
        sub(a, b) -> float32x4_t = vsubq_f32(a, b);
        mul(a, b) -> float32x4_t = vmulq_f32(a, b);
        div(a, b) -> float32x4_t = vdivq_f32(a, b);
        mul_add(a, b, c) -> float32x4_t = vfmaq_f32(c, a, b);
        neg_mul_add(a, b, c) -> float32x4_t = vfmsq_f32(c, a, b);
        max(a, b) -> float32x4_t = vmaxq_f32(a, b);
        min(a, b) -> float32x4_t = vminq_f32(a, b);
        abs(a) -> float32x4_t = vabsq_f32(a);
        copysign(magnitude, sign) -> float32x4_t = vbslq_f32(vdupq_n_u32(0x8000_0000), sign, magnitude);
        round(a) -> float32x4_t = vrndnq_f32(a);
        pow2(a) -> float32x4_t = vreinterpretq_f32_s32(vshlq_n_s32::<23>(vaddq_s32(vcvtq_s32_f32(a), vdupq_n_s32(127))));
        reduce_add(a) -> f32 = vaddvq_f32(a);
        reduce_max(a) -> f32 = vmaxvq_f32(a);
    }
}
