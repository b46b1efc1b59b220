//! Every parameter and buffer of the network, with its place and shape.

use super::{Act, Arch, Block, Conv, ConvBlock, ConvNorm, Linear, Norm, Scale, Tail};

/// A layer's place in the network. Layouts give it its name (see `weights::names`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Module {
    /// Convolution 0 or 1 of the stem.
    StemConv {
        /// 0 or 1.
        index: usize,
    },
    /// BatchNorm 0 or 1 of the stem.
    StemNorm {
        /// 0 or 1.
        index: usize,
    },
    /// Strided convolution before a stage.
    TransitionConv {
        /// The stage behind it.
        stage: usize,
    },
    /// BatchNorm before a stage.
    TransitionNorm {
        /// The stage behind it.
        stage: usize,
    },
    /// A layer of a block.
    Block {
        /// Stage, from 0.
        stage: usize,
        /// Block of the stage, from 0.
        block: usize,
        /// Layer of the block.
        part: Part,
    },
    /// BatchNorm before the heads.
    Norm,
    /// Class head.
    Head,
    /// Distillation head.
    DistHead,
    /// BatchNorm of a stage's output (`fork_feat`).
    FeatureNorm {
        /// The stage before it.
        stage: usize,
    },
}

/// A layer of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[expect(missing_docs, reason = "each is the layer of `ConvBlock` or `AttentionBlock` that its name says")]
pub enum Part {
    LayerScale,
    Depthwise,
    Norm,
    Pointwise1,
    Act,
    Pointwise2,
    LayerScale1,
    LayerScale2,
    LocalLayerScale,
    LocalDepthwise,
    LocalNorm,
    LocalPointwise1,
    LocalAct,
    LocalPointwise2,
    TokenWeights,
    Query,
    Key,
    Proj,
    Last,
    MlpNorm,
    Fc1,
    MlpAct,
    Fc2,
}

/// Which tensor of a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Leaf {
    /// `weight`.
    Weight,
    /// `bias`.
    Bias,
    /// BatchNorm's `running_mean`.
    RunningMean,
    /// BatchNorm's `running_var`.
    RunningVar,
    /// BatchNorm's `num_batches_tracked`.
    NumBatchesTracked,
    /// The tensor is the layer: layer scales and `w_g`.
    Value,
    /// A learnt value of an activation, by its name in transformers.
    Activation(&'static str),
}

/// What a tensor is, for conversions between layouts and for training.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ParamKind {
    /// `[out, in, height, width]`.
    ConvWeight,
    /// `[channels, 1, 3, 3]`.
    DepthwiseWeight,
    /// `[out, in]`.
    LinearWeight,
    /// `[out]` of a convolution or linear layer.
    Bias,
    /// BatchNorm's γ.
    NormWeight,
    /// BatchNorm's β.
    NormBias,
    /// Running mean; a buffer.
    RunningMean,
    /// Running variance; a buffer.
    RunningVar,
    /// A counter; a buffer, `i64`, without influence on the outputs.
    NumBatchesTracked,
    /// `[channels, 1, 1]`.
    LayerScale,
    /// `w_g`, `[dim, 1]`.
    TokenWeights,
    /// A learnt value of an activation.
    ActivationValue,
}

impl ParamKind {
    /// Whether training changes it by gradients.
    pub fn is_trainable(self) -> bool {
        !matches!(self, Self::RunningMean | Self::RunningVar | Self::NumBatchesTracked)
    }
}

/// One tensor of the state dict, in PyTorch's shape.
#[derive(Clone, Debug, PartialEq)]
pub struct Param {
    /// Layer.
    pub module: Module,
    /// Tensor of the layer.
    pub leaf: Leaf,
    /// What it is.
    pub kind: ParamKind,
    /// Its shape in PyTorch.
    pub shape: Vec<usize>,
}

