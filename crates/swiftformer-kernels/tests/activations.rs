//! Activations against their definitions in `f64`.

mod common;

use common::isa_tests;
use swiftformer_kernels::{Activation, Kernels, reference};

/// Every finite exponent, both signs, and a dense grid where the functions bend.
fn grid() -> Vec<f32> {
    let mut grid: Vec<f32> = (-240_000..=240_000).map(|step| step as f32 / 20_000.0).collect();
    for exponent in -126..=127 {
        for fraction in [1.0, 1.3, 1.7] {
            grid.extend([fraction * 2f32.powi(exponent), -fraction * 2f32.powi(exponent)]);
        }
    }
    grid.extend([0.0, -0.0, f32::MAX, f32::MIN]);
    grid
}

/// The largest error over the grid, in parts of `floor + |expected|`.
fn worst(kernels: Kernels, activation: Activation, floor: f64) -> (f64, f32) {
    let grid = grid();
    let mut actual = grid.clone();
    kernels.activate(activation, &mut actual);
    let mut worst = (0.0, 0.0);
    for (&x, &actual) in grid.iter().zip(&actual) {
        let expected = reference::activation(activation, f64::from(x));
        if f64::from(actual) == f64::from(expected as f32) {
            continue;
        }
        let error = (f64::from(actual) - expected).abs() / (floor + expected.abs());
        assert!(!error.is_nan(), "{activation:?}({x}) = {actual}, expected {expected}");
        if error > worst.0 {
            worst = (error, x);
        }
    }
    worst
}

isa_tests! {
    fn gelu_is_within_3e7_of_the_exact_function(kernels) {
        // In parts of 1 + |gelu|; the polynomial's own error is 3.4e-8, the rest is rounding.
        let (error, at) = worst(kernels, Activation::Gelu, 1.0);
        assert!(error < 1.5e-7, "error {error:e} at {at}");
        // And close to zero, in parts of 0.1 + |gelu|.
        let (error, at) = worst(kernels, Activation::Gelu, 0.1);
        assert!(error < 1e-6, "error {error:e} at {at}");
    }

    fn vector_activations_are_within_a_few_units_in_the_last_place(kernels) {
        for &activation in Activation::ALL {
            let floor = if activation == Activation::Tanh { 0.0 } else { 1e-2 };
            let limit = if activation == Activation::Gelu { 8e-6 } else { 1e-6 };
            let (error, at) = worst(kernels, activation, floor);
            assert!(error < limit, "{activation:?}: error {error:e} at {at}");
        }
    }

    fn infinities_give_limits_and_nan_stays_nan(kernels) {
        for &activation in Activation::ALL {
            // Two vectors and a tail, so that the partial loads are tested too.
            let mut values = [f32::INFINITY, f32::NEG_INFINITY, f32::NAN].repeat(13);
            kernels.activate(activation, &mut values);
            for (index, &value) in values.iter().enumerate() {
                let x = [f64::INFINITY, f64::NEG_INFINITY, f64::NAN][index % 3];
                let expected = reference::activation(activation, x) as f32;
                let same = (value.is_nan() && expected.is_nan()) || value == expected || (value - expected).abs() < 1e-30;
                assert!(same, "{activation:?}({x}) = {value}, expected {expected}");
            }
        }
    }

    fn activation_touches_nothing_outside_of_its_slice(kernels) {
        for len in 0..40 {
            let mut values = vec![-1.0; len + 1];
            kernels.activate(Activation::Sigmoid, &mut values[..len]);
            assert!(values[..len].iter().all(|&value| (value - 0.268_941_42).abs() < 1e-6));
            assert_eq!(values[len], -1.0);
        }
    }
}
