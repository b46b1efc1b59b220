//! A LiteRT model as values, and its flatbuffer.

use std::borrow::Cow;

use flatbuffers::{FlatBufferBuilder, TableFinishedWIPOffset, WIPOffset};
use half::f16;

use super::{operator::Operator, schema};

/// A table that is written.
pub(super) type Table = WIPOffset<TableFinishedWIPOffset>;

/// A tensor's place in [`Model::tensors`].
pub(super) type TensorId = usize;

/// Weights are read in place by vector instructions.
const ALIGNMENT: usize = 16;
/// What the flatbuffer's own tables take at most, for each tensor and each step.
const TABLE_BYTES: usize = 512;
/// Operators above this number came after the schema's first field for them was full.
const OLD_CODES: i32 = 127;

/// Values of a constant.
pub(super) enum Data<'a> {
    /// 32-bit floats.
    F32(Cow<'a, [f32]>),
    /// 32-bit floats that are stored rounded to 16 bits.
    F16(Cow<'a, [f32]>),
    /// Axes and paddings.
    I32(Vec<i32>),
}

impl Data<'_> {
    /// Bytes in the file.
    fn size(&self) -> usize {
        match self {
            Self::F32(values) => 4 * values.len(),
            Self::F16(values) => 2 * values.len(),
            Self::I32(values) => 4 * values.len(),
        }
    }

    fn bytes(&self) -> Vec<u8> {
        match self {
            Self::F32(values) => values.iter().flat_map(|value| value.to_le_bytes()).collect(),
            Self::F16(values) => values.iter().flat_map(|&value| f16::from_f32(value).to_le_bytes()).collect(),
            Self::I32(values) => values.iter().flat_map(|value| value.to_le_bytes()).collect(),
        }
    }
}

/// The type of a tensor's elements; the numbers are the schema's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i8)]
pub(super) enum Element {
    /// 32-bit float.
    F32 = 0,
    /// 16-bit float.
    F16 = 1,
    /// 32-bit integer.
    I32 = 2,
    /// 8 bits, with a scale.
    U8 = 3,
}

/// A value of the graph.
pub(super) struct Tensor<'a> {
    /// Its name.
    pub(super) name: String,
    /// NHWC; `[out, height, width, in]` for the weights of a convolution.
    pub(super) shape: Vec<usize>,
    /// Type of its elements.
    pub(super) element: Element,
    /// For 8 bits: the real value of one step.
    pub(super) scale: Option<f32>,
    /// Whether the first axis may have another length when the model runs.
    pub(super) any_batch: bool,
    /// What a constant holds.
    pub(super) data: Option<Data<'a>>,
}

/// A step of the graph.
pub(super) struct Step {
    /// What it does.
    pub(super) operator: Operator,
    /// What it reads.
    pub(super) inputs: Vec<TensorId>,
    /// What it makes.
    pub(super) output: TensorId,
}

