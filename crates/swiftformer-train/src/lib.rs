//! Training, fine-tuning and distilling of SwiftFormer models, without Python.

pub mod augment;
pub mod data;
pub mod metrics;
pub mod rng;
pub mod synth;
