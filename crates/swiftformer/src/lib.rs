//! SwiftFormer (ICCV 2023) vision models in Rust.

pub mod arch;
pub mod config;
#[cfg(feature = "hub")]
pub mod hub;
pub mod loss;
pub mod plan;
// For tests and for other engines to compare with; nothing in the product's path calls it.
pub mod reference;
pub mod tensor;
pub mod weights;
