//! SwiftFormer (ICCV 2023) vision models in Rust.

pub mod arch;
pub mod config;
pub mod loss;
// A reference for tests and for other engines; nothing in the product path calls it.
pub mod reference;
pub mod tensor;
pub mod weights;
