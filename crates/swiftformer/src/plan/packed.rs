//! A network folded and packed for one instruction set. Independent of the image size, and shared by all plans.

use std::cell::Cell;

use swiftformer_kernels::{Activation as Kernel, AttentionQueryKey, Depthwise3x3, Kernels, Mlp, PackedMatrix, Pooling};

use super::fold::{Affine, Folder};
use crate::{
    arch::{Act, Arch, Attention, Block, Conv, ConvBlock, ConvNorm, Linear, Tail},
    config::{Activation, Dialect},
    reference,
    weights::state::StateDict,
};

/// A folded and packed network.
#[derive(Debug)]
pub(super) struct PackedModel {
    pub(super) kernels: Kernels,
    pub(super) stem: [PackedConv; 2],
    pub(super) stages: Vec<PackedStage>,
    pub(super) tail: PackedTail,
}

#[derive(Debug)]
pub(super) struct PackedStage {
    pub(super) transition: Option<PackedConv>,
    pub(super) blocks: Vec<PackedBlock>,
}

#[derive(Debug)]
pub(super) enum PackedBlock {
    Conv(Box<PackedConvBlock>),
    Attention(Box<PackedConvBlock>, Box<PackedAttention>),
}

/// A dense convolution with its BatchNorm.
#[derive(Debug)]
pub(super) struct PackedConv {
    pub(super) conv: Conv,
    pub(super) matrix: PackedMatrix,
}

/// Depthwise convolution, then two pointwise layers whose result is added to the block's input.
#[derive(Debug)]
pub(super) struct PackedConvBlock {
    pub(super) depthwise: Depthwise3x3,
    pub(super) mlp: PackedMlp,
}

/// Two pointwise layers and the activation between them.
#[derive(Debug)]
pub(super) struct PackedMlp {
    pub(super) first: PackedMatrix,
    pub(super) activation: PackedActivation,
    pub(super) second: PackedMatrix,
}

/// An activation that a kernel computes, or one with learnt values, computed point by point.
#[derive(Debug)]
pub(super) enum PackedActivation {
    Kernel(Kernel),
    Learnt { function: Activation, values: Vec<f64> },
}

#[derive(Debug)]
pub(super) struct PackedAttention {
    key_query: PackedMatrix,
    token_weights: Vec<f32>,
    normalize: bool,
    pub(super) pooling: Pooling,
    /// `[g ⊙ k | q]` to what is added to the block's input.
    pub(super) output: PackedMatrix,
    pub(super) mlp: PackedMlp,
}

/// A per-channel map `scale · x + shift`.
#[derive(Debug)]
pub(super) struct Channels {
    pub(super) scale: Vec<f32>,
    pub(super) shift: Vec<f32>,
}

#[derive(Debug)]
pub(super) enum PackedTail {
    None,
    Classifier {
        norm: Channels,
        /// Norm and averaged heads in one matrix.
        logits: Option<PackedMatrix>,
        /// Norm and each head.
        heads: Option<Box<[PackedMatrix; 2]>>,
    },
    Features(Vec<Channels>),
}

impl PackedModel {
    pub(super) fn pack(arch: &Arch, state: &StateDict, kernels: Kernels) -> Self {
        let packer =
            Packer { folder: Folder::new(state, arch.config.batch_norm_eps), kernels, state, unreleased: Cell::new(0) };
        let stages = arch.stages.iter().map(|stage| PackedStage {
            transition: stage.transition.as_ref().map(|layer| packer.conv_norm(layer)),
            blocks: stage.blocks.iter().map(|block| packer.block(block)).collect(),
        });
        let stages = stages.collect();
        let stem = [0, 1].map(|index| packer.conv_norm(&arch.stem[index]));
        let tail = packer.tail(&arch.tail);
        state.release_pages();
        Self { kernels, stem, stages, tail }
    }
}

struct Packer<'a> {
    folder: Folder<'a>,
    kernels: Kernels,
    state: &'a StateDict,
    /// Values packed since pages were let go of.
    unreleased: Cell<usize>,
}

/// Pages go back to the system when so many values were packed: 4 MiB of them, a twentieth of a large network.
const RELEASE_AFTER: usize = 1 << 20;

