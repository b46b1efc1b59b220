//! The architecture, written once: a config becomes a typed description of every layer.
//!
//! Parameter tables, name maps, operation counts, the compiled plan and the exporters all walk this description.

mod build;
mod geometry;
mod params;

#[cfg(test)]
mod tests;

pub use self::{
    geometry::{GeometryError, StageGeometry},
    params::{Leaf, Module, Param, ParamKind, Part},
};
use crate::config::{Activation, Dialect, SwiftFormerConfig};

/// A SwiftFormer: stem, stages, and what stands behind them.
#[derive(Clone, Debug, PartialEq)]
pub struct Arch {
    /// The config that this was built from.
    pub config: SwiftFormerConfig,
    /// Two 3×3 convolutions of stride 2, each with BatchNorm and ReLU.
    pub stem: [ConvNorm; 2],
    /// The stages, first to last.
    pub stages: Vec<Stage>,
    /// What follows the last stage.
    pub tail: Tail,
}

/// What stands behind the stages.
#[derive(Clone, Debug, PartialEq)]
pub enum Tail {
    /// Nothing: a backbone that gives its hidden states (transformers' `SwiftFormerModel`, timm's `features_only`).
    None,
    /// BatchNorm, global mean and two linear heads whose outputs are averaged.
    Classifier {
        /// BatchNorm before the mean.
        norm: Norm,
        /// `head` and `dist_head`; `None` when there are no labels, and the pooled features are the output.
        heads: Option<[Linear; 2]>,
    },
    /// One BatchNorm for each stage's output (the original code's `fork_feat`).
    Features(Vec<Norm>),
}

/// What to build behind the stages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TailKind {
    /// See [`Tail::None`].
    None,
    /// See [`Tail::Classifier`].
    Classifier,
    /// See [`Tail::Features`].
    Features,
}

/// A convolution with bias.
#[derive(Clone, Debug, PartialEq)]
pub struct Conv {
    /// Which layer it is.
    pub module: Module,
    /// Channels in.
    pub in_channels: usize,
    /// Channels out.
    pub out_channels: usize,
    /// Kernel `[height, width]`.
    pub kernel: [usize; 2],
    /// Stride `[y, x]`.
    pub stride: [usize; 2],
    /// Zero padding `[y, x]` on each side.
    pub padding: [usize; 2],
    /// 1, or `in_channels` for a depthwise convolution.
    pub groups: usize,
}

/// A BatchNorm over channels.
#[derive(Clone, Debug, PartialEq)]
pub struct Norm {
    /// Which layer it is.
    pub module: Module,
    /// Number of channels.
    pub channels: usize,
}

/// A fully connected layer with bias, on the channels of each token.
#[derive(Clone, Debug, PartialEq)]
pub struct Linear {
    /// Which layer it is.
    pub module: Module,
    /// Channels in.
    pub in_features: usize,
    /// Channels out.
    pub out_features: usize,
}

/// A convolution and the BatchNorm behind it.
#[derive(Clone, Debug, PartialEq)]
pub struct ConvNorm {
    /// The convolution.
    pub conv: Conv,
    /// The BatchNorm.
    pub norm: Norm,
}

/// One stage: an optional transition and its blocks.
#[derive(Clone, Debug, PartialEq)]
pub struct Stage {
    /// Channels.
    pub dim: usize,
    /// Strided convolution and BatchNorm before the blocks.
    pub transition: Option<ConvNorm>,
    /// ConvEncoders, then one attention block.
    pub blocks: Vec<Block>,
}

/// A block of a stage.
#[derive(Clone, Debug, PartialEq)]
pub enum Block {
    /// `x + s · pw2(act(pw1(BN(dw(x)))))`.
    ConvEncoder(Box<ConvBlock>),
    /// SwiftFormerEncoder: local representation, efficient additive attention, MLP.
    Attention(Box<AttentionBlock>),
}

/// ConvEncoder or local representation: depthwise 3×3, BatchNorm, two pointwise convolutions, scale, residual.
#[derive(Clone, Debug, PartialEq)]
pub struct ConvBlock {
    /// Depthwise 3×3 and its BatchNorm.
    pub depthwise: ConvNorm,
    /// 1×1 to the hidden width.
    pub pointwise1: Conv,
    /// Between the pointwise convolutions.
    pub activation: Act,
    /// 1×1 back to the stage's width.
    pub pointwise2: Conv,
    /// Scale of the branch, one value a channel.
    pub scale: Option<Scale>,
}

/// SwiftFormerEncoder (figure 3 of the paper).
#[derive(Clone, Debug, PartialEq)]
pub struct AttentionBlock {
    /// `x ← x + s · pw2(act(pw1(BN(dw(x)))))`.
    pub local: ConvBlock,
    /// Efficient additive attention.
    pub attention: Attention,
    /// Scale of the attention branch.
    pub scale1: Option<Scale>,
    /// BatchNorm before the MLP.
    pub norm: Norm,
    /// 1×1 to the hidden width.
    pub fc1: Conv,
    /// Between the two.
    pub activation: Act,
    /// 1×1 back to the stage's width.
    pub fc2: Conv,
    /// Scale of the MLP branch.
    pub scale2: Option<Scale>,
}

/// Efficient additive attention on tokens `[N, dim]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Attention {
    /// Wq.
    pub query: Linear,
    /// Wk.
    pub key: Linear,
    /// `w_g`, `[dim, 1]`.
    pub token_weights: Module,
    /// Applied to `g ⊙ k`.
    pub proj: Linear,
    /// Applied to `proj(g ⊙ k) + q`.
    pub last: Linear,
    /// How token weights are pooled.
    pub dialect: Dialect,
    /// Whether q and k are L2-normalised over the channels.
    pub normalize_qk: bool,
}

/// A learnt scale, one value a channel.
#[derive(Clone, Debug, PartialEq)]
pub struct Scale {
    /// Which one it is.
    pub module: Module,
    /// Number of channels.
    pub channels: usize,
}

/// An activation and where its learnt values, if it has any, live.
#[derive(Clone, Debug, PartialEq)]
pub struct Act {
    /// Which layer it is.
    pub module: Module,
    /// The function.
    pub function: Activation,
}
