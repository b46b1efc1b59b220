//! A convolution with BatchNorm and, in the stem, ReLU.

use std::sync::PoisonError;

use swiftformer_kernels::train::{ChannelStatistics, ConvNorm, ConvNormState};

use super::{Kept, Operation, SharedEngine, StatisticsCell, lock};

/// `relu?(BN(conv(x)))`; behind the map come weight and bias of the convolution, γ and β.
#[derive(Debug)]
pub(crate) struct ConvNormOperation {
    pub(crate) engine: SharedEngine,
    /// Keep the input alone, and compute again on the way back what lies within.
    pub(crate) checkpointing: bool,
    /// `[batch, height, width, channels]` of the input.
    pub(crate) size: [usize; 4],
    pub(crate) outputs: usize,
    pub(crate) kernel: [usize; 2],
    pub(crate) stride: [usize; 2],
    pub(crate) padding: [usize; 2],
    pub(crate) eps: f32,
    pub(crate) relu: bool,
    /// The running statistics, in eval mode.
    pub(crate) given: Option<ChannelStatistics>,
    /// Where the batch's statistics go.
    pub(crate) statistics: StatisticsCell,
}

impl ConvNormOperation {
    fn layer<'a>(&self, inputs: &[&'a [f32]]) -> ConvNorm<'a> {
        let &Self { size, kernel, stride, padding, eps, relu, .. } = self;
        let (weight, bias, gamma, beta) = (inputs[1], inputs[2], inputs[3], inputs[4]);
        ConvNorm { size, kernel, stride, padding, weight, bias, gamma, beta, eps, relu }
    }
}

impl Operation for ConvNormOperation {
    fn engine(&self) -> Option<&SharedEngine> {
        Some(&self.engine)
    }

    fn shape(&self) -> Vec<usize> {
        let side = |axis: usize| {
            let padded = self.size[1 + axis] + 2 * self.padding[axis];
            (padded - self.kernel[axis]) / self.stride[axis] + 1
        };
        vec![self.size[0], side(0), side(1), self.outputs]
    }

    fn forward(&self, inputs: &[&[f32]]) -> (Vec<f32>, Kept) {
        let mut engine = lock(&self.engine);
        let mut output = engine.buffer(self.shape().iter().product());
        let mut state = self.layer(inputs).forward(&mut engine, inputs[0], self.given.clone(), &mut output);
        if self.checkpointing {
            state.forget(&mut engine);
        }
        *self.statistics.lock().unwrap_or_else(PoisonError::into_inner) = Some(state.statistics.clone());
        (output, Box::new(state))
    }

    fn backward(&self, inputs: &[&[f32]], kept: Kept, gradient: &[f32], wanted: bool) -> Vec<Vec<f32>> {
        let state = *kept.downcast::<ConvNormState>().unwrap_or_else(|_| panic!("the state of a convolution"));
        let mut engine = lock(&self.engine);
        let mut x_gradient = if wanted { engine.buffer(inputs[0].len()) } else { Vec::new() };
        let target = wanted.then_some(&mut *x_gradient);
        let gradients = self.layer(inputs).backward(&mut engine, inputs[0], state, gradient, target);
        vec![x_gradient, gradients.weight, gradients.bias, gradients.gamma, gradients.beta]
    }

    fn discard(&self, kept: Kept) {
        if let Ok(state) = kept.downcast::<ConvNormState>() {
            ConvNorm::discard(&mut lock(&self.engine), *state);
        }
    }
}
