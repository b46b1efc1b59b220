//! Operations of the lowering as LiteRT's, with channels last.

use std::borrow::Cow;

use super::{
    FORMAT,
    model::{Data, Element, Model, Step, Tensor, TensorId},
    operator::{Fused, Operator, Padding},
};
use crate::export::{
    Batch, Conv2d, ExportError, FloatType, GeluForm, Lowered, Node, Op, Over, Reduction, Shape, ValueId,
};

/// The axis of the channels.
const CHANNELS: [i32; 1] = [3];
/// The axes of the map.
const PLACES: [i32; 2] = [1, 2];

/// A model being written.
pub(super) struct Printer<'a> {
    lowered: &'a Lowered,
    batch: usize,
    /// The tensor of each value, once there is one.
    places: Vec<Option<TensorId>>,
    /// For each value, how many operations take it, and outputs name it.
    uses: Vec<usize>,
    pub(super) model: Model<'a>,
}

impl<'a> Printer<'a> {
    pub(super) fn new(lowered: &'a Lowered) -> Self {
        let batch = match lowered.options.batch {
            Batch::Fixed(count) => count,
            // The model runs one image until it is told otherwise.
            Batch::Dynamic => 1,
        };
        let mut uses = vec![0; lowered.values.len()];
        for &value in lowered.nodes.iter().flat_map(|node| &node.inputs).chain(&lowered.outputs) {
            uses[value] += 1;
        }
        let model = Model {
            description: String::new(),
            tensors: Vec::new(),
            steps: Vec::new(),
            inputs: Vec::new(),
            outputs: Vec::new(),
            metadata: Vec::new(),
        };
        Self { lowered, batch, places: vec![None; lowered.values.len()], uses, model }
    }

    /// Prints all operations.
    pub(super) fn print(&mut self) -> Result<(), ExportError> {
        let input = self.tensor(self.lowered.input);
        self.model.inputs.push((self.value_name(self.lowered.input), input));
        let mut nodes = self.lowered.nodes.iter().peekable();
        while let Some(node) = nodes.next() {
            // A convolution does the ReLU behind it on its way.
            let fused = match nodes.peek() {
                Some(next) if matches!(node.op, Op::Conv2d(_)) => self.fused(node, next),
                _ => Fused::None,
            };
            let output = match fused {
                Fused::None => node.output,
                _ => nodes.next().map_or(node.output, |next| next.output),
            };
            self.node(node, output, fused)?;
        }
        for &value in &self.lowered.outputs {
            let output = self.tensor(value);
            self.model.outputs.push((self.value_name(value), output));
        }
        Ok(())
    }

