//! Classifiers in ONNX.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use rten::{Dimension, Model, NodeId, RunOptions, ThreadPool, Value};
use rten_tensor::{NdTensorView, prelude::*};
use swiftformer::tensor::Tensor;

use super::TeacherError;

/// A model in ONNX that takes `[images, 3, height, width]` and gives `[images, classes]`.
pub(super) struct OnnxModel {
    path: PathBuf,
    model: Model,
    input: NodeId,
    output: NodeId,
    /// Images at a time, where the file fixes it.
    batch: Option<usize>,
    classes: usize,
    pool: Arc<ThreadPool>,
}

impl OnnxModel {
    /// Opens the file at `path` for images of `size` (height, width).
    pub(super) fn open(path: &Path, size: [usize; 2], threads: usize) -> Result<Self, TeacherError> {
        let failed = |why: String| TeacherError::Onnx { path: path.to_owned(), why };
        let model = Model::load_file(path).map_err(|error| failed(error.to_string()))?;
        let (&[input], &[output, ..]) = (model.input_ids(), model.output_ids()) else {
            let found = model.input_ids().len();
            return Err(failed(format!("it takes {found} inputs, not one")));
        };
        let shape = model.node_info(input).and_then(|info| info.shape());
        let batch = match shape.as_deref() {
            None => None,
            Some([batch, rest @ ..]) if fits(rest, [3, size[0], size[1]]) => match batch {
                Dimension::Fixed(batch) => Some((*batch).max(1)),
                Dimension::Symbolic(_) => None,
            },
            Some(shape) => {
                let text = |dimension: &Dimension| match dimension {
                    Dimension::Fixed(size) => size.to_string(),
                    Dimension::Symbolic(name) => name.clone(),
                };
                let found = shape.iter().map(text).collect::<Vec<_>>().join("x");
                let needed = format!("Nx3x{}x{} (data.size of the recipe)", size[0], size[1]);
                return Err(TeacherError::Shape { path: path.to_owned(), found, needed });
            }
        };
        let pool = Arc::new(ThreadPool::with_num_threads(threads.max(1)));
        let mut opened = Self { path: path.to_owned(), model, input, output, batch, classes: 0, pool };
        // Files may leave open what comes out: an image tells.
        let images = batch.unwrap_or(1);
        let zeros = vec![0.0; images * 3 * size[0] * size[1]];
        let (shape, _) = opened.run_values(&zeros, [images, 3, size[0], size[1]])?;
        match shape[..] {
            [found, classes] if found == images && classes > 0 => opened.classes = classes,
            _ => {
                let found = format!("{shape:?}");
                let needed = format!("[{images}, classes]");
                return Err(TeacherError::Shape { path: path.to_owned(), found, needed });
            }
        }
        Ok(opened)
    }

    /// How many logits it gives for an image.
    pub(super) fn classes(&self) -> usize {
        self.classes
    }

    /// Logits `[images, classes]`.
    pub(super) fn run(&self, images: &Tensor) -> Result<Vec<f32>, TeacherError> {
        let [count, channels, height, width] = [0, 1, 2, 3].map(|axis| images.shape()[axis]);
        let at_a_time = self.batch.unwrap_or(count.max(1));
        let (pixels, mut logits) = (channels * height * width, Vec::with_capacity(count * self.classes));
        for chunk in images.data().chunks(at_a_time * pixels) {
            let real = chunk.len() / pixels;
            // A file for batches of a fixed size gets its last one filled up.
            let mut filled = chunk.to_vec();
            filled.resize(at_a_time.min(self.batch.unwrap_or(real)) * pixels, 0.0);
            let (shape, values) = self.run_values(&filled, [filled.len() / pixels, channels, height, width])?;
            if values.len() < real * self.classes || shape.last() != Some(&self.classes) {
                let (found, needed) = (format!("{shape:?}"), format!("[{real}, {}]", self.classes));
                return Err(TeacherError::Shape { path: self.path.clone(), found, needed });
            }
            logits.extend_from_slice(&values[..real * self.classes]);
        }
        Ok(logits)
    }

    /// Shape and values of the output.
    fn run_values(&self, values: &[f32], shape: [usize; 4]) -> Result<(Vec<usize>, Vec<f32>), TeacherError> {
        let failed = |why: String| TeacherError::Onnx { path: self.path.clone(), why };
        let input = NdTensorView::from_data(shape, values);
        let options = RunOptions::default().with_thread_pool(Some(self.pool.clone()));
        let [output] = self
            .model
            .run_n(vec![(self.input, input.into())], [self.output], Some(options))
            .map_err(|error| failed(error.to_string()))?;
        match output {
            Value::FloatTensor(tensor) => Ok((tensor.shape().to_vec(), tensor.to_vec())),
            other => Err(failed(format!("it gives {:?}, not 32-bit floats", other.dtype()))),
        }
    }
}

/// Whether fixed dimensions are those wanted.
fn fits(found: &[Dimension], wanted: [usize; 3]) -> bool {
    let fit = |(found, wanted): (&Dimension, usize)| match found {
        Dimension::Fixed(size) => *size == wanted,
        Dimension::Symbolic(_) => true,
    };
    found.len() == wanted.len() && found.iter().zip(wanted).all(fit)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: &str) -> PathBuf {
        Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../testdata/onnx_teacher")).join(name)
    }

    /// Images of 4×4 whose channels have means of their own, and their logits: see the fixture's README.
    fn images(count: usize) -> (Tensor, Vec<f32>) {
        let mean = |image: usize, channel: usize| (image * 3 + channel) as f32 * 0.25 - 1.0;
        let value = |at: usize| mean(at / 48, at / 16 % 3) + if at.is_multiple_of(2) { 0.5 } else { -0.5 };
        let logit = |at: usize| (at % 4 + 1) as f32 * mean(at / 4, at % 4 % 3) - (at % 4) as f32;
        let images = Tensor::new([count, 3, 4, 4], (0..count * 48).map(value).collect()).unwrap();
        (images, (0..count * 4).map(logit).collect())
    }

    #[test]
    fn logits_are_those_of_the_file() {
        for (name, count) in [("means.onnx", 3), ("means.onnx", 1), ("fixed.onnx", 3), ("fixed.onnx", 2)] {
            let model = OnnxModel::open(&file(name), [4, 4], 1).unwrap();
            assert_eq!(model.classes(), 4);
            let (images, expected) = images(count);
            let found = model.run(&images).unwrap();
            assert_eq!(found.len(), expected.len());
            for (found, expected) in found.iter().zip(expected) {
                assert!((found - expected).abs() < 1e-5, "{name}: {found} {expected}");
            }
        }
    }

    #[test]
    fn images_of_another_size_are_refused_with_both_sizes() {
        let error = OnnxModel::open(&file("fixed.onnx"), [32, 32], 1).err().unwrap().to_string();
        assert!(error.contains("2x3x4x4") && error.contains("Nx3x32x32 (data.size"), "{error}");
    }

    #[test]
    fn what_is_no_onnx_is_an_error() {
        let error = OnnxModel::open(&file("README.md"), [4, 4], 1).err().unwrap().to_string();
        assert!(error.contains("README.md"), "{error}");
    }
}
