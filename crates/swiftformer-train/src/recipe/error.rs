//! What can be wrong with a recipe.

use std::{path::PathBuf, sync::Arc};

use super::NAMES;

/// Why a recipe cannot be used.
#[derive(Clone, Debug, thiserror::Error)]
pub enum RecipeError {
    /// Neither a name nor a file.
    #[error("`{name}` is neither a recipe ({}) nor a file", NAMES.join(", "))]
    NoRecipe {
        /// What was asked for.
        name: String,
    },
    /// A file that cannot be read.
    #[error("cannot read the recipe {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: Arc<std::io::Error>,
    },
    /// A text that is not TOML.
    #[error("{name} is not TOML: {why}")]
    Syntax {
        /// The recipe.
        name: String,
        /// Where and why.
        why: String,
    },
    /// A key that no recipe has.
    #[error("unknown key `{key}`: did you mean `{nearest}`?")]
    Key {
        /// The key.
        key: String,
        /// The most similar one there is.
        nearest: String,
    },
    /// A setting without a value.
    #[error("`{setting}` sets nothing: expected key=value")]
    Setting {
        /// The setting.
        setting: String,
    },
    /// A value of the wrong type.
    #[error("`{key}` is {expected}, not `{found}`")]
    Type {
        /// The key.
        key: String,
        /// What it has to be.
        expected: &'static str,
        /// The value given.
        found: String,
    },
    /// A number out of its range.
    #[error("`{key}` is {found}: expected {expected}")]
    Range {
        /// The key.
        key: &'static str,
        /// The value given.
        found: String,
        /// What it has to be.
        expected: &'static str,
    },
    /// A word that is not among those possible.
    #[error("{why}")]
    Value {
        /// Which, and what is possible.
        why: String,
    },
}
