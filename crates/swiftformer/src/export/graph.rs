//! The lowered network: a list of operations in the order in which they run.

use super::{Batch, ExportOptions, GeluForm};
use crate::{config::Dialect, image::Filter};

/// Index of a value in [`Lowered::values`].
pub type ValueId = usize;

/// Shape of a value without the batch, which is always its first axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// `[channels, height, width]` of floats.
    Map([usize; 3]),
    /// `[channels]` of floats.
    Vector(usize),
    /// `[height, width, channels]` of bytes; the input with preprocessing only. A side of 0 may have any length.
    Bytes([usize; 3]),
}

impl Shape {
    /// The sides behind the batch.
    pub fn sides(&self) -> &[usize] {
        match self {
            Self::Map(sides) | Self::Bytes(sides) => sides,
            Self::Vector(channels) => std::slice::from_ref(channels),
        }
    }

    /// Number of values of one image.
    pub fn len(&self) -> usize {
        self.sides().iter().product()
    }

    /// Whether it has no values.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Channels.
    pub fn channels(&self) -> usize {
        match *self {
            Self::Map([channels, ..]) | Self::Vector(channels) | Self::Bytes([.., channels]) => channels,
        }
    }
}

/// A value that flows between operations.
#[derive(Clone, Debug, PartialEq)]
pub struct Value {
    /// Unique; that of the operation that gives it, or of the model's input or output.
    pub name: String,
    /// Its shape.
    pub shape: Shape,
}

/// A convolution with bias.
#[derive(Clone, Debug, PartialEq)]
pub struct Conv2d {
    /// Channels in.
    pub in_channels: usize,
    /// Channels out.
    pub out_channels: usize,
    /// Kernel `[height, width]`.
    pub kernel: [usize; 2],
    /// Stride `[y, x]`.
    pub stride: [usize; 2],
    /// Zero padding `[y, x]` on each side.
    pub padding: [usize; 2],
    /// 1, or `in_channels` for a depthwise convolution.
    pub groups: usize,
    /// `[out_channels, in_channels / groups, height, width]`.
    pub weight: Vec<f32>,
    /// `[out_channels]`.
    pub bias: Vec<f32>,
}

/// A fully connected layer with bias.
#[derive(Clone, Debug, PartialEq)]
pub struct Linear {
    /// Channels in.
    pub in_channels: usize,
    /// Channels out.
    pub out_channels: usize,
    /// `[out_channels, in_channels]`.
    pub weight: Vec<f32>,
    /// `[out_channels]`.
    pub bias: Vec<f32>,
}

/// `scale · x + shift`, one of each for every channel.
#[derive(Clone, Debug, PartialEq)]
pub struct Affine {
    /// `[channels]`.
    pub scale: Vec<f32>,
    /// `[channels]`.
    pub shift: Vec<f32>,
}

/// How an image comes to the network's size: in bytes and with antialiasing, as Pillow does it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resample {
    /// `[height, width]` that it is scaled to.
    pub scaled: [usize; 2],
    /// The filter of that.
    pub filter: Filter,
    /// `[y, x]` of the first pixel that is kept.
    pub offset: [usize; 2],
    /// `[height, width]` that is kept.
    pub size: [usize; 2],
}

/// How values are put together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reduction {
    /// Their sum.
    Sum,
    /// The largest.
    Max,
    /// The root of the sum of their squares; in lowerings of [`super::NormForm::Qnn`] only.
    L2,
}

/// Which values of a map are put together; the axes stay, with length 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Over {
    /// Those of all channels at one place.
    Channels,
    /// Those of all places in one channel.
    Places,
}

/// What an operation does. Operations of two values broadcast sides of length 1; all others take one value.
#[derive(Clone, Debug, PartialEq)]
pub enum Op {
    /// Bytes `[H, W, C]`, resampled or as they are, as floats `[C, H, W]`, 0 to 255.
    FromBytes(Option<Resample>),
    /// Convolution.
    Conv2d(Conv2d),
    /// Fully connected layer, vector to vector.
    Linear(Linear),
    /// `scale · x + shift` for each channel, of a map or a vector.
    Affine(Affine),
    /// `a + b`.
    Add,
    /// `a − b`.
    Sub,
    /// `a · b`; both may be the same value.
    Mul,
    /// `a / b`.
    Div,
    /// `x + constant`.
    AddScalar(f32),
    /// `x · constant`.
    MulScalar(f32),
    /// `max(x, constant)`.
    MaxScalar(f32),
    /// `min(max(x, low), high)`.
    Clip([f32; 2]),
    /// `√x`.
    Sqrt,
    /// `eˣ`.
    Exp,
    /// The error function.
    Erf,
    /// `max(x, 0)`.
    Relu,
    /// `x` above zero, a multiple of it below.
    LeakyRelu(f32),
    /// `x Φ(x)`, exactly or by the tanh form.
    Gelu(GeluForm),
    /// `1 / (1 + e⁻ˣ)`.
    Sigmoid,
    /// Hyperbolic tangent.
    Tanh,
    /// `log(1 + eˣ)`.
    Softplus,
    /// Values of a map put together.
    Reduce(Reduction, Over),
    /// Mean of each channel over the map: a map becomes a vector.
    GlobalMean,
    /// Softmax over the channels of a vector.
    Softmax,
}

