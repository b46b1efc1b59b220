//! Files of logits: what a teacher said to the images of some epochs.
//!
//! A safetensors file with one tensor `logits` `[epochs, positions, classes]`, where positions count the images of an epoch,
//! and a [`Record`] as JSON in its metadata, which tells what made the images.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use swiftformer::{
    image::{Normalize, Orientation},
    tensor::{DType, RawTensor},
    weights::{ReadOptions, WeightsError, read_file},
};

use super::{Pupil, TeacherError};
use crate::{
    data::Batch,
    recipe::{Difference, Recipe},
};

/// The tensor's name.
pub(super) const LOGITS: &str = "logits";
/// The entry of the metadata.
pub(super) const RECORD: &str = "swiftformer.teach";

/// What made the images that the logits are for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Record {
    /// As it was named on the command line.
    pub(super) teacher: String,
    pub(super) recipe: String,
    pub(super) classes: Vec<String>,
    /// Batches of an epoch.
    pub(super) steps: usize,
    /// Whether images were turned upright as their files say.
    #[serde(default)]
    pub(super) upright: bool,
    pub(super) mean: Vec<f64>,
    pub(super) std: Vec<f64>,
}

/// Settings of a recipe that decide what images look like, and in which order they come.
fn shapes_images(key: &str) -> bool {
    key.starts_with("augment.") || ["data.size", "data.validation_share", "run.seed", "run.batch"].contains(&key)
}

/// What differs between the images of two recipes.
pub(super) fn differences(before: &Recipe, after: &Recipe) -> Result<Vec<Difference>, TeacherError> {
    let mut list = before.differences(after)?;
    // Batches matter where images of one are mixed.
    let mixed = before.mix()?.is_some() || after.mix()?.is_some();
    list.retain(|difference| shapes_images(&difference.key) && (mixed || difference.key != "run.batch"));
    Ok(list)
}

/// A file of logits, open.
pub(super) struct LogitsFile {
    path: PathBuf,
    record: Record,
    logits: RawTensor,
    /// Epochs, positions, classes; none of them 0.
    shape: [usize; 3],
}

impl LogitsFile {
    /// Opens the file at `path`, if it is one of logits.
    pub(super) fn open(path: &Path) -> Result<Option<Self>, TeacherError> {
        let is_safetensors = path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("safetensors"));
        if !is_safetensors || !path.is_file() {
            return Ok(None);
        }
        let mut file = read_file(path, &ReadOptions::default())?;
        let Some(record) = file.metadata.get(RECORD) else { return Ok(None) };
        let wrong = |why: String| TeacherError::File { path: path.to_owned(), why };
        let record: Record = serde_json::from_str(record).map_err(|error| wrong(error.to_string()))?;
        let logits = file.tensors.swap_remove(LOGITS).ok_or_else(|| wrong(format!("there is no tensor {LOGITS}")))?;
        let &[epochs, positions, classes] = logits.shape() else {
            return Err(wrong(format!("their shape is {:?}", logits.shape())));
        };
        let shape = [epochs, positions, classes];
        if logits.dtype() != DType::F32 || shape.contains(&0) || classes != record.classes.len() {
            let (dtype, names) = (logits.dtype().name(), record.classes.len());
            return Err(wrong(format!("they are {dtype} {shape:?}, for {names} classes")));
        }
        Ok(Some(Self { path: path.to_owned(), record, logits, shape }))
    }

    /// How many epochs there are.
    pub(super) fn epochs(&self) -> u64 {
        self.shape[0] as u64
    }

    /// Checks that the images of `pupil` are those that the logits are for.
    pub(super) fn check(&self, name: &str, pupil: &Pupil<'_>) -> Result<(), TeacherError> {
        let wrong = |why: &str| Err(TeacherError::File { path: self.path.clone(), why: why.to_owned() });
        let (found, expected) = (self.record.classes.len(), pupil.classes.len());
        if found != expected {
            return Err(TeacherError::ClassCount { teacher: name.to_owned(), found, expected });
        }
        if self.record.classes != pupil.classes {
            return wrong("they are for other classes");
        }
        let before = Recipe::parse(&self.record.recipe, name)?;
        let differences = differences(&before, pupil.recipe)?;
        if !differences.is_empty() {
            return Err(TeacherError::OtherImages { path: self.path.clone(), differences });
        }
        let (batch, world) = (pupil.recipe.run.batch, pupil.world);
        // The middle image of an odd share is mixed with another one than in the whole batch.
        if world > 1 && pupil.recipe.mix()?.is_some() && !(batch / world).is_multiple_of(2) {
            let fits = batch.next_multiple_of(2 * world);
            return wrong(&format!(
                "they are for images mixed in pairs, and {world} processes cannot share {batch} images so: a batch of {fits} \
                 would do"
            ));
        }
        let normalize = Normalize { mean: self.record.mean.clone(), std: self.record.std.clone() };
        if normalize != *pupil.normalize {
            return wrong("they are for images of another mean or deviation");
        }
        if self.record.upright != (pupil.orientation == Orientation::Apply) {
            let why = "they are for images that were turned by another rule: name the same preset when writing and when training \
                       (--set preprocess=hf turns photographs upright, the others do not)";
            return wrong(why);
        }
        let images = |steps: usize, recipe: &Recipe| steps.checked_mul(recipe.run.batch);
        let positions = images(pupil.steps, pupil.recipe);
        if images(self.record.steps, &before) != Some(self.shape[1]) || positions.is_none_or(|n| n > self.shape[1]) {
            let found = self.shape[1];
            let expected = positions.unwrap_or(usize::MAX);
            return wrong(&format!("they are for {found} images an epoch, and an epoch has {expected}"));
        }
        Ok(())
    }

    /// The logits of a batch of an epoch that the file knows.
    pub(super) fn logits(&self, batch: &Batch) -> Result<Vec<f32>, TeacherError> {
        let [epochs, positions, classes] = self.shape;
        let mut values = Vec::with_capacity(batch.len() * classes);
        for &position in &batch.positions {
            let (epoch, position) = (batch.epoch as usize, position as usize);
            let start = (epoch * positions + position) * classes * size_of::<f32>();
            let known = epoch < epochs && position < positions;
            let row = known.then(|| self.logits.bytes().get(start..start + classes * size_of::<f32>())).flatten();
            let row = row.ok_or_else(|| {
                let why = format!("image {position} of epoch {epoch} is not among them");
                TeacherError::Weights(WeightsError::Io(std::io::Error::other(why)).in_file(&self.path))
            })?;
            values.extend(row.as_chunks().0.iter().map(|&word| f32::from_le_bytes(word)));
        }
        Ok(values)
    }
}
