//! Rules that every config must keep, whoever wrote it.

use super::{ConfigError, Reading, SwiftFormerConfig};

/// Bound on any width, kernel or count: far above every real model, far below where products overflow.
const MAX_WIDTH: usize = 1 << 16;
/// Bound on blocks and stages.
const MAX_BLOCKS: usize = 4096;
/// Bound on classes.
const MAX_LABELS: usize = 1 << 24;

impl SwiftFormerConfig {
    /// Checks every rule; see the errors for what they are.
    ///
    /// # Errors
    /// [`ConfigError::Rule`] with the field, its value and the rule.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let stages = self.depths.len();
        if stages == 0 || stages > MAX_BLOCKS {
            let rule = format!("a model has 1 to {MAX_BLOCKS} stages, not {stages}");
            return Err(ConfigError::rule("depths", format!("{:?}", self.depths), rule));
        }
        for (index, &depth) in self.depths.iter().enumerate() {
            between(&format!("depths[{index}]"), depth, 1, MAX_BLOCKS)?;
        }
        between("depths (their sum)", self.depths.iter().sum(), 1, MAX_BLOCKS)?;
        if self.embed_dims.len() != stages {
            let rule = format!("needs one width for each of the {stages} stages of `depths`");
            return Err(ConfigError::rule("embed_dims", format!("{:?}", self.embed_dims), rule));
        }
        for (index, &dim) in self.embed_dims.iter().enumerate() {
            // The stem's first convolution has half the first stage's width.
            between(&format!("embed_dims[{index}]"), dim, if index == 0 { 2 } else { 1 }, MAX_WIDTH)?;
        }
        between("num_channels", self.num_channels, 1, MAX_WIDTH)?;
        for (axis, side) in ["height", "width"].into_iter().zip(self.image_size) {
            between(&format!("image_size ({axis})"), side, 1, MAX_WIDTH)?;
        }
        finite("mlp_ratio", self.mlp_ratio, 0.0, 1024.0)?;
        for &dim in &self.embed_dims {
            if !(1..=MAX_WIDTH).contains(&self.hidden_dim(dim)) {
                let rule = format!("the hidden width of a stage of {dim} channels would be {}", self.hidden_dim(dim));
                return Err(ConfigError::rule("mlp_ratio", self.mlp_ratio, rule));
            }
        }
        self.validate_transitions()?;
        for (field, rate) in [
            ("drop_path_rate", self.drop_path_rate),
            ("drop_mlp_rate", self.drop_mlp_rate),
            ("drop_conv_encoder_rate", self.drop_conv_encoder_rate),
        ] {
            finite(field, rate, 0.0, 1.0)?;
        }
        finite("layer_scale_init_value", self.layer_scale_init_value, f64::MIN, f64::MAX)?;
        finite("batch_norm_eps", self.batch_norm_eps, 0.0, 1e6)?;
        between("num_labels", self.num_labels, 0, MAX_LABELS)?;
        if !self.id2label.is_empty() && self.id2label.len() != self.num_labels {
            let rule = format!("needs one name for each of the {} labels", self.num_labels);
            return Err(ConfigError::rule("id2label", format!("{} names", self.id2label.len()), rule));
        }
        Ok(())
    }

    fn validate_transitions(&self) -> Result<(), ConfigError> {
        let stages = self.depths.len();
        let needed = if self.reading == Reading::Timm { stages } else { stages - 1 };
        if self.downsamples.len() < needed {
            let rule = format!("needs at least {needed} entries for {stages} stages");
            return Err(ConfigError::rule("downsamples", format!("{:?}", self.downsamples), rule));
        }
        for stage in 1..stages {
            let (before, after) = (self.embed_dims[stage - 1], self.embed_dims[stage]);
            if before != after && !self.has_transition_before(stage) {
                let rule = format!("the width changes from {before} to {after} at stage {stage} without a transition");
                return Err(ConfigError::rule(format!("downsamples[{stage}]"), false, rule));
            }
        }
        for axis in 0..2 {
            between("down_patch_size", self.down_patch_size[axis], 1, 255)?;
            between("down_stride", self.down_stride[axis], 1, 255)?;
            between("down_pad", self.down_pad[axis], 0, 255)?;
        }
        Ok(())
    }
}

fn between(field: &str, value: usize, least: usize, most: usize) -> Result<(), ConfigError> {
    if (least..=most).contains(&value) {
        return Ok(());
    }
    Err(ConfigError::rule(field, value, format!("must be between {least} and {most}")))
}

fn finite(field: &str, value: f64, least: f64, most: f64) -> Result<(), ConfigError> {
    if value.is_finite() && (least..=most).contains(&value) {
        return Ok(());
    }
    Err(ConfigError::rule(field, value, format!("must be a number between {least} and {most}")))
}
