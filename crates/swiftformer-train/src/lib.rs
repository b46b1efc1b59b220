//! Training, fine-tuning and distilling of SwiftFormer models, without Python.
//!
//! | module | what it holds |
//! |---|---|
//! | [`model`] | the network in burn: forward in train and eval mode, gradients |
//! | [`loss`] | cross-entropy, soft targets, BCE, distillation |
//! | [`optim`] | AdamW and SGD, weight decay groups, clipping, averaged weights |
//! | [`schedule`] | learning rates by epoch and by step |
//! | [`trainer`] | one step after the other, and their state for resuming |

pub mod loss;
pub mod model;
mod ops;
pub mod optim;
pub mod schedule;
pub mod trainer;
