//! Updates of parameters and averages. Plain loops, which the compiler turns into the instruction set's vectors.

use crate::isa::Isa;
use crate::kernels::{Kernel, Kernels};

/// The constants of one AdamW step, as PyTorch computes them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamW {
    /// `1 - lr · weight_decay`, by which the parameter shrinks first.
    pub shrink: f32,
    /// β₁ and β₂.
    pub betas: [f64; 2],
    /// `lr / (1 - β₁ᵗ)`.
    pub step_size: f32,
    /// `√(1 - β₂ᵗ)`.
    pub correction: f32,
    /// Added to the root.
    pub eps: f32,
}

/// The constants of one step of stochastic gradient descent, as PyTorch computes them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sgd {
    /// Learning rate.
    pub lr: f32,
    /// Added to the gradient for each unit of the parameter.
    pub weight_decay: f32,
    /// What stays of the last direction.
    pub momentum: f32,
    /// Look ahead by the new direction.
    pub nesterov: bool,
    /// The first step takes the gradient as its direction.
    pub first: bool,
}

impl Kernels {
    /// `p ← shrink·p; m ← m + (1-β₁)(g - m); v ← β₂·v + (1-β₂)·g²; p ← p - step_size · m / (√v / correction + eps)`
    ///
    /// # Panics
    /// When the slices differ in length.
    pub fn adamw(self, step: AdamW, parameter: &mut [f32], gradient: &[f32], moments: [&mut [f32]; 2]) {
        let [first, second] = moments;
        let lengths = [parameter.len(), first.len(), second.len()];
        assert!(lengths.iter().all(|&length| length == gradient.len()), "AdamW on {lengths:?} and {}", gradient.len());
        self.dispatch(AdamWKernel { step, parameter, gradient, first, second });
    }

    /// `d ← momentum·d + g + decay·p; p ← p - lr·d`, with Nesterov's look ahead by option.
    ///
    /// # Panics
    /// When the slices differ in length.
    pub fn sgd(self, step: Sgd, parameter: &mut [f32], gradient: &[f32], direction: &mut [f32]) {
        let lengths = [parameter.len(), direction.len()];
        assert!(lengths.iter().all(|&length| length == gradient.len()), "SGD on {lengths:?} and {}", gradient.len());
        self.dispatch(SgdKernel { step, parameter, gradient, direction });
    }

    /// `average ← average · keep + value · share`
    ///
    /// # Panics
    /// When the slices differ in length.
    pub fn average(self, average: &mut [f32], keep: f32, value: &[f32], share: f32) {
        assert_eq!(average.len(), value.len(), "an average and its value");
        self.dispatch(Average { average, keep, value, share });
    }
}

struct AdamWKernel<'a> {
    step: AdamW,
    parameter: &'a mut [f32],
    gradient: &'a [f32],
    first: &'a mut [f32],
    second: &'a mut [f32],
}

impl Kernel for AdamWKernel<'_> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, _isa: I) {
        let Self { step, parameter, gradient, first, second } = self;
        let AdamW { shrink, betas, step_size, correction, eps } = step;
        let (new_first, old_second, new_second) = ((1.0 - betas[0]) as f32, betas[1] as f32, (1.0 - betas[1]) as f32);
        let values = parameter.iter_mut().zip(gradient).zip(first.iter_mut().zip(second.iter_mut()));
        for ((p, &g), (m, v)) in values {
            *m += new_first * (g - *m);
            *v = *v * old_second + new_second * g * g;
            *p = *p * shrink - step_size * (*m / (v.sqrt() / correction + eps));
        }
    }
}

struct SgdKernel<'a> {
    step: Sgd,
    parameter: &'a mut [f32],
    gradient: &'a [f32],
    direction: &'a mut [f32],
}

impl Kernel for SgdKernel<'_> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, _isa: I) {
        let Self { step, parameter, gradient, direction } = self;
        let Sgd { lr, weight_decay, momentum, nesterov, first } = step;
        for ((p, &g), d) in parameter.iter_mut().zip(gradient).zip(direction.iter_mut()) {
            let g = g + weight_decay * *p;
            *d = if first { g } else { momentum * *d + g };
            *p -= lr * if nesterov { g + momentum * *d } else { *d };
        }
    }
}

struct Average<'a> {
    average: &'a mut [f32],
    keep: f32,
    value: &'a [f32],
    share: f32,
}

impl Kernel for Average<'_> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, _isa: I) {
        for (average, &value) in self.average.iter_mut().zip(self.value) {
            *average = *average * self.keep + value * self.share;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// PyTorch 2.15: `p = 0.5, g = 0.1`, AdamW of lr 0.1, decay 0.5, two steps.
    #[test]
    fn two_steps_of_adamw_are_pytorchs_on_every_instruction_set() {
        for kind in Kernels::available() {
            let kernels = Kernels::with(kind).expect("available");
            let (mut p, mut m, mut v) = (vec![0.5; 37], vec![0.0; 37], vec![0.0; 37]);
            for t in 1..=2 {
                let step = AdamW {
                    shrink: 0.95,
                    betas: [0.9, 0.999],
                    step_size: (0.1 / (1.0 - 0.9_f64.powi(t))) as f32,
                    correction: (1.0 - 0.999_f64.powi(t)).sqrt() as f32,
                    eps: 1e-8,
                };
                kernels.adamw(step, &mut p, &[0.1; 37], [&mut m, &mut v]);
            }
            // 0.5·0.95 - 0.1 = 0.375, then 0.375·0.95 - 0.1: a constant gradient moves by lr.
            assert!(p.iter().all(|&p| (p - 0.25625).abs() < 1e-6), "{kind}: {}", p[0]);
        }
    }

    #[test]
    fn nesterov_looks_ahead() {
        let (mut p, mut d) = ([1.0], [0.0]);
        let mut step = Sgd { lr: 0.1, weight_decay: 0.0, momentum: 0.9, nesterov: true, first: true };
        Kernels::detect().sgd(step, &mut p, &[1.0], &mut d);
        assert!((p[0] - 0.81_f32).abs() < 1e-6);
        step.first = false;
        Kernels::detect().sgd(step, &mut p, &[1.0], &mut d);
        // d = 1.9, and the step is 1 + 0.9·1.9.
        assert!((p[0] - (0.81 - 0.271)).abs() < 1e-6);
    }
}
