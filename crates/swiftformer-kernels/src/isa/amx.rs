//! AMX: AVX-512 with a unit that multiplies tiles of bfloat16, sixteen times as many multiply-adds a cycle as one AVX-512
//! port pair does in `f32`.
//!
//! Everything but matrix products is AVX-512's. The products' instructions are written as assembly, since the
//! compiler's intrinsics for them are not stable.

use core::arch::{asm, x86_64::*};

use super::{Isa, avx512::Avx512};
use crate::IsaKind;

/// Proof that the CPU has AMX-BF16, AVX-512 with BF16, and that the system lets this process use tiles.
#[derive(Clone, Copy)]
pub(crate) struct Amx(Avx512);

impl Amx {
    /// The token, if this CPU has the instructions and the system grants them.
    pub(crate) fn detect() -> Option<Self> {
        let vectors = Avx512::detect()?;
        if !is_x86_feature_detected!("avx512bf16") {
            return None;
        }
        // SAFETY: CPUs with AVX-512 have CPUID leaf 7.
        #[allow(unused_unsafe, reason = "safe in newer compilers")]
        let features = unsafe { __cpuid_count(7, 0) }.edx;
        let (bf16, tile) = (1 << 22, 1 << 24);
        (features & bf16 != 0 && features & tile != 0 && tiles_granted()).then_some(Self(vectors))
    }
}

/// Asks the kernel for the tile registers' state, which a process has to do once; asking again changes nothing.
#[cfg(all(target_os = "linux", not(miri)))]
fn tiles_granted() -> bool {
    const ARCH_PRCTL: i64 = 158;
    const ARCH_REQ_XCOMP_PERM: i64 = 0x1023;
    const TILE_DATA: i64 = 18;
    let result: i64;
    // SAFETY: this system call takes two numbers and touches no memory of this process.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") ARCH_PRCTL => result,
            in("rdi") ARCH_REQ_XCOMP_PERM,
            in("rsi") TILE_DATA,
            lateout("rcx") _,
            lateout("r11") _,
            options(nostack),
        );
    }
    result == 0
}

/// How other systems grant tiles is not implemented.
#[cfg(not(all(target_os = "linux", not(miri))))]
fn tiles_granted() -> bool {
    false
}

/// Methods that AVX-512 has.
macro_rules! of_avx512 {
    ($($name:ident($($arg:ident),+) -> $result:ty;)+) => {$(
        #[inline(always)]
        fn $name(self, $($arg: __m512),+) -> $result {
            self.0.$name($($arg),+)
        }
    )+};
}

// SAFETY: only `detect` makes a token, and it holds AVX-512's, which keeps the promises.
unsafe impl Isa for Amx {
    const KIND: IsaKind = IsaKind::Amx;
    const LEN: usize = Avx512::LEN;
    const TILE_VECTORS: usize = Avx512::TILE_VECTORS;
    type F32 = __m512;

    #[inline(always)]
    fn tiles(self) -> Option<Amx> {
        Some(self)
    }
    #[inline(always)]
    fn splat(self, value: f32) -> __m512 {
        self.0.splat(value)
    }
    #[inline(always)]
    unsafe fn load(self, source: *const f32) -> __m512 {
        // SAFETY: as the caller promises.
        unsafe { self.0.load(source) }
    }
    #[inline(always)]
    unsafe fn load_first(self, source: *const f32, count: usize) -> __m512 {
        // SAFETY: as the caller promises.
        unsafe { self.0.load_first(source, count) }
    }
    #[inline(always)]
    unsafe fn load_bf16(self, source: *const u16) -> __m512 {
        // SAFETY: as the caller promises.
        unsafe { self.0.load_bf16(source) }
    }
    #[inline(always)]
    unsafe fn store(self, target: *mut f32, value: __m512) {
        // SAFETY: as the caller promises.
        unsafe { self.0.store(target, value) }
    }
    #[inline(always)]
    unsafe fn store_first(self, target: *mut f32, value: __m512, count: usize) {
        // SAFETY: as the caller promises.
        unsafe { self.0.store_first(target, value, count) }
    }

    of_avx512! {
        add(a, b) -> __m512;
        sub(a, b) -> __m512;
        mul(a, b) -> __m512;
        div(a, b) -> __m512;
        mul_add(a, b, c) -> __m512;
        neg_mul_add(a, b, c) -> __m512;
        max(a, b) -> __m512;
        min(a, b) -> __m512;
        abs(a) -> __m512;
        copysign(magnitude, sign) -> __m512;
        round(a) -> __m512;
        pow2(a) -> __m512;
        reduce_add(a) -> f32;
        reduce_max(a) -> f32;
    }
}