impl Param {
    /// Number of values.
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Whether it holds no values; a scalar holds one.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Arch {
    /// Every parameter and buffer, in the order of transformers' state dict.
    pub fn params(&self) -> Vec<Param> {
        let mut list = List(Vec::new());
        for layer in &self.stem {
            list.conv_norm(layer);
        }
        for stage in &self.stages {
            if let Some(transition) = &stage.transition {
                list.conv_norm(transition);
            }
            for block in &stage.blocks {
                match block {
                    Block::ConvEncoder(conv) => list.conv_block(conv),
                    Block::Attention(block) => {
                        list.scale(block.scale1.as_ref());
                        list.scale(block.scale2.as_ref());
                        list.conv_block(&block.local);
                        let attention = &block.attention;
                        let dim = attention.query.out_features;
                        list.push(attention.token_weights, Leaf::Value, ParamKind::TokenWeights, &[dim, 1]);
                        for linear in [&attention.query, &attention.key, &attention.proj, &attention.last] {
                            list.linear(linear);
                        }
                        list.norm(&block.norm);
                        list.conv(&block.fc1);
                        list.act(&block.activation);
                        list.conv(&block.fc2);
                    }
                }
            }
        }
        match &self.tail {
            Tail::None => {}
            Tail::Classifier { norm, heads } => {
                list.norm(norm);
                heads.iter().flatten().for_each(|head| list.linear(head));
            }
            Tail::Features(norms) => norms.iter().for_each(|norm| list.norm(norm)),
        }
        list.0
    }

    /// Number of trainable values.
    pub fn parameters(&self) -> usize {
        self.params().iter().filter(|param| param.kind.is_trainable()).map(Param::len).sum()
    }
}

struct List(Vec<Param>);

impl List {
    fn push(&mut self, module: Module, leaf: Leaf, kind: ParamKind, shape: &[usize]) {
        self.0.push(Param { module, leaf, kind, shape: shape.to_vec() });
    }

    fn conv(&mut self, conv: &Conv) {
        let [height, width] = conv.kernel;
        let kind = if conv.groups == 1 { ParamKind::ConvWeight } else { ParamKind::DepthwiseWeight };
        let shape = [conv.out_channels, conv.in_channels / conv.groups, height, width];
        self.push(conv.module, Leaf::Weight, kind, &shape);
        self.push(conv.module, Leaf::Bias, ParamKind::Bias, &[conv.out_channels]);
    }

    fn linear(&mut self, linear: &Linear) {
        self.push(linear.module, Leaf::Weight, ParamKind::LinearWeight, &[linear.out_features, linear.in_features]);
        self.push(linear.module, Leaf::Bias, ParamKind::Bias, &[linear.out_features]);
    }

    fn norm(&mut self, norm: &Norm) {
        let shape = [norm.channels];
        self.push(norm.module, Leaf::Weight, ParamKind::NormWeight, &shape);
        self.push(norm.module, Leaf::Bias, ParamKind::NormBias, &shape);
        self.push(norm.module, Leaf::RunningMean, ParamKind::RunningMean, &shape);
        self.push(norm.module, Leaf::RunningVar, ParamKind::RunningVar, &shape);
        self.push(norm.module, Leaf::NumBatchesTracked, ParamKind::NumBatchesTracked, &[]);
    }

    fn conv_norm(&mut self, layer: &ConvNorm) {
        self.conv(&layer.conv);
        self.norm(&layer.norm);
    }

    fn scale(&mut self, scale: Option<&Scale>) {
        if let Some(scale) = scale {
            self.push(scale.module, Leaf::Value, ParamKind::LayerScale, &[scale.channels, 1, 1]);
        }
    }

    fn act(&mut self, act: &Act) {
        for &(name, shape) in act.function.parameters() {
            self.push(act.module, Leaf::Activation(name), ParamKind::ActivationValue, shape);
        }
    }

    fn conv_block(&mut self, block: &ConvBlock) {
        self.scale(block.scale.as_ref());
        self.conv_norm(&block.depthwise);
        self.conv(&block.pointwise1);
        self.act(&block.activation);
        self.conv(&block.pointwise2);
    }
}
