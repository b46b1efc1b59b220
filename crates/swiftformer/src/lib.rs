//! SwiftFormer (ICCV 2023) vision models in Rust.

pub mod image;
pub mod tensor;
pub mod weights;
