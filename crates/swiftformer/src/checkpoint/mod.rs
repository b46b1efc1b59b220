//! Checkpoints: config, weights and preprocessing of one model, opened from anywhere and saved in any layout.

mod edit;
mod error;
mod open;
mod save;
mod source;

use std::fmt;

pub(crate) use self::open::open_bytes;
pub use self::{
    error::CheckpointError,
    open::OpenOptions,
    save::SaveOptions,
    source::{ModelSource, ParseSourceError},
};
use crate::{
    arch::Arch,
    config::{Dialect, SwiftFormerConfig},
    image::Preprocessor,
    weights::{names::Layout, state::StateDict, token_weights::TokenWeightStatistics},
};

/// Where the dialect in force comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DialectSource {
    /// The caller said so.
    Told,
    /// The config records it.
    Config,
    /// All files of this layout were trained so (Hugging Face, TensorFlow: `sum`; timm: `l2`).
    Layout(Layout),
    /// The weights are fresh.
    Fresh,
    /// Nothing says which; the caller has to.
    Unknown,
}

impl fmt::Display for DialectSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Told => f.write_str("told by option"),
            Self::Config => f.write_str("recorded in the config"),
            Self::Layout(Layout::HuggingFace) => f.write_str("Hugging Face releases use sum"),
            Self::Layout(Layout::TensorFlow) => f.write_str("TensorFlow releases use sum"),
            Self::Layout(Layout::Timm) => f.write_str("timm releases use l2"),
            Self::Layout(Layout::Original) => f.write_str("the original code uses l2 since July 2023"),
            Self::Fresh => f.write_str("chosen for fresh weights"),
            Self::Unknown => f.write_str("unknown: the original code released weights of both dialects"),
        }
    }
}

/// A model at rest: its config, every tensor, and how images are prepared for it.
///
/// ```
/// use swiftformer::checkpoint::{Checkpoint, ModelSource, OpenOptions};
///
/// let demo = Checkpoint::open(&ModelSource::Demo, &OpenOptions::default())?;
/// assert_eq!(demo.config().label(3), "clock");
/// # Ok::<(), swiftformer::checkpoint::CheckpointError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Checkpoint {
    arch: Arch,
    state: StateDict,
    preprocessor: Preprocessor,
    dialect_source: DialectSource,
    layout: Layout,
    name: String,
    public_name: String,
}

impl Checkpoint {
    /// A checkpoint from its parts, e.g. after training.
    ///
    /// # Panics
    /// When the state dict is not the network's.
    pub fn from_parts(arch: Arch, state: StateDict, preprocessor: Preprocessor) -> Self {
        for param in arch.params() {
            assert!(state.get(param.module, param.leaf).is_some(), "the state dict lacks {param:?}");
        }
        let layout = match arch.config.reading {
            crate::config::Reading::HuggingFace => Layout::HuggingFace,
            crate::config::Reading::Timm => Layout::Timm,
            crate::config::Reading::Original => Layout::Original,
        };
        Self::unnamed(arch, state, preprocessor, DialectSource::Config, layout)
    }

    /// Its names are for the opener to give.
    fn unnamed(
        arch: Arch,
        state: StateDict,
        preprocessor: Preprocessor,
        dialect_source: DialectSource,
        layout: Layout,
    ) -> Self {
        Self { arch, state, preprocessor, dialect_source, layout, name: String::new(), public_name: String::new() }
    }

    /// The description of the network.
    pub fn arch(&self) -> &Arch {
        &self.arch
    }

    /// The config.
    pub fn config(&self) -> &SwiftFormerConfig {
        &self.arch.config
    }

    /// Every tensor.
    pub fn state(&self) -> &StateDict {
        &self.state
    }

    /// How images are prepared.
    pub fn preprocessor(&self) -> &Preprocessor {
        &self.preprocessor
    }

    /// Replaces how images are prepared.
    pub fn set_preprocessor(&mut self, preprocessor: Preprocessor) {
        self.preprocessor = preprocessor;
    }

    /// What the model was opened from, as messages name it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The same for files that are given away: where the model lies on this machine is no part of it.
    pub fn public_name(&self) -> &str {
        &self.public_name
    }

    /// The layout of the file that the weights came from.
    pub fn layout(&self) -> Layout {
        self.layout
    }

    /// The dialect in force and where it comes from.
    pub fn dialect(&self) -> (Dialect, DialectSource) {
        (self.arch.config.effective_dialect(), self.dialect_source)
    }

    /// The dialect, where something or someone says which.
    ///
    /// # Errors
    /// [`CheckpointError::UnknownDialect`] for a loose file of the original code that nobody gave a dialect.
    pub fn known_dialect(&self) -> Result<Dialect, CheckpointError> {
        match self.dialect_source {
            DialectSource::Unknown => {
                let verdict = self.token_weights().verdict;
                Err(CheckpointError::UnknownDialect { model: self.name.clone(), verdict })
            }
            _ => Ok(self.arch.config.effective_dialect()),
        }
    }

    /// What the statistics of `w_g` say about the dialect.
    pub fn token_weights(&self) -> TokenWeightStatistics {
        TokenWeightStatistics::of(&self.arch, &self.state)
    }
}
