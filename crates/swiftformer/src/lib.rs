//! SwiftFormer (ICCV 2023, arXiv 2303.15446) vision models: every published checkpoint, with the numbers of the libraries
//! that published it.
//!
//! ```text
//! once:  path or hub id ── checkpoint ──▶ config, description, weights ── model ──▶ packed network
//! each:  bytes ── image ──▶ pixels ── preprocessor ──▶ floats ── model ──▶ logits, features, hidden states
//! ```
//!
//! ```
//! use swiftformer::{
//!     checkpoint::{Checkpoint, ModelSource, OpenOptions},
//!     image::{Orientation, decode},
//!     model::{Model, ModelOptions},
//! };
//!
//! // The embedded demo knows twelve drawn things; `"xs".parse()?`, a hub id, a folder or a file give other models.
//! let checkpoint = Checkpoint::open(&ModelSource::Demo, &OpenOptions::default())?;
//! let model = Model::new(&checkpoint, &ModelOptions::default())?;
//!
//! let file = include_bytes!("../../../examples/china.jpg");
//! let photograph = decode(file, Orientation::Apply, &Default::default())?;
//! let logits = model.classify(&photograph)?;
//! assert_eq!(logits.len(), checkpoint.config().num_labels);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Where to look
//!
//! | module | what it holds |
//! |---|---|
//! | [`checkpoint`] | a model at rest: open, change, save, in any of four layouts |
//! | [`model`] | a model that runs, on threads and the best instruction set of the machine; transformers' view of it |
//! | [`predict`] | logits as scores and classes; class activation maps |
//! | [`image`] | decoding, and preprocessing to Pillow's bytes |
//! | [`config`] | the fields of transformers' and timm's configs, the published variants, the dialects |
//! | [`arch`] | the network as a description that everything else walks |
//! | [`weights`] | file formats, names and layouts of tensors, initialisation |
//! | [`plan`] | the compiled network, for one image size |
//! | [`export`] | the network as a list of operations, and files of it for other runtimes |
//! | `hub` | downloads from the Hugging Face Hub (feature `hub`, on by default) |
//! | [`loss`] | losses as transformers computes them |
//! | [`demo`] | the embedded model |
//!
//! # Two dialects
//!
//! The attention of the released checkpoints differs under the same parameter names, and no weight file says which one
//! trained it. [`config::Dialect`] tells them apart, and [`checkpoint::Checkpoint::dialect`] says which is in force and why.
//!
//! # What it does not do
//!
//! It prints nothing, and only `hub::HubOptions::from_env` reads environment variables. Warnings go to
//! `tracing`.
//! Malformed files are errors, never panics.

pub mod arch;
mod aside;
pub mod checkpoint;
pub mod config;
pub mod demo;
mod excerpt;
pub mod export;
mod files;
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

/// Compiles the snippets of the readme.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;
