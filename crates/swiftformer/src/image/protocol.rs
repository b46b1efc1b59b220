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

impl Preprocessor {
    /// The same protocol for images of `[height, width]` at its end, where it ends with a fixed size: a preset's own rule, else
    /// the resize by the factors of the two sides.
    #[must_use]
    pub fn at_size(&self, [height, width]: [usize; 2]) -> Self {
        let same = |other: &Self| (self.resize, self.filter, self.crop) == (other.resize, other.filter, other.crop);
        let [from_height, from_width] = match (self.crop, self.resize) {
            (Some(crop), _) => [crop.height, crop.width],
            (None, Some(Resize::Squash { height, width })) => [height, width],
            (None, _) => return self.clone(),
        };
        let preset = Preset::ALL.into_iter().find(|preset| same(&preset.preprocessor(from_height, from_width)));
        if let Some(preset) = preset {
            let Self { resize, crop, .. } = preset.preprocessor(height, width);
            return Self { resize, crop, ..self.clone() };
        }
        let scaled = |side: usize, to: usize, from: usize| {
            let scaled = side as f64 * to as f64 / from.max(1) as f64;
            (scaled.round() as usize).max(1)
        };
        let both = |rows, columns| (scaled(rows, height, from_height), scaled(columns, width, from_width));
        let resize = self.resize.map(|resize| match resize {
            Resize::Squash { height, width } => {
                let (height, width) = both(height, width);
                Resize::Squash { height, width }
            }
            Resize::ShortestEdge { size } => {
                let (height, width) = both(size, size);
                cover(height, width)
            }
            Resize::Cover { height, width } => {
                let (height, width) = both(height, width);
                Resize::Cover { height, width }
            }
            Resize::Fit { height, width } => {
                let (height, width) = both(height, width);
                Resize::Fit { height, width }
            }
        });
        let crop = self.crop.map(|crop| CenterCrop { height, width, ..crop });
        Self { resize, crop, ..self.clone() }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_preset_at_another_size_is_that_preset_for_the_size() {
        for preset in Preset::ALL {
            for size in [[224, 224], [192, 640], [96, 96], [333, 222]] {
                let [height, width] = size;
                assert_eq!(preset.preprocessor(224, 224).at_size(size), preset.preprocessor(height, width), "{preset}");
            }
        }
    }

    #[test]
    fn other_protocols_keep_their_proportions() {
        let crop = CenterCrop { height: 100, width: 200, rule: CropRule::Transformers, fill: [9; 3] };
        let own = |resize| Preprocessor { resize: Some(resize), crop: Some(crop), ..Preset::Hf.preprocessor(1, 1) };
        let twice = own(Resize::Squash { height: 110, width: 260 }).at_size([200, 400]);
        assert_eq!(twice.resize, Some(Resize::Squash { height: 220, width: 520 }));
        assert_eq!(twice.crop, Some(CenterCrop { height: 200, width: 400, ..crop }));
        let edge = own(Resize::ShortestEdge { size: 210 }).at_size([50, 200]);
        assert_eq!(edge.resize, Some(Resize::Cover { height: 105, width: 210 }));
        // Without a crop the size depends on the image: there is nothing to change.
        let open = Preprocessor { crop: None, ..own(Resize::ShortestEdge { size: 64 }) };
        assert_eq!(open.at_size([7, 7]), open);
    }
}
