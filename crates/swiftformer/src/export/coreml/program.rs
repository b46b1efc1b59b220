//! The lowered list as operations of MIL.

use std::collections::{BTreeMap, HashMap, HashSet};

use bytes::Bytes;
use half::f16;

use super::{
    super::{Conv2d, FloatType, GeluForm, Lowered, Node, Op, Over, Reduction, Shape, ValueId},
    CLASS_LABEL, CLASS_PROBABILITIES,
    blob::Blob,
    proto::{
        Argument, Binding, BlobFileValue, Block, ConstantDimension, DataType, DictionaryType, Dimension, Function,
        ImmediateValue, ListType, ListValue, NamedValueType, Operation, Program, RepeatedBools, RepeatedBytes,
        RepeatedFloats, RepeatedInts, RepeatedStrings, TensorType, TensorValue, Value, ValueType,
    },
};

/// The operations that came with specification 7.
const OPSET: &str = "CoreML6";
const WEIGHTS: &str = "@model_path/weights/weight.bin";
/// Tensors of fewer values stand in the program itself.
const FEW: usize = 10;

pub(super) struct Printer<'a> {
    lowered: &'a Lowered,
    classes: &'a [String],
    operations: Vec<Operation>,
    blob: Blob,
    /// What holds each value so far: its name, and its type where it is not the program's.
    names: HashMap<ValueId, String>,
    taken: HashSet<String>,
    float: FloatType,
}

impl<'a> Printer<'a> {
    pub(super) fn new(lowered: &'a Lowered, classes: &'a [String]) -> Self {
        let mut printer = Self {
            lowered,
            classes,
            operations: Vec::new(),
            blob: Blob::new(),
            names: HashMap::new(),
            taken: HashSet::new(),
            float: FloatType::F32,
        };
        // Outputs keep their names whatever else is called.
        for &value in [lowered.input].iter().chain(&lowered.outputs) {
            printer.taken.insert(lowered.values[value].name.clone());
        }
        printer
    }

