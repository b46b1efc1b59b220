//! Why a run cannot start or go on.

use std::{io, path::PathBuf};

use crate::{
    data::DataError,
    device::DeviceError,
    metrics::MetricsError,
    model::ModelError as NetworkError,
    parallel::ParallelError,
    recipe::{Difference, RecipeError},
    teacher::TeacherError,
    trainer::TrainError,
};
use swiftformer::{checkpoint::CheckpointError, config::ConfigError, model::ModelError, weights::WeightsError};

/// Why a run cannot start or go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// The recipe.
    #[error(transparent)]
    Recipe(#[from] RecipeError),
    /// The data set.
    #[error(transparent)]
    Data(#[from] DataError),
    /// A teacher.
    #[error(transparent)]
    Teacher(Box<TeacherError>),
    /// The model that training starts from.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// A network that cannot be built or written.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A network that cannot be trained.
    #[error(transparent)]
    Network(#[from] NetworkError),
    /// A step that failed.
    #[error(transparent)]
    Train(#[from] TrainError),
    /// A trained network that cannot be judged.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// Logits that cannot be judged.
    #[error(transparent)]
    Metrics(#[from] MetricsError),
    /// A state that cannot be read.
    #[error(transparent)]
    Weights(#[from] WeightsError),
    /// Processes that cannot train together any more.
    #[error(transparent)]
    Parallel(#[from] ParallelError),
    /// The device to train on.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// A setting that does not fit the model or the data.
    #[error("{0}")]
    Setting(String),
    /// A file that cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file that cannot be written. What was saved before is whole.
    #[error("cannot write {}; what was saved before is whole", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The folder for a new run holds something.
    #[error("{} is not empty: choose another folder, or go on with the run in it by --resume", path.display())]
    Exists {
        /// The folder.
        path: PathBuf,
    },
    /// A folder without a run.
    #[error("{} holds no run to resume: it has no {}", path.display(), super::STATE)]
    NoRun {
        /// The folder.
        path: PathBuf,
    },
    /// A state that is damaged or of another version.
    #[error("the state of the run in {} cannot be used: {why}", path.display())]
    State {
        /// The folder.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// A run that is to go on under other settings.
    #[error(
        "the run was started with other settings:{}\nuse --force to go on with the new ones",
        differences.iter().map(|difference| format!("\n  {difference}")).collect::<String>()
    )]
    Changed {
        /// The settings.
        differences: Vec<Difference>,
    },
    /// A run that is to go on with other images.
    #[error("the run was started with {before}, and {} has {after}", path.display())]
    OtherData {
        /// The data set.
        path: PathBuf,
        /// What it was.
        before: String,
        /// What it is.
        after: String,
    },
    /// The loss or a gradient is not a number any more. What was saved before is whole.
    #[error(
        "{what} is {value} in epoch {epoch}, step {step}, of {}; what was saved before is whole. A lower learning rate or \
         clipping may help (--set lr=..., --set clip=norm)",
        files.join(", ")
    )]
    NotFinite {
        /// The loss, or the norm of the gradients.
        what: &'static str,
        /// Its value.
        value: f64,
        /// The epoch, from 1.
        epoch: u64,
        /// The batch in the epoch, from 1.
        step: usize,
        /// The images of the batch.
        files: Vec<String>,
    },
}

impl From<TeacherError> for RunError {
    fn from(error: TeacherError) -> Self {
        Self::Teacher(Box::new(error))
    }
}
