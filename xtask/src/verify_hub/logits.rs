//! Published logits.

#[cfg(test)]
mod tests;

use std::fmt;

/// The first logits of COCO's image 39769, from the model cards and transformers' integration test.
pub const PUBLISHED: [(&str, [f32; 5]); 4] = [
    ("xs", [-2.1703, 2.1107, -2.0811, 0.88685, 0.2436]),
    ("s", [0.39636, 0.23478, -1.6963, -1.7381, -0.86337]),
    ("l1", [-0.42768, -0.47429, -1.0897, -1.0248, 0.035523]),
    ("l3", [-0.2533, 0.24211, -0.60185, -0.82789, -0.060446]),
];
/// The numbers are published with four or five digits.
const TOLERANCE: f32 = 1e-3;

/// How far logits are from published ones.
#[derive(Clone, Debug, PartialEq)]
pub struct Verdict {
    found: Vec<f32>,
    expected: Vec<f32>,
    worst: f32,
}

impl Verdict {
    /// Whether every logit is within the tolerance.
    pub fn agrees(&self) -> bool {
        self.worst <= TOLERANCE
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.agrees() {
            return write!(f, "ok, the first logits differ by at most {:.1e}", self.worst);
        }
        let Self { found, expected, worst } = self;
        write!(f, "WRONG: first logits {found:?}, published {expected:?}: they differ by {worst:.1e}")
    }
}

/// Compares the first logits; too few differ infinitely, and so does NaN.
pub fn compare(found: &[f32], expected: [f32; 5]) -> Verdict {
    let found: Vec<f32> = found.iter().copied().take(expected.len()).collect();
    let difference = |(index, expected): (usize, &f32)| match found.get(index).map(|found| (found - expected).abs()) {
        Some(difference) if !difference.is_nan() => difference,
        _ => f32::INFINITY,
    };
    let worst = expected.iter().enumerate().map(difference).fold(0.0, f32::max);
    Verdict { found, expected: expected.to_vec(), worst }
}
