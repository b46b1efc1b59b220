//! The model's input: normalised floats, or bytes that are resampled if asked and normalised.

use super::{
    super::{Affine, ExportError, Op, Resample, Shape, Source, ValueId},
    Lowering,
};
use crate::{
    checkpoint::Checkpoint,
    image::{Filter, Normalize, Preprocessor, Resize},
};

const NO_PREPROCESSING: &str = "leave out --with-preprocessing";
const NO_SOURCE: &str = "leave out --source-size and resize images before";

/// The model's input, and the normalised map that the network starts with.
pub(super) struct Input {
    pub(super) value: ValueId,
    pub(super) map: ValueId,
}

impl Lowering<'_> {
    pub(super) fn input(
        &mut self,
        checkpoint: &Checkpoint,
        preprocessor: &Preprocessor,
        size: [usize; 2],
    ) -> Result<Input, ExportError> {
        let channels = checkpoint.config().num_channels;
        let refused =
            |why, change| Err(ExportError::Preprocessing { model: checkpoint.name().to_owned(), why, change });
        if !self.options.with_preprocessing {
            if self.options.source.is_some() {
                return refused("without it the file takes normalised floats".into(), "add --with-preprocessing");
            }
            let [height, width] = size;
            let value = self.builder.value("pixel_values", Shape::Map([channels, height, width]));
            return Ok(Input { value, map: value });
        }
        if !matches!(channels, 1 | 3) {
            let why = format!("images have 3 channels or 1, the model takes {channels}");
            return refused(why, NO_PREPROCESSING);
        }
        let (mean, std) = mean_and_std(preprocessor, channels);
        if mean.len() != channels || std.len() != channels {
            return refused(format!("it has {} means for {channels} channels", mean.len()), NO_PREPROCESSING);
        }
        let rescale = preprocessor.rescale.unwrap_or(1.0);
        let affine = Affine {
            scale: std.iter().map(|s| (rescale / s) as f32).collect(),
            shift: mean.iter().zip(&std).map(|(m, s)| (-m / s) as f32).collect(),
        };
        let resample = match self.options.source {
            None => None,
            Some(source) => match resample(preprocessor, source, size) {
                Ok(resample) => Some(resample),
                Err((why, change)) => return refused(why, change),
            },
        };
        let [height, width] = match self.options.source {
            None => size,
            Some(Source::Fixed(size)) => size,
            Some(Source::Any) => [0, 0],
        };
        let value = self.builder.value("image", Shape::Bytes([height, width, channels]));
        let doc = if resample.is_some() { "bytes, resized and cropped, as floats" } else { "bytes as floats" };
        let floats = self.builder.node("preprocess.floats", doc, Op::FromBytes(resample), &[value]);
        let doc = "(x · rescale − mean) / std";
        let map = self.builder.node("preprocess.normalize", doc, Op::Affine(affine), &[floats]);
        Ok(Input { value, map })
    }
}

/// Mean and standard deviation of each channel; 0 and 1 where nothing is normalised.
pub(super) fn mean_and_std(preprocessor: &Preprocessor, channels: usize) -> (Vec<f64>, Vec<f64>) {
    match &preprocessor.normalize {
        Some(Normalize { mean, std }) => (mean.clone(), std.clone()),
        None => (vec![0.0; channels], vec![1.0; channels]),
    }
}

/// How images of the source's size come to the network's; else why they do not, and what to change.
fn resample(preprocessor: &Preprocessor, source: Source, size: [usize; 2]) -> Result<Resample, (String, &'static str)> {
    let filter = preprocessor.filter;
    if !matches!(filter, Filter::Bilinear | Filter::Bicubic) {
        return Err((format!("it resizes with the filter {}, of which ONNX has none", filter.name()), NO_SOURCE));
    }
    let [height, width] = match (source, preprocessor.resize) {
        (Source::Fixed(sides), _) => sides,
        // What it is scaled to depends on nothing, so any size will do.
        (Source::Any, Some(Resize::Squash { height, width })) => [height, width],
        (Source::Any, _) => {
            let why = "what it resizes images to depends on their shape".to_owned();
            return Err((why, "give one, --source-size HxW, or --preprocess hf, which does not look at it"));
        }
    };
    let placement = preprocessor.placement(width, height).map_err(|error| (error.to_string(), NO_SOURCE))?;
    if placement.output != size {
        let [[height, width], [rows, columns]] = [placement.output, size];
        let why = format!("it gives {height}x{width} pixels, and the network is to take {rows}x{columns}");
        return Err((why, "leave out --size or --source-size"));
    }
    if placement.resized.contains(&0) {
        return Err((format!("of {height}x{width} pixels nothing is left"), "give a larger --source-size"));
    }
    let offset = placement.offset.map(usize::try_from);
    let [Ok(y), Ok(x)] = offset else {
        let [rows, columns] = placement.resized;
        let why = format!("of {height}x{width} pixels it makes {rows}x{columns}, less than it keeps");
        return Err((why, "give a --source-size that is nearer to a square"));
    };
    Ok(Resample { scaled: placement.resized, filter, offset: [y, x], size })
}
