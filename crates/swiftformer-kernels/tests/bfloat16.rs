//! Matrix products in bfloat16 against their definitions: of numbers that bfloat16 holds they are exact.

mod common;

use common::{Random, assert_close, isa_tests, pointwise};
use swiftformer_kernels::{
    Activation, Conv2d, Conv2dShape, Epilogue, ImageShape, Kernels, Mlp, MlpInput, PackedMatrix, Precision, Residual,
    Rows, RowsMut, reference,
};

/// Eighths of -1 to 1: a sum of few enough products is exact in whatever order it is made.
fn eighths(random: &mut Random, count: usize) -> Vec<f32> {
    random.values(count).into_iter().map(|value| (value * 8.0).round() / 8.0).collect()
}

/// The same numbers, not quite: rounding brings them back.
fn nearly(values: &[f32]) -> Vec<f32> {
    values.iter().map(|value| value * (1.0 + 1e-3)).collect()
}

/// Both layers' weights, scaled so that an output has a magnitude of about 1.
struct MlpWeights {
    shape: [usize; 3],
    first: Vec<f32>,
    second: Vec<f32>,
    activation: Activation,
}

impl MlpWeights {
    fn random(random: &mut Random, shape: [usize; 3], activation: Activation) -> Self {
        let [channels, hidden, outputs] = shape;
        let mut scaled = |count, inputs: usize| -> Vec<f32> {
            random.values(count).into_iter().map(|value| value / (inputs as f32).sqrt()).collect()
        };
        let first = scaled(channels * hidden, channels);
        Self { shape, first, second: scaled(hidden * outputs, hidden), activation }
    }

