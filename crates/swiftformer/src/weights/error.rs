//! What can go wrong when weights are read.

use std::io;
use std::path::{Path, PathBuf};

use super::detect::{FileKind, NotWeights};
use super::hdf5::{Hdf5Error, keras::KerasError};
use super::safetensors::SafetensorsError;
use super::sharded::ShardedError;
use super::torch::TorchError;

/// Weights that cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WeightsError {
    /// Something is wrong with this file; the source says what.
    #[error("cannot load weights from {}", path.display())]
    InFile {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: Box<WeightsError>,
    },
    /// The file cannot be read at all.
    #[error("the file cannot be read")]
    Io(#[source] io::Error),
    /// The file holds no weights, or none in a known format.
    #[error(transparent)]
    NotWeights(#[from] NotWeights),
    /// A known kind of file that cannot be read here.
    #[error("{kind} files cannot be read {place}")]
    Unsupported {
        /// The kind.
        kind: FileKind,
        /// Where or how they cannot.
        place: &'static str,
    },
    /// A state dict was asked for by name from a file that has no named ones.
    #[error("state dict `{asked}` was asked for, and {kind} files hold only one, without a name")]
    NoStateDicts {
        /// The name asked for.
        asked: String,
        /// The file's kind.
        kind: FileKind,
    },
    /// A safetensors file is damaged or holds an unsupported type.
    #[error(transparent)]
    Safetensors(#[from] SafetensorsError),
    /// A PyTorch checkpoint is damaged, or holds what is not plain data.
    #[error(transparent)]
    Torch(#[from] TorchError),
    /// An HDF5 file is damaged or uses what cannot be read.
    #[error(transparent)]
    Hdf5(#[from] Hdf5Error),
    /// An HDF5 file does not hold Keras weights.
    #[error(transparent)]
    Keras(#[from] KerasError),
    /// An index of shards does not hold together.
    #[error(transparent)]
    Sharded(#[from] ShardedError),
}

impl WeightsError {
    /// This error with the file it is about. An error that names its file already stays as it is.
    pub fn in_file(self, path: &Path) -> Self {
        match self {
            named @ Self::InFile { .. } => named,
            source => Self::InFile { path: path.to_owned(), source: Box::new(source) },
        }
    }
}
