//! Everything that a run needs to go on bit for bit, in one file.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use swiftformer::{
    arch::Arch,
    tensor::{DType, RawTensor, TensorMap},
    weights::{
        ReadOptions,
        names::{Layout, Names},
        read_file,
        state::StateDict,
    },
};

use super::{RunError, folder, report::Score};
use crate::{data::Position, schedule::PlateauState, trainer::Trainer};

/// The tensor that holds the record as JSON.
const RECORD: &str = "record";

/// What a run knows beside tensors.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Record {
    /// What comes next.
    pub(super) position: Position,
    /// The resolved recipe.
    pub(super) recipe: String,
    pub(super) config: String,
    pub(super) preprocessor: serde_json::Value,
    pub(super) data: PathBuf,
    pub(super) classes: Vec<String>,
    /// Images to train and to judge with.
    pub(super) images: [usize; 2],
    pub(super) metrics_bytes: u64,
    #[serde(default)]
    pub(super) events_bytes: u64,
    pub(super) totals: Totals,
    pub(super) best: Option<(u64, Score)>,
    /// Epochs since.
    pub(super) bad_epochs: usize,
    /// Where a schedule by plateaus stands.
    #[serde(default)]
    pub(super) plateau: Option<PlateauState>,
    pub(super) finished: bool,
}

/// Sums over the images of the epoch so far.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Totals {
    #[serde(with = "crate::bits")]
    pub(super) loss: f64,
    pub(super) correct: u64,
    pub(super) images: u64,
}

impl Totals {
    pub(super) fn loss(&self) -> f64 {
        self.loss / self.images.max(1) as f64
    }

    pub(super) fn accuracy(&self) -> f64 {
        self.correct as f64 / self.images.max(1) as f64
    }
}

/// Names of the network's tensors, in the order of the description.
fn names(arch: &Arch) -> Vec<String> {
    let names = Names::new(arch, Layout::HuggingFace);
    arch.params().iter().map(|param| format!("network.{}", names.name(param).unwrap_or_default())).collect()
}

/// Writes the state beside the old one and puts it in its place.
pub(super) fn save(path: &Path, trainer: &Trainer, record: &Record) -> Result<(), RunError> {
    let state = |why: String| RunError::State { path: path.to_owned(), why };
    let (arch, network) = (trainer.network.arch(), trainer.network.to_state());
    let mut tensors = trainer.to_tensors();
    for (param, name) in arch.params().iter().zip(names(arch)) {
        tensors.extend(network.get(param.module, param.leaf).map(|tensor| (name, tensor.clone())));
    }
    let text = serde_json::to_vec(record).map_err(|error| state(error.to_string()))?;
    let record =
        RawTensor::new(DType::U8, [text.len()], Bytes::from(text)).map_err(|error| state(error.to_string()))?;
    tensors.insert(RECORD.into(), record);
    folder::write_tensors(path, &tensors)
}

/// A state as it was saved.
pub(super) struct Saved {
    pub(super) record: Record,
    pub(super) tensors: TensorMap,
}

pub(super) fn load(folder: &Path) -> Result<Saved, RunError> {
    let path = folder.join(super::STATE);
    if !path.is_file() {
        return Err(RunError::NoRun { path: folder.to_owned() });
    }
    let state = |why: String| RunError::State { path: folder.to_owned(), why };
    let tensors = read_file(&path, &ReadOptions { memory_map: false, ..ReadOptions::default() })?.tensors;
    let record = tensors.get(RECORD).ok_or_else(|| state("it has no record".into()))?;
    let record = serde_json::from_slice(record.bytes()).map_err(|error| state(error.to_string()))?;
    Ok(Saved { record, tensors })
}

impl Saved {
    /// The network's tensors.
    pub(super) fn network(&self, folder: &Path, arch: &Arch) -> Result<StateDict, RunError> {
        let list = names(arch);
        if let Some(name) = list.iter().find(|name| !self.tensors.contains_key(*name)) {
            return Err(RunError::State { path: folder.to_owned(), why: format!("it lacks {name}") });
        }
        let mut tensors = list.iter().filter_map(|name| self.tensors.get(name));
        Ok(StateDict::from_fn(arch, |_| {
            // Every name was found above.
            tensors.next().cloned().unwrap_or_else(|| RawTensor::from_i64_scalar(0))
        }))
    }
}
