//! Activations as burn operations, by the formulas of transformers' `ACT2FN`.

use burn::tensor::{Tensor, activation};
use swiftformer::config::Activation;

/// Applies `function`; `learnt` holds its learnt values in the order of [`Activation::parameters`].
pub(crate) fn activate(function: Activation, learnt: &[Tensor<1>], x: Tensor<2>) -> Tensor<2> {
    let gelu = |x: Tensor<2>| {
        let erf = (x.clone() * std::f32::consts::FRAC_1_SQRT_2).erf();
        x * 0.5 * (erf + 1.0)
    };
    match function {
        Activation::Gelu => gelu(x),
        Activation::Gelu10 => gelu(x).clamp(-10.0, 10.0),
        Activation::GeluTanh => {
            let cube = x.clone() * x.clone() * x.clone();
            let inner = (x.clone() + cube * 0.044_715) * (2.0 / std::f64::consts::PI).sqrt();
            x * 0.5 * (inner.tanh() + 1.0)
        }
        Activation::QuickGelu => x.clone() * activation::sigmoid(x * 1.702),
        Activation::Relu => activation::relu(x),
        Activation::Relu2 => {
            let positive = activation::relu(x);
            positive.clone() * positive
        }
        Activation::Relu6 => x.clamp(0.0, 6.0),
        Activation::LeakyRelu => activation::leaky_relu(x, 0.01),
        Activation::Prelu => {
            let slope = learnt[0].clone().reshape([1, 1]);
            activation::relu(x.clone()) - activation::relu(x.neg()) * slope
        }
        Activation::Silu => x.clone() * activation::sigmoid(x),
        Activation::HardSwish => x.clone() * (x + 3.0).clamp(0.0, 6.0) / 6.0,
        Activation::Mish => x.clone() * softplus(x).tanh(),
        Activation::Sigmoid => activation::sigmoid(x),
        Activation::Tanh => x.tanh(),
        Activation::SqrtSoftplus => softplus(x).sqrt(),
        Activation::Laplace => {
            // transformers writes 1/√2 with six digits.
            #[allow(clippy::approx_constant)]
            let scaled = (x - 0.707_107) / (0.282_095 * std::f64::consts::SQRT_2);
            (scaled.erf() + 1.0) * 0.5
        }
        Activation::Xielu => {
            let scalar = |at: usize| learnt[at].clone().reshape([1, 1]);
            let beta = scalar(2);
            let above = softplus(scalar(0));
            let below = beta.clone() + softplus(scalar(1));
            let positive = x.clone().greater_elem(0.0);
            let upper = x.clone() * x.clone() * above;
            // min(x, eps), where eps is a small negative number.
            let eps = scalar(3);
            let clipped = eps.clone() - activation::relu(eps - x.clone());
            let lower = (clipped.exp() - 1.0 - x.clone()) * below;
            lower.mask_where(positive, upper) + x * beta
        }
        Activation::Linear => x,
    }
}

/// `ln(1 + e^x)` without overflow.
fn softplus(x: Tensor<2>) -> Tensor<2> {
    let small = (x.clone().abs().neg().exp() + 1.0).log();
    activation::relu(x) + small
}
