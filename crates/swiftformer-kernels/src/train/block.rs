//! A whole residual block: ConvEncoder and local representation (with a depthwise convolution) and the MLP (without).

use super::depthwise::{Depthwise, DepthwiseWeights, taps};
use super::engine::{Engine, room};
use super::hidden::{Factors, Hidden, HiddenGradients, Normal, add_lanes};
use super::rows::{Moments, NormGradient, channel_sums, norm_backward};
use super::shared::shared_sums;
use crate::pool::Parts;

/// Channels from which on the hidden ones of a block are kept for the backward pass: computing them again takes the longer
/// the more there are, and keeping them as long as the memory needs.
const KEPT_CHANNELS: usize = 96;
/// Floats that are kept in any case: they stay in the last cache for a while.
const KEPT_FLOATS: usize = 1 << 20;

/// `x + f · s · pw2(gelu(pw1(BN(dw(x)))))` on maps `[batch, height, width, channels]`; without a depthwise convolution it
/// is `x + f · s · fc2(gelu(fc1(BN(x))))`.
#[derive(Clone, Copy, Debug)]
pub struct Block<'a> {
    /// `[batch, height, width]`.
    pub size: [usize; 3],
    /// Weight `[channels, 1, 3, 3]` and bias `[channels]` of the depthwise convolution.
    pub depthwise: Option<[&'a [f32]; 2]>,
    /// What follows it.
    pub hidden: Hidden<'a>,
    /// BatchNorm's ε.
    pub eps: f32,
    /// Stochastic depth's factor of each image, `[batch]`.
    pub factors: Option<&'a [f32]>,
}

/// Mean and biased variance of each channel.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ChannelStatistics {
    /// Mean.
    pub mean: Vec<f32>,
    /// Biased variance.
    pub variance: Vec<f32>,
}

impl ChannelStatistics {
    /// Those of images of `rows` rows each, from what [`channel_sums`] found in each.
    pub(super) fn of_sums(sums: &[f32], channels: usize, rows: usize) -> Self {
        let mut moments = Moments::new(channels);
        sums.chunks_exact(3 * channels).for_each(|sums| moments.merge(rows, sums));
        let [mean, variance] = moments.finish();
        Self { mean, variance }
    }

    /// `1 / √(variance + ε)`
    pub(super) fn inverse(&self, eps: f32) -> Vec<f32> {
        self.variance.iter().map(|variance| 1.0 / (variance + eps).sqrt()).collect()
    }
}

/// What a forward pass leaves for the backward pass.
#[derive(Debug)]
pub struct BlockState {
    /// The depthwise convolution's output.
    depthwise: Vec<f32>,
    /// The hidden channels before their activation; none where computing them again is quicker than keeping them.
    hidden: Vec<f32>,
    /// The batch's statistics of the BatchNorm.
    pub statistics: ChannelStatistics,
}

impl BlockState {
    /// Gives the maps' memory back; the backward pass computes them again, to the same bits.
    pub fn forget(&mut self, engine: &mut Engine) {
        engine.recycle(std::mem::take(&mut self.depthwise));
        engine.recycle(std::mem::take(&mut self.hidden));
    }
}

/// Gradients of a block's parameters, in PyTorch's shapes.
#[derive(Clone, Debug, Default)]
pub struct BlockGradients {
    /// `[channels, 1, 3, 3]`; empty without a depthwise convolution.
    pub depthwise_weight: Vec<f32>,
    /// `[channels]`: zeros, for a constant before a BatchNorm changes nothing; empty without a depthwise convolution.
    pub depthwise_bias: Vec<f32>,
    /// Those of the layers behind it.
    pub hidden: HiddenGradients,
}

