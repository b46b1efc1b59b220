//! Activation functions in `f64`.

use std::f64::consts::{FRAC_1_SQRT_2, PI};

use crate::Activation;

/// Six digits, as in the code that defines the function.
#[allow(clippy::approx_constant, reason = "the definition is the rounded value")]
const LAPLACE_MEAN: f64 = 0.707107;

/// Applies `activation` to every element in place.
pub fn activate(function: Activation, values: &mut [f32]) {
    for value in values {
        *value = activation(function, f64::from(*value)) as f32;
    }
}

/// `activation(x)`, with the function's limit at infinities and NaN at NaN.
pub fn activation(function: Activation, x: f64) -> f64 {
    match function {
        Activation::Identity => x,
        Activation::Relu => x.clamp(0.0, f64::INFINITY),
        Activation::Gelu => gated(x, upper_tail(-x)),
        Activation::GeluTanh => gated(x, sigmoid(2.0 * (2.0 / PI).sqrt() * x * (1.0 + 0.044715 * x * x))),
        Activation::QuickGelu => gated(x, sigmoid(1.702 * x)),
        Activation::GeluClipped10 => activation(Activation::Gelu, x).clamp(-10.0, 10.0),
        Activation::Silu => gated(x, sigmoid(x)),
        Activation::Sigmoid => sigmoid(x),
        Activation::Tanh => x.tanh(),
        Activation::ReluSquared => x.clamp(0.0, f64::INFINITY).powi(2),
        Activation::Relu6 => x.clamp(0.0, 6.0),
        Activation::LeakyRelu => {
            if x < 0.0 {
                0.01 * x
            } else {
                x
            }
        }
        Activation::Mish => gated(x, softplus(x).tanh()),
        Activation::HardSwish => gated(x, (x + 3.0).clamp(0.0, 6.0) / 6.0),
        Activation::HardSigmoid => (x + 3.0).clamp(0.0, 6.0) / 6.0,
        Activation::Laplace => 0.5 * (1.0 + erf((x - LAPLACE_MEAN) / (0.282095 * 2.0f64.sqrt()))),
        Activation::Elu => {
            if x < 0.0 {
                x.exp_m1()
            } else {
                x
            }
        }
        Activation::Softplus => softplus(x),
        Activation::SqrtSoftplus => softplus(x).sqrt(),
    }
}

/// `x · gate`, zero where the gate is shut however large `x` is.
fn gated(x: f64, gate: f64) -> f64 {
    if gate == 0.0 { 0.0 } else { x * gate }
}

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

/// `ln(1 + e^x)` without overflow.
fn softplus(x: f64) -> f64 {
    x.clamp(0.0, f64::INFINITY) + (-x.abs()).exp().ln_1p()
}

/// The error function, to about 1e-15: `erf x = 2x/√π · e^(-x²) · Σ (2x²)ⁿ/(2n+1)!!`, all of whose terms are positive
/// (Abramowitz and Stegun 7.1.6).
pub fn erf(x: f64) -> f64 {
    if x.is_nan() {
        return x;
    }
    if x.abs() > 6.0 {
        return x.signum();
    }
    let (mut term, mut sum, mut odd) = (1.0, 1.0, 1.0);
    while term > sum * 1e-17 {
        odd += 2.0;
        term *= 2.0 * x * x / odd;
        sum += term;
    }
    2.0 * x / PI.sqrt() * (-x * x).exp() * sum
}

/// `1 - Φ(x)` for the standard normal distribution `Φ`, accurate relative to itself where it is small: by the continued
/// fraction of the complementary error function (Abramowitz and Stegun 7.1.14) beyond 3.
fn upper_tail(x: f64) -> f64 {
    let z = x * FRAC_1_SQRT_2;
    if z.is_nan() || z < 3.0 {
        return 0.5 * (1.0 - erf(z));
    }
    let fraction = (1..=60).rev().fold(z, |below, step| z + f64::from(step) / 2.0 / below);
    0.5 * (-z * z).exp() / (PI.sqrt() * fraction)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn erf_and_its_tail_match_published_values() {
        // Abramowitz and Stegun, table 7.1; the tails from table 26.1.
        for (x, expected) in [(0.0, 0.0), (0.5, 0.520_499_877_813_046_5), (1.0, 0.842_700_792_949_714_9)] {
            assert!((erf(x) - expected).abs() < 1e-15, "erf({x})");
            assert!((erf(-x) + expected).abs() < 1e-15, "erf(-{x})");
        }
        assert!((erf(2.0) - 0.995_322_265_018_952_7).abs() < 1e-15);
        for (x, expected) in [(1.0, 0.158_655_253_931_457_05), (5.0, 2.866_515_718_791_939e-7)] {
            assert!((upper_tail(x) / expected - 1.0).abs() < 1e-12, "upper tail of {x}: {}", upper_tail(x));
        }
        assert_eq!(upper_tail(f64::INFINITY), 0.0);
        assert_eq!(upper_tail(f64::NEG_INFINITY), 1.0);
    }
}
