//! Model configurations: Hugging Face's and timm's `config.json`, the four variants, validation.

mod activation;
mod dialect;
mod error;
mod fields;
mod hf;
mod timm;
mod validate;
mod variants;

#[cfg(test)]
mod tests;

use serde_json::{Map, Value};

pub(crate) use self::hf::parse_json;
pub use self::{
    activation::Activation,
    dialect::{Dialect, Reading},
    error::ConfigError,
    variants::Variant,
};

/// What `loss` means for the labels of a classifier, as in transformers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProblemType {
    /// Mean squared error.
    Regression,
    /// Cross entropy over class indices.
    SingleLabel,
    /// Binary cross entropy with logits, one value a class.
    MultiLabel,
}

impl ProblemType {
    /// The name in `config.json`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Regression => "regression",
            Self::SingleLabel => "single_label_classification",
            Self::MultiLabel => "multi_label_classification",
        }
    }

    /// The problem type of a name in `config.json`.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Regression, Self::SingleLabel, Self::MultiLabel].into_iter().find(|kind| kind.name() == name)
    }
}

/// Everything that decides a SwiftFormer's shape and arithmetic.
///
/// Fields carry Hugging Face's names. [`SwiftFormerConfig::default`] is SwiftFormer-XS with transformers' defaults.
#[derive(Clone, Debug, PartialEq)]
pub struct SwiftFormerConfig {
    /// Side lengths `[height, width]` of the images that the model was made for, in pixels. The network itself takes
    /// any size from 32×32 up.
    pub image_size: [usize; 2],
    /// Channels of the input image.
    pub num_channels: usize,
    /// Blocks of each stage; the last block of a stage is the attention block.
    pub depths: Vec<usize>,
    /// Channels of each stage.
    pub embed_dims: Vec<usize>,
    /// Hidden width of ConvEncoder and MLP over the stage's width.
    pub mlp_ratio: f64,
    /// Where transitions stand; see [`Reading`] for what entry i means.
    pub downsamples: Vec<bool>,
    /// Activation of the MLP (and for timm of every block).
    pub hidden_act: Activation,
    /// Kernel `[height, width]` of the transitions.
    pub down_patch_size: [usize; 2],
    /// Stride `[y, x]` of the transitions.
    pub down_stride: [usize; 2],
    /// Zero padding `[y, x]` on each side of the transitions.
    pub down_pad: [usize; 2],
    /// Stochastic depth of the last block; grows linearly from 0. Training only.
    pub drop_path_rate: f64,
    /// Dropout of the MLP. Training only.
    pub drop_mlp_rate: f64,
    /// Dropout of the ConvEncoder (Hugging Face only). Training only.
    pub drop_conv_encoder_rate: f64,
    /// Whether residual branches carry a learnt scale; see [`Reading`] for which ones.
    pub use_layer_scale: bool,
    /// Initial value of `layer_scale_1/2`.
    pub layer_scale_init_value: f64,
    /// ε of every BatchNorm.
    pub batch_norm_eps: f64,
    /// Outputs of the classifier; 0 means none, and logits are the pooled features.
    pub num_labels: usize,
    /// Names of the classes by index; empty when unnamed.
    pub id2label: Vec<String>,
    /// What labels mean for the loss; `None` lets the labels decide, as transformers does.
    pub problem_type: Option<ProblemType>,
    /// Pooling of the attention weights; `None` until a dialect is known or told.
    pub dialect: Option<Dialect>,
    /// Whether queries and keys are L2-normalised; false only for the first release's CoreML graph.
    pub normalize_qk: bool,
    /// Whose meaning of the fields applies.
    pub reading: Reading,
    /// Fields of the file that this crate does not know, kept for the round trip.
    pub extra: Map<String, Value>,
}

impl Default for SwiftFormerConfig {
    fn default() -> Self {
        Variant::Xs.config()
    }
}

/// Fields that belong to one library's files and mean nothing in the other's.
const FAMILY_FIELDS: &[&str] = &[
    "architectures",
    "dtype",
    "model_args",
    "model_type",
    "num_features",
    "pretrained_cfg",
    "torch_dtype",
    "transformers_version",
];

/// A stride, kernel or size of one number for both axes.
pub(crate) fn square(side: usize) -> [usize; 2] {
    [side, side]
}

