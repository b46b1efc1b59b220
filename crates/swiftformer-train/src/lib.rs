//! Training, fine-tuning and distilling of SwiftFormer models, without Python.
//!
//! | module | what it holds |
//! |---|---|
//! | [`data`] | data sets in many forms, and batches of them made ahead by threads |
//! | [`augment`] | random changes of training images, with Pillow's bytes |
//! | [`metrics`] | top-1, top-5, loss, accuracy of each class, confusions |
//! | [`synth`] | a data set drawn by rule |
//! | [`rng`] | random numbers that depend on what they are for |

pub mod augment;
pub mod data;
pub mod metrics;
pub mod rng;
pub mod synth;
