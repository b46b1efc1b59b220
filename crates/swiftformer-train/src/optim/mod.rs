//! Optimizers with timm's weight decay rules, gradient clipping, and averaged weights.
//!
//! Updates run on the host. On the CPU that moves nothing; elsewhere parameters and gradients travel once a step.

mod average;
mod clip;
mod groups;
mod state;

use swiftformer_kernels::{
    Kernels,
    train::{AdamW, Sgd},
};

pub use self::{
    average::Average,
    clip::{AgcScope, Clip},
    groups::{Group, GroupOptions, groups},
    state::StateError,
};
use crate::model::Parameters;

/// Gradients on the host, in the order of [`Parameters::list`]; `None` for what does not train.
pub type HostGradients = Vec<Option<Vec<f32>>>;

/// The rule by which a gradient moves a parameter.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Rule {
    /// AdamW with decoupled decay, as PyTorch's. The usual values are betas 0.9 and 0.999, eps 1e-8.
    AdamW {
        /// Shares of the past in the moments.
        betas: [f64; 2],
        /// Added to the root of the second moment.
        eps: f64,
    },
    /// Stochastic gradient descent, as PyTorch's; the decay is part of the gradient.
    Sgd {
        /// Share of the past in the direction.
        momentum: f64,
        /// Look ahead.
        nesterov: bool,
    },
}

impl Rule {
    /// AdamW with PyTorch's betas and timm's eps.
    pub const ADAMW: Self = Self::AdamW { betas: [0.9, 0.999], eps: 1e-8 };

    /// State tensors for each parameter.
    fn slots(self) -> usize {
        match self {
            Self::AdamW { .. } => 2,
            Self::Sgd { .. } => 1,
        }
    }
}

/// An optimizer and its state.
#[derive(Clone, Debug)]
pub struct Optimizer {
    rule: Rule,
    groups: Vec<Group>,
    /// For each parameter that trains, as many tensors as the rule has slots.
    slots: Vec<Vec<Vec<f32>>>,
    steps: u64,
    kernels: Kernels,
}

impl Optimizer {
    /// An optimizer for `parameters`; see [`groups`] for which of them decay.
    pub fn new(rule: Rule, parameters: &Parameters, options: &GroupOptions) -> Self {
        let slots = parameters.list().iter().map(|p| match p.trainable {
            true => vec![vec![0.0; p.param.len()]; rule.slots()],
            false => Vec::new(),
        });
        let slots = slots.collect();
        Self { rule, groups: groups(parameters, options), slots, steps: 0, kernels: Kernels::detect() }
    }

    /// Steps taken.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// Weight decay and share of the learning rate of every parameter.
    pub fn groups(&self) -> &[Group] {
        &self.groups
    }

    /// Moves the parameters by their gradients at learning rate `lr`.
    ///
    /// # Panics
    /// When the gradients are not those of the parameters.
    pub fn step(&mut self, parameters: &mut Parameters, gradients: &HostGradients, lr: f64) {
        assert_eq!(parameters.list().len(), gradients.len(), "one gradient for each parameter");
        let first = self.steps == 0;
        self.steps += 1;
        let (rule, kernels, steps) = (self.rule, self.kernels, self.steps as f64);
        let list = parameters.list_mut().iter_mut().zip(gradients).zip(self.slots.iter_mut().zip(&self.groups));
        for ((parameter, gradient), (slots, group)) in list {
            let Some(gradient) = gradient.as_deref().filter(|_| parameter.trainable) else { continue };
            let lr = lr * group.lr_scale;
            parameter.with_values(|values| match (rule, slots.as_mut_slice()) {
                (Rule::AdamW { betas, eps }, [one, two]) => {
                    let step = AdamW {
                        shrink: (1.0 - lr * group.weight_decay) as f32,
                        betas,
                        step_size: (lr / (1.0 - betas[0].powf(steps))) as f32,
                        correction: (1.0 - betas[1].powf(steps)).sqrt() as f32,
                        eps: eps as f32,
                    };
                    kernels.adamw(step, values, gradient, [one, two]);
                }
                (Rule::Sgd { momentum, nesterov }, [direction]) => {
                    let step = Sgd {
                        lr: lr as f32,
                        weight_decay: group.weight_decay as f32,
                        momentum: momentum as f32,
                        nesterov,
                        first,
                    };
                    kernels.sgd(step, values, gradient, direction);
                }
                _ => unreachable!("slots are made for the rule"),
            });
        }
    }
}
