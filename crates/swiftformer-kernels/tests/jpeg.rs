//! Kernels of the JPEG decoder: every instruction set gives the bytes of the plain kernels, and those the formulas'.

#[macro_use]
mod common;

use common::Random;
use swiftformer_kernels::{DctSize, IsaKind, JPEG_LANES, JPEG_STEP, JpegBlocks, Kernels};

const ZIGZAG_START: [usize; 10] = [0, 1, 8, 16, 9, 2, 3, 10, 17, 24];
const SIZES: [DctSize; 4] = [DctSize::One, DctSize::Two, DctSize::Four, DctSize::Eight];

fn plain() -> Kernels {
    Kernels::with(IsaKind::Scalar).unwrap()
}

fn bytes(random: &mut Random, count: usize) -> Vec<u8> {
    // A quarter are the extremes, where rounding and clipping meet.
    let byte = |value: f32| match value {
        ..-0.75 => 0.0,
        0.75.. => 255.0,
        value => (value + 0.75) * 170.0,
    };
    random.values(count).into_iter().map(|value| byte(value) as u8).collect()
}

/// Coefficients of which about one in `sparse` is not zero, up to `scale`, at the first `used` zigzag positions.
fn blocks(random: &mut Random, scale: f32, sparse: f32, used: usize) -> JpegBlocks {
    let mut blocks = JpegBlocks::default();
    for at in 0..64 {
        if used > 10 || ZIGZAG_START[..used].contains(&at) {
            for value in &mut blocks.coefficients_mut()[at * JPEG_LANES..][..JPEG_LANES] {
                if random.value().abs() < 1.0 / sparse {
                    *value = (random.value() * scale) as i16;
                }
            }
        }
    }
    blocks
}

isa_tests! {
    fn inverse_transforms_are_the_plain_ones(kernels) {
        let mut random = Random::new(3);
        for (scale, step) in [(60.0, 16), (1000.0, 3), (2048.0, 8), (32767.0, 1), (32767.0, 255), (32767.0, -21_555)] {
            for (sparse, used) in [(1.0, 64), (8.0, 64), (1.0, 10), (2.0, 7), (1.0, 1)] {
                let blocks = blocks(&mut random, scale, sparse, used);
                let quantization = std::array::from_fn(|at| step + at as i16 % 5);
                for size in SIZES {
                    let stride = JPEG_LANES * size.samples() + 5;
                    let mut expected = vec![9; stride * size.samples()];
                    let mut out = expected.clone();
                    plain().jpeg_inverse_dct(size, &blocks, 64, &quantization, &mut expected, stride);
                    kernels.jpeg_inverse_dct(size, &blocks, used, &quantization, &mut out, stride);
                    assert_eq!(out, expected, "{size:?}, {used} coefficients up to {scale} · {step}");
                }
            }
        }
    }

    fn upsampling_and_colours_are_the_plain_ones(kernels) {
        let mut random = Random::new(4);
        for steps in 1..5 {
            let pixels = steps * JPEG_STEP;
            let near = bytes(&mut random, pixels / 2 + 2);
            let far = bytes(&mut random, pixels / 2 + 2);
            let [mut out, mut expected] = [vec![0; pixels], vec![1; pixels]];
            kernels.jpeg_upsample_h2v1(&near, &mut out);
            plain().jpeg_upsample_h2v1(&near, &mut expected);
            assert_eq!(out, expected);
            kernels.jpeg_upsample_h2v2(&near, &far, &mut out);
            plain().jpeg_upsample_h2v2(&near, &far, &mut expected);
            assert_eq!(out, expected);
            let channels = [0; 3].map(|_| bytes(&mut random, pixels));
            let [mut out, mut expected] = [vec![0; 3 * pixels], vec![1; 3 * pixels]];
            kernels.jpeg_ycc_to_rgb(&channels[0], &channels[1], &channels[2], &mut out);
            plain().jpeg_ycc_to_rgb(&channels[0], &channels[1], &channels[2], &mut expected);
            assert_eq!(out, expected);
        }
    }

    fn every_chroma_gives_the_colours_of_the_fixed_point_formula(kernels) {
        let red: Vec<u8> = (0..=255).collect();
        for luma in [0, 1, 100, 128, 254, 255] {
            for blue in 0..=255u8 {
                let mut out = vec![0; 3 * 256];
                kernels.jpeg_ycc_to_rgb(&[luma; 256], &[blue; 256], &red, &mut out);
                for (&cr, pixel) in red.iter().zip(out.as_chunks::<3>().0) {
                    let (y, cb, cr) = (f64::from(luma), f64::from(blue) - 128.0, f64::from(cr) - 128.0);
                    let fixed = |value: f64| (value * 65536.0).round() / 65536.0;
                    // Rounded as one number, green included.
                    let green = -fixed(0.34414) * cb - fixed(0.71414) * cr;
                    let exact = [fixed(1.402) * cr, green, fixed(1.772) * cb];
                    let expected = exact.map(|chroma| (y + (chroma + 0.5).floor()).clamp(0.0, 255.0) as u8);
                    assert_eq!(*pixel, expected, "{luma} {blue} {cr}");
                }
            }
        }
    }
}

#[test]
fn transforms_are_the_cosine_sums() {
    let mut random = Random::new(5);
    let blocks = blocks(&mut random, 60.0, 1.0, 64);
    let quantization = [2; 64];
    let mut out = vec![0; 64 * JPEG_LANES];
    plain().jpeg_inverse_dct(DctSize::Eight, &blocks, 64, &quantization, &mut out, 8 * JPEG_LANES);
    let cosine = |frequency: usize, place: usize| {
        let scale = if frequency == 0 { 0.5f64.sqrt() } else { 1.0 };
        scale * (std::f64::consts::PI * frequency as f64 * (2 * place + 1) as f64 / 16.0).cos() / 2.0
    };
    for block in 0..JPEG_LANES {
        for (y, x) in (0..64).map(|at| (at / 8, at % 8)) {
            let term = |at: usize| {
                let coefficient = 2.0 * f64::from(blocks.coefficients()[at * JPEG_LANES + JpegBlocks::lane(block)]);
                coefficient * cosine(at / 8, y) * cosine(at % 8, x)
            };
            let exact = ((0..64).map(term).sum::<f64>() + 128.0).clamp(0.0, 255.0);
            let found = f64::from(out[y * 8 * JPEG_LANES + block * 8 + x]);
            // Accurate to about half a level beyond rounding.
            assert!((found - exact).abs() < 1.1, "block {block}, row {y}, column {x}: {found}, not {exact}");
        }
    }
}

#[test]
fn every_block_has_a_lane_of_its_own() {
    let mut lanes: Vec<usize> = (0..JPEG_LANES).map(JpegBlocks::lane).collect();
    lanes.sort_unstable();
    assert!(lanes.into_iter().eq(0..JPEG_LANES));
}
