//! Training, fine-tuning and distilling of SwiftFormer models, without Python.
//!
//! | module | what it holds |
//! |---|---|
//! | [`data`] | data sets in many forms, and batches of them made ahead by threads |
//! | [`augment`] | random changes of training images, with Pillow's bytes |
//! | [`metrics`] | top-1, top-5, loss, accuracy of each class, confusions |
//! | [`synth`] | a data set drawn by rule |
//! | [`rng`] | random numbers that depend on what they are for |
//!
//! With the feature `engine` (on by default; it brings the framework burn) also
//!
//! | module | what it holds |
//! |---|---|
//! | `model` | the network in burn: forward in train and eval mode, gradients |
//! | `device` | the CPU, or a graphics card |
//! | `loss` | cross-entropy, soft targets, BCE, distillation |
//! | `optim` | AdamW and SGD, weight decay groups, clipping, averaged weights |
//! | `parallel` | several processes that train one model |
//! | `schedule` | learning rates by epoch and by step |
//! | `process` | what a program that trains sets once |
//! | `trainer` | one step after the other, and their state for resuming |
//! | `recipe` | every setting of a run as a readable file |
//! | `teacher` | teachers of distillation: SwiftFormers, ONNX, files of logits |
//! | `run` | from a data set and a recipe to a folder with a trained model |

pub mod augment;
#[cfg(feature = "engine")]
mod bits;
pub mod data;
#[cfg(feature = "engine")]
pub mod device;
#[cfg(feature = "engine")]
pub mod loss;
pub mod metrics;
#[cfg(feature = "engine")]
pub mod model;
#[cfg(feature = "engine")]
mod ops;
#[cfg(feature = "engine")]
pub mod optim;
#[cfg(feature = "engine")]
pub mod parallel;
#[cfg(feature = "engine")]
pub mod process;
#[cfg(feature = "engine")]
pub mod recipe;
pub mod rng;
#[cfg(feature = "engine")]
pub mod run;
#[cfg(feature = "engine")]
pub mod schedule;
pub mod synth;
#[cfg(feature = "engine")]
pub mod teacher;
#[cfg(feature = "engine")]
pub mod trainer;
