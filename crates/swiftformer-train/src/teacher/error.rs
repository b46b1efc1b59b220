//! What can be wrong with a teacher.

use std::path::PathBuf;

use swiftformer::{checkpoint::CheckpointError, model::ModelError, weights::WeightsError};

use crate::{
    data::{ClassMismatch, DataError},
    recipe::{Difference, RecipeError},
};

/// Why a teacher cannot be used, or cannot be written down.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TeacherError {
    /// A SwiftFormer that cannot be opened.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// A SwiftFormer that cannot be run.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// A file of logits that cannot be read.
    #[error(transparent)]
    Weights(#[from] WeightsError),
    /// The data set.
    #[error(transparent)]
    Data(#[from] DataError),
    /// The recipe.
    #[error(transparent)]
    Recipe(#[from] RecipeError),
    /// A teacher of other classes, by names.
    #[error("the teacher {teacher} knows other classes")]
    Classes {
        /// The teacher.
        teacher: String,
        /// Which.
        source: ClassMismatch,
    },
    /// A teacher of another number of classes.
    #[error("the teacher {teacher} knows {found} classes, the data set has {expected}")]
    ClassCount {
        /// The teacher.
        teacher: String,
        /// Its classes.
        found: usize,
        /// Those to learn.
        expected: usize,
    },
    /// A model in ONNX that cannot be read or run.
    #[error("cannot run {}: {why}", path.display())]
    Onnx {
        /// The file.
        path: PathBuf,
        /// The engine's reason.
        why: String,
    },
    /// A model in ONNX that takes other images, or gives something else than one logit a class.
    #[error("{} takes or gives tensors of {found}; needed: {needed}", path.display())]
    Shape {
        /// The file.
        path: PathBuf,
        /// The shape.
        found: String,
        /// What would do.
        needed: String,
    },
    /// Logits of images that other settings made.
    #[error(
        "{} was written for other images:{}", path.display(),
        differences.iter().map(|difference| format!("\n  {difference}")).collect::<String>()
    )]
    OtherImages {
        /// The file.
        path: PathBuf,
        /// Settings: those of the file, and those of the run.
        differences: Vec<Difference>,
    },
    /// A file of logits that is damaged, or of another data set.
    #[error("the logits in {} cannot be used: {why}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// Logits cannot be written.
    #[error("cannot write the logits")]
    Write(#[from] std::io::Error),
    /// Another reason.
    #[error("{teacher} cannot teach: {why}")]
    Other {
        /// The teacher.
        teacher: String,
        /// Why.
        why: String,
    },
    /// The caller wanted no more.
    #[error("stopped before all logits were written")]
    Stopped,
}
