//! What the statistics of `w_g` say about the dialect that trained it.
//!
//! `w_g` starts as N(0, 1). Under `sum` it has no gradient, so weight decay shrinks every block's by the same factor and
//! nothing else happens to it; where it is used, training moves each block's its own way.

use crate::{
    arch::{Arch, Block, Leaf},
    config::Dialect,
};

use super::state::StateDict;

/// Deviation, in standard errors of a normal sample's log standard deviation, beyond which two blocks differ.
const SIGNIFICANT: f64 = 5.0;
/// A common scale below this is decay's work, not the initialisation's.
const SHRUNK: f64 = 0.5;

/// What happened to `w_g` in training.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum TokenWeightUse {
    /// Only shrunk, by the same factor in every block: trained as [`Dialect::Sum`].
    Dead,
    /// Changed block by block: trained by a dialect that uses it.
    Live,
    /// As initialised, or too little to tell.
    Unclear,
}

/// Standard deviations of `w_g`, one an attention block, and what they mean.
#[derive(Clone, Debug, PartialEq)]
pub struct TokenWeightStatistics {
    /// Root mean squares of `w_g`, first block to last.
    pub rms: Vec<f64>,
    /// What they mean.
    pub verdict: TokenWeightUse,
}

impl TokenWeightStatistics {
    /// Looks at every `w_g` of a network.
    pub fn of(arch: &Arch, state: &StateDict) -> Self {
        let mut rms = Vec::new();
        let mut logs = Vec::new();
        for block in arch.stages.iter().flat_map(|stage| &stage.blocks) {
            let Block::Attention(block) = block else { continue };
            let values = state.values(block.attention.token_weights, Leaf::Value);
            let square = values.iter().map(|&v| f64::from(v) * f64::from(v)).sum::<f64>() / values.len().max(1) as f64;
            rms.push(square.sqrt());
            logs.push((square.sqrt().ln(), values.len() as f64));
        }
        let weight: f64 = logs.iter().map(|&(_, count)| count).sum();
        let common = logs.iter().map(|&(log, count)| log * count).sum::<f64>() / weight;
        let spread = logs.iter().map(|&(log, count)| (log - common).abs() * (2.0 * count).sqrt()).fold(0.0, f64::max);
        let verdict = if logs.len() < 2 || !common.is_finite() {
            TokenWeightUse::Unclear
        } else if spread > SIGNIFICANT {
            TokenWeightUse::Live
        } else if common < SHRUNK.ln() {
            TokenWeightUse::Dead
        } else {
            TokenWeightUse::Unclear
        };
        Self { rms, verdict }
    }

    /// A warning when the statistics contradict `dialect`.
    pub fn warning(&self, dialect: Dialect) -> Option<String> {
        let rms: Vec<String> = self.rms.iter().map(|rms| format!("{rms:.3}")).collect();
        let rms = rms.join(", ");
        match (self.verdict, dialect.uses_token_weights()) {
            (TokenWeightUse::Dead, true) => Some(format!(
                "the dialect is `{dialect}`, but w_g looks unused in training (rms {rms}: shrunk alike in every block); \
                 these weights were probably trained with dialect `sum`"
            )),
            (TokenWeightUse::Live, false) => Some(format!(
                "the dialect is `{dialect}`, which ignores w_g, but w_g looks trained (rms {rms}: different in each \
                 block); these weights were probably trained with dialect `l2`"
            )),
            _ => None,
        }
    }
}
