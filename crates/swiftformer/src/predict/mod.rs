//! From logits to answers: scores, the best classes, and where in the photograph a class was seen.

mod colors;
mod heatmap;
mod scores;

#[cfg(test)]
mod tests;

pub use self::{
    colors::inferno,
    heatmap::{ActivationMap, ClassActivation, HeatmapError},
    scores::{Prediction, ScoreKind, predictions, sigmoid, softmax, top_k},
};
