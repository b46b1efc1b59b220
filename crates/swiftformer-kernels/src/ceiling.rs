//! The speed that arithmetic alone would allow, to hold measurements against.

use std::hint::black_box;

use crate::gemm::TILE_ROWS;
#[cfg(target_arch = "x86_64")]
use crate::gemm::pairs;
use crate::isa::Isa;
#[cfg(target_arch = "x86_64")]
use crate::isa::avx512::Avx512Bf16;
use crate::kernels::{Kernel, Kernels};
use crate::precision::Precision;

impl Kernels {
    /// Does nothing but multiply-adds in registers, with as many independent sums as the matrix tile has, and returns
    /// how many floating-point operations (two a multiply-add) that were: at least `operations`. Time it for the
    /// ceiling of one core in GFLOP/s. They are those of vectors: in bfloat16 where there is an instruction for pairs and
    /// matrices would be packed so, in `f32` otherwise, also where there are tiles.
    ///
    /// ```
    /// let kernels = swiftformer_kernels::Kernels::detect();
    /// assert!(kernels.spend_operations(100_000) >= 100_000);
    /// ```
    pub fn spend_operations(self, operations: u64) -> u64 {
        self.dispatch(Spend { operations, precision: self.precision() })
    }
}

struct Spend {
    operations: u64,
    #[cfg_attr(
        not(target_arch = "x86_64"),
        expect(dead_code, reason = "only x86-64 multiplies other numbers than floats")
    )]
    precision: Precision,
}

impl Kernel for Spend {
    type Output = u64;

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) -> u64 {
        #[cfg(target_arch = "x86_64")]
        if self.precision == Precision::Bf16
            && let Some(pairs) = isa.bf16_pairs()
        {
            // SAFETY: the token proves the instructions.
            return unsafe { spend_pairs(pairs, self.operations) };
        }
        match I::TILE_VECTORS {
            2 => spend::<I, { TILE_ROWS * 2 }>(isa, self.operations),
            3 => spend::<I, { TILE_ROWS * 3 }>(isa, self.operations),
            _ => spend::<I, { TILE_ROWS * 4 }>(isa, self.operations),
        }
    }
}

#[inline(always)]
fn spend<I: Isa, const SUMS: usize>(isa: I, operations: u64) -> u64 {
    let step = 2 * (SUMS * I::LEN) as u64;
    let rounds = operations.div_ceil(step);
    let factor = isa.splat(black_box(0.999));
    let mut sums = [isa.splat(black_box(1.0)); SUMS];
    for _ in 0..rounds {
        for sum in &mut sums {
            *sum = isa.mul_add(*sum, factor, factor);
        }
    }
    black_box(sums.iter().fold(0.0, |total, &sum| total + isa.reduce_add(sum)));
    rounds * step
}

/// # Safety
/// The CPU has the instructions.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,avx512bf16,avx2,fma")]
unsafe fn spend_pairs(pairs: Avx512Bf16, operations: u64) -> u64 {
    const SUMS: usize = TILE_ROWS * 4;
    let isa = pairs.vectors();
    let step = 2 * 2 * (SUMS * 16) as u64;
    let rounds = operations.div_ceil(step);
    // Pairs of 0.5, which are 0x3F00 in bfloat16.
    let weights = isa.splat(black_box(f32::from_bits(0x3F00_3F00)));
    let mut sums = [isa.splat(black_box(1.0)); SUMS];
    for _ in 0..rounds {
        for sum in &mut sums {
            // SAFETY: as the caller promises.
            *sum = unsafe { pairs::add_products(*sum, 0x3F00_3F00, weights) };
        }
    }
    black_box(sums.iter().fold(0.0, |total, &sum| total + isa.reduce_add(sum)));
    rounds * step
}
