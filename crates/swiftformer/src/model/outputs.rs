//! What a model computes, and collecting it from the plans of a batch.

use swiftformer_kernels::{ImageShape, nhwc_to_nchw};

use crate::{
    plan::{Tap, TapSink},
    tensor::Tensor,
};

/// Which outputs to compute beside the logits and the last hidden state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OutputRequest {
    /// Every hidden state, in transformers' order.
    pub hidden_states: bool,
    /// The output of every stage (timm's `features_only`, the original's `fork_feat`).
    pub features: bool,
    /// The last stage's output behind the final BatchNorm (timm's `forward_features`).
    pub forward_features: bool,
    /// The mean of that over the map (timm's `forward_head(pre_logits=True)`).
    pub pre_logits: bool,
    /// The scores of `head` and `dist_head` separately.
    pub heads: bool,
}

/// Outputs of a batch; maps are `[batch, channels, height, width]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Outputs {
    /// Class scores `[batch, labels]`: the mean of both heads; the pooled features when the config has no labels; `None`
    /// for a backbone.
    pub logits: Option<Tensor>,
    /// The last stage's output, without the final BatchNorm.
    pub last_hidden_state: Tensor,
    /// The stem's output, then every stage's and transition's; empty unless asked for.
    pub hidden_states: Vec<Tensor>,
    /// Every stage's output, behind its BatchNorm for `fork_feat`; empty unless asked for.
    pub features: Vec<Tensor>,
    /// The last stage's output behind the final BatchNorm.
    pub forward_features: Option<Tensor>,
    /// Pooled features `[batch, channels]`.
    pub pre_logits: Option<Tensor>,
    /// Scores of `head` and `dist_head`, `[batch, labels]` each.
    pub heads: Option<[Tensor; 2]>,
}

/// The outputs of one image, in the order in which they were computed.
pub(super) struct Collector {
    request: OutputRequest,
    /// Logits alone: nothing else is kept, not even the last map.
    logits_only: bool,
    taken: Vec<(Tap, ImageShape, Vec<f32>)>,
}

impl Collector {
    pub(super) fn new(request: OutputRequest) -> Self {
        Self { request, logits_only: false, taken: Vec::new() }
    }

    /// For logits and, if `pooled`, the embedding.
    pub(super) fn vectors(pooled: bool) -> Self {
        let request = OutputRequest { pre_logits: pooled, ..OutputRequest::default() };
        Self { request, logits_only: true, taken: Vec::new() }
    }

    /// Takes one output out.
    pub(super) fn take_out(&mut self, tap: Tap) -> Option<Vec<f32>> {
        let at = self.taken.iter().position(|&(found, ..)| found == tap)?;
        Some(self.taken.swap_remove(at).2)
    }
}

impl TapSink for Collector {
    fn wants(&self, tap: Tap) -> bool {
        match tap {
            Tap::Hidden => self.request.hidden_states,
            Tap::Stage(_) => self.request.features,
            Tap::Last => !self.logits_only,
            Tap::Normed => self.request.forward_features,
            Tap::Pooled => self.request.pre_logits,
            Tap::Logits => true,
            Tap::Head(_) => self.request.heads,
        }
    }

    fn take(&mut self, tap: Tap, map: &[f32], shape: ImageShape) {
        let mut values = vec![0.0; map.len()];
        nhwc_to_nchw(map, shape, &mut values);
        self.taken.push((tap, shape, values));
    }
}

/// Puts the outputs of a batch together; all images have the same.
pub(super) fn stack(images: Vec<Collector>) -> Outputs {
    let batch = images.len();
    let mut images: Vec<_> = images.into_iter().map(|image| image.taken.into_iter()).collect();
    let mut outputs = Outputs {
        logits: None,
        last_hidden_state: Tensor::zeros([0]),
        hidden_states: Vec::new(),
        features: Vec::new(),
        forward_features: None,
        pre_logits: None,
        heads: None,
    };
    let mut heads = Vec::new();
    loop {
        let mut next = images.iter_mut().filter_map(Iterator::next);
        let Some((tap, shape, mut data)) = next.next() else { break };
        data.reserve_exact(data.len() * batch.saturating_sub(1));
        next.for_each(|(_, _, values)| data.extend(values));
        let is_map = !matches!(tap, Tap::Pooled | Tap::Logits | Tap::Head(_));
        let shape = match is_map {
            true => vec![batch, shape.channels, shape.height, shape.width],
            false => vec![batch, shape.channels],
        };
        let tensor = Tensor::new(shape, data).unwrap_or_else(|error| panic!("{tap:?}: {error}"));
        match tap {
            Tap::Hidden => outputs.hidden_states.push(tensor),
            Tap::Stage(_) => outputs.features.push(tensor),
            Tap::Last => outputs.last_hidden_state = tensor,
            Tap::Normed => outputs.forward_features = Some(tensor),
            Tap::Pooled => outputs.pre_logits = Some(tensor),
            Tap::Logits => outputs.logits = Some(tensor),
            Tap::Head(_) => heads.push(tensor),
        }
    }
    outputs.heads = <[Tensor; 2]>::try_from(heads).ok();
    outputs
}
