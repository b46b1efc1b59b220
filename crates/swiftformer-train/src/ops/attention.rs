//! Efficient additive attention with its scale and residual.

use swiftformer_kernels::{
    Pooling,
    train::{AdditiveAttention, AttentionParameters, AttentionState},
};

use super::{Kept, Operation, SharedEngine, lock};

/// `x + f · s · attention(x)`; behind the map come weight and bias of query and key, `w_g`, weight and bias of proj and of
/// the last layer, and the scale (if there is one).
#[derive(Debug)]
pub(crate) struct AttentionOperation {
    pub(crate) engine: SharedEngine,
    /// Keep the input alone, and compute again on the way back what lies within.
    pub(crate) checkpointing: bool,
    /// `[batch, height, width, channels]`.
    pub(crate) size: [usize; 4],
    pub(crate) pooling: Pooling,
    pub(crate) normalize: bool,
    pub(crate) scale: bool,
    pub(crate) factors: Option<Vec<f32>>,
}

impl AttentionOperation {
    fn layer<'a>(&'a self, inputs: &[&'a [f32]]) -> AdditiveAttention<'a> {
        let [batch, height, width, dim] = self.size;
        AdditiveAttention {
            size: [batch, height * width, dim],
            pooling: self.pooling,
            normalize: self.normalize,
            parameters: AttentionParameters {
                query: [inputs[1], inputs[2]],
                key: [inputs[3], inputs[4]],
                token_weights: inputs[5],
                proj: [inputs[6], inputs[7]],
                last: [inputs[8], inputs[9]],
                scale: self.scale.then(|| inputs[10]),
            },
            factors: self.factors.as_deref(),
        }
    }
}

impl Operation for AttentionOperation {
    fn engine(&self) -> Option<&SharedEngine> {
        Some(&self.engine)
    }

    fn shape(&self) -> Vec<usize> {
        self.size.to_vec()
    }

    fn forward(&self, inputs: &[&[f32]]) -> (Vec<f32>, Kept) {
        let mut engine = lock(&self.engine);
        let mut output = engine.buffer(inputs[0].len());
        let mut state = self.layer(inputs).forward(&mut engine, inputs[0], &mut output);
        if self.checkpointing {
            state.forget(&mut engine);
        }
        (output, Box::new(state))
    }

    fn backward(&self, inputs: &[&[f32]], kept: Kept, gradient: &[f32], _wanted: bool) -> Vec<Vec<f32>> {
        let state = *kept.downcast::<AttentionState>().unwrap_or_else(|_| panic!("the state of an attention"));
        let mut engine = lock(&self.engine);
        let mut x_gradient = engine.buffer(inputs[0].len());
        let found = self.layer(inputs).backward(&mut engine, inputs[0], state, gradient, &mut x_gradient);
        let mut all = vec![x_gradient];
        all.extend(found.query.into_iter().chain(found.key));
        all.push(found.token_weights);
        all.extend(found.proj.into_iter().chain(found.last));
        if self.scale {
            all.push(found.scale);
        }
        all
    }

    fn discard(&self, kept: Kept) {
        if let Ok(state) = kept.downcast::<AttentionState>() {
            AdditiveAttention::discard(&mut lock(&self.engine), *state);
        }
    }
}
