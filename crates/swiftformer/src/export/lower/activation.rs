//! Activations, in operations that every format has.

use super::{
    super::{ExportError, GeluForm, Op, ValueId},
    Lowering,
};
use crate::{arch::Act, config::Activation};

impl Lowering<'_> {
    pub(super) fn activation(&mut self, act: &Act, x: ValueId) -> Result<ValueId, ExportError> {
        let name = self.builder.module(act.module);
        let function = act.function;
        let slope = || self.builder.folder.activation_value(act.module, "weight");
        let single = match function {
            Activation::Linear => return Ok(x),
            Activation::Gelu => Some(Op::Gelu(self.options.gelu)),
            Activation::GeluTanh => Some(Op::Gelu(GeluForm::Tanh)),
            Activation::Relu => Some(Op::Relu),
            Activation::Relu6 => Some(Op::Clip([0.0, 6.0])),
            Activation::LeakyRelu => Some(Op::LeakyRelu(0.01)),
            Activation::Prelu => Some(Op::LeakyRelu(slope())),
            Activation::Sigmoid => Some(Op::Sigmoid),
            Activation::Tanh => Some(Op::Tanh),
            _ => None,
        };
        if let Some(op) = single {
            return Ok(self.builder.node(&name, function.name(), op, &[x]));
        }
        let mut node = |part: &str, op, inputs: &[ValueId]| {
            self.builder.node(&format!("{name}.{part}"), function.name(), op, inputs)
        };
        Ok(match function {
            Activation::Gelu10 => {
                let y = node("gelu", Op::Gelu(self.options.gelu), &[x]);
                node("clip", Op::Clip([-10.0, 10.0]), &[y])
            }
            Activation::QuickGelu => {
                let scaled = node("scale", Op::MulScalar(1.702), &[x]);
                let gate = node("sigmoid", Op::Sigmoid, &[scaled]);
                node("mul", Op::Mul, &[x, gate])
            }
            Activation::Silu => {
                let gate = node("sigmoid", Op::Sigmoid, &[x]);
                node("mul", Op::Mul, &[x, gate])
            }
            Activation::Relu2 => {
                let y = node("relu", Op::Relu, &[x]);
                node("mul", Op::Mul, &[y, y])
            }
            Activation::HardSwish => {
                let y = node("add", Op::AddScalar(3.0), &[x]);
                let y = node("clip", Op::Clip([0.0, 6.0]), &[y]);
                let y = node("scale", Op::MulScalar(1.0 / 6.0), &[y]);
                node("mul", Op::Mul, &[x, y])
            }
            Activation::Mish => {
                let y = node("softplus", Op::Softplus, &[x]);
                let y = node("tanh", Op::Tanh, &[y]);
                node("mul", Op::Mul, &[x, y])
            }
            Activation::SqrtSoftplus => {
                let y = node("softplus", Op::Softplus, &[x]);
                node("sqrt", Op::Sqrt, &[y])
            }
            Activation::Laplace => {
                // transformers' μ and 1 / (σ √2).
                let y = node("sub", Op::AddScalar(-0.707_107), &[x]);
                let y = node("scale", Op::MulScalar((1.0 / (0.282_095 * std::f64::consts::SQRT_2)) as f32), &[y]);
                let y = node("erf", Op::Erf, &[y]);
                let y = node("add", Op::AddScalar(1.0), &[y]);
                node("half", Op::MulScalar(0.5), &[y])
            }
            // Where it is positive or negative, xIELU is another function: that takes a selection.
            _ => return Err(ExportError::Activation { activation: function.name(), module: name }),
        })
    }
}
