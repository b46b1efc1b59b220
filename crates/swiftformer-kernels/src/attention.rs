//! Efficient additive attention (SwiftFormer, equations 3 to 5), in three phases.
//!
//! 1. [`Kernels::attention_keys_queries`], on any ranges of tokens: keys and queries, normalised, and what their block of
//!    tokens adds to the global query.
//! 2. [`Kernels::attention_pool`], once: the global query, from all blocks in their order.
//! 3. [`Kernels::attention_update`], on any ranges of tokens: `output += M·(global ⊙ key) + F·query + b`.
//!
//! Blocks are of fixed size, so results do not depend on how tokens are split between threads.

use crate::activation::Activation;
use crate::gemm::PackedMatrix;
use crate::isa::Isa;
use crate::kernels::{Kernel, Kernels};
use crate::pointwise::Epilogue;
use crate::rows::{Rows, RowsMut};

/// How the tokens' scores `a` become their weights in the global query `g = Σ weight · query`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Pooling {
    /// Every weight is 1; the gate is not used.
    Sum,
    /// `a / max(‖a‖₂, 1e-12)` over all tokens.
    L2,
    /// Softmax of `a` over all tokens.
    Softmax,
    /// `a` itself.
    Raw,
}

/// The first phase: projections to keys and queries, and the tokens' scores `a = scale · (query · gate)`.
#[derive(Clone, Copy, Debug)]
pub struct AttentionQueryKey<'a> {
    /// `[2·C, C]`: the rows for keys, then those for queries.
    pub matrix: &'a PackedMatrix,
    /// `w_g`, `[C]`.
    pub gate: &'a [f32],
    /// Usually `C^-1/2`.
    pub scale: f32,
    /// Whether keys and queries are divided by `max(‖·‖₂, 1e-12)`.
    pub normalize: bool,
    /// What the scores are used for.
    pub pooling: Pooling,
}

impl AttentionQueryKey<'_> {
    /// Tokens in a block. Ranges of tokens must start at multiples of it. It is a row of the map that most attention runs
    /// on, so that two threads share the 49 tokens of a 7×7 map too.
    pub const BLOCK: usize = 14;

    /// Channels `C` of a token.
    pub fn channels(&self) -> usize {
        self.gate.len()
    }

    /// Floats that the partial sums of `tokens` tokens take: `C + 2` for every begun block.
    pub fn partials_len(&self, tokens: usize) -> usize {
        tokens.div_ceil(Self::BLOCK) * (self.channels() + 2)
    }
}

impl Kernels {
    /// Phase 1. `keys_queries` receives `[tokens, 2·C]` (a token's key, then its query), `partials` the sums of each
    /// block of [`AttentionQueryKey::BLOCK`] tokens ([`AttentionQueryKey::partials_len`] floats). `scratch` may hold
    /// anything ([`PackedMatrix::pointwise_scratch_len`]).
    ///
    /// # Panics
    /// When a shape or length does not fit.
    pub fn attention_keys_queries(
        self,
        attention: AttentionQueryKey<'_>,
        input: Rows<'_>,
        keys_queries: &mut [f32],
        partials: &mut [f32],
        scratch: &mut [f32],
    ) {
        let channels = attention.channels();
        assert_eq!(attention.matrix.inputs(), channels, "inputs of the key and query matrix");
        assert_eq!(attention.matrix.outputs(), 2 * channels, "outputs of the key and query matrix");
        assert_eq!(keys_queries.len(), input.rows * 2 * channels, "keys and queries");
        assert_eq!(partials.len(), attention.partials_len(input.rows), "partial sums");
        if keys_queries.is_empty() {
            return;
        }
        let output = RowsMut::new(&mut *keys_queries, input.rows, 2 * channels);
        self.pointwise(attention.matrix, input, output, Epilogue::default(), scratch);
        let blocks =
            keys_queries.chunks_mut(AttentionQueryKey::BLOCK * 2 * channels).zip(partials.chunks_mut(channels + 2));
        for (keys_queries, partial) in blocks {
            self.dispatch(QueryBlock { attention, keys_queries, partial });
        }
    }

    /// Phase 2: the global query `[C]` from the partial sums of all tokens, in order.
    ///
    /// # Panics
    /// When `partials` is not a whole number of blocks of `global.len()` channels.
    pub fn attention_pool(self, pooling: Pooling, partials: &[f32], global: &mut [f32]) {
        let channels = global.len();
        assert_eq!(partials.len() % (channels + 2), 0, "partial sums of {channels} channels");
        let blocks = || partials.chunks_exact(channels + 2).map(|block| block.split_at(channels));
        let largest = blocks().map(|(_, totals)| totals[1]).fold(f32::NEG_INFINITY, f32::max);
        // A block's softmax weights are relative to its own largest score.
        let factor = |totals: &[f32]| match pooling {
            Pooling::Softmax => f64::from(totals[1] - largest).exp(),
            _ => 1.0,
        };
        let total: f64 = blocks().map(|(_, totals)| factor(totals) * f64::from(totals[0])).sum();
        let divisor = match pooling {
            Pooling::Sum | Pooling::Raw => 1.0,
            Pooling::L2 => total.sqrt().clamp(1e-12, f64::INFINITY),
            Pooling::Softmax => total,
        };
        for (channel, global) in global.iter_mut().enumerate() {
            let sum: f64 = blocks().map(|(block, totals)| factor(totals) * f64::from(block[channel])).sum();
            *global = (sum / divisor) as f32;
        }
    }

