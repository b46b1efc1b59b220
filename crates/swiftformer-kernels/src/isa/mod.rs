//! Instruction sets: one small trait, one file an instruction set.
//!
//! A value of a type that implements [`Isa`] is proof that the CPU has the instructions: such a token is made only by
//! the type's `detect`. Kernels are written once, generic over the token, and inlined into one function per
//! instruction set that enables its instructions (see [`crate::kernels`]).

#[cfg(target_arch = "x86_64")]
pub(crate) mod amx;
#[cfg(target_arch = "x86_64")]
pub(crate) mod avx2;
#[cfg(target_arch = "x86_64")]
pub(crate) mod avx512;
#[cfg(target_arch = "aarch64")]
pub(crate) mod neon;
pub(crate) mod scalar;
#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
pub(crate) mod simd128;

use crate::IsaKind;

/// The operations that kernels are made of, on vectors of [`Isa::LEN`] floats.
///
/// # Safety
/// Implementors promise that
/// - a value of the type exists only where the CPU executes the instructions of every method;
/// - `load` and `store` touch exactly the `LEN` floats at the pointer, `load_half` and `store_half` the first `LEN / 2`,
///   `load_first` and `store_first` the first `count`;
/// - `LEN` is 1 or more, and `TILE_VECTORS` is 2 to 4.
pub(crate) unsafe trait Isa: Copy {
    /// Which instruction set this is.
    const KIND: IsaKind;
    /// Floats in a vector.
    const LEN: usize;
    /// Vectors across a matrix tile: six rows of so many accumulators must fit the register file.
    const TILE_VECTORS: usize;
    /// Whether operations on half a vector take half the time of those on a whole one.
    const HALVES: bool = false;
    /// A vector of `LEN` floats.
    type F32: Copy;

    /// The proof of AMX, where this is it.
    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    fn tiles(self) -> Option<amx::Amx> {
        None
    }

    /// The proof of products of pairs of bfloat16, where this instruction set makes matrix products with them.
    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    fn bf16_pairs(self) -> Option<avx512::Avx512Bf16> {
        None
    }

    /// Asks for the cache line at `line`, wherever it points, into the second-level cache; a hint.
    #[inline(always)]
    fn prefetch(self, line: *const u8) {
        #[cfg(target_arch = "x86_64")]
        if Self::KIND != IsaKind::Scalar {
            use core::arch::x86_64::{_MM_HINT_T1, _mm_prefetch};
            // SAFETY: a prefetch reads nothing that the program could see, and every x86-64 CPU has it.
            unsafe { _mm_prefetch::<_MM_HINT_T1>(line.cast()) };
        }
        let _ = line;
    }

    /// All lanes `value`.
    fn splat(self, value: f32) -> Self::F32;
    /// All lanes zero.
    #[inline(always)]
    fn zero(self) -> Self::F32 {
        self.splat(0.0)
    }
    /// Reads `LEN` floats.
    ///
    /// # Safety
    /// `source` is valid for reading `LEN` floats; no alignment is needed.
    unsafe fn load(self, source: *const f32) -> Self::F32;
    /// Reads the first `count` floats, the other lanes become zero.
    ///
    /// # Safety
    /// `count <= LEN`, and `source` is valid for reading `count` floats.
    unsafe fn load_first(self, source: *const f32, count: usize) -> Self::F32;
    /// Reads the first `LEN / 2` floats, the other lanes become anything.
    ///
    /// # Safety
    /// `source` is valid for reading `LEN / 2` floats.
    #[inline(always)]
    unsafe fn load_half(self, source: *const f32) -> Self::F32 {
        // SAFETY: as the caller promises.
        unsafe { self.load_first(source, Self::LEN / 2) }
    }
    /// Writes the first `LEN / 2` floats.
    ///
    /// # Safety
    /// `target` is valid for writing `LEN / 2` floats.
    #[inline(always)]
    unsafe fn store_half(self, target: *mut f32, value: Self::F32) {
        // SAFETY: as the caller promises.
        unsafe { self.store_first(target, value, Self::LEN / 2) };
    }
    /// Reads `LEN` bfloat16.
    ///
    /// # Safety
    /// `source` is valid for reading `LEN` numbers; no alignment is needed.
    #[inline(always)]
    unsafe fn load_bf16(self, source: *const u16) -> Self::F32 {
        let mut lanes = [0.0; 64];
        for (lane, value) in lanes[..Self::LEN].iter_mut().enumerate() {
            // SAFETY: the caller vouches for `LEN` numbers.
            *value = half::bf16::from_bits(unsafe { source.add(lane).read_unaligned() }).to_f32();
        }
        self.load_chunk(&lanes[..Self::LEN])
    }
    /// Writes `LEN` floats.
    ///
    /// # Safety
    /// `target` is valid for writing `LEN` floats; no alignment is needed.
    unsafe fn store(self, target: *mut f32, value: Self::F32);
    /// Writes the first `count` floats.
    ///
    /// # Safety
    /// `count <= LEN`, and `target` is valid for writing `count` floats.
    unsafe fn store_first(self, target: *mut f32, value: Self::F32, count: usize);

