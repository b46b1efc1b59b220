//! Resampling of byte rows: every instruction set gives the definition's bytes.

#[macro_use]
mod common;

use std::ops::Range;

use common::Random;
use swiftformer_kernels::{Kernels, RESAMPLE_BITS, RESAMPLE_HALF, ResampleTaps};

fn bytes(random: &mut Random, count: usize) -> Vec<u8> {
    // A quarter of them are extremes, which overflow first.
    let byte = |value: f32| if value.abs() < 0.25 { 255.0 } else { (value.abs() * 4.0 % 1.0) * 255.0 };
    random.values(count).into_iter().map(|value| byte(value) as u8).collect()
}

/// The sum, in 64 bits and then modulo 2³².
fn expected(row: &[u8], channels: usize, spans: &[(usize, Range<usize>)], weights: &[i32]) -> Vec<u8> {
    let sum = |first: usize, range: &Range<usize>, channel: usize| {
        let products = range
            .clone()
            .enumerate()
            .map(|(pixel, at)| i64::from(row[(first + pixel) * channels + channel]) * i64::from(weights[at]));
        let sum = (products.sum::<i64>() + i64::from(RESAMPLE_HALF)) as i32;
        (sum >> RESAMPLE_BITS).clamp(0, 255) as u8
    };
    spans.iter().flat_map(|(first, range)| (0..channels).map(move |channel| sum(*first, range, channel))).collect()
}

fn check_row<const CHANNELS: usize>(kernels: Kernels, random: &mut Random, lengths: &[usize], scale: f32) {
    let pixels = 70;
    let row = bytes(random, pixels * CHANNELS);
    let mut weights = Vec::new();
    let mut spans = Vec::new();
    for &length in lengths {
        // The first, the last and a middle place.
        for first in [0, (pixels - length) / 2, pixels - length] {
            let start = weights.len();
            weights.extend(random.values(length).into_iter().map(|value| (value * scale) as i32));
            spans.push((first, start..weights.len()));
        }
    }
    let expected = expected(&row, CHANNELS, &spans, &weights);
    let taps = ResampleTaps::pack(kernels, CHANNELS, &spans, weights);
    let mut out = vec![7; spans.len() * CHANNELS];
    kernels.resample_row::<CHANNELS>(&row, &taps, &mut out);
    assert_eq!(out, expected, "{CHANNELS} channels, weights up to {scale}");
}

isa_tests! {
    fn rows_are_the_weighted_sums_of_their_spans(kernels) {
        let lengths: Vec<usize> = (0..=40).chain([63, 64, 65, 70]).collect();
        let mut random = Random::new(1);
        // Typical weights, the largest that filters have, beyond what three digits hold, and sums that wrap.
        for scale in [200_000.0, 5_500_000.0, 8_400_000.0, 500_000_000.0] {
            check_row::<3>(kernels, &mut random, &lengths, scale);
            check_row::<1>(kernels, &mut random, &lengths, scale);
        }
    }

    fn weighted_bytes_are_added_and_rounded(kernels) {
        let mut random = Random::new(2);
        for count in [0, 1, 3, 16, 17, 31, 64, 100, 672] {
            let row = bytes(&mut random, count);
            let mut sums = vec![RESAMPLE_HALF; count];
            kernels.add_weighted_bytes(&mut sums, &row, 5_000_000);
            kernels.add_weighted_bytes(&mut sums, &row, -1_500_000);
            let expected: Vec<i32> = row.iter().map(|&byte| RESAMPLE_HALF + 3_500_000 * i32::from(byte)).collect();
            assert_eq!(sums, expected);
            sums.iter_mut().step_by(3).for_each(|sum| *sum = -*sum);
            let mut out = vec![0; count];
            kernels.sums_to_bytes(&sums, &mut out);
            let expected: Vec<u8> = sums.iter().map(|sum| (sum >> RESAMPLE_BITS).clamp(0, 255) as u8).collect();
            assert_eq!(out, expected);
        }
    }

    fn short_rows_are_refused(kernels) {
        if cfg!(panic = "abort") {
            eprintln!("not checked: a panic ends the program on this target");
            return;
        }
        let taps = ResampleTaps::pack(kernels, 3, &[(3, 0..2)], vec![1, 1]);
        let refused = std::panic::catch_unwind(|| kernels.resample_row::<3>(&[0; 14], &taps, &mut [0; 3]));
        assert!(refused.is_err());
    }
}
