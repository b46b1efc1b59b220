//! LiteRT's operators, as far as the network needs them.

use flatbuffers::FlatBufferBuilder;

use super::{
    model::{Table, table},
    schema,
};

/// How a convolution treats the border.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i8)]
pub(super) enum Padding {
    /// The output has ⌈side ÷ stride⌉; what is missing is split, the larger part behind.
    Same = 0,
    /// None.
    Valid = 1,
}

/// What a convolution does last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i8)]
pub(super) enum Fused {
    /// Nothing.
    None = 0,
    /// `max(x, 0)`.
    Relu = 1,
    /// `min(max(x, 0), 6)`.
    Relu6 = 3,
}

/// An operator and its options.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Operator {
    /// Inputs: image, weights `[out, height, width, in]`, bias.
    Conv { stride: [usize; 2], padding: Padding, fused: Fused },
    /// Inputs: image, weights `[1, height, width, channels]`, bias.
    Depthwise { stride: [usize; 2], padding: Padding, fused: Fused },
    /// Inputs: `[batch, in]`, weights `[out, in]`, bias.
    FullyConnected,
    /// `a + b`.
    Add,
    /// `a − b`.
    Sub,
    /// `a · b`.
    Mul,
    /// `a ÷ b`.
    Div,
    /// The larger of each pair.
    Maximum,
    /// The smaller of each pair.
    Minimum,
    /// Inputs: values, `[axes, 2]` zeros before and behind.
    Pad,
    /// Inputs: values, axes.
    Sum { keep_dims: bool },
    /// Inputs: values, axes.
    Mean { keep_dims: bool },
    /// Inputs: values, axes.
    ReduceMax { keep_dims: bool },
    /// Square root.
    Sqrt,
    /// `x²`.
    Square,
    /// `eˣ`.
    Exp,
    /// Natural logarithm.
    Log,
    /// `−x`.
    Neg,
    /// `|x|`.
    Abs,
    /// Over the last axis.
    Softmax,
    /// With the error function, or with the hyperbolic tangent.
    Gelu { tanh: bool },
    /// `max(x, 0)`.
    Relu,
    /// `min(max(x, 0), 6)`.
    Relu6,
    /// `x` above zero, `slope · x` below.
    LeakyRelu { slope: f32 },
    /// `σ(x)`.
    Logistic,
    /// Hyperbolic tangent.
    Tanh,
    /// Halves or bytes to floats.
    Dequantize,
}

impl Operator {
    /// `BuiltinOperator`.
    pub(super) fn code(self) -> i32 {
        match self {
            Self::Add => 0,
            Self::Conv { .. } => 3,
            Self::Depthwise { .. } => 4,
            Self::Dequantize => 6,
            Self::FullyConnected => 9,
            Self::Logistic => 14,
            Self::Mul => 18,
            Self::Relu => 19,
            Self::Relu6 => 21,
            Self::Softmax => 25,
            Self::Tanh => 28,
            Self::Pad => 34,
            Self::Mean { .. } => 40,
            Self::Sub => 41,
            Self::Div => 42,
            Self::Exp => 47,
            Self::Maximum => 55,
            Self::Minimum => 57,
            Self::Neg => 59,
            Self::Log => 73,
            Self::Sum { .. } => 74,
            Self::Sqrt => 75,
            Self::ReduceMax { .. } => 82,
            Self::Square => 92,
            Self::LeakyRelu { .. } => 98,
            Self::Abs => 101,
            Self::Gelu { .. } => 150,
        }
    }

    /// `BuiltinOptions`: which table, and the table; `None` for operators that have none.
    pub(super) fn options(self, builder: &mut FlatBufferBuilder) -> Option<(u8, Table)> {
        let kind = match self {
            Self::Conv { .. } => 1,
            Self::Depthwise { .. } => 2,
            Self::FullyConnected => 8,
            Self::Softmax => 9,
            Self::Add => 11,
            Self::Mul => 21,
            Self::Pad => 22,
            Self::Sum { .. } | Self::Mean { .. } | Self::ReduceMax { .. } => 27,
            Self::Sub => 28,
            Self::Div => 29,
            Self::Exp => 33,
            Self::Dequantize => 38,
            Self::Maximum | Self::Minimum => 39,
            Self::Neg => 42,
            Self::Square => 66,
            Self::LeakyRelu { .. } => 75,
            Self::Abs => 78,
            Self::Gelu { .. } => 116,
            Self::Sqrt | Self::Log | Self::Relu | Self::Relu6 | Self::Logistic | Self::Tanh => return None,
        };
        let options = table(builder, |fields| match self {
            Self::Conv { stride: [y, x], padding, fused } => {
                fields.push_slot_always(schema::conv::STRIDE_W, x as i32);
                fields.push_slot_always(schema::conv::STRIDE_H, y as i32);
                fields.push_slot(schema::conv::PADDING, padding as i8, 0);
                fields.push_slot(schema::conv::ACTIVATION, fused as i8, 0);
            }
            Self::Depthwise { stride: [y, x], padding, fused } => {
                fields.push_slot_always(schema::depthwise::STRIDE_W, x as i32);
                fields.push_slot_always(schema::depthwise::STRIDE_H, y as i32);
                fields.push_slot_always(schema::depthwise::MULTIPLIER, 1i32);
                fields.push_slot(schema::depthwise::PADDING, padding as i8, 0);
                fields.push_slot(schema::depthwise::ACTIVATION, fused as i8, 0);
            }
            Self::Sum { keep_dims } | Self::Mean { keep_dims } | Self::ReduceMax { keep_dims } => {
                fields.push_slot(schema::reducer::KEEP_DIMS, keep_dims, false);
            }
            Self::Softmax => fields.push_slot_always(schema::softmax::BETA, 1f32),
            Self::Gelu { tanh } => fields.push_slot(schema::gelu::APPROXIMATE, tanh, false),
            Self::LeakyRelu { slope } => fields.push_slot_always(schema::leaky_relu::ALPHA, slope),
            _ => {}
        });
        Some((kind, options))
    }
}