impl SwiftFormerConfig {
    /// Number of stages.
    pub fn stages(&self) -> usize {
        self.depths.len()
    }

    /// Hidden width of ConvEncoder and MLP at a stage's width: `⌊mlp_ratio · dim⌋`, as Python's `int`.
    pub fn hidden_dim(&self, dim: usize) -> usize {
        (self.mlp_ratio * dim as f64) as usize
    }

    /// Whether a transition (strided convolution and BatchNorm) stands before `stage`.
    pub fn has_transition_before(&self, stage: usize) -> bool {
        match self.reading {
            Reading::Timm => self.downsamples.get(stage).copied().unwrap_or(false),
            Reading::HuggingFace | Reading::Original => {
                let Some(previous) = stage.checked_sub(1) else { return false };
                self.downsamples.get(previous).copied().unwrap_or(false)
                    || self.embed_dims.get(previous) != self.embed_dims.get(stage)
            }
        }
    }

    /// Whether ConvEncoder and local representation carry a layer scale.
    pub fn has_conv_layer_scale(&self) -> bool {
        self.use_layer_scale || self.reading != Reading::Timm
    }

    /// Activation of ConvEncoder and local representation.
    pub fn conv_act(&self) -> Activation {
        match self.reading {
            Reading::Timm => self.hidden_act,
            Reading::HuggingFace | Reading::Original => Activation::Gelu,
        }
    }

    /// The dialect in force: the one told or recorded, else the one of the release family.
    pub fn effective_dialect(&self) -> Dialect {
        self.dialect.unwrap_or(self.reading.default_dialect())
    }

    /// The class name of `index`: `id2label`'s, or transformers' `LABEL_3`.
    pub fn label(&self, index: usize) -> String {
        self.id2label.get(index).cloned().unwrap_or_else(|| format!("LABEL_{index}"))
    }

    /// Stochastic depth of block `block` of `stage`, by the rule of the config's [`Reading`]:
    /// `rate · (blocks before) / (all blocks − 1)`, for transformers and the original on attention blocks only.
    pub fn drop_path(&self, stage: usize, block: usize) -> f64 {
        let Some(&depth) = self.depths.get(stage) else { return 0.0 };
        let is_attention = block + 1 == depth;
        let total: usize = self.depths.iter().sum();
        if total <= 1 || (self.reading != Reading::Timm && !is_attention) {
            return 0.0;
        }
        let before: usize = self.depths[..stage].iter().sum::<usize>() + block;
        self.drop_path_rate * before as f64 / (total - 1) as f64
    }

    /// The same network described in another reading's terms.
    ///
    /// # Errors
    /// When the other reading has no way to say it: a transition before the first stage, widths that change without
    /// one, layer scales or activations that differ between block kinds.
    pub fn with_reading(&self, reading: Reading) -> Result<Self, ConfigError> {
        let mut config = self.clone();
        config.reading = reading;
        config.dialect = Some(self.effective_dialect());
        if (reading == Reading::Timm) == (self.reading == Reading::Timm) {
            return Ok(config);
        }
        let stages = self.stages();
        let transitions: Vec<bool> = (0..stages).map(|stage| self.has_transition_before(stage)).collect();
        config.downsamples = match reading {
            Reading::Timm => transitions.clone(),
            // transformers' own files end with an unused `true`.
            _ => transitions.iter().skip(1).copied().chain([true]).collect(),
        };
        let same = (0..stages).all(|stage| config.has_transition_before(stage) == transitions[stage]);
        let inexpressible = |field, why: &str| ConfigError::Inexpressible { field, reading, why: why.to_owned() };
        if !same {
            return Err(inexpressible("downsamples", "a transition stands before the first stage"));
        }
        if config.has_conv_layer_scale() != self.has_conv_layer_scale() {
            return Err(inexpressible("use_layer_scale", "it is false, and the two libraries drop different scales"));
        }
        if config.conv_act() != self.conv_act() {
            return Err(inexpressible("hidden_act", "conv blocks and MLP would not keep their activations"));
        }
        if reading == Reading::Timm && self.batch_norm_eps != timm::BATCH_NORM_EPS {
            return Err(inexpressible("batch_norm_eps", "timm has no option for it and uses 1e-5"));
        }
        // What only the other library's tools read stays behind.
        config.extra.retain(|name, _| !FAMILY_FIELDS.contains(&name.as_str()));
        Ok(config)
    }
}
