//! A convolution with BatchNorm and, in the stem, ReLU: as products with patches, a few output rows at a time.

use super::block::ChannelStatistics;
use super::engine::{Engine, MOST_TOKENS, room};
use super::gemm::{Add, Left, Product, Right, padded};
use super::hidden::add_lanes;
use super::pack;
use super::rows::{NormBackwardInto, NormGradient, activated_norm, channel_sums, norm_sums};
use super::shared::shared_sums;
use crate::pool::Parts;

/// `relu?(BN(conv(x)))` from `[batch, height, width, inputs]` to `[batch, height, width, outputs]` of the output.
#[derive(Clone, Copy, Debug)]
pub struct ConvNorm<'a> {
    /// `[batch, height, width, channels]` of the input.
    pub size: [usize; 4],
    /// Kernel `[height, width]`.
    pub kernel: [usize; 2],
    /// Stride `[y, x]`.
    pub stride: [usize; 2],
    /// Zero padding `[y, x]` on each side.
    pub padding: [usize; 2],
    /// `[outputs, inputs, height, width]`.
    pub weight: &'a [f32],
    /// `[outputs]`.
    pub bias: &'a [f32],
    /// BatchNorm's weight γ.
    pub gamma: &'a [f32],
    /// BatchNorm's bias β.
    pub beta: &'a [f32],
    /// BatchNorm's ε.
    pub eps: f32,
    /// Whether ReLU follows.
    pub relu: bool,
}

/// What a forward pass leaves for the backward pass.
#[derive(Debug)]
pub struct ConvNormState {
    /// The convolution's output.
    conv: Vec<f32>,
    /// The batch's statistics of the BatchNorm.
    pub statistics: ChannelStatistics,
}

impl ConvNormState {
    /// Gives the map's memory back; the backward pass computes it again, to the same bits.
    pub fn forget(&mut self, engine: &mut Engine) {
        engine.recycle(std::mem::take(&mut self.conv));
    }
}

/// Gradients of [`ConvNorm`], of the same shapes.
#[derive(Clone, Debug, Default)]
#[expect(missing_docs, reason = "each is the gradient of `ConvNorm`'s field of that name")]
pub struct ConvNormGradients {
    pub weight: Vec<f32>,
    /// Zeros: a constant before a BatchNorm changes nothing.
    pub bias: Vec<f32>,
    pub gamma: Vec<f32>,
    pub beta: Vec<f32>,
}

