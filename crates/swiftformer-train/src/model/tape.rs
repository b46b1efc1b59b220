//! What gradients are recorded with, and in which numbers products are formed, where operations are burn's own.

use burn::tensor::{FloatDType, GradientCheckpointingStrategy, Tensor};
use swiftformer_kernels::Precision;

use super::{Network, layers::Layers};

impl Network {
    /// The tensor on the tape of a pass in train mode. Tensors of one tape keep as much as each other.
    pub(super) fn taped<const D: usize>(&self, tensor: Tensor<D>) -> Tensor<D> {
        let strategy = match self.checkpointing && self.engine.is_none() {
            true => GradientCheckpointingStrategy::Balanced,
            false => GradientCheckpointingStrategy::Disabled,
        };
        tensor.autodiff().with_gradient_checkpointing_strategy(strategy)
    }
}

impl Layers<'_> {
    /// `product` of `x` and a weight, in the network's precision; it takes and gives 32-bit floats.
    pub(super) fn in_precision<const D: usize, const E: usize, const F: usize>(
        &self,
        x: Tensor<D>,
        weight: Tensor<E>,
        product: impl FnOnce(Tensor<D>, Tensor<E>) -> Tensor<F>,
    ) -> Tensor<F> {
        match self.network.precision {
            Precision::Bf16 => product(x.cast(FloatDType::BF16), weight.cast(FloatDType::BF16)).cast(FloatDType::F32),
            _ => product(x, weight),
        }
    }
}
