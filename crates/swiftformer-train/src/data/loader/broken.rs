//! Images that cannot be used: counted, named, remembered.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use super::super::DataError;

/// How many are named in an error.
const NAMED: usize = 5;

/// An image that cannot be read or decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    /// Its number in the data set.
    pub index: usize,
    /// The file, the entry in it, and the reason.
    pub reason: String,
}

/// The broken images of a data set.
#[derive(Debug)]
pub(super) struct BrokenLog {
    limit: usize,
    found: Mutex<BTreeMap<usize, String>>,
}

impl BrokenLog {
    pub(super) fn new(limit: usize) -> Self {
        Self { limit, found: Mutex::new(BTreeMap::new()) }
    }

    /// Whether image `index` is known to be broken.
    pub(super) fn contains(&self, index: usize) -> bool {
        self.found.lock().unwrap_or_else(PoisonError::into_inner).contains_key(&index)
    }

    /// Notes that image `index` is broken.
    ///
    /// # Errors
    /// When that makes too many.
    pub(super) fn add(&self, index: usize, name: &str, error: &dyn std::error::Error) -> Result<(), DataError> {
        let reason = described(name, error);
        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        if found.insert(index, reason.clone()).is_none() {
            tracing::warn!("broken image: {reason}");
        }
        if found.len() > self.limit {
            return Err(self.too_many(&found));
        }
        Ok(())
    }

    /// The error of a data set with nothing but broken images.
    pub(super) fn all(&self) -> DataError {
        self.too_many(&self.found.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn too_many(&self, found: &BTreeMap<usize, String>) -> DataError {
        let first = found.values().take(NAMED).cloned().collect();
        DataError::TooManyBroken { count: found.len(), limit: self.limit, first }
    }

    pub(super) fn list(&self) -> Vec<Broken> {
        let found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        found.iter().map(|(&index, reason)| Broken { index, reason: reason.clone() }).collect()
    }
}

/// The name and the chain of reasons in one line.
fn described(name: &str, error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    if !text.contains(name) {
        text = format!("{name}: {text}");
    }
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(&format!(": {error}"));
        cause = error.source();
    }
    text
}
