//! The definition of every kernel: obvious loops, sums in `f64`, rounded once at the end.
//!
//! These are what the kernels are tested against, on every instruction set; they are not meant to be fast.

mod activation;
mod convolution;
mod tokens;

pub use activation::{activate, activation, erf};
pub use convolution::{conv2d, depthwise3x3, pointwise};
pub use tokens::{affine, attention_keys_queries, attention_pool, mean_rows, softmax};
