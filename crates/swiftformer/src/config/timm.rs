//! timm's `config.json` (as its `save_for_hf` writes it), both ways.

use serde_json::{Map, Value, json};

use super::{
    ConfigError, Reading, SwiftFormerConfig, Variant,
    fields::Fields,
    hf::{activation, dialect, number_json, pair_json},
};

/// timm builds every BatchNorm with PyTorch's default ε and has no option for another.
pub(super) const BATCH_NORM_EPS: f64 = 1e-5;

impl SwiftFormerConfig {
    /// Reads timm's fields over the defaults of the named architecture. Does not validate.
    pub(super) fn from_timm(object: Map<String, Value>) -> Result<Self, ConfigError> {
        let mut fields = Fields::new(object);
        let architecture = fields.string(&["architecture"])?.unwrap_or_default();
        let variant = architecture.strip_prefix("swiftformer_").and_then(|name| name.split('.').next()?.parse().ok());
        let Some(variant) = variant else {
            return Err(ConfigError::OtherModel { field: "architecture", found: architecture });
        };
        let mut args = Fields::new(fields.object("model_args")?.unwrap_or_default());
        let base = Variant::config(variant);
        let depths = args.usizes(&["layers"])?.unwrap_or(base.depths);
        let told_classes = args.usize(&["num_classes"])?;
        let num_labels = fields.usize(&["num_classes"])?.or(told_classes).unwrap_or(base.num_labels);
        let pool = args.string(&["global_pool"])?;
        let pool = fields.string(&["global_pool"])?.or(pool).unwrap_or_else(|| "avg".into());
        if pool != "avg" {
            return Err(ConfigError::rule("global_pool", format!("`{pool}`"), "only `avg` is supported"));
        }
        let input_size = fields
            .object("pretrained_cfg")?
            .inspect(|pretrained| fields.keep("pretrained_cfg", Value::Object(pretrained.clone())))
            .and_then(|pretrained| Fields::new(pretrained).usizes(&["input_size"]).ok().flatten());
        let input_size = match input_size.as_deref() {
            Some(&[_, height, width]) => Some([height, width]),
            _ => None,
        };
        let config = Self {
            image_size: args.pair(&["img_size"])?.or(input_size).unwrap_or(base.image_size),
            num_channels: args.usize(&["in_chans"])?.unwrap_or(base.num_channels),
            embed_dims: args.usizes(&["embed_dims"])?.unwrap_or(base.embed_dims),
            mlp_ratio: args.number(&["mlp_ratios", "mlp_ratio"])?.unwrap_or(base.mlp_ratio),
            downsamples: args
                .bools(&["downsamples"])?
                .unwrap_or_else(|| (0..depths.len().max(4)).map(|stage| stage > 0).collect()),
            hidden_act: activation(&mut args, &["act_layer"])?.unwrap_or(base.hidden_act),
            down_patch_size: args.pair(&["down_patch_size"])?.unwrap_or(base.down_patch_size),
            down_stride: args.pair(&["down_stride"])?.unwrap_or(base.down_stride),
            down_pad: args.pair(&["down_pad"])?.unwrap_or(base.down_pad),
            drop_path_rate: args.number(&["drop_path_rate"])?.unwrap_or(0.0),
            drop_mlp_rate: args.number(&["proj_drop_rate"])?.unwrap_or(0.0),
            drop_conv_encoder_rate: 0.0,
            use_layer_scale: args.bool(&["use_layer_scale"])?.unwrap_or(true),
            layer_scale_init_value: args.number(&["layer_scale_init_value"])?.unwrap_or(base.layer_scale_init_value),
            batch_norm_eps: BATCH_NORM_EPS,
            id2label: fields.strings(&["label_names"])?.unwrap_or_default(),
            problem_type: None,
            dialect: dialect(&mut fields)?,
            normalize_qk: fields.bool(&["normalize_qk"])?.unwrap_or(true),
            reading: Reading::Timm,
            extra: Map::new(),
            depths,
            num_labels,
        };
        let unknown_args = args.rest();
        if !unknown_args.is_empty() {
            fields.keep("model_args", Value::Object(unknown_args));
        }
        Ok(Self { extra: fields.rest(), ..config })
    }

    /// The text of a `config.json` that timm reads, unknown fields of the source included.
    ///
    /// `pretrained_cfg` is the source's, or what `pretrained_cfg` gives (preprocessing; see the image module).
    ///
    /// # Errors
    /// When the network cannot be said in timm's terms.
    pub fn to_timm_json(&self, pretrained_cfg: Map<String, Value>) -> Result<String, ConfigError> {
        let config = self.with_reading(Reading::Timm)?;
        let variant = Variant::matching(&config.depths, &config.embed_dims).unwrap_or(Variant::Xs);
        let mut object = Map::new();
        object.insert("architecture".into(), json!(format!("swiftformer_{variant}")));
        object.insert("num_classes".into(), json!(config.num_labels));
        object.insert("num_features".into(), json!(config.embed_dims.last()));
        object.insert("global_pool".into(), json!("avg"));
        let mut args = match config.extra.get("model_args") {
            Some(Value::Object(kept)) => kept.clone(),
            _ => Map::new(),
        };
        let known = json!({
            "layers": config.depths,
            "embed_dims": config.embed_dims,
            "mlp_ratios": number_json(config.mlp_ratio),
            "downsamples": config.downsamples,
            "down_patch_size": pair_json(config.down_patch_size),
            "down_stride": pair_json(config.down_stride),
            "down_pad": pair_json(config.down_pad),
            "num_classes": config.num_labels,
            "in_chans": config.num_channels,
            "proj_drop_rate": config.drop_mlp_rate,
            "drop_path_rate": config.drop_path_rate,
            "use_layer_scale": config.use_layer_scale,
            "layer_scale_init_value": config.layer_scale_init_value,
            "global_pool": "avg",
            "img_size": config.image_size,
        });
        if let Value::Object(known) = known {
            args.extend(known);
        }
        if config.hidden_act != super::Activation::Gelu {
            args.insert("act_layer".into(), json!(config.hidden_act.name()));
        }
        object.insert("model_args".into(), Value::Object(args));
        if !config.id2label.is_empty() {
            object.insert("label_names".into(), json!(config.id2label));
        }
        object.insert("dialect".into(), json!(config.effective_dialect().name()));
        object.insert("normalize_qk".into(), json!(config.normalize_qk));
        for (name, value) in &config.extra {
            if !object.contains_key(name) {
                object.insert(name.clone(), value.clone());
            }
        }
        object.entry("pretrained_cfg").or_insert(Value::Object(pretrained_cfg));
        let mut text = serde_json::to_string_pretty(&object)?;
        text.push('\n');
        Ok(text)
    }
}
