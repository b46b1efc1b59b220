//! Class activation maps: which parts of a photograph speak for a class.

use super::colors::inferno;
use crate::{
    arch::{Leaf, Tail},
    checkpoint::Checkpoint,
    image::{ImageError, Placement, Preprocessor, RgbImage},
    tensor::ShapeError,
};

/// A class activation map that cannot be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HeatmapError {
    /// The model has no heads.
    #[error("the model has no classifier, so no part of an image speaks for a class")]
    NoClassifier,
    /// There is no such class.
    #[error("class {class} of a model with {classes} classes")]
    Class {
        /// The class asked for.
        class: usize,
        /// Number of classes.
        classes: usize,
    },
    /// Features of another shape than the model's.
    #[error("features of a map for {channels} channels")]
    Features {
        /// Channels of the model's last stage.
        channels: usize,
        /// What does not fit.
        #[source]
        source: ShapeError,
    },
    /// The features hold NaN or infinities.
    #[error("the features are not finite")]
    NotFinite,
    /// The image cannot be laid over.
    #[error(transparent)]
    Image(#[from] ImageError),
}

/// How much of the overlay's colour goes into a pixel that the model saw.
const OPACITY: f32 = 0.5;

/// The weights that turn the last map into a class activation map.
///
/// The network ends in BatchNorm → mean over positions → two linear heads → mean of the two. All of this is linear behind
/// the BatchNorm, so the logit of a class *is* the mean over positions of `Σ_c W[class, c] · features[c, y, x]` plus the
/// biases, with W the mean of the two heads' weights: the map shows exactly where the logit comes from (Zhou et al. 2016,
/// equation 2).
#[derive(Clone, Debug)]
pub struct ClassActivation {
    channels: usize,
    classes: usize,
    /// `[classes, channels]`.
    weights: Vec<f32>,
}

impl ClassActivation {
    /// Takes the weights of a model's heads.
    ///
    /// # Errors
    /// When the model has no heads.
    pub fn new(checkpoint: &Checkpoint) -> Result<Self, HeatmapError> {
        let Tail::Classifier { heads: Some([head, dist_head]), .. } = &checkpoint.arch().tail else {
            return Err(HeatmapError::NoClassifier);
        };
        let [mut weights, other] = [head, dist_head].map(|head| checkpoint.state().values(head.module, Leaf::Weight));
        weights.iter_mut().zip(other).for_each(|(weight, other)| *weight = (*weight + other) / 2.0);
        Ok(Self { channels: head.in_features, classes: head.out_features, weights })
    }

    /// The map of `class` for `features` `[channels, height, width]`, the last stage after the final BatchNorm
    /// (timm's `forward_features`).
    ///
    /// # Errors
    /// When there is no such class, or the features have another shape or are not finite.
    pub fn map(
        &self,
        features: &[f32],
        [height, width]: [usize; 2],
        class: usize,
    ) -> Result<ActivationMap, HeatmapError> {
        ActivationMap::normalised(height, width, self.contributions(features, [height, width], class)?)
    }

    /// What each position adds to the logit of `class`, times the number of positions.
    pub(super) fn contributions(
        &self,
        features: &[f32],
        [height, width]: [usize; 2],
        class: usize,
    ) -> Result<Vec<f32>, HeatmapError> {
        if class >= self.classes {
            return Err(HeatmapError::Class { class, classes: self.classes });
        }
        let (channels, positions) = (self.channels, height * width);
        if positions == 0 || features.len() != channels * positions {
            let (needed, found) = (channels * positions, features.len());
            let source = ShapeError { shape: vec![channels, height, width], needed, found };
            return Err(HeatmapError::Features { channels, source });
        }
        let mut values = vec![0.0f32; positions];
        let weights = &self.weights[class * channels..][..channels];
        for (plane, weight) in features.chunks_exact(positions).zip(weights) {
            values.iter_mut().zip(plane).for_each(|(value, feature)| *value += weight * feature);
        }
        Ok(values)
    }
}