    /// Phase 3: `output[t] = matrix · [global ⊙ key[t] | query[t]] + bias [+ output[t]]`, with `matrix` `[C', 2·C]` the
    /// product of the projection of keys and the final layer, beside the final layer itself. The keys in
    /// `keys_queries`, `[tokens, 2·C]`, are overwritten; `scratch` may hold anything ([`PackedMatrix::pointwise_scratch_len`]).
    ///
    /// # Panics
    /// When a shape or length does not fit.
    pub fn attention_update(
        self,
        matrix: &PackedMatrix,
        global: &[f32],
        keys_queries: &mut [f32],
        output: RowsMut<'_>,
        accumulate: bool,
        scratch: &mut [f32],
    ) {
        let channels = global.len();
        assert_eq!(matrix.inputs(), 2 * channels, "inputs of the update matrix");
        assert_eq!(keys_queries.len(), output.rows * 2 * channels, "keys and queries");
        if keys_queries.is_empty() {
            return;
        }
        self.dispatch(ScaleKeys { global, keys_queries: &mut *keys_queries });
        let input = Rows::new(keys_queries, output.rows, 2 * channels);
        let epilogue = Epilogue { activation: Activation::Identity, accumulate };
        self.pointwise(matrix, input, output, epilogue, scratch);
    }
}

/// Normalises a block's keys and queries and sums its queries.
struct QueryBlock<'a> {
    attention: AttentionQueryKey<'a>,
    /// `[tokens, 2·C]`, at most [`AttentionQueryKey::BLOCK`] tokens.
    keys_queries: &'a mut [f32],
    /// `[C]` sums, then the sum of weights (of squares for [`Pooling::L2`]), then the largest score.
    partial: &'a mut [f32],
}

impl Kernel for QueryBlock<'_> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) {
        let Self { attention, keys_queries, partial } = self;
        let channels = attention.channels();
        let mut weights = [1.0f32; AttentionQueryKey::BLOCK];
        let weights = &mut weights[..keys_queries.len() / (2 * channels)];
        for (weight, token) in weights.iter_mut().zip(keys_queries.chunks_exact_mut(2 * channels)) {
            let (key, query) = token.split_at_mut(channels);
            if attention.normalize {
                normalize(isa, key);
                normalize(isa, query);
            }
            if attention.pooling != Pooling::Sum {
                *weight = attention.scale * dot(isa, query, attention.gate);
            }
        }
        let largest = weights.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let total: f32 = match attention.pooling {
            Pooling::L2 => weights.iter().map(|&weight| weight * weight).sum(),
            Pooling::Softmax => {
                weights.iter_mut().for_each(|weight| *weight = (*weight - largest).exp());
                weights.iter().sum()
            }
            Pooling::Sum | Pooling::Raw => weights.iter().sum(),
        };
        let (sums, totals) = partial.split_at_mut(channels);
        totals.copy_from_slice(&[total, largest]);
        for (index, sums) in sums.chunks_mut(I::LEN).enumerate() {
            let mut sum = isa.zero();
            for (token, &weight) in keys_queries.chunks_exact(2 * channels).zip(weights.iter()) {
                let query = &token[channels + index * I::LEN..][..sums.len()];
                sum = isa.mul_add(isa.splat(weight), isa.load_chunk(query), sum);
            }
            isa.store_chunk(sums, sum);
        }
    }
}

/// Multiplies every token's key by the global query.
struct ScaleKeys<'a> {
    global: &'a [f32],
    keys_queries: &'a mut [f32],
}

impl Kernel for ScaleKeys<'_> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) {
        for token in self.keys_queries.chunks_exact_mut(2 * self.global.len()) {
            for (key, global) in token[..self.global.len()].chunks_mut(I::LEN).zip(self.global.chunks(I::LEN)) {
                let product = isa.mul(isa.load_chunk(key), isa.load_chunk(global));
                isa.store_chunk(key, product);
            }
        }
    }
}

/// The dot product of two slices of the same length.
#[inline(always)]
fn dot<I: Isa>(isa: I, a: &[f32], b: &[f32]) -> f32 {
    let mut sum = isa.zero();
    for (a, b) in a.chunks(I::LEN).zip(b.chunks(I::LEN)) {
        sum = isa.mul_add(isa.load_chunk(a), isa.load_chunk(b), sum);
    }
    isa.reduce_add(sum)
}

/// Divides `values` by `max(‖values‖₂, 1e-12)`.
#[inline(always)]
fn normalize<I: Isa>(isa: I, values: &mut [f32]) {
    // `clamp` and not `max`, so that NaN stays.
    let norm = dot(isa, values, values).sqrt().clamp(1e-12, f32::INFINITY);
    let scale = isa.splat(1.0 / norm);
    for chunk in values.chunks_mut(I::LEN) {
        let scaled = isa.mul(isa.load_chunk(chunk), scale);
        isa.store_chunk(chunk, scaled);
    }
}
