//! SwiftFormer (ICCV 2023) vision models in Rust.

pub mod arch;
pub mod config;
pub mod tensor;
pub mod weights;
