//! Attention and the light token kernels against their definitions.

mod common;

use common::{Random, assert_close, isa_tests};
use swiftformer_kernels::{
    Activation, AttentionQueryKey, Epilogue, ImageShape, Kernels, PackedMatrix, Pooling, Rows, RowsMut, nchw_to_nhwc,
    nhwc_to_nchw, reference,
};

const POOLINGS: [Pooling; 4] = [Pooling::Sum, Pooling::L2, Pooling::Softmax, Pooling::Raw];

/// One attention layer with random weights.
struct Layer {
    channels: usize,
    weight: Vec<f32>,
    bias: Vec<f32>,
    gate: Vec<f32>,
    update: Vec<f32>,
    update_bias: Vec<f32>,
    pooling: Pooling,
    normalize: bool,
}

impl Layer {
    fn random(random: &mut Random, channels: usize, pooling: Pooling, normalize: bool) -> Self {
        let scale = (channels as f32).sqrt().recip();
        let mut scaled = |count| random.values(count).into_iter().map(|value| value * scale).collect::<Vec<f32>>();
        Self {
            channels,
            weight: scaled(2 * channels * channels),
            bias: scaled(2 * channels),
            update: scaled(2 * channels * channels),
            update_bias: scaled(channels),
            gate: random.values(channels),
            pooling,
            normalize,
        }
    }

    fn scale(&self) -> f32 {
        (self.channels as f32).sqrt().recip()
    }

    /// All three phases, with tokens cut into ranges of `part`; the global query, then `x + attention(x)`.
    fn run(&self, kernels: Kernels, input: &[f32], part: usize) -> (Vec<f32>, Vec<f32>) {
        let channels = self.channels;
        let tokens = input.len() / channels;
        let matrix = PackedMatrix::pack(kernels, &self.weight, Some(&self.bias), channels, 2 * channels);
        let update = PackedMatrix::pack(kernels, &self.update, Some(&self.update_bias), 2 * channels, channels);
        let attention = AttentionQueryKey {
            matrix: &matrix,
            gate: &self.gate,
            scale: self.scale(),
            normalize: self.normalize,
            pooling: self.pooling,
        };
        let mut keys_queries = vec![f32::NAN; tokens * 2 * channels];
        let mut partials = vec![f32::NAN; attention.partials_len(tokens)];
        let scratch_len = attention.matrix.pointwise_scratch_len(tokens).max(update.pointwise_scratch_len(tokens));
        let mut scratch = vec![f32::NAN; scratch_len];
        let ranges = input
            .chunks(part * channels)
            .zip(keys_queries.chunks_mut(part * 2 * channels))
            .zip(partials.chunks_mut(attention.partials_len(part)));
        for ((input, keys_queries), partials) in ranges {
            let input = Rows::new(input, input.len() / channels, channels);
            kernels.attention_keys_queries(attention, input, keys_queries, partials, &mut scratch);
        }
        let mut global = vec![f32::NAN; channels];
        kernels.attention_pool(self.pooling, &partials, &mut global);
        let mut output = input.to_vec();
        for (keys_queries, output) in
            keys_queries.chunks_mut(part * 2 * channels).zip(output.chunks_mut(part * channels))
        {
            let rows = output.len() / channels;
            let output = RowsMut::new(output, rows, channels);
            kernels.attention_update(&update, &global, keys_queries, output, true, &mut scratch);
        }
        (global, output)
    }

    fn reference(&self, input: &[f32]) -> (Vec<f32>, Vec<f32>) {
        let channels = self.channels;
        let tokens = input.len() / channels;
        let rows = Rows::new(input, tokens, channels);
        let mut keys_queries = vec![0.0; tokens * 2 * channels];
        reference::attention_keys_queries(&self.weight, &self.bias, channels, self.normalize, rows, &mut keys_queries);
        let mut global = vec![0.0; channels];
        reference::attention_pool(self.pooling, &self.gate, self.scale(), &keys_queries, &mut global);
        for token in keys_queries.chunks_mut(2 * channels) {
            for (key, global) in token.iter_mut().zip(&global) {
                *key *= global;
            }
        }
        let mut output = input.to_vec();
        reference::pointwise(
            &self.update,
            Some(&self.update_bias),
            [channels, 2 * channels],
            Rows::new(&keys_queries, tokens, 2 * channels),
            RowsMut::new(&mut output, tokens, channels),
            Epilogue { activation: Activation::Identity, accumulate: true },
        );
        (global, output)
    }
}

/// The largest difference in parts of the largest expected value.
fn error(actual: &[f32], expected: &[f32]) -> f32 {
    let largest = expected.iter().fold(0.0f32, |largest, value| largest.max(value.abs()));
    let difference = actual.iter().zip(expected).map(|(a, b)| (a - b).abs());
    difference.fold(0.0f32, |worst, difference| if difference.is_nan() { f32::INFINITY } else { worst.max(difference) })
        / largest
}

