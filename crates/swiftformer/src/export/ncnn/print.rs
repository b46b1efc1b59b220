//! Operations of the lowering as ncnn's layers, on blobs `[channels, height, width]` of one image.

use super::{
    fuse::{Activation, Step, Work, steps},
    layers::{Layers, Params},
};
use crate::export::{Conv2d, GeluForm, Lowered, Op, Over, Reduction, Shape, ValueId};

/// Operations of `BinaryOp`.
mod binary {
    pub(super) const ADD: usize = 0;
    pub(super) const SUB: usize = 1;
    pub(super) const MUL: usize = 2;
    pub(super) const DIV: usize = 3;
    pub(super) const MAX: usize = 4;
}

/// Operations of `UnaryOp`.
mod unary {
    pub(super) const SQUARE: usize = 4;
    pub(super) const SQRT: usize = 5;
    pub(super) const EXP: usize = 7;
}

/// Operations of `Reduction`.
mod reduction {
    pub(super) const SUM: usize = 0;
    pub(super) const MAX: usize = 4;
    pub(super) const L2: usize = 8;
}

/// Layers being written.
pub(super) struct Printer<'a> {
    lowered: &'a Lowered,
    /// For each value, how many layers take it.
    uses: Vec<usize>,
    /// For each value, the blobs that no layer takes yet.
    free: Vec<Vec<String>>,
    layers: Layers,
}

/// The text of the `.param` file and the bytes of the `.bin` file.
pub(super) fn print(lowered: &Lowered) -> (String, Vec<u8>) {
    let steps = steps(lowered);
    let mut uses = vec![0; lowered.values.len()];
    steps.iter().flat_map(|step| &step.inputs).for_each(|&value| uses[value] += 1);
    let layers = Layers::new(lowered.options.precision, lowered.weights());
    let mut printer = Printer { lowered, uses, free: vec![Vec::new(); lowered.values.len()], layers };
    printer.input();
    for step in &steps {
        printer.step(step);
    }
    printer.layers.finish()
}

impl Printer<'_> {
    fn input(&mut self) {
        let [width, height, channels] = match self.lowered.values[self.lowered.input].shape {
            Shape::Map([channels, height, width]) | Shape::Bytes([height, width, channels]) => {
                [width, height, channels]
            }
            Shape::Vector(channels) => [channels, 1, 1],
        };
        let shape = Params::default().int(0, width).int(1, height).int(2, channels);
        self.layer("Input", "input", vec![], self.lowered.input, shape);
        self.copies(self.lowered.input);
    }

    fn step(&mut self, step: &Step) {
        let inputs: Vec<String> = step.inputs.iter().map(|&value| self.take(value)).collect();
        if matches!(step.work, Work::Op(Op::FromBytes(_))) {
            // ncnn makes floats of the pixels when it makes a blob of an image.
            self.free[step.output] = inputs;
        } else {
            let (kind, params) = layer(&step.work);
            self.layer(kind, step.name, inputs, step.output, params);
            self.weights(&step.work);
        }
        self.copies(step.output);
    }

    /// A blob for one more layer to take.
    fn take(&mut self, value: ValueId) -> String {
        self.free[value].pop().unwrap_or_else(|| self.lowered.values[value].name.clone())
    }

    fn is_output(&self, value: ValueId) -> bool {
        self.lowered.outputs.contains(&value)
    }

    /// Layers that take the value, and the user for an output.
    fn readers(&self, value: ValueId) -> usize {
        self.uses[value] + usize::from(self.is_output(value))
    }

    fn layer(&mut self, kind: &str, name: &str, inputs: Vec<String>, output: ValueId, params: Params) {
        let value = &self.lowered.values[output].name;
        let blob = if self.readers(output) > 1 { format!("{value}_whole") } else { value.clone() };
        self.layers.push(kind, name, &inputs, std::slice::from_ref(&blob), params);
        self.free[output] = vec![blob];
    }

    /// A blob has one reader. Where there are more, each has a copy, which costs nothing; that of the user has the
    /// value's own name.
    fn copies(&mut self, value: ValueId) {
        if self.readers(value) < 2 {
            return;
        }
        let whole = self.take(value);
        let name = &self.lowered.values[value].name;
        let mut blobs: Vec<String> = (0..self.uses[value]).map(|copy| format!("{name}_{copy}")).collect();
        let copies = blobs.len();
        if self.is_output(value) {
            blobs.push(name.clone());
        }
        self.layers.push("Split", &format!("{name}_split"), &[whole], &blobs, Params::default());
        blobs.truncate(copies);
        // They are taken from the end.
        blobs.reverse();
        self.free[value] = blobs;
    }

    fn weights(&mut self, work: &Work) {
        match work {
            Work::Conv(conv, _) => {
                self.layers.weights(&conv.weight);
                self.layers.plain(&conv.bias);
            }
            Work::Op(Op::Linear(linear)) => {
                self.layers.weights(&linear.weight);
                self.layers.plain(&linear.bias);
            }
            Work::Op(Op::Affine(affine)) => {
                self.layers.plain(&affine.scale);
                self.layers.plain(&affine.shift);
            }
            // One scale for all channels.
            Work::Normalize(_) => self.layers.plain(&[1.0]),
            Work::Op(_) | Work::Square => {}
        }
    }
}

