//! Gradient clipping.

use swiftformer::arch::Module;

use super::{CHUNK, HostGradients};
use crate::model::Network;

/// Which tensors adaptive clipping leaves alone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AgcScope {
    /// None: the authors' script clips every parameter.
    #[default]
    All,
    /// The last two, as timm's script: of SwiftFormer's heads that is the distillation head only.
    WithoutLastTwo,
}

/// How gradients are bounded before a step.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Clip {
    /// Not at all.
    #[default]
    None,
    /// Adaptive (arXiv 2102.06171): each row of a tensor has a norm of at most `factor` times its parameters', which
    /// count as 1e-3 at least.
    Agc {
        /// The ratio.
        factor: f64,
        /// What is left alone.
        scope: AgcScope,
    },
    /// All gradients together have a norm of at most this.
    Norm(f64),
    /// Every value lies in `-v..=v`.
    Value(f64),
}

/// The least norm of parameters that counts.
const AGC_EPS: f64 = 1e-3;

impl Clip {
    /// Bounds the gradients in place, and gives their norm from before.
    pub fn apply(self, network: &mut Network, gradients: &mut HostGradients) -> f64 {
        let chunks: Vec<&[f32]> = gradients.iter().flatten().flat_map(|gradient| gradient.chunks(CHUNK)).collect();
        let mut sums = vec![0.0; chunks.len()];
        let tasks = chunks.into_iter().zip(&mut sums).collect();
        network.workers().for_all(tasks, |_, (chunk, sum)| *sum = squares(chunk));
        let total = sums.iter().sum::<f64>().sqrt();
        match self {
            Self::None => {}
            Self::Value(bound) => {
                let bound = bound as f32;
                gradients
                    .iter_mut()
                    .flatten()
                    .for_each(|g| g.iter_mut().for_each(|value| *value = value.clamp(-bound, bound)));
            }
            Self::Norm(bound) => {
                let factor = (bound / (total + 1e-6)).min(1.0) as f32;
                gradients.iter_mut().flatten().for_each(|g| g.iter_mut().for_each(|value| *value *= factor));
            }
            Self::Agc { factor, scope } => {
                network.with_values(|list, values, workers| {
                    let tensors =
                        list.iter().zip(gradients).zip(&*values).filter_map(|((parameter, gradient), values)| {
                            let skipped =
                                scope == AgcScope::WithoutLastTwo && parameter.param.module == Module::DistHead;
                            let gradient = gradient.as_deref_mut().filter(|_| !skipped)?;
                            let shape = &parameter.param.shape;
                            let rows = if shape.len() > 1 { shape[0] } else { 1 };
                            Some((gradient, values, (values.len() / rows.max(1)).max(1)))
                        });
                    workers.for_all(tensors.collect(), |_, (gradient, values, width)| {
                        for (row, value) in gradient.chunks_exact_mut(width).zip(values.chunks_exact(width)) {
                            let most = squares(value).sqrt().max(AGC_EPS) * factor;
                            let found = squares(row).sqrt();
                            if found >= most {
                                let factor = (most / found.max(1e-6)) as f32;
                                row.iter_mut().for_each(|value| *value *= factor);
                            }
                        }
                    });
                });
            }
        }
        total
    }
}

/// The sum of squares, in eight parts that run side by side.
fn squares(values: &[f32]) -> f64 {
    let (chunks, rest) = values.as_chunks::<8>();
    let mut sums = [0.0; 8];
    for chunk in chunks {
        sums.iter_mut().zip(chunk).for_each(|(sum, &value)| *sum += f64::from(value) * f64::from(value));
    }
    sums.iter().sum::<f64>() + rest.iter().map(|&value| f64::from(value) * f64::from(value)).sum::<f64>()
}
