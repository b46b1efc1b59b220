//! Whole blocks on the project's own kernels, where the device is the CPU.

use burn::tensor::Tensor;
use swiftformer::arch::{AttentionBlock, ConvBlock, ConvNorm};

use super::layers::Layers;

impl Layers<'_> {
    pub(super) fn fused_conv_norm(&self, _layer: &ConvNorm, _x: &Tensor<4>, _relu: bool) -> Option<Tensor<4>> {
        let _ = self.network.fused;
        None
    }
    pub(super) fn fused_conv_block(&self, _b: &ConvBlock, _x: &Tensor<4>, _f: Option<&[f32]>) -> Option<Tensor<4>> {
        let _ = self.network.fused;
        None
    }
    pub(super) fn fused_mlp(&self, _b: &AttentionBlock, _x: &Tensor<4>, _f: Option<&[f32]>) -> Option<Tensor<4>> {
        let _ = self.network.fused;
        None
    }
    pub(super) fn fused_attention(&self, _b: &AttentionBlock, _x: &Tensor<4>, _f: Option<&[f32]>) -> Option<Tensor<4>> {
        let _ = self.network.fused;
        None
    }
}
