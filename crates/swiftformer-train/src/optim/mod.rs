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
use crate::model::{Network, Parameters};

/// Gradients on the host, in the order of [`Parameters::list`]; `None` for what does not train.
pub type HostGradients = Vec<Option<Vec<f32>>>;

/// Values that one task works on.
const CHUNK: usize = 16 << 10;

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
}

impl Optimizer {
    /// An optimizer for `parameters`; see [`groups`] for which of them decay.
    pub fn new(rule: Rule, parameters: &Parameters, options: &GroupOptions) -> Self {
        let slots = parameters.list().iter().map(|p| match p.trainable {
            true => vec![vec![0.0; p.param.len()]; rule.slots()],
            false => Vec::new(),
        });
        let slots = slots.collect();
        Self { rule, groups: groups(parameters, options), slots, steps: 0 }
    }

    /// Steps taken.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// Weight decay and share of the learning rate of every parameter.
    pub fn groups(&self) -> &[Group] {
        &self.groups
    }

    /// Moves the network's parameters by their gradients at learning rate `lr`.
    ///
    /// # Panics
    /// When the gradients are not those of the network.
    pub fn step(&mut self, network: &mut Network, gradients: &HostGradients, lr: f64) {
        assert_eq!(network.parameters().list().len(), gradients.len(), "one gradient for each parameter");
        let first = self.steps == 0;
        self.steps += 1;
        let (rule, steps) = (self.rule, self.steps as f64);
        let (slots, groups) = (&mut self.slots, &self.groups);
        network.with_values(|list, values, workers| {
            let mut tasks = Vec::new();
            let of_tensors = list.iter().zip(values).zip(gradients).zip(slots.iter_mut().zip(groups));
            for (((parameter, values), gradient), (slots, group)) in of_tensors {
                let Some(gradient) = gradient.as_deref().filter(|_| parameter.trainable) else { continue };
                let update = Update::new(rule, group, lr, steps, first);
                let mut slots: Vec<_> = slots.iter_mut().map(|slot| slot.chunks_mut(CHUNK)).collect();
                for (values, gradient) in values.chunks_mut(CHUNK).zip(gradient.chunks(CHUNK)) {
                    let slots: Vec<&mut [f32]> = slots.iter_mut().filter_map(Iterator::next).collect();
                    tasks.push((update, values, gradient, slots));
                }
            }
            workers.for_all(tasks, |kernels, (update, values, gradient, slots)| {
                update.run(kernels, values, gradient, slots);
            });
        });
    }
}

/// What a step does to one tensor.
#[derive(Clone, Copy)]
enum Update {
    AdamW(AdamW),
    Sgd(Sgd),
}

impl Update {
    fn new(rule: Rule, group: &Group, lr: f64, steps: f64, first: bool) -> Self {
        let lr = lr * group.lr_scale;
        match rule {
            Rule::AdamW { betas, eps } => Self::AdamW(AdamW {
                shrink: (1.0 - lr * group.weight_decay) as f32,
                betas,
                step_size: (lr / (1.0 - betas[0].powf(steps))) as f32,
                correction: (1.0 - betas[1].powf(steps)).sqrt() as f32,
                eps: eps as f32,
            }),
            Rule::Sgd { momentum, nesterov } => Self::Sgd(Sgd {
                lr: lr as f32,
                weight_decay: group.weight_decay as f32,
                momentum: momentum as f32,
                nesterov,
                first,
            }),
        }
    }

    fn run(self, kernels: Kernels, values: &mut [f32], gradient: &[f32], mut slots: Vec<&mut [f32]>) {
        match (self, slots.as_mut_slice()) {
            (Self::AdamW(step), [one, two]) => kernels.adamw(step, values, gradient, [one, two]),
            (Self::Sgd(step), [direction]) => kernels.sgd(step, values, gradient, direction),
            _ => unreachable!("slots are made for the rule"),
        }
    }
}