    /// `run` gets the packed MLP and scratch for `rows` rows.
    fn with(&self, kernels: Kernels, rows: usize, run: impl FnOnce(Mlp<'_>, &mut [f32])) {
        let [channels, hidden, outputs] = self.shape;
        let mlp = Mlp {
            first: &PackedMatrix::pack(kernels, &self.first, None, channels, hidden),
            activation: self.activation,
            second: &PackedMatrix::pack(kernels, &self.second, None, hidden, outputs),
        };
        run(mlp, &mut vec![f32::NAN; mlp.scratch_len(rows)]);
    }
}

isa_tests! {
    fn products_are_those_of_rounded_numbers(kernels) {
        let mut random = Random::new(37);
        let kernels = kernels.with_precision(Precision::Bf16);
        for (rows, inputs, outputs) in [(1, 1, 1), (7, 48, 56), (50, 33, 17), (49, 220, 100), (33, 64, 40), (2, 31, 70)] {
            for gap in [0, 5] {
                let stride = inputs + gap;
                let weight = eighths(&mut random, inputs * outputs);
                let (bias, input) = (eighths(&mut random, outputs), eighths(&mut random, rows * stride));
                let packed = PackedMatrix::pack(kernels, &nearly(&weight), Some(&bias), inputs, outputs);
                let (mut actual, mut expected) = (vec![f32::NAN; rows * outputs], vec![0.0; rows * outputs]);
                let input = Rows::new(&input, rows, stride);
                pointwise(kernels, &packed, input, RowsMut::new(&mut actual, rows, outputs), Epilogue::default());
                let target = RowsMut::new(&mut expected, rows, outputs);
                reference::pointwise(&weight, Some(&bias), [outputs, inputs], input, target, Epilogue::default());
                assert_eq!(actual, expected, "{rows} × {inputs} (+ {gap}) → {outputs}");
            }
        }
    }

    fn convolutions_are_those_of_rounded_numbers(kernels) {
        let mut random = Random::new(53);
        let kernels = kernels.with_precision(Precision::Bf16);
        let mut cases = vec![([30, 30], 3, 24, [3, 3], [2, 2], [1, 1]), ([14, 14], 112, 220, [3, 3], [2, 2], [1, 1])];
        for channels in [1, 2, 5, 24] {
            for kernel in [[1, 1], [3, 3], [2, 5], [1, 3], [4, 1]] {
                cases.push(([9, 11], channels, 10 * channels, kernel, [1, 2], [0, 1]));
                cases.push(([8, 7], channels, 33, kernel, [2, 1], [0, 0]));
            }
        }
        for ([height, width], channels, outputs, kernel, stride, padding) in cases {
            let image = ImageShape { height, width, channels };
            let shape = Conv2dShape { input: image, kernel, stride, padding };
            let weight = eighths(&mut random, channels * kernel[0] * kernel[1] * outputs);
            let (bias, input) = (eighths(&mut random, outputs), eighths(&mut random, image.len()));
            let dimensions = [outputs, channels, kernel[0], kernel[1]];
            let matrix = PackedMatrix::pack_conv2d(kernels, &nearly(&weight), Some(&bias), dimensions);
            let epilogue = Epilogue { activation: Activation::Relu, accumulate: false };
            let result = shape.output(outputs);
            let (mut actual, mut expected) = (vec![f32::NAN; result.len()], vec![0.0; result.len()]);
            reference::conv2d(&weight, Some(&bias), shape, &input, outputs, &mut expected, epilogue);
            let mut scratch = vec![f32::NAN; shape.scratch_len(&matrix)];
            kernels.conv2d(Conv2d { shape, matrix: &matrix, epilogue }, &input, 0..result.height, &mut actual, &mut scratch);
            assert_eq!(actual, expected, "{shape:?} → {outputs}");
        }
    }

    fn an_infinite_pixel_reaches_only_the_windows_that_see_it(kernels) {
        // Three channels and three taps make nine inputs a kernel row: an odd number.
        let kernels = kernels.with_precision(Precision::Bf16);
        let image = ImageShape { height: 1, width: 9, channels: 3 };
        let shape = Conv2dShape { input: image, kernel: [1, 3], stride: [1, 3], padding: [0, 0] };
        let matrix = PackedMatrix::pack_conv2d(kernels, &[1.0; 18], None, [2, 3, 1, 3]);
        let mut input = vec![1.0; image.len()];
        input[9] = f32::INFINITY;
        let conv = Conv2d { shape, matrix: &matrix, epilogue: Epilogue::default() };
        let (mut output, mut scratch) = ([0.0; 6], vec![f32::NAN; shape.scratch_len(&matrix)]);
        kernels.conv2d(conv, &input, 0..1, &mut output, &mut scratch);
        assert_eq!([&output[..2], &output[4..]], [[9.0; 2], [9.0; 2]]);
        assert!(output[2..4].iter().all(|value| !value.is_finite()));
    }

    fn mlps_are_close_to_those_in_f32(kernels) {
        let mut random = Random::new(41);
        let activations = [Activation::Gelu, Activation::Identity, Activation::Silu, Activation::Sigmoid];
        for (shape, rows) in [([48, 192, 48], 30), ([220, 880, 220], 49), ([24, 1000, 24], 65), ([7, 33, 7], 110)] {
            for activation in activations {
                let weights = MlpWeights::random(&mut random, shape, activation);
                let [channels, _, outputs] = shape;
                let (input, residual) = (random.values(rows * channels), random.values(rows * outputs));
                let [exact, rounded] = [Precision::F32, Precision::Bf16].map(|precision| {
                    let mut output = vec![0.0; rows * outputs];
                    let kernels = kernels.with_precision(precision);
                    weights.with(kernels, rows, |mlp, scratch| {
                        let input = MlpInput::Rows(Rows::new(&input, rows, channels));
                        let residual = Residual::Rows(Rows::new(&residual, rows, outputs));
                        kernels.mlp(mlp, input, RowsMut::new(&mut output, rows, outputs), residual, scratch);
                    });
                    output
                });
                assert_close(&rounded, &exact, 4e-3, &format!("{rows} × {shape:?}, {activation:?}"));
                assert_ne!(rounded, exact);
            }
        }
    }

    fn an_mlp_in_place_is_that_of_a_copy(kernels) {
        let mut random = Random::new(59);
        let kernels = kernels.with_precision(Precision::Bf16);
        let (rows, shape) = (230, [40, 81, 40]);
        let weights = MlpWeights::random(&mut random, shape, Activation::Gelu);
        let input = random.values(rows * shape[0]);
        weights.with(kernels, rows, |mlp, scratch| {
            let (mut apart, mut in_place) = (vec![0.0; input.len()], input.clone());
            let source = Rows::new(&input, rows, shape[0]);
            let target = RowsMut::new(&mut apart, rows, shape[0]);
            kernels.mlp(mlp, MlpInput::Rows(source), target, Residual::Rows(source), scratch);
            let target = RowsMut::new(&mut in_place, rows, shape[0]);
            kernels.mlp(mlp, MlpInput::Output, target, Residual::Output, scratch);
            assert_eq!(apart, in_place);
        });
    }
}
