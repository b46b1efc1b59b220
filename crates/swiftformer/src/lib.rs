//! SwiftFormer (ICCV 2023) vision models in Rust.

#[cfg(feature = "hub")]
pub mod hub;
pub mod tensor;
pub mod weights;
