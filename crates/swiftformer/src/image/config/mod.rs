//! Preprocessing as model folders describe it: transformers' `preprocessor_config.json` and timm's `pretrained_cfg`.

mod hf;
mod timm;

use serde_json::{Map, Value};

use crate::excerpt::excerpt;

/// Characters of a value that a message shows.
const SHOWN: usize = 60;

/// The longest side that a configuration may ask for.
pub const MAX_CONFIG_SIDE: u64 = 16384;

/// A preprocessing configuration that cannot be followed, or cannot be written.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum PreprocessorError {
    /// The configuration is no JSON object.
    #[error("a preprocessing configuration is a JSON object, found {}", excerpt(&found.to_string(), SHOWN))]
    NotAnObject {
        /// What was found.
        found: Value,
    },
    /// A field has a value that breaks its rule.
    #[error("`{field}` is {}: {rule}", excerpt(&value.to_string(), SHOWN))]
    Field {
        /// The field.
        field: &'static str,
        /// Its value.
        value: Value,
        /// What it must be.
        rule: String,
    },
    /// The preprocessing has no counterpart in the other format.
    #[error("{step} cannot be written as {target}")]
    NotExpressible {
        /// The step.
        step: String,
        /// The format.
        target: &'static str,
    },
}

fn bad<T>(field: &'static str, value: &Value, rule: impl Into<String>) -> Result<T, PreprocessorError> {
    Err(PreprocessorError::Field { field, value: value.clone(), rule: rule.into() })
}

/// The fields of a configuration, taken out one by one; what is left plays no part and is kept.
struct Fields(Map<String, Value>);

impl Fields {
    fn new(config: &Value) -> Result<Self, PreprocessorError> {
        match config {
            Value::Object(map) => Ok(Self(map.clone())),
            other => Err(PreprocessorError::NotAnObject { found: other.clone() }),
        }
    }

    /// Takes a field out; `null` counts as absent.
    fn take(&mut self, field: &str) -> Option<Value> {
        if self.0.get(field)?.is_null() {
            return None;
        }
        // Order is the file's: what remains is written back in it.
        self.0.shift_remove(field)
    }

    fn flag(&mut self, field: &'static str, default: bool) -> Result<bool, PreprocessorError> {
        match self.take(field) {
            None => Ok(default),
            Some(Value::Bool(flag)) => Ok(flag),
            Some(other) => bad(field, &other, "must be true or false"),
        }
    }

    /// Three numbers, from three, one in a list, or one alone.
    fn colors(
        &mut self,
        field: &'static str,
        default: [f64; 3],
        allowed: impl Fn(f64) -> bool,
        rule: &str,
    ) -> Result<Vec<f64>, PreprocessorError> {
        let Some(value) = self.take(field) else { return Ok(default.to_vec()) };
        let numbers: Option<Vec<f64>> = match &value {
            Value::Number(_) => value.as_f64().map(|number| vec![number; 3]),
            Value::Array(list) => list.iter().map(Value::as_f64).collect(),
            _ => None,
        };
        let numbers = match numbers {
            Some(one) if one.len() == 1 => vec![one[0]; 3],
            Some(three) if three.len() == 3 => three,
            _ => return bad(field, &value, "must be one number or a list of three"),
        };
        if !numbers.iter().all(|&number| number.is_finite() && allowed(number)) {
            return bad(field, &value, rule);
        }
        Ok(numbers)
    }
}

/// A side in pixels.
fn side(field: &'static str, whole: &Value, value: &Value) -> Result<usize, PreprocessorError> {
    match value.as_u64() {
        Some(side @ 1..=MAX_CONFIG_SIDE) => Ok(side as usize),
        _ => bad(field, whole, format!("sides must be whole numbers from 1 to {MAX_CONFIG_SIDE}")),
    }
}
