//! Operations of the lowering that one of ncnn's layers does together.

use crate::export::{Conv2d, Lowered, Node, Op, Over, Reduction, ValueId};

/// A layer to print.
pub(super) struct Step<'a> {
    pub(super) name: &'a str,
    pub(super) work: Work<'a>,
    pub(super) inputs: Vec<ValueId>,
    pub(super) output: ValueId,
}

/// What a layer does.
pub(super) enum Work<'a> {
    /// One operation.
    Op(&'a Op),
    /// A convolution and the activation behind it.
    Conv(&'a Conv2d, Activation),
    /// `x²`, which takes its value once.
    Square,
    /// `x / max(‖x‖, ε)` over the channels.
    Normalize(f32),
}

/// What a convolution does last.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Activation {
    None,
    Relu,
    Clip([f32; 2]),
}

/// The layers, in the order of the operations.
pub(super) fn steps(lowered: &Lowered) -> Vec<Step<'_>> {
    let mut readers = vec![0; lowered.values.len()];
    for &value in lowered.nodes.iter().flat_map(|node| &node.inputs).chain(&lowered.outputs) {
        readers[value] += 1;
    }
    let mut steps = Vec::with_capacity(lowered.nodes.len());
    let mut nodes = lowered.nodes.as_slice();
    while let [node, rest @ ..] = nodes {
        let (step, taken) = activated(node, rest, &readers)
            .or_else(|| normalized(node, rest, &readers))
            .unwrap_or_else(|| (plain(node), 0));
        steps.push(step);
        nodes = &rest[taken..];
    }
    steps
}

fn plain(node: &Node) -> Step<'_> {
    let (work, inputs) = match (&node.op, node.inputs.as_slice()) {
        (Op::Conv2d(conv), inputs) => (Work::Conv(conv, Activation::None), inputs),
        (Op::Mul, [a, b]) if a == b => (Work::Square, &node.inputs[..1]),
        (op, inputs) => (Work::Op(op), inputs),
    };
    Step { name: &node.name, work, inputs: inputs.to_vec(), output: node.output }
}

/// A convolution and the activation behind it.
fn activated<'a>(node: &'a Node, rest: &'a [Node], readers: &[usize]) -> Option<(Step<'a>, usize)> {
    let (Op::Conv2d(conv), Some(next)) = (&node.op, rest.first()) else { return None };
    let activation = match next.op {
        Op::Relu => Activation::Relu,
        Op::Clip(ends) => Activation::Clip(ends),
        _ => return None,
    };
    let alone = next.inputs == [node.output] && readers[node.output] == 1;
    let work = Work::Conv(conv, activation);
    alone.then(|| (Step { name: &node.name, work, inputs: node.inputs.clone(), output: next.output }, 1))
}

/// Square, sum over the channels, root, bound from below and division. As one layer they are one pass over the map, and ncnn
/// computes it in 32 bits also where the layers around it take 16.
fn normalized<'a>(node: &'a Node, rest: &'a [Node], readers: &[usize]) -> Option<(Step<'a>, usize)> {
    let [sum, root, bound, divide, ..] = rest else { return None };
    let (Op::Mul, &[x, same]) = (&node.op, node.inputs.as_slice()) else { return None };
    let Op::MaxScalar(epsilon) = bound.op else { return None };
    let operations =
        sum.op == Op::Reduce(Reduction::Sum, Over::Channels) && root.op == Op::Sqrt && divide.op == Op::Div;
    let chained = sum.inputs == [node.output]
        && root.inputs == [sum.output]
        && bound.inputs == [root.output]
        && divide.inputs == [x, bound.output];
    let alone = [node, sum, root, bound].iter().all(|step| readers[step.output] == 1);
    (x == same && operations && chained && alone).then(|| {
        let name = divide.name.as_str();
        (Step { name, work: Work::Normalize(epsilon), inputs: vec![x], output: divide.output }, 4)
    })
}
