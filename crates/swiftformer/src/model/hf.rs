//! The models that users of transformers know.

use std::path::Path;

use super::{Model, ModelError, ModelOptions, OutputRequest, Outputs};
use crate::{
    checkpoint::{Checkpoint, CheckpointError, ModelSource, OpenOptions, SaveOptions},
    loss::{Labels, loss},
    tensor::Tensor,
    weights::names::Layout,
};

/// The backbone: hidden states without final norm and heads.
pub struct SwiftFormerModel {
    model: Model,
    checkpoint: Checkpoint,
}

/// The backbone with final norm, mean and both heads.
pub struct SwiftFormerForImageClassification {
    model: Model,
    checkpoint: Checkpoint,
}

/// What [`SwiftFormerForImageClassification::forward`] gives.
#[derive(Clone, Debug, PartialEq)]
pub struct ClassifierOutput {
    /// The mean loss, if labels were given.
    pub loss: Option<f32>,
    /// Class scores `[batch, labels]`.
    pub logits: Tensor,
    /// The stem's output, then every stage's and transition's; empty unless asked for.
    pub hidden_states: Vec<Tensor>,
}

/// What both models share: where they come from and where they go.
macro_rules! pretrained {
    ($model:ty, $opened:literal) => {
        impl $model {
            #[doc = $opened]
            ///
            /// # Errors
            /// When it cannot be opened, or as `from_checkpoint`.
            pub fn from_pretrained(
                model: &str,
                open_options: &OpenOptions,
                options: &ModelOptions,
            ) -> Result<Self, ModelError> {
                Self::from_checkpoint(open(model, open_options)?, options)
            }

            /// Saves in Hugging Face's layout.
            ///
            /// # Errors
            /// As [`Checkpoint::save`].
            pub fn save_pretrained(&self, folder: &Path) -> Result<(), ModelError> {
                Ok(self.checkpoint.save(
                    folder,
                    Layout::HuggingFace,
                    SaveOptions { overwrite: true, ..SaveOptions::default() },
                )?)
            }

            /// Config, weights and preprocessing.
            pub fn checkpoint(&self) -> &Checkpoint {
                &self.checkpoint
            }
        }
    };
}

pretrained!(
    SwiftFormerModel,
    "Opens a hub id, folder, file, `demo` or `random:…`, and leaves final norm and heads out."
);
pretrained!(SwiftFormerForImageClassification, "Opens a hub id, folder, file, `demo` or `random:…`.");

fn open(model: &str, open: &OpenOptions) -> Result<Checkpoint, ModelError> {
    let source: ModelSource = model.parse().map_err(|error| {
        let path = model.into();
        CheckpointError::Read { path, source: std::io::Error::new(std::io::ErrorKind::NotFound, error) }
    })?;
    Ok(Checkpoint::open(&source, open)?)
}

impl SwiftFormerModel {
    /// From an opened checkpoint.
    ///
    /// # Errors
    /// When it cannot be run.
    pub fn from_checkpoint(checkpoint: Checkpoint, options: &ModelOptions) -> Result<Self, ModelError> {
        let checkpoint = checkpoint.into_backbone()?;
        Ok(Self { model: Model::new(&checkpoint, options)?, checkpoint })
    }

    /// Runs images `[batch, channels, height, width]`, already normalised; `last_hidden_state` is
    /// `[batch, channels, height / 32, width / 32]`.
    ///
    /// # Errors
    /// When the shape is not the model's.
    pub fn forward(&self, pixel_values: &Tensor, output_hidden_states: bool) -> Result<Outputs, ModelError> {
        let request = OutputRequest { hidden_states: output_hidden_states, ..OutputRequest::default() };
        self.model.run(pixel_values, &request)
    }

    /// Every stage's output, as timm's `features_only`.
    ///
    /// # Errors
    /// When the shape is not the model's.
    pub fn features(&self, pixel_values: &Tensor) -> Result<Vec<Tensor>, ModelError> {
        let request = OutputRequest { features: true, ..OutputRequest::default() };
        Ok(self.model.run(pixel_values, &request)?.features)
    }
}

impl SwiftFormerForImageClassification {
    /// From an opened checkpoint.
    ///
    /// # Errors
    /// When it cannot be run, or has no classifier.
    pub fn from_checkpoint(checkpoint: Checkpoint, options: &ModelOptions) -> Result<Self, ModelError> {
        if checkpoint.arch().tail_kind() != crate::arch::TailKind::Classifier {
            return Err(ModelError::NoClassifier(checkpoint.name().to_owned()));
        }
        Ok(Self { model: Model::new(&checkpoint, options)?, checkpoint })
    }

    /// Runs images `[batch, channels, height, width]`, already normalised.
    ///
    /// # Errors
    /// When the shape is not the model's, or the labels do not fit.
    pub fn forward(
        &self,
        pixel_values: &Tensor,
        labels: Option<&Labels>,
        output_hidden_states: bool,
    ) -> Result<ClassifierOutput, ModelError> {
        let request = OutputRequest { hidden_states: output_hidden_states, ..OutputRequest::default() };
        let Outputs { logits, hidden_states, .. } = self.model.run(pixel_values, &request)?;
        let logits = logits.ok_or_else(|| ModelError::NoClassifier(self.checkpoint.name().to_owned()))?;
        let loss = labels.map(|labels| loss(&logits, labels, self.checkpoint.config())).transpose()?;
        Ok(ClassifierOutput { loss, logits, hidden_states })
    }

    /// The model as it runs.
    pub fn model(&self) -> &Model {
        &self.model
    }
}
