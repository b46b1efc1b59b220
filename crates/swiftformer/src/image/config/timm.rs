//! timm's `pretrained_cfg`.

use serde_json::{Map, Value, json};

use super::{Fields, PreprocessorError, bad, side};
use crate::image::processor::{IMAGENET_MEAN, IMAGENET_STD};
use crate::image::protocol::cover;
use crate::image::{CenterCrop, CropRule, Filter, Normalize, Orientation, Preprocessor, Resize};

/// timm's `DEFAULT_CROP_PCT`.
const DEFAULT_CROP_PCT: f64 = 0.875;

fn read_input_size(value: Option<Value>) -> Result<[usize; 3], PreprocessorError> {
    let Some(value) = value else { return Ok([3, 224, 224]) };
    let Some([channels, height, width]) = value.as_array().map(Vec::as_slice) else {
        return bad("input_size", &value, "must be [channels, height, width]");
    };
    let Some(channels @ (1 | 3)) = channels.as_u64() else {
        return bad("input_size", &value, "channels must be 3 or 1");
    };
    Ok([channels as usize, side("input_size", &value, height)?, side("input_size", &value, width)?])
}

fn read_filter(value: Option<Value>) -> Result<Filter, PreprocessorError> {
    match &value {
        None => Ok(Filter::Bicubic),
        Some(value) => match value.as_str() {
            // A choice for training; evaluation needs one filter, and timm's default is this.
            Some("random") => Ok(Filter::Bicubic),
            name => match name.and_then(Filter::from_name) {
                Some(filter) => Ok(filter),
                None => {
                    bad("interpolation", value, "must be nearest, bilinear, bicubic, box, hamming, lanczos or random")
                }
            },
        },
    }
}

/// timm's scaled size: `floor(side / crop_pct)`.
fn scaled(side: usize, crop_pct: f64) -> usize {
    (side as f64 / crop_pct).floor() as usize
}

impl Preprocessor {
    /// Reads timm's `pretrained_cfg` (the object of that name in a `config.json`), as timm's `resolve_data_config` and
    /// `create_transform` do for evaluation. Absent fields have timm's defaults. `test_input_size` and `test_crop_pct` are
    /// not used, as they are not by timm unless asked; they and unknown fields are kept in [`Preprocessor::other`].
    ///
    /// The interpolation `random` becomes bicubic.
    ///
    /// # Errors
    /// With the field, its value and its rule.
    pub fn from_pretrained_cfg(config: &Value) -> Result<Self, PreprocessorError> {
        let mut fields = Fields::new(config)?;
        let [channels, height, width] = read_input_size(fields.take("input_size"))?;
        let filter = read_filter(fields.take("interpolation"))?;
        let crop_pct = match fields.take("crop_pct") {
            None => DEFAULT_CROP_PCT,
            Some(value) => match value.as_f64() {
                Some(crop_pct) if (0.01..=100.0).contains(&crop_pct) => crop_pct,
                _ => return bad("crop_pct", &value, "must be a number from 0.01 to 100"),
            },
        };
        let mean = fields.colors("mean", IMAGENET_MEAN, |_| true, "must be finite numbers")?;
        let std = fields.colors("std", IMAGENET_STD, |std| std > 0.0, "must be numbers above 0")?;
        let (scaled_height, scaled_width) = (scaled(height, crop_pct), scaled(width, crop_pct));
        if scaled_height == 0 || scaled_width == 0 {
            return bad("crop_pct", &json!(crop_pct), format!("scales {height}x{width} to nothing"));
        }
        let mut fill = [0; 3];
        let mode = fields.take("crop_mode");
        let resize = match mode.as_ref().map_or(Some("center"), Value::as_str) {
            Some("center") => cover(scaled_height, scaled_width),
            Some("squash") => Resize::Squash { height: scaled_height, width: scaled_width },
            Some("border") => {
                fill = border_color(&mean);
                Resize::Fit { height: scaled_height, width: scaled_width }
            }
            _ => return bad("crop_mode", &mode.unwrap_or_default(), "must be center, squash or border"),
        };
        let preprocessor = Self {
            resize: Some(resize),
            filter,
            crop: Some(CenterCrop { height, width, rule: CropRule::Torchvision, fill }),
            rescale: Some(1.0 / 255.0),
            normalize: Some(Normalize { mean, std }),
            orientation: Orientation::Ignore,
            channels: 3,
            other: fields.0,
        };
        // Both numbers of channels that `read_input_size` lets through are supported.
        Ok(preprocessor.with_channels(channels).unwrap_or_else(|error| unreachable!("{error}")))
    }

