//! Writing down what a teacher says.

use std::{io::Write, path::Path};

use serde_json::json;
use swiftformer::image::{IMAGENET_MEAN, IMAGENET_STD, Normalize, Orientation};

use super::{
    Pupil, Teacher, TeacherError,
    file::{LOGITS, RECORD, Record},
    images::imagenet,
};
use crate::{
    data::{self, Position, Shard},
    recipe::Recipe,
};

/// What a teacher is asked.
#[derive(Clone, Debug)]
pub struct TeachOptions {
    /// A model by any of its names, or an `.onnx` file.
    pub teacher: String,
    /// The recipe that is to train with the logits: it makes the images.
    pub recipe: Recipe,
    /// How many epochs' images; training repeats them.
    pub epochs: usize,
    /// Threads to use.
    pub threads: usize,
}

/// Runs a teacher over the training images at `data` and writes its logits, as safetensors, to `output`. `progress` hears how
/// many images of how many are done, and stops the work by returning false.
///
/// # Errors
/// When the data set or the teacher cannot be used, the teacher knows other classes, or writing fails.
pub fn write_logits(
    data: &Path,
    options: &TeachOptions,
    output: &mut impl Write,
    progress: &mut dyn FnMut(usize, usize) -> bool,
) -> Result<(), TeacherError> {
    let TeachOptions { teacher: name, recipe, epochs, threads } = options;
    if recipe.data.size == 0 {
        let why = "the recipe takes the size of images from its model: give it by data.size".to_owned();
        return Err(TeacherError::Other { teacher: name.clone(), why });
    }
    let splits = data::open(data, &recipe.open_options()?)?;
    let normalize = imagenet();
    // Without a preset the model that will be trained decides, which is not known here.
    let orientation = recipe.preset()?.map_or(Orientation::Ignore, |preset| preset.preprocessor(32, 32).orientation);
    let loader = data::Loader::new(
        splits.train.clone(),
        recipe.train_view([IMAGENET_MEAN, IMAGENET_STD], orientation)?,
        recipe.loader_options(*threads, Shard::WHOLE),
    )?;
    let (classes, steps) = (splits.train.classes(), loader.steps());
    let normalize = &normalize;
    let pupil = Pupil { recipe, classes, normalize, orientation, steps, world: 1, threads: *threads };
    let teacher = Teacher::open(name, &pupil)?;
    let images = steps * recipe.run.batch;
    write_header(output, options, &pupil, images)?;
    for epoch in 0..*epochs as u64 {
        for batch in loader.start(Position { epoch, step: 0 }) {
            let batch = batch?;
            let logits = teacher.logits(&batch)?;
            for value in &logits {
                output.write_all(&value.to_le_bytes())?;
            }
            if !progress(epoch as usize * images + (batch.step + 1) * batch.len(), epochs * images) {
                return Err(TeacherError::Stopped);
            }
        }
    }
    Ok(output.flush()?)
}

/// The header of a safetensors file with one tensor, whose bytes then follow as they are made.
fn write_header(
    output: &mut impl Write,
    options: &TeachOptions,
    pupil: &Pupil<'_>,
    images: usize,
) -> Result<(), TeacherError> {
    let Normalize { mean, std } = pupil.normalize.clone();
    let record = Record {
        teacher: options.teacher.clone(),
        recipe: options.recipe.to_text()?,
        classes: pupil.classes.to_vec(),
        steps: pupil.steps,
        upright: pupil.orientation == Orientation::Apply,
        mean,
        std,
    };
    let shape = [options.epochs, images, pupil.classes.len()];
    let bytes = shape.iter().try_fold(size_of::<f32>(), |bytes, &size| bytes.checked_mul(size));
    let bytes = bytes.ok_or_else(|| std::io::Error::other("more logits than a file can hold"))?;
    let record = serde_json::to_string(&record).map_err(std::io::Error::from)?;
    let header = json!({
        "__metadata__": { RECORD: record },
        LOGITS: { "dtype": "F32", "shape": shape, "data_offsets": [0, bytes] },
    });
    let mut header = header.to_string();
    // Tensors begin at a multiple of eight bytes.
    header.extend(std::iter::repeat_n(' ', header.len().next_multiple_of(8) - header.len()));
    output.write_all(&(header.len() as u64).to_le_bytes())?;
    Ok(output.write_all(header.as_bytes())?)
}
