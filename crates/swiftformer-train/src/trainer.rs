//! One training step after the other.
//!
//! A step is [`Trainer::accumulate`] for one or more batches, whatever the caller does with [`Trainer::gradients_mut`]
//! (averaging them with other processes), and [`Trainer::apply`]. Nothing here depends on time, threads or the order of
//! earlier calls: from the same tensors, batches and seeds come the same bits.

use burn::tensor::Tensor;
use swiftformer::tensor::TensorMap;

use crate::{
    loss::{Criterion, LossError, Targets},
    model::{ModelError, Network, try_to_host},
    optim::{Average, Clip, HostGradients, Optimizer, StateError},
    parallel::{Group, ParallelError},
};

/// Images and what they should be.
#[derive(Clone, Debug)]
pub struct Batch {
    /// Normalised images `[batch, channels, height, width]`, row-major.
    pub images: Vec<f32>,
    /// Their shape.
    pub shape: [usize; 4],
    /// The targets.
    pub targets: Targets,
    /// The teacher's logits `[batch, classes]`, for distillation.
    pub teacher: Option<Vec<f32>>,
}

/// What a batch's forward pass gave.
#[derive(Clone, Debug, PartialEq)]
pub struct BatchReport {
    /// The loss that was minimised.
    pub loss: f32,
    /// The part against the labels.
    pub base: f32,
    /// The part against the teacher.
    pub distillation: Option<f32>,
    /// The mean of both heads' logits, `[batch, classes]`, for the training accuracy.
    pub logits: Vec<f32>,
}

