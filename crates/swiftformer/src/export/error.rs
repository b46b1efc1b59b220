//! Why a model cannot be exported.

use std::{io, path::PathBuf};

use crate::{arch::GeometryError, checkpoint::CheckpointError};

/// Why a model cannot be exported.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExportError {
    /// The checkpoint is not ready to run.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// An image size that the network cannot take.
    #[error(transparent)]
    Geometry(#[from] GeometryError),
    /// A batch of no images.
    #[error("a batch of 0 images: give at least 1")]
    NoImages,
    /// An output that the model has not.
    #[error("{model} has no {output}: {change}")]
    Output {
        /// The model.
        model: String,
        /// The output asked for.
        output: &'static str,
        /// What to ask for instead.
        change: &'static str,
    },
    /// An activation that has no form in the lowering.
    #[error("the activation `{activation}` of {module} cannot be exported: train with `gelu`, or run this program")]
    Activation {
        /// Its name in the config.
        activation: &'static str,
        /// The layer.
        module: String,
    },
    /// Preprocessing that cannot be part of the exported model.
    #[error("the preprocessing of {model} cannot be put into the file: {why}; {change}")]
    Preprocessing {
        /// The model.
        model: String,
        /// Why.
        why: String,
        /// What to change.
        change: &'static str,
    },
    /// A weight beyond the range of 16-bit floats.
    #[error("a weight of {node} is {value:e}, beyond the 16-bit floats' 65504; use --precision f32")]
    Range {
        /// The operation.
        node: String,
        /// The weight.
        value: f32,
    },
    /// A pair of options, or an option and a model, that a format cannot express.
    #[error("{format} cannot express {what}; {change}")]
    Inexpressible {
        /// The format.
        format: &'static str,
        /// What it lacks.
        what: String,
        /// What to change.
        change: String,
    },
    /// The target is there already.
    #[error("{} exists already; choose another place, or overwrite it with --force", path.display())]
    Exists {
        /// The target.
        path: PathBuf,
    },
    /// A target that is replaced by no `--force`.
    #[error("{} is not replaced: {what}; choose another place", path.display())]
    Foreign {
        /// The target.
        path: PathBuf,
        /// What is there.
        what: String,
    },
    /// A target that cannot be written.
    #[error("cannot write {}", path.display())]
    Write {
        /// The target.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}
