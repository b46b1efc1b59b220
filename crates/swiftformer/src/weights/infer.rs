//! A config from the names and shapes of a loose weight file.

use std::collections::BTreeMap;

use crate::{
    arch::TailKind,
    config::{Activation, Reading, SwiftFormerConfig},
};

use super::{layout::Recognised, names::Layout};

/// Stages and blocks beyond which names are taken for nonsense.
const MAX_INDEX: usize = 4096;

/// What the names and shapes of a file say about its network.
#[derive(Debug)]
pub struct Inferred {
    /// The config; what names and shapes do not tell has transformers' defaults.
    pub config: SwiftFormerConfig,
    /// What stands behind the stages.
    pub tail: TailKind,
}

/// Names that no config explains.
#[derive(Debug, thiserror::Error)]
pub enum InferError {
    /// A tensor without which the shape stays unknown.
    #[error("cannot infer a config: no tensor `{name}` of rank {rank}")]
    Missing {
        /// Its name in the file's layout.
        name: String,
        /// Its rank.
        rank: usize,
    },
    /// Stage numbers with gaps, or far too large.
    #[error("cannot infer a config: the stages and blocks are not numbered from 0 without gaps (near `{name}`)")]
    Numbering {
        /// A name of the place.
        name: String,
    },
    /// Hidden widths that no one ratio gives.
    #[error("cannot infer a config: no single mlp_ratio gives the hidden widths {hidden:?} of the stages {dims:?}")]
    MlpRatio {
        /// Hidden widths by stage.
        hidden: Vec<usize>,
        /// Widths by stage.
        dims: Vec<usize>,
    },
}

/// An entry of the flat `network` list, or a stage of timm's.
#[derive(Default)]
struct Entry {
    blocks: usize,
    transition: bool,
    prefix: String,
}

/// Reads the config off names and shapes.
///
/// Stride, padding and the MLP's activation leave no trace in a file: they are taken as 2, ⌊kernel / 2⌋ and GELU.
///
/// # Errors
/// When the names have gaps or the shapes contradict each other.
pub fn infer(file: &Recognised) -> Result<Inferred, InferError> {
    let entries = entries(file)?;
    let shape = |name: &str, rank: usize| {
        let found = file.tensors.get(name).map(|tensor| tensor.shape());
        found.filter(|shape| shape.len() == rank).ok_or_else(|| InferError::Missing { name: name.to_owned(), rank })
    };
    let (mut depths, mut dims, mut hidden, mut before) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let mut kernel = None;
    let mut transition = false;
    let mut config = SwiftFormerConfig::default();
    for entry in &entries {
        if entry.transition {
            transition = true;
            let separator = if file.layout == Layout::Timm { ".downsample" } else { "" };
            let weight = shape(&format!("{}{separator}.proj.weight", entry.prefix), 4)?;
            kernel.get_or_insert([weight[2], weight[3]]);
        }
        if entry.blocks > 0 {
            let blocks = if file.layout == Layout::Original { "" } else { "blocks." };
            let last = format!("{}.{blocks}{}", entry.prefix, entry.blocks - 1);
            dims.push(shape(&format!("{last}.attn.w_g"), 2)?[0]);
            hidden.push(shape(&format!("{last}.linear.fc1.weight"), 4)?[0]);
            depths.push(entry.blocks);
            before.push(std::mem::take(&mut transition));
            let has = |name: &str| file.tensors.contains_key(&format!("{last}.{name}"));
            config.use_layer_scale = has("layer_scale_1") || has("layer_scale_1.gamma");
            for activation in [Activation::Prelu, Activation::Xielu] {
                let mut learnt = activation.parameters().iter();
                if learnt.all(|(leaf, _)| has(&format!("linear.act.{leaf}"))) {
                    config.hidden_act = activation;
                }
            }
        }
    }
    let stem = match file.layout {
        Layout::HuggingFace | Layout::TensorFlow => "swiftformer.patch_embed.patch_embedding.0.weight",
        Layout::Timm => "stem.0.weight",
        Layout::Original => "patch_embed.0.weight",
    };
    config.num_channels = shape(stem, 4)?[1];
    config.mlp_ratio = mlp_ratio(&hidden, &dims)?;
    if let Some(kernel) = kernel {
        config.down_patch_size = kernel;
        config.down_pad = kernel.map(|side| side / 2);
    }
    config.reading = match file.layout {
        Layout::HuggingFace | Layout::TensorFlow => Reading::HuggingFace,
        Layout::Timm => Reading::Timm,
        Layout::Original => Reading::Original,
    };
    config.downsamples = match config.reading {
        Reading::Timm => before,
        _ => before.into_iter().skip(1).chain([true]).collect(),
    };
    config.num_labels = file.tensors.get("head.weight").and_then(|head| head.shape().first()).copied().unwrap_or(0);
    config.depths = depths;
    config.embed_dims = dims;
    let tail = if file.tensors.contains_key("norm.weight") {
        TailKind::Classifier
    } else if file.tensors.contains_key("norm0.weight") {
        TailKind::Features
    } else {
        TailKind::None
    };
    Ok(Inferred { config, tail })
}

/// Groups names by their place: `network.N`, or for timm `stages.N`.
fn entries(file: &Recognised) -> Result<Vec<Entry>, InferError> {
    let root = match file.layout {
        Layout::HuggingFace | Layout::TensorFlow => "swiftformer.encoder.network.",
        Layout::Timm => "stages.",
        Layout::Original => "network.",
    };
    let mut found: BTreeMap<usize, Entry> = BTreeMap::new();
    for name in file.tensors.keys() {
        let Some(rest) = name.strip_prefix(root) else { continue };
        let numbering = || InferError::Numbering { name: name.clone() };
        let mut parts = rest.split('.');
        let index = parts.next().and_then(number).ok_or_else(numbering)?;
        let entry = found.entry(index).or_default();
        entry.prefix = format!("{root}{index}");
        let mut next = parts.next().ok_or_else(numbering)?;
        if next == "blocks" {
            next = parts.next().ok_or_else(numbering)?;
        }
        match next {
            "downsample" | "proj" | "norm" => entry.transition = true,
            _ => entry.blocks = entry.blocks.max(number(next).ok_or_else(numbering)? + 1),
        }
    }
    for (position, (&index, entry)) in found.iter().enumerate() {
        if position != index {
            return Err(InferError::Numbering { name: entry.prefix.clone() });
        }
    }
    Ok(found.into_values().collect())
}

fn number(text: &str) -> Option<usize> {
    text.parse().ok().filter(|&index| index < MAX_INDEX)
}

/// The ratio whose product with every width, rounded down, is the hidden width; whole where it can be.
fn mlp_ratio(hidden: &[usize], dims: &[usize]) -> Result<f64, InferError> {
    let fail = || InferError::MlpRatio { hidden: hidden.to_vec(), dims: dims.to_vec() };
    let bound = |extra: f64| hidden.iter().zip(dims).map(move |(&h, &d)| (h as f64 + extra) / d.max(1) as f64);
    let (low, high) = (bound(0.0).fold(0.0, f64::max), bound(1.0).fold(f64::INFINITY, f64::min));
    let fits = |ratio: f64| hidden.iter().zip(dims).all(|(&h, &d)| (ratio * d as f64) as usize == h);
    [low.ceil(), low, (low + high) / 2.0].into_iter().find(|&ratio| fits(ratio)).ok_or_else(fail)
}