/// A model of one graph.
pub(super) struct Model<'a> {
    /// For people.
    pub(super) description: String,
    /// All values, constants too.
    pub(super) tensors: Vec<Tensor<'a>>,
    /// The steps, in the order of running.
    pub(super) steps: Vec<Step>,
    /// What the graph is given, under the names of its signature.
    pub(super) inputs: Vec<(&'a str, TensorId)>,
    /// What it gives.
    pub(super) outputs: Vec<(&'a str, TensorId)>,
    /// Named bytes.
    pub(super) metadata: Vec<(String, Vec<u8>)>,
}

impl Model<'_> {
    /// The model's flatbuffer; equal models give equal bytes. `None` when it is too large for the 31-bit offsets.
    pub(super) fn encode(&self) -> Option<Vec<u8>> {
        let constants = self.tensors.iter().filter_map(|tensor| tensor.data.as_ref());
        let metadata = self.metadata.iter().map(|(_, bytes)| bytes.len());
        let payload: usize = constants.map(Data::size).chain(metadata).map(|size| size + ALIGNMENT).sum();
        let names: usize = self.tensors.iter().map(|tensor| tensor.name.len()).sum();
        let tables = (self.tensors.len() + self.steps.len() + self.metadata.len() + 8) * TABLE_BYTES;
        let capacity = payload + names + tables + self.description.len();
        if i32::try_from(capacity).is_err() {
            return None;
        }
        let mut builder = FlatBufferBuilder::with_capacity(capacity);
        let root = self.write(&mut builder);
        // The offset of the root and the identifier come in front: eight bytes that the alignment must count on.
        pad(&mut builder, 8);
        builder.finish(root, Some(schema::MODEL_IDENTIFIER));
        let (mut bytes, start) = builder.collapse();
        bytes.drain(..start);
        Some(bytes)
    }

    fn write(&self, builder: &mut FlatBufferBuilder) -> Table {
        // Buffer 0 is empty, for tensors without values.
        let mut buffers = vec![table(builder, |_| {})];
        let mut places = Vec::with_capacity(self.tensors.len());
        for tensor in &self.tensors {
            places.push(match &tensor.data {
                Some(data) => {
                    buffers.push(buffer(builder, &data.bytes()));
                    buffers.len() - 1
                }
                None => 0,
            });
        }
        let mut metadata = Vec::with_capacity(self.metadata.len());
        for (name, bytes) in &self.metadata {
            buffers.push(buffer(builder, bytes));
            let name = builder.create_string(name);
            metadata.push(table(builder, |fields| {
                fields.push_slot_always(schema::metadata::NAME, name);
                fields.push_slot_always(schema::metadata::BUFFER, (buffers.len() - 1) as u32);
            }));
        }
        let (codes, code_indices) = self.operator_codes(builder);
        let subgraph = self.subgraph(builder, &places, &code_indices);
        let signature = self.signature(builder);

        let codes = builder.create_vector(&codes);
        let subgraphs = builder.create_vector(&[subgraph]);
        let buffers = builder.create_vector(&buffers);
        let metadata = builder.create_vector(&metadata);
        let signatures = builder.create_vector(&[signature]);
        let description = builder.create_string(&self.description);
        table(builder, |fields| {
            fields.push_slot_always(schema::model::VERSION, schema::MODEL_VERSION);
            fields.push_slot_always(schema::model::OPERATOR_CODES, codes);
            fields.push_slot_always(schema::model::SUBGRAPHS, subgraphs);
            fields.push_slot_always(schema::model::DESCRIPTION, description);
            fields.push_slot_always(schema::model::BUFFERS, buffers);
            fields.push_slot_always(schema::model::METADATA, metadata);
            fields.push_slot_always(schema::model::SIGNATURES, signatures);
        })
    }

    /// The operators in use, each once, and for each step the place of its own.
    fn operator_codes(&self, builder: &mut FlatBufferBuilder) -> (Vec<Table>, Vec<u32>) {
        let mut known: Vec<(i32, i32)> = Vec::new();
        let mut indices = Vec::with_capacity(self.steps.len());
        for step in &self.steps {
            let code = (step.operator.code(), self.version(step));
            let index = known.iter().position(|&other| other == code).unwrap_or_else(|| {
                known.push(code);
                known.len() - 1
            });
            indices.push(index as u32);
        }
        let codes = known.into_iter().map(|(code, version)| {
            table(builder, |fields| {
                fields.push_slot(schema::operator_code::VERSION, version, 1);
                fields.push_slot(schema::operator_code::BUILTIN_CODE, code, 0);
                fields.push_slot(schema::operator_code::DEPRECATED_BUILTIN_CODE, code.min(OLD_CODES) as i8, 0);
            })
        });
        (codes.collect(), indices)
    }

    /// The oldest version of the operator that takes these inputs.
    fn version(&self, step: &Step) -> i32 {
        let halves = step.inputs.first().is_some_and(|&input| self.tensors[input].element == Element::F16);
        if matches!(step.operator, Operator::Dequantize) && halves { 3 } else { 1 }
    }

    fn subgraph(&self, builder: &mut FlatBufferBuilder, places: &[usize], codes: &[u32]) -> Table {
        let tensors: Vec<Table> =
            self.tensors.iter().zip(places).map(|(tensor, &place)| tensor.write(builder, place as u32)).collect();
        let steps: Vec<Table> = self.steps.iter().zip(codes).map(|(step, &code)| step.write(builder, code)).collect();
        let ids = |ends: &[(&str, TensorId)]| ends.iter().map(|&(_, id)| id as i32).collect::<Vec<_>>();
        let tensors = builder.create_vector(&tensors);
        let steps = builder.create_vector(&steps);
        let inputs = builder.create_vector(&ids(&self.inputs));
        let outputs = builder.create_vector(&ids(&self.outputs));
        let name = builder.create_string("main");
        table(builder, |fields| {
            fields.push_slot_always(schema::subgraph::TENSORS, tensors);
            fields.push_slot_always(schema::subgraph::INPUTS, inputs);
            fields.push_slot_always(schema::subgraph::OUTPUTS, outputs);
            fields.push_slot_always(schema::subgraph::OPERATORS, steps);
            fields.push_slot_always(schema::subgraph::NAME, name);
        })
    }

    fn signature(&self, builder: &mut FlatBufferBuilder) -> Table {
        let mut maps = |ends: &[(&str, TensorId)]| {
            let maps: Vec<Table> = ends
                .iter()
                .map(|&(name, id)| {
                    let name = builder.create_string(name);
                    table(builder, |fields| {
                        fields.push_slot_always(schema::tensor_map::NAME, name);
                        fields.push_slot_always(schema::tensor_map::TENSOR, id as u32);
                    })
                })
                .collect();
            builder.create_vector(&maps)
        };
        let (inputs, outputs) = (maps(&self.inputs), maps(&self.outputs));
        let key = builder.create_string("serving_default");
        table(builder, |fields| {
            fields.push_slot_always(schema::signature::INPUTS, inputs);
            fields.push_slot_always(schema::signature::OUTPUTS, outputs);
            fields.push_slot_always(schema::signature::KEY, key);
        })
    }
}

