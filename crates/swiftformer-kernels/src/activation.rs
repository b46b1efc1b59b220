//! Elementwise activation functions: which there are, their names, and the kernel that applies them.

use crate::isa::Isa;
use crate::kernels::{Kernel, Kernels};
use crate::rows::RowsMut;
use crate::{math, reference};

/// An elementwise activation function. The formulas are those of Hugging Face's `ACT2FN`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Activation {
    /// `x`
    #[default]
    Identity,
    /// `max(x, 0)`
    Relu,
    /// `x · Φ(x)` with the exact normal distribution `Φ`.
    Gelu,
    /// `x/2 · (1 + tanh(√(2/π)·(x + 0.044715 x³)))`
    GeluTanh,
    /// `x · sigmoid(1.702 x)`
    QuickGelu,
    /// [`Activation::Gelu`] clipped to `-10..=10`.
    GeluClipped10,
    /// `x · sigmoid(x)`, also called swish.
    Silu,
    /// `1 / (1 + e^-x)`
    Sigmoid,
    /// Hyperbolic tangent.
    Tanh,
    /// `max(x, 0)²`
    ReluSquared,
    /// `min(max(x, 0), 6)`
    Relu6,
    /// `x` where positive, `0.01 x` elsewhere.
    LeakyRelu,
    /// `x · tanh(ln(1 + e^x))`
    Mish,
    /// `x · min(max(x + 3, 0), 6) / 6`
    HardSwish,
    /// `min(max(x + 3, 0), 6) / 6`
    HardSigmoid,
    /// `½·(1 + erf((x - 0.707107) / (0.282095·√2)))`
    Laplace,
    /// `x` where positive, `e^x - 1` elsewhere.
    Elu,
    /// `ln(1 + e^x)`
    Softplus,
    /// `√(ln(1 + e^x))`
    SqrtSoftplus,
}

impl Activation {
    /// Every activation.
    pub const ALL: &[Activation] = &[
        Self::Identity,
        Self::Relu,
        Self::Gelu,
        Self::GeluTanh,
        Self::QuickGelu,
        Self::GeluClipped10,
        Self::Silu,
        Self::Sigmoid,
        Self::Tanh,
        Self::ReluSquared,
        Self::Relu6,
        Self::LeakyRelu,
        Self::Mish,
        Self::HardSwish,
        Self::HardSigmoid,
        Self::Laplace,
        Self::Elu,
        Self::Softplus,
        Self::SqrtSoftplus,
    ];
}

impl Kernels {
    /// Applies `activation` to every element in place. At infinities the result is the function's limit, and NaN stays
    /// NaN.
    pub fn activate(self, activation: Activation, values: &mut [f32]) {
        let width = values.len();
        self.dispatch(Activate { activation, rows: RowsMut::new(values, 1, width), width });
    }
}

/// [`activate_rows`] as a kernel of its own.
struct Activate<'a> {
    activation: Activation,
    rows: RowsMut<'a>,
    width: usize,
}

impl Kernel for Activate<'_> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) {
        let Self { activation, rows, width } = self;
        rows.check(width, "activation");
        // SAFETY: just checked.
        unsafe { activate_rows(isa, activation, rows.data.as_mut_ptr(), [rows.rows, width, rows.stride]) };
    }
}

/// Applies `activation` to `rows` rows of `width` floats, `stride` apart.
///
/// # Safety
/// `data` is valid for reading and writing all those rows.
#[inline(always)]
pub(crate) unsafe fn activate_rows<I: Isa>(
    isa: I,
    activation: Activation,
    data: *mut f32,
    [rows, width, stride]: [usize; 3],
) {
    /// One loop over the rows for one vector function.
    macro_rules! apply {
        ($function:expr) => {
            for row in 0..rows {
                // SAFETY: `row < rows`.
                let start = unsafe { data.add(row * stride) };
                let mut column = 0;
                while column + I::LEN <= width {
                    // SAFETY: the vector ends within the row.
                    unsafe {
                        let at = start.add(column);
                        isa.store(at, $function(isa, isa.load(at)));
                    }
                    column += I::LEN;
                }
                if column < width {
                    // SAFETY: `width - column` floats are left in the row.
                    unsafe {
                        let at = start.add(column);
                        let value = isa.load_first(at, width - column);
                        isa.store_first(at, $function(isa, value), width - column);
                    }
                }
            }
        };
    }
    match activation {
        Activation::Identity => {}
        Activation::Relu => apply!(relu),
        Activation::Gelu => apply!(math::gelu),
        Activation::GeluTanh => apply!(math::gelu_tanh),
        Activation::QuickGelu => apply!(math::quick_gelu),
        Activation::Silu => apply!(math::silu),
        Activation::Sigmoid => apply!(math::sigmoid),
        Activation::Tanh => apply!(math::tanh),
        // No released model uses the others: right matters more than fast.
        other => {
            for row in 0..rows {
                // SAFETY: the caller vouches for `width` floats in each row.
                let row = unsafe { std::slice::from_raw_parts_mut(data.add(row * stride), width) };
                reference::activate(other, row);
            }
        }
    }
}

#[inline(always)]
fn relu<I: Isa>(isa: I, x: I::F32) -> I::F32 {
    isa.max(isa.zero(), x)
}