/// A class activation map, scaled so that its smallest value is 0 and its largest 1. A map of equal values is all 0.
#[derive(Clone, Debug, PartialEq)]
pub struct ActivationMap {
    height: usize,
    width: usize,
    values: Vec<f32>,
}

impl ActivationMap {
    fn normalised(height: usize, width: usize, mut values: Vec<f32>) -> Result<Self, HeatmapError> {
        if !values.iter().all(|value| value.is_finite()) {
            return Err(HeatmapError::NotFinite);
        }
        let low = values.iter().copied().fold(f32::INFINITY, f32::min);
        let range = values.iter().copied().fold(f32::NEG_INFINITY, f32::max) - low;
        let scale = if range > 0.0 { range.recip() } else { 0.0 };
        values.iter_mut().for_each(|value| *value = ((*value - low) * scale).clamp(0.0, 1.0));
        Ok(Self { height, width, values })
    }

    /// Height and width in positions of the last stage.
    pub fn size(&self) -> [usize; 2] {
        [self.height, self.width]
    }

    /// Row-major values from 0 to 1.
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// Lays the map over the photograph that `preprocessor` handed to the model: enlarged bilinearly over the part that
    /// the model saw, in the colours of [`inferno`], half transparent. What a crop cut off stays as it is.
    ///
    /// # Errors
    /// When the photograph cannot be preprocessed.
    pub fn overlay(&self, photograph: &RgbImage, preprocessor: &Preprocessor) -> Result<RgbImage, HeatmapError> {
        let (width, height) = (photograph.width(), photograph.height());
        let Placement { resized, offset, output } = preprocessor.placement(width, height)?;
        let taps = |axis: usize, length: usize| -> Vec<Option<Tap>> {
            let positions = self.size()[axis];
            let scale = resized[axis] as f64 / length as f64;
            let place = |pixel: usize| (pixel as f64 + 0.5) * scale - offset[axis] as f64;
            (0..length).map(|pixel| Tap::at(place(pixel), output[axis], positions)).collect()
        };
        let (rows, columns) = (taps(0, height), taps(1, width));
        let mut result = photograph.clone();
        let mut line = vec![0.0f32; self.width];
        for (pixels, row) in result.data_mut().chunks_exact_mut(3 * width).zip(rows) {
            let Some(row) = row else { continue };
            let [above, below] = [row.first, row.second].map(|y| &self.values[y * self.width..][..self.width]);
            for ((value, above), below) in line.iter_mut().zip(above).zip(below) {
                *value = above + (below - above) * row.fraction;
            }
            for (pixel, column) in pixels.as_chunks_mut::<3>().0.iter_mut().zip(&columns) {
                let Some(column) = column else { continue };
                let (left, right) = (line[column.first], line[column.second]);
                let color = inferno(left + (right - left) * column.fraction);
                for (byte, color) in pixel.iter_mut().zip(color) {
                    let blended = f32::from(*byte) * (1.0 - OPACITY) + f32::from(color) * OPACITY;
                    *byte = blended.round() as u8;
                }
            }
        }
        Ok(result)
    }
}

/// The two positions that a pixel lies between.
struct Tap {
    first: usize,
    second: usize,
    fraction: f32,
}

impl Tap {
    /// Neighbours of `place`, a coordinate of the model's input, or `None` outside of it. Each position stands for an equal
    /// share of the input's `length`, and its value for the middle of that share.
    fn at(place: f64, length: usize, positions: usize) -> Option<Self> {
        if !(0.0..=length as f64).contains(&place) {
            return None;
        }
        let last = positions - 1;
        let place = (place / length as f64 * positions as f64 - 0.5).clamp(0.0, last as f64);
        let first = (place as usize).min(last);
        Some(Self { first, second: (first + 1).min(last), fraction: (place - first as f64) as f32 })
    }
}
