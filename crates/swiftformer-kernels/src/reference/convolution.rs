//! Convolutions and matrix products by their definitions.

use super::activation;
use crate::{Conv2dShape, Epilogue, ImageShape, Rows, RowsMut};

/// Adds what the output holds if asked to, then applies the activation.
fn finish(sum: f64, output: &mut f32, epilogue: Epilogue) {
    let sum = if epilogue.accumulate { sum + f64::from(*output) } else { sum };
    *output = activation(epilogue.activation, sum) as f32;
}

fn bias_of(bias: Option<&[f32]>, channel: usize) -> f64 {
    bias.map_or(0.0, |bias| f64::from(bias[channel]))
}

/// `output[r] = activation(weight · input[r] + bias [+ output[r]])` with `weight` `[outputs, inputs]` row-major.
pub fn pointwise(
    weight: &[f32],
    bias: Option<&[f32]>,
    [outputs, inputs]: [usize; 2],
    input: Rows<'_>,
    mut output: RowsMut<'_>,
    epilogue: Epilogue,
) {
    for row in 0..input.rows {
        let values = input.row(row, inputs);
        for (channel, result) in output.row(row, outputs).iter_mut().enumerate() {
            let weights = &weight[channel * inputs..][..inputs];
            let product = weights.iter().zip(values).map(|(&weight, &value)| f64::from(weight) * f64::from(value));
            finish(product.sum::<f64>() + bias_of(bias, channel), result, epilogue);
        }
    }
}

/// The whole depthwise convolution: stride 1, zero padding 1, `weight` `[channels, 3, 3]`, images NHWC.
pub fn depthwise3x3(weight: &[f32], bias: Option<&[f32]>, input: &[f32], shape: ImageShape, output: &mut [f32]) {
    let ImageShape { height, width, channels } = shape;
    for (index, result) in output.iter_mut().enumerate() {
        let (channel, x, y) = (index % channels, index / channels % width, index / channels / width);
        let mut sum = bias_of(bias, channel);
        for (dy, dx) in (0..3).flat_map(|dy| (0..3).map(move |dx| (dy, dx))) {
            if let (Some(y), Some(x)) = (pixel(y + dy, 1, height), pixel(x + dx, 1, width)) {
                let value = input[(y * width + x) * channels + channel];
                sum += f64::from(weight[channel * 9 + dy * 3 + dx]) * f64::from(value);
            }
        }
        *result = sum as f32;
    }
}

/// The whole dense convolution: `weight` `[outputs, channels, kernel, kernel]`, images NHWC.
pub fn conv2d(
    weight: &[f32],
    bias: Option<&[f32]>,
    shape: Conv2dShape,
    input: &[f32],
    outputs: usize,
    output: &mut [f32],
    epilogue: Epilogue,
) {
    let ImageShape { height, width, channels } = shape.input;
    let result_width = shape.output(outputs).width;
    let [tall, wide] = shape.kernel;
    for (index, result) in output.iter_mut().enumerate() {
        let (target, x, y) = (index % outputs, index / outputs % result_width, index / outputs / result_width);
        let mut sum = bias_of(bias, target);
        for (dy, dx) in (0..tall).flat_map(|dy| (0..wide).map(move |dx| (dy, dx))) {
            let y = pixel(y * shape.stride[0] + dy, shape.padding[0], height);
            let x = pixel(x * shape.stride[1] + dx, shape.padding[1], width);
            let (Some(y), Some(x)) = (y, x) else { continue };
            for channel in 0..channels {
                let weight = weight[((target * channels + channel) * tall + dy) * wide + dx];
                sum += f64::from(weight) * f64::from(input[(y * width + x) * channels + channel]);
            }
        }
        finish(sum, result, epilogue);
    }
}

/// The image's coordinate for one of the padded image, if it lies inside.
fn pixel(padded: usize, padding: usize, size: usize) -> Option<usize> {
    padded.checked_sub(padding).filter(|&inside| inside < size)
}
