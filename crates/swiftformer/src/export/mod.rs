//! Export: a model as a file that other runtimes take whole.
//!
//! ```text
//! checkpoint ── lower ──▶ Lowered (about 15 kinds of operations on [N, C, H, W]) ── a printer ──▶ Artifact ── save ──▶ file or folder
//! ```
//!
//! The lowering is written once: BatchNorms and layer scales are folded, both heads are one layer, linear layers are 1×1
//! convolutions, and attention is written in products, sums over channels and sums over the map, so that nothing is
//! reshaped between image and scores. Each format prints that list and decides nothing about the network.
//!
//! # Half precision
//!
//! Many runtimes compute in 16-bit floats whatever the file says, so every lowering keeps within their range. An L2 norm
//! does not change when what it divides is scaled; queries and keys are scaled by a power of two (exact, in the weights)
//! such that the squares of an input of unit variance sum to about one, and norms are kept above 2⁻¹², the root of the
//! smallest 16-bit float, where PyTorch's `normalize` has 10⁻¹².

mod artifact;
pub mod coreml;
mod error;
mod format;
mod graph;
mod interpret;
pub mod litert;
mod lower;
pub mod ncnn;
pub mod onnx;
mod options;

pub use self::{
    artifact::Artifact,
    error::ExportError,
    format::Format,
    graph::{Affine, Conv2d, Info, Linear, Lowered, Node, Op, Over, Reduction, Resample, Shape, Value, ValueId},
    interpret::{Rounding, interpret},
    lower::lower,
    options::{Batch, ExportOptions, FloatType, GeluForm, NormForm, OutputKind, Source},
};
