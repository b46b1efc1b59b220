//! Whole blocks on the project's own kernels, where the device is the CPU.

use std::sync::{Arc, PoisonError};

use burn::tensor::Tensor;
use swiftformer::{
    arch::{AttentionBlock, Conv, ConvBlock, ConvNorm, Leaf, Linear, Norm, Scale},
    config::{Activation, Dialect},
};
use swiftformer_kernels::{Pooling, train::ChannelStatistics};

use super::{
    layers::{Layers, Statistics},
    parameters::to_device,
    to_host,
};
use crate::ops::{
    self, AttentionOperation, BlockOperation, BlockParameters, ConvNormOperation, NormOperation, Operation,
    SharedEngine, StatisticsCell,
};

impl Layers<'_> {
    /// The engine for what holds a BatchNorm: its backward pass is that of batch statistics.
    fn norm_engine(&self) -> Option<&SharedEngine> {
        let fixed = self.is_training() && self.network.frozen_statistics;
        self.network.engine.as_ref().filter(|_| !fixed)
    }

    pub(super) fn fused_conv_norm(&self, layer: &ConvNorm, x: &Tensor<4>, relu: bool) -> Option<Tensor<4>> {
        let engine = self.norm_engine()?;
        let conv = &layer.conv;
        let mut parameters = self.conv_parameters(conv);
        parameters.extend([Leaf::Weight, Leaf::Bias].map(|leaf| self.tensor(layer.norm.module, leaf)));
        let statistics = StatisticsCell::default();
        let operation = ConvNormOperation {
            engine: Arc::clone(engine),
            checkpointing: self.network.checkpointing,
            size: x.dims(),
            outputs: conv.out_channels,
            kernel: conv.kernel,
            stride: conv.stride,
            padding: conv.padding,
            eps: self.network.arch().config.batch_norm_eps as f32,
            relu,
            given: self.given_statistics(&layer.norm),
            statistics: Arc::clone(&statistics),
        };
        Some(self.run_fused(Arc::new(operation), x, &layer.norm, parameters, &statistics))
    }

    pub(super) fn fused_attention(
        &self,
        block: &AttentionBlock,
        x: &Tensor<4>,
        factors: Option<&[f32]>,
    ) -> Option<Tensor<4>> {
        let engine = self.network.engine.as_ref()?;
        let attention = &block.attention;
        let linear = |linear: &Linear| [Leaf::Weight, Leaf::Bias].map(|leaf| self.tensor(linear.module, leaf));
        let mut parameters: Vec<Tensor<1>> = [&attention.query, &attention.key].into_iter().flat_map(linear).collect();
        parameters.push(self.tensor(attention.token_weights, Leaf::Value));
        parameters.extend([&attention.proj, &attention.last].into_iter().flat_map(linear));
        parameters.extend(block.scale1.as_ref().map(|scale| self.tensor(scale.module, Leaf::Value)));
        let operation = AttentionOperation {
            engine: Arc::clone(engine),
            checkpointing: self.network.checkpointing,
            size: x.dims(),
            pooling: match attention.dialect {
                Dialect::Sum => Pooling::Sum,
                Dialect::L2 => Pooling::L2,
                Dialect::Softmax => Pooling::Softmax,
                Dialect::Raw => Pooling::Raw,
            },
            normalize: attention.normalize_qk,
            scale: block.scale1.is_some(),
            factors: factors.map(<[f32]>::to_vec),
        };
        Some(ops::run(Arc::new(operation), x.clone(), parameters))
    }

    pub(super) fn fused_conv_block(
        &self,
        block: &ConvBlock,
        x: &Tensor<4>,
        factors: Option<&[f32]>,
    ) -> Option<Tensor<4>> {
        let engine = self.norm_engine().filter(|_| block.activation.function == Activation::Gelu)?;
        let ConvBlock { depthwise, pointwise1, pointwise2, scale, .. } = block;
        let mut parameters = self.conv_parameters(&depthwise.conv);
        self.push_hidden(&mut parameters, &depthwise.norm, [pointwise1, pointwise2], scale.as_ref());
        Some(self.run_block(engine, x, &depthwise.norm, factors, parameters, (true, scale.is_some())))
    }

    pub(super) fn fused_mlp(
        &self,
        block: &AttentionBlock,
        x: &Tensor<4>,
        factors: Option<&[f32]>,
    ) -> Option<Tensor<4>> {
        let engine = self.norm_engine().filter(|_| block.activation.function == Activation::Gelu)?;
        let mut parameters = Vec::new();
        self.push_hidden(&mut parameters, &block.norm, [&block.fc1, &block.fc2], block.scale2.as_ref());
        Some(self.run_block(engine, x, &block.norm, factors, parameters, (false, block.scale2.is_some())))
    }

    fn conv_parameters(&self, conv: &Conv) -> Vec<Tensor<1>> {
        vec![self.tensor(conv.module, Leaf::Weight), self.tensor(conv.module, Leaf::Bias)]
    }

    fn push_hidden(&self, list: &mut Vec<Tensor<1>>, norm: &Norm, layers: [&Conv; 2], scale: Option<&Scale>) {
        list.extend([self.tensor(norm.module, Leaf::Weight), self.tensor(norm.module, Leaf::Bias)]);
        list.extend(layers.into_iter().flat_map(|conv| self.conv_parameters(conv)));
        list.extend(scale.map(|scale| self.tensor(scale.module, Leaf::Value)));
    }

    fn run_block(
        &self,
        engine: &SharedEngine,
        x: &Tensor<4>,
        norm: &Norm,
        factors: Option<&[f32]>,
        parameters: Vec<Tensor<1>>,
        (depthwise, scale): (bool, bool),
    ) -> Tensor<4> {
        let statistics = StatisticsCell::default();
        let operation = BlockOperation {
            engine: Arc::clone(engine),
            checkpointing: self.network.checkpointing,
            size: x.dims(),
            parameters: BlockParameters { depthwise, scale },
            eps: self.network.arch().config.batch_norm_eps as f32,
            factors: factors.map(<[f32]>::to_vec),
            given: self.given_statistics(norm),
            statistics: Arc::clone(&statistics),
        };
        self.run_fused(Arc::new(operation), x, norm, parameters, &statistics)
    }

    /// The running statistics, in eval mode.
    fn given_statistics(&self, norm: &Norm) -> Option<ChannelStatistics> {
        let values = |leaf| to_host(self.tensor(norm.module, leaf));
        (!self.is_training())
            .then(|| ChannelStatistics { mean: values(Leaf::RunningMean), variance: values(Leaf::RunningVar) })
    }

    fn run_fused(
        &self,
        operation: Arc<dyn Operation>,
        x: &Tensor<4>,
        norm: &Norm,
        parameters: Vec<Tensor<1>>,
        statistics: &StatisticsCell,
    ) -> Tensor<4> {
        let output = ops::run(operation, x.clone(), parameters);
        let [batch, height, width, _] = output.dims();
        self.keep_statistics(norm, batch * height * width, statistics);
        output
    }

    /// BatchNorm over the tokens of all processes, where that is wanted.
    pub(super) fn synchronised_norm(&self, norm: &Norm, x: &Tensor<2>) -> Option<Tensor<2>> {
        let batch_statistics = self.is_training() && !self.network.frozen_statistics;
        let group = self.network.synchronised.as_ref().filter(|_| batch_statistics)?;
        let statistics = StatisticsCell::default();
        let operation = NormOperation {
            group: group.clone(),
            size: x.dims(),
            eps: self.network.arch().config.batch_norm_eps,
            statistics: Arc::clone(&statistics),
        };
        let parameters = [Leaf::Weight, Leaf::Bias].map(|leaf| self.tensor(norm.module, leaf));
        let output = ops::run(Arc::new(operation), x.clone(), parameters.to_vec());
        self.keep_statistics(norm, x.dims()[0], &statistics);
        Some(output)
    }

    /// Hands the statistics that an operation over `tokens` tokens found to the network.
    fn keep_statistics(&self, norm: &Norm, tokens: usize, statistics: &StatisticsCell) {
        let found = statistics.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(found) = found.filter(|_| self.is_training()) {
            let device = self.network.device();
            let world = self.network.synchronised.as_ref().map_or(1, |group| group.shard().world);
            self.push_statistics(Statistics {
                module: norm.module,
                mean: to_device(found.mean, device),
                variance: to_device(found.variance, device),
                tokens: tokens * world,
            });
        }
    }
}