    pub(super) fn print(mut self) -> (Program, Vec<u8>) {
        let lowered = self.lowered;
        let input = &lowered.values[lowered.input];
        let inputs = vec![NamedValueType { name: input.name.clone(), r#type: Some(self.value_type(lowered.input)) }];
        self.names.insert(lowered.input, input.name.clone());
        let is_image = matches!(input.shape, Shape::Bytes(_));
        // Bytes are normalised in 32-bit floats: their difference from the mean is small beside them.
        if !is_image {
            self.enter(lowered.input);
        }
        for node in &lowered.nodes {
            self.node(node);
            if is_image && matches!(node.op, Op::Affine(_)) && self.float != lowered.options.precision {
                self.enter(node.output);
            }
        }
        let outputs = self.outputs();
        let block = Block { outputs, operations: self.operations };
        let block_specializations = BTreeMap::from([(OPSET.to_owned(), block)]);
        let function = Function { inputs, opset: OPSET.to_owned(), block_specializations };
        let functions = BTreeMap::from([("main".to_owned(), function)]);
        (Program { version: 1, functions }, self.blob.finish())
    }

    /// From here on, values have the precision asked for.
    fn enter(&mut self, value: ValueId) {
        self.float = self.lowered.options.precision;
        if self.float == FloatType::F16 {
            let name = self.unique(&format!("{}_fp16", self.lowered.values[value].name));
            self.cast(value, &name, "fp16");
        }
    }

    fn cast(&mut self, value: ValueId, name: &str, to: &str) {
        let x = self.names[&value].clone();
        let to = self.constant(&format!("{name}_dtype"), strings(to));
        let r#type = self.value_type(value);
        self.operation("cast", name, r#type, &[("x", &x), ("dtype", &to)]);
        self.names.insert(value, name.to_owned());
    }

    /// Brings the outputs to 32-bit floats under their names, or gives class and probabilities.
    fn outputs(&mut self) -> Vec<String> {
        let inner = self.float;
        self.float = FloatType::F32;
        let mut names = Vec::new();
        for &value in &self.lowered.outputs {
            let name = self.lowered.values[value].name.clone();
            if inner == FloatType::F16 {
                self.cast(value, &name, "fp32");
            }
            names.push(name);
        }
        if self.classes.is_empty() {
            return names;
        }
        let text = |label: &String| immediate(tensor_type(DataType::String, &[]), strings(label).1);
        let list = ListType {
            r#type: Some(Box::new(tensor_type(DataType::String, &[]))),
            length: Some(dimension(self.classes.len())),
        };
        let classes = Value {
            r#type: Some(ValueType { list_type: Some(Box::new(list)), ..ValueType::default() }),
            immediate_value: Some(ImmediateValue {
                tensor: None,
                list: Some(ListValue { values: self.classes.iter().map(text).collect() }),
            }),
            blob_file_value: None,
        };
        let probabilities = Binding { name: names.pop(), value: None };
        let classes = Binding { name: None, value: Some(classes) };
        let argument = |binding| Argument { arguments: vec![binding] };
        let inputs = BTreeMap::from([
            ("probabilities".to_owned(), argument(probabilities)),
            ("classes".to_owned(), argument(classes)),
        ]);
        let label = NamedValueType { name: CLASS_LABEL.to_owned(), r#type: Some(tensor_type(DataType::String, &[])) };
        let dictionary = DictionaryType {
            key_type: Some(Box::new(tensor_type(DataType::String, &[]))),
            value_type: Some(Box::new(tensor_type(DataType::Float64, &[]))),
        };
        let scores = NamedValueType {
            name: CLASS_PROBABILITIES.to_owned(),
            r#type: Some(ValueType { dictionary_type: Some(Box::new(dictionary)), ..ValueType::default() }),
        };
        self.operations.push(Operation {
            r#type: "classify".to_owned(),
            inputs,
            outputs: vec![label, scores],
            attributes: name_attribute("classify"),
        });
        vec![CLASS_LABEL.to_owned(), CLASS_PROBABILITIES.to_owned()]
    }

    fn value_type(&self, value: ValueId) -> ValueType {
        let shape = self.lowered.values[value].shape;
        let sides: Vec<usize> = match shape {
            // An image arrives as planes of floats.
            Shape::Bytes([height, width, channels]) => vec![channels, height, width],
            Shape::Map(_) | Shape::Vector(_) => shape.sides().to_vec(),
        };
        let batch = self.lowered.fixed_batch().unwrap_or(1);
        let sides: Vec<usize> = std::iter::once(batch).chain(sides).collect();
        tensor_type(data_type(self.float), &sides)
    }

    /// A name that MIL takes and nothing else has.
    fn unique(&mut self, name: &str) -> String {
        let letter = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
        let mut name: String = name.chars().map(letter).collect();
        while !self.taken.insert(name.clone()) {
            name.push('_');
        }
        name
    }

    fn operation(&mut self, kind: &str, name: &str, r#type: ValueType, inputs: &[(&str, &str)]) {
        let argument = |value: &str| {
            let binding = Binding { name: Some(value.to_owned()), value: None };
            Argument { arguments: vec![binding] }
        };
        self.operations.push(Operation {
            r#type: kind.to_owned(),
            inputs: inputs.iter().map(|&(parameter, value)| (parameter.to_owned(), argument(value))).collect(),
            outputs: vec![NamedValueType { name: name.to_owned(), r#type: Some(r#type) }],
            attributes: name_attribute(name),
        });
    }

    fn constant_value(&mut self, name: &str, value: Value) -> String {
        let name = self.unique(name);
        let mut attributes = name_attribute(&name);
        let r#type = value.r#type.clone();
        attributes.insert("val".to_owned(), value);
        self.operations.push(Operation {
            r#type: "const".to_owned(),
            inputs: BTreeMap::new(),
            outputs: vec![NamedValueType { name: name.clone(), r#type }],
            attributes,
        });
        name
    }

    fn constant(&mut self, name: &str, (r#type, value): (ValueType, TensorValue)) -> String {
        self.constant_value(name, immediate(r#type, value))
    }

    fn floats(&mut self, name: &str, sides: &[usize], values: &[f32]) -> String {
        let r#type = tensor_type(data_type(self.float), sides);
        if values.len() >= FEW {
            let offset = self.blob.push(values, self.float);
            let blob = BlobFileValue { file_name: WEIGHTS.to_owned(), offset };
            let value = Value { r#type: Some(r#type), immediate_value: None, blob_file_value: Some(blob) };
            return self.constant_value(name, value);
        }
        let value = match self.float {
            FloatType::F16 => {
                let bytes: Vec<u8> = values.iter().flat_map(|&value| f16::from_f32(value).to_le_bytes()).collect();
                TensorValue { bytes: Some(RepeatedBytes { values: Bytes::from(bytes) }), ..TensorValue::default() }
            }
            FloatType::F32 => {
                TensorValue { floats: Some(RepeatedFloats { values: values.to_vec() }), ..TensorValue::default() }
            }
        };
        self.constant(name, (r#type, value))
    }

    fn node(&mut self, node: &Node) {
        let lowered = self.lowered;
        let operands: Vec<String> = node.inputs.iter().map(|id| self.names[id].clone()).collect();
        let x = operands[0].clone();
        let is_output = lowered.outputs.contains(&node.output) && self.float == FloatType::F32;
        let name = match is_output {
            true => lowered.values[node.output].name.clone(),
            false => self.unique(&node.name),
        };
        let r#type = self.value_type(node.output);
        self.names.insert(node.output, name.clone());
        let plain = |kind: &'static str| (kind, Vec::new());
        let pair = |kind: &'static str| (kind, vec![("y", operands.get(1).cloned().unwrap_or_default())]);
        let (kind, more) = match &node.op {
            // The image is planes of floats already.
            Op::FromBytes(_) => {
                self.names.insert(node.output, x);
                self.taken.remove(&name);
                return;
            }
            Op::Conv2d(conv) => ("conv", self.conv(&name, conv)),
            Op::Linear(linear) => {
                let sides = [linear.out_channels, linear.in_channels];
                let weight = self.floats(&format!("{name}_weight"), &sides, &linear.weight);
                let bias = self.floats(&format!("{name}_bias"), &[linear.out_channels], &linear.bias);
                ("linear", vec![("weight", weight), ("bias", bias)])
            }
            Op::Affine(affine) => {
                let channels = affine.scale.len();
                let is_map = matches!(lowered.values[node.output].shape, Shape::Map(_));
                let sides: &[usize] = if is_map { &[1, channels, 1, 1] } else { &[1, channels] };
                let scale = self.floats(&format!("{name}_scale"), sides, &affine.scale);
                let shift = self.floats(&format!("{name}_shift"), sides, &affine.shift);
                let scaled = self.unique(&format!("{name}_mul"));
                self.operation("mul", &scaled, r#type.clone(), &[("x", &x), ("y", &scale)]);
                self.operation("add", &name, r#type, &[("x", &scaled), ("y", &shift)]);
                return;
            }
            Op::Add => pair("add"),
            Op::Sub => pair("sub"),
            Op::Mul => pair("mul"),
            Op::Div => pair("real_div"),
            Op::AddScalar(constant) => ("add", vec![("y", self.floats(&format!("{name}_y"), &[], &[*constant]))]),
            Op::MulScalar(constant) => ("mul", vec![("y", self.floats(&format!("{name}_y"), &[], &[*constant]))]),
            Op::MaxScalar(constant) => ("maximum", vec![("y", self.floats(&format!("{name}_y"), &[], &[*constant]))]),
            Op::Clip([low, high]) => {
                let alpha = self.floats(&format!("{name}_alpha"), &[], &[*low]);
                ("clip", vec![("alpha", alpha), ("beta", self.floats(&format!("{name}_beta"), &[], &[*high]))])
            }
            Op::LeakyRelu(slope) => {
                ("leaky_relu", vec![("alpha", self.floats(&format!("{name}_alpha"), &[], &[*slope]))])
            }
            Op::Gelu(form) => {
                let mode = if *form == GeluForm::Tanh { "TANH_APPROXIMATION" } else { "EXACT" };
                ("gelu", vec![("mode", self.constant(&format!("{name}_mode"), strings(mode)))])
            }
            Op::Sqrt => plain("sqrt"),
            Op::Exp => plain("exp"),
            Op::Erf => plain("erf"),
            Op::Relu => plain("relu"),
            Op::Sigmoid => plain("sigmoid"),
            Op::Tanh => plain("tanh"),
            Op::Softplus => plain("softplus"),
            Op::Reduce(reduction, over) => {
                let kind = match reduction {
                    Reduction::Sum => "reduce_sum",
                    Reduction::Max => "reduce_max",
                    Reduction::L2 => "reduce_l2_norm",
                };
                let axes: &[i32] = if *over == Over::Channels { &[1] } else { &[2, 3] };
                (kind, self.reduction(&name, axes, true))
            }
            Op::GlobalMean => ("reduce_mean", self.reduction(&name, &[2, 3], false)),
            Op::Softmax => ("softmax", vec![("axis", self.constant(&format!("{name}_axis"), int(1)))]),
        };
        let mut inputs = vec![("x", x.as_str())];
        inputs.extend(more.iter().map(|(parameter, value)| (*parameter, value.as_str())));
        self.operation(kind, &name, r#type, &inputs);
    }

    fn conv(&mut self, name: &str, conv: &Conv2d) -> Vec<(&'static str, String)> {
        let group_in = conv.in_channels / conv.groups;
        let sides = [conv.out_channels, group_in, conv.kernel[0], conv.kernel[1]];
        let [top, left] = conv.padding.map(|side| side as i32);
        let strides = conv.stride.map(|side| side as i32);
        let mut inputs = vec![
            ("weight", self.floats(&format!("{name}_weight"), &sides, &conv.weight)),
            ("bias", self.floats(&format!("{name}_bias"), &[conv.out_channels], &conv.bias)),
        ];
        let parameters = [
            ("strides", ints(&strides)),
            ("pad_type", strings("custom")),
            ("pad", ints(&[top, top, left, left])),
            ("dilations", ints(&[1, 1])),
            ("groups", int(conv.groups as i32)),
        ];
        for (parameter, value) in parameters {
            inputs.push((parameter, self.constant(&format!("{name}_{parameter}"), value)));
        }
        inputs
    }

    fn reduction(&mut self, name: &str, axes: &[i32], keep: bool) -> Vec<(&'static str, String)> {
        let axes = self.constant(&format!("{name}_axes"), ints(axes));
        vec![("axes", axes), ("keep_dims", self.constant(&format!("{name}_keep_dims"), bool(keep)))]
    }
}

fn data_type(float: FloatType) -> DataType {
    match float {
        FloatType::F16 => DataType::Float16,
        FloatType::F32 => DataType::Float32,
    }
}

fn dimension(side: usize) -> Dimension {
    Dimension { constant: Some(ConstantDimension { size: side as u64 }) }
}

fn tensor_type(data_type: DataType, sides: &[usize]) -> ValueType {
    let dimensions = sides.iter().map(|&side| dimension(side)).collect();
    let tensor = TensorType { data_type: data_type as i32, rank: sides.len() as i64, dimensions };
    ValueType { tensor_type: Some(tensor), ..ValueType::default() }
}

fn immediate(r#type: ValueType, tensor: TensorValue) -> Value {
    let immediate = ImmediateValue { tensor: Some(tensor), list: None };
    Value { r#type: Some(r#type), immediate_value: Some(immediate), blob_file_value: None }
}

fn strings(text: &str) -> (ValueType, TensorValue) {
    let values = RepeatedStrings { values: vec![text.to_owned()] };
    (tensor_type(DataType::String, &[]), TensorValue { strings: Some(values), ..TensorValue::default() })
}

fn ints(values: &[i32]) -> (ValueType, TensorValue) {
    let value = TensorValue { ints: Some(RepeatedInts { values: values.to_vec() }), ..TensorValue::default() };
    (tensor_type(DataType::Int32, &[values.len()]), value)
}

fn int(value: i32) -> (ValueType, TensorValue) {
    (tensor_type(DataType::Int32, &[]), ints(&[value]).1)
}

fn bool(value: bool) -> (ValueType, TensorValue) {
    let values = RepeatedBools { values: vec![value] };
    (tensor_type(DataType::Bool, &[]), TensorValue { bools: Some(values), ..TensorValue::default() })
}

fn name_attribute(name: &str) -> BTreeMap<String, Value> {
    let (r#type, value) = strings(name);
    BTreeMap::from([("name".to_owned(), immediate(r#type, value))])
}
