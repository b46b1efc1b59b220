//! Hugging Face's `config.json` (transformers' `SwiftFormerConfig`), both ways.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::{Activation, ConfigError, Dialect, ProblemType, Reading, SwiftFormerConfig, Variant, fields::Fields};

/// transformers' default when a file names no labels.
const DEFAULT_LABELS: usize = 2;

/// The most values that a config may hold; each takes up to 200 bytes in memory.
const MAX_VALUES: usize = 1 << 19;

/// Parses the text of a config, unless it would unpack to an unreasonable number of values.
///
/// # Errors
/// When it is not JSON, or holds too much of it.
pub(crate) fn parse_json(text: &str) -> Result<Value, ConfigError> {
    // Every value but the outermost stands behind one of these. Those in strings count too, which does no harm.
    let most = text.bytes().filter(|byte| matches!(byte, b',' | b'[' | b'{')).count();
    if most > MAX_VALUES {
        return Err(ConfigError::TooLarge { limit: MAX_VALUES });
    }
    Ok(serde_json::from_str(text)?)
}

impl SwiftFormerConfig {
    /// Reads the text of a `config.json`, Hugging Face's or timm's, and validates it.
    ///
    /// # Errors
    /// When it is not JSON, describes another kind of model, or breaks a rule.
    pub fn from_json(text: &str) -> Result<Self, ConfigError> {
        let Value::Object(object) = parse_json(text)? else { return Err(ConfigError::NotAnObject) };
        let is_timm = object.contains_key("architecture") && !object.contains_key("model_type");
        let config = if is_timm { Self::from_timm(object)? } else { Self::from_hf(object)? };
        config.validate()?;
        Ok(config)
    }

    /// Reads transformers' fields; absent ones take transformers' defaults. Does not validate.
    pub(super) fn from_hf(object: Map<String, Value>) -> Result<Self, ConfigError> {
        if let Some(found) = object.get("model_type").and_then(Value::as_str)
            && found != "swiftformer"
        {
            return Err(ConfigError::OtherModel { field: "model_type", found: found.to_owned() });
        }
        let mut fields = Fields::new(object);
        let base = Variant::Xs.config();
        let depths = fields.usizes(&["depths", "layers"])?.unwrap_or(base.depths);
        let (num_labels, id2label) = labels(&mut fields)?;
        let config = Self {
            image_size: fields.pair(&["image_size"])?.unwrap_or(base.image_size),
            num_channels: fields.usize(&["num_channels"])?.unwrap_or(base.num_channels),
            embed_dims: fields.usizes(&["embed_dims"])?.unwrap_or(base.embed_dims),
            mlp_ratio: fields.number(&["mlp_ratio", "mlp_ratios"])?.unwrap_or(base.mlp_ratio),
            downsamples: fields.bools(&["downsamples"])?.unwrap_or_else(|| vec![true; depths.len().max(4)]),
            hidden_act: activation(&mut fields, &["hidden_act", "act_layer"])?.unwrap_or(base.hidden_act),
            down_patch_size: fields.pair(&["down_patch_size"])?.unwrap_or(base.down_patch_size),
            down_stride: fields.pair(&["down_stride"])?.unwrap_or(base.down_stride),
            down_pad: fields.pair(&["down_pad"])?.unwrap_or(base.down_pad),
            drop_path_rate: fields.number(&["drop_path_rate"])?.unwrap_or(0.0),
            drop_mlp_rate: fields.number(&["drop_mlp_rate", "drop_rate"])?.unwrap_or(0.0),
            drop_conv_encoder_rate: fields.number(&["drop_conv_encoder_rate"])?.unwrap_or(0.0),
            use_layer_scale: fields.bool(&["use_layer_scale"])?.unwrap_or(true),
            layer_scale_init_value: fields.number(&["layer_scale_init_value"])?.unwrap_or(base.layer_scale_init_value),
            batch_norm_eps: fields.number(&["batch_norm_eps"])?.unwrap_or(base.batch_norm_eps),
            problem_type: problem_type(&mut fields)?,
            dialect: dialect(&mut fields)?,
            normalize_qk: fields.bool(&["normalize_qk"])?.unwrap_or(true),
            reading: Reading::HuggingFace,
            extra: Map::new(),
            depths,
            num_labels,
            id2label,
        };
        Ok(Self { extra: fields.rest(), ..config })
    }