/// Why a step failed.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum TrainError {
    /// The images do not fit.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The targets do not fit.
    #[error(transparent)]
    Loss(#[from] LossError),
    /// The stored state does not fit.
    #[error(transparent)]
    State(#[from] StateError),
    /// Another process is gone.
    #[error(transparent)]
    Parallel(#[from] ParallelError),
    /// The loss is not a number any more; the parameters are those from before.
    #[error("the loss is {loss}")]
    NotFinite {
        /// The loss.
        loss: f32,
    },
}

/// A network in training.
#[derive(Clone, Debug)]
pub struct Trainer {
    /// The network.
    pub network: Network,
    /// The optimizer.
    pub optimizer: Optimizer,
    /// The loss.
    pub criterion: Criterion,
    /// How gradients are bounded.
    pub clip: Clip,
    /// The averaged weights, where they are wanted.
    pub average: Option<Average>,
    /// The processes that train the same network.
    pub group: Group,
    gradients: Option<HostGradients>,
}

impl Trainer {
    /// A trainer without clipping and average; both are fields.
    pub fn new(network: Network, optimizer: Optimizer, criterion: Criterion) -> Self {
        let (clip, group) = (Clip::None, Group::alone());
        Self { network, optimizer, criterion, clip, average: None, group, gradients: None }
    }

    /// Adds `share` times the gradients of a batch to those of the step. A step of one batch has share 1, one of n equal
    /// batches 1/n each. Dropping is drawn from `seed` alone.
    ///
    /// # Errors
    /// When the batch does not fit, the loss is not finite, or the device fails; nothing is added then.
    pub fn accumulate(&mut self, batch: Batch, share: f64, seed: u64) -> Result<BatchReport, TrainError> {
        let teacher = match batch.teacher {
            Some(values) => {
                let rows = batch.shape[0];
                let width = values.len() / rows.max(1);
                let found = [rows, width];
                if rows * width != values.len() {
                    return Err(LossError::Teacher { expected: found, found: [values.len(), 1] }.into());
                }
                let data = burn::tensor::TensorData::new(values, found);
                Some(Tensor::<2>::from_data(data, self.network.device()))
            }
            None => None,
        };
        let images = self.network.images(batch.images, batch.shape)?;
        let pass = self.network.train(images, seed)?;
        let parts = self.criterion.evaluate(&pass.outputs, &batch.targets, teacher.as_ref())?;
        let number = |tensor: &Tensor<1>| -> Result<f32, ModelError> {
            Ok(try_to_host(tensor.clone().inner())?.first().copied().unwrap_or(f32::NAN))
        };
        let loss = number(&parts.total)?;
        if !loss.is_finite() {
            return Err(TrainError::NotFinite { loss });
        }
        let report = BatchReport {
            loss,
            base: number(&parts.base)?,
            distillation: parts.distillation.as_ref().map(number).transpose()?,
            logits: try_to_host(pass.outputs.logits().inner())?,
        };
        let gradients = pass.backward(&parts.total).into_iter().map(|gradient| gradient.map(try_to_host).transpose());
        let gradients: HostGradients = gradients.collect::<Result<_, _>>()?;
        match &mut self.gradients {
            Some(sums) => {
                for (sum, gradient) in sums.iter_mut().zip(gradients) {
                    if let (Some(sum), Some(gradient)) = (sum, gradient) {
                        sum.iter_mut().zip(gradient).for_each(|(sum, value)| *sum += value * share as f32);
                    }
                }
            }
            None => {
                let mut first = gradients;
                if share != 1.0 {
                    let all = first.iter_mut().flatten().flatten();
                    all.for_each(|value| *value *= share as f32);
                }
                self.gradients = Some(first);
            }
        }
        Ok(report)
    }

    /// The gradients of the step so far, in the order of the network's parameters; none before the first batch.
    pub fn gradients_mut(&mut self) -> Option<&mut HostGradients> {
        self.gradients.as_mut()
    }

    /// Replaces the gradients of the step by their average over all processes of the group, between
    /// [`Trainer::accumulate`] and [`Trainer::apply`].
    ///
    /// # Errors
    /// When another process is gone.
    pub fn share_gradients(&mut self) -> Result<(), ParallelError> {
        let world = self.group.shard().world;
        let Some(gradients) = self.gradients.as_mut().filter(|_| world > 1) else { return Ok(()) };
        let mut all: Vec<f32> = gradients.iter().flatten().flatten().copied().collect();
        self.group.sum(&mut all)?;
        let mut sums = all.as_slice();
        for gradient in gradients.iter_mut().flatten() {
            let (own, rest) = sums.split_at(gradient.len());
            gradient.iter_mut().zip(own).for_each(|(value, sum)| *value = sum / world as f32);
            sums = rest;
        }
        Ok(())
    }

    /// Bounds the gradients, moves the parameters at learning rate `lr` and the average behind them. Gives the norm that
    /// the gradients had, or `None` where no batch came before.
    pub fn apply(&mut self, lr: f64) -> Option<f64> {
        let mut gradients = self.gradients.take()?;
        let norm = self.clip.apply(&mut self.network, &mut gradients);
        self.optimizer.step(&mut self.network, &gradients, lr);
        if let Some(average) = &mut self.average {
            average.update(&mut self.network);
        }
        Some(norm)
    }

    /// A whole step of one batch: its report and the norm of its gradients.
    ///
    /// # Errors
    /// As [`Trainer::accumulate`].
    pub fn step(&mut self, batch: Batch, lr: f64, seed: u64) -> Result<(BatchReport, f64), TrainError> {
        let report = self.accumulate(batch, 1.0, seed)?;
        self.share_gradients()?;
        Ok((report, self.apply(lr).unwrap_or(0.0)))
    }

    /// Optimizer and average as tensors, to be stored beside the network's between two steps.
    pub fn to_tensors(&self) -> TensorMap {
        let arch = self.network.arch();
        let mut state = self.optimizer.to_tensors(arch);
        state.extend(self.average.iter().flat_map(|average| average.to_tensors(arch)));
        state
    }

    /// Takes a stored state on, for a network of the stored tensors.
    ///
    /// # Errors
    /// When a tensor is missing or of another size.
    pub fn load_tensors(&mut self, state: &TensorMap) -> Result<(), TrainError> {
        self.gradients = None;
        self.optimizer.load_tensors(self.network.arch(), state)?;
        if let Some(average) = &mut self.average {
            average.load_tensors(self.network.arch(), state)?;
        }
        Ok(())
    }
}
