//! Efficient additive attention, composed of burn's operations.

use burn::tensor::{Tensor, activation};
use swiftformer::{
    arch::{Attention, Leaf},
    config::Dialect,
};

use super::layers::{Layers, tokens};

/// `final(proj(g ⊙ k) + q)` with `g = Σ pooling(a) · q`, on tokens `[batch · N, dim]`.
pub(super) fn additive(layers: &Layers<'_>, attention: &Attention, x: Tensor<4>) -> Tensor<2> {
    let [batch, height, width, dim] = x.dims();
    let count = height * width;
    let x = tokens(x);
    let project = |linear| {
        let y = layers.linear(linear, x.clone());
        if attention.normalize_qk { normalized(y, 1) } else { y }
    };
    let (query, key) = (project(&attention.query), project(&attention.key));
    let queries = query.clone().reshape([batch, count, dim]);
    let weighted = match attention.dialect {
        Dialect::Sum => queries,
        dialect => {
            let token_weights = layers.tensor(attention.token_weights, Leaf::Value).reshape([dim, 1]);
            let raw = query.clone().matmul(token_weights) * (dim as f64).powf(-0.5);
            let raw = raw.reshape([batch, count]);
            let weights = match dialect {
                Dialect::L2 => normalized(raw, 1),
                Dialect::Softmax => activation::softmax(raw, 1),
                Dialect::Raw | Dialect::Sum => raw,
            };
            queries * weights.reshape([batch, count, 1])
        }
    };
    let global = weighted.sum_dim(1);
    let product = (key.reshape([batch, count, dim]) * global).reshape([batch * count, dim]);
    layers.linear(&attention.last, layers.linear(&attention.proj, product) + query)
}

/// PyTorch's `normalize`: divided by the larger of the L2 norm over `dim` and 1e-12.
pub(super) fn normalized<const D: usize>(x: Tensor<D>, dim: usize) -> Tensor<D> {
    // Clamped before the root, whose slope at zero is infinite.
    let norm = (x.clone() * x.clone()).sum_dim(dim).clamp_min(1e-24).sqrt();
    x / norm
}