    /// The text of a `config.json` that transformers reads, keys sorted, unknown fields of the source included.
    ///
    /// # Errors
    /// When the network cannot be said in transformers' terms.
    pub fn to_hf_json(&self) -> Result<String, ConfigError> {
        let config = self.with_reading(Reading::HuggingFace)?;
        let mut fields: BTreeMap<String, Value> = config.extra.clone().into_iter().collect();
        let known = json!({
            "model_type": "swiftformer",
            "image_size": pair_json(config.image_size),
            "num_channels": config.num_channels,
            "depths": config.depths,
            "embed_dims": config.embed_dims,
            "mlp_ratio": number_json(config.mlp_ratio),
            "downsamples": config.downsamples,
            "hidden_act": config.hidden_act.name(),
            "down_patch_size": pair_json(config.down_patch_size),
            "down_stride": pair_json(config.down_stride),
            "down_pad": pair_json(config.down_pad),
            "drop_path_rate": config.drop_path_rate,
            "drop_mlp_rate": config.drop_mlp_rate,
            "drop_conv_encoder_rate": config.drop_conv_encoder_rate,
            "use_layer_scale": config.use_layer_scale,
            "layer_scale_init_value": config.layer_scale_init_value,
            "batch_norm_eps": config.batch_norm_eps,
            "dialect": config.effective_dialect().name(),
            "normalize_qk": config.normalize_qk,
        });
        if let Value::Object(known) = known {
            fields.extend(known);
        }
        fields.entry("architectures".into()).or_insert_with(|| json!(["SwiftFormerForImageClassification"]));
        let names: Vec<String> = (0..config.num_labels).map(|index| config.label(index)).collect();
        let id2label: Map<String, Value> =
            names.iter().enumerate().map(|(index, name)| (index.to_string(), json!(name))).collect();
        let label2id: Map<String, Value> =
            names.iter().enumerate().map(|(index, name)| (name.clone(), json!(index))).collect();
        fields.insert("id2label".into(), Value::Object(id2label));
        fields.insert("label2id".into(), Value::Object(label2id));
        if let Some(problem_type) = config.problem_type {
            fields.insert("problem_type".into(), json!(problem_type.name()));
        }
        let mut text = serde_json::to_string_pretty(&fields)?;
        text.push('\n');
        Ok(text)
    }
}

/// One number where both sides are equal, as configs are usually written.
pub(super) fn pair_json(pair: [usize; 2]) -> Value {
    if pair[0] == pair[1] { json!(pair[0]) } else { json!(pair) }
}

/// An integer where the number is one: transformers declares `mlp_ratio` as `int`.
pub(super) fn number_json(number: f64) -> Value {
    if number.fract() == 0.0 && number.abs() < 1e9 { json!(number as i64) } else { json!(number) }
}

pub(super) fn activation(fields: &mut Fields, names: &[&str]) -> Result<Option<Activation>, ConfigError> {
    let Some(name) = fields.string(names)? else { return Ok(None) };
    let known = Activation::from_name(&name);
    known.map(Some).ok_or_else(|| {
        let rule = format!("unknown activation; known: {}", Activation::spellings().collect::<Vec<_>>().join(", "));
        ConfigError::rule(names.first().copied().unwrap_or_default(), format!("`{name}`"), rule)
    })
}

pub(super) fn dialect(fields: &mut Fields) -> Result<Option<Dialect>, ConfigError> {
    let Some(name) = fields.string(&["dialect"])? else { return Ok(None) };
    let rule = "must be sum, l2, softmax or raw";
    name.parse().map(Some).map_err(|_: String| ConfigError::rule("dialect", format!("`{name}`"), rule))
}

fn problem_type(fields: &mut Fields) -> Result<Option<ProblemType>, ConfigError> {
    let Some(name) = fields.string(&["problem_type"])? else { return Ok(None) };
    let rule = "must be regression, single_label_classification or multi_label_classification";
    ProblemType::from_name(&name).map(Some).ok_or_else(|| ConfigError::rule("problem_type", format!("`{name}`"), rule))
}

/// Number and names of the labels: `id2label` decides, then `num_labels`, then transformers' default of 2.
fn labels(fields: &mut Fields) -> Result<(usize, Vec<String>), ConfigError> {
    let num_labels = fields.usize(&["num_labels"])?;
    let label2id = fields.object("label2id")?;
    let id2label = match (fields.object("id2label")?, label2id) {
        (Some(map), _) => map
            .into_iter()
            .map(|(index, name)| {
                let name = name.as_str().map_or_else(|| name.to_string(), str::to_owned);
                (index, name)
            })
            .collect::<Vec<_>>(),
        (None, Some(map)) => map.into_iter().map(|(name, index)| (index.to_string(), name)).collect(),
        (None, None) => return Ok((num_labels.unwrap_or(DEFAULT_LABELS), Vec::new())),
    };
    let count = id2label.len();
    if let Some(told) = num_labels
        && told != count
    {
        let rule = format!("`id2label` has {count} names");
        return Err(ConfigError::rule("num_labels", told, rule));
    }
    let mut names = vec![None; count];
    for (index, name) in id2label {
        let slot = index.parse::<usize>().ok().and_then(|index| names.get_mut(index));
        match slot {
            Some(slot @ None) => *slot = Some(name),
            _ => {
                let rule = format!("its keys must be 0 to {}, each once", count.saturating_sub(1));
                return Err(ConfigError::rule("id2label", format!("key `{index}`"), rule));
            }
        }
    }
    let names: Vec<String> = names.into_iter().flatten().collect();
    let unnamed = names.iter().enumerate().all(|(index, name)| *name == format!("LABEL_{index}"));
    Ok((count, if unnamed { Vec::new() } else { names }))
}
