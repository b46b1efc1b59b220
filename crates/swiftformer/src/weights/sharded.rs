//! Weights spread over several files, as `model.safetensors.index.json` and `pytorch_model.bin.index.json` say.

use std::collections::{BTreeMap, HashMap};
use std::path::{Component, Path};

use indexmap::IndexMap;
use serde::Deserialize;

use super::detect::FileKind;
use super::error::WeightsError;
use super::file::{ReadOptions, WeightFile, read_file};
use crate::tensor::TensorMap;

/// The largest index, in bytes: a hundred thousand tensors.
const MAX_INDEX: usize = 16 << 20;

/// An index of shards that does not hold together.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ShardedError {
    /// The index is no JSON object with a `weight_map` from tensors to files.
    #[error("the JSON file is no index of shards")]
    Index(#[source] serde_json::Error),
    /// An index larger than any model needs.
    #[error("the JSON file has {size} bytes; an index of shards has at most {limit}")]
    TooLarge {
        /// Its bytes.
        size: usize,
        /// The most bytes.
        limit: usize,
    },
    /// A shard that would lie outside the index's folder.
    #[error("shard {shard:?} is not a plain file name")]
    ShardName {
        /// The name in the index.
        shard: String,
    },
    /// A shard that is an index itself.
    #[error("shard {shard:?} is an index of shards itself")]
    NestedIndex {
        /// The shard's name.
        shard: String,
    },
    /// A tensor that its shard does not hold.
    #[error("tensor {tensor} is not in its shard {shard:?}")]
    MissingTensor {
        /// The tensor's name.
        tensor: String,
        /// The shard's name.
        shard: String,
    },
}

#[derive(Deserialize)]
struct Index {
    weight_map: IndexMap<String, String>,
    #[serde(default)]
    metadata: serde_json::Map<String, serde_json::Value>,
}

/// Reads every shard of an index once. Tensors come in the index's order; those it does not list are left out.
///
/// `index` is the file's bytes, `folder` where the shards lie. The index's own metadata is returned as text.
///
/// # Errors
/// When the index does not parse, names a shard outside the folder, a shard cannot be read, or a tensor is not where
/// the index says.
pub fn read(index: &[u8], folder: &Path, options: &ReadOptions) -> Result<WeightFile, WeightsError> {
    if index.len() > MAX_INDEX {
        return Err(ShardedError::TooLarge { size: index.len(), limit: MAX_INDEX }.into());
    }
    let index: Index = serde_json::from_slice(index).map_err(ShardedError::Index)?;
    let mut shards: HashMap<&str, TensorMap> = HashMap::new();
    let mut maps = Vec::new();
    let mut tensors = TensorMap::with_capacity(index.weight_map.len());
    for (name, shard) in &index.weight_map {
        if !shards.contains_key(shard.as_str()) {
            let file = read_shard(folder, shard, options)?;
            maps.extend(file.maps);
            shards.insert(shard, file.tensors);
        }
        let found = shards.get(shard.as_str()).and_then(|tensors| tensors.get(name));
        let missing = || ShardedError::MissingTensor { tensor: name.clone(), shard: shard.clone() };
        tensors.insert(name.clone(), found.ok_or_else(missing)?.clone());
    }
    let text = |value: serde_json::Value| match value {
        serde_json::Value::String(text) => text,
        other => other.to_string(),
    };
    let metadata: BTreeMap<_, _> = index.metadata.into_iter().map(|(key, value)| (key, text(value))).collect();
    Ok(WeightFile { kind: FileKind::Json, tensors, metadata, available: Vec::new(), selected: None, maps })
}

fn read_shard(folder: &Path, shard: &str, options: &ReadOptions) -> Result<WeightFile, WeightsError> {
    if !is_plain_name(shard) {
        return Err(ShardedError::ShardName { shard: shard.to_owned() }.into());
    }
    let path = folder.join(shard);
    let read = read_file(&path, &ReadOptions { follow_index: false, ..options.clone() });
    read.map_err(|error| match error {
        WeightsError::InFile { source, .. }
            if matches!(*source, WeightsError::Unsupported { kind: FileKind::Json, .. }) =>
        {
            ShardedError::NestedIndex { shard: shard.to_owned() }.into()
        }
        other => other,
    })
}

fn is_plain_name(name: &str) -> bool {
    // Backslashes and colons part names on Windows only, but an index should mean the same everywhere.
    let mut components = Path::new(name).components();
    !name.contains(['/', '\\', ':', '\0'])
        && matches!((components.next(), components.next()), (Some(Component::Normal(_)), None))
}
