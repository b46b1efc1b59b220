//! Scores of classes, and the best of them.

use crate::config::{ProblemType, SwiftFormerConfig};

/// What the scores of a model are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ScoreKind {
    /// Softmax: probabilities of classes that exclude each other.
    Softmax,
    /// Sigmoid: a probability for each class alone.
    Sigmoid,
    /// The output as it is.
    Raw,
}

impl ScoreKind {
    /// What transformers' image classification pipeline makes of a config: sigmoid for several labels at once and for a
    /// single class, softmax otherwise; values of a regression stay as they are.
    pub fn of(config: &SwiftFormerConfig) -> Self {
        match config.problem_type {
            Some(ProblemType::Regression) => Self::Raw,
            Some(ProblemType::MultiLabel) => Self::Sigmoid,
            Some(ProblemType::SingleLabel) => Self::Softmax,
            None if config.num_labels == 1 => Self::Sigmoid,
            None => Self::Softmax,
        }
    }

    /// The scores of one image's logits.
    pub fn scores(self, logits: &[f32]) -> Vec<f32> {
        match self {
            Self::Softmax => softmax(logits),
            Self::Sigmoid => logits.iter().copied().map(sigmoid).collect(),
            Self::Raw => logits.to_vec(),
        }
    }

    /// Whether scores lie between 0 and 1.
    pub fn is_probability(self) -> bool {
        self != Self::Raw
    }
}

/// `exp(x) / Σ exp`, computed in `f64` after the largest value is subtracted, so that no logits overflow.
///
/// ```
/// use swiftformer::predict::softmax;
///
/// assert_eq!(softmax(&[1e30, 1e30]), [0.5, 0.5]);
/// ```
pub fn softmax(logits: &[f32]) -> Vec<f32> {
    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let powers: Vec<f64> = logits.iter().map(|&x| (f64::from(x) - f64::from(largest)).exp()).collect();
    let sum: f64 = powers.iter().sum();
    powers.into_iter().map(|power| (power / sum) as f32).collect()
}

/// `1 / (1 + exp(-x))`.
pub fn sigmoid(x: f32) -> f32 {
    (1.0 / (1.0 + (-f64::from(x)).exp())) as f32
}

/// Indices of the `k` largest values, largest first; equal ones in their order, NaN after all numbers. All of them when
/// there are fewer than `k`.
///
/// ```
/// use swiftformer::predict::top_k;
///
/// assert_eq!(top_k(&[0.1, 0.7, 0.2, 0.7], 3), [1, 3, 2]);
/// ```
pub fn top_k(values: &[f32], k: usize) -> Vec<usize> {
    let better = |&a: &usize, &b: &usize| {
        let (x, y) = (values[a], values[b]);
        let by_value = y.partial_cmp(&x).unwrap_or_else(|| x.is_nan().cmp(&y.is_nan()));
        by_value.then_with(|| a.cmp(&b))
    };
    let mut indices: Vec<usize> = (0..values.len()).collect();
    if k < indices.len() {
        indices.select_nth_unstable_by(k, better);
        indices.truncate(k);
    }
    indices.sort_unstable_by(better);
    indices
}

/// A class that the model sees in an image.
#[derive(Clone, Debug, PartialEq)]
pub struct Prediction {
    /// Index of the class.
    pub index: usize,
    /// Its name; see [`SwiftFormerConfig::label`].
    pub label: String,
    /// Its score; see [`ScoreKind`].
    pub score: f32,
}

/// The `k` best classes of one image's logits, best first.
pub fn predictions(logits: &[f32], config: &SwiftFormerConfig, k: usize) -> Vec<Prediction> {
    let scores = ScoreKind::of(config).scores(logits);
    // Logits decide the order: scores of clear winners round to the same 1.0.
    let best = top_k(logits, k).into_iter();
    best.map(|index| Prediction { index, label: config.label(index), score: scores[index] }).collect()
}
