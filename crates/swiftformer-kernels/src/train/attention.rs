//! Efficient additive attention with its scale and residual, forwards and backwards.
//!
//! Products run on blocks of tokens that may belong to several images; what reaches over an image's tokens (the pooling of
//! the token weights, and the global query) runs image by image between them.

use super::engine::{Engine, MOST_TOKENS, blocks, lanes, room};
use super::gemm::{Add, Left, Product, Right, padded};
use super::hidden::{Factors, add_lanes};
use super::pack;
use super::rows::{add_column_sums, normalize_rows, normalize_rows_backward};
use crate::attention::Pooling;
use crate::kernels::Kernels;
use crate::pool::Parts;

/// The parameters of the attention, in PyTorch's shapes.
#[derive(Clone, Copy, Debug)]
#[expect(missing_docs, reason = "they are the layers' own names")]
pub struct AttentionParameters<'a> {
    pub query: [&'a [f32]; 2],
    pub key: [&'a [f32]; 2],
    /// `w_g`, `[dim, 1]`.
    pub token_weights: &'a [f32],
    pub proj: [&'a [f32]; 2],
    pub last: [&'a [f32]; 2],
    /// The branch's scale, `[dim]`.
    pub scale: Option<&'a [f32]>,
}

/// `x + f · s · final(proj(g ⊙ k) + q)` with `g = Σ pooling(q·w_g / √dim) · q` over an image's tokens.
#[derive(Clone, Copy, Debug)]
pub struct AdditiveAttention<'a> {
    /// Images, tokens of each, channels.
    pub size: [usize; 3],
    /// How token weights are pooled.
    pub pooling: Pooling,
    /// Whether queries and keys are divided by their L2 norms.
    pub normalize: bool,
    /// The parameters.
    pub parameters: AttentionParameters<'a>,
    /// Stochastic depth's factor of each image.
    pub factors: Option<&'a [f32]>,
}

/// What a forward pass leaves for the backward pass.
#[derive(Debug)]
pub struct AttentionState {
    /// Queries and keys as they are used.
    query: Vec<f32>,
    key: Vec<f32>,
    /// One over their norms, before that the raw token weights, and the pooled ones: one a token each.
    query_inverse: Vec<f32>,
    key_inverse: Vec<f32>,
    raw: Vec<f32>,
    pooled: Vec<f32>,
    /// g of each image.
    global: Vec<f32>,
}

impl AttentionState {
    /// Gives the maps' memory back; the backward pass computes them again, to the same bits.
    pub fn forget(&mut self, engine: &mut Engine) {
        engine.recycle(std::mem::take(&mut self.query));
        engine.recycle(std::mem::take(&mut self.key));
    }
}

/// Gradients of [`AttentionParameters`], of the same shapes.
#[derive(Clone, Debug, Default)]
#[expect(missing_docs, reason = "each is the gradient of the parameter of that name")]
pub struct AttentionGradients {
    pub query: [Vec<f32>; 2],
    pub key: [Vec<f32>; 2],
    pub token_weights: Vec<f32>,
    pub proj: [Vec<f32>; 2],
    pub last: [Vec<f32>; 2],
    pub scale: Vec<f32>,
}

/// Torch's bound on norms.
const LEAST: f32 = 1e-12;

/// A product with `width` rows and columns of the weight.
struct Square<'a> {
    kernels: Kernels,
    weight: &'a [f32],
    bias: Option<&'a [f32]>,
    width: usize,
}

impl Square<'_> {
    fn run(
        &self,
        input: &[f32],
        input_stride: usize,
        count: usize,
        output: &mut [f32],
        output_stride: usize,
        add: Add<'_>,
    ) {
        Product {
            size: [count, self.width, self.width],
            left: Left { data: input, row_stride: input_stride, step: 1 },
            right: Right { data: self.weight, stride: padded(self.width) },
            bias: self.bias,
            output,
            output_stride,
            add,
        }
        .run(self.kernels);
    }
}

