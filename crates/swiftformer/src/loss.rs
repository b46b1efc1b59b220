//! The loss of logits against labels, as transformers computes it for image classification.

use crate::{
    config::{ProblemType, SwiftFormerConfig},
    tensor::Tensor,
};

/// Class index that transformers' cross entropy leaves out of the mean.
const IGNORED: i64 = -100;

/// Labels of a batch.
#[derive(Clone, Debug, PartialEq)]
pub enum Labels {
    /// A class index for each image; −100 leaves the image out.
    Classes(Vec<i64>),
    /// Real values: `[batch, labels]` targets, or `[batch]` when there is one label.
    Values(Vec<f32>),
}

impl Labels {
    fn len(&self) -> usize {
        match self {
            Self::Classes(classes) => classes.len(),
            Self::Values(values) => values.len(),
        }
    }
}

/// Labels that do not fit the logits.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LossError {
    /// A wrong number of labels.
    #[error("{problem} over logits {logits:?} needs {expected} labels, found {found}")]
    Count {
        /// Name of the problem type.
        problem: &'static str,
        /// Shape of the logits.
        logits: Vec<usize>,
        /// Labels needed.
        expected: usize,
        /// Labels found.
        found: usize,
    },
    /// A class that does not exist.
    #[error("label {label} of image {image} is not a class: there are {classes}")]
    Class {
        /// The label.
        label: i64,
        /// Position in the batch.
        image: usize,
        /// Number of classes.
        classes: usize,
    },
    /// Real-valued labels where class indices are needed.
    #[error("single-label classification needs class indices")]
    NeedsClasses,
}

/// The mean loss of `logits` `[batch, labels]`.
///
/// Where the config names no problem type, one label means regression, class indices mean single-label and real values
/// multi-label classification (transformers' `ForSequenceClassificationLoss`).
///
/// # Errors
/// When the labels do not fit the logits.
pub fn loss(logits: &Tensor, labels: &Labels, config: &SwiftFormerConfig) -> Result<f32, LossError> {
    let classes = logits.shape().last().copied().unwrap_or(0);
    let problem = config.problem_type.unwrap_or(match labels {
        _ if classes == 1 => ProblemType::Regression,
        Labels::Classes(_) => ProblemType::SingleLabel,
        Labels::Values(_) => ProblemType::MultiLabel,
    });
    let batch = logits.data().len().checked_div(classes).unwrap_or(0);
    let expected = if problem == ProblemType::SingleLabel { batch } else { batch * classes };
    if labels.len() != expected {
        let logits = logits.shape().to_vec();
        return Err(LossError::Count { problem: problem.name(), logits, expected, found: labels.len() });
    }
    let values = || -> Vec<f64> {
        match labels {
            Labels::Values(values) => values.iter().map(|&value| f64::from(value)).collect(),
            Labels::Classes(classes) => classes.iter().map(|&class| class as f64).collect(),
        }
    };
    let scores = || logits.data().iter().map(|&score| f64::from(score));
    let mean = |sum: f64| (sum / (batch * classes) as f64) as f32;
    match (problem, labels) {
        (ProblemType::Regression, _) => Ok(mean(scores().zip(values()).map(|(x, y)| (x - y) * (x - y)).sum())),
        (ProblemType::MultiLabel, _) => {
            let one = |(x, y): (f64, f64)| x.max(0.0) - x * y + (-x.abs()).exp().ln_1p();
            Ok(mean(scores().zip(values()).map(one).sum()))
        }
        (ProblemType::SingleLabel, Labels::Classes(targets)) => cross_entropy(logits, targets, classes),
        (ProblemType::SingleLabel, Labels::Values(_)) => Err(LossError::NeedsClasses),
    }
}

fn cross_entropy(logits: &Tensor, targets: &[i64], classes: usize) -> Result<f32, LossError> {
    let (mut sum, mut counted) = (0.0, 0u32);
    for (image, (row, &label)) in logits.data().chunks_exact(classes.max(1)).zip(targets).enumerate() {
        if label == IGNORED {
            continue;
        }
        let target = usize::try_from(label).ok().and_then(|class| row.get(class));
        let &target = target.ok_or(LossError::Class { label, image, classes })?;
        let most = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let total: f64 = row.iter().map(|&score| f64::from(score - most).exp()).sum();
        sum += total.ln() + f64::from(most) - f64::from(target);
        counted += 1;
    }
    // As PyTorch, the mean over no image is NaN.
    Ok((sum / f64::from(counted)) as f32)
}

#[cfg(test)]
mod tests {
    use super::{Labels, LossError, loss};
    use crate::{config::SwiftFormerConfig, tensor::Tensor};

    #[test]
    fn labels_that_do_not_fit_are_named() {
        let config = SwiftFormerConfig::default();
        let logits = Tensor::new([2, 3], vec![0.0; 6]).unwrap();
        let error = loss(&logits, &Labels::Classes(vec![0, 3]), &config).unwrap_err();
        assert_eq!(error, LossError::Class { label: 3, image: 1, classes: 3 });
        let error = loss(&logits, &Labels::Classes(vec![0]), &config).unwrap_err().to_string();
        assert!(error.contains("[2, 3]") && error.contains("needs 2 labels, found 1"), "{error}");
    }

    #[test]
    fn an_ignored_image_does_not_count() {
        let config = SwiftFormerConfig::default();
        let logits = Tensor::new([2, 2], vec![0.0, 0.0, 9.0, -9.0]).unwrap();
        let value = loss(&logits, &Labels::Classes(vec![1, -100]), &config).unwrap();
        assert!((value - 2f32.ln()).abs() < 1e-6, "{value}");
    }
}
