//! Which files make a model.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::{Found, Hub, HubError, ModelId, Progress};

/// Weight files in order of preference; an index leads to shards.
const WEIGHTS: [&str; 5] = [
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
    "tf_model.h5",
];
/// A shard index names each tensor once, so megabytes are plenty.
const MAX_INDEX_BYTES: u64 = 32 << 20;
/// More shards than any model has.
const MAX_SHARDS: usize = 4096;

impl Hub {
    /// Makes `id` available on disk and returns its snapshot folder.
    ///
    /// It then holds `config.json`, `preprocessor_config.json` where the repository has one, and the first of
    /// `model.safetensors`, `model.safetensors.index.json` with its shards, `pytorch_model.bin`,
    /// `pytorch_model.bin.index.json` with its shards, `tf_model.h5`. All are of the commit that `config.json` was
    /// found at. When the network fails and the cache has the revision, the cache alone is used.
    ///
    /// # Errors
    /// Those of [`Hub::get`] for a file that must exist, [`HubError::NoWeights`], and [`HubError::BadIndex`].
    pub fn fetch_model(&self, id: &ModelId, progress: &mut dyn Progress) -> Result<PathBuf, HubError> {
        let offline = self.options.offline;
        let (commit, from_cache) = match self.locate(id, "config.json", offline, progress)? {
            Found::At { commit, stale, .. } => (commit, offline || stale),
            missing => return Err(self.not_found(missing, id, "config.json")),
        };
        let id = &id.at(&commit);
        self.locate(id, "preprocessor_config.json", from_cache, progress)?;
        for name in WEIGHTS {
            let Found::At { path, .. } = self.locate(id, name, from_cache, progress)? else { continue };
            if name.ends_with(".index.json") {
                for shard in read_shard_names(&path)? {
                    match self.locate(id, &shard, from_cache, progress)? {
                        Found::At { .. } => {}
                        missing => return Err(self.not_found(missing, id, &shard)),
                    }
                }
            }
            return Ok(self.cache(id).snapshot(&commit));
        }
        Err(HubError::NoWeights {
            id: id.to_string(),
            looked_for: WEIGHTS.map(str::to_owned).to_vec(),
            offline: from_cache,
        })
    }
}

#[derive(Deserialize)]
struct ShardIndex {
    weight_map: BTreeMap<String, String>,
}

/// The distinct shard names of an index, sorted. They are checked where they are used.
fn read_shard_names(path: &Path) -> Result<BTreeSet<String>, HubError> {
    let bad = |reason: String| HubError::BadIndex { path: path.to_owned(), reason };
    let mut text = Vec::new();
    let file = File::open(path).map_err(HubError::io(path))?;
    file.take(MAX_INDEX_BYTES + 1).read_to_end(&mut text).map_err(HubError::io(path))?;
    if text.len() as u64 > MAX_INDEX_BYTES {
        return Err(bad(format!("larger than {MAX_INDEX_BYTES} bytes")));
    }
    let index: ShardIndex = serde_json::from_slice(&text).map_err(|error| bad(error.to_string()))?;
    let names: BTreeSet<String> = index.weight_map.into_values().collect();
    match names.len() {
        0 => Err(bad("names no shards".to_owned())),
        1..=MAX_SHARDS => Ok(names),
        count => Err(bad(format!("names {count} shards, more than {MAX_SHARDS}"))),
    }
}