/// Adds `Σ gradientᵀ · input` of `count` tokens to a weight's gradient, and `Σ gradient` to its bias's.
fn weight_gradient(
    kernels: Kernels,
    width: usize,
    count: usize,
    [gradient, input]: [(&[f32], usize); 2],
    [weight, bias]: [&mut [f32]; 2],
) {
    Product {
        size: [width, count, width],
        left: Left { data: gradient.0, row_stride: 1, step: gradient.1 },
        right: Right { data: input.0, stride: input.1 },
        bias: None,
        output: weight,
        output_stride: width,
        add: Add::Output,
    }
    .run(kernels);
    add_column_sums(kernels, &gradient.0[..count * gradient.1], width, gradient.1, bias);
}

/// Weight and bias of a layer, and factors of its outputs.
type Scaled<'a> = ([&'a [f32]; 2], Option<&'a [f32]>);

impl AdditiveAttention<'_> {
    fn check(&self, lengths: &[usize]) {
        let [images, tokens, dim] = self.size;
        assert!(dim > 0 && tokens > 0, "attention over tokens");
        let len = images * tokens * dim;
        assert!(lengths.iter().all(|&found| found == len), "maps of {len} values, found {lengths:?}");
        let p = &self.parameters;
        for [weight, bias] in [p.query, p.key, p.proj, p.last] {
            assert!(weight.len() == dim * dim && bias.len() == dim, "a linear layer of the attention");
        }
        assert!(p.token_weights.len() == dim && p.scale.is_none_or(|scale| scale.len() == dim), "w_g and the scale");
        assert!(self.factors.is_none_or(|factors| factors.len() == images), "a factor for each image");
    }

    fn image_factors(&self) -> Option<Factors<'_>> {
        self.factors.map(|values| Factors { values, tokens: self.size[1] })
    }

    /// `u = k ⊙ g` of `count` tokens from `first` on, in rows of `stride`.
    fn mixed(&self, state: &AttentionState, first: usize, count: usize, output: &mut [f32], stride: usize) {
        let [_, tokens, dim] = self.size;
        for (row, output) in output.chunks_mut(stride).take(count).enumerate() {
            let token = first + row;
            let (key, global) = (&state.key[token * dim..][..dim], &state.global[token / tokens * dim..][..dim]);
            output.iter_mut().zip(key).zip(global).for_each(|((output, key), global)| *output = key * global);
        }
    }

    /// The forward pass.
    ///
    /// # Panics
    /// When a slice does not fit the shape.
    pub fn forward(&self, engine: &mut Engine, x: &[f32], output: &mut [f32]) -> AttentionState {
        self.check(&[x.len(), output.len()]);
        let state = self.project(engine, x);
        let [images, tokens, dim] = self.size;
        let (kernels, wide, total) = (engine.kernels, padded(dim), images * tokens);
        let p = &self.parameters;
        let packed = room(&mut engine.packed, 2 * dim * wide + 2 * wide);
        let square = self.packed(kernels, packed, [(p.proj, None), (p.last, p.scale)]);
        let [lanes, lane_tokens] = lanes(total);
        let per_thread = MOST_TOKENS * 3 * wide;
        let scratch = room(&mut engine.scratch, engine.pool.threads() * per_thread);
        let (state_ref, factors) = (&state, self.image_factors());
        let parts = [Parts::new(output, lane_tokens * dim)];
        engine.pool.for_each_part(lanes, parts, scratch, |lane, [output], scratch| {
            let (mixed, scratch) = scratch.split_at_mut(MOST_TOKENS * wide);
            let (inner, branch) = scratch.split_at_mut(MOST_TOKENS * wide);
            for (start, count) in blocks(output.len() / dim) {
                let token = lane * lane_tokens + start;
                let range = token * dim..(token + count) * dim;
                self.mixed(state_ref, token, count, mixed, wide);
                let query = Add::Rows(&state_ref.query[range.clone()], dim);
                square[0].run(mixed, wide, count, inner, wide, query);
                let (x, output) = (&x[range], &mut output[start * dim..][..count * dim]);
                match factors {
                    None => square[1].run(inner, wide, count, output, dim, Add::Rows(x, dim)),
                    Some(factors) => {
                        let branch = &mut branch[..count * dim];
                        square[1].run(inner, wide, count, branch, dim, Add::Nothing);
                        factors.apply(branch, dim, dim, token);
                        let sums = output.iter_mut().zip(x).zip(branch);
                        sums.for_each(|((output, x), branch)| *output = x + *branch);
                    }
                }
            }
        });
        state
    }

    /// Two layers as right-hand sides, with factors of their outputs.
    fn packed<'a>(&self, kernels: Kernels, packed: &'a mut [f32], layers: [Scaled<'_>; 2]) -> [Square<'a>; 2] {
        let dim = self.size[2];
        let (matrix, wide) = (dim * padded(dim), padded(dim));
        let (first, second) = packed.split_at_mut(matrix + wide);
        let mut targets = [first, second].into_iter().zip(layers);
        std::array::from_fn(|_| {
            let (target, ([weight, bias], factors)) = targets.next().expect("two layers");
            let (weights, biases) = target.split_at_mut(matrix);
            pack::transposed(weight, [dim, dim], factors, weights);
            pack::vector(bias, factors, biases);
            Square { kernels, weight: weights, bias: Some(biases), width: dim }
        })
    }

    /// Queries, keys, token weights and the global query.
    fn project(&self, engine: &mut Engine, x: &[f32]) -> AttentionState {
        let [images, tokens, dim] = self.size;
        let (kernels, wide, total) = (engine.kernels, padded(dim), images * tokens);
        let p = &self.parameters;
        let mut state = AttentionState {
            query: engine.buffer(x.len()),
            key: engine.buffer(x.len()),
            query_inverse: vec![1.0; total],
            key_inverse: vec![1.0; total],
            raw: vec![0.0; total],
            pooled: vec![1.0; total],
            global: vec![0.0; images * dim],
        };
        let packed = room(&mut engine.packed, 2 * dim * wide + 2 * wide);
        let square = self.packed(kernels, packed, [(p.query, None), (p.key, None)]);
        let [lanes, lane_tokens] = lanes(total);
        let root = 1.0 / (dim as f32).sqrt();
        let parts = [
            Parts::new(&mut state.query, lane_tokens * dim),
            Parts::new(&mut state.key, lane_tokens * dim),
            Parts::new(&mut state.query_inverse, lane_tokens),
            Parts::new(&mut state.key_inverse, lane_tokens),
            Parts::new(&mut state.raw, lane_tokens),
        ];
        engine.pool.for_each_part(lanes, parts, &mut [], |lane, parts, _| {
            let [query, key, query_inverse, key_inverse, raw] = parts;
            let input = &x[(lane * lane_tokens * dim).min(x.len())..][..query.len()];
            for (start, count) in blocks(query_inverse.len()) {
                let part = start * dim..(start + count) * dim;
                let rows = start..start + count;
                square[0].run(&input[part.clone()], dim, count, &mut query[part.clone()], dim, Add::Nothing);
                square[1].run(&input[part.clone()], dim, count, &mut key[part.clone()], dim, Add::Nothing);
                if self.normalize {
                    normalize_rows(kernels, &mut query[part.clone()], dim, LEAST, &mut query_inverse[rows.clone()]);
                    normalize_rows(kernels, &mut key[part.clone()], dim, LEAST, &mut key_inverse[rows.clone()]);
                }
                if self.pooling != Pooling::Sum {
                    for (raw, row) in raw[rows].iter_mut().zip(query[part].chunks_exact(dim)) {
                        *raw = root * dot(row, p.token_weights);
                    }
                }
            }
        });
        let parts = [Parts::new(&mut state.pooled, tokens), Parts::new(&mut state.global, dim)];
        let (query, raw) = (&state.query, &state.raw);
        engine.pool.for_each_part(images, parts, &mut [], |image, [pooled, global], _| {
            self.pool(&raw[image * tokens..][..tokens], pooled);
            let rows = query[image * tokens * dim..][..tokens * dim].chunks_exact(dim);
            for (row, &weight) in rows.zip(&*pooled) {
                global.iter_mut().zip(row).for_each(|(sum, value)| *sum += weight * value);
            }
        });
        state
    }

    /// Token weights of one image.
    fn pool(&self, raw: &[f32], pooled: &mut [f32]) {
        match self.pooling {
            Pooling::Sum => pooled.fill(1.0),
            Pooling::Raw => pooled.copy_from_slice(raw),
            Pooling::L2 => {
                let norm = dot(raw, raw).sqrt().max(LEAST);
                pooled.iter_mut().zip(raw).for_each(|(pooled, raw)| *pooled = raw / norm);
            }
            Pooling::Softmax => {
                let most = raw.iter().fold(f32::NEG_INFINITY, |most, &raw| most.max(raw));
                pooled.iter_mut().zip(raw).for_each(|(pooled, raw)| *pooled = (raw - most).exp());
                let total: f32 = pooled.iter().sum();
                pooled.iter_mut().for_each(|pooled| *pooled /= total);
            }
        }
    }

    /// The gradient of one image's raw token weights from that of its pooled ones, in place.
    fn pool_backward(&self, raw: &[f32], pooled: &[f32], gradient: &mut [f32]) {
        match self.pooling {
            Pooling::Sum => gradient.fill(0.0),
            Pooling::Raw => {}
            Pooling::L2 => {
                let norm = dot(raw, raw).sqrt();
                let along = if norm > LEAST { dot(pooled, gradient) } else { 0.0 };
                let inverse = 1.0 / norm.max(LEAST);
                let values = gradient.iter_mut().zip(pooled);
                values.for_each(|(value, pooled)| *value = (*value - pooled * along) * inverse);
            }
            Pooling::Softmax => {
                let along = dot(pooled, gradient);
                let values = gradient.iter_mut().zip(pooled);
                values.for_each(|(value, pooled)| *value = (*value - along) * pooled);
            }
        }
    }

    /// Gives a state's memory back, when there will be no backward pass.
    pub fn discard(engine: &mut Engine, mut state: AttentionState) {
        state.forget(engine);
    }

    /// The backward pass: from the output's gradient the parameters' gradients, and the input's into `x_gradient`.
    ///
    /// # Panics
    /// When a slice does not fit the shape.
    pub fn backward(
        &self,
        engine: &mut Engine,
        x: &[f32],
        mut state: AttentionState,
        output_gradient: &[f32],
        x_gradient: &mut [f32],
    ) -> AttentionGradients {
        self.check(&[x.len(), output_gradient.len(), x_gradient.len()]);
        if state.query.is_empty() {
            state = self.project(engine, x);
        }
        let [images, tokens, dim] = self.size;
        let (kernels, wide, total) = (engine.kernels, padded(dim), images * tokens);
        let p = &self.parameters;
        let matrix = dim * wide;
        // Gradients of proj's output, which is the queries' too, and of g ⊙ k.
        let mut query_gradient = engine.buffer(x.len());
        let mut key_gradient = engine.buffer(x.len());
        let packed = room(&mut engine.packed, 5 * matrix + wide);
        let (back, forward) = packed.split_at_mut(4 * matrix);
        let layers = [(p.query, None), (p.key, None), (p.proj, None), (p.last, p.scale)];
        for (target, ([weight, _], factors)) in back.chunks_exact_mut(matrix).zip(layers) {
            pack::rows(weight, dim, factors, target);
        }
        pack::transposed(p.proj[0], [dim, dim], None, &mut forward[..matrix]);
        pack::vector(p.proj[1], None, &mut forward[matrix..]);
        let (back, forward) = (&*back, &*forward);
        let square =
            |index: usize| Square { kernels, weight: &back[index * matrix..][..matrix], bias: None, width: dim };
        let proj = Square { kernels, weight: &forward[..matrix], bias: Some(&forward[matrix..]), width: dim };

        let [lanes, lane_tokens] = lanes(total);
        let layer = dim * dim + dim;
        let lane_sums = 2 * layer;
        let image_sums = images * dim;
        let sums = room(&mut engine.sums, lanes * lane_sums + image_sums);
        let (sums, weight_sums) = sums.split_at_mut(lanes * lane_sums);
        let per_thread = MOST_TOKENS * 3 * wide;
        let scratch = room(&mut engine.scratch, engine.pool.threads() * per_thread);
        let (state_ref, factors) = (&state, self.image_factors());
        let parts = [
            Parts::new(&mut query_gradient, lane_tokens * dim),
            Parts::new(&mut key_gradient, lane_tokens * dim),
            Parts::new(&mut *sums, lane_sums),
        ];
        engine.pool.for_each_part(lanes, parts, scratch, |lane, [query_gradient, key_gradient, sums], scratch| {
            sums.fill(0.0);
            let (last_sums, proj_sums) = sums.split_at_mut(layer);
            let (last_weight, last_bias) = last_sums.split_at_mut(dim * dim);
            let (proj_weight, proj_bias) = proj_sums.split_at_mut(dim * dim);
            let (mixed, scratch) = scratch.split_at_mut(MOST_TOKENS * wide);
            let (inner, scaled) = scratch.split_at_mut(MOST_TOKENS * wide);
            for (start, count) in blocks(query_gradient.len() / dim) {
                let token = lane * lane_tokens + start;
                let range = token * dim..(token + count) * dim;
                let local = start * dim..(start + count) * dim;
                let above = match factors {
                    None => &output_gradient[range.clone()],
                    Some(factors) => {
                        let scaled = &mut scaled[..count * dim];
                        scaled.copy_from_slice(&output_gradient[range.clone()]);
                        factors.apply(scaled, dim, dim, token);
                        &*scaled
                    }
                };
                self.mixed(state_ref, token, count, mixed, wide);
                proj.run(mixed, wide, count, inner, wide, Add::Rows(&state_ref.query[range], dim));
                weight_gradient(kernels, dim, count, [(above, dim), (inner, wide)], [last_weight, last_bias]);
                let query_gradient = &mut query_gradient[local.clone()];
                square(3).run(above, dim, count, query_gradient, dim, Add::Nothing);
                weight_gradient(kernels, dim, count, [(query_gradient, dim), (mixed, wide)], [proj_weight, proj_bias]);
                square(2).run(query_gradient, dim, count, &mut key_gradient[local], dim, Add::Nothing);
            }
        });
        add_lanes(kernels, &engine.pool, sums, lane_sums);
        let mut gradients = AttentionGradients::default();
        let (last, proj_sums) = sums[..lane_sums].split_at(layer);
        gradients.proj = [proj_sums[..dim * dim].to_vec(), proj_sums[dim * dim..].to_vec()];
        gradients.last = [last[..dim * dim].to_vec(), last[dim * dim..].to_vec()];
        if let Some(scale) = p.scale {
            let [weight, bias] = &mut gradients.last;
            let rows = weight.chunks_exact_mut(dim).zip(p.last[0].chunks_exact(dim));
            for (channel, ((row, own), bias)) in rows.zip(bias).enumerate() {
                gradients.scale.push(dot(row, own) + *bias * p.last[1][channel]);
                row.iter_mut().for_each(|value| *value *= scale[channel]);
                *bias *= scale[channel];
            }
        }

        // What reaches over an image's tokens.
        let root = 1.0 / (dim as f32).sqrt();
        let mut weights = vec![0.0; total];
        let parts = [
            Parts::new(&mut query_gradient, tokens * dim),
            Parts::new(&mut key_gradient, tokens * dim),
            Parts::new(&mut weights, tokens),
            Parts::new(weight_sums, dim),
        ];
        engine.pool.for_each_part(images, parts, &mut [], |image, parts, _| {
            let [query_gradient, key_gradient, weights, weight_sums] = parts;
            weight_sums.fill(0.0);
            let image_rows = image * tokens * dim..(image + 1) * tokens * dim;
            let query = &state_ref.query[image_rows.clone()];
            let mut slope = vec![0.0; dim];
            let global = &state_ref.global[image * dim..][..dim];
            let keys = state_ref.key[image_rows].chunks_exact(dim);
            for (row, key) in key_gradient.chunks_exact_mut(dim).zip(keys) {
                for ((value, key), (slope, global)) in row.iter_mut().zip(key).zip(slope.iter_mut().zip(global)) {
                    *slope += *value * key;
                    *value *= global;
                }
            }
            let pooled = &state_ref.pooled[image * tokens..][..tokens];
            if self.pooling != Pooling::Sum {
                for (weight, row) in weights.iter_mut().zip(query.chunks_exact(dim)) {
                    *weight = dot(row, &slope);
                }
                self.pool_backward(&state_ref.raw[image * tokens..][..tokens], pooled, weights);
            }
            let rows = query_gradient.chunks_exact_mut(dim).zip(query.chunks_exact(dim));
            for ((gradient, query), (&pooled, &weight)) in rows.zip(pooled.iter().zip(&*weights)) {
                let weight = weight * root;
                for (value, slope) in gradient.iter_mut().zip(&slope) {
                    *value += pooled * slope;
                }
                if self.pooling != Pooling::Sum {
                    let values = gradient.iter_mut().zip(p.token_weights);
                    values.for_each(|(value, own)| *value += weight * own);
                    weight_sums.iter_mut().zip(query).for_each(|(sum, query)| *sum += weight * query);
                }
            }
            if self.normalize {
                let part = image * tokens..(image + 1) * tokens;
                normalize_rows_backward(kernels, query, &state_ref.query_inverse[part.clone()], LEAST, query_gradient);
                let key = &state_ref.key[image * tokens * dim..][..tokens * dim];
                normalize_rows_backward(kernels, key, &state_ref.key_inverse[part], LEAST, key_gradient);
            }
        });
        gradients.token_weights = vec![0.0; dim];
        for sums in weight_sums.chunks_exact(dim) {
            gradients.token_weights.iter_mut().zip(sums).for_each(|(total, sum)| *total += sum);
        }

        let (query_ref, key_ref) = (&query_gradient, &key_gradient);
        let parts = [Parts::new(x_gradient, lane_tokens * dim), Parts::new(&mut *sums, lane_sums)];
        engine.pool.for_each_part(lanes, parts, scratch, |lane, [x_gradient, sums], scratch| {
            sums.fill(0.0);
            let (query_sums, key_sums) = sums.split_at_mut(layer);
            let (query_weight, query_bias) = query_sums.split_at_mut(dim * dim);
            let (key_weight, key_bias) = key_sums.split_at_mut(dim * dim);
            for (start, count) in blocks(x_gradient.len() / dim) {
                let token = lane * lane_tokens + start;
                let range = token * dim..(token + count) * dim;
                copy_rows(&x[range.clone()], dim, scratch, wide);
                let (query, key) = (&query_ref[range.clone()], &key_ref[range.clone()]);
                let input = (&*scratch, wide);
                weight_gradient(kernels, dim, count, [(query, dim), input], [query_weight, query_bias]);
                weight_gradient(kernels, dim, count, [(key, dim), input], [key_weight, key_bias]);
                let target = &mut x_gradient[start * dim..][..count * dim];
                square(0).run(query, dim, count, target, dim, Add::Rows(&output_gradient[range], dim));
                square(1).run(key, dim, count, target, dim, Add::Output);
            }
        });
        add_lanes(kernels, &engine.pool, sums, lane_sums);
        let (query, key) = sums[..lane_sums].split_at(layer);
        gradients.query = [query[..dim * dim].to_vec(), query[dim * dim..].to_vec()];
        gradients.key = [key[..dim * dim].to_vec(), key[dim * dim..].to_vec()];
        engine.recycle(query_gradient);
        engine.recycle(key_gradient);
        Self::discard(engine, state);
        gradients
    }
}

/// Rows of `width` into rows of `stride`.
fn copy_rows(rows: &[f32], width: usize, target: &mut [f32], stride: usize) {
    for (row, target) in rows.chunks_exact(width).zip(target.chunks_mut(stride)) {
        target[..width].copy_from_slice(row);
    }
}

/// `Σ aᵢ·bᵢ` in sixteen parts.
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let (a_chunks, a_rest) = a.as_chunks::<16>();
    let (b_chunks, b_rest) = b.as_chunks::<16>();
    let mut sums = [0.0; 16];
    for (a, b) in a_chunks.iter().zip(b_chunks) {
        sums.iter_mut().zip(a.iter().zip(b)).for_each(|(sum, (a, b))| *sum += a * b);
    }
    sums.iter().sum::<f32>() + a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum::<f32>()
}
