//! Why a config is refused.

use super::Reading;

/// Why a config cannot be read, is not valid, or cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// Not JSON at all.
    #[error("the config is not valid JSON: {0}")]
    Json(#[from] serde_json::Error),
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
    #[error("`{field}` is `{found}`: this is not a SwiftFormer")]
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
    pub(super) fn rule(field: impl Into<String>, value: impl std::fmt::Display, rule: impl Into<String>) -> Self {
        Self::Rule { field: field.into(), value: value.to_string(), rule: rule.into() }
    }
}