isa_tests! {
    fn attention_is_right_for_every_pooling(kernels) {
        let mut random = Random::new(13);
        for (tokens, channels) in [(1, 1), (5, 7), (49, 220), (96, 24), (97, 33), (196, 112), (784, 56)] {
            for (pooling, normalize) in POOLINGS.into_iter().flat_map(|pooling| [(pooling, true), (pooling, false)]) {
                let layer = Layer::random(&mut random, channels, pooling, normalize);
                let input = random.values(tokens * channels);
                let (expected_global, expected) = layer.reference(&input);
                let (global, output) = layer.run(kernels, &input, tokens.next_multiple_of(AttentionQueryKey::BLOCK));
                let what = format!("{tokens} × {channels}, {pooling:?}, normalize {normalize}");
                // Sums over tokens cancel, so what counts is the error in parts of the largest value.
                assert!(error(&global, &expected_global) < 4e-6, "{what}: global {}", error(&global, &expected_global));
                assert!(error(&output, &expected) < 4e-6, "{what}: output {}", error(&output, &expected));
            }
        }
    }

    fn attention_results_do_not_depend_on_how_tokens_are_split(kernels) {
        let mut random = Random::new(17);
        for pooling in POOLINGS {
            let layer = Layer::random(&mut random, 30, pooling, true);
            let input = random.values(500 * 30);
            let whole = layer.run(kernels, &input, 6 * AttentionQueryKey::BLOCK);
            for blocks in [1, 2, 4] {
                assert_eq!(layer.run(kernels, &input, blocks * AttentionQueryKey::BLOCK), whole, "{pooling:?}");
            }
        }
    }

    fn zero_tokens_stay_finite_when_normalised(kernels) {
        let mut layer = Layer::random(&mut Random::new(19), 20, Pooling::L2, true);
        layer.bias.fill(0.0);
        let (global, output) = layer.run(kernels, &[0.0; 7 * 20], AttentionQueryKey::BLOCK);
        assert_eq!(global, [0.0; 20]);
        assert_eq!(output, layer.update_bias.repeat(7));
    }

    fn mean_rows_is_right_for_every_width(kernels) {
        let mut random = Random::new(23);
        for width in 1..=70 {
            for rows in [0, 1, 2, 31, 33, 49] {
                let input = random.values(rows * (width + 3));
                let input = Rows::new(&input, rows, width + 3);
                let (mut actual, mut expected) = (vec![f32::NAN; width], vec![0.0; width]);
                kernels.mean_rows(input, &mut actual);
                reference::mean_rows(input, &mut expected);
                assert_close(&actual, &expected, 2e-7, &format!("{rows} × {width}"));
            }
        }
    }

    fn mean_of_many_rows_keeps_its_digits(kernels) {
        // Summed in one f32, 100 000 copies of this are off in the fourth digit.
        let input = vec![0.1f32; 100_000];
        let mut mean = [0.0];
        kernels.mean_rows(Rows::new(&input, input.len(), 1), &mut mean);
        assert!((mean[0] - 0.1).abs() < 1e-7, "{}", mean[0]);
    }

    fn softmax_is_right_for_every_length(kernels) {
        let mut random = Random::new(29);
        for len in (0..=70).chain([1000]) {
            let mut actual: Vec<f32> = random.values(len).into_iter().map(|value| value * 30.0 - 200.0).collect();
            let mut expected = actual.clone();
            kernels.softmax(&mut actual);
            reference::softmax(&mut expected);
            assert_close(&actual, &expected, 1e-6, &format!("{len} entries"));
        }
    }

    fn softmax_with_nan_is_nan(kernels) {
        for at in [0, 16, 19] {
            let mut values = [1.0; 20];
            values[at] = f32::NAN;
            kernels.softmax(&mut values);
            assert!(values.iter().all(|value| value.is_nan()), "NaN at {at}: {values:?}");
        }
    }

    fn add_is_right_for_every_length(kernels) {
        let mut random = Random::new(37);
        for length in 0..150 {
            let (input, mut output) = (random.values(length), random.values(length));
            let expected: Vec<f32> = input.iter().zip(&output).map(|(a, b)| a + b).collect();
            kernels.add(&input, &mut output);
            assert_eq!(output, expected, "{length}");
        }
    }

    fn per_channel_scales_are_right_for_every_width(kernels) {
        let mut random = Random::new(31);
        for width in 1..=70 {
            let rows = width % 5;
            let (scale, shift) = (random.values(width), random.values(width));
            let input = random.values(rows * (width + 1));
            let input = Rows::new(&input, rows, width + 1);
            let mut actual = random.values(rows * (width + 2));
            let mut expected = actual.clone();
            for activation in [Activation::Identity, Activation::Gelu] {
                kernels.affine(&scale, &shift, activation, input, RowsMut::new(&mut actual, rows, width + 2));
                reference::affine(&scale, &shift, activation, input, RowsMut::new(&mut expected, rows, width + 2));
                assert_close(&actual, &expected, 3e-7, &format!("affine {rows} × {width}"));
            }
        }
    }
}

#[test]
fn layouts_convert_back_and_forth() {
    for (height, width, channels) in [(1, 1, 1), (2, 3, 4), (33, 7, 40), (5, 64, 3)] {
        let shape = ImageShape { height, width, channels };
        let nchw: Vec<f32> = (0..shape.len()).map(|index| index as f32).collect();
        let (mut nhwc, mut back) = (vec![0.0; shape.len()], vec![0.0; shape.len()]);
        nchw_to_nhwc(&nchw, shape, &mut nhwc);
        for (index, &value) in nhwc.iter().enumerate() {
            let (channel, pixel) = (index % channels, index / channels);
            assert_eq!(value, (channel * height * width + pixel) as f32);
        }
        nhwc_to_nchw(&nhwc, shape, &mut back);
        assert_eq!(back, nchw);
    }
}
