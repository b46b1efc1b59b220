//! Learning rates over time: cosine, steps, plateaus, with warm-up and cool-down, as timm computes them.

mod plateau;

pub use plateau::{Plateau, PlateauOptions, PlateauState};

/// How a learning rate falls.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Shape {
    /// Always the same.
    Constant,
    /// Half a cosine down to `min_lr` at `epochs`, and `min_lr` from there on.
    Cosine,
    /// Multiplied by `rate` every `every` epochs.
    Step {
        /// Epochs between the steps.
        every: f64,
        /// The factor.
        rate: f64,
    },
}

/// Which value epoch `e` trains at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Reading {
    /// Epoch `e` trains at the schedule's value of `e` (timm's training script).
    #[default]
    Timm,
    /// Epoch `e` trains at the value of `e - 1`, epochs 0 and 1 at the start of the warm-up, and the cool-down does not
    /// happen: the authors' script sets the rate after an epoch by that epoch's number.
    Original,
}

/// A learning rate as a function of the epoch, which may be a fraction.
///
/// ```
/// use swiftformer_train::schedule::{Reading, Schedule, Shape};
///
/// // The paper's rates as timm's training script would run them; the authors' own is `Reading::Original`.
/// let schedule = Schedule {
///     shape: Shape::Cosine,
///     lr: 2e-3,
///     min_lr: 1e-5,
///     epochs: 300,
///     warmup_epochs: 5.0,
///     warmup_lr: 1e-6,
///     cooldown_epochs: 10,
///     reading: Reading::Timm,
/// };
/// assert_eq!(schedule.of_epoch(0), 1e-6);
/// assert_eq!(schedule.total_epochs(), 310);
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Schedule {
    /// How it falls.
    pub shape: Shape,
    /// The rate behind the warm-up.
    pub lr: f64,
    /// The lowest rate.
    pub min_lr: f64,
    /// Epochs of the cosine.
    pub epochs: usize,
    /// Epochs of linear growth from `warmup_lr`; the other shapes count from epoch 0 all the same.
    pub warmup_epochs: f64,
    /// The rate at the start of the warm-up.
    pub warmup_lr: f64,
    /// Epochs at `min_lr` behind the cosine.
    pub cooldown_epochs: usize,
    /// Which value an epoch trains at.
    pub reading: Reading,
}

impl Schedule {
    /// The schedule's value at `epoch`.
    pub fn at(&self, epoch: f64) -> f64 {
        if epoch < self.warmup_epochs {
            return self.warmup_lr + epoch * ((self.lr - self.warmup_lr) / self.warmup_epochs);
        }
        match self.shape {
            Shape::Constant => self.lr,
            Shape::Cosine if epoch >= self.epochs as f64 => self.min_lr,
            Shape::Cosine => {
                let turn = (std::f64::consts::PI * epoch / self.epochs as f64).cos();
                self.min_lr + 0.5 * (self.lr - self.min_lr) * (1.0 + turn)
            }
            Shape::Step { every, rate } => (self.lr * rate.powf((epoch / every).floor())).max(self.min_lr),
        }
    }

    /// The rate that every step of `epoch` trains at.
    pub fn of_epoch(&self, epoch: usize) -> f64 {
        match self.reading {
            Reading::Timm => self.at(epoch as f64),
            Reading::Original => self.at(epoch.saturating_sub(1) as f64),
        }
    }

    /// The rate of step `step` of an epoch of `steps`, where the rate moves with every step. Smooth shapes have no room for
    /// two readings; the reading still decides whether there is a cool-down.
    pub fn of_step(&self, epoch: usize, step: usize, steps: usize) -> f64 {
        self.at(epoch as f64 + step as f64 / steps.max(1) as f64)
    }

    /// Epochs to train.
    pub fn total_epochs(&self) -> usize {
        match self.reading {
            Reading::Timm => self.epochs + self.cooldown_epochs,
            Reading::Original => self.epochs,
        }
    }
}
