//! Which parameters decay, and which learn slower: timm's rules.

use swiftformer::arch::{Leaf, Module};

use crate::model::Parameters;

/// Weight decay and layer-wise decay.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GroupOptions {
    /// Decay of tensors with two dimensions or more whose name does not end in `.bias`; all others have none. Layer scales
    /// `(channels, 1, 1)` and `w_g` `(dim, 1)` decay.
    pub weight_decay: f64,
    /// Factor of the learning rate from one layer to the one before: stem, every block with the transition before it, the
    /// last with the final BatchNorm, heads. 1 is none.
    pub layer_decay: f64,
}

/// How one parameter trains.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Group {
    /// Its decay.
    pub weight_decay: f64,
    /// Its share of the learning rate.
    pub lr_scale: f64,
}

/// The group of every parameter, in the order of [`Parameters::list`].
pub fn groups(parameters: &Parameters, options: &GroupOptions) -> Vec<Group> {
    // Numbers of layers by place: blocks count through the stages.
    let mut blocks: Vec<(usize, usize)> = parameters
        .list()
        .iter()
        .filter_map(|p| match p.param.module {
            Module::Block { stage, block, .. } => Some((stage, block)),
            _ => None,
        })
        .collect();
    blocks.sort_unstable();
    blocks.dedup();
    let layer_of_block = |stage, block| 1 + blocks.partition_point(|&other| other < (stage, block));
    let has_heads = parameters.list().iter().any(|p| matches!(p.param.module, Module::Head | Module::DistHead));
    let last = blocks.len() + usize::from(has_heads);
    let list = parameters.list().iter().map(|p| {
        let decays = p.param.shape.len() > 1 && p.param.leaf != Leaf::Bias;
        let layer = match p.param.module {
            Module::StemConv { .. } | Module::StemNorm { .. } => 0,
            Module::TransitionConv { stage } | Module::TransitionNorm { stage } => layer_of_block(stage, 0),
            Module::Block { stage, block, .. } => layer_of_block(stage, block),
            Module::Norm | Module::FeatureNorm { .. } => blocks.len(),
            Module::Head | Module::DistHead => last,
        };
        Group {
            weight_decay: if decays { options.weight_decay } else { 0.0 },
            lr_scale: options.layer_decay.powi((last - layer) as i32),
        }
    });
    list.collect()
}
