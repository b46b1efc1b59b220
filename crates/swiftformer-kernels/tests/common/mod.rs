//! What all kernel tests share: random data, comparison, and one test per instruction set.

// Every test binary compiles this module and uses its own part of it.
#![allow(dead_code, unused_macros, unused_imports)]

use swiftformer_kernels::{Epilogue, IsaKind, Kernels, PackedMatrix, Rows, RowsMut};

/// A small generator (xorshift64*): the same data on every run.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    /// Uniform in -1..1.
    pub fn value(&mut self) -> f32 {
        (self.next() >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    }

    pub fn values(&mut self, count: usize) -> Vec<f32> {
        (0..count).map(|_| self.value()).collect()
    }
}

/// Panics where `actual` is further from `expected` than `tolerance · (1 + |expected|)`.
#[track_caller]
pub fn assert_close(actual: &[f32], expected: &[f32], tolerance: f32, what: &str) {
    assert_eq!(actual.len(), expected.len(), "{what}: lengths");
    for (index, (&actual, &expected)) in actual.iter().zip(expected).enumerate() {
        let close = (actual - expected).abs() <= tolerance * (1.0 + expected.abs());
        let same = actual == expected || (actual.is_nan() && expected.is_nan());
        assert!(close || same, "{what}: element {index} is {actual}, expected {expected}");
    }
}

/// [`Kernels::pointwise`] with scratch of its own, which holds garbage.
pub fn pointwise(kernels: Kernels, matrix: &PackedMatrix, input: Rows<'_>, output: RowsMut<'_>, epilogue: Epilogue) {
    let mut scratch = vec![f32::NAN; matrix.pointwise_scratch_len(10_000)];
    kernels.pointwise(matrix, input, output, epilogue, &mut scratch);
}

/// The kernels to test, or `None` where this machine lacks the instruction set (said aloud).
pub fn kernels(kind: IsaKind) -> Option<Kernels> {
    let kernels = Kernels::with(kind);
    if kernels.is_none() {
        eprintln!("this machine cannot run the {kind} kernels");
    }
    kernels
}

/// Makes one test per instruction set out of each function of `Kernels`.
macro_rules! isa_tests {
    ($(fn $name:ident($kernels:ident) $body:block)+) => {$(
        mod $name {
            use super::*;

            fn check($kernels: swiftformer_kernels::Kernels) $body

            isa_tests!(@each check
                amx Amx [target_arch = "x86_64"],
                avx512 Avx512 [target_arch = "x86_64"],
                avx2 Avx2 [target_arch = "x86_64"],
                neon Neon [target_arch = "aarch64"],
                simd128 Simd128 [all(target_arch = "wasm32", target_feature = "simd128")],
                scalar Scalar [all()]);
        }
    )+};
    (@each $check:ident $($test:ident $kind:ident [$target:meta]),+) => {$(
        #[cfg($target)]
        #[test]
        fn $test() {
            if let Some(kernels) = common::kernels(swiftformer_kernels::IsaKind::$kind) {
                $check(kernels);
            }
        }
    )+};
}
pub(crate) use isa_tests;