impl Packer<'_> {
    fn matrix(&self, affine: &Affine) -> PackedMatrix {
        self.matrix_for(self.kernels, affine)
    }

    /// A head sees one row only.
    fn head(&self, affine: &Affine) -> PackedMatrix {
        self.matrix_for(self.kernels.for_single_rows(), affine)
    }

    fn matrix_for(&self, kernels: Kernels, affine: &Affine) -> PackedMatrix {
        let inputs = affine.weight.len() / affine.out;
        let matrix = PackedMatrix::pack(kernels, &affine.weight, Some(&affine.bias), inputs, affine.out);
        self.release(affine);
        matrix
    }

    fn conv_norm(&self, layer: &ConvNorm) -> PackedConv {
        let conv = &layer.conv;
        let affine = self.folder.conv_norm(layer);
        let shape = [conv.out_channels, conv.in_channels, conv.kernel[0], conv.kernel[1]];
        let matrix = PackedMatrix::pack_conv2d(self.kernels, &affine.weight, Some(&affine.bias), shape);
        self.release(&affine);
        PackedConv { conv: conv.clone(), matrix }
    }

    /// The packed weights take the place of the file's.
    fn release(&self, packed: &Affine) {
        self.unreleased.set(self.unreleased.get() + packed.weight.len());
        if self.unreleased.get() >= RELEASE_AFTER {
            self.state.release_pages();
            self.unreleased.set(0);
        }
    }

    fn activation(&self, act: &Act) -> PackedActivation {
        let kernel = match act.function {
            Activation::Gelu => Kernel::Gelu,
            Activation::GeluTanh => Kernel::GeluTanh,
            Activation::Gelu10 => Kernel::GeluClipped10,
            Activation::QuickGelu => Kernel::QuickGelu,
            Activation::Relu => Kernel::Relu,
            Activation::Relu2 => Kernel::ReluSquared,
            Activation::Relu6 => Kernel::Relu6,
            Activation::LeakyRelu => Kernel::LeakyRelu,
            Activation::Silu => Kernel::Silu,
            Activation::HardSwish => Kernel::HardSwish,
            Activation::Mish => Kernel::Mish,
            Activation::Sigmoid => Kernel::Sigmoid,
            Activation::Tanh => Kernel::Tanh,
            Activation::SqrtSoftplus => Kernel::SqrtSoftplus,
            Activation::Laplace => Kernel::Laplace,
            Activation::Linear => Kernel::Identity,
            Activation::Prelu | Activation::Xielu => {
                let value = |name| f64::from(self.folder.activation_value(act.module, name));
                let values = act.function.parameters().iter().map(|&(name, _)| value(name)).collect();
                return PackedActivation::Learnt { function: act.function, values };
            }
        };
        PackedActivation::Kernel(kernel)
    }

    fn conv_block(&self, block: &ConvBlock) -> PackedConvBlock {
        let depthwise = self.folder.conv_norm(&block.depthwise);
        PackedConvBlock {
            depthwise: Depthwise3x3::pack(&depthwise.weight, Some(&depthwise.bias), depthwise.out),
            mlp: PackedMlp {
                first: self.matrix(&self.folder.conv(&block.pointwise1)),
                activation: self.activation(&block.activation),
                second: self.matrix(&self.folder.conv_scale(&block.pointwise2, block.scale.as_ref())),
            },
        }
    }

    fn block(&self, block: &Block) -> PackedBlock {
        let block = match block {
            Block::ConvEncoder(block) => return PackedBlock::Conv(Box::new(self.conv_block(block))),
            Block::Attention(block) => block,
        };
        let Attention { dialect, normalize_qk, .. } = block.attention;
        let folded = self.folder.attention(&block.attention, block.scale1.as_ref());
        let fc1 = &block.fc1;
        let attention = PackedAttention {
            key_query: self.matrix(&folded.key_query),
            token_weights: folded.token_weights,
            normalize: normalize_qk,
            pooling: match dialect {
                Dialect::Sum => Pooling::Sum,
                Dialect::L2 => Pooling::L2,
                Dialect::Softmax => Pooling::Softmax,
                Dialect::Raw => Pooling::Raw,
            },
            output: self.matrix(&folded.output),
            mlp: PackedMlp {
                first: self.matrix(&self.folder.norm_linear(&block.norm, fc1.module, fc1.out_channels)),
                activation: self.activation(&block.activation),
                second: self.matrix(&self.folder.conv_scale(&block.fc2, block.scale2.as_ref())),
            },
        };
        PackedBlock::Attention(Box::new(self.conv_block(&block.local)), Box::new(attention))
    }

    fn tail(&self, tail: &Tail) -> PackedTail {
        let channels = |norm| {
            let (scale, shift) = self.folder.norm(norm);
            Channels { scale, shift }
        };
        match tail {
            Tail::None => PackedTail::None,
            Tail::Features(norms) => PackedTail::Features(norms.iter().map(channels).collect()),
            Tail::Classifier { norm, heads } => PackedTail::Classifier {
                norm: channels(norm),
                logits: heads.as_ref().map(|heads| self.head(&self.folder.heads(norm, heads))),
                heads: heads.as_ref().map(|heads| {
                    let pack = |head: &Linear| self.folder.norm_linear(norm, head.module, head.out_features);
                    Box::new([0, 1].map(|head| self.head(&pack(&heads[head]))))
                }),
            },
        }
    }
}

