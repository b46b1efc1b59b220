//! `preprocessor_config.json` of transformers' `ViTImageProcessor` and its relatives.

use serde_json::{Value, json};

use super::{Fields, PreprocessorError, bad, side};
use crate::image::{CenterCrop, CropRule, Filter, Normalize, Orientation, Preprocessor, Resize};

/// The image processors that are understood, with what they take for absent fields.
struct Family {
    /// Class names without `ImageProcessor`, `ImageProcessorFast`, `ImageProcessorPil` or `FeatureExtractor`.
    name: &'static str,
    /// A single number as `size` is a square, not the shortest edge.
    square: bool,
    size: usize,
    filter: Filter,
    crop: bool,
    mean: [f64; 3],
    std: [f64; 3],
}

const HALF: [f64; 3] = [0.5; 3];

const FAMILIES: [Family; 3] = [
    Family { name: "ViT", square: true, size: 224, filter: Filter::Bilinear, crop: false, mean: HALF, std: HALF },
    Family { name: "DeiT", square: true, size: 256, filter: Filter::Bicubic, crop: true, mean: HALF, std: HALF },
    Family {
        name: "CLIP",
        square: false,
        size: 224,
        filter: Filter::Bicubic,
        crop: true,
        mean: [0.481_454_66, 0.457_827_5, 0.408_210_73],
        std: [0.268_629_54, 0.261_302_58, 0.275_777_11],
    },
];

/// The side of the crop when `crop_size` is absent.
const DEFAULT_CROP: usize = 224;

fn family(fields: &mut Fields) -> Result<&'static Family, PreprocessorError> {
    // The name stays in the map, so that it is written back; the older field counts only without the newer one.
    let names = ["image_processor_type", "feature_extractor_type"];
    let found =
        names.into_iter().find_map(|field| Some((field, fields.0.get(field).filter(|value| !value.is_null())?)));
    let Some((field, value)) = found else { return Ok(&FAMILIES[0]) };
    let stem = value.as_str().map(|name| {
        let name = name.strip_suffix("Fast").or_else(|| name.strip_suffix("Pil")).unwrap_or(name);
        name.strip_suffix("ImageProcessor").or_else(|| name.strip_suffix("FeatureExtractor")).unwrap_or(name)
    });
    match FAMILIES.iter().find(|family| Some(family.name) == stem) {
        Some(family) => Ok(family),
        None => bad(field, value, "understood are ViTImageProcessor, DeiTImageProcessor and CLIPImageProcessor"),
    }
}

fn read_resize(value: Option<Value>, family: &Family) -> Result<Resize, PreprocessorError> {
    const RULE: &str = "must be a number, {height, width} or {shortest_edge}";
    let single = |size| {
        if family.square { Resize::Squash { height: size, width: size } } else { Resize::ShortestEdge { size } }
    };
    let Some(value) = value else { return Ok(single(family.size)) };
    let Some(map) = value.as_object() else { return Ok(single(side("size", &value, &value)?)) };
    let known: Vec<(&str, &Value)> = map.iter().filter(|(_, v)| !v.is_null()).map(|(k, v)| (k.as_str(), v)).collect();
    match known[..] {
        [("height", height), ("width", width)] | [("width", width), ("height", height)] => {
            Ok(Resize::Squash { height: side("size", &value, height)?, width: side("size", &value, width)? })
        }
        [("shortest_edge", edge)] => Ok(Resize::ShortestEdge { size: side("size", &value, edge)? }),
        _ => bad("size", &value, RULE),
    }
}

fn read_crop(value: Option<Value>) -> Result<CenterCrop, PreprocessorError> {
    let (height, width) = match &value {
        None => (DEFAULT_CROP, DEFAULT_CROP),
        Some(whole @ Value::Object(map)) => match (map.get("height"), map.get("width")) {
            (Some(height), Some(width)) => (side("crop_size", whole, height)?, side("crop_size", whole, width)?),
            _ => return bad("crop_size", whole, "must be a number or {height, width}"),
        },
        Some(number) => {
            let size = side("crop_size", number, number)?;
            (size, size)
        }
    };
    Ok(CenterCrop { height, width, rule: CropRule::Transformers, fill: [0; 3] })
}

