//! Learning from a teacher through the second head.

use burn::tensor::{Tensor, activation};

use super::{
    LossError, soft_cross_entropy,
    targets::{beside, constant},
};
use crate::model::{Outputs, to_host};

/// How the second head learns from the teacher: `DistillationLoss` of the authors' code, which is DeiT's.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Distillation {
    /// Not at all.
    None,
    /// Cross-entropy against the teacher's class.
    Hard {
        /// Weight of the teacher; the labels have `1 - alpha`.
        alpha: f64,
    },
    /// Kullback–Leibler divergence from the teacher's distribution, both at temperature `tau`, summed over everything,
    /// times `tau² / (batch · classes)`.
    Soft {
        /// As for [`Distillation::Hard`].
        alpha: f64,
        /// Temperature.
        tau: f64,
    },
}

impl Distillation {
    /// The weight of the teacher and the loss against it.
    pub(super) fn evaluate(
        self,
        outputs: &Outputs,
        teacher: Option<&Tensor<2>>,
    ) -> Result<Option<(f64, Tensor<1>)>, LossError> {
        let (Self::Hard { alpha } | Self::Soft { alpha, .. }) = self else { return Ok(None) };
        let teacher = teacher.ok_or(LossError::NoTeacher)?.clone().inner();
        let student = outputs.dist_head.as_ref().ok_or(LossError::NoDistillationHead)?;
        let (expected, found) = (student.dims(), teacher.dims());
        if expected != found {
            return Err(LossError::Teacher { expected, found });
        }
        let loss = match self {
            Self::Soft { tau, .. } => {
                let own = activation::log_softmax(student.clone() / tau, 1);
                let log_target = activation::log_softmax(teacher / tau, 1);
                let log_target = beside(log_target, &own);
                let divergence = (log_target.clone().exp() * (log_target - own)).sum();
                divergence * (tau * tau / (expected[0] * expected[1]) as f64)
            }
            _ => {
                let mut rows = to_host(teacher);
                // The first of equal logits wins, as in PyTorch's argmax.
                for row in rows.chunks_exact_mut(expected[1].max(1)) {
                    let mut best = 0;
                    for (class, value) in row.iter().enumerate() {
                        if *value > row[best] {
                            best = class;
                        }
                    }
                    row.fill(0.0);
                    row[best] = 1.0;
                }
                soft_cross_entropy(student, constant(rows, expected, student))
            }
        };
        Ok(Some((alpha, loss)))
    }
}
