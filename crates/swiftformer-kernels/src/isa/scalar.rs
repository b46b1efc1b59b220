//! Plain Rust, for every CPU: four lanes, which compilers turn into whatever the target's baseline has.

use super::Isa;
use crate::IsaKind;

/// Four floats in an array.
#[derive(Clone, Copy)]
pub(crate) struct Scalar(());

impl Scalar {
    /// Always there.
    pub(crate) fn detect() -> Option<Self> {
        Some(Self(()))
    }
}

#[inline(always)]
fn zip(a: [f32; 4], b: [f32; 4], operation: impl Fn(f32, f32) -> f32) -> [f32; 4] {
    [operation(a[0], b[0]), operation(a[1], b[1]), operation(a[2], b[2]), operation(a[3], b[3])]
}

// SAFETY: no special instructions; loads and stores go through pointers to exactly the promised floats.
unsafe impl Isa for Scalar {
    const KIND: IsaKind = IsaKind::Scalar;
    const LEN: usize = 4;
    const TILE_VECTORS: usize = 2;
    type F32 = [f32; 4];

    #[inline(always)]
    fn splat(self, value: f32) -> [f32; 4] {
        [value; 4]
    }
    #[inline(always)]
    unsafe fn load(self, source: *const f32) -> [f32; 4] {
        // SAFETY: the caller vouches for four floats.
        unsafe { source.cast::<[f32; 4]>().read_unaligned() }
    }
    #[inline(always)]
    unsafe fn load_first(self, source: *const f32, count: usize) -> [f32; 4] {
        let mut lanes = [0.0; 4];
        for (lane, value) in lanes.iter_mut().enumerate().take(count) {
            // SAFETY: the caller vouches for `count` floats.
            *value = unsafe { source.add(lane).read() };
        }
        lanes
    }
    #[inline(always)]
    unsafe fn store(self, target: *mut f32, value: [f32; 4]) {
        // SAFETY: the caller vouches for four floats.
        unsafe { target.cast::<[f32; 4]>().write_unaligned(value) }
    }
    #[inline(always)]
    unsafe fn store_first(self, target: *mut f32, value: [f32; 4], count: usize) {
        for (lane, value) in value.into_iter().enumerate().take(count) {
            // SAFETY: the caller vouches for `count` floats.
            unsafe { target.add(lane).write(value) };
        }
    }

    #[inline(always)]
    fn add(self, a: [f32; 4], b: [f32; 4]) -> [f32; 4] {
        zip(a, b, |a, b| a + b)
    }
    #[inline(always)]
    fn sub(self, a: [f32; 4], b: [f32; 4]) -> [f32; 4] {
        zip(a, b, |a, b| a - b)
    }
    #[inline(always)]
    fn mul(self, a: [f32; 4], b: [f32; 4]) -> [f32; 4] {
        zip(a, b, |a, b| a * b)
    }
    #[inline(always)]
    fn div(self, a: [f32; 4], b: [f32; 4]) -> [f32; 4] {
        zip(a, b, |a, b| a / b)
    }
    // `f32::mul_add` is a library call where the baseline has no fused instruction, so these round twice.
    #[inline(always)]
    fn mul_add(self, a: [f32; 4], b: [f32; 4], c: [f32; 4]) -> [f32; 4] {
        self.add(self.mul(a, b), c)
    }
    #[inline(always)]
    fn neg_mul_add(self, a: [f32; 4], b: [f32; 4], c: [f32; 4]) -> [f32; 4] {
        self.sub(c, self.mul(a, b))
    }
    #[inline(always)]
    fn max(self, a: [f32; 4], b: [f32; 4]) -> [f32; 4] {
        zip(a, b, |a, b| if a > b { a } else { b })
    }
    #[inline(always)]
    fn min(self, a: [f32; 4], b: [f32; 4]) -> [f32; 4] {
        zip(a, b, |a, b| if a < b { a } else { b })
    }
    #[inline(always)]
    fn abs(self, a: [f32; 4]) -> [f32; 4] {
        a.map(f32::abs)
    }
    #[inline(always)]
    fn copysign(self, magnitude: [f32; 4], sign: [f32; 4]) -> [f32; 4] {
        zip(magnitude, sign, f32::copysign)
    }
    #[inline(always)]
    fn round(self, a: [f32; 4]) -> [f32; 4] {
        // Adding 1.5·2²³ leaves no room for a fraction: exact below 2²², which is all that `pow2` takes.
        const MAGIC: f32 = 12_582_912.0;
        a.map(|a| if a.abs() < 4_194_304.0 { (a + MAGIC) - MAGIC } else { a })
    }
    #[inline(always)]
    fn pow2(self, a: [f32; 4]) -> [f32; 4] {
        a.map(|a| f32::from_bits(((a as i32).wrapping_add(127) as u32) << 23))
    }
    #[inline(always)]
    fn reduce_add(self, a: [f32; 4]) -> f32 {
        (a[0] + a[2]) + (a[1] + a[3])
    }
    #[inline(always)]
    fn reduce_max(self, a: [f32; 4]) -> f32 {
        a[0].max(a[2]).max(a[1].max(a[3]))
    }
}
