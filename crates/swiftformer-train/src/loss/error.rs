//! What can go wrong with a loss.

/// Targets that do not fit.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LossError {
    /// A wrong number of labels or rows.
    #[error("logits of shape {logits:?} need {expected} target values, found {found}")]
    Count {
        /// Shape of the logits.
        logits: [usize; 2],
        /// Values needed.
        expected: usize,
        /// Values found.
        found: usize,
    },
    /// A class that does not exist.
    #[error("label {label} of image {image} is not a class: there are {classes}")]
    Class {
        /// The label.
        label: usize,
        /// Position in the batch.
        image: usize,
        /// Number of classes.
        classes: usize,
    },
    /// Distillation without a teacher.
    #[error("distillation needs the teacher's logits")]
    NoTeacher,
    /// Distillation into a network without a second head.
    #[error("distillation needs a network with a second head")]
    NoDistillationHead,
    /// A teacher of other classes.
    #[error("the teacher's logits have shape {found:?}, the network's {expected:?}")]
    Teacher {
        /// The network's shape.
        expected: [usize; 2],
        /// The teacher's shape.
        found: [usize; 2],
    },
}