impl PackedAttention {
    /// The first phase's arguments.
    pub(super) fn query_key(&self) -> AttentionQueryKey<'_> {
        AttentionQueryKey {
            matrix: &self.key_query,
            gate: &self.token_weights,
            scale: (self.token_weights.len() as f64).powf(-0.5) as f32,
            normalize: self.normalize,
            pooling: self.pooling,
        }
    }

    pub(super) fn channels(&self) -> usize {
        self.token_weights.len()
    }

    /// Floats of scratch of the attention itself for `tokens` tokens.
    pub(super) fn scratch_len(&self, tokens: usize) -> usize {
        self.key_query.pointwise_scratch_len(tokens).max(self.output.pointwise_scratch_len(tokens))
    }
}

impl PackedTail {
    /// Floats of scratch of the heads.
    pub(super) fn scratch_len(&self) -> usize {
        let Self::Classifier { logits, heads, .. } = self else { return 0 };
        let matrices = logits.iter().chain(heads.iter().flat_map(|heads| heads.iter()));
        matrices.map(|matrix| matrix.pointwise_scratch_len(1)).max().unwrap_or(0)
    }
}

impl PackedMlp {
    /// The kernel's arguments; a learnt activation is left out.
    pub(super) fn kernel(&self) -> Mlp<'_> {
        let activation = match self.activation {
            PackedActivation::Kernel(activation) => activation,
            PackedActivation::Learnt { .. } => Kernel::Identity,
        };
        Mlp { first: &self.first, activation, second: &self.second }
    }

    /// Pieces that threads can share; a learnt activation needs the whole hidden layer.
    pub(super) fn pieces(&self) -> usize {
        if self.activation.is_learnt() { 1 } else { self.kernel().pieces() }
    }

    /// Floats of scratch for `rows` rows.
    pub(super) fn scratch_len(&self, rows: usize) -> usize {
        if self.activation.is_learnt() {
            rows * self.first.outputs() + self.learnt_scratch_len(rows)
        } else {
            self.kernel().scratch_len(rows)
        }
    }

    /// Floats of scratch of each layer by itself.
    pub(super) fn learnt_scratch_len(&self, rows: usize) -> usize {
        self.first.pointwise_scratch_len(rows).max(self.second.pointwise_scratch_len(rows))
    }
}

impl PackedActivation {
    /// Applies a learnt activation; nothing for one that the kernel applies.
    pub(super) fn apply_learnt(&self, hidden: &mut [f32]) {
        if let Self::Learnt { function, values } = self {
            hidden.iter_mut().for_each(|x| *x = reference::activation(*function, values, f64::from(*x)) as f32);
        }
    }

    pub(super) fn is_learnt(&self) -> bool {
        matches!(self, Self::Learnt { .. })
    }
}
