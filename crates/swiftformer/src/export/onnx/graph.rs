//! Operations, weights and shapes.

use std::collections::HashSet;

use bytes::Bytes;
use half::f16;

use super::{
    super::{Conv2d, FloatType, GeluForm, Lowered, Node, Op, Over, Reduction, Resample, Shape, Value, ValueId},
    OperatorSet,
    proto::{
        AttributeProto, AttributeType, DataType, Dimension, GraphProto, NodeProto, TensorProto, TensorShapeProto,
        TensorTypeProto, TypeProto, ValueInfoProto,
    },
};
use crate::image::Filter;

/// Axes of a map, and of the places in it.
const CHANNELS: &[i64] = &[1];
const PLACES: &[i64] = &[2, 3];

pub(super) struct Printer<'a> {
    lowered: &'a Lowered,
    set: OperatorSet,
    float: DataType,
    graph: GraphProto,
    /// Constants that are there already.
    constants: HashSet<String>,
}

impl<'a> Printer<'a> {
    pub(super) fn new(lowered: &'a Lowered, set: OperatorSet) -> Self {
        let float = match lowered.options.precision {
            FloatType::F32 => DataType::Float,
            FloatType::F16 => DataType::Float16,
        };
        Self { lowered, set, float, graph: GraphProto::default(), constants: HashSet::new() }
    }

    pub(super) fn print(mut self) -> GraphProto {
        let lowered = self.lowered;
        self.graph.name = "swiftformer".into();
        self.graph.input = vec![self.value_info(lowered.input)];
        self.graph.output = lowered.outputs.iter().map(|&id| self.value_info(id)).collect();
        for node in &lowered.nodes {
            self.node(node);
            if !lowered.outputs.contains(&node.output) {
                let info = self.value_info(node.output);
                self.graph.value_info.push(info);
            }
        }
        self.graph
    }