impl Preprocessor {
    /// Reads a `preprocessor_config.json` of `ViTImageProcessor`, `DeiTImageProcessor` or `CLIPImageProcessor` (fast and
    /// older names too; `ViTImageProcessor` when none is named). Absent fields have the defaults of that class. Fields of
    /// steps that are switched off, and unknown ones, are kept in [`Preprocessor::other`].
    ///
    /// # Errors
    /// With the field, its value and its rule, when a value is out of range or asks for a step that does not exist here.
    pub fn from_preprocessor_config(config: &Value) -> Result<Self, PreprocessorError> {
        let mut fields = Fields::new(config)?;
        let family = family(&mut fields)?;
        for field in ["do_flip_channel_order", "do_pad", "do_reduce_labels"] {
            if let Some(value @ Value::Bool(true)) = fields.0.get(field) {
                return bad(field, value, "this step is not supported");
            }
        }
        let resize =
            if fields.flag("do_resize", true)? { Some(read_resize(fields.take("size"), family)?) } else { None };
        let crop =
            if fields.flag("do_center_crop", family.crop)? { Some(read_crop(fields.take("crop_size"))?) } else { None };
        let filter = match fields.take("resample") {
            None => family.filter,
            Some(value) => match value.as_u64().and_then(Filter::from_pillow_number) {
                Some(filter) => filter,
                None => return bad("resample", &value, "must be one of Pillow's filters, 0 to 5"),
            },
        };
        let rescale = if fields.flag("do_rescale", true)? {
            match fields.take("rescale_factor") {
                None => Some(1.0 / 255.0),
                Some(value) => match value.as_f64() {
                    Some(factor) if factor.is_finite() && factor > 0.0 => Some(factor),
                    _ => return bad("rescale_factor", &value, "must be a number above 0"),
                },
            }
        } else {
            None
        };
        let normalize = if fields.flag("do_normalize", true)? {
            let mean = fields.colors("image_mean", family.mean, |_| true, "must be finite numbers")?;
            let std = fields.colors("image_std", family.std, |std| std > 0.0, "must be numbers above 0")?;
            Some(Normalize { mean, std })
        } else {
            None
        };
        Ok(Self {
            resize,
            filter,
            crop,
            rescale,
            normalize,
            orientation: Orientation::Apply,
            channels: 3,
            other: fields.0,
        })
    }

    /// The fields of a `preprocessor_config.json`, ready to be written.
    ///
    /// Without another class in [`Preprocessor::other`] it names `ViTImageProcessor`, or `CLIPImageProcessor` for a resize
    /// by the shortest edge, which the former does not do in every release. Where a margin is odd, transformers crops one
    /// pixel beside torchvision's place ([`CropRule`]); nothing in the file can say otherwise.
    ///
    /// # Errors
    /// When the preprocessing has a resize or a padding colour that transformers' classes do not know.
    pub fn to_preprocessor_config(&self) -> Result<Value, PreprocessorError> {
        let target = "preprocessor_config.json";
        let size = match self.resize {
            None => None,
            Some(Resize::Squash { height, width }) => Some(json!({"height": height, "width": width})),
            Some(Resize::ShortestEdge { size }) => Some(json!({"shortest_edge": size})),
            Some(other) => return Err(PreprocessorError::NotExpressible { step: format!("{other:?}"), target }),
        };
        if let Some(crop) = self.crop.filter(|crop| crop.fill != [0; 3]) {
            let step = format!("padding with {:?}", crop.fill);
            return Err(PreprocessorError::NotExpressible { step, target });
        }
        let mut map = self.other.clone();
        if !["image_processor_type", "feature_extractor_type"].iter().any(|field| map.contains_key(*field)) {
            let by_edge = matches!(self.resize, Some(Resize::ShortestEdge { .. }));
            let class = if by_edge { "CLIPImageProcessor" } else { "ViTImageProcessor" };
            map.insert("image_processor_type".into(), class.into());
        }
        map.insert("do_resize".into(), size.is_some().into());
        map.extend(size.map(|size| ("size".to_owned(), size)));
        map.insert("resample".into(), self.filter.pillow_number().into());
        map.insert("do_center_crop".into(), self.crop.is_some().into());
        map.extend(self.crop.map(|crop| ("crop_size".into(), json!({"height": crop.height, "width": crop.width}))));
        map.insert("do_rescale".into(), self.rescale.is_some().into());
        map.extend(self.rescale.map(|factor| ("rescale_factor".into(), factor.into())));
        map.insert("do_normalize".into(), self.normalize.is_some().into());
        if let Some(Normalize { mean, std }) = &self.normalize {
            map.insert("image_mean".into(), json!(mean));
            map.insert("image_std".into(), json!(std));
        }
        Ok(Value::Object(map))
    }
}
