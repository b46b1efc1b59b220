//! Residual blocks: ConvEncoder, local representation, MLP.

use std::sync::PoisonError;

use swiftformer_kernels::train::{Block, BlockState, ChannelStatistics, Hidden};

use super::{Kept, Operation, SharedEngine, StatisticsCell, lock};

/// Which parameters a block has; they come after the map in this order: weight and bias of the depthwise convolution (if
/// there is one), γ, β, W₁, b₁, W₂, b₂, and the scale (if there is one).
#[derive(Clone, Copy, Debug)]
pub(crate) struct BlockParameters {
    pub(crate) depthwise: bool,
    pub(crate) scale: bool,
}

/// `x + f · s · pw2(gelu(pw1(BN(dw(x)))))`
#[derive(Debug)]
pub(crate) struct BlockOperation {
    pub(crate) engine: SharedEngine,
    /// Keep the input alone, and compute again on the way back what lies within.
    pub(crate) checkpointing: bool,
    /// `[batch, height, width, channels]`.
    pub(crate) size: [usize; 4],
    pub(crate) parameters: BlockParameters,
    pub(crate) eps: f32,
    pub(crate) factors: Option<Vec<f32>>,
    /// The running statistics, in eval mode.
    pub(crate) given: Option<ChannelStatistics>,
    /// Where the batch's statistics go.
    pub(crate) statistics: StatisticsCell,
}

impl BlockOperation {
    /// The block with its parameters.
    fn block<'a>(&'a self, inputs: &[&'a [f32]]) -> Block<'a> {
        let BlockParameters { depthwise, scale } = self.parameters;
        let start = if depthwise { 3 } else { 1 };
        let [batch, height, width, _] = self.size;
        Block {
            size: [batch, height, width],
            depthwise: depthwise.then(|| [inputs[1], inputs[2]]),
            hidden: Hidden {
                gamma: inputs[start],
                beta: inputs[start + 1],
                weight1: inputs[start + 2],
                bias1: inputs[start + 3],
                weight2: inputs[start + 4],
                bias2: inputs[start + 5],
                scale: scale.then(|| inputs[start + 6]),
            },
            eps: self.eps,
            factors: self.factors.as_deref(),
        }
    }
}

impl Operation for BlockOperation {
    fn engine(&self) -> Option<&SharedEngine> {
        Some(&self.engine)
    }

    fn shape(&self) -> Vec<usize> {
        self.size.to_vec()
    }

    fn forward(&self, inputs: &[&[f32]]) -> (Vec<f32>, Kept) {
        let mut engine = lock(&self.engine);
        let mut output = engine.buffer(inputs[0].len());
        let mut state = self.block(inputs).forward(&mut engine, inputs[0], self.given.clone(), &mut output);
        if self.checkpointing {
            state.forget(&mut engine);
        }
        *self.statistics.lock().unwrap_or_else(PoisonError::into_inner) = Some(state.statistics.clone());
        (output, Box::new(state))
    }

    fn backward(&self, inputs: &[&[f32]], kept: Kept, gradient: &[f32], _wanted: bool) -> Vec<Vec<f32>> {
        let state = *kept.downcast::<BlockState>().unwrap_or_else(|_| panic!("the state of a block"));
        let mut engine = lock(&self.engine);
        let mut x_gradient = engine.buffer(inputs[0].len());
        let gradients = self.block(inputs).backward(&mut engine, inputs[0], state, gradient, &mut x_gradient);
        let mut all = vec![x_gradient];
        if self.parameters.depthwise {
            all.extend([gradients.depthwise_weight, gradients.depthwise_bias]);
        }
        let hidden = gradients.hidden;
        all.extend([hidden.gamma, hidden.beta, hidden.weight1, hidden.bias1, hidden.weight2, hidden.bias2]);
        if self.parameters.scale {
            all.push(hidden.scale);
        }
        all
    }

    fn discard(&self, kept: Kept) {
        if let Ok(state) = kept.downcast::<BlockState>() {
            Block::discard(&mut lock(&self.engine), *state);
        }
    }
}
