//! GELU of the hidden channels, and the way back through it.

use crate::isa::Isa;
use crate::kernels::{Kernel, Kernels};
use crate::math;

/// GELU of every value of `input`.
pub(super) fn gelu(kernels: Kernels, input: &[f32], output: &mut [f32]) {
    assert_eq!(input.len(), output.len(), "input and output of GELU");
    kernels.dispatch(Gelu { input, output });
}

struct Gelu<'a> {
    input: &'a [f32],
    output: &'a mut [f32],
}

impl Kernel for Gelu<'_> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) {
        for (chunk, output) in self.input.chunks(I::LEN).zip(self.output.chunks_mut(I::LEN)) {
            isa.store_chunk(output, math::gelu(isa, isa.load_chunk(chunk)));
        }
    }
}

/// The way back through GELU, for rows of `stride`: the activation of `input` into `active`, `gradient` times GELU's slope
/// in place, and its sum over the rows added to `sums`, which says how many columns count.
pub(super) struct GeluBackward<'a> {
    pub(super) input: &'a [f32],
    pub(super) active: &'a mut [f32],
    pub(super) gradient: &'a mut [f32],
    pub(super) stride: usize,
    pub(super) sums: &'a mut [f32],
}

impl GeluBackward<'_> {
    pub(super) fn run(self, kernels: Kernels) {
        let lengths = [self.active.len(), self.gradient.len()];
        assert!(lengths.iter().all(|&length| length == self.input.len()), "the way back through GELU");
        assert!(self.sums.len() <= self.stride, "columns of GELU's rows");
        kernels.dispatch(self);
    }
}

impl Kernel for GeluBackward<'_> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) {
        let Self { input, active, gradient, stride, sums } = self;
        for column in (0..sums.len()).step_by(I::LEN) {
            let part = column..column + I::LEN.min(sums.len() - column);
            let mut total = isa.load_chunk(&sums[part.clone()]);
            let rows = active.chunks_mut(stride).zip(gradient.chunks_mut(stride));
            for (input, (active, gradient)) in input.chunks(stride).zip(rows) {
                let [value, slope] = math::gelu_and_slope(isa, isa.load_chunk(&input[part.clone()]));
                let gradient = &mut gradient[part.clone()];
                let product = isa.mul(isa.load_chunk(gradient), slope);
                isa.store_chunk(&mut active[part.clone()], value);
                isa.store_chunk(gradient, product);
                total = isa.add(total, product);
            }
            isa.store_chunk(&mut sums[part], total);
        }
    }
}