    fn value(&self, id: ValueId) -> &'a Value {
        &self.lowered.values[id]
    }

    fn value_info(&self, id: ValueId) -> ValueInfoProto {
        let Value { name, shape } = self.value(id);
        let (data_type, doc) = match shape {
            Shape::Map(_) if id == self.lowered.input => (self.float, "[N, C, H, W], normalised"),
            Shape::Bytes(_) if self.lowered.options.source.is_some() => (DataType::Uint8, "[N, H, W, C], 0 to 255"),
            Shape::Bytes(_) => (DataType::Uint8, "[N, H, W, C], 0 to 255, resized and cropped"),
            Shape::Map(_) | Shape::Vector(_) => (self.float, ""),
        };
        let batch = match self.lowered.fixed_batch() {
            Some(count) => Dimension { dim_value: Some(count as i64), dim_param: None },
            None => Dimension { dim_value: None, dim_param: Some("batch".into()) },
        };
        let sides = shape.sides().iter().zip(["height", "width", ""]).map(|(&side, name)| match side {
            0 => Dimension { dim_value: None, dim_param: Some(name.into()) },
            side => Dimension { dim_value: Some(side as i64), dim_param: None },
        });
        let shape = TensorShapeProto { dim: std::iter::once(batch).chain(sides).collect() };
        let tensor = TensorTypeProto { elem_type: data_type as i32, shape: Some(shape) };
        let r#type = Some(TypeProto { tensor_type: Some(tensor) });
        ValueInfoProto { name: name.clone(), r#type, doc_string: doc.into() }
    }

    /// Prints one operation of the list as one or several of ONNX, the last under its name.
    fn node(&mut self, node: &Node) {
        let inputs: Vec<String> = node.inputs.iter().map(|&id| self.value(id).name.clone()).collect();
        let x = inputs.first().cloned().unwrap_or_default();
        let mut steps = Steps { node, output: self.value(node.output).name.clone(), printer: self };
        match &node.op {
            Op::FromBytes(resample) => {
                let mut planes = steps.inner("transpose", "Transpose", &[&x], vec![ints("perm", &[0, 3, 1, 2])]);
                if let Some(resample) = resample {
                    planes = steps.resample(resample, &planes);
                }
                let float = steps.printer.float as i64;
                steps.last("Cast", &[&planes], vec![int("to", float)]);
            }
            Op::Conv2d(conv) => {
                let group_in = conv.in_channels / conv.groups;
                let sides = [conv.out_channels, group_in, conv.kernel[0], conv.kernel[1]];
                let weight = steps.weight("weight", &sides, &conv.weight);
                let bias = steps.weight("bias", &[conv.out_channels], &conv.bias);
                steps.last("Conv", &[&x, &weight, &bias], conv_attributes(conv));
            }
            Op::Linear(linear) => {
                let weight = steps.weight("weight", &[linear.out_channels, linear.in_channels], &linear.weight);
                let bias = steps.weight("bias", &[linear.out_channels], &linear.bias);
                steps.last("Gemm", &[&x, &weight, &bias], vec![int("transB", 1)]);
            }
            Op::Affine(affine) => {
                let channels = affine.scale.len();
                let is_map = matches!(steps.printer.value(node.output).shape, Shape::Map(_));
                let sides: &[usize] = if is_map { &[channels, 1, 1] } else { &[channels] };
                let scale = steps.weight("scale", sides, &affine.scale);
                let shift = steps.weight("shift", sides, &affine.shift);
                let scaled = steps.inner("mul", "Mul", &[&x, &scale], Vec::new());
                steps.last("Add", &[&scaled, &shift], Vec::new());
            }
            Op::Add => steps.pair("Add", &inputs),
            Op::Sub => steps.pair("Sub", &inputs),
            Op::Mul => steps.pair("Mul", &inputs),
            Op::Div => steps.pair("Div", &inputs),
            Op::AddScalar(constant) => steps.with_constant("Add", &x, *constant),
            Op::MulScalar(constant) => steps.with_constant("Mul", &x, *constant),
            Op::MaxScalar(constant) => steps.with_constant("Max", &x, *constant),
            Op::Clip([low, high]) => {
                let [low, high] = [*low, *high].map(|bound| steps.printer.constant(bound));
                steps.last("Clip", &[&x, &low, &high], Vec::new());
            }
            Op::Sqrt => steps.last("Sqrt", &[&x], Vec::new()),
            Op::Exp => steps.last("Exp", &[&x], Vec::new()),
            Op::Erf => steps.last("Erf", &[&x], Vec::new()),
            Op::Relu => steps.last("Relu", &[&x], Vec::new()),
            Op::LeakyRelu(slope) => {
                steps.last("LeakyRelu", &[&x], vec![float("alpha", *slope)]);
            }
            Op::Gelu(form) => steps.gelu(*form, &x),
            Op::Sigmoid => steps.last("Sigmoid", &[&x], Vec::new()),
            Op::Tanh => steps.last("Tanh", &[&x], Vec::new()),
            Op::Softplus => steps.last("Softplus", &[&x], Vec::new()),
            Op::Reduce(reduction, over) => {
                let axes = match over {
                    Over::Channels => CHANNELS,
                    Over::Places => PLACES,
                };
                let name = match reduction {
                    Reduction::Sum => "ReduceSum",
                    Reduction::Max => "ReduceMax",
                    Reduction::L2 => "ReduceL2",
                };
                steps.reduce(name, &x, axes, 1);
            }
            Op::GlobalMean => steps.reduce("ReduceMean", &x, PLACES, 0),
            Op::Softmax => steps.last("Softmax", &[&x], vec![int("axis", 1)]),
        }
    }

    /// A number as a tensor without axes.
    fn constant(&mut self, value: f32) -> String {
        let name = format!("constant.{value}");
        if self.constants.insert(name.clone()) {
            let tensor = self.floats(&name, &[], &[value]);
            self.graph.initializer.push(tensor);
        }
        name
    }

    fn axes(&mut self, axes: &[i64]) -> String {
        self.integers(if axes == PLACES { "axes.places" } else { "axes.channels" }, axes)
    }

    fn integers(&mut self, name: &str, values: &[i64]) -> String {
        if self.constants.insert(name.to_owned()) {
            self.graph.initializer.push(TensorProto {
                dims: vec![values.len() as i64],
                data_type: DataType::Int64 as i32,
                name: name.to_owned(),
                raw_data: values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<_>>().into(),
            });
        }
        name.to_owned()
    }

    fn floats(&self, name: &str, sides: &[usize], values: &[f32]) -> TensorProto {
        let mut raw = Vec::with_capacity(values.len() * 4);
        match self.float {
            DataType::Float16 => values.iter().for_each(|&value| raw.extend(f16::from_f32(value).to_le_bytes())),
            _ => values.iter().for_each(|value| raw.extend(value.to_le_bytes())),
        }
        TensorProto {
            dims: sides.iter().map(|&side| side as i64).collect(),
            data_type: self.float as i32,
            name: name.to_owned(),
            raw_data: Bytes::from(raw),
        }
    }
}

