//! The numbers that matrix products are made with.

use std::fmt;

/// What weights and activations are when they are multiplied. Sums, and everything between products, are `f32`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Precision {
    /// 32-bit floats.
    #[default]
    F32,
    /// bfloat16: 8 significant bits, the range of `f32`. Weights take half the memory; where the CPU has no instruction
    /// that multiplies bfloat16, activations stay `f32`.
    Bf16,
}

impl Precision {
    /// Every precision.
    pub const ALL: &[Precision] = &[Self::F32, Self::Bf16];

    /// Its name as users write it, e.g. `bf16`.
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::Bf16 => "bf16",
        }
    }
}

impl fmt::Display for Precision {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}
