//! SwiftFormer (ICCV 2023) vision models in Rust.

pub mod arch;
pub mod checkpoint;
pub mod config;
pub mod demo;
#[cfg(feature = "hub")]
pub mod hub;
pub mod image;
pub mod loss;
pub mod model;
pub mod plan;
pub mod predict;
// For tests and for other engines to compare with; nothing in the product's path calls it.
pub mod reference;
pub mod tensor;
pub mod weights;
