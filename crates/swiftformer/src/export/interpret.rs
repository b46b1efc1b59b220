//! The list of operations run as it is written, in `f64` and without haste: what printed files are compared with.

use half::f16;

use super::{Affine, Conv2d, GeluForm, Linear, Lowered, Node, Op, Over, Reduction, Resample, Shape};
use crate::{
    config::Activation,
    image::{Image, Window, resize_window},
    reference,
};

/// What every weight and every value is rounded to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rounding {
    /// Nothing: `f64`.
    None,
    /// 16-bit floats, as a runtime that stores them so; sums inside an operation are exact.
    Half,
}

impl Rounding {
    fn apply(self, value: f64) -> f64 {
        match self {
            Self::None => value,
            Self::Half => f16::from_f64(value).to_f64(),
        }
    }
}

/// Runs one image, in the order of the input's shape (bytes as their numbers), and gives every output.
///
/// # Panics
/// When the image has not the input's length, the input may have any, or the list is not one that [`super::lower`] made.
pub fn interpret(lowered: &Lowered, image: &[f32], rounding: Rounding) -> Vec<Vec<f64>> {
    assert_eq!(image.len(), lowered.values[lowered.input].shape.len(), "an image of the input's shape");
    let mut values: Vec<Option<Vec<f64>>> = vec![None; lowered.values.len()];
    values[lowered.input] = Some(image.iter().map(|&value| rounding.apply(f64::from(value))).collect());
    let mut last_use = vec![usize::MAX; lowered.values.len()];
    for (index, node) in lowered.nodes.iter().enumerate() {
        node.inputs.iter().for_each(|&input| last_use[input] = index);
    }
    lowered.outputs.iter().for_each(|&output| last_use[output] = usize::MAX);
    for (index, node) in lowered.nodes.iter().enumerate() {
        let result = {
            let inputs: Vec<(&[f64], Shape)> = node.inputs.iter().map(|&id| input(lowered, &values, id)).collect();
            run(node, &inputs, lowered.values[node.output].shape, rounding)
        };
        values[node.output] = Some(result.into_iter().map(|value| rounding.apply(value)).collect());
        node.inputs.iter().filter(|&&id| last_use[id] == index).for_each(|&id| values[id] = None);
    }
    lowered.outputs.iter().map(|&id| input(lowered, &values, id).0.to_vec()).collect()
}

fn input<'a>(lowered: &Lowered, values: &'a [Option<Vec<f64>>], id: usize) -> (&'a [f64], Shape) {
    let value = &lowered.values[id];
    let data = values[id].as_deref();
    (data.unwrap_or_else(|| panic!("{} is not computed yet", value.name)), value.shape)
}

fn run(node: &Node, inputs: &[(&[f64], Shape)], output: Shape, rounding: Rounding) -> Vec<f64> {
    let (x, shape) = inputs[0];
    let each = |function: &dyn Fn(f64) -> f64| x.iter().map(|&value| function(value)).collect();
    let pairs = |function: fn(f64, f64) -> f64| broadcast(inputs[0], inputs[1], output, function);
    let activation = |function| each(&|value| reference::activation(function, &[], value));
    match &node.op {
        Op::FromBytes(resample) => planes(x, shape, resample.as_ref()),
        Op::Conv2d(layer) => conv2d(layer, x, (shape, output), rounding),
        Op::Linear(layer) => linear(layer, x, rounding),
        Op::Affine(layer) => affine(layer, x, rounding),
        Op::Add => pairs(|a, b| a + b),
        Op::Sub => pairs(|a, b| a - b),
        Op::Mul => pairs(|a, b| a * b),
        Op::Div => pairs(|a, b| a / b),
        Op::AddScalar(constant) => each(&|value| value + f64::from(*constant)),
        Op::MulScalar(constant) => each(&|value| value * f64::from(*constant)),
        Op::MaxScalar(constant) => each(&|value| value.max(f64::from(*constant))),
        Op::Clip([low, high]) => each(&|value| value.clamp(f64::from(*low), f64::from(*high))),
        Op::Sqrt => each(&f64::sqrt),
        Op::Exp => each(&f64::exp),
        Op::Erf => each(&reference::erf),
        Op::Relu => activation(Activation::Relu),
        Op::LeakyRelu(slope) => each(&|value| value.max(0.0) + f64::from(*slope) * value.min(0.0)),
        Op::Gelu(GeluForm::Tanh) => activation(Activation::GeluTanh),
        Op::Gelu(GeluForm::Exact | GeluForm::Op) => activation(Activation::Gelu),
        Op::Sigmoid => activation(Activation::Sigmoid),
        Op::Tanh => each(&f64::tanh),
        Op::Softplus => each(&|value| value.max(0.0) + (-value.abs()).exp().ln_1p()),
        Op::Reduce(reduction, over) => reduce(*reduction, *over, x, shape),
        Op::GlobalMean => {
            let area = shape.len() / shape.channels();
            x.chunks_exact(area).map(|map| map.iter().sum::<f64>() / area as f64).collect()
        }
        Op::Softmax => {
            let most = x.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let total: f64 = x.iter().map(|value| (value - most).exp()).sum();
            each(&|value| (value - most).exp() / total)
        }
    }
}

fn planes(x: &[f64], shape: Shape, resample: Option<&Resample>) -> Vec<f64> {
    let channels = shape.channels();
    let plane = |channel: usize| x.iter().skip(channel).step_by(channels).copied();
    match resample {
        None => (0..channels).flat_map(plane).collect(),
        Some(resample) => (0..channels).flat_map(|channel| resampled(plane(channel), shape, resample)).collect(),
    }
}

