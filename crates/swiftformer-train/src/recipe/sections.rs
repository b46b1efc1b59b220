//! The sections of a recipe. Names are unique over all sections, so that `--set lr=1e-3` needs none.

use serde::{Deserialize, Serialize};

use super::words::{
    AttentionKind, BaseKind, ClipKind, DistillationKind, DropRule, HeadChoice, Parts, PrecisionKind, RuleKind,
    ScheduleKind, StepReading,
};
use crate::data::{Category, CifarLabels};

/// What training starts from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Start {
    /// Hub id, folder, file, or `random:xs`, `random:s`, `random:l1`, `random:l3`, `random:PATH/config.json`.
    pub start: String,
    /// Blocks of each stage, for random weights of another size; as `start` says when empty.
    pub depths: Vec<usize>,
    /// Channels of each stage, likewise.
    pub embed_dims: Vec<usize>,
    /// Attention dialect of random weights: sum, l2, softmax or raw; as `start` says when empty.
    pub dialect: String,
    /// Attention of each stage; additive everywhere when empty. A network with another one can be trained and judged, for an
    /// ablation, but its folder is no model.
    pub attention: Vec<AttentionKind>,
    /// First value of layer scales of random weights; as `start` says when 0.
    pub layer_scale: f64,
    /// Stochastic depth of the last block; grows from 0 at the first.
    pub drop_path: f64,
    /// Which branches drop.
    pub drop_path_rule: DropRule,
    /// Which parts train.
    pub train: Parts,
    /// What becomes of the heads.
    pub heads: HeadChoice,
    /// Whether BatchNorms keep their running statistics and normalise by them.
    pub freeze_statistics: bool,
    /// Keep less for the backward pass and compute it again: less memory, more time, the same results.
    pub checkpointing: bool,
}

impl Default for Start {
    fn default() -> Self {
        Self {
            start: "random:xs".into(),
            depths: Vec::new(),
            embed_dims: Vec::new(),
            dialect: String::new(),
            attention: Vec::new(),
            layer_scale: 0.0,
            drop_path: 0.0,
            drop_path_rule: DropRule::Auto,
            train: Parts::All,
            heads: HeadChoice::Auto,
            freeze_statistics: false,
            checkpointing: false,
        }
    }
}

/// How images are read.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Data {
    /// Pixels of a side of the images that the network sees; 0 takes the size of the model that training starts from.
    pub size: usize,
    /// How images to judge by are prepared: hf, timm, original or original-0.9; as the model that training starts from says
    /// when empty. The trained model keeps it.
    pub preprocess: String,
    /// Share of each class that is kept to judge by, where the data set has no such images.
    pub validation_share: f64,
    /// The rank by which iNaturalist's images are told apart: kingdom, phylum, class, order, supercategory, family, genus or
    /// name (the species).
    pub category: String,
    /// Which labels of CIFAR-100: fine (100 classes) or coarse (20).
    pub cifar_labels: String,
}

impl Default for Data {
    fn default() -> Self {
        let (category, cifar_labels) = (Category::default().name().into(), CifarLabels::default().name().into());
        Self { size: 224, preprocess: "original".into(), validation_share: 0.1, category, cifar_labels }
    }
}

/// How training images are changed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Augment {
    /// Least and greatest share of the image's area that a crop keeps.
    pub scale: [f64; 2],
    /// Least and greatest width divided by height of a crop.
    pub ratio: [f64; 2],
    /// bilinear, bicubic or random.
    pub interpolation: String,
    /// How likely left and right are swapped.
    pub flip: f64,
    /// How likely top and bottom are swapped.
    pub vertical_flip: f64,
    /// Changes of brightness, contrast and saturation by up to this share.
    pub jitter: f64,
    /// A policy in timm's words, such as `rand-m9-mstd0.5-inc1`; none when empty.
    pub policy: String,
    /// How likely a rectangle is erased.
    pub erase: f64,
    /// What takes its place: const, rand or pixel.
    pub erase_mode: String,
    /// Beta's parameter of Mixup; 0 turns it off.
    pub mixup: f64,
    /// Beta's parameter of CutMix; 0 turns it off.
    pub cutmix: f64,
    /// How likely a batch is mixed.
    pub mix_probability: f64,
    /// How likely it is CutMix, where both are on.
    pub mix_switch: f64,
    /// batch, pair or elem.
    pub mix_mode: String,
    /// How often each image stands in a row; 3 is repeated augmentation, 1 is none.
    pub repeats: usize,
}

impl Default for Augment {
    fn default() -> Self {
        Self {
            scale: [0.08, 1.0],
            ratio: [0.75, 4.0 / 3.0],
            interpolation: "bicubic".into(),
            flip: 0.5,
            vertical_flip: 0.0,
            jitter: 0.0,
            policy: String::new(),
            erase: 0.0,
            erase_mode: "pixel".into(),
            mixup: 0.0,
            cutmix: 0.0,
            mix_probability: 1.0,
            mix_switch: 0.5,
            mix_mode: "batch".into(),
            repeats: 1,
        }
    }
}

