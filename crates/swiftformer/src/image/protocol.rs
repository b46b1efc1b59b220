//! The four evaluation protocols of the released models.

use std::fmt;
use std::str::FromStr;

use super::processor::{IMAGENET_MEAN, IMAGENET_STD, Normalize};
use super::{CenterCrop, CropRule, Filter, Orientation, Preprocessor, Resize};

/// Evaluation protocols by the code that uses them. A model folder's own configuration wins over any of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Preset {
    /// transformers: squashed to the input size, bilinear; files are turned upright.
    Hf,
    /// timm: short side to `floor(size / 0.95)` (235 for 224), bicubic, centre crop.
    Timm,
    /// The original evaluation code: short side to `int(256 / 224 * size)` (256 for 224), bicubic, centre crop.
    Original,
    /// The same with a crop of 0.9: short side to `floor(size / 0.9)` (248 for 224).
    Original09,
}

impl Preset {
    /// Every preset.
    pub const ALL: [Self; 4] = [Self::Hf, Self::Timm, Self::Original, Self::Original09];

    /// The name in options and configuration files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Hf => "hf",
            Self::Timm => "timm",
            Self::Original => "original",
            Self::Original09 => "original-0.9",
        }
    }

    /// The preprocessing for a model whose input has `height` × `width` pixels.
    pub fn preprocessor(self, height: usize, width: usize) -> Preprocessor {
        let scaled = |side: usize| match self {
            Self::Hf => side,
            Self::Timm => (side as f64 / 0.95) as usize,
            Self::Original => (256.0 / 224.0 * side as f64) as usize,
            Self::Original09 => (side as f64 / 0.9) as usize,
        };
        let (resize, filter, crop, orientation) = match self {
            Self::Hf => (Resize::Squash { height, width }, Filter::Bilinear, None, Orientation::Apply),
            _ => {
                let crop = CenterCrop { height, width, rule: CropRule::Torchvision, fill: [0; 3] };
                (cover(scaled(height), scaled(width)), Filter::Bicubic, Some(crop), Orientation::Ignore)
            }
        };
        Preprocessor {
            resize: Some(resize),
            filter,
            crop,
            rescale: Some(1.0 / 255.0),
            normalize: Some(Normalize { mean: IMAGENET_MEAN.to_vec(), std: IMAGENET_STD.to_vec() }),
            orientation,
            channels: 3,
            other: serde_json::Map::new(),
        }
    }
}

/// timm's resize in front of a centre crop: torchvision's for squares, its own otherwise.
pub(super) fn cover(height: usize, width: usize) -> Resize {
    if height == width { Resize::ShortestEdge { size: height } } else { Resize::Cover { height, width } }
}

impl fmt::Display for Preset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A name that is no preset's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("preset `{0}`: known are hf, timm, original, original-0.9")]
pub struct UnknownPreset(pub String);

impl FromStr for Preset {
    type Err = UnknownPreset;

    fn from_str(name: &str) -> Result<Self, UnknownPreset> {
        Self::ALL.into_iter().find(|preset| preset.name() == name).ok_or_else(|| UnknownPreset(name.to_owned()))
    }
}
