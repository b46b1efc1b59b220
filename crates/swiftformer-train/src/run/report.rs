//! What a run says while it goes on.

use serde::{Deserialize, Serialize};

/// Something that happened. The receiver answers whether the run shall go on.
#[derive(Clone, Copy, Debug)]
pub enum Event<'a> {
    /// Something worth knowing before the first step.
    Note(&'a str),
    /// A step is done.
    Step(&'a StepReport),
    /// An epoch is done, judged and saved.
    Epoch(&'a EpochReport),
}

/// Where training stands after a step.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StepReport {
    /// Always `step`.
    pub kind: &'static str,
    /// The epoch, from 1.
    pub epoch: u64,
    /// Of how many.
    pub epochs: usize,
    /// Batches done of the epoch.
    pub step: usize,
    /// Of how many.
    pub steps: usize,
    /// Mean loss of the epoch so far.
    pub loss: f64,
    /// Share of the epoch's images so far whose own label had the greatest logit, changed and mixed as they were.
    pub accuracy: f64,
    /// Learning rate of the step.
    pub lr: f64,
    /// Norm of all gradients, before they were bounded.
    pub gradient_norm: f64,
    /// Images a second since the epoch began or the run was resumed.
    pub images_per_second: f64,
    /// Share of that time in which training waited for images.
    pub wait_share: f64,
    /// Seconds to the end of the last epoch, at this speed, without judging.
    pub seconds_left: f64,
}

/// How well a model classifies the validation images.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Score {
    /// Share of images whose label has the greatest logit.
    #[serde(with = "crate::bits")]
    pub top1: f64,
    /// Mean cross entropy.
    #[serde(with = "crate::bits")]
    pub loss: f64,
}

impl Score {
    /// Whether this is the better one: by top-1, then by loss.
    pub(super) fn beats(self, other: Self) -> bool {
        self.top1 > other.top1 || self.top1 == other.top1 && self.loss < other.loss
    }
}

/// Where training stands after an epoch.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct EpochReport {
    /// Always `epoch`.
    pub kind: &'static str,
    /// The epoch, from 1.
    pub epoch: u64,
    /// Mean loss of its training images.
    pub train_loss: f64,
    /// As [`StepReport::accuracy`].
    pub train_accuracy: f64,
    /// Top-1 of the validation images.
    pub top1: f64,
    /// Their mean cross entropy.
    pub loss: f64,
    /// Top-1 with averaged weights.
    pub average_top1: Option<f64>,
    /// Mean cross entropy with averaged weights.
    pub average_loss: Option<f64>,
    /// Whether the run's model is from this epoch.
    pub is_best: bool,
    /// Seconds of training and judging; since the run was resumed, where it was within the epoch.
    pub seconds: f64,
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq)]
pub struct Summary {
    /// Whether somebody stopped it; it can be resumed then.
    pub stopped: bool,
    /// Epochs done.
    pub epochs: u64,
    /// The run's model: its epoch from 1, and its score.
    pub best: Option<(u64, Score)>,
    /// Images that could not be read.
    pub broken: Vec<String>,
}
