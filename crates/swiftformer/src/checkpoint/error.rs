//! Why a model cannot be opened, changed or saved.

use std::{io, path::PathBuf};

use crate::{
    config::ConfigError,
    image::{ImageError, PreprocessorError},
    weights::{
        WeightsError, infer::InferError, layout::LayoutError, state::StateDictError, token_weights::TokenWeightUse,
    },
};

/// Why a model cannot be opened, changed or saved.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CheckpointError {
    /// A file or folder that cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A file or folder that cannot be written.
    #[error("cannot write {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The target is there already.
    #[error("{} exists already; choose another place, or overwrite it with --force", path.display())]
    Exists {
        /// The target.
        path: PathBuf,
    },
    /// A folder without weights.
    #[error("{} has no weights; looked for {}", path.display(), looked_for.join(", "))]
    NoWeights {
        /// The folder.
        path: PathBuf,
        /// File names that would do.
        looked_for: Vec<&'static str>,
    },
    /// A config that is refused.
    #[error("the config {} is refused", path.display())]
    Config {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: ConfigError,
    },
    /// A config that cannot be built or written.
    #[error(transparent)]
    BadConfig(#[from] ConfigError),
    /// A preprocessing config that is refused.
    #[error("the preprocessing config {} is refused", path.display())]
    Preprocessor {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: Box<PreprocessorError>,
    },
    /// A preprocessing that the target layout cannot express.
    #[error("the preprocessing cannot be written")]
    PreprocessorWrite(#[source] Box<PreprocessorError>),
    /// A number of input channels that images cannot have.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// Weights that cannot be read.
    #[error(transparent)]
    Weights(#[from] WeightsError),
    /// Weights of something else.
    #[error("cannot use the weights of {model}")]
    Layout {
        /// The model.
        model: String,
        /// Why.
        #[source]
        source: LayoutError,
    },
    /// Loose weights that give no config.
    #[error("cannot use the weights of {model}")]
    Infer {
        /// The model.
        model: String,
        /// Why.
        #[source]
        source: InferError,
    },
    /// Loose weights whose names and shapes give a config that breaks a rule.
    #[error("cannot use the weights of {model}: the config that their names and shapes give is refused")]
    InferredConfig {
        /// The model.
        model: String,
        /// Why.
        #[source]
        source: ConfigError,
    },
    /// Weights that do not fit the config.
    #[error("cannot use the weights of {model}")]
    StateDict {
        /// The model.
        model: String,
        /// Which ones.
        #[source]
        source: StateDictError,
    },
    /// A weight that is no number, or not of a type that weights have.
    #[error("cannot use the weights of {model}: `{tensor}` holds {dtype} values, expected F32, F16, BF16 or F64")]
    DType {
        /// The model.
        model: String,
        /// Name of the tensor.
        tensor: String,
        /// Its element type.
        dtype: &'static str,
    },
    /// Nothing says which dialect trained the weights.
    #[error(
        "nothing in {model} says which attention dialect trained it; pass --dialect sum (first release, March 2023) \
         or --dialect l2 (since July 2023){}", hint(*verdict)
    )]
    UnknownDialect {
        /// The model.
        model: String,
        /// What the statistics of `w_g` say.
        verdict: TokenWeightUse,
    },
    /// The hub refused or failed.
    #[cfg(feature = "hub")]
    #[error(transparent)]
    Hub(#[from] crate::hub::HubError),
    /// The library was built without hub downloads.
    #[error("`{0}` is a hub id, but this build has no hub support; give a folder or file")]
    NoHub(String),
    /// A change that the network does not allow.
    #[error("cannot change the model: {0}")]
    Edit(String),
}

fn hint(verdict: TokenWeightUse) -> &'static str {
    match verdict {
        TokenWeightUse::Dead => "; its w_g was only shrunk in training, which points to sum",
        TokenWeightUse::Live => "; its w_g was trained, which points to l2",
        TokenWeightUse::Unclear => "; its w_g gives no hint",
    }
}
