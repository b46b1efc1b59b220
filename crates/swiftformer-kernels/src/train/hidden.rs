//! `x + f · s · W₂ gelu(W₁ (γ x̂ + β) + b₁) + …`: the two pointwise layers of a block with everything around them, forwards
//! and backwards, on blocks of tokens whose hidden activations never leave the cache.
//!
//! The hidden activations are not kept but computed again on the way back: that costs a sixth more multiplications and
//! saves four times the block's own size in memory traffic each way. With `G = Σ dyᵀ·g` and `Q = Σ dhᵀ·x̂`, all weight
//! gradients follow from sums over tokens without another pass: `dW₂ = s·G`, `ds = Σ W₂∘G + b₂·Σdy`, `dW₁ = Q·γ + db₁⊗β`,
//! `dγ = Σ W₁∘Q`, `dβ = W₁ᵀ db₁`; and BatchNorm's own sums are `γ·dβ` and `γ·dγ`.

mod gradients;

use super::engine::{Engine, MOST_TOKENS, blocks, lanes, room};
use super::gelu::{GeluBackward, gelu};
use super::gemm::{Add, Left, Product, Right, padded};
use super::rows::{add_column_sums, normalize};
use crate::kernels::Kernels;
use crate::pool::{Parts, Pool};

/// Hidden channels that are worked on at once.
const PANEL: usize = 64;

/// The parameters of BatchNorm, two pointwise layers with GELU between them, and a scale, in PyTorch's shapes.
#[derive(Clone, Copy, Debug)]
pub struct Hidden<'a> {
    /// BatchNorm's weight γ, `[channels]`.
    pub gamma: &'a [f32],
    /// BatchNorm's bias β, `[channels]`.
    pub beta: &'a [f32],
    /// `[hidden, channels]`.
    pub weight1: &'a [f32],
    /// `[hidden]`.
    pub bias1: &'a [f32],
    /// `[channels, hidden]`.
    pub weight2: &'a [f32],
    /// `[channels]`.
    pub bias2: &'a [f32],
    /// The branch's scale, `[channels]`.
    pub scale: Option<&'a [f32]>,
}

/// Gradients of [`Hidden`], of the same shapes.
#[derive(Clone, Debug, Default)]
#[expect(missing_docs, reason = "each is the gradient of `Hidden`'s field of that name")]
pub struct HiddenGradients {
    pub gamma: Vec<f32>,
    pub beta: Vec<f32>,
    pub weight1: Vec<f32>,
    pub bias1: Vec<f32>,
    pub weight2: Vec<f32>,
    pub bias2: Vec<f32>,
    pub scale: Vec<f32>,
}

/// Statistics of a BatchNorm as its normalisation uses them.
#[derive(Clone, Copy)]
pub(super) struct Normal<'a> {
    pub(super) mean: &'a [f32],
    pub(super) inverse: &'a [f32],
}

/// Factors of images: each holds for `tokens` tokens.
#[derive(Clone, Copy)]
pub(super) struct Factors<'a> {
    pub(super) values: &'a [f32],
    pub(super) tokens: usize,
}

impl Factors<'_> {
    /// Multiplies rows `width` wide, of which the first is token `first`, by their images' factors.
    pub(super) fn apply(&self, rows: &mut [f32], width: usize, stride: usize, first: usize) {
        for (row, values) in rows.chunks_mut(stride).enumerate() {
            let factor = self.values[(first + row) / self.tokens];
            values[..width].iter_mut().for_each(|value| *value *= factor);
        }
    }
}