/// The operations of ONNX that one of the list becomes.
struct Steps<'p, 'a> {
    printer: &'p mut Printer<'a>,
    node: &'p Node,
    output: String,
}

impl Steps<'_, '_> {
    fn push(&mut self, name: String, output: String, op: &str, inputs: &[&str], attribute: Vec<AttributeProto>) {
        self.printer.graph.node.push(NodeProto {
            input: inputs.iter().map(|&input| input.to_owned()).collect(),
            output: vec![output],
            name,
            op_type: op.to_owned(),
            attribute,
            doc_string: self.node.doc.clone(),
        });
    }

    /// The operation that gives the node's value.
    fn last(&mut self, op: &str, inputs: &[&str], attributes: Vec<AttributeProto>) {
        self.push(self.node.name.clone(), self.output.clone(), op, inputs, attributes);
    }

    /// An operation on the way there.
    fn inner(&mut self, part: &str, op: &str, inputs: &[&str], attributes: Vec<AttributeProto>) -> String {
        let name = format!("{}.{part}", self.node.name);
        self.push(name.clone(), name.clone(), op, inputs, attributes);
        name
    }

    fn pair(&mut self, op: &str, inputs: &[String]) {
        let inputs: Vec<&str> = inputs.iter().map(String::as_str).collect();
        self.last(op, &inputs, Vec::new());
    }

    fn with_constant(&mut self, op: &str, x: &str, constant: f32) {
        let constant = self.printer.constant(constant);
        self.last(op, &[x, &constant], Vec::new());
    }

    fn weight(&mut self, part: &str, sides: &[usize], values: &[f32]) -> String {
        let name = format!("{}.{part}", self.node.name);
        let tensor = self.printer.floats(&name, sides, values);
        self.printer.graph.initializer.push(tensor);
        name
    }

    fn reduce(&mut self, op: &str, x: &str, axes: &[i64], keep: i64) {
        let keep = int("keepdims", keep);
        if op == "ReduceSum" || self.printer.set.axes_are_input() {
            let axes = self.printer.axes(axes);
            self.last(op, &[x, &axes], vec![keep]);
        } else {
            self.last(op, &[x], vec![ints("axes", axes), keep]);
        }
    }

