//! SIMD kernels of the SwiftFormer inference engine.
//!
//! Slices and shapes go in, slices come out; the crate knows nothing of models. All `unsafe` code of the
//! workspace lives here.

mod pool;

pub use pool::Pool;