    fn value_name(&self, value: ValueId) -> &'a str {
        &self.lowered.values[value].name
    }

    fn fused(&self, node: &Node, next: &Node) -> Fused {
        let only = self.uses[node.output] == 1 && next.inputs == [node.output];
        match next.op {
            Op::Relu if only => Fused::Relu,
            Op::Clip([0.0, 6.0]) if only => Fused::Relu6,
            _ => Fused::None,
        }
    }

    /// `[batch, …]`, channels last.
    fn shape(&self, value: ValueId) -> Vec<usize> {
        match self.lowered.values[value].shape {
            Shape::Map([channels, height, width]) => vec![self.batch, height, width, channels],
            Shape::Vector(channels) => vec![self.batch, channels],
            Shape::Bytes([height, width, channels]) => vec![self.batch, height, width, channels],
        }
    }

    /// The tensor of a value of the lowering.
    fn tensor(&mut self, value: ValueId) -> TensorId {
        if let Some(tensor) = self.places[value] {
            return tensor;
        }
        let bytes = matches!(self.lowered.values[value].shape, Shape::Bytes(_));
        let tensor = self.push(Tensor {
            name: self.value_name(value).to_owned(),
            shape: self.shape(value),
            element: if bytes { Element::U8 } else { Element::F32 },
            scale: bytes.then_some(1.0),
            any_batch: self.lowered.options.batch == Batch::Dynamic,
            data: None,
        });
        self.places[value] = Some(tensor);
        tensor
    }

    fn push(&mut self, tensor: Tensor<'a>) -> TensorId {
        self.model.tensors.push(tensor);
        self.model.tensors.len() - 1
    }

    /// A value between the steps of one operation.
    fn between(&mut self, name: String, shape: Vec<usize>) -> TensorId {
        let any_batch = self.lowered.options.batch == Batch::Dynamic;
        self.push(Tensor { name, shape, element: Element::F32, scale: None, any_batch, data: None })
    }

    fn constant(&mut self, name: String, shape: Vec<usize>, element: Element, data: Data<'a>) -> TensorId {
        self.push(Tensor { name, shape, element, scale: None, any_batch: false, data: Some(data) })
    }

    fn floats(&mut self, name: String, values: &'a [f32]) -> TensorId {
        self.constant(name, vec![values.len()], Element::F32, Data::F32(Cow::Borrowed(values)))
    }

    fn scalar(&mut self, node: &Node, what: &str, value: f32) -> TensorId {
        self.constant(format!("{}/{what}", node.name), vec![], Element::F32, Data::F32(Cow::Owned(vec![value])))
    }

    fn axes(&mut self, node: &Node, axes: &[i32]) -> TensorId {
        self.constant(format!("{}/axes", node.name), vec![axes.len()], Element::I32, Data::I32(axes.to_vec()))
    }

    /// Weights, in halves behind a step that makes floats of them: runtimes do that once, when they load the model.
    fn weights(&mut self, node: &Node, shape: Vec<usize>, values: Cow<'a, [f32]>) -> TensorId {
        let name = format!("{}/weight", node.name);
        if self.lowered.options.precision == FloatType::F32 {
            return self.constant(name, shape, Element::F32, Data::F32(values));
        }
        let halves = self.constant(format!("{name}_f16"), shape.clone(), Element::F16, Data::F16(values));
        let floats =
            self.push(Tensor { name, shape, element: Element::F32, scale: None, any_batch: false, data: None });
        self.step(Operator::Dequantize, vec![halves], floats);
        floats
    }

    fn step(&mut self, operator: Operator, inputs: Vec<TensorId>, output: TensorId) {
        self.model.steps.push(Step { operator, inputs, output });
    }

    /// A step whose result goes into another of the same operation.
    fn inner(&mut self, node: &Node, what: &str, operator: Operator, inputs: Vec<TensorId>, like: ValueId) -> TensorId {
        let shape = self.shape(like);
        let output = self.between(format!("{}/{what}", node.name), shape);
        self.step(operator, inputs, output);
        output
    }

    fn node(&mut self, node: &'a Node, output: ValueId, fused: Fused) -> Result<(), ExportError> {
        let mut inputs: Vec<TensorId> = node.inputs.iter().map(|&value| self.tensor(value)).collect();
        let like = node.output;
        let operator = match &node.op {
            Op::FromBytes(_) => Operator::Dequantize,
            Op::Conv2d(conv) => return self.conv(node, conv, output, fused),
            Op::Linear(linear) => {
                let shape = vec![linear.out_channels, linear.in_channels];
                inputs.push(self.weights(node, shape, Cow::Borrowed(&linear.weight)));
                inputs.push(self.floats(format!("{}/bias", node.name), &linear.bias));
                Operator::FullyConnected
            }
            Op::Affine(affine) => {
                inputs.push(self.floats(format!("{}/scale", node.name), &affine.scale));
                let shift = self.floats(format!("{}/shift", node.name), &affine.shift);
                let scaled = self.inner(node, "scaled", Operator::Mul, inputs, like);
                inputs = vec![scaled, shift];
                Operator::Add
            }
            Op::Add => Operator::Add,
            Op::Sub => Operator::Sub,
            Op::Mul if inputs[0] == inputs[1] => {
                inputs.pop();
                Operator::Square
            }
            Op::Mul => Operator::Mul,
            Op::Div => Operator::Div,
            Op::AddScalar(value) => {
                inputs.push(self.scalar(node, "constant", *value));
                Operator::Add
            }
            Op::MulScalar(value) => {
                inputs.push(self.scalar(node, "constant", *value));
                Operator::Mul
            }
            Op::MaxScalar(value) => {
                inputs.push(self.scalar(node, "constant", *value));
                Operator::Maximum
            }
            Op::Clip([0.0, 6.0]) => Operator::Relu6,
            Op::Clip([low, high]) => {
                inputs.push(self.scalar(node, "low", *low));
                let raised = self.inner(node, "raised", Operator::Maximum, inputs, like);
                inputs = vec![raised, self.scalar(node, "high", *high)];
                Operator::Minimum
            }
            Op::Sqrt => Operator::Sqrt,
            Op::Exp => Operator::Exp,
            Op::Relu => Operator::Relu,
            Op::LeakyRelu(slope) => Operator::LeakyRelu { slope: *slope },
            Op::Gelu(form) => Operator::Gelu { tanh: *form == GeluForm::Tanh },
            Op::Sigmoid => Operator::Logistic,
            Op::Tanh => Operator::Tanh,
            Op::Softplus => {
                // max(x, 0) + log(1 + e^-|x|), which neither overflows nor loses small values.
                let positive = self.inner(node, "positive", Operator::Relu, inputs.clone(), like);
                let distance = self.inner(node, "distance", Operator::Abs, inputs, like);
                let negative = self.inner(node, "negative", Operator::Neg, vec![distance], like);
                let power = self.inner(node, "power", Operator::Exp, vec![negative], like);
                let one = self.scalar(node, "one", 1.0);
                let sum = self.inner(node, "sum", Operator::Add, vec![power, one], like);
                let rest = self.inner(node, "rest", Operator::Log, vec![sum], like);
                inputs = vec![positive, rest];
                Operator::Add
            }
            Op::Reduce(reduction, over) => {
                let axes = match over {
                    Over::Channels => self.axes(node, &CHANNELS),
                    Over::Places => self.axes(node, &PLACES),
                };
                match reduction {
                    Reduction::Sum => {
                        inputs.push(axes);
                        Operator::Sum { keep_dims: true }
                    }
                    Reduction::Max => {
                        inputs.push(axes);
                        Operator::ReduceMax { keep_dims: true }
                    }
                    Reduction::L2 => {
                        let squares = self.inner(node, "squares", Operator::Square, inputs, node.inputs[0]);
                        let sum = Operator::Sum { keep_dims: true };
                        inputs = vec![self.inner(node, "sum", sum, vec![squares, axes], like)];
                        Operator::Sqrt
                    }
                }
            }
            Op::GlobalMean => {
                inputs.push(self.axes(node, &PLACES));
                Operator::Mean { keep_dims: false }
            }
            Op::Softmax => Operator::Softmax,
            Op::Erf => {
                return Err(ExportError::Inexpressible {
                    format: FORMAT,
                    what: format!("the error function of {}", node.name),
                    change: "use --format onnx".to_owned(),
                });
            }
        };
        let output = self.tensor(output);
        self.step(operator, inputs, output);
        Ok(())
    }

    fn conv(&mut self, node: &'a Node, conv: &'a Conv2d, output: ValueId, fused: Fused) -> Result<(), ExportError> {
        let mut image = self.tensor(node.inputs[0]);
        let [kernel_y, kernel_x] = conv.kernel;
        let in_group = conv.in_channels / conv.groups;
        let depthwise = conv.groups == conv.in_channels && conv.groups == conv.out_channels && conv.groups > 1;
        if !depthwise && conv.groups > 1 {
            return Err(ExportError::Inexpressible {
                format: FORMAT,
                what: format!("the {} groups of {}", conv.groups, node.name),
                change: "use --format onnx".to_owned(),
            });
        }
        let padding = self.padding(node.inputs[0], conv);
        if padding.is_none() {
            image = self.padded(node, conv, image);
        }
        let padding = padding.unwrap_or(Padding::Valid);
        let (shape, weight) = if depthwise {
            let channels = conv.out_channels;
            let turned = Cow::Owned(channels_last(&conv.weight, 1, channels, kernel_y * kernel_x));
            (vec![1, kernel_y, kernel_x, channels], turned)
        } else {
            let shape = vec![conv.out_channels, kernel_y, kernel_x, in_group];
            let turned = match kernel_y * kernel_x {
                1 => Cow::Borrowed(conv.weight.as_slice()),
                taps => Cow::Owned(channels_last(&conv.weight, conv.out_channels, in_group, taps)),
            };
            (shape, turned)
        };
        let weight = self.weights(node, shape, weight);
        let bias = self.floats(format!("{}/bias", node.name), &conv.bias);
        let output = self.tensor(output);
        let operator = match depthwise {
            true => Operator::Depthwise { stride: conv.stride, padding, fused },
            false => Operator::Conv { stride: conv.stride, padding, fused },
        };
        self.step(operator, vec![image, weight, bias], output);
        Ok(())
    }

    /// How the convolution's own padding is called; `None` where neither name gives the same zeros on both sides.
    fn padding(&self, input: ValueId, conv: &Conv2d) -> Option<Padding> {
        if conv.padding == [0, 0] {
            return Some(Padding::Valid);
        }
        let Shape::Map([_, height, width]) = self.lowered.values[input].shape else { return None };
        let same = |axis: usize, side: usize| {
            let (kernel, stride, pad) = (conv.kernel[axis], conv.stride[axis], conv.padding[axis]);
            let last = (side.div_ceil(stride) - 1) * stride;
            (last + kernel).saturating_sub(side) == 2 * pad
        };
        (same(0, height) && same(1, width)).then_some(Padding::Same)
    }

    /// The image with the convolution's zeros around it.
    fn padded(&mut self, node: &Node, conv: &Conv2d, image: TensorId) -> TensorId {
        let [y, x] = conv.padding;
        let mut shape = self.model.tensors[image].shape.clone();
        shape[1] += 2 * y;
        shape[2] += 2 * x;
        let (y, x) = (y as i32, x as i32);
        let zeros = Data::I32(vec![0, 0, y, y, x, x, 0, 0]);
        let paddings = self.constant(format!("{}/paddings", node.name), vec![4, 2], Element::I32, zeros);
        let padded = self.between(format!("{}/padded", node.name), shape);
        self.step(Operator::Pad, vec![image, paddings], padded);
        padded
    }
}

/// `[outer, channels, taps]` as `[outer, taps, channels]`.
fn channels_last(values: &[f32], outer: usize, channels: usize, taps: usize) -> Vec<f32> {
    let mut turned = Vec::with_capacity(values.len());
    for block in values.chunks_exact(channels * taps).take(outer) {
        for tap in 0..taps {
            turned.extend(block.iter().skip(tap).step_by(taps));
        }
    }
    turned
}
