//! Kernels of training: parameter updates, and blocks forwards and backwards.

mod update;

pub use update::{AdamW, Sgd};
