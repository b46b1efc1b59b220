//! Activation functions by the names that `config.json` files use.

use std::fmt;

/// An elementwise activation. The names are those of transformers' `ACT2FN`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Activation {
    /// `x · Φ(x)` with the exact error function (`gelu`, `gelu_python`).
    #[default]
    Gelu,
    /// The tanh form of GELU (`gelu_new`, `gelu_pytorch_tanh`, `gelu_fast`, `gelu_accurate`, `gelu_python_tanh`).
    GeluTanh,
    /// GELU clipped to [-10, 10] (`gelu_10`).
    Gelu10,
    /// `x · σ(1.702 x)` (`quick_gelu`).
    QuickGelu,
    /// `max(x, 0)`.
    Relu,
    /// `max(x, 0)²`.
    Relu2,
    /// `min(max(x, 0), 6)`.
    Relu6,
    /// `x` above zero, `0.01 x` below.
    LeakyRelu,
    /// `x` above zero, a learnt multiple of `x` below; the slope is a parameter `act.weight`.
    Prelu,
    /// `x · σ(x)` (`silu`, `swish`).
    Silu,
    /// `x · relu6(x + 3) / 6`.
    HardSwish,
    /// `x · tanh(softplus(x))`.
    Mish,
    /// `σ(x)`.
    Sigmoid,
    /// `tanh(x)`.
    Tanh,
    /// `sqrt(softplus(x))`.
    SqrtSoftplus,
    /// `½ (1 + erf((x − μ) / (σ √2)))` with μ = 0.707107, σ = 0.282095.
    Laplace,
    /// Integral of ELU with learnt slopes (arXiv 2411.13010); four parameters.
    Xielu,
    /// `x`.
    Linear,
}

/// Spelling → activation; the first spelling of each activation is the one [`Activation::name`] gives.
const NAMES: &[(&str, Activation)] = &[
    ("gelu", Activation::Gelu),
    ("gelu_pytorch_tanh", Activation::GeluTanh),
    ("gelu_10", Activation::Gelu10),
    ("quick_gelu", Activation::QuickGelu),
    ("relu", Activation::Relu),
    ("relu2", Activation::Relu2),
    ("relu6", Activation::Relu6),
    ("leaky_relu", Activation::LeakyRelu),
    ("prelu", Activation::Prelu),
    ("silu", Activation::Silu),
    ("hardswish", Activation::HardSwish),
    ("mish", Activation::Mish),
    ("sigmoid", Activation::Sigmoid),
    ("tanh", Activation::Tanh),
    ("sqrtsoftplus", Activation::SqrtSoftplus),
    ("laplace", Activation::Laplace),
    ("xielu", Activation::Xielu),
    ("linear", Activation::Linear),
    ("gelu_python", Activation::Gelu),
    ("gelu_new", Activation::GeluTanh),
    ("gelu_fast", Activation::GeluTanh),
    ("gelu_accurate", Activation::GeluTanh),
    ("gelu_python_tanh", Activation::GeluTanh),
    ("gelu_tanh", Activation::GeluTanh),
    ("swish", Activation::Silu),
    ("hard_swish", Activation::HardSwish),
    ("identity", Activation::Linear),
];

impl Activation {
    /// The activation of a transformers or timm name, in any case; a class path such as
    /// `torch.nn.modules.activation.GELU` counts by its last part.
    pub fn from_name(name: &str) -> Option<Self> {
        let last = name.rsplit('.').next()?.to_ascii_lowercase();
        NAMES.iter().find(|(spelling, _)| *spelling == last).map(|&(_, activation)| activation)
    }

    /// The name that transformers understands.
    pub fn name(self) -> &'static str {
        NAMES.iter().find(|&&(_, activation)| activation == self).map_or("gelu", |&(spelling, _)| spelling)
    }

    /// Every accepted spelling, for error messages.
    pub fn spellings() -> impl Iterator<Item = &'static str> {
        NAMES.iter().map(|&(spelling, _)| spelling)
    }

    /// Names and shapes of the learnt values, as transformers' modules call them.
    pub fn parameters(self) -> &'static [(&'static str, &'static [usize])] {
        match self {
            Self::Prelu => &[("weight", &[1])],
            Self::Xielu => &[("alpha_p", &[1]), ("alpha_n", &[1]), ("beta", &[]), ("eps", &[])],
            _ => &[],
        }
    }
}

impl fmt::Display for Activation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
