//! Pointwise, depthwise and dense convolutions and the MLP against their definitions.
//!
//! Weights are scaled so that outputs have a magnitude of about 1, as in a trained network.

mod common;

use common::{Random, assert_close, isa_tests, pointwise};
use swiftformer_kernels::{
    Activation, AlignedBuffer, Conv2d, Conv2dShape, Depthwise3x3, Epilogue, ImageShape, IsaKind, Kernels, Mlp,
    MlpInput, PackedMatrix, Residual, Rows, RowsMut, reference,
};

/// Sums run in order in `f32`, so that their error grows with their length. Rounding alone: half a unit in the last
/// place (6e-8) for each of `inputs` additions, as a random walk with partial sums of about 1, and its outliers.
fn tolerance(inputs: usize) -> f32 {
    1.5e-6 + 5e-9 * inputs as f32
}

/// Weights scaled so that an output has a magnitude of about 1.
fn weights(random: &mut Random, count: usize, inputs: usize) -> Vec<f32> {
    let scale = (inputs.max(1) as f32).sqrt().recip();
    random.values(count).into_iter().map(|value| value * scale).collect()
}

struct Case {
    rows: usize,
    inputs: usize,
    outputs: usize,
    input_gap: usize,
    output_gap: usize,
    epilogue: Epilogue,
}

fn check_pointwise(kernels: Kernels, case: Case) {
    let Case { rows, inputs, outputs, input_gap, output_gap, epilogue } = case;
    let what = format!("{rows} rows, {inputs} → {outputs}, gaps {input_gap} {output_gap}, {epilogue:?}");
    let mut random = Random::new((rows * 1000 + inputs * 100 + outputs) as u64);
    let weight = weights(&mut random, inputs * outputs, inputs);
    let bias = random.values(outputs);
    let bias = (rows % 2 == 0).then_some(&bias[..]);
    let (input_stride, output_stride) = (inputs + input_gap, outputs + output_gap);
    let input = random.values(rows * input_stride);
    let mut actual = random.values(rows * output_stride);
    let mut expected = actual.clone();

    let packed = PackedMatrix::pack(kernels, &weight, bias, inputs, outputs);
    let input = Rows::new(&input, rows, input_stride);
    pointwise(kernels, &packed, input, RowsMut::new(&mut actual, rows, output_stride), epilogue);
    let target = RowsMut::new(&mut expected, rows, output_stride);
    reference::pointwise(&weight, bias, [outputs, inputs], input, target, epilogue);
    assert_close(&actual, &expected, tolerance(inputs), &what);
}

