//! Weight matrices as right-hand sides.

use super::gemm::padded;

/// `[outputs, inputs]` as `[inputs, padded(outputs)]`, each output times its factor.
pub(super) fn transposed(weight: &[f32], [outputs, inputs]: [usize; 2], factors: Option<&[f32]>, target: &mut [f32]) {
    let stride = padded(outputs);
    target.fill(0.0);
    // Sixteen rows at a time: their lines stay in the first-level cache.
    for group in (0..outputs).step_by(16) {
        let count = 16.min(outputs - group);
        for input in 0..inputs {
            let values = &mut target[input * stride + group..][..count];
            for (lane, value) in values.iter_mut().enumerate() {
                let output = group + lane;
                *value = weight[output * inputs + input] * factors.map_or(1.0, |factors| factors[output]);
            }
        }
    }
}

/// `[outputs, inputs]` as `[outputs, padded(inputs)]`, each output times its factor.
pub(super) fn rows(weight: &[f32], inputs: usize, factors: Option<&[f32]>, target: &mut [f32]) {
    let stride = padded(inputs);
    target.fill(0.0);
    for (output, (row, target)) in weight.chunks_exact(inputs).zip(target.chunks_exact_mut(stride)).enumerate() {
        let factor = factors.map_or(1.0, |factors| factors[output]);
        target.iter_mut().zip(row).for_each(|(value, weight)| *value = weight * factor);
    }
}

/// A vector in whole vectors of any instruction set.
pub(super) fn vector(values: &[f32], factors: Option<&[f32]>, target: &mut [f32]) {
    target.fill(0.0);
    for (at, (value, target)) in values.iter().zip(target).enumerate() {
        *target = value * factors.map_or(1.0, |factors| factors[at]);
    }
}
