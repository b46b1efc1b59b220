//! Teachers of distillation: any SwiftFormer, any classifier in ONNX, or what one of them said once.
//!
//! A teacher sees the very images that the student sees, after augmentation and mixing. [`write_logits`] runs it once over the
//! images of some epochs of a recipe; training from that file replays those epochs, so that a recipe of hundreds of epochs
//! runs its teacher a few times only.

mod error;
mod file;
mod images;
#[cfg(feature = "onnx")]
mod onnx;
mod write;

use std::path::Path;

use swiftformer::{
    checkpoint::{Checkpoint, OpenOptions},
    image::{Normalize, Orientation},
    model::{Model, ModelOptions},
};

pub use self::{
    error::TeacherError,
    write::{TeachOptions, write_logits},
};
use self::{file::LogitsFile, images::Shift};
use crate::{
    data::{Batch, Position, match_classes},
    recipe::Recipe,
};

/// What a teacher has to fit.
#[derive(Clone, Debug)]
pub(crate) struct Pupil<'a> {
    /// The recipe that makes the images.
    pub(crate) recipe: &'a Recipe,
    /// The classes to learn.
    pub(crate) classes: &'a [String],
    /// Mean and deviation of the images.
    pub(crate) normalize: &'a Normalize,
    /// Whether they are turned upright as their files say.
    pub(crate) orientation: Orientation,
    /// Batches of an epoch.
    pub(crate) steps: usize,
    /// Processes that share each batch.
    pub(crate) world: usize,
    pub(crate) threads: usize,
}

/// Something that gives logits for a batch of training images.
pub(crate) struct Teacher {
    kind: Kind,
    /// From the images' mean and deviation to the teacher's, where they differ.
    shift: Option<Shift>,
    /// The teacher's output for each class to learn.
    columns: Vec<usize>,
}

enum Kind {
    Engine(Box<Model>),
    #[cfg(feature = "onnx")]
    Onnx(onnx::OnnxModel),
    File(LogitsFile),
}

impl Teacher {
    /// Opens a file of logits, an `.onnx` file, or a model by any of its names.
    pub(crate) fn open(name: &str, pupil: &Pupil<'_>) -> Result<Self, TeacherError> {
        let path = Path::new(name);
        if let Some(file) = LogitsFile::open(path)? {
            file.check(name, pupil)?;
            return Ok(Self { kind: Kind::File(file), shift: None, columns: (0..pupil.classes.len()).collect() });
        }
        if path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("onnx")) {
            return Self::open_onnx(path, name, pupil);
        }
        let source = name.parse().map_err(|error: swiftformer::checkpoint::ParseSourceError| TeacherError::Other {
            teacher: name.to_owned(),
            why: error.to_string(),
        })?;
        let teacher = Checkpoint::open(&source, &OpenOptions::default())?;
        let config = teacher.config();
        if !teacher.has_classifier() || config.num_channels != 3 {
            let why = "it is no classifier of images in colour".to_owned();
            return Err(TeacherError::Other { teacher: name.to_owned(), why });
        }
        let labels: Vec<String> = (0..config.num_labels).map(|index| config.label(index)).collect();
        let columns = match_classes(pupil.classes, &labels)
            .map_err(|source| TeacherError::Classes { teacher: name.to_owned(), source })?;
        let plain = Normalize { mean: vec![0.0; 3], std: vec![1.0; 3] };
        let shift = Shift::new(pupil.normalize, teacher.preprocessor().normalize.as_ref().unwrap_or(&plain));
        let options = ModelOptions { threads: pupil.threads, ..ModelOptions::default() };
        Ok(Self { kind: Kind::Engine(Box::new(Model::new(&teacher, &options)?)), shift, columns })
    }

    #[cfg(feature = "onnx")]
    fn open_onnx(path: &Path, name: &str, pupil: &Pupil<'_>) -> Result<Self, TeacherError> {
        let model = onnx::OnnxModel::open(path, [pupil.recipe.data.size; 2], pupil.threads)?;
        let (found, expected) = (model.classes(), pupil.classes.len());
        if found != expected {
            return Err(TeacherError::ClassCount { teacher: name.to_owned(), found, expected });
        }
        // An ONNX file says nothing of what it was trained on; nearly all were on this.
        let shift = Shift::new(pupil.normalize, &images::imagenet());
        Ok(Self { kind: Kind::Onnx(model), shift, columns: (0..expected).collect() })
    }

    #[cfg(not(feature = "onnx"))]
    fn open_onnx(_: &Path, name: &str, _: &Pupil<'_>) -> Result<Self, TeacherError> {
        Err(TeacherError::Other { teacher: name.to_owned(), why: "this build cannot run ONNX (feature `onnx`)".into() })
    }

    /// Where in the training data the images of `position` are taken from: a file knows some epochs, which come again.
    pub(crate) fn replayed(&self, position: Position) -> Position {
        match &self.kind {
            Kind::File(file) => Position { epoch: position.epoch % file.epochs(), ..position },
            _ => position,
        }
    }

    /// Logits `[images, classes]` for a batch of training images.
    pub(crate) fn logits(&self, batch: &Batch) -> Result<Vec<f32>, TeacherError> {
        let shifted = self.shift.as_ref().map(|shift| shift.apply(&batch.images));
        let images = shifted.as_ref().unwrap_or(&batch.images);
        let (values, width) = match &self.kind {
            Kind::Engine(model) => {
                let logits = model.run(images, &Default::default())?.logits;
                let logits = logits.ok_or_else(|| TeacherError::Other {
                    teacher: "the teacher".into(),
                    why: "it gave no logits".into(),
                })?;
                let width = logits.shape()[1];
                (logits.into_data(), width)
            }
            #[cfg(feature = "onnx")]
            Kind::Onnx(model) => (model.run(images)?, model.classes()),
            Kind::File(file) => return file.logits(batch),
        };
        if self.columns.iter().copied().eq(0..width) {
            return Ok(values);
        }
        let row = |row: &[f32]| self.columns.iter().map(|&column| row[column]).collect::<Vec<_>>();
        Ok(values.chunks_exact(width.max(1)).flat_map(row).collect())
    }
}
