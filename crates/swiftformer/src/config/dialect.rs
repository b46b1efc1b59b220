//! What a file does not say about itself: the attention dialect and whose reading of the config applies.

use std::{fmt, str::FromStr};

/// How efficient additive attention pools its token weights `a = (q · w_g) · dim^-1/2`.
///
/// The released checkpoints share parameter names but not this step, and no file says which one trained it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Dialect {
    /// Softmax over an axis of size 1: every weight is 1 and `w_g` is dead. First release of the original code,
    /// Hugging Face `MBZUAI/swiftformer-*`, TensorFlow.
    Sum,
    /// L2-normalised over the tokens. Original code since July 2023, `timm/swiftformer_*.dist_in1k`.
    L2,
    /// Softmax over the tokens; no public weights.
    Softmax,
    /// As they are (the paper's equation); no public weights.
    Raw,
}

impl Dialect {
    /// Every dialect.
    pub const ALL: [Self; 4] = [Self::Sum, Self::L2, Self::Softmax, Self::Raw];

    /// The name on the command line and in `config.json`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sum => "sum",
            Self::L2 => "l2",
            Self::Softmax => "softmax",
            Self::Raw => "raw",
        }
    }

    /// Whether `w_g` changes the outputs.
    pub fn uses_token_weights(self) -> bool {
        self != Self::Sum
    }
}

impl fmt::Display for Dialect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Dialect {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|dialect| dialect.name() == name)
            .ok_or_else(|| format!("`{name}` is not a dialect; choose sum, l2, softmax or raw"))
    }
}

/// Whose code gives the config fields their meaning. The references read four fields differently.
///
/// | field | Hugging Face, original | timm |
/// |---|---|---|
/// | `use_layer_scale = false` | drops `layer_scale_1/2` only | drops every layer scale |
/// | `hidden_act` | reaches the MLP only, conv blocks stay exact GELU | reaches every block |
/// | `downsamples[i]` | transition after stage i, also whenever the widths differ | transition before stage i |
/// | drop path | attention blocks only | every block |
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Reading {
    /// transformers' `SwiftFormerConfig`.
    #[default]
    HuggingFace,
    /// timm's `swiftformer.py`.
    Timm,
    /// The authors' repository; reads fields as transformers does.
    Original,
}

impl Reading {
    /// Name for `info`.
    pub fn name(self) -> &'static str {
        match self {
            Self::HuggingFace => "hf",
            Self::Timm => "timm",
            Self::Original => "original",
        }
    }

    /// The dialect that this family of releases was trained with.
    pub fn default_dialect(self) -> Dialect {
        match self {
            Self::HuggingFace => Dialect::Sum,
            Self::Timm | Self::Original => Dialect::L2,
        }
    }
}

impl fmt::Display for Reading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