impl ConvNorm<'_> {
    /// Height and width of the output.
    ///
    /// # Panics
    /// When the kernel does not fit the padded input.
    pub fn output_size(&self) -> [usize; 2] {
        std::array::from_fn(|axis| {
            let padded = self.size[1 + axis] + 2 * self.padding[axis];
            (padded.checked_sub(self.kernel[axis]).expect("a kernel within the input")) / self.stride[axis] + 1
        })
    }

    fn outputs(&self) -> usize {
        self.bias.len()
    }

    /// Floats of a patch.
    fn patch(&self) -> usize {
        self.kernel[0] * self.kernel[1] * self.size[3]
    }

    fn check(&self, input: usize, outputs: &[usize]) -> [usize; 2] {
        let [height, width] = self.output_size();
        let channels = self.outputs();
        assert_eq!(input, self.size.iter().product(), "the input of a convolution");
        let len = self.size[0] * height * width * channels;
        assert!(channels > 0 && outputs.iter().all(|&found| found == len), "an output of {len}, not {outputs:?}");
        assert_eq!(self.weight.len(), channels * self.patch(), "the weight of a convolution");
        assert!(self.gamma.len() == channels && self.beta.len() == channels, "BatchNorm's parameters");
        [height, width]
    }

    /// The weight with its inputs last, `[outputs, height, width, inputs]`.
    fn inputs_last(&self) -> Vec<f32> {
        let (inputs, taps) = (self.size[3], self.kernel[0] * self.kernel[1]);
        let mut weight = Vec::with_capacity(self.weight.len());
        for filter in self.weight.chunks_exact(inputs * taps) {
            weight.extend((0..taps * inputs).map(|at| filter[at % inputs * taps + at / inputs]));
        }
        weight
    }

    /// Calls `visit` with each piece of a patch: where it starts in the patch, where in the image, and how long it is.
    /// What no piece covers is padding.
    #[inline]
    fn pieces(&self, [y, x]: [usize; 2], mut visit: impl FnMut(usize, usize, usize)) {
        let [_, height, width, channels] = self.size;
        let left = (x * self.stride[1]).saturating_sub(self.padding[1]);
        let skipped = self.padding[1].saturating_sub(x * self.stride[1]);
        let right = (x * self.stride[1] + self.kernel[1]).saturating_sub(self.padding[1]).min(width);
        if left >= right {
            return;
        }
        for row in 0..self.kernel[0] {
            let source = (y * self.stride[0] + row).checked_sub(self.padding[0]).filter(|&source| source < height);
            if let Some(source) = source {
                let start = (row * self.kernel[1] + skipped) * channels;
                visit(start, (source * width + left) * channels, (right - left) * channels);
            }
        }
    }

    /// The patches of output pixels `first..first + count` of an image.
    fn gather(&self, image: &[f32], width: usize, [first, count]: [usize; 2], patches: &mut [f32]) {
        let stride = padded(self.patch());
        for (at, patch) in patches.chunks_exact_mut(stride).take(count).enumerate() {
            let (y, x) = ((first + at) / width, (first + at) % width);
            let mut covered = 0;
            self.pieces([y, x], |start, source, len| {
                covered += len;
                patch[start..start + len].copy_from_slice(&image[source..source + len]);
            });
            if covered < self.patch() {
                patch.fill(0.0);
                self.pieces([y, x], |start, source, len| {
                    patch[start..start + len].copy_from_slice(&image[source..source + len]);
                });
            }
        }
    }

    /// Adds patches to where they came from.
    fn scatter(&self, patches: &[f32], width: usize, [first, count]: [usize; 2], image: &mut [f32]) {
        let stride = padded(self.patch());
        for (at, patch) in patches.chunks_exact(stride).take(count).enumerate() {
            self.pieces([(first + at) / width, (first + at) % width], |start, target, len| {
                let values = image[target..target + len].iter_mut().zip(&patch[start..start + len]);
                values.for_each(|(value, add)| *value += add);
            });
        }
    }

    /// The forward pass. `given` statistics (the running ones) take the place of the batch's.
    ///
    /// # Panics
    /// When a slice does not fit the shape.
    pub fn forward(
        &self,
        engine: &mut Engine,
        x: &[f32],
        given: Option<ChannelStatistics>,
        output: &mut [f32],
    ) -> ConvNormState {
        let [height, width] = self.check(x.len(), &[output.len()]);
        let (batch, channels, pixels) = (self.size[0], self.outputs(), height * width);
        let conv = self.convolve(engine, x, given.is_none());
        let kernels = engine.kernels;
        let statistics = given.unwrap_or_else(|| {
            let sums = room(&mut engine.sums, batch * 3 * channels);
            ChannelStatistics::of_sums(sums, channels, pixels).shared(engine.shared.as_ref())
        });
        let inverse = statistics.inverse(self.eps);
        let size = pixels * channels;
        engine.pool.for_each_part(batch, [Parts::new(output, size)], &mut [], |index, [output], _| {
            let norm = [&*statistics.mean, &*inverse, self.gamma, self.beta];
            activated_norm(kernels, norm, self.relu, &conv[index * size..][..size], output);
        });
        ConvNormState { conv, statistics }
    }

    /// The convolution's output, and its sums where they are wanted.
    fn convolve(&self, engine: &mut Engine, x: &[f32], wants_sums: bool) -> Vec<f32> {
        let [height, width] = self.output_size();
        let (batch, channels, patch) = (self.size[0], self.outputs(), self.patch());
        let (pixels, image) = (height * width, self.size[1..].iter().product::<usize>());
        let kernels = engine.kernels;
        let mut conv = engine.buffer(batch * pixels * channels);
        let wide = padded(channels);
        let packed = room(&mut engine.packed, (patch + 1) * wide);
        let (weight, bias) = packed.split_at_mut(patch * wide);
        pack::transposed(&self.inputs_last(), [channels, patch], None, weight);
        pack::vector(self.bias, None, bias);
        let (weight, bias) = (&*weight, &*bias);
        let sums = room(&mut engine.sums, batch * 3 * channels);
        let per_thread = MOST_TOKENS * padded(patch);
        let scratch = room(&mut engine.scratch, engine.pool.threads() * per_thread);
        let parts = [Parts::new(&mut conv, pixels * channels), Parts::new(sums, 3 * channels)];
        engine.pool.for_each_part(batch, parts, scratch, |index, [conv, sums], patches| {
            for first in (0..pixels).step_by(MOST_TOKENS) {
                let count = MOST_TOKENS.min(pixels - first);
                self.gather(&x[index * image..][..image], width, [first, count], patches);
                Product {
                    size: [count, patch, channels],
                    left: Left { data: patches, row_stride: padded(patch), step: 1 },
                    right: Right { data: weight, stride: wide },
                    bias: Some(bias),
                    output: &mut conv[first * channels..],
                    output_stride: channels,
                    add: Add::Nothing,
                }
                .run(kernels);
            }
            if wants_sums {
                channel_sums(kernels, conv, channels, sums);
            }
        });
        conv
    }

    /// Gives a state's memory back, when there will be no backward pass.
    pub fn discard(engine: &mut Engine, mut state: ConvNormState) {
        state.forget(engine);
    }

    /// The backward pass of a forward pass with the batch's statistics: from the output's gradient the parameters'
    /// gradients, and the input's into `x_gradient` where it is wanted.
    ///
    /// # Panics
    /// When a slice does not fit the shape.
    pub fn backward(
        &self,
        engine: &mut Engine,
        x: &[f32],
        mut state: ConvNormState,
        output_gradient: &[f32],
        x_gradient: Option<&mut [f32]>,
    ) -> ConvNormGradients {
        if state.conv.is_empty() {
            state.conv = self.convolve(engine, x, false);
        }
        let [height, width] = self.check(x.len(), &[output_gradient.len(), state.conv.len()]);
        let (batch, channels, patch) = (self.size[0], self.outputs(), self.patch());
        let (pixels, image) = (height * width, self.size[1..].iter().product::<usize>());
        let kernels = engine.kernels;
        let inverse = state.statistics.inverse(self.eps);
        let normal = [&*state.statistics.mean, &*inverse, self.gamma, self.beta];
        let size = pixels * channels;
        let sums = room(&mut engine.sums, batch * 2 * channels);
        engine.pool.for_each_part(batch, [Parts::new(&mut *sums, 2 * channels)], &mut [], |index, [sums], _| {
            let part = index * size..(index + 1) * size;
            norm_sums(kernels, normal, self.relu, &state.conv[part.clone()], &output_gradient[part], sums);
        });
        let mut totals = vec![0.0_f64; 2 * channels];
        for sums in sums.chunks_exact(2 * channels) {
            totals.iter_mut().zip(sums).for_each(|(total, &sum)| *total += f64::from(sum));
        }
        let totals: Vec<f32> = totals.iter().map(|&total| total as f32).collect();
        let (beta, gamma) = totals.split_at(channels);
        let count = (batch * pixels) as f32;
        let mean_of = |sums: &[f32]| -> Vec<f32> {
            sums.iter().zip(self.gamma).map(|(sum, gamma)| sum * gamma / count).collect()
        };
        let [all_beta, all_gamma] = shared_sums(engine.shared.as_ref(), [beta, gamma]);
        let (shift, slope) = (mean_of(&all_beta), mean_of(&all_gamma));
        let norm = NormGradient { mean: normal[0], inverse: &inverse, shift: &shift, slope: &slope };

        let (wide, stride) = (padded(channels), padded(patch));
        let weight = room(&mut engine.packed, channels * stride);
        pack::rows(&self.inputs_last(), patch, None, weight);
        let weight = &*weight;
        // Big weights in few lanes: each has sums of its own.
        let lanes = batch.min(if channels * patch > 1 << 16 { 4 } else { 16 });
        let images = batch.div_ceil(lanes);
        let sums = room(&mut engine.sums, lanes * channels * patch);
        let per_thread = MOST_TOKENS * (2 * stride + wide);
        let scratch = room(&mut engine.scratch, engine.pool.threads() * per_thread);
        let wanted = x_gradient.is_some();
        let gradient = x_gradient.unwrap_or_default();
        assert!(!wanted || gradient.len() == x.len(), "the gradient of a convolution's input");
        let parts = [Parts::new(&mut *sums, channels * patch), Parts::new(gradient, images * image)];
        engine.pool.for_each_part(lanes, parts, scratch, |lane, [sums, gradient], scratch| {
            sums.fill(0.0);
            gradient.fill(0.0);
            let (patches, scratch) = scratch.split_at_mut(MOST_TOKENS * stride);
            let (patch_gradients, slopes) = scratch.split_at_mut(MOST_TOKENS * stride);
            for index in lane * images..((lane + 1) * images).min(batch) {
                for first in (0..pixels).step_by(MOST_TOKENS) {
                    let count = MOST_TOKENS.min(pixels - first);
                    let part = index * size + first * channels..index * size + (first + count) * channels;
                    let (conv, above) = (&state.conv[part.clone()], &output_gradient[part]);
                    NormBackwardInto {
                        norm,
                        gamma: self.gamma,
                        beta: self.beta,
                        relu: self.relu,
                        input: conv,
                        above,
                        output: slopes,
                        stride: wide,
                    }
                    .run(kernels);
                    self.gather(&x[index * image..][..image], width, [first, count], patches);
                    Product {
                        size: [channels, count, patch],
                        left: Left { data: slopes, row_stride: 1, step: wide },
                        right: Right { data: patches, stride },
                        bias: None,
                        output: sums,
                        output_stride: patch,
                        add: Add::Output,
                    }
                    .run(kernels);
                    if wanted {
                        Product {
                            size: [count, channels, patch],
                            left: Left { data: slopes, row_stride: wide, step: 1 },
                            right: Right { data: weight, stride },
                            bias: None,
                            output: patch_gradients,
                            output_stride: stride,
                            add: Add::Nothing,
                        }
                        .run(kernels);
                        let target = &mut gradient[(index - lane * images) * image..][..image];
                        self.scatter(patch_gradients, width, [first, count], target);
                    }
                }
            }
        });
        add_lanes(kernels, &engine.pool, sums, channels * patch);
        let (inputs, taps) = (self.size[3], self.kernel[0] * self.kernel[1]);
        let mut weight = Vec::with_capacity(channels * patch);
        for filter in sums[..channels * patch].chunks_exact(patch) {
            weight.extend((0..patch).map(|at| filter[at % taps * inputs + at / taps]));
        }
        engine.recycle(state.conv);
        ConvNormGradients { weight, bias: vec![0.0; channels], gamma: gamma.to_vec(), beta: beta.to_vec() }
    }
}
