//! Changing a model: another classifier, other input channels, no classifier at all.

use super::{Checkpoint, CheckpointError};
use crate::{
    arch::{Arch, Leaf, Module, Tail, TailKind},
    config::SwiftFormerConfig,
    tensor::RawTensor,
    weights::state::StateDict,
};

impl Checkpoint {
    /// Replaces both heads by fresh ones for `num_labels` classes, as timm's `reset_classifier`; 0 takes them away, and
    /// the pooled features become the output.
    ///
    /// # Errors
    /// When the model is a bare backbone.
    pub fn reset_classifier(&mut self, num_labels: usize, seed: u64) -> Result<(), CheckpointError> {
        if self.arch.tail_kind() != TailKind::Classifier {
            return Err(CheckpointError::Edit("a backbone without final norm has no classifier to reset".into()));
        }
        let config = SwiftFormerConfig { num_labels, id2label: Vec::new(), ..self.arch.config.clone() };
        let arch = Arch::build(&config, TailKind::Classifier)?;
        let fresh = StateDict::initialised(&arch, seed);
        self.keep_shared(arch, &fresh, |module| matches!(module, Module::Head | Module::DistHead));
        Ok(())
    }

    /// The backbone alone, without final norm and heads (transformers' `SwiftFormerModel`, timm's `features_only`).
    ///
    /// # Errors
    /// Never for a model that was opened.
    pub fn into_backbone(mut self) -> Result<Self, CheckpointError> {
        let arch = Arch::build(&self.arch.config, TailKind::None)?;
        let same = self.state.clone();
        self.keep_shared(arch, &same, |_| false);
        Ok(self)
    }

    /// Adapts the first convolution to `channels` input channels, as timm's `adapt_input_conv`: one channel gets the sum
    /// of the three, others repeat them in turn, scaled by 3 / channels.
    ///
    /// # Errors
    /// When the model does not take 3 channels.
    pub fn adapt_input_channels(&mut self, channels: usize) -> Result<(), CheckpointError> {
        let from = self.arch.config.num_channels;
        if channels == from {
            return Ok(());
        }
        if from != 3 {
            return Err(CheckpointError::Edit(format!(
                "only a model of 3 input channels can be adapted, not of {from}"
            )));
        }
        let config = SwiftFormerConfig { num_channels: channels, ..self.arch.config.clone() };
        let arch = Arch::build(&config, self.arch.tail_kind())?;
        let stem = Module::StemConv { index: 0 };
        let old = self.state.values(stem, Leaf::Weight);
        let conv = &arch.stem[0].conv;
        let taps = conv.kernel[0] * conv.kernel[1];
        let scale = 3.0 / channels as f32;
        let mut new = Vec::with_capacity(conv.out_channels * channels * taps);
        for filter in old.chunks_exact(3 * taps) {
            for channel in 0..channels {
                new.extend((0..taps).map(|tap| match channels {
                    1 => filter[tap] + filter[taps + tap] + filter[2 * taps + tap],
                    _ => filter[channel % 3 * taps + tap] * scale,
                }));
            }
        }
        let shape = [conv.out_channels, channels, conv.kernel[0], conv.kernel[1]];
        let weight = RawTensor::from_f32(shape, &new).map_err(|error| CheckpointError::Edit(error.to_string()))?;
        self.state.insert(stem, Leaf::Weight, weight);
        self.arch = arch;
        if let Ok(preprocessor) = self.preprocessor.clone().with_channels(channels) {
            self.preprocessor = preprocessor;
        }
        Ok(())
    }

    /// Whether the model has a classifier with labels.
    pub fn has_classifier(&self) -> bool {
        matches!(self.arch.tail, Tail::Classifier { heads: Some(_), .. })
    }

    /// Takes `arch` on: tensors of the modules that `replaced` names come from `fresh`, all others stay.
    fn keep_shared(&mut self, arch: Arch, fresh: &StateDict, replaced: impl Fn(Module) -> bool) {
        let old = &self.state;
        let mut state = StateDict::from_fn(&arch, |param| {
            let source = if replaced(param.module) { fresh } else { old };
            let tensor = source.get(param.module, param.leaf).or_else(|| fresh.get(param.module, param.leaf));
            tensor.cloned().unwrap_or_else(|| panic!("no tensor for {param:?}"))
        });
        state.extend_maps(old.maps());
        self.state = state;
        self.arch = arch;
    }
}
