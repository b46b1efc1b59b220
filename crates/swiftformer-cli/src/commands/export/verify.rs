//! Runs a written ONNX file in another engine and compares what it gives.

use anyhow::{Context, bail};
use rten::{Model as Other, Value};
use rten_tensor::{AsView, NdTensor};
use swiftformer::{
    checkpoint::Checkpoint,
    export::{Artifact, Lowered, OutputKind, Shape},
    image::RgbImage,
    model::{Model, ModelOptions, OutputRequest},
    tensor::Tensor,
};

use super::Comparison;

/// Compares every output of the file with this program's engine, on an image drawn without randomness. Of a batch, all images
/// are the same one.
///
/// The other engine widens 16-bit weights and computes in 32 bits.
pub fn compare(checkpoint: &Checkpoint, lowered: &Lowered, artifact: &Artifact) -> anyhow::Result<Comparison> {
    let Artifact::File(bytes) = artifact else { bail!("ONNX is one file") };
    let other = Other::load(bytes.clone()).context("the other engine cannot load the file")?;
    let [height, width] = lowered.size;
    let channels = checkpoint.config().num_channels;
    let image: Vec<u8> = (0..height * width * channels).map(|at| texture(at, width * channels)).collect();
    let batch = lowered.fixed_batch().unwrap_or(2);
    let (input, pixels) = match lowered.values[lowered.input].shape {
        Shape::Bytes(_) => {
            let pixels = prepared(checkpoint, &image, [height, width])?;
            let images = NdTensor::from_data([batch, height, width, channels], image.repeat(batch));
            (Value::from(images), pixels)
        }
        _ => {
            let pixels: Vec<f32> = image.iter().map(|&byte| (f32::from(byte) - 118.0) / 58.0).collect();
            let images = NdTensor::from_data([batch, channels, height, width], pixels.repeat(batch));
            (Value::from(images), pixels)
        }
    };
    let images = Tensor::new([1, channels, height, width], pixels)?;
    let expected = expected(checkpoint, lowered, &images)?;
    let inputs = vec![(other.input_ids().first().copied().context("the file has no input")?, input.into())];
    let found = other.run(inputs, other.output_ids(), None).context("the other engine cannot run the file")?;
    let mut comparison = Comparison::default();
    for (found, expected) in found.into_iter().zip(&expected) {
        let found: rten_tensor::Tensor<f32> = found.try_into().context("an output holds no floats")?;
        let found = found.to_vec();
        if found.len() != expected.len() * batch {
            bail!("an output has {} values, expected {}", found.len(), expected.len() * batch);
        }
        for (found, &expected) in found.chunks_exact(expected.len()).flat_map(|image| image.iter().zip(expected)) {
            if !found.is_finite() || !expected.is_finite() {
                bail!("the file gives {found} where this program's engine gives {expected}; nothing was written");
            }
            comparison.largest_difference = comparison.largest_difference.max((found - expected).abs());
            comparison.largest_value = comparison.largest_value.max(expected.abs());
        }
    }
    Ok(comparison)
}

/// A pattern with edges and slopes, so that no channel and no place is like another.
fn texture(at: usize, row: usize) -> u8 {
    let (x, y) = (at % row, at / row);
    (((x * 5 + y * 3 + x / 24 * 37) ^ (y / 16 * 91)) % 256) as u8
}

/// What the model's preprocessing makes of bytes that need neither resize nor crop.
fn prepared(checkpoint: &Checkpoint, image: &[u8], [height, width]: [usize; 2]) -> anyhow::Result<Vec<f32>> {
    let mut preprocessor = checkpoint.preprocessor().clone();
    preprocessor.resize = None;
    preprocessor.crop = None;
    if preprocessor.channels == 1 {
        let rgb = image.iter().flat_map(|&byte| [byte; 3]).collect();
        return Ok(preprocessor.apply(&RgbImage::new(width, height, rgb)?)?.into_data());
    }
    Ok(preprocessor.apply(&RgbImage::new(width, height, image.to_vec())?)?.into_data())
}

/// The engine's outputs, in the order of the file's.
fn expected(checkpoint: &Checkpoint, lowered: &Lowered, images: &Tensor) -> anyhow::Result<Vec<Vec<f32>>> {
    let model = Model::new(checkpoint, &ModelOptions::default())?;
    let request = OutputRequest { features: true, pre_logits: true, ..OutputRequest::default() };
    let outputs = model.run(images, &request)?;
    let logits = outputs.logits.map(Tensor::into_data);
    Ok(match lowered.options.outputs {
        OutputKind::Features => outputs.features.into_iter().map(Tensor::into_data).collect(),
        OutputKind::Embedding => outputs.pre_logits.map(Tensor::into_data).into_iter().collect(),
        OutputKind::Logits => logits.into_iter().collect(),
        OutputKind::Probabilities => logits.map(softmax).into_iter().collect(),
    })
}

fn softmax(logits: Vec<f32>) -> Vec<f32> {
    let most = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let total: f32 = logits.iter().map(|logit| (logit - most).exp()).sum();
    logits.iter().map(|logit| (logit - most).exp() / total).collect()
}
