//! A learning rate that falls when a measure stops improving.

use serde::{Deserialize, Serialize};

/// When a plateau lowers the rate: PyTorch's `ReduceLROnPlateau` with a relative threshold, behind timm's warm-up.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PlateauOptions {
    /// The rate behind the warm-up.
    pub lr: f64,
    /// The lowest rate.
    pub min_lr: f64,
    /// The factor at each plateau.
    pub rate: f64,
    /// Epochs without improvement that are borne.
    pub patience: usize,
    /// What share better a value must be to count.
    pub threshold: f64,
    /// Epochs after a fall in which nothing counts.
    pub cooldown: usize,
    /// Epochs of linear growth from `warmup_lr`.
    pub warmup_epochs: usize,
    /// The rate at the start of the warm-up.
    pub warmup_lr: f64,
    /// Whether larger is better (accuracy) or smaller (loss).
    pub larger_is_better: bool,
}

/// What a plateau schedule remembers; stored with a run, to the last bit.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct PlateauState {
    /// The current rate.
    #[serde(with = "crate::bits")]
    pub lr: f64,
    /// The best value so far.
    #[serde(with = "crate::bits::optional")]
    pub best: Option<f64>,
    /// Epochs since.
    pub bad_epochs: usize,
    /// Epochs of cool-down left.
    pub cooldown_left: usize,
}

/// A learning rate that falls when a measure stops improving.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Plateau {
    options: PlateauOptions,
    state: PlateauState,
}

impl Plateau {
    /// A schedule at its start.
    pub fn new(options: PlateauOptions) -> Self {
        let lr = if options.warmup_epochs > 0 { options.warmup_lr } else { options.lr };
        Self { options, state: PlateauState { lr, best: None, bad_epochs: 0, cooldown_left: 0 } }
    }

    /// A schedule that goes on from a stored state.
    pub fn resume(options: PlateauOptions, state: PlateauState) -> Self {
        Self { options, state }
    }

    /// What to store.
    pub fn state(&self) -> PlateauState {
        self.state
    }

    /// The rate in force.
    pub fn lr(&self) -> f64 {
        self.state.lr
    }

    /// Sets the rate for epoch `epoch`, when the one before it measured `metric`.
    pub fn step(&mut self, epoch: usize, metric: f64) -> f64 {
        let (options, state) = (self.options, &mut self.state);
        if epoch <= options.warmup_epochs {
            let share = epoch as f64 / options.warmup_epochs.max(1) as f64;
            state.lr = if options.warmup_epochs == 0 {
                options.lr
            } else {
                options.warmup_lr + share * (options.lr - options.warmup_lr)
            };
            return state.lr;
        }
        let improved = state.best.is_none_or(|best| match options.larger_is_better {
            true => metric > best * (1.0 + options.threshold),
            false => metric < best * (1.0 - options.threshold),
        });
        if improved {
            (state.best, state.bad_epochs) = (Some(metric), 0);
        } else {
            state.bad_epochs += 1;
        }
        if state.cooldown_left > 0 {
            state.cooldown_left -= 1;
            state.bad_epochs = 0;
        }
        if state.bad_epochs > options.patience {
            state.lr = (state.lr * options.rate).max(options.min_lr);
            (state.cooldown_left, state.bad_epochs) = (options.cooldown, 0);
        }
        state.lr
    }
}