impl Op {
    /// Weights of the operation: matrix or scale, then bias or shift.
    pub fn weights(&self) -> Option<[&[f32]; 2]> {
        match self {
            Self::Conv2d(conv) => Some([&conv.weight, &conv.bias]),
            Self::Linear(linear) => Some([&linear.weight, &linear.bias]),
            Self::Affine(affine) => Some([&affine.scale, &affine.shift]),
            _ => None,
        }
    }
}

/// One operation.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// Unique. The name of its module in the checkpoint's layout (`stages.0.blocks.2.attn.to_query`), or, where a module
    /// takes several operations, that and one more part.
    pub name: String,
    /// What it does.
    pub op: Op,
    /// What it takes.
    pub inputs: Vec<ValueId>,
    /// What it gives.
    pub output: ValueId,
    /// For people: what it computes, in the terms of the network.
    pub doc: String,
}

/// What a runtime's user has to know about the model.
#[derive(Clone, Debug, PartialEq)]
pub struct Info {
    /// What the model was opened from.
    pub model: String,
    /// Pooling of attention.
    pub dialect: Dialect,
    /// Whether queries and keys are normalised.
    pub normalize_qk: bool,
    /// Names of the classes; empty unless they are to be embedded.
    pub labels: Vec<String>,
    /// What bytes are multiplied by, before mean and standard deviation.
    pub rescale: f64,
    /// Mean of each input channel.
    pub mean: Vec<f64>,
    /// Standard deviation of each input channel.
    pub std: Vec<f64>,
    /// The whole preprocessing in a line.
    pub preprocessing: String,
    /// Version of this crate.
    pub version: &'static str,
}

impl Info {
    /// The model in a line.
    pub fn description(&self) -> String {
        format!("SwiftFormer `{}`, attention dialect {}", self.model, self.dialect)
    }

    /// Keys and values for a format's metadata; lists are JSON. `labels` are there if they are to be embedded.
    pub fn entries(&self) -> Vec<(&'static str, String)> {
        let json = |values: &[f64]| format!("{values:?}");
        let mut entries = vec![
            ("model", self.model.clone()),
            ("version", self.version.to_owned()),
            ("dialect", self.dialect.to_string()),
            ("normalize_qk", self.normalize_qk.to_string()),
            ("rescale", self.rescale.to_string()),
            ("mean", json(&self.mean)),
            ("std", json(&self.std)),
            ("preprocessing", self.preprocessing.clone()),
        ];
        if !self.labels.is_empty() {
            entries.push(("labels", serde_json::Value::from(self.labels.clone()).to_string()));
        }
        entries
    }
}

/// A network ready to be printed in any format.
#[derive(Clone, Debug, PartialEq)]
pub struct Lowered {
    /// Every value.
    pub values: Vec<Value>,
    /// Operations in the order in which they run.
    pub nodes: Vec<Node>,
    /// The input: `pixel_values`, normalised floats, or `image`, bytes.
    pub input: ValueId,
    /// The outputs, of the names that [`super::OutputKind`] gives.
    pub outputs: Vec<ValueId>,
    /// `[height, width]` of the images.
    pub size: [usize; 2],
    /// The options it was lowered with.
    pub options: ExportOptions,
    /// What to tell a user.
    pub info: Info,
}

impl Lowered {
    /// Number of weights.
    pub fn weights(&self) -> usize {
        let arrays = self.nodes.iter().filter_map(|node| node.op.weights());
        arrays.map(|[first, second]| first.len() + second.len()).sum()
    }

    /// The batch, where it is fixed.
    pub fn fixed_batch(&self) -> Option<usize> {
        match self.options.batch {
            Batch::Fixed(count) => Some(count),
            Batch::Dynamic => None,
        }
    }
}
