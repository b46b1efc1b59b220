//! Efficient additive attention on maps, and the block around it.

use super::{
    super::{ExportError, NormForm, Op, Over, Reduction, ValueId},
    Lowering, parent,
};
use crate::{
    arch::{Attention, AttentionBlock, Conv, Leaf, Linear, Module},
    config::Dialect,
    plan::fold::Affine,
};

/// What L2 norms are kept above; see the notes on half precision of [`super::super`].
const EPSILON: f32 = 1.0 / 4096.0;
/// What is added to them in the other form, where it changes every result: the smallest normal 16-bit float, beside vectors
/// that are longer by a factor.
const ADDED_EPSILON: f32 = 1.0 / 16_384.0;
const LONGER: f32 = 8.0;

impl Lowering<'_> {
    pub(super) fn attention_block(&mut self, block: &AttentionBlock, x: ValueId) -> Result<ValueId, ExportError> {
        let x = self.conv_block(&block.local, x)?;
        let attention = self.attention(&block.attention, block.scale1.as_ref(), x);
        let name = format!("{}.add", parent(&self.builder.module(block.attention.query.module)));
        let x = self.builder.node(&name, "residual", Op::Add, &[x, attention]);
        let fc1 = &block.fc1;
        let affine = self.builder.folder.norm_linear(&block.norm, fc1.module, fc1.out_channels);
        let doc = format!("with {}", self.builder.module(block.norm.module));
        let y = self.builder.conv(fc1, affine, &doc, x);
        let y = self.activation(&block.activation, y)?;
        let affine = self.builder.folder.conv_scale(&block.fc2, block.scale2.as_ref());
        let doc = self.scaled(block.scale2.as_ref().map(|scale| scale.module));
        let y = self.builder.conv(&block.fc2, affine, &doc, y);
        let name = format!("{}.add", parent(&self.builder.module(fc1.module)));
        Ok(self.builder.node(&name, "residual", Op::Add, &[x, y]))
    }

    fn attention(&mut self, attention: &Attention, scale: Option<&crate::arch::Scale>, x: ValueId) -> ValueId {
        let module = parent(&self.builder.module(attention.query.module));
        let query = self.token_vectors(attention, &attention.query, x);
        let key = self.token_vectors(attention, &attention.key, x);
        let global = self.global_query(attention, &module, query);
        let product = self.builder.node(&format!("{module}.mul"), "g ⊙ k", Op::Mul, &[key, global]);
        let proj = pointwise(&attention.proj);
        let affine = self.builder.folder.conv(&proj);
        let y = self.builder.conv(&proj, affine, "", product);
        let y = self.builder.node(&format!("{module}.add_query"), "proj(g ⊙ k) + q", Op::Add, &[y, query]);
        let last = pointwise(&attention.last);
        let affine = self.builder.folder.conv_scale(&last, scale);
        let doc = self.scaled(scale.map(|scale| scale.module));
        self.builder.conv(&last, affine, &doc, y)
    }

    /// Queries or keys, of length 1 if the network normalises them.
    fn token_vectors(&mut self, attention: &Attention, linear: &Linear, x: ValueId) -> ValueId {
        let conv = pointwise(linear);
        let mut affine = self.builder.folder.conv(&conv);
        if !attention.normalize_qk {
            return self.builder.conv(&conv, affine, "", x);
        }
        // The norm behind it divides the factor out again.
        let longer = if self.options.norm == NormForm::Qnn { LONGER } else { 1.0 };
        let factor = longer * unit_factor(affine.weight.iter().chain(&affine.bias));
        affine.weight.iter_mut().chain(&mut affine.bias).for_each(|value| *value *= factor);
        let y = self.builder.conv(&conv, affine, &format!("scaled by {factor}, for the norm"), x);
        let name = format!("{}_norm", self.builder.module(linear.module));
        let norm = self.norm(&name, y, Over::Channels);
        self.builder.node(&format!("{name}.div"), "x / max(‖x‖, ε) over the channels", Op::Div, &[y, norm])
    }

    /// `max(‖x‖, ε)`
    fn norm(&mut self, name: &str, x: ValueId, over: Over) -> ValueId {
        let mut node =
            |part: &str, doc, op, inputs: &[ValueId]| self.builder.node(&format!("{name}.{part}"), doc, op, inputs);
        match self.options.norm {
            NormForm::Portable => {
                let squares = node("square", "x²", Op::Mul, &[x, x]);
                let sum = node("sum", "Σ x²", Op::Reduce(Reduction::Sum, over), &[squares]);
                let root = node("sqrt", "‖x‖", Op::Sqrt, &[sum]);
                node("max", "max(‖x‖, ε)", Op::MaxScalar(EPSILON), &[root])
            }
            NormForm::Qnn => {
                let norm = node("l2", "‖x‖", Op::Reduce(Reduction::L2, over), &[x]);
                node("add", "‖x‖ + ε", Op::AddScalar(ADDED_EPSILON), &[norm])
            }
        }
    }

    /// `g = Σ_tokens pooled(a) · q`, `[channels, 1, 1]`.
    fn global_query(&mut self, attention: &Attention, module: &str, query: ValueId) -> ValueId {
        let name = |part: &str| format!("{module}.global.{part}");
        let sum = Op::Reduce(Reduction::Sum, Over::Places);
        if attention.dialect == Dialect::Sum {
            return self.builder.node(&name("sum"), "g = Σ q over the map", sum, &[query]);
        }
        let scores = self.token_scores(attention, query);
        if attention.dialect == Dialect::Softmax {
            return self.softmax_query(module, query, scores);
        }
        let weighted = self.builder.node(&name("mul"), "a · q", Op::Mul, &[query, scores]);
        let total = self.builder.node(&name("sum"), "Σ a · q over the map", sum, &[weighted]);
        if attention.dialect == Dialect::Raw {
            return total;
        }
        let norm = self.norm(&format!("{module}.global.norm"), scores, Over::Places);
        self.builder.node(&name("div"), "g = Σ a · q / max(‖a‖, ε)", Op::Div, &[total, norm])
    }

    /// `a = (q · w_g) · dim^-1/2`, `[1, height, width]`.
    fn token_scores(&mut self, attention: &Attention, query: ValueId) -> ValueId {
        let dim = attention.query.out_features;
        let mut weight = self.builder.folder.values(attention.token_weights, Leaf::Value);
        let factor = match attention.dialect {
            // The norm over the map divides any factor out, dim^-1/2 among them.
            Dialect::L2 => unit_factor(weight.iter()),
            Dialect::Sum | Dialect::Softmax | Dialect::Raw => (dim as f64).powf(-0.5) as f32,
        };
        weight.iter_mut().for_each(|value| *value *= factor);
        let affine = Affine { out: 1, weight, bias: vec![0.0] };
        let conv = one_by_one(attention.token_weights, dim, 1);
        self.builder.conv(&conv, affine, "a = q · w_g", query)
    }

    /// Softmax of the scores over both axes of the map, without a reshape.
    fn softmax_query(&mut self, module: &str, query: ValueId, scores: ValueId) -> ValueId {
        let mut node = |part: &str, doc, op, inputs: &[ValueId]| {
            self.builder.node(&format!("{module}.global.{part}"), doc, op, inputs)
        };
        let sum = || Op::Reduce(Reduction::Sum, Over::Places);
        let most = node("max", "max a", Op::Reduce(Reduction::Max, Over::Places), &[scores]);
        let less = node("sub", "a − max a", Op::Sub, &[scores, most]);
        let weights = node("exp", "e = exp(a − max a)", Op::Exp, &[less]);
        let total = node("total", "Σ e", sum(), &[weights]);
        let weighted = node("mul", "e · q", Op::Mul, &[query, weights]);
        let weighted = node("sum", "Σ e · q over the map", sum(), &[weighted]);
        node("div", "g = Σ e · q / Σ e", Op::Div, &[weighted, total])
    }
}

/// The power of two that brings the root of the sum of squares nearest to 1; 1 for zeros and what is no number.
fn unit_factor<'a>(values: impl Iterator<Item = &'a f32>) -> f32 {
    let norm = values.map(|&value| f64::from(value).powi(2)).sum::<f64>().sqrt();
    let factor = (-norm.log2().round()).exp2() as f32;
    if factor.is_normal() { factor } else { 1.0 }
}

fn pointwise(linear: &Linear) -> Conv {
    one_by_one(linear.module, linear.in_features, linear.out_features)
}

fn one_by_one(module: Module, in_channels: usize, out_channels: usize) -> Conv {
    Conv { module, in_channels, out_channels, kernel: [1, 1], stride: [1, 1], padding: [0, 0], groups: 1 }
}