/// What is minimised.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Loss {
    /// The loss against the labels.
    pub base: BaseKind,
    /// Share of a label that is spread over all classes.
    pub smoothing: f64,
    /// How the second head learns from a teacher.
    pub distillation: DistillationKind,
    /// Weight of the teacher; the labels have the rest.
    pub alpha: f64,
    /// Temperature of soft distillation.
    pub tau: f64,
    /// The teacher: an `.onnx` file, a model as for `model.start`, or a file of logits, with the same classes.
    pub teacher: String,
}

impl Default for Loss {
    fn default() -> Self {
        Self {
            base: BaseKind::CrossEntropy,
            smoothing: 0.0,
            distillation: DistillationKind::None,
            alpha: 0.5,
            tau: 1.0,
            teacher: String::new(),
        }
    }
}

/// How parameters move.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Optimizer {
    /// The rule.
    pub rule: RuleKind,
    /// AdamW's betas.
    pub betas: [f64; 2],
    /// AdamW's ε.
    pub eps: f64,
    /// Momentum of `sgd`.
    pub momentum: f64,
    /// Whether `sgd` looks ahead.
    pub nesterov: bool,
    /// Decay of matrices and kernels; biases and norms have none.
    pub weight_decay: f64,
    /// Factor of the learning rate from one layer to the one before.
    pub layer_decay: f64,
    /// How gradients are bounded.
    pub clip: ClipKind,
    /// The bound.
    pub clip_bound: f64,
    /// Decay of the averaged weights, which are judged and saved beside the raw ones; 0 for none.
    pub ema: f64,
}

impl Default for Optimizer {
    fn default() -> Self {
        Self {
            rule: RuleKind::Adamw,
            betas: [0.9, 0.999],
            eps: 1e-8,
            momentum: 0.9,
            nesterov: false,
            weight_decay: 0.025,
            layer_decay: 1.0,
            clip: ClipKind::None,
            clip_bound: 1.0,
            ema: 0.0,
        }
    }
}

/// How fast parameters move over time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Schedule {
    /// How the learning rate falls.
    pub shape: ScheduleKind,
    /// Epochs, without those of the cool-down.
    pub epochs: usize,
    /// The learning rate behind the warm-up.
    pub lr: f64,
    /// The step size (images) that `lr` is meant for: other sizes scale it in proportion. 0 takes it as it is.
    pub lr_for: usize,
    /// The lowest rate.
    pub min_lr: f64,
    /// Epochs of linear growth.
    pub warmup_epochs: f64,
    /// Where it starts.
    pub warmup_lr: f64,
    /// Epochs at the lowest rate behind the others.
    pub cooldown_epochs: usize,
    /// Whether the rate moves with every step, not every epoch.
    pub every_step: bool,
    /// Epochs between the steps of `step`.
    pub step_epochs: f64,
    /// Factor of each, and of each fall of `plateau`.
    pub step_factor: f64,
    /// Epochs without a better top-1 that `plateau` bears.
    pub plateau_epochs: usize,
    /// Which value an epoch trains at.
    pub reading: StepReading,
}

impl Default for Schedule {
    fn default() -> Self {
        Self {
            shape: ScheduleKind::Cosine,
            epochs: 100,
            lr: 1e-3,
            lr_for: 0,
            min_lr: 1e-5,
            warmup_epochs: 5.0,
            warmup_lr: 1e-6,
            cooldown_epochs: 0,
            every_step: true,
            step_epochs: 30.0,
            step_factor: 0.1,
            plateau_epochs: 5,
            reading: StepReading::Timm,
        }
    }
}

/// Batches, seeds, and when a run ends.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Run {
    /// Images that go through the network at a time, of all processes together.
    pub batch: usize,
    /// Batches of a step of the optimizer.
    pub accumulate: usize,
    /// Decides weights, order, augmentation and dropping.
    pub seed: u64,
    /// Steps between two lines of metrics.
    pub log_every: usize,
    /// Steps between two savings of the state, beside those at the end of each epoch; 0 for none.
    pub save_every: usize,
    /// Epochs without improvement after which training ends; 0 for never.
    pub patience: usize,
    /// Where the network is: cpu, cuda, wgpu, metal or rocm, the last four with `:N` for a certain card.
    pub device: String,
    /// What products are formed in: f32, or bf16 on graphics cards that have it.
    pub precision: PrecisionKind,
    /// Whether BatchNorm's statistics are those of all processes' images, where several train together (on the CPU).
    pub synchronise_norms: bool,
}

impl Default for Run {
    fn default() -> Self {
        Self {
            batch: 64,
            accumulate: 1,
            seed: 0,
            log_every: 50,
            save_every: 0,
            patience: 0,
            device: "cpu".into(),
            precision: PrecisionKind::F32,
            synchronise_norms: false,
        }
    }
}
