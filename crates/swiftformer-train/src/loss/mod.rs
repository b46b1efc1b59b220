//! Losses of a batch: cross-entropy, label smoothing, soft targets, binary cross-entropy, and distillation on the second
//! head, as timm and the authors' script compute them.

mod distillation;
mod error;
mod targets;

use burn::tensor::{Tensor, activation};

pub use self::{distillation::Distillation, error::LossError, targets::Targets};
use crate::model::Outputs;

/// The loss against the labels.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum BaseLoss {
    /// Cross-entropy. Classes are smoothed (timm's `LabelSmoothingCrossEntropy`: the true class gets
    /// `1 - smoothing + smoothing / classes`); soft targets stay as they are (`SoftTargetCrossEntropy`).
    CrossEntropy {
        /// Share of the weight that is spread over all classes.
        smoothing: f64,
    },
    /// Binary cross-entropy of every class, averaged over all (timm's `BinaryCrossEntropy`).
    Binary {
        /// As for cross-entropy, for classes only.
        smoothing: f64,
        /// Targets above it count as 1, others as 0.
        threshold: Option<f64>,
    },
}

impl BaseLoss {
    /// The loss of `logits` `[batch, classes]`, a single number.
    ///
    /// # Errors
    /// When the targets do not fit the logits.
    pub fn evaluate(self, logits: &Tensor<2>, targets: &Targets) -> Result<Tensor<1>, LossError> {
        let shape = logits.dims();
        let (Self::CrossEntropy { smoothing } | Self::Binary { smoothing, .. }) = self;
        let mut target = targets.to_rows(shape, smoothing)?;
        if let Self::Binary { threshold: Some(threshold), .. } = self {
            target.iter_mut().for_each(|value| *value = f32::from(f64::from(*value) > threshold));
        }
        let target = targets::constant(target, shape, logits);
        Ok(match self {
            Self::CrossEntropy { .. } => soft_cross_entropy(logits, target),
            Self::Binary { .. } => {
                // max(x, 0) - x·t + ln(1 + e^-|x|), which does not overflow.
                let x = logits.clone();
                let tail = (x.clone().abs().neg().exp() + 1.0).log();
                (activation::relu(x.clone()) - x * target + tail).mean()
            }
        })
    }
}

/// `-Σ target · log_softmax(logits)`, averaged over the batch.
fn soft_cross_entropy(logits: &Tensor<2>, target: Tensor<2>) -> Tensor<1> {
    let batch = logits.dims()[0] as f64;
    (target * activation::log_softmax(logits.clone(), 1)).sum().neg() / batch
}

/// Which logits the base loss sees.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BaseHead {
    /// The class head's; the second head learns from the teacher (the authors' code, timm's distilled training).
    #[default]
    Class,
    /// The mean of both heads', which is what the network answers in eval mode (timm's plain training).
    Mean,
}

/// The whole loss of a training step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Criterion {
    /// Against the labels.
    pub base: BaseLoss,
    /// Which logits the base loss sees.
    pub base_head: BaseHead,
    /// Against a teacher.
    pub distillation: Distillation,
}

/// The parts of a loss, single numbers each.
#[derive(Clone, Debug)]
pub struct LossParts {
    /// What is minimised.
    pub total: Tensor<1>,
    /// The loss against the labels.
    pub base: Tensor<1>,
    /// The loss against the teacher.
    pub distillation: Option<Tensor<1>>,
}

impl Criterion {
    /// The loss of a network's outputs. `teacher` holds the teacher's logits, `[batch, classes]`.
    ///
    /// # Errors
    /// When targets or teacher do not fit the outputs, or a teacher or a second head is needed and missing.
    pub fn evaluate(
        &self,
        outputs: &Outputs,
        targets: &Targets,
        teacher: Option<&Tensor<2>>,
    ) -> Result<LossParts, LossError> {
        let logits = match self.base_head {
            BaseHead::Class => outputs.head.clone(),
            BaseHead::Mean => outputs.logits(),
        };
        let base = self.base.evaluate(&logits, targets)?;
        let Some((alpha, distillation)) = self.distillation.evaluate(outputs, teacher)? else {
            return Ok(LossParts { total: base.clone(), base, distillation: None });
        };
        let total = base.clone() * (1.0 - alpha) + distillation.clone() * alpha;
        Ok(LossParts { total, base, distillation: Some(distillation) })
    }
}