/// A channel of bytes, scaled and cropped.
fn resampled(plane: impl Iterator<Item = f64>, shape: Shape, resample: &Resample) -> Vec<f64> {
    let Shape::Bytes([height, width, _]) = shape else { panic!("{shape:?} holds no bytes") };
    let image = Image::<1>::new(width, height, plane.map(|byte| byte as u8).collect());
    let [rows, columns] = [0, 1].map(|axis| resample.offset[axis]..resample.offset[axis] + resample.size[axis]);
    let [height, width] = resample.scaled;
    let scaled =
        image.and_then(|image| resize_window(&image, width, height, resample.filter, &Window { columns, rows }));
    scaled.unwrap_or_else(|error| panic!("{error}")).into_data().into_iter().map(f64::from).collect()
}

fn rounded(values: &[f32], rounding: Rounding) -> Vec<f64> {
    values.iter().map(|&value| rounding.apply(f64::from(value))).collect()
}

fn conv2d(conv: &Conv2d, x: &[f64], (input, output): (Shape, Shape), rounding: Rounding) -> Vec<f64> {
    let (Shape::Map([_, height, width]), Shape::Map([_, out_height, out_width])) = (input, output) else {
        panic!("a convolution of {input:?}");
    };
    let (weight, bias) = (rounded(&conv.weight, rounding), rounded(&conv.bias, rounding));
    let (group_in, group_out) = (conv.in_channels / conv.groups, conv.out_channels / conv.groups);
    let [kernel_y, kernel_x] = conv.kernel;
    let mut result = Vec::with_capacity(output.len());
    for (out, &bias) in bias.iter().enumerate() {
        let first_in = out / group_out * group_in;
        let mut plane = vec![bias; out_height * out_width];
        for tap in 0..group_in * kernel_y * kernel_x {
            let (channel, ky, kx) = (tap / (kernel_y * kernel_x), tap / kernel_x % kernel_y, tap % kernel_x);
            let weight = weight[out * group_in * kernel_y * kernel_x + tap];
            for (oy, row) in plane.chunks_exact_mut(out_width).enumerate() {
                let y = (oy * conv.stride[0] + ky).wrapping_sub(conv.padding[0]);
                if y >= height {
                    continue;
                }
                let source = &x[((first_in + channel) * height + y) * width..][..width];
                // The first place whose tap lies inside, and where it lies.
                let first = conv.padding[1].saturating_sub(kx).div_ceil(conv.stride[1]);
                let inside = source.get(first * conv.stride[1] + kx - conv.padding[1]..).unwrap_or_default();
                let sums = row.iter_mut().skip(first).zip(inside.iter().step_by(conv.stride[1]));
                sums.for_each(|(sum, value)| *sum += weight * value);
            }
        }
        result.append(&mut plane);
    }
    result
}

fn linear(linear: &Linear, x: &[f64], rounding: Rounding) -> Vec<f64> {
    let (weight, bias) = (rounded(&linear.weight, rounding), rounded(&linear.bias, rounding));
    let rows = weight.chunks_exact(linear.in_channels).zip(bias);
    rows.map(|(row, bias)| bias + row.iter().zip(x).map(|(w, v)| w * v).sum::<f64>()).collect()
}

fn affine(affine: &Affine, x: &[f64], rounding: Rounding) -> Vec<f64> {
    let (scale, shift) = (rounded(&affine.scale, rounding), rounded(&affine.shift, rounding));
    let area = x.len() / scale.len();
    let maps = x.chunks_exact(area).zip(scale.iter().zip(&shift));
    maps.flat_map(|(map, (scale, shift))| map.iter().map(move |value| scale * value + shift)).collect()
}

fn broadcast(
    (a, a_shape): (&[f64], Shape),
    (b, b_shape): (&[f64], Shape),
    output: Shape,
    function: fn(f64, f64) -> f64,
) -> Vec<f64> {
    let (Shape::Map(a_sides), Shape::Map(b_sides), Shape::Map([channels, height, width])) = (a_shape, b_shape, output)
    else {
        panic!("{a_shape:?} with {b_shape:?}");
    };
    let at = |sides: [usize; 3], place: [usize; 3]| {
        let [c, y, x] = [0, 1, 2].map(|axis| if sides[axis] == 1 { 0 } else { place[axis] });
        (c * sides[1] + y) * sides[2] + x
    };
    let mut result = Vec::with_capacity(output.len());
    for index in 0..channels * height * width {
        let place = [index / (height * width), index / width % height, index % width];
        result.push(function(a[at(a_sides, place)], b[at(b_sides, place)]));
    }
    result
}

fn reduce(reduction: Reduction, over: Over, x: &[f64], shape: Shape) -> Vec<f64> {
    let area = x.len() / shape.channels();
    let collect = |values: &mut dyn Iterator<Item = f64>| match reduction {
        Reduction::Sum => values.sum(),
        Reduction::Max => values.fold(f64::NEG_INFINITY, f64::max),
        Reduction::L2 => values.map(|value| value * value).sum::<f64>().sqrt(),
    };
    match over {
        Over::Places => x.chunks_exact(area).map(|map| collect(&mut map.iter().copied())).collect(),
        Over::Channels => (0..area).map(|at| collect(&mut x.iter().skip(at).step_by(area).copied())).collect(),
    }
}