    /// The fields of timm's `pretrained_cfg` that describe preprocessing: `input_size`, `interpolation`, `crop_pct`,
    /// `crop_mode`, `mean`, `std`, followed by [`Preprocessor::other`].
    ///
    /// The crop rule of transformers is written as if it were torchvision's, and the rule for EXIF orientation is lost:
    /// nothing in the format can say either.
    ///
    /// # Errors
    /// When no `crop_pct` gives the sizes of the resize, or a step is missing that timm always takes.
    pub fn to_pretrained_cfg_fields(&self) -> Result<Map<String, Value>, PreprocessorError> {
        let refuse = |step: String| Err(PreprocessorError::NotExpressible { step, target: "a pretrained_cfg of timm" });
        let (resize, crop) = match (self.resize, self.crop) {
            (Some(resize), Some(crop)) => (resize, (crop.height, crop.width)),
            (Some(resize @ Resize::Squash { height, width }), None) => (resize, (height, width)),
            (resize, crop) => return refuse(format!("resize {resize:?} with crop {crop:?}")),
        };
        let (mode, height, width) = match resize {
            Resize::Squash { height, width } => ("squash", height, width),
            Resize::ShortestEdge { size } => ("center", size, size),
            Resize::Cover { height, width } if height != width => ("center", height, width),
            Resize::Fit { height, width } => ("border", height, width),
            Resize::Cover { .. } => return refuse(format!("{resize:?}")),
        };
        if mode == "center" && matches!(resize, Resize::ShortestEdge { .. }) && crop.0 != crop.1 {
            return refuse(format!("{resize:?} with a crop of {}x{}", crop.1, crop.0));
        }
        let Some(crop_pct) = crop_pct(crop, (height, width)) else {
            return refuse(format!("{resize:?} with a crop of {}x{}", crop.1, crop.0));
        };
        if self.rescale != Some(1.0 / 255.0) {
            return refuse(format!("a rescale factor of {:?}", self.rescale));
        }
        let Some(Normalize { mean, std }) = &self.normalize else { return refuse("no normalisation".into()) };
        let fill = if mode == "border" { border_color(mean) } else { [0; 3] };
        if let Some(crop) = self.crop.filter(|crop| crop.fill != fill) {
            return refuse(format!("padding with {:?}", crop.fill));
        }
        let fields = json!({
            "input_size": [self.channels, crop.0, crop.1],
            "interpolation": self.filter.name(),
            "crop_pct": crop_pct,
            "crop_mode": mode,
            "mean": mean,
            "std": std,
        });
        let Value::Object(mut map) = fields else { unreachable!("an object was written") };
        map.extend(self.other.clone());
        Ok(map)
    }
}

/// The colour of borders: `round(255 * v)` of the means.
fn border_color(mean: &[f64]) -> [u8; 3] {
    std::array::from_fn(|channel| (255.0 * mean.get(channel).or(mean.last()).unwrap_or(&0.0)).round_ties_even() as u8)
}

/// The shortest decimal whose scaled size is `target` for the crop `crop` (both height and width).
fn crop_pct(crop: (usize, usize), target: (usize, usize)) -> Option<f64> {
    let largest = (crop.0 as f64 / target.0 as f64).min(crop.1 as f64 / target.1 as f64);
    (0..=16).find_map(|digits| {
        let unit = 10f64.powi(digits);
        let candidate = (largest * unit).floor() / unit;
        (candidate > 0.0 && (scaled(crop.0, candidate), scaled(crop.1, candidate)) == target).then_some(candidate)
    })
}
