//! What a batch should be.

use burn::tensor::{Tensor, TensorData};

use super::LossError;

/// The targets of a batch.
#[derive(Clone, Debug, PartialEq)]
pub enum Targets {
    /// The class of each image.
    Classes(Vec<usize>),
    /// `[batch, classes]` row-major, e.g. of mixed images.
    Soft(Vec<f32>),
}

impl Targets {
    /// Targets `[batch, classes]`; classes are smoothed.
    pub(super) fn to_rows(&self, shape: [usize; 2], smoothing: f64) -> Result<Vec<f32>, LossError> {
        let [batch, classes] = shape;
        let count = |expected, found| {
            if expected == found { Ok(()) } else { Err(LossError::Count { logits: shape, expected, found }) }
        };
        match self {
            Self::Soft(values) => {
                count(batch * classes, values.len())?;
                Ok(values.clone())
            }
            Self::Classes(labels) => {
                count(batch, labels.len())?;
                let off = smoothing / classes as f64;
                let mut rows = vec![off as f32; batch * classes];
                for (image, (row, &label)) in rows.chunks_exact_mut(classes.max(1)).zip(labels).enumerate() {
                    let value = row.get_mut(label).ok_or(LossError::Class { label, image, classes })?;
                    *value = (1.0 - smoothing + off) as f32;
                }
                Ok(rows)
            }
        }
    }
}

/// Values beside `like`, without a gradient.
pub(super) fn constant(values: Vec<f32>, shape: [usize; 2], like: &Tensor<2>) -> Tensor<2> {
    beside(Tensor::from_data(TensorData::new(values, shape), &like.device().inner()), like)
}

/// The tensor on the tape of `like`, if there is one.
pub(super) fn beside(tensor: Tensor<2>, like: &Tensor<2>) -> Tensor<2> {
    match like.gradient_checkpointing_strategy() {
        Some(strategy) => tensor.autodiff().with_gradient_checkpointing_strategy(strategy),
        None => tensor,
    }
}