isa_tests! {
    fn pointwise_is_right_for_every_width_and_row_count(kernels) {
        let epilogues = [
            Epilogue::default(),
            Epilogue { activation: Activation::Gelu, accumulate: false },
            Epilogue { activation: Activation::Identity, accumulate: true },
            Epilogue { activation: Activation::Relu, accumulate: true },
        ];
        for outputs in 1..=70 {
            for rows in [1, 2, 3, 5, 6, 7, 13, 20] {
                let epilogue = epilogues[(outputs + rows) % epilogues.len()];
                let inputs = (outputs * 7 + rows) % 41 + 1;
                let (input_gap, output_gap) = (rows % 3, outputs % 4);
                check_pointwise(kernels, Case { rows, inputs, outputs, input_gap, output_gap, epilogue });
            }
        }
    }

    fn pointwise_is_right_for_model_sizes(kernels) {
        for (inputs, outputs) in [(48, 192), (192, 48), (56, 224), (224, 56), (220, 880), (880, 220), (112, 448)] {
            for rows in [49, 96, 97, 196, 200] {
                let epilogue = Epilogue { activation: Activation::Gelu, accumulate: rows % 2 == 0 };
                check_pointwise(kernels, Case { rows, inputs, outputs, input_gap: 0, output_gap: 0, epilogue });
            }
        }
    }

    fn pointwise_takes_no_rows_and_no_inputs(kernels) {
        let epilogue = Epilogue::default();
        check_pointwise(kernels, Case { rows: 0, inputs: 3, outputs: 5, input_gap: 0, output_gap: 0, epilogue });
        check_pointwise(kernels, Case { rows: 4, inputs: 0, outputs: 5, input_gap: 1, output_gap: 0, epilogue });
    }

    fn pointwise_keeps_nan_and_infinity_in_their_rows(kernels) {
        let weight = PackedMatrix::pack(kernels, &[1.0; 3 * 20], None, 3, 20);
        let mut input = [1.0; 3 * 9];
        (input[3 * 4], input[3 * 6]) = (f32::NAN, f32::INFINITY);
        let mut output = [0.0; 20 * 9];
        let target = RowsMut::new(&mut output, 9, 20);
        let epilogue = Epilogue { activation: Activation::Gelu, accumulate: false };
        pointwise(kernels, &weight, Rows::new(&input, 9, 3), target, epilogue);
        for (row, values) in output.chunks(20).enumerate() {
            match row {
                4 => assert!(values.iter().all(|value| value.is_nan())),
                // On AMX an infinite number is not the sum of its parts.
                6 if kernels.kind() == IsaKind::Amx => assert!(values.iter().all(|value| !value.is_finite())),
                6 => assert!(values.iter().all(|&value| value == f32::INFINITY)),
                _ => assert!(values.iter().all(|&value| (value - 2.995_950_3).abs() < 1e-6), "{values:?}"),
            }
        }
    }

    fn pointwise_results_do_not_depend_on_how_rows_are_split(kernels) {
        let mut random = Random::new(3);
        let (rows, inputs, outputs) = (131, 40, 56);
        let packed = PackedMatrix::pack(kernels, &random.values(inputs * outputs), None, inputs, outputs);
        let input = random.values(rows * inputs);
        let mut whole = vec![0.0; rows * outputs];
        let target = RowsMut::new(&mut whole, rows, outputs);
        pointwise(kernels, &packed, Rows::new(&input, rows, inputs), target, Epilogue::default());
        for part in [1, 5, 17, 64] {
            let mut split = vec![0.0; rows * outputs];
            for (input, output) in input.chunks(part * inputs).zip(split.chunks_mut(part * outputs)) {
                let count = output.len() / outputs;
                let target = RowsMut::new(output, count, outputs);
                pointwise(kernels, &packed, Rows::new(input, count, inputs), target, Epilogue::default());
            }
            assert_eq!(whole, split, "parts of {part}");
        }
    }

    fn mlp_is_two_pointwise_layers(kernels) {
        let mut random = Random::new(5);
        for (rows, inputs, hidden, outputs) in [
            (1, 3, 5, 2),
            (100, 24, 96, 24),
            (196, 56, 224, 56),
            (49, 220, 880, 220),
            (300, 20, 1100, 20),
        ] {
            let first = weights(&mut random, inputs * hidden, inputs);
            let second = weights(&mut random, hidden * outputs, hidden);
            let (first_bias, second_bias) = (random.values(hidden), random.values(outputs));
            let input = random.values(rows * inputs);
            let mut actual = random.values(rows * outputs);
            let mut expected = actual.clone();

            let mlp = Mlp {
                first: &PackedMatrix::pack(kernels, &first, Some(&first_bias), inputs, hidden),
                activation: Activation::Gelu,
                second: &PackedMatrix::pack(kernels, &second, Some(&second_bias), hidden, outputs),
            };
            let mut scratch = AlignedBuffer::zeros(mlp.scratch_len(rows));
            scratch.fill(f32::NAN);
            let input = Rows::new(&input, rows, inputs);
            let (mut in_place, mut in_pieces) = (actual.clone(), actual.clone());
            kernels.mlp(mlp, MlpInput::Rows(input), RowsMut::new(&mut actual, rows, outputs), Residual::Output, &mut scratch);
            if inputs == outputs {
                let copy = in_place.clone();
                let mut separate = in_place.clone();
                let (from, to) = (Rows::new(&copy, rows, inputs), RowsMut::new(&mut separate, rows, outputs));
                kernels.mlp(mlp, MlpInput::Rows(from), to, Residual::Output, &mut scratch);
                kernels.mlp(mlp, MlpInput::Output, RowsMut::new(&mut in_place, rows, outputs), Residual::Output, &mut scratch);
                assert_eq!(in_place, separate);
                let mut elsewhere = vec![f32::NAN; rows * outputs];
                let to = RowsMut::new(&mut elsewhere, rows, outputs);
                kernels.mlp(mlp, MlpInput::Rows(from), to, Residual::Rows(from), &mut scratch);
                assert_eq!(elsewhere, separate, "added from other rows");
            }
            for piece in 0..mlp.pieces() {
                let mut part = vec![f32::NAN; rows * outputs];
                kernels.mlp_piece(mlp, piece, input, RowsMut::new(&mut part, rows, outputs), &mut scratch);
                kernels.add(&part, &mut in_pieces);
            }
            if mlp.pieces() > 1 {
                assert_eq!(in_pieces, actual, "{} pieces", mlp.pieces());
            } else {
                assert_close(&in_pieces, &actual, 1e-6, "one piece");
            }

            let mut middle = vec![0.0; rows * hidden];
            let gelu = Epilogue { activation: Activation::Gelu, accumulate: false };
            let target = RowsMut::new(&mut middle, rows, hidden);
            reference::pointwise(&first, Some(&first_bias), [hidden, inputs], input, target, gelu);
            let add = Epilogue { activation: Activation::Identity, accumulate: true };
            let (middle, target) = (Rows::new(&middle, rows, hidden), RowsMut::new(&mut expected, rows, outputs));
            reference::pointwise(&second, Some(&second_bias), [outputs, hidden], middle, target, add);
            assert_close(&actual, &expected, tolerance(inputs + hidden), &format!("{rows} × {inputs} → {hidden} → {outputs}"));
        }
    }

    fn unusual_activations_follow_the_sum(kernels) {
        let mut random = Random::new(43);
        for activation in Activation::ALL.iter().copied() {
            for accumulate in [false, true] {
                let epilogue = Epilogue { activation, accumulate };
                let (rows, inputs, outputs) = (19, 20, 41);
                let weight = weights(&mut random, inputs * outputs, inputs);
                let (input, mut actual) = (random.values(rows * inputs), random.values(rows * outputs));
                let mut expected = actual.clone();
                let packed = PackedMatrix::pack(kernels, &weight, None, inputs, outputs);
                let input = Rows::new(&input, rows, inputs);
                pointwise(kernels, &packed, input, RowsMut::new(&mut actual, rows, outputs), epilogue);
                let target = RowsMut::new(&mut expected, rows, outputs);
                reference::pointwise(&weight, None, [outputs, inputs], input, target, epilogue);
                assert_close(&actual, &expected, 3e-6, &format!("{epilogue:?}"));
            }
        }
    }

    fn depthwise_3x3_is_right_for_every_size(kernels) {
        let mut random = Random::new(7);
        let mut shapes = Vec::new();
        for channels in 1..=70 {
            shapes.push((channels % 6 + 1, channels % 11 + 1, channels));
        }
        for side in 1..=12 {
            shapes.extend([(side, 7, 20), (5, side, 33)]);
        }
        shapes.extend([(7, 7, 220), (14, 14, 112), (28, 28, 56)]);
        for (height, width, channels) in shapes {
            let shape = ImageShape { height, width, channels };
            let weight = random.values(channels * 9);
            let bias = random.values(channels);
            let bias = (height % 2 == 0).then_some(&bias[..]);
            let input = random.values(shape.len());
            let packed = Depthwise3x3::pack(&weight, bias, channels);
            let mut expected = vec![0.0; shape.len()];
            reference::depthwise3x3(&weight, bias, &input, shape, &mut expected);
            let mut actual = vec![f32::NAN; shape.len()];
            let pixels = height * width;
            kernels.depthwise3x3(&packed, &input, shape, 0..pixels, &mut actual);
            assert_close(&actual, &expected, tolerance(9), &format!("{shape:?}"));
            // In parts, cut where a pair of rows would be, and in the midst of rows: the same bits.
            let whole = actual.clone();
            for cuts in [[height / 2 * width, pixels], [pixels / 3, pixels / 3 + 1], [pixels / 3, pixels - pixels / 4]] {
                actual.fill(f32::NAN);
                let mut start = 0;
                for end in cuts.map(|cut| cut.min(pixels)).into_iter().chain([pixels]) {
                    let part = &mut actual[start * channels..end * channels];
                    kernels.depthwise3x3(&packed, &input, shape, start..end, part);
                    start = end;
                }
                assert_eq!(actual, whole, "{shape:?} cut at {cuts:?}");
            }
        }
    }

    fn conv2d_is_right_for_every_geometry(kernels) {
        let mut random = Random::new(11);
        let mut cases = Vec::new();
        for kernel in 1..=5 {
            for stride in 1..=3 {
                for padding in 0..=2 {
                    cases.push((9, 10, 1 + (kernel + stride) % 5, 1 + kernel * 7, kernel, stride, padding));
                }
            }
        }
        for side in 1..=9 {
            cases.push((side, 17, 3, 24, 3, 2, 1));
            cases.push((6, side, 4, 50, 3, 2, 1));
        }
        cases.extend([(56, 56, 3, 24, 3, 2, 1), (28, 28, 24, 48, 3, 2, 1), (14, 14, 112, 220, 3, 2, 1)]);
        let squares = cases.into_iter().map(|(height, width, channels, outputs, kernel, stride, padding)| {
            let input = ImageShape { height, width, channels };
            (Conv2dShape { input, kernel: [kernel; 2], stride: [stride; 2], padding: [padding; 2] }, outputs)
        });
        let input = ImageShape { height: 11, width: 14, channels: 5 };
        let oblong = [
            (Conv2dShape { input, kernel: [3, 5], stride: [2, 1], padding: [1, 2] }, 9),
            (Conv2dShape { input, kernel: [4, 1], stride: [1, 3], padding: [0, 1] }, 70),
        ];
        for (shape, outputs) in squares.chain(oblong) {
            let (ImageShape { channels, .. }, [tall, wide]) = (shape.input, shape.kernel);
            let result = shape.output(outputs);
            let inputs = channels * tall * wide;
            let weight = weights(&mut random, inputs * outputs, inputs);
            let bias = random.values(outputs);
            let input = random.values(shape.input.len());
            let matrix = PackedMatrix::pack_conv2d(kernels, &weight, Some(&bias), [outputs, channels, tall, wide]);
            let epilogue = Epilogue { activation: Activation::Relu, accumulate: false };
            let mut expected = vec![0.0; result.len()];
            reference::conv2d(&weight, Some(&bias), shape, &input, outputs, &mut expected, epilogue);

            let conv = Conv2d { shape, matrix: &matrix, epilogue };
            let mut scratch = vec![f32::NAN; shape.scratch_len(&matrix)];
            let mut actual = vec![f32::NAN; result.len()];
            kernels.conv2d(conv, &input, 0..result.height, &mut actual, &mut scratch);
            assert_close(&actual, &expected, tolerance(inputs), &format!("{shape:?} → {outputs}"));

            let cut = result.height / 3;
            let (top, bottom) = actual.split_at_mut(cut * result.width * outputs);
            kernels.conv2d(conv, &input, 0..cut, top, &mut scratch);
            kernels.conv2d(conv, &input, cut..result.height, bottom, &mut scratch);
            assert_close(&actual, &expected, tolerance(inputs), &format!("{shape:?} → {outputs}, cut at {cut}"));
        }
    }
}

#[test]
#[should_panic(expected = "8 floats needed, 7 given")]
fn pointwise_refuses_a_short_input() {
    let kernels = Kernels::detect();
    let packed = PackedMatrix::pack(kernels, &[0.0; 12], None, 4, 3);
    let mut output = [0.0; 6];
    let target = RowsMut::new(&mut output, 2, 3);
    pointwise(kernels, &packed, Rows::new(&[0.0; 7], 2, 4), target, Epilogue::default());
}
