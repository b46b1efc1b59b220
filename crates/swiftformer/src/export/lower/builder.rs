//! Appends operations, and knows the shapes that they give.

use super::super::{Conv2d, Node, Op, Over, Shape, Value, ValueId};
use crate::{
    arch::{Conv, Leaf, Module, Param, ParamKind},
    plan::fold::{Affine as Folded, Folder},
    weights::names::Names,
};

pub(super) struct Builder<'a> {
    pub(super) folder: Folder<'a>,
    names: Names,
    values: Vec<Value>,
    nodes: Vec<Node>,
}

impl<'a> Builder<'a> {
    pub(super) fn new(folder: Folder<'a>, names: Names) -> Self {
        Self { folder, names, values: Vec::new(), nodes: Vec::new() }
    }

    pub(super) fn finish(self) -> (Vec<Value>, Vec<Node>) {
        (self.values, self.nodes)
    }

    /// The name of a module in the checkpoint's layout.
    pub(super) fn module(&self, module: Module) -> String {
        let param = Param { module, leaf: Leaf::Bias, kind: ParamKind::Bias, shape: Vec::new() };
        let name = self.names.name(&param).unwrap_or_default();
        name.strip_suffix(".bias").map(str::to_owned).unwrap_or(name)
    }

    /// The name of the operation added last.
    pub(super) fn last_name(&self) -> String {
        self.nodes.last().map_or_else(String::new, |node| node.name.clone())
    }

    pub(super) fn shape(&self, value: ValueId) -> Shape {
        self.values[value].shape
    }

    pub(super) fn value(&mut self, name: &str, shape: Shape) -> ValueId {
        self.values.push(Value { name: name.to_owned(), shape });
        self.values.len() - 1
    }

    /// Gives a value the name of an output.
    pub(super) fn rename(&mut self, value: ValueId, name: &str) -> ValueId {
        self.values[value].name = name.to_owned();
        value
    }

    pub(super) fn node(&mut self, name: &str, doc: &str, op: Op, inputs: &[ValueId]) -> ValueId {
        let shape = self.output_shape(&op, inputs);
        let output = self.value(name, shape);
        self.nodes.push(Node { name: name.to_owned(), op, inputs: inputs.to_vec(), output, doc: doc.to_owned() });
        output
    }

    pub(super) fn conv(&mut self, conv: &Conv, folded: Folded, doc: &str, x: ValueId) -> ValueId {
        let name = self.module(conv.module);
        let op = Op::Conv2d(Conv2d {
            in_channels: conv.in_channels,
            out_channels: conv.out_channels,
            kernel: conv.kernel,
            stride: conv.stride,
            padding: conv.padding,
            groups: conv.groups,
            weight: folded.weight,
            bias: folded.bias,
        });
        self.node(&name, doc, op, &[x])
    }

    fn output_shape(&self, op: &Op, inputs: &[ValueId]) -> Shape {
        let first = self.shape(inputs[0]);
        match (op, first) {
            (Op::FromBytes(resample), Shape::Bytes([height, width, channels])) => {
                let [height, width] = resample.map_or([height, width], |resample| resample.size);
                Shape::Map([channels, height, width])
            }
            (Op::Conv2d(conv), Shape::Map([_, height, width])) => {
                let side = |axis: usize, length: usize| {
                    (length + 2 * conv.padding[axis] - conv.kernel[axis]) / conv.stride[axis] + 1
                };
                Shape::Map([conv.out_channels, side(0, height), side(1, width)])
            }
            (Op::Linear(linear), _) => Shape::Vector(linear.out_channels),
            (Op::GlobalMean, _) => Shape::Vector(first.channels()),
            (Op::Reduce(_, Over::Channels), Shape::Map([_, height, width])) => Shape::Map([1, height, width]),
            (Op::Reduce(_, Over::Places), Shape::Map([channels, ..])) => Shape::Map([channels, 1, 1]),
            (Op::Add | Op::Sub | Op::Mul | Op::Div, Shape::Map(a)) => match self.shape(inputs[1]) {
                Shape::Map(b) => Shape::Map([0, 1, 2].map(|axis| a[axis].max(b[axis]))),
                other => other,
            },
            _ => first,
        }
    }
}
