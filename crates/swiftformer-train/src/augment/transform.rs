//! The whole way from a decoded image to normalised values, as a recipe sets it.

use swiftformer::image::{IMAGENET_MEAN, IMAGENET_STD, ImageError, RgbImage};

use super::{
    affine::Sampling, crop::RandomResizedCrop, erase::RandomErasing, jitter::ColorJitter, operation::Setting, pillow,
    policy::Policy,
};
use crate::rng::Rng;

/// Augmentation of one training image: crop, flips, policy or jitter, normalisation, erasing, in timm's order.
///
/// ```
/// use swiftformer::image::RgbImage;
/// use swiftformer_train::{augment::TrainTransform, rng::Rng};
///
/// let transform = TrainTransform { policy: Some("rand-m9-mstd0.5-inc1".parse()?), ..TrainTransform::new([32, 48]) };
/// let image = RgbImage::filled(100, 80, [200, 30, 30]);
/// let mut values = vec![0.0; transform.len()];
/// transform.apply(&image, &mut Rng::new(0, &[]), &mut values)?;
/// assert_eq!(values.len(), 3 * 32 * 48);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct TrainTransform {
    /// Height and width of the result.
    pub size: [usize; 2],
    /// The part of the image that is kept.
    pub crop: RandomResizedCrop,
    /// How likely columns are reversed.
    pub horizontal_flip: f64,
    /// How likely rows are reversed.
    pub vertical_flip: f64,
    /// Changes of colour and shape.
    pub policy: Option<Policy>,
    /// Changes of colour; with a policy only where [`Policy::keeps_color_jitter`] says so.
    pub jitter: Option<ColorJitter>,
    /// What is subtracted from each channel, in fractions of 1.
    pub mean: [f64; 3],
    /// What the difference is divided by.
    pub std: [f64; 3],
    /// Rectangles of noise.
    pub erasing: Option<RandomErasing>,
}

impl TrainTransform {
    /// A crop and a horizontal flip to `size` (height, width), ImageNet's mean and deviation.
    pub fn new(size: [usize; 2]) -> Self {
        Self {
            size,
            crop: RandomResizedCrop::default(),
            horizontal_flip: 0.5,
            vertical_flip: 0.0,
            policy: None,
            jitter: None,
            mean: IMAGENET_MEAN,
            std: IMAGENET_STD,
            erasing: None,
        }
    }

    /// Values of one result: 3 × height × width.
    #[allow(clippy::len_without_is_empty)]
    pub fn len(&self) -> usize {
        3 * self.size[0] * self.size[1]
    }

    /// What policies share: the mean as fill colour, the crop's sampling, shifts of 0.45 of the shorter side.
    fn setting(&self) -> Setting {
        let shorter = self.size[0].min(self.size[1]);
        Setting {
            fill: self.mean.map(|mean| (255.0 * mean).round_ties_even().clamp(0.0, 255.0) as u8),
            sampling: self.crop.sampling,
            translate_pixels: (shorter as f64 * 0.45).trunc(),
            ..Setting::default()
        }
    }

    /// The augmented image in bytes, before normalisation and erasing.
    ///
    /// # Errors
    /// When the size has a side of zero or beyond what images may have.
    pub fn apply_bytes(&self, image: &RgbImage, rng: &mut Rng) -> Result<RgbImage, ImageError> {
        let mut image = self.crop.apply(image, self.size, rng)?;
        if rng.chance(self.horizontal_flip) {
            pillow::flip_horizontal(&mut image);
        }
        if self.vertical_flip > 0.0 && rng.chance(self.vertical_flip) {
            pillow::flip_vertical(&mut image);
        }
        if let Some(policy) = &self.policy {
            policy.apply(&mut image, &self.setting(), rng);
        }
        if let Some(jitter) = &self.jitter
            && self.policy.as_ref().is_none_or(Policy::keeps_color_jitter)
        {
            jitter.apply(&mut image, rng);
        }
        Ok(image)
    }

    /// Writes the augmented image as `[3, height, width]` to `values`.
    ///
    /// # Errors
    /// Those of [`Self::apply_bytes`], and when `values` does not hold [`Self::len`] numbers.
    pub fn apply(&self, image: &RgbImage, rng: &mut Rng, values: &mut [f32]) -> Result<(), ImageError> {
        if values.len() != self.len() {
            return Err(ImageError::OutputBuffer { needed: self.len(), found: values.len() });
        }
        let image = self.apply_bytes(image, rng)?;
        normalize(&image, self.mean, self.std, values);
        if let Some(erasing) = &self.erasing {
            erasing.apply(values, self.size, rng);
        }
        Ok(())
    }
}

/// (byte / 255 − mean) / std in 32 bits, as PyTorch computes it, from interleaved to planar.
fn normalize(image: &RgbImage, mean: [f64; 3], std: [f64; 3], values: &mut [f32]) {
    for (channel, plane) in values.chunks_exact_mut(image.width() * image.height()).enumerate() {
        let (mean, std) = (mean[channel] as f32, std[channel] as f32);
        let table: [f32; 256] = std::array::from_fn(|byte| (byte as f32 / 255.0 - mean) / std);
        for (value, pixel) in plane.iter_mut().zip(image.data().as_chunks::<3>().0) {
            *value = table[usize::from(pixel[channel])];
        }
    }
}

impl From<Sampling> for swiftformer::image::Filter {
    fn from(sampling: Sampling) -> Self {
        match sampling {
            Sampling::Bilinear => Self::Bilinear,
            Sampling::Bicubic => Self::Bicubic,
        }
    }
}