impl Tensor<'_> {
    fn write(&self, builder: &mut FlatBufferBuilder, place: u32) -> Table {
        let mut sides: Vec<i32> = self.shape.iter().map(|&side| side as i32).collect();
        let shape = builder.create_vector(&sides);
        let signature = self.any_batch.then(|| {
            sides[0] = -1;
            builder.create_vector(&sides)
        });
        let quantization = self.scale.map(|scale| {
            let scale = builder.create_vector(&[scale]);
            let zero_point = builder.create_vector(&[0i64]);
            table(builder, |fields| {
                fields.push_slot_always(schema::quantization::SCALE, scale);
                fields.push_slot_always(schema::quantization::ZERO_POINT, zero_point);
            })
        });
        let name = builder.create_string(&self.name);
        table(builder, |fields| {
            fields.push_slot_always(schema::tensor::SHAPE, shape);
            if let Some(signature) = signature {
                fields.push_slot_always(schema::tensor::SHAPE_SIGNATURE, signature);
            }
            if let Some(quantization) = quantization {
                fields.push_slot_always(schema::tensor::QUANTIZATION, quantization);
            }
            fields.push_slot_always(schema::tensor::NAME, name);
            fields.push_slot(schema::tensor::BUFFER, place, 0);
            fields.push_slot(schema::tensor::TYPE, self.element as i8, 0);
            fields.push_slot(schema::tensor::HAS_RANK, true, false);
        })
    }
}

impl Step {
    fn write(&self, builder: &mut FlatBufferBuilder, code: u32) -> Table {
        let options = self.operator.options(builder);
        let inputs: Vec<i32> = self.inputs.iter().map(|&id| id as i32).collect();
        let inputs = builder.create_vector(&inputs);
        let outputs = builder.create_vector(&[self.output as i32]);
        table(builder, |fields| {
            fields.push_slot_always(schema::operator::INPUTS, inputs);
            fields.push_slot_always(schema::operator::OUTPUTS, outputs);
            if let Some((_, options)) = options {
                fields.push_slot_always(schema::operator::OPTIONS, options);
            }
            fields.push_slot(schema::operator::CODE_INDEX, code, 0);
            if let Some((kind, _)) = options {
                fields.push_slot_always(schema::operator::OPTIONS_TYPE, kind);
            }
        })
    }
}

/// Writes a table with the fields that `fill` pushes.
pub(super) fn table(builder: &mut FlatBufferBuilder, fill: impl FnOnce(&mut FlatBufferBuilder)) -> Table {
    let start = builder.start_table();
    fill(builder);
    builder.end_table(start)
}

/// Writes a buffer whose bytes are aligned.
fn buffer(builder: &mut FlatBufferBuilder, bytes: &[u8]) -> Table {
    // The byte string below ends in a zero, which stands behind the values and is not counted by the vector's length.
    pad(builder, bytes.len() + 1);
    let data = builder.create_byte_string(bytes);
    table(builder, |fields| fields.push_slot_always(schema::buffer::DATA, data))
}

/// Makes `next` more bytes end on the alignment; the builder fills from the end, whose own alignment `encode` sees to.
fn pad(builder: &mut FlatBufferBuilder, next: usize) {
    while !(builder.unfinished_data().len() + next).is_multiple_of(ALIGNMENT) {
        builder.push(0u8);
    }
}
