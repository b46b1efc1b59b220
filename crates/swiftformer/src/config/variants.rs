//! The four published sizes.

use std::{fmt, str::FromStr};

use serde_json::Map;

use super::{Activation, Reading, SwiftFormerConfig, square};

/// A published size of SwiftFormer (table 1 of the paper).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Variant {
    /// 3.5 M parameters, 0.6 GMAC at 224².
    Xs,
    /// 6.1 M parameters, 1.0 GMAC.
    S,
    /// 12.1 M parameters, 1.6 GMAC.
    L1,
    /// 28.5 M parameters, 4.0 GMAC.
    L3,
}

impl Variant {
    /// All four, smallest first.
    pub const ALL: [Self; 4] = [Self::Xs, Self::S, Self::L1, Self::L3];

    /// `xs`, `s`, `l1` or `l3`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Xs => "xs",
            Self::S => "s",
            Self::L1 => "l1",
            Self::L3 => "l3",
        }
    }

    /// Blocks of each stage.
    pub fn depths(self) -> [usize; 4] {
        match self {
            Self::Xs => [3, 3, 6, 4],
            Self::S => [3, 3, 9, 6],
            Self::L1 => [4, 3, 10, 5],
            Self::L3 => [4, 4, 12, 6],
        }
    }

    /// Channels of each stage.
    pub fn embed_dims(self) -> [usize; 4] {
        match self {
            Self::Xs => [48, 56, 112, 220],
            Self::S => [48, 64, 168, 224],
            Self::L1 => [48, 96, 192, 384],
            Self::L3 => [64, 128, 320, 512],
        }
    }

    /// The variant whose depths and widths these are.
    pub fn matching(depths: &[usize], embed_dims: &[usize]) -> Option<Self> {
        Self::ALL.into_iter().find(|variant| variant.depths() == depths && variant.embed_dims() == embed_dims)
    }

    /// The config with transformers' defaults and 1000 unnamed classes.
    pub fn config(self) -> SwiftFormerConfig {
        SwiftFormerConfig {
            image_size: square(224),
            num_channels: 3,
            depths: self.depths().to_vec(),
            embed_dims: self.embed_dims().to_vec(),
            mlp_ratio: 4.0,
            downsamples: vec![true; 4],
            hidden_act: Activation::Gelu,
            down_patch_size: square(3),
            down_stride: square(2),
            down_pad: square(1),
            drop_path_rate: 0.0,
            drop_mlp_rate: 0.0,
            drop_conv_encoder_rate: 0.0,
            use_layer_scale: true,
            layer_scale_init_value: 1e-5,
            batch_norm_eps: 1e-5,
            num_labels: 1000,
            id2label: Vec::new(),
            problem_type: None,
            dialect: None,
            normalize_qk: true,
            reading: Reading::HuggingFace,
            extra: Map::new(),
        }
    }
}

impl fmt::Display for Variant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Variant {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|variant| variant.name() == name)
            .ok_or_else(|| format!("`{name}` is not a variant; choose xs, s, l1 or l3"))
    }
}