impl Hidden<'_> {
    fn sizes(&self) -> [usize; 4] {
        let (channels, hidden) = (self.gamma.len(), self.bias1.len());
        [channels, hidden, hidden.div_ceil(PANEL), padded(channels)]
    }

    pub(super) fn check(&self) {
        let (channels, hidden) = (self.gamma.len(), self.bias1.len());
        assert!(channels > 0 && hidden > 0, "a block has channels");
        assert_eq!(self.beta.len(), channels, "BatchNorm's bias");
        assert_eq!(self.weight1.len(), channels * hidden, "the first weight");
        assert_eq!(self.weight2.len(), channels * hidden, "the second weight");
        assert_eq!(self.bias2.len(), channels, "the second bias");
        assert!(self.scale.is_none_or(|scale| scale.len() == channels), "the scale");
    }

    fn scale_of(&self, channel: usize) -> f32 {
        self.scale.map_or(1.0, |scale| scale[channel])
    }

    /// `W₁·γ` as panels `[panel][channel][PANEL]`.
    fn pack_first(&self, panel: usize, target: &mut [f32]) {
        let [channels, hidden, ..] = self.sizes();
        let start = panel * PANEL;
        let width = PANEL.min(hidden - start);
        if width < PANEL {
            target.fill(0.0);
        }
        // Sixteen rows at a time: their lines stay in the first-level cache.
        for group in (0..width).step_by(16) {
            let rows = &self.weight1[(start + group) * channels..];
            let count = 16.min(width - group);
            for (channel, &gamma) in self.gamma.iter().enumerate() {
                let target = &mut target[channel * PANEL + group..][..count];
                for (lane, value) in target.iter_mut().enumerate() {
                    *value = rows[lane * channels + channel] * gamma;
                }
            }
        }
    }

    /// `b₁ + W₁·β`, in whole panels.
    fn pack_first_bias(&self, target: &mut [f32]) {
        let channels = self.gamma.len();
        target.fill(0.0);
        for ((row, &bias), value) in self.weight1.chunks_exact(channels).zip(self.bias1).zip(target) {
            *value = bias + row.iter().zip(self.beta).map(|(w, b)| w * b).sum::<f32>();
        }
    }

    /// Floats that hold the hidden channels of `tokens` tokens, before their activation.
    pub(super) fn kept_len(&self, tokens: usize) -> usize {
        tokens * self.sizes()[2] * PANEL
    }

    /// The forward pass: `output = x + factors · scale · branch(input)`, where the branch normalises `input`. The hidden
    /// channels stay in `kept`, [`Hidden::kept_len`] long, block by block of a lane's tokens and there panel by panel, unless
    /// it is empty.
    pub(super) fn forward(
        &self,
        engine: &mut Engine,
        normal: Normal<'_>,
        [x, input]: [&[f32]; 2],
        factors: Option<Factors<'_>>,
        output: &mut [f32],
        kept: &mut [f32],
    ) {
        let [channels, hidden, panels, wide] = self.sizes();
        let kernels = engine.kernels;
        let tokens = x.len() / channels;
        let (first_len, second_len) = (panels * channels * PANEL, panels * PANEL * wide);
        let packed = room(&mut engine.packed, first_len + second_len + panels * PANEL + wide);
        let (first, rest) = packed.split_at_mut(first_len);
        let (second, rest) = rest.split_at_mut(second_len);
        let (bias1, bias2) = rest.split_at_mut(panels * PANEL);
        let parts = [Parts::new(first, channels * PANEL), Parts::new(second, PANEL * wide)];
        engine.pool.for_each_part(panels, parts, &mut [], |panel, [first, second], _| {
            self.pack_first(panel, first);
            // `(s·W₂)ᵀ`: one row of `wide` for each hidden channel.
            let start = panel * PANEL;
            let width = PANEL.min(hidden - start);
            for group in (0..channels).step_by(16) {
                let count = 16.min(channels - group);
                for row in 0..width {
                    let target = &mut second[row * wide + group..][..count];
                    for (lane, value) in target.iter_mut().enumerate() {
                        *value = self.weight2[(group + lane) * hidden + start + row] * self.scale_of(group + lane);
                    }
                }
            }
        });
        self.pack_first_bias(bias1);
        bias2.fill(0.0);
        for (channel, value) in bias2[..channels].iter_mut().enumerate() {
            *value = self.bias2[channel] * self.scale_of(channel);
        }
        let (first, second, bias1, bias2) = (&*first, &*second, &*bias1, &*bias2);
        let [lanes, lane_tokens] = lanes(tokens);
        let per_thread = MOST_TOKENS * (wide + 2 * PANEL + channels);
        let scratch = room(&mut engine.scratch, engine.pool.threads() * per_thread);
        let keeps = !kept.is_empty();
        assert!(!keeps || kept.len() == self.kept_len(tokens), "room for hidden channels");
        let parts = [Parts::new(output, lane_tokens * channels), Parts::new(kept, self.kept_len(lane_tokens))];
        engine.pool.for_each_part(lanes, parts, scratch, |lane, [output, kept], scratch| {
            let (normalized, scratch) = scratch.split_at_mut(MOST_TOKENS * wide);
            let (active, scratch) = scratch.split_at_mut(MOST_TOKENS * PANEL);
            let (inner, branch) = scratch.split_at_mut(MOST_TOKENS * PANEL);
            for (start, count) in blocks(output.len() / channels) {
                let token = lane * lane_tokens + start;
                let range = token * channels..(token + count) * channels;
                normalize(kernels, &input[range.clone()], normal.mean, normal.inverse, normalized, wide);
                let output = &mut output[start * channels..][..count * channels];
                let (target, first_add) = match factors {
                    None => (&mut *output, Add::Rows(&x[range.clone()], channels)),
                    Some(_) => (&mut branch[..count * channels], Add::Nothing),
                };
                let active = &mut active[..count * PANEL];
                for panel in 0..panels {
                    let width = PANEL.min(hidden - panel * PANEL);
                    let inner = match keeps {
                        true => &mut kept[(start * panels + panel * count) * PANEL..][..count * PANEL],
                        false => &mut inner[..count * PANEL],
                    };
                    Product {
                        size: [count, channels, width],
                        left: Left { data: normalized, row_stride: wide, step: 1 },
                        right: Right { data: &first[panel * channels * PANEL..][..channels * PANEL], stride: PANEL },
                        bias: Some(&bias1[panel * PANEL..][..PANEL]),
                        output: &mut *inner,
                        output_stride: PANEL,
                        add: Add::Nothing,
                    }
                    .run(kernels);
                    gelu(kernels, inner, active);
                    Product {
                        size: [count, width, channels],
                        left: Left { data: active, row_stride: PANEL, step: 1 },
                        right: Right { data: &second[panel * PANEL * wide..][..PANEL * wide], stride: wide },
                        bias: (panel == 0).then_some(bias2),
                        output: &mut *target,
                        output_stride: channels,
                        add: if panel == 0 { first_add } else { Add::Output },
                    }
                    .run(kernels);
                }
                if let Some(factors) = factors {
                    let branch = &mut branch[..count * channels];
                    factors.apply(branch, channels, channels, token);
                    let sums = output.iter_mut().zip(&x[range]).zip(branch);
                    sums.for_each(|((output, x), branch)| *output = x + *branch);
                }
            }
        });
    }

    /// The backward pass: from the output's gradient, the gradients of all parameters, and that of the normalised input
    /// (before BatchNorm's own backward pass) into `input_gradient`. Hidden channels that were not kept are computed again,
    /// to the same bits.
    pub(super) fn backward(
        &self,
        engine: &mut Engine,
        normal: Normal<'_>,
        [input, output_gradient]: [&[f32]; 2],
        factors: Option<Factors<'_>>,
        kept: &[f32],
        input_gradient: &mut [f32],
    ) -> HiddenGradients {
        let [channels, hidden, panels, wide] = self.sizes();
        let kernels = engine.kernels;
        let tokens = input.len() / channels;
        let keeps = !kept.is_empty();
        assert!(!keeps || kept.len() == self.kept_len(tokens), "the hidden channels");
        let panel_len = channels * PANEL;
        let packed = room(&mut engine.packed, panels * (2 * panel_len + PANEL * wide + PANEL));
        let (first, rest) = packed.split_at_mut(panels * panel_len);
        let (second, rest) = rest.split_at_mut(panels * panel_len);
        let (back, bias1) = rest.split_at_mut(panels * PANEL * wide);
        let parts = [Parts::new(first, panel_len), Parts::new(second, panel_len), Parts::new(back, PANEL * wide)];
        engine.pool.for_each_part(panels, parts, &mut [], |panel, [first, second, back], _| {
            if !keeps {
                self.pack_first(panel, first);
            }
            let start = panel * PANEL;
            let width = PANEL.min(hidden - start);
            for (channel, target) in second.chunks_exact_mut(PANEL).enumerate() {
                let (row, factor) = (&self.weight2[channel * hidden + start..][..width], self.scale_of(channel));
                target[width..].fill(0.0);
                target.iter_mut().zip(row).for_each(|(value, weight)| *value = weight * factor);
            }
            for (row, target) in back.chunks_exact_mut(wide).take(width).enumerate() {
                let row = &self.weight1[(start + row) * channels..][..channels];
                target[channels..].fill(0.0);
                let values = target.iter_mut().zip(row).zip(self.gamma);
                values.for_each(|((value, weight), gamma)| *value = weight * gamma);
            }
        });
        if !keeps {
            self.pack_first_bias(bias1);
        }
        let (first, second, back, bias1) = (&*first, &*second, &*back, &*bias1);
        let [lanes, lane_tokens] = lanes(tokens);
        let size = channels * hidden;
        // Q, G, the sums of dh and of dy.
        let lane_sums = 2 * size + hidden + channels;
        let sums = room(&mut engine.sums, lanes * lane_sums);
        let per_thread = MOST_TOKENS * (wide + 3 * PANEL + channels);
        let scratch = room(&mut engine.scratch, engine.pool.threads() * per_thread);
        let parts = [Parts::new(input_gradient, lane_tokens * channels), Parts::new(sums, lane_sums)];
        engine.pool.for_each_part(lanes, parts, scratch, |lane, [gradient, sums], scratch| {
            let (weights, biases) = sums.split_at_mut(2 * size);
            biases.fill(0.0);
            if gradient.is_empty() {
                weights.fill(0.0);
            }
            let (weight1, weight2) = weights.split_at_mut(size);
            let (bias1_sums, bias2_sums) = biases.split_at_mut(hidden);
            let (normalized, scratch) = scratch.split_at_mut(MOST_TOKENS * wide);
            let (active, scratch) = scratch.split_at_mut(MOST_TOKENS * PANEL);
            let (before, scratch) = scratch.split_at_mut(MOST_TOKENS * PANEL);
            let (inner, scaled) = scratch.split_at_mut(MOST_TOKENS * PANEL);
            for (start, count) in blocks(gradient.len() / channels) {
                let token = lane * lane_tokens + start;
                let range = token * channels..(token + count) * channels;
                normalize(kernels, &input[range.clone()], normal.mean, normal.inverse, normalized, wide);
                let above = match factors {
                    None => &output_gradient[range],
                    Some(factors) => {
                        let scaled = &mut scaled[..count * channels];
                        scaled.copy_from_slice(&output_gradient[range]);
                        factors.apply(scaled, channels, channels, token);
                        &*scaled
                    }
                };
                add_column_sums(kernels, above, channels, channels, bias2_sums);
                let gradient = &mut gradient[start * channels..][..count * channels];
                let active = &mut active[..count * PANEL];
                let inner = &mut inner[..count * PANEL];
                for panel in 0..panels {
                    let (column, width) = (panel * PANEL, PANEL.min(hidden - panel * PANEL));
                    let before = match keeps {
                        true => &kept[self.kept_len(token) + panel * count * PANEL..][..count * PANEL],
                        false => {
                            let before = &mut before[..count * PANEL];
                            Product {
                                size: [count, channels, width],
                                left: Left { data: normalized, row_stride: wide, step: 1 },
                                right: Right { data: &first[panel * panel_len..][..panel_len], stride: PANEL },
                                bias: Some(&bias1[column..][..PANEL]),
                                output: &mut *before,
                                output_stride: PANEL,
                                add: Add::Nothing,
                            }
                            .run(kernels);
                            &*before
                        }
                    };
                    Product {
                        size: [count, channels, width],
                        left: Left { data: above, row_stride: channels, step: 1 },
                        right: Right { data: &second[panel * panel_len..][..panel_len], stride: PANEL },
                        bias: None,
                        output: &mut *inner,
                        output_stride: PANEL,
                        add: Add::Nothing,
                    }
                    .run(kernels);
                    GeluBackward {
                        input: before,
                        active: &mut *active,
                        gradient: &mut *inner,
                        stride: PANEL,
                        sums: &mut bias1_sums[column..][..width],
                    }
                    .run(kernels);
                    Product {
                        size: [channels, count, width],
                        left: Left { data: above, row_stride: 1, step: channels },
                        right: Right { data: active, stride: PANEL },
                        bias: None,
                        output: &mut weight2[column..],
                        output_stride: hidden,
                        add: Add::after(start == 0),
                    }
                    .run(kernels);
                    Product {
                        size: [width, count, channels],
                        left: Left { data: inner, row_stride: 1, step: PANEL },
                        right: Right { data: normalized, stride: wide },
                        bias: None,
                        output: &mut weight1[column * channels..],
                        output_stride: channels,
                        add: Add::after(start == 0),
                    }
                    .run(kernels);
                    Product {
                        size: [count, width, channels],
                        left: Left { data: inner, row_stride: PANEL, step: 1 },
                        right: Right { data: &back[column * wide..][..width * wide], stride: wide },
                        bias: None,
                        output: gradient,
                        output_stride: channels,
                        add: Add::after(panel == 0),
                    }
                    .run(kernels);
                }
            }
        });
        add_lanes(kernels, &engine.pool, sums, lane_sums);
        self.gradients(kernels, &engine.pool, &sums[..lane_sums])
    }
}

/// Adds all lanes' sums to the first lane's, each value in the order of the lanes.
pub(super) fn add_lanes(kernels: Kernels, pool: &Pool, sums: &mut [f32], lane: usize) {
    /// Values that one task adds up.
    const CHUNK: usize = 16 << 10;
    let (first, others) = sums.split_at_mut(lane);
    if others.is_empty() {
        return;
    }
    let total = lane.div_ceil(CHUNK);
    pool.for_each_part(total, [Parts::new(first, CHUNK)], &mut [], |part, [first], _| {
        for other in others.chunks_exact(lane) {
            kernels.average(first, 1.0, &other[part * CHUNK..][..first.len()], 1.0);
        }
    });
}
