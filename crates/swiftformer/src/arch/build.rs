//! From config to description.

use super::{
    Act, Arch, Attention, AttentionBlock, Block, Conv, ConvBlock, ConvNorm, Linear, Module, Norm, Param, Part, Scale,
    Stage, Tail, TailKind,
};
use crate::config::{ConfigError, SwiftFormerConfig};

/// The most values of all tensors together: 40 times the largest published network's, 4 GiB of `f32`.
const MAX_VALUES: u64 = 1 << 30;

impl Arch {
    /// Describes the network of a config.
    ///
    /// # Errors
    /// When the config breaks a rule, or the network would have more than 2³⁰ values.
    pub fn build(config: &SwiftFormerConfig, tail: TailKind) -> Result<Self, ConfigError> {
        config.validate()?;
        let first = config.embed_dims[0];
        let stem = [stem_conv(0, config.num_channels, first / 2), stem_conv(1, first / 2, first)];
        let stages = (0..config.stages()).map(|stage| build_stage(config, stage)).collect();
        let last = config.embed_dims[config.stages() - 1];
        let tail = match tail {
            TailKind::None => Tail::None,
            TailKind::Classifier => Tail::Classifier {
                norm: Norm { module: Module::Norm, channels: last },
                heads: (config.num_labels > 0).then(|| {
                    [Module::Head, Module::DistHead].map(|module| Linear {
                        module,
                        in_features: last,
                        out_features: config.num_labels,
                    })
                }),
            },
            TailKind::Features => Tail::Features(
                (0..config.stages())
                    .map(|stage| Norm { module: Module::FeatureNorm { stage }, channels: config.embed_dims[stage] })
                    .collect(),
            ),
        };
        let arch = Self { config: config.clone(), stem, stages, tail };
        let values = |param: &Param| param.shape.iter().fold(1u64, |count, &side| count.saturating_mul(side as u64));
        let values = arch.params().iter().map(values).fold(0, u64::saturating_add);
        if values > MAX_VALUES {
            let rule =
                format!("with these depths the network has {values} values, more than the limit of {MAX_VALUES}");
            return Err(ConfigError::rule("embed_dims", format!("{:?}", config.embed_dims), rule));
        }
        Ok(arch)
    }

    /// The kind of tail.
    pub fn tail_kind(&self) -> TailKind {
        match self.tail {
            Tail::None => TailKind::None,
            Tail::Classifier { .. } => TailKind::Classifier,
            Tail::Features(_) => TailKind::Features,
        }
    }
}

fn stem_conv(index: usize, in_channels: usize, out_channels: usize) -> ConvNorm {
    ConvNorm {
        conv: Conv {
            module: Module::StemConv { index },
            in_channels,
            out_channels,
            kernel: [3, 3],
            stride: [2, 2],
            padding: [1, 1],
            groups: 1,
        },
        norm: Norm { module: Module::StemNorm { index }, channels: out_channels },
    }
}

fn build_stage(config: &SwiftFormerConfig, stage: usize) -> Stage {
    let dim = config.embed_dims[stage];
    let transition = config.has_transition_before(stage).then(|| ConvNorm {
        conv: Conv {
            module: Module::TransitionConv { stage },
            in_channels: config.embed_dims[stage.saturating_sub(1)],
            out_channels: dim,
            kernel: config.down_patch_size,
            stride: config.down_stride,
            padding: config.down_pad,
            groups: 1,
        },
        norm: Norm { module: Module::TransitionNorm { stage }, channels: dim },
    });
    let depth = config.depths[stage];
    let blocks = (0..depth)
        .map(|block| {
            let place = Place { config, stage, block, dim };
            if block + 1 == depth {
                place.attention_block()
            } else {
                Block::ConvEncoder(Box::new(place.conv_encoder()))
            }
        })
        .collect();
    Stage { dim, transition, blocks }
}

/// A block under construction.
struct Place<'a> {
    config: &'a SwiftFormerConfig,
    stage: usize,
    block: usize,
    dim: usize,
}

impl Place<'_> {
    fn module(&self, part: Part) -> Module {
        Module::Block { stage: self.stage, block: self.block, part }
    }

    fn pointwise(&self, part: Part, in_channels: usize, out_channels: usize) -> Conv {
        Conv {
            module: self.module(part),
            in_channels,
            out_channels,
            kernel: [1, 1],
            stride: [1, 1],
            padding: [0, 0],
            groups: 1,
        }
    }

    fn norm(&self, part: Part) -> Norm {
        Norm { module: self.module(part), channels: self.dim }
    }

    fn linear(&self, part: Part) -> Linear {
        Linear { module: self.module(part), in_features: self.dim, out_features: self.dim }
    }

    fn scale(&self, part: Part, present: bool) -> Option<Scale> {
        present.then(|| Scale { module: self.module(part), channels: self.dim })
    }

    fn conv_encoder(&self) -> ConvBlock {
        let parts = [Part::Depthwise, Part::Norm, Part::Pointwise1, Part::Act, Part::Pointwise2, Part::LayerScale];
        self.conv_block(parts, self.config.hidden_dim(self.dim))
    }

    fn local_representation(&self) -> ConvBlock {
        let parts = [
            Part::LocalDepthwise,
            Part::LocalNorm,
            Part::LocalPointwise1,
            Part::LocalAct,
            Part::LocalPointwise2,
            Part::LocalLayerScale,
        ];
        self.conv_block(parts, self.dim)
    }

    fn conv_block(&self, parts: [Part; 6], hidden: usize) -> ConvBlock {
        let [depthwise, norm, pointwise1, act, pointwise2, scale] = parts;
        ConvBlock {
            depthwise: ConvNorm {
                conv: Conv {
                    module: self.module(depthwise),
                    in_channels: self.dim,
                    out_channels: self.dim,
                    kernel: [3, 3],
                    stride: [1, 1],
                    padding: [1, 1],
                    groups: self.dim,
                },
                norm: self.norm(norm),
            },
            pointwise1: self.pointwise(pointwise1, self.dim, hidden),
            activation: Act { module: self.module(act), function: self.config.conv_act() },
            pointwise2: self.pointwise(pointwise2, hidden, self.dim),
            scale: self.scale(scale, self.config.has_conv_layer_scale()),
        }
    }

    fn attention_block(&self) -> Block {
        let hidden = self.config.hidden_dim(self.dim);
        Block::Attention(Box::new(AttentionBlock {
            local: self.local_representation(),
            attention: Attention {
                query: self.linear(Part::Query),
                key: self.linear(Part::Key),
                token_weights: self.module(Part::TokenWeights),
                proj: self.linear(Part::Proj),
                last: self.linear(Part::Last),
                dialect: self.config.effective_dialect(),
                normalize_qk: self.config.normalize_qk,
            },
            scale1: self.scale(Part::LayerScale1, self.config.use_layer_scale),
            norm: self.norm(Part::MlpNorm),
            fc1: self.pointwise(Part::Fc1, self.dim, hidden),
            activation: Act { module: self.module(Part::MlpAct), function: self.config.hidden_act },
            fc2: self.pointwise(Part::Fc2, hidden, self.dim),
            scale2: self.scale(Part::LayerScale2, self.config.use_layer_scale),
        }))
    }
}
