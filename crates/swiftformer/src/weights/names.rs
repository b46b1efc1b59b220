//! Names of every tensor in the four layouts, written as one function from a tensor's place to its name.

use std::{fmt, str::FromStr};

use crate::arch::{Arch, Leaf, Module, Param, ParamKind, Part, Stage};

/// Whose names and shapes a weight file uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Layout {
    /// transformers' PyTorch model.
    HuggingFace,
    /// timm.
    Timm,
    /// The authors' repository.
    Original,
    /// transformers' TensorFlow model, paths in the h5 file.
    TensorFlow,
}

impl Layout {
    /// Every layout.
    pub const ALL: [Self; 4] = [Self::HuggingFace, Self::Timm, Self::Original, Self::TensorFlow];

    /// The name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::HuggingFace => "hf",
            Self::Timm => "timm",
            Self::Original => "original",
            Self::TensorFlow => "tf",
        }
    }
}

impl fmt::Display for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Layout {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|layout| layout.name() == name)
            .ok_or_else(|| format!("`{name}` is not a layout; choose hf, timm, original or tf"))
    }
}

/// Names of one network's tensors in one layout.
pub struct Names {
    layout: Layout,
    /// Position of each stage in the flat `network` list, where transitions count and gaps close up.
    network: Vec<usize>,
}

impl Names {
    /// The names of `arch` in `layout`.
    pub fn new(arch: &Arch, layout: Layout) -> Self {
        let mut next = 0;
        let position = |stage: &Stage| {
            let position = next + usize::from(stage.transition.is_some());
            next = position + 1;
            position
        };
        Self { layout, network: arch.stages.iter().map(position).collect() }
    }

    /// The name of one tensor, or `None` where the layout does not store it (TensorFlow has no batch counters).
    pub fn name(&self, param: &Param) -> Option<String> {
        let module = self.module(param.module);
        let dot = |leaf: &str| Some(format!("{module}.{leaf}"));
        if self.layout == Layout::TensorFlow {
            return self.tensorflow(param, &module);
        }
        match param.leaf {
            Leaf::Weight => dot("weight"),
            Leaf::Bias => dot("bias"),
            Leaf::RunningMean => dot("running_mean"),
            Leaf::RunningVar => dot("running_var"),
            Leaf::NumBatchesTracked => dot("num_batches_tracked"),
            Leaf::Activation(name) => dot(name),
            Leaf::Value if self.layout == Layout::Timm && param.kind == ParamKind::LayerScale => dot("gamma"),
            Leaf::Value => Some(module),
        }
    }

    fn tensorflow(&self, param: &Param, module: &str) -> Option<String> {
        let leaf = match (param.leaf, param.kind) {
            (Leaf::NumBatchesTracked, _) => return None,
            (Leaf::Value, _) => String::new(),
            (Leaf::Weight, ParamKind::NormWeight) => "/gamma".into(),
            (Leaf::Weight, _) => "/kernel".into(),
            (Leaf::Bias, ParamKind::NormBias) => "/beta".into(),
            (Leaf::Bias, _) => "/bias".into(),
            (Leaf::RunningMean, _) => "/moving_mean".into(),
            (Leaf::RunningVar, _) => "/moving_variance".into(),
            (Leaf::Activation(name), _) => format!("/{name}"),
        };
        // Keras groups weights by the layers of the outermost model, and repeats the path inside each group.
        let group = module.split('/').next()?;
        Some(format!("{group}/tf_swift_former_for_image_classification/{module}{leaf}:0"))
    }