    /// Planes of bytes scaled and cropped. With these attributes and on bytes, it is Pillow's resize.
    fn resample(&mut self, resample: &Resample, planes: &str) -> String {
        let Shape::Map([channels, ..]) = self.printer.value(self.node.output).shape else { return planes.to_owned() };
        let batch = self.printer.lowered.fixed_batch().unwrap_or(1);
        let [height, width] = resample.scaled;
        let name = &self.node.name;
        let sizes = [batch, channels, height, width].map(|side| side as i64);
        let sizes = self.printer.integers(&format!("{name}.sizes"), &sizes);
        let mut attributes = vec![int("antialias", 1), int("exclude_outside", 1)];
        if resample.filter == Filter::Bicubic {
            attributes.push(string("mode", "cubic"));
            attributes.push(float("cubic_coeff_a", -0.5));
        } else {
            attributes.push(string("mode", "linear"));
        }
        let scaled = self.inner("resize", "Resize", &[planes, "", "", &sizes], attributes);
        if resample.scaled == resample.size {
            return scaled;
        }
        let name = &self.node.name;
        let starts = resample.offset.map(|start| start as i64);
        let ends = [0, 1].map(|axis| (resample.offset[axis] + resample.size[axis]) as i64);
        let starts = self.printer.integers(&format!("{name}.starts"), &starts);
        let ends = self.printer.integers(&format!("{name}.ends"), &ends);
        let axes = self.printer.axes(PLACES);
        self.inner("crop", "Slice", &[&scaled, &starts, &ends, &axes], Vec::new())
    }

    fn gelu(&mut self, form: GeluForm, x: &str) {
        // Only the operator set of `--gelu op` has the operation.
        let has_op = self.printer.lowered.options.gelu == GeluForm::Op;
        match form {
            GeluForm::Op => self.last("Gelu", &[x], Vec::new()),
            GeluForm::Tanh if has_op => self.last("Gelu", &[x], vec![string("approximate", "tanh")]),
            GeluForm::Exact => {
                // In the order in which PyTorch writes it, which is the pattern that runtimes look for.
                let [root, one, half] =
                    [std::f32::consts::SQRT_2, 1.0, 0.5].map(|constant| self.printer.constant(constant));
                let y = self.inner("div", "Div", &[x, &root], Vec::new());
                let y = self.inner("erf", "Erf", &[&y], Vec::new());
                let y = self.inner("add", "Add", &[&y, &one], Vec::new());
                let y = self.inner("mul", "Mul", &[x, &y], Vec::new());
                self.last("Mul", &[&y, &half], Vec::new());
            }
            GeluForm::Tanh => {
                // ½ (1 + tanh u) = σ(2u), with 2u = x (a + b x²).
                let a = 2.0 * (2.0 / std::f64::consts::PI).sqrt();
                let [a, b] = [a, a * 0.044_715].map(|constant| self.printer.constant(constant as f32));
                let y = self.inner("square", "Mul", &[x, x], Vec::new());
                let y = self.inner("scale", "Mul", &[&y, &b], Vec::new());
                let y = self.inner("add", "Add", &[&y, &a], Vec::new());
                let y = self.inner("mul", "Mul", &[x, &y], Vec::new());
                let y = self.inner("sigmoid", "Sigmoid", &[&y], Vec::new());
                self.last("Mul", &[x, &y], Vec::new());
            }
        }
    }
}

fn attribute(name: &str, r#type: i32) -> AttributeProto {
    AttributeProto { name: name.to_owned(), r#type, ..AttributeProto::default() }
}

fn float(name: &str, value: f32) -> AttributeProto {
    AttributeProto { f: Some(value), ..attribute(name, AttributeType::Float as i32) }
}

fn int(name: &str, value: i64) -> AttributeProto {
    AttributeProto { i: Some(value), ..attribute(name, AttributeType::Int as i32) }
}

fn ints(name: &str, values: &[i64]) -> AttributeProto {
    AttributeProto { ints: values.to_vec(), ..attribute(name, AttributeType::Ints as i32) }
}

fn string(name: &str, value: &'static str) -> AttributeProto {
    AttributeProto { s: Some(Bytes::from_static(value.as_bytes())), ..attribute(name, AttributeType::String as i32) }
}

fn conv_attributes(conv: &Conv2d) -> Vec<AttributeProto> {
    let pair = |[y, x]: [usize; 2]| [y as i64, x as i64];
    let [top, left] = pair(conv.padding);
    vec![
        int("group", conv.groups as i64),
        ints("kernel_shape", &pair(conv.kernel)),
        ints("pads", &[top, left, top, left]),
        ints("strides", &pair(conv.stride)),
    ]
}