impl Block<'_> {
    fn channels(&self) -> usize {
        self.hidden.gamma.len()
    }

    fn check(&self, lengths: &[usize]) {
        self.hidden.check();
        let [batch, height, width] = self.size;
        let len = batch * height * width * self.channels();
        assert!(lengths.iter().all(|&found| found == len), "maps of {len} values, found {lengths:?}");
        assert!(self.factors.is_none_or(|factors| factors.len() == batch), "a factor for each image");
        let channels = self.channels();
        let fits = |[weight, bias]: [&[f32]; 2]| weight.len() == 9 * channels && bias.len() == channels;
        assert!(self.depthwise.is_none_or(fits), "the depthwise convolution's parameters");
    }

    fn image_factors(&self) -> Option<Factors<'_>> {
        self.factors.map(|values| Factors { values, tokens: self.size[1] * self.size[2] })
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
    ) -> BlockState {
        self.check(&[x.len(), output.len()]);
        let depthwise = self.convolve(engine, x, given.is_none());
        let kept = self.hidden.kept_len(x.len() / self.channels());
        let keeps = given.is_none() && (self.channels() >= KEPT_CHANNELS || kept <= KEPT_FLOATS);
        let mut hidden = if keeps { engine.buffer(kept) } else { Vec::new() };
        let statistics = given.unwrap_or_else(|| {
            let [batch, height, width] = self.size;
            let sums = room(&mut engine.sums, batch * 3 * self.channels());
            ChannelStatistics::of_sums(sums, self.channels(), height * width).shared(engine.shared.as_ref())
        });
        let inverse = statistics.inverse(self.eps);
        let normal = Normal { mean: &statistics.mean, inverse: &inverse };
        let input = if self.depthwise.is_some() { &depthwise } else { x };
        self.hidden.forward(engine, normal, [x, input], self.image_factors(), output, &mut hidden);
        BlockState { depthwise, hidden, statistics }
    }

    /// The depthwise convolution's output, where there is one, and the sums of BatchNorm's input where they are wanted.
    fn convolve(&self, engine: &mut Engine, x: &[f32], wants_sums: bool) -> Vec<f32> {
        let [batch, height, width] = self.size;
        let (channels, image) = (self.channels(), height * width * self.channels());
        let kernels = engine.kernels;
        let mut depthwise = Vec::new();
        if self.depthwise.is_some() {
            depthwise = engine.buffer(x.len());
        }
        let sums = room(&mut engine.sums, batch * 3 * channels);
        let of_images = Parts::new(sums, 3 * channels);
        match self.depthwise {
            Some([weight, bias]) => {
                let taps = taps(weight, channels, false);
                let parts = [Parts::new(&mut depthwise, image), of_images];
                engine.pool.for_each_part(batch, parts, &mut [], |index, [output, sums], _| {
                    let (size, input) = ([height, width], &x[index * image..][..image]);
                    let (taps, bias, add) = (&taps, Some(bias), None);
                    kernels.dispatch(Depthwise { size, channels, taps, bias, input, add, output: &mut *output });
                    if wants_sums {
                        channel_sums(kernels, output, channels, sums);
                    }
                });
            }
            None if wants_sums => {
                engine.pool.for_each_part(batch, [of_images], &mut [], |index, [sums], _| {
                    channel_sums(kernels, &x[index * image..][..image], channels, sums);
                });
            }
            None => {}
        }
        depthwise
    }

    /// Gives a state's memory back, when there will be no backward pass.
    pub fn discard(engine: &mut Engine, mut state: BlockState) {
        state.forget(engine);
    }

    /// The backward pass of a forward pass with the batch's statistics: from the output's gradient the parameters'
    /// gradients, and the input's into `x_gradient`.
    ///
    /// # Panics
    /// When a slice does not fit the shape.
    pub fn backward(
        &self,
        engine: &mut Engine,
        x: &[f32],
        mut state: BlockState,
        output_gradient: &[f32],
        x_gradient: &mut [f32],
    ) -> BlockGradients {
        self.check(&[x.len(), output_gradient.len(), x_gradient.len()]);
        if self.depthwise.is_some() && state.depthwise.is_empty() {
            state.depthwise = self.convolve(engine, x, false);
        }
        let [batch, height, width] = self.size;
        let (channels, image) = (self.channels(), height * width * self.channels());
        let kernels = engine.kernels;
        let inverse = state.statistics.inverse(self.eps);
        let normal = Normal { mean: &state.statistics.mean, inverse: &inverse };
        let input = if self.depthwise.is_some() { &state.depthwise } else { x };
        let mut inner = if self.depthwise.is_some() { engine.buffer(x.len()) } else { Vec::new() };
        let target = if self.depthwise.is_some() { &mut inner } else { &mut *x_gradient };
        let maps = [input, output_gradient];
        let hidden = self.hidden.backward(engine, normal, maps, self.image_factors(), &state.hidden, target);
        let count = (batch * height * width) as f32;
        let mean_of = |sums: &[f32]| -> Vec<f32> {
            sums.iter().zip(self.hidden.gamma).map(|(sum, gamma)| sum * gamma / count).collect()
        };
        let [beta, gamma] = shared_sums(engine.shared.as_ref(), [&hidden.beta, &hidden.gamma]);
        let (shift, slope) = (mean_of(&beta), mean_of(&gamma));
        let norm = NormGradient { mean: normal.mean, inverse: &inverse, shift: &shift, slope: &slope };
        let mut gradients = BlockGradients { hidden, ..BlockGradients::default() };
        match self.depthwise {
            None => {
                engine.pool.for_each_part(batch, [Parts::new(x_gradient, image)], &mut [], |index, [gradient], _| {
                    let part = index * image..(index + 1) * image;
                    norm_backward(kernels, norm, &input[part.clone()], gradient, Some(&output_gradient[part]));
                });
            }
            Some([weight, _]) => {
                let turned = taps(weight, channels, true);
                let sums = room(&mut engine.sums, batch * 9 * channels);
                let parts = [
                    Parts::new(&mut inner, image),
                    Parts::new(x_gradient, image),
                    Parts::new(&mut *sums, 9 * channels),
                ];
                engine.pool.for_each_part(batch, parts, &mut [], |index, [inner, output, sums], _| {
                    let part = index * image..(index + 1) * image;
                    let size = [height, width];
                    norm_backward(kernels, norm, &input[part.clone()], inner, None);
                    let add = Some(&output_gradient[part.clone()]);
                    let (taps, bias) = (&turned, None);
                    kernels.dispatch(Depthwise { size, channels, taps, bias, input: inner, add, output });
                    sums.fill(0.0);
                    kernels.dispatch(DepthwiseWeights { size, channels, input: &x[part], gradient: inner, sums });
                });
                add_lanes(kernels, &engine.pool, sums, 9 * channels);
                let sums = &sums[..9 * channels];
                let weights = (0..9 * channels).map(|at| sums[at % 9 * channels + at / 9]);
                gradients.depthwise_weight = weights.collect();
                gradients.depthwise_bias = vec![0.0; channels];
                engine.recycle(inner);
            }
        }
        Self::discard(engine, state);
        gradients
    }
}
