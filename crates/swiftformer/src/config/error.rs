//! Why a config is refused.

use super::Reading;
use crate::excerpt::excerpt;

/// Characters of a value that a message shows.
pub(super) const SHOWN: usize = 60;

/// Why a config cannot be read, is not valid, or cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// Not JSON at all.
    #[error("the config is not valid JSON")]
    Json(#[from] serde_json::Error),
    /// Far more values than any config has.
    #[error("the config holds more than {limit} values")]
    TooLarge {
        /// The most values.
        limit: usize,
    },
    /// JSON, but not an object.
    #[error("the config is not a JSON object")]
    NotAnObject,
    /// A field of the wrong kind.
    #[error("`{field}` is {found}, expected {expected}")]
    FieldType {
        /// Name of the field.
        field: String,
        /// What is there, shortened.
        found: String,
        /// What should be there.
        expected: &'static str,
    },
    /// A field whose value breaks a rule.
    #[error("`{field}` is {value}: {rule}")]
    Rule {
        /// Name of the field.
        field: String,
        /// Its value, shortened.
        value: String,
        /// The rule that it breaks.
        rule: String,
    },
    /// The config belongs to another kind of model.
    #[error("`{field}` is `{}`: this is not a SwiftFormer", excerpt(found, SHOWN))]
    OtherModel {
        /// `model_type` or `architecture`.
        field: &'static str,
        /// Its value.
        found: String,
    },
    /// A network that another library's config cannot describe.
    #[error("`{field}` cannot be written as a config of kind {reading}: {why}")]
    Inexpressible {
        /// Name of the field.
        field: &'static str,
        /// The reading asked for.
        reading: Reading,
        /// What is in the way.
        why: String,
    },
}

impl ConfigError {
    /// A broken rule.
    pub(crate) fn rule(field: impl Into<String>, value: impl std::fmt::Display, rule: impl Into<String>) -> Self {
        Self::Rule { field: field.into(), value: excerpt(&value.to_string(), SHOWN), rule: rule.into() }
    }
}
