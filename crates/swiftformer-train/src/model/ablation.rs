//! The paper's other attentions, which its ablation compares efficient additive attention with: on tokens
//! `[batch, tokens, dim]`, composed of burn's operations, with the parameters as tensors in PyTorch's shapes.

use burn::tensor::{Tensor, activation};
use swiftformer::arch::{Attention, Leaf, Linear};

use super::{
    additive::normalized,
    layers::{Layers, tokens},
};

/// The attention of a stage.
///
/// The others use the tensors of SwiftFormer's own: queries, keys, values (from its `proj`) and the last layer (`final`) are
/// four layers from `dim` to `dim` there as well. The token weights `w_g` are transposed attention's temperatures, one for
/// each head from the front, and separable attention's layer from a token to its scalar query, without a bias; then
/// `to_query` is without use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StageAttention {
    /// SwiftFormer's own.
    Additive,
    /// [`self_attention`].
    SelfAttention,
    /// [`transposed_attention`].
    Transposed,
    /// [`separable_attention`].
    Separable,
}

/// The most heads, up to 8, that divide the channels.
fn head_count(dim: usize) -> usize {
    (1..=8).rev().find(|&heads| dim.is_multiple_of(heads)).unwrap_or(1)
}

impl StageAttention {
    /// The attention's branch on tokens `[batch · N, dim]`.
    pub(super) fn forward(self, layers: &Layers<'_>, attention: &Attention, x: Tensor<4>) -> Tensor<2> {
        let [batch, height, width, dim] = x.dims();
        let x = tokens(x).reshape([batch, height * width, dim]);
        let layer = |linear: &Linear| LinearTensors {
            weight: layers.tensor(linear.module, Leaf::Weight).reshape([linear.out_features, linear.in_features]),
            bias: layers.tensor(linear.module, Leaf::Bias),
        };
        let joined = |parts: Vec<LinearTensors>| LinearTensors {
            weight: Tensor::cat(parts.iter().map(|part| part.weight.clone()).collect(), 0),
            bias: Tensor::cat(parts.into_iter().map(|part| part.bias).collect(), 0),
        };
        let (key, value, last) = (layer(&attention.key), layer(&attention.proj), layer(&attention.last));
        let token_weights = layers.tensor(attention.token_weights, Leaf::Value);
        let heads = head_count(dim);
        let y = match self {
            Self::Additive => panic!("additive attention has its own path"),
            Self::SelfAttention => self_attention(x, &joined(vec![layer(&attention.query), key, value]), &last, heads),
            Self::Transposed => {
                let qkv = joined(vec![layer(&attention.query), key, value]);
                transposed_attention(x, &qkv, &last, token_weights.narrow(0, 0, heads))
            }
            Self::Separable => {
                let bias = token_weights.zeros_like().narrow(0, 0, 1);
                let query = LinearTensors { weight: token_weights.reshape([1, dim]), bias };
                separable_attention(x, &joined(vec![query, key, value]), &last)
            }
        };
        y.reshape([batch * height * width, dim])
    }
}

/// A linear layer `y = x Wᵀ + b`.
#[derive(Clone, Debug)]
pub struct LinearTensors {
    /// `[outputs, inputs]`.
    pub weight: Tensor<2>,
    /// `[outputs]`.
    pub bias: Tensor<1>,
}

impl LinearTensors {
    fn forward(&self, x: Tensor<3>) -> Tensor<3> {
        let [batch, tokens, dim] = x.dims();
        let outputs = self.weight.dims()[0];
        let y = x.reshape([batch * tokens, dim]).matmul(self.weight.clone().transpose());
        (y + self.bias.clone().reshape([1, outputs])).reshape([batch, tokens, outputs])
    }
}

/// Queries, keys and values of `heads` heads, `[batch, heads, tokens, dim / heads]` each, from one layer of three times
/// the width.
fn heads(qkv: &LinearTensors, x: Tensor<3>, heads: usize) -> [Tensor<4>; 3] {
    let [batch, tokens, dim] = x.dims();
    let all = qkv.forward(x);
    [0, 1, 2].map(|part| {
        let one = all.clone().narrow(2, part * dim, dim);
        one.reshape([batch, tokens, heads, dim / heads]).permute([0, 2, 1, 3])
    })
}

/// Multi-head self-attention: `proj(softmax(q kᵀ / √d) v)` (timm's `Attention`).
///
/// # Panics
/// When `dim` is no multiple of `head_count`, or a layer has another width.
pub fn self_attention(x: Tensor<3>, qkv: &LinearTensors, proj: &LinearTensors, head_count: usize) -> Tensor<3> {
    let [batch, tokens, dim] = x.dims();
    assert!(head_count > 0 && dim.is_multiple_of(head_count), "{dim} channels in {head_count} heads");
    let [query, key, value] = heads(qkv, x, head_count);
    let root = ((dim / head_count) as f64).powf(-0.5);
    let weights = activation::softmax((query * root).matmul(key.swap_dims(2, 3)), 3);
    proj.forward(weights.matmul(value).permute([0, 2, 1, 3]).reshape([batch, tokens, dim]))
}

/// Transposed attention: channels attend to channels, `softmax(q̂ᵀ k̂ · temperature) vᵀ` with q̂ and k̂ normalised over the
/// tokens (timm's `CrossCovarianceAttn`). `temperature` has one value a head.
///
/// # Panics
/// When `dim` is no multiple of the number of heads, or a layer has another width.
pub fn transposed_attention(
    x: Tensor<3>,
    qkv: &LinearTensors,
    proj: &LinearTensors,
    temperature: Tensor<1>,
) -> Tensor<3> {
    let [batch, tokens, dim] = x.dims();
    let head_count = temperature.dims()[0];
    assert!(head_count > 0 && dim.is_multiple_of(head_count), "{dim} channels in {head_count} heads");
    let [query, key, value] = heads(qkv, x, head_count).map(|part| part.swap_dims(2, 3));
    let scores = normalized(query, 3).matmul(normalized(key, 3).swap_dims(2, 3));
    let weights = activation::softmax(scores * temperature.reshape([1, head_count, 1, 1]), 3);
    proj.forward(weights.matmul(value).permute([0, 3, 1, 2]).reshape([batch, tokens, dim]))
}

/// Separable self-attention: a softmax over the tokens of a scalar query sums the keys to a context, which multiplies the
/// values behind ReLU (timm's `LinearSelfAttention` of MobileViT-v2). `qkv` gives `1 + 2·dim` channels.
///
/// # Panics
/// When a layer has another width.
pub fn separable_attention(x: Tensor<3>, qkv: &LinearTensors, proj: &LinearTensors) -> Tensor<3> {
    let dim = x.dims()[2];
    let all = qkv.forward(x);
    let weights = activation::softmax(all.clone().narrow(2, 0, 1), 1);
    let context = (all.clone().narrow(2, 1, dim) * weights).sum_dim(1);
    proj.forward(activation::relu(all.narrow(2, 1 + dim, dim)) * context)
}