    fn module(&self, module: Module) -> String {
        let norm_or_conv = |is_norm: bool| if is_norm { "norm" } else { "proj" };
        match (self.layout, module) {
            (_, Module::Norm) => "norm".into(),
            (_, Module::Head) => "head".into(),
            (Layout::Timm, Module::DistHead) => "head_dist".into(),
            (_, Module::DistHead) => "dist_head".into(),
            (_, Module::FeatureNorm { stage }) => format!("norm{}", self.network[stage]),
            (layout, Module::StemConv { index }) => format!("{}{}", stem_prefix(layout), 3 * index),
            (layout, Module::StemNorm { index }) => format!("{}{}", stem_prefix(layout), 3 * index + 1),
            (Layout::Timm, Module::TransitionConv { stage } | Module::TransitionNorm { stage }) => {
                let leaf = norm_or_conv(matches!(module, Module::TransitionNorm { .. }));
                format!("stages.{stage}.downsample.{leaf}")
            }
            (layout, Module::TransitionConv { stage } | Module::TransitionNorm { stage }) => {
                let leaf = norm_or_conv(matches!(module, Module::TransitionNorm { .. }));
                let index = self.network[stage] - 1;
                match layout {
                    Layout::TensorFlow => format!("swiftformer/encoder/network_._{index}/{leaf}"),
                    Layout::HuggingFace => format!("swiftformer.encoder.network.{index}.{leaf}"),
                    Layout::Timm | Layout::Original => format!("network.{index}.{leaf}"),
                }
            }
            (layout, Module::Block { stage, block, part }) => {
                let part = part_name(layout, part);
                let index = self.network[stage];
                match layout {
                    Layout::Timm => format!("stages.{stage}.blocks.{block}.{part}"),
                    Layout::Original => format!("network.{index}.{block}.{part}"),
                    Layout::HuggingFace => format!("swiftformer.encoder.network.{index}.blocks.{block}.{part}"),
                    Layout::TensorFlow => {
                        let part = part.replace('.', "/");
                        format!("swiftformer/encoder/network_._{index}/blocks_._{block}/{part}")
                    }
                }
            }
        }
    }
}

fn stem_prefix(layout: Layout) -> &'static str {
    match layout {
        Layout::HuggingFace => "swiftformer.patch_embed.patch_embedding.",
        Layout::Timm => "stem.",
        Layout::Original => "patch_embed.",
        Layout::TensorFlow => "swiftformer/patch_embed/patch_embedding/",
    }
}

fn part_name(layout: Layout, part: Part) -> &'static str {
    let long = matches!(layout, Layout::HuggingFace | Layout::TensorFlow);
    match part {
        Part::LayerScale => "layer_scale",
        Part::Depthwise if long => "depth_wise_conv",
        Part::Depthwise => "dwconv",
        Part::Norm => "norm",
        Part::Pointwise1 if long => "point_wise_conv1",
        Part::Pointwise1 => "pwconv1",
        Part::Act => "act",
        Part::Pointwise2 if long => "point_wise_conv2",
        Part::Pointwise2 => "pwconv2",
        Part::LayerScale1 => "layer_scale_1",
        Part::LayerScale2 => "layer_scale_2",
        Part::LocalLayerScale => "local_representation.layer_scale",
        Part::LocalDepthwise if long => "local_representation.depth_wise_conv",
        Part::LocalDepthwise => "local_representation.dwconv",
        Part::LocalNorm => "local_representation.norm",
        Part::LocalPointwise1 if long => "local_representation.point_wise_conv1",
        Part::LocalPointwise1 => "local_representation.pwconv1",
        Part::LocalAct => "local_representation.act",
        Part::LocalPointwise2 if long => "local_representation.point_wise_conv2",
        Part::LocalPointwise2 => "local_representation.pwconv2",
        Part::TokenWeights => "attn.w_g",
        Part::Query => "attn.to_query",
        Part::Key => "attn.to_key",
        Part::Proj if layout == Layout::Original => "attn.Proj",
        Part::Proj => "attn.proj",
        Part::Last => "attn.final",
        Part::MlpNorm => "linear.norm1",
        Part::Fc1 => "linear.fc1",
        Part::MlpAct => "linear.act",
        Part::Fc2 => "linear.fc2",
    }
}
