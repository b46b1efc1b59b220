//! Taking typed fields out of a JSON object; what nobody takes is kept.

use serde_json::{Map, Value};

use super::{ConfigError, error::SHOWN};
use crate::excerpt::excerpt;

/// The fields of a config that have not been read yet.
pub(super) struct Fields(Map<String, Value>);

impl Fields {
    pub(super) fn new(object: Map<String, Value>) -> Self {
        Self(object)
    }

    /// Takes the first field present under one of its spellings; JSON null counts as absent.
    fn take(&mut self, names: &[&str]) -> Option<(String, Value)> {
        let mut found = None;
        for &name in names {
            let value = self.0.shift_remove(name);
            if let (None, Some(value)) = (&found, value)
                && !value.is_null()
            {
                found = Some((name.to_owned(), value));
            }
        }
        found
    }

    fn typed<T>(
        &mut self,
        names: &[&str],
        expected: &'static str,
        convert: impl Fn(&Value) -> Option<T>,
    ) -> Result<Option<T>, ConfigError> {
        let Some((field, value)) = self.take(names) else { return Ok(None) };
        convert(&value).map(Some).ok_or_else(|| ConfigError::FieldType {
            field,
            found: excerpt(&value.to_string(), SHOWN),
            expected,
        })
    }

    pub(super) fn usize(&mut self, names: &[&str]) -> Result<Option<usize>, ConfigError> {
        self.typed(names, "a whole number", as_usize)
    }

    pub(super) fn number(&mut self, names: &[&str]) -> Result<Option<f64>, ConfigError> {
        self.typed(names, "a number", Value::as_f64)
    }

    pub(super) fn bool(&mut self, names: &[&str]) -> Result<Option<bool>, ConfigError> {
        self.typed(names, "true or false", Value::as_bool)
    }

    pub(super) fn string(&mut self, names: &[&str]) -> Result<Option<String>, ConfigError> {
        self.typed(names, "a string", |value| value.as_str().map(str::to_owned))
    }

    pub(super) fn usizes(&mut self, names: &[&str]) -> Result<Option<Vec<usize>>, ConfigError> {
        self.typed(names, "a list of whole numbers", |value| value.as_array()?.iter().map(as_usize).collect())
    }

    pub(super) fn bools(&mut self, names: &[&str]) -> Result<Option<Vec<bool>>, ConfigError> {
        self.typed(names, "a list of true and false", |value| value.as_array()?.iter().map(Value::as_bool).collect())
    }

    pub(super) fn strings(&mut self, names: &[&str]) -> Result<Option<Vec<String>>, ConfigError> {
        self.typed(names, "a list of strings", |value| {
            value.as_array()?.iter().map(|item| item.as_str().map(str::to_owned)).collect()
        })
    }

    /// One number for both axes, or `[y, x]`.
    pub(super) fn pair(&mut self, names: &[&str]) -> Result<Option<[usize; 2]>, ConfigError> {
        self.typed(names, "a whole number or a list of two", |value| match value.as_array() {
            None => as_usize(value).map(|side| [side, side]),
            Some(sides) => match sides.as_slice() {
                [side] => as_usize(side).map(|side| [side, side]),
                [y, x] => Some([as_usize(y)?, as_usize(x)?]),
                _ => None,
            },
        })
    }

    pub(super) fn object(&mut self, name: &str) -> Result<Option<Map<String, Value>>, ConfigError> {
        match self.take(&[name]) {
            None => Ok(None),
            Some((_, Value::Object(object))) => Ok(Some(object)),
            Some((field, value)) => {
                Err(ConfigError::FieldType { field, found: excerpt(&value.to_string(), SHOWN), expected: "an object" })
            }
        }
    }

    /// Puts a field back, so that it is kept.
    pub(super) fn keep(&mut self, name: &str, value: Value) {
        self.0.insert(name.to_owned(), value);
    }

    /// What has not been taken.
    pub(super) fn rest(self) -> Map<String, Value> {
        self.0
    }
}

fn as_usize(value: &Value) -> Option<usize> {
    usize::try_from(value.as_u64()?).ok()
}