    /// Reads the floats of `chunk`, the other lanes become zero.
    #[inline(always)]
    fn load_chunk(self, chunk: &[f32]) -> Self::F32 {
        debug_assert!(chunk.len() <= Self::LEN);
        // SAFETY: the slice has `LEN` floats in the first case, its length is at most `LEN` in the second.
        unsafe {
            if chunk.len() >= Self::LEN {
                self.load(chunk.as_ptr())
            } else {
                self.load_first(chunk.as_ptr(), chunk.len())
            }
        }
    }
    /// Writes as many floats as `chunk` has.
    #[inline(always)]
    fn store_chunk(self, chunk: &mut [f32], value: Self::F32) {
        debug_assert!(chunk.len() <= Self::LEN);
        // SAFETY: the slice has `LEN` floats in the first case, its length is at most `LEN` in the second.
        unsafe {
            if chunk.len() >= Self::LEN {
                self.store(chunk.as_mut_ptr(), value);
            } else {
                self.store_first(chunk.as_mut_ptr(), value, chunk.len());
            }
        }
    }

    /// `a + b`
    fn add(self, a: Self::F32, b: Self::F32) -> Self::F32;
    /// `a - b`
    fn sub(self, a: Self::F32, b: Self::F32) -> Self::F32;
    /// `a · b`
    fn mul(self, a: Self::F32, b: Self::F32) -> Self::F32;
    /// `a / b`
    fn div(self, a: Self::F32, b: Self::F32) -> Self::F32;
    /// `a · b + c`, rounded once where the instruction set can.
    fn mul_add(self, a: Self::F32, b: Self::F32, c: Self::F32) -> Self::F32;
    /// [`Isa::mul_add`] of the first `LEN / 2` lanes; the others become anything.
    #[inline(always)]
    fn mul_add_half(self, a: Self::F32, b: Self::F32, c: Self::F32) -> Self::F32 {
        self.mul_add(a, b, c)
    }
    /// `c - a · b`, rounded once where the instruction set can.
    fn neg_mul_add(self, a: Self::F32, b: Self::F32, c: Self::F32) -> Self::F32;
    /// The larger lane; NaN where **`b`** is NaN (`a` must not be).
    fn max(self, a: Self::F32, b: Self::F32) -> Self::F32;
    /// The smaller lane; NaN where **`b`** is NaN (`a` must not be).
    fn min(self, a: Self::F32, b: Self::F32) -> Self::F32;
    /// `|a|`
    fn abs(self, a: Self::F32) -> Self::F32;
    /// Magnitude of `magnitude`, sign of `sign`.
    fn copysign(self, magnitude: Self::F32, sign: Self::F32) -> Self::F32;
    /// Nearest integer, ties to even.
    fn round(self, a: Self::F32) -> Self::F32;
    /// `2^a` for integer-valued lanes in `-126..=127`; NaN lanes give anything.
    fn pow2(self, a: Self::F32) -> Self::F32;
    /// Sum of all lanes.
    fn reduce_add(self, a: Self::F32) -> f32;
    /// Largest lane; any value if a lane is NaN.
    fn reduce_max(self, a: Self::F32) -> f32;
}