/// The kind of a layer, and its parameters.
fn layer(work: &Work) -> (&'static str, Params) {
    let params = Params::default();
    match work {
        Work::Conv(conv, activation) => convolution(conv, *activation),
        Work::Square => ("UnaryOp", params.int(0, unary::SQUARE)),
        // Over the channels and not the map, one scale, bounded as PyTorch's `normalize` bounds it.
        Work::Normalize(epsilon) => {
            ("Normalize", params.int(0, 0).int(4, 1).int(1, 1).float(2, *epsilon).int(3, 1).int(9, 1))
        }
        Work::Op(op) => operation(op),
    }
}

fn operation(op: &Op) -> (&'static str, Params) {
    let params = Params::default;
    let binary = |operation| ("BinaryOp", params().int(0, operation));
    let scalar = |operation, value| ("BinaryOp", params().int(0, operation).int(1, 1).float(2, value));
    match op {
        Op::FromBytes(_) => ("Noop", params()),
        Op::Conv2d(conv) => convolution(conv, Activation::None),
        Op::Linear(linear) => {
            ("InnerProduct", params().int(0, linear.out_channels).int(1, 1).int(2, linear.weight.len()))
        }
        Op::Affine(affine) => ("Scale", params().int(0, affine.scale.len()).int(1, 1)),
        Op::Add => binary(binary::ADD),
        Op::Sub => binary(binary::SUB),
        Op::Mul => binary(binary::MUL),
        Op::Div => binary(binary::DIV),
        Op::AddScalar(value) => scalar(binary::ADD, *value),
        Op::MulScalar(value) => scalar(binary::MUL, *value),
        Op::MaxScalar(value) => scalar(binary::MAX, *value),
        Op::Clip([low, high]) => ("Clip", params().float(0, *low).float(1, *high)),
        Op::Sqrt => ("UnaryOp", params().int(0, unary::SQRT)),
        Op::Exp => ("UnaryOp", params().int(0, unary::EXP)),
        Op::Erf => ("Erf", params()),
        Op::Relu => ("ReLU", params()),
        Op::LeakyRelu(slope) => ("ReLU", params().float(0, *slope)),
        Op::Gelu(form) => ("GELU", params().int(0, usize::from(*form == GeluForm::Tanh))),
        Op::Sigmoid => ("Sigmoid", params()),
        Op::Tanh => ("TanH", params()),
        Op::Softplus => ("Softplus", params()),
        Op::Reduce(how, over) => ("Reduction", reduce(*how, *over)),
        // The mean of the whole map.
        Op::GlobalMean => ("Pooling", params().int(0, 1).int(4, 1)),
        Op::Softmax => ("Softmax", params().int(0, 0).int(1, 1)),
    }
}

fn convolution(conv: &Conv2d, activation: Activation) -> (&'static str, Params) {
    let [kernel_y, kernel_x] = conv.kernel;
    let params = Params::default()
        .int(0, conv.out_channels)
        .int(1, kernel_x)
        .int(11, kernel_y)
        .int(3, conv.stride[1])
        .int(13, conv.stride[0])
        .int(4, conv.padding[1])
        .int(14, conv.padding[0])
        .int(5, 1)
        .int(6, conv.weight.len());
    let (kind, params) = match conv.groups {
        1 => ("Convolution", params),
        groups => ("ConvolutionDepthWise", params.int(7, groups)),
    };
    match activation {
        Activation::None => (kind, params),
        Activation::Relu => (kind, params.int(9, 1)),
        Activation::Clip(ends) => (kind, params.int(9, 3).floats(10, &ends)),
    }
}

fn reduce(how: Reduction, over: Over) -> Params {
    let operation = match how {
        Reduction::Sum => reduction::SUM,
        Reduction::Max => reduction::MAX,
        Reduction::L2 => reduction::L2,
    };
    let axes: &[usize] = match over {
        Over::Channels => &[0],
        Over::Places => &[1, 2],
    };
    // Not all axes but those given, which stay with length 1 and are counted without a batch.
    Params::default().int(0, operation).int(1, 0).ints(3, axes).int(4, 1).int(5, 1)
}
