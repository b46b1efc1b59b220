//! The speed that arithmetic alone would allow, to hold measurements against.

use std::hint::black_box;

use crate::gemm::TILE_ROWS;
use crate::isa::Isa;
use crate::kernels::{Kernel, Kernels};

impl Kernels {
    /// Does nothing but multiply-adds in registers, with as many independent sums as the matrix tile has, and returns
    /// how many floating-point operations (two a multiply-add) that were: at least `operations`. Time it for the
    /// ceiling of one core in GFLOP/s.
    ///
    /// ```
    /// let kernels = swiftformer_kernels::Kernels::detect();
    /// assert!(kernels.spend_operations(100_000) >= 100_000);
    /// ```
    pub fn spend_operations(self, operations: u64) -> u64 {
        self.dispatch(Spend { operations })
    }
}

struct Spend {
    operations: u64,
}

impl Kernel for Spend {
    type Output = u64;

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) -> u64 {
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
