//! The layers, composed of burn's operations. Maps are `[batch, height, width, channels]`.

use std::cell::RefCell;

use burn::tensor::{Tensor, TensorData, module::conv2d, ops::ConvOptions};
use swiftformer::arch::{
    Act, AttentionBlock, Block, Conv, ConvBlock, ConvNorm, Leaf, Linear, Module, Norm, Scale, Tail,
};
use swiftformer_kernels::Precision;

use super::{
    Network, Outputs, ablation::StageAttention, activation::activate, additive::additive, parameters::Value,
    random::Random,
};

/// Statistics of one BatchNorm over a batch.
pub(super) struct Statistics {
    pub(super) module: Module,
    pub(super) mean: Tensor<1>,
    /// Biased.
    pub(super) variance: Tensor<1>,
    pub(super) tokens: usize,
}

/// One forward pass.
pub(super) struct Layers<'a> {
    pub(super) network: &'a Network,
    /// What gradients are recorded for, in train mode.
    leaves: Option<&'a [Option<Tensor<1>>]>,
    random: RefCell<Random>,
    statistics: RefCell<Vec<Statistics>>,
}

impl<'a> Layers<'a> {
    pub(super) fn new(network: &'a Network, train: Option<(&'a [Option<Tensor<1>>], u64)>) -> Self {
        Self {
            network,
            leaves: train.map(|(leaves, _)| leaves),
            random: RefCell::new(Random::new(train.map_or(0, |(_, seed)| seed), network.shard)),
            statistics: RefCell::new(Vec::new()),
        }
    }

    pub(super) fn into_statistics(self) -> Vec<Statistics> {
        self.statistics.into_inner()
    }

    pub(super) fn is_training(&self) -> bool {
        self.leaves.is_some()
    }

    pub(super) fn push_statistics(&self, statistics: Statistics) {
        self.statistics.borrow_mut().push(statistics);
    }

    /// One tensor of the network, flat.
    pub(super) fn tensor(&self, module: Module, leaf: Leaf) -> Tensor<1> {
        let at = self.network.parameters.position(module, leaf);
        if let Some(leaf) = self.leaves.and_then(|leaves| leaves[at].as_ref()) {
            return leaf.clone();
        }
        match &self.network.parameters.list()[at].value {
            Value::Numbers(tensor) if self.is_training() => self.network.taped(tensor.clone()),
            Value::Numbers(tensor) => tensor.clone(),
            Value::Counter(_) => panic!("{leaf:?} of {module:?} is a counter"),
        }
    }

    /// The outputs of all stages.
    pub(super) fn stages(&self, images: Tensor<4>) -> Vec<Tensor<4>> {
        if self.is_training() && self.network.body_is_fixed() {
            // What nothing can change needs no tape, and has its quick kernels with running statistics.
            let fixed = Self::new(self.network, None).stages(images.inner());
            return fixed.into_iter().map(|x| self.network.taped(x)).collect();
        }
        let arch = self.network.arch();
        let mut x = images.permute([0, 2, 3, 1]);
        for layer in &arch.stem {
            x = self.conv_norm(layer, x, true);
        }
        let mut outputs = Vec::new();
        for (index, stage) in arch.stages.iter().enumerate() {
            if let Some(transition) = &stage.transition {
                x = self.conv_norm(transition, x, false);
            }
            for (block, rate) in stage.blocks.iter().zip(&self.network.drop_path[index]) {
                x = match block {
                    Block::ConvEncoder(block) => self.conv_encoder(block, x, *rate),
                    Block::Attention(block) => {
                        let kind = self.network.attention.get(index).copied().unwrap_or(StageAttention::Additive);
                        self.attention_block(block, x, *rate, kind)
                    }
                };
            }
            outputs.push(x.clone());
        }
        outputs
    }

    /// The stages' outputs as callers see them.
    pub(super) fn features(&self, stages: Vec<Tensor<4>>) -> Vec<Tensor<4>> {
        let outputs = stages.into_iter().enumerate().map(|(stage, x)| match &self.network.arch().tail {
            Tail::Features(norms) => match norms.get(stage) {
                Some(norm) => self.norm_map(norm, x),
                None => x,
            },
            _ => x,
        });
        outputs.map(|x| x.permute([0, 3, 1, 2])).collect()
    }

    /// What stands behind the last stage.
    pub(super) fn outputs(&self, mut stages: Vec<Tensor<4>>) -> Outputs {
        let last = stages.pop().unwrap_or_else(|| panic!("a network has stages"));
        drop(stages);
        let (norm, heads) = match &self.network.arch().tail {
            Tail::Classifier { norm, heads } => (Some(norm), heads.as_ref()),
            Tail::Features(norms) => (norms.last(), None),
            Tail::None => (None, None),
        };
        let last = match norm {
            Some(norm) => self.norm_map(norm, last),
            None => last,
        };
        let [batch, height, width, channels] = last.dims();
        let pooled = last.reshape([batch, height * width, channels]).mean_dim(1).reshape([batch, channels]);
        match heads {
            Some([head, dist_head]) => {
                Outputs { head: self.head(head, pooled.clone()), dist_head: Some(self.head(dist_head, pooled)) }
            }
            None => Outputs { head: pooled, dist_head: None },
        }
    }

    /// Convolution, BatchNorm and, in the stem, ReLU.
    fn conv_norm(&self, layer: &ConvNorm, x: Tensor<4>, relu: bool) -> Tensor<4> {
        if let Some(fused) = self.fused_conv_norm(layer, &x, relu) {
            return fused;
        }
        let x = self.norm_map(&layer.norm, self.conv(&layer.conv, x));
        if relu { burn::tensor::activation::relu(x) } else { x }
    }

    /// Any convolution.
    fn conv(&self, conv: &Conv, x: Tensor<4>) -> Tensor<4> {
        let [height, width] = conv.kernel;
        let weight = self.tensor(conv.module, Leaf::Weight);
        let weight = weight.reshape([conv.out_channels, conv.in_channels / conv.groups, height, width]);
        let padding = conv.padding.map(|side| (side, side));
        let options = ConvOptions { stride: conv.stride, padding, dilation: [1, 1], groups: conv.groups };
        let bias = self.tensor(conv.module, Leaf::Bias);
        let (in_f32, x) = (self.network.precision == Precision::F32, x.permute([0, 3, 1, 2]));
        let product = |x, weight| conv2d(x, weight, in_f32.then(|| bias.clone()), options);
        let y = self.in_precision(x, weight, product).permute([0, 2, 3, 1]);
        if in_f32 { y } else { y + bias.reshape([1, 1, 1, conv.out_channels]) }
    }

    /// A 1×1 convolution on tokens.
    fn pointwise(&self, conv: &Conv, x: Tensor<2>) -> Tensor<2> {
        self.product(conv.module, [conv.out_channels, conv.in_channels], x)
    }

    /// A linear layer on tokens.
    pub(super) fn linear(&self, linear: &Linear, x: Tensor<2>) -> Tensor<2> {
        self.product(linear.module, [linear.out_features, linear.in_features], x)
    }

    fn product(&self, module: Module, size: [usize; 2], x: Tensor<2>) -> Tensor<2> {
        let [weight, bias] = self.linear_tensors(module, size);
        self.in_precision(x, weight, |x, weight| x.matmul(weight.transpose())) + bias
    }

    /// A classifier, whose logits want all digits.
    fn head(&self, linear: &Linear, x: Tensor<2>) -> Tensor<2> {
        let [weight, bias] = self.linear_tensors(linear.module, [linear.out_features, linear.in_features]);
        x.matmul(weight.transpose()) + bias
    }

    /// Weight `[outputs, inputs]` and bias `[1, outputs]`.
    fn linear_tensors(&self, module: Module, [outputs, inputs]: [usize; 2]) -> [Tensor<2>; 2] {
        [
            self.tensor(module, Leaf::Weight).reshape([outputs, inputs]),
            self.tensor(module, Leaf::Bias).reshape([1, outputs]),
        ]
    }

    /// BatchNorm over tokens.
    fn norm(&self, norm: &Norm, x: Tensor<2>) -> Tensor<2> {
        if let Some(synchronised) = self.synchronised_norm(norm, &x) {
            return synchronised;
        }
        let channels = norm.channels;
        let eps = self.network.arch().config.batch_norm_eps;
        let row = |leaf| self.tensor(norm.module, leaf).reshape([1, channels]);
        let (mean, variance) = if self.is_training() && !self.network.frozen_statistics {
            let tokens = x.dims()[0];
            let mean = x.clone().mean_dim(0);
            let centred = x.clone() - mean.clone();
            let variance = (centred.clone() * centred).mean_dim(0);
            self.push_statistics(Statistics {
                module: norm.module,
                mean: mean.clone().inner().reshape([channels]),
                variance: variance.clone().inner().reshape([channels]),
                tokens,
            });
            (mean, variance)
        } else {
            (row(Leaf::RunningMean), row(Leaf::RunningVar))
        };
        let scale = row(Leaf::Weight) / (variance + eps).sqrt();
        (x - mean) * scale + row(Leaf::Bias)
    }

    fn norm_map(&self, norm: &Norm, x: Tensor<4>) -> Tensor<4> {
        let shape = x.dims();
        self.norm(norm, tokens(x)).reshape(shape)
    }

    fn act(&self, act: &Act, x: Tensor<2>) -> Tensor<2> {
        let values = act.function.parameters().iter();
        let learnt: Vec<Tensor<1>> = values.map(|&(name, _)| self.tensor(act.module, Leaf::Activation(name))).collect();
        activate(act.function, &learnt, x)
    }

    fn scale(&self, scale: Option<&Scale>, x: Tensor<2>) -> Tensor<2> {
        match scale {
            Some(scale) => x * self.tensor(scale.module, Leaf::Value).reshape([1, scale.channels]),
            None => x,
        }
    }

    /// Zeroes values at `rate` and scales the others up, in train mode.
    fn dropout(&self, x: Tensor<2>, rate: f64) -> Tensor<2> {
        if !self.is_training() || rate <= 0.0 {
            return x;
        }
        let [rows, width] = x.dims();
        let mask = self.random.borrow_mut().keep_values(rows * width, rate);
        x * self.constant(mask, [rows, width])
    }

    /// Stochastic depth's factor of each image, in train mode.
    pub(super) fn drop_path(&self, batch: usize, rate: f64) -> Option<Vec<f32>> {
        (self.is_training() && rate > 0.0).then(|| self.random.borrow_mut().keep_images(batch, rate))
    }

    fn constant<const D: usize>(&self, values: Vec<f32>, shape: [usize; D]) -> Tensor<D> {
        self.network.taped(Tensor::from_data(TensorData::new(values, shape), &self.network.device))
    }

    /// `x + scale · branch · factor of the image`.
    fn residual(&self, x: Tensor<4>, branch: Tensor<2>, scale: Option<&Scale>, factors: Option<Vec<f32>>) -> Tensor<4> {
        let shape = x.dims();
        let mut branch = self.scale(scale, branch).reshape(shape);
        if let Some(factors) = factors {
            branch = branch * self.constant(factors, [shape[0], 1, 1, 1]);
        }
        x + branch
    }

    /// ConvEncoder: transformers drops single values of its branch, timm whole branches.
    fn conv_encoder(&self, block: &ConvBlock, x: Tensor<4>, drop_path: f64) -> Tensor<4> {
        let dropout = self.network.arch().config.drop_conv_encoder_rate;
        self.conv_block(block, x, drop_path, dropout)
    }

    fn conv_block(&self, block: &ConvBlock, x: Tensor<4>, drop_path: f64, dropout: f64) -> Tensor<4> {
        let factors = self.drop_path(x.dims()[0], drop_path);
        if dropout <= 0.0
            && let Some(fused) = self.fused_conv_block(block, &x, factors.as_deref())
        {
            return fused;
        }
        let y = self.norm(&block.depthwise.norm, tokens(self.conv(&block.depthwise.conv, x.clone())));
        let y = self.act(&block.activation, self.pointwise(&block.pointwise1, y));
        let y = self.pointwise(&block.pointwise2, y);
        if dropout > 0.0 && self.is_training() {
            let y = self.scale(block.scale.as_ref(), y);
            return self.residual(x, self.dropout(y, dropout), None, factors);
        }
        self.residual(x, y, block.scale.as_ref(), factors)
    }

    fn attention_block(&self, block: &AttentionBlock, x: Tensor<4>, drop_path: f64, kind: StageAttention) -> Tensor<4> {
        let x = self.conv_block(&block.local, x, 0.0, 0.0);
        let batch = x.dims()[0];
        let factors = self.drop_path(batch, drop_path);
        let own = kind == StageAttention::Additive;
        let fused = own.then(|| self.fused_attention(block, &x, factors.as_deref())).flatten();
        let x = match fused {
            Some(fused) => fused,
            None => {
                let y = match kind {
                    StageAttention::Additive => additive(self, &block.attention, x.clone()),
                    other => other.forward(self, &block.attention, x.clone()),
                };
                self.residual(x, y, block.scale1.as_ref(), factors)
            }
        };
        let factors = self.drop_path(batch, drop_path);
        let dropout = self.network.arch().config.drop_mlp_rate;
        if dropout <= 0.0
            && let Some(fused) = self.fused_mlp(block, &x, factors.as_deref())
        {
            return fused;
        }
        let y = self.pointwise(&block.fc1, self.norm(&block.norm, tokens(x.clone())));
        let y = self.dropout(self.act(&block.activation, y), dropout);
        let y = self.dropout(self.pointwise(&block.fc2, y), dropout);
        self.residual(x, y, block.scale2.as_ref(), factors)
    }
}

/// `[batch · height · width, channels]`.
pub(super) fn tokens(x: Tensor<4>) -> Tensor<2> {
    let [batch, height, width, channels] = x.dims();
    x.reshape([batch * height * width, channels])
}
