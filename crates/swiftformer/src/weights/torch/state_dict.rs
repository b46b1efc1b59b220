//! Finding the state dict in a checkpoint.

use super::pickle::{Pickle, Value};
use super::{COPY_LIMIT, Checkpoint, TorchError, tensor};
use crate::tensor::{RawTensor, TensorMap};

/// The tensors of one state dict.
#[derive(Clone, Debug)]
pub struct StateDict {
    /// The key it lies under; `None` for the top level.
    pub key: Option<String>,
    /// Its tensors, in the file's order.
    pub tensors: TensorMap,
}

/// The longest name of a tensor or key of a state dict, in bytes. Names can be shared a million times in a small file,
/// so that long ones would take minutes to compare.
const MAX_NAME: usize = 512;

/// Prefixes that wrappers put before every name: `DataParallel` and `torch.compile`.
const WRAPPERS: [&str; 2] = ["module.", "_orig_mod."];

fn has_tensors(pickle: &Pickle, value: &Value) -> bool {
    pickle.entries(value).iter().any(|&(_, value)| matches!(pickle.get(value), Value::Tensor(_)))
}

/// The keys of the top level whose values are dicts of tensors, each once.
pub(super) fn available(pickle: &Pickle) -> Vec<String> {
    let mut keys = indexmap::IndexMap::new();
    for &(key, value) in pickle.entries(pickle.root()) {
        if let Some(key) = pickle.text(key).filter(|key| key.len() <= MAX_NAME) {
            keys.insert(key, value);
        }
    }
    // Many keys may share one large dict: look at each dict once.
    let mut seen = std::collections::HashMap::new();
    keys.retain(|_, value| *seen.entry(*value).or_insert_with(|| has_tensors(pickle, pickle.get(*value))));
    keys.into_keys().map(str::to_owned).collect()
}

/// Reads the state dict under `key`, or the one that is tried first.
pub(super) fn read(checkpoint: &Checkpoint, key: Option<&str>) -> Result<StateDict, TorchError> {
    let pickle = &checkpoint.pickle;
    let available = available(pickle);
    let has = |key: &str| available.iter().any(|name| name == key);
    let chosen = match key {
        Some(key) if has(key) => Some(key),
        None if has("model") => Some("model"),
        None if has("state_dict") => Some("state_dict"),
        None if has_tensors(pickle, pickle.root()) => None,
        None if available.len() == 1 => available.first().map(String::as_str),
        _ => return Err(TorchError::NoStateDict { asked: key.map(Into::into), available }),
    };
    let dict = match chosen {
        Some(key) => pickle.lookup(pickle.root(), key).unwrap_or(&Value::None),
        None => pickle.root(),
    };
    let tensors = strip_wrappers(tensors(checkpoint, dict)?);
    Ok(StateDict { key: chosen.map(Into::into), tensors })
}

fn tensors(checkpoint: &Checkpoint, dict: &Value) -> Result<TensorMap, TorchError> {
    let pickle = &checkpoint.pickle;
    let mut copy_budget = (checkpoint.file_size as u64).saturating_mul(4).saturating_add(COPY_LIMIT);
    let mut tensors = TensorMap::new();
    for &(key, value) in pickle.entries(dict) {
        let Value::Tensor(layout) = pickle.get(value) else {
            continue;
        };
        let name = match pickle.get(key) {
            Value::Str(name) if name.len() <= MAX_NAME => name,
            Value::Str(_) => return Err(TorchError::TensorKey { found: "a string of more than 512 bytes" }),
            other => return Err(TorchError::TensorKey { found: other.type_name() }),
        };
        tensors.insert(name.to_string(), tensor::read(checkpoint, name, layout, &mut copy_budget)?);
    }
    Ok(tensors)
}

/// Takes wrappers' prefixes off, where all names share them.
fn strip_wrappers(mut tensors: TensorMap) -> TensorMap {
    // Once for each wrapper, in either order of wrapping.
    for _ in WRAPPERS {
        let shared = |prefix: &&str| !tensors.is_empty() && tensors.keys().all(|name| name.starts_with(*prefix));
        let Some(prefix) = WRAPPERS.into_iter().find(shared) else { break };
        let stripped = |(name, tensor): (String, RawTensor)| (name[prefix.len()..].to_owned(), tensor);
        tensors = tensors.into_iter().map(stripped).collect();
    }
    tensors
}
