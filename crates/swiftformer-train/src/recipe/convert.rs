//! A recipe's sections as the settings of the modules that they are for.

use swiftformer::image::{Orientation, Preset};
use swiftformer_kernels::Precision;

use super::{
    AttentionKind, BaseKind, ClipKind, DistillationKind, DropRule, PrecisionKind, Recipe, RecipeError, RuleKind,
    ScheduleKind, StepReading,
};
use crate::{
    augment::{ColorJitter, Mix, RandomErasing, RandomResizedCrop, TrainTransform, affine::Sampling},
    data::{LoaderOptions, OpenOptions, Shard, TrainView, View},
    loss::{BaseHead, BaseLoss, Criterion, Distillation},
    model::{DropPathRule, ablation::StageAttention},
    optim::{AgcScope, Clip, GroupOptions, Rule},
    schedule::{PlateauOptions, Reading, Schedule, Shape},
};

fn word<E: std::fmt::Display>(key: &'static str) -> impl Fn(E) -> RecipeError {
    move |error| RecipeError::Value { why: format!("`{key}`: {error}") }
}

impl Recipe {
    /// Changes of each training image.
    pub(crate) fn transform(&self) -> Result<TrainTransform, RecipeError> {
        let augment = &self.augment;
        let sampling = match augment.interpolation.as_str() {
            "bilinear" => Some(Sampling::Bilinear),
            "bicubic" => Some(Sampling::Bicubic),
            "random" => None,
            other => {
                return Err(word("augment.interpolation")(format!("`{other}` is not bilinear, bicubic or random")));
            }
        };
        let policy = match augment.policy.as_str() {
            "" => None,
            text => Some(text.parse().map_err(word("augment.policy"))?),
        };
        let mode = augment.erase_mode.parse().map_err(word("augment.erase_mode"))?;
        Ok(TrainTransform {
            crop: RandomResizedCrop { scale: augment.scale, ratio: augment.ratio, sampling },
            horizontal_flip: augment.flip,
            vertical_flip: augment.vertical_flip,
            policy,
            jitter: (augment.jitter > 0.0).then(|| ColorJitter::new(augment.jitter)),
            erasing: (augment.erase > 0.0).then(|| RandomErasing::new(augment.erase, mode)),
            ..TrainTransform::new([self.data.size; 2])
        })
    }

    /// Mixing of a batch's images.
    pub(crate) fn mix(&self) -> Result<Option<Mix>, RecipeError> {
        let augment = &self.augment;
        let mix = Mix {
            probability: augment.mix_probability,
            switch_probability: augment.mix_switch,
            mode: augment.mix_mode.parse().map_err(word("augment.mix_mode"))?,
            ..Mix::new(augment.mixup, augment.cutmix)
        };
        Ok(mix.is_active().then_some(mix))
    }

    /// Training images of mean and deviation `normalize`, turned upright where those to judge by are, changed and mixed.
    pub(crate) fn train_view(&self, [mean, std]: [[f64; 3]; 2], orientation: Orientation) -> Result<View, RecipeError> {
        let mix = self.mix()?;
        // Mixed labels are smoothed before they are mixed, others by the loss.
        let smoothing = if mix.is_some() { self.loss.smoothing as f32 } else { 0.0 };
        let transform = TrainTransform { mean, std, ..self.transform()? };
        let repeats = self.augment.repeats;
        Ok(View::Train(Box::new(TrainView { transform, mix, smoothing, repeats, orientation })))
    }

    /// How the data set is split, and which of its labels are meant.
    pub(crate) fn open_options(&self) -> Result<OpenOptions, RecipeError> {
        let data = &self.data;
        Ok(OpenOptions {
            validation_share: data.validation_share,
            seed: self.run.seed,
            category: data.category.parse().map_err(word("data.category"))?,
            cifar_labels: data.cifar_labels.parse().map_err(word("data.cifar_labels"))?,
        })
    }

    /// How batches are made, by `workers` threads of one of several processes.
    pub(crate) fn loader_options(&self, workers: usize, shard: Shard) -> LoaderOptions {
        LoaderOptions { seed: self.run.seed, workers, shard, ..LoaderOptions::new(self.run.batch / shard.world) }
    }

    /// How images to judge by are prepared; `None` is as the model says.
    pub(crate) fn preset(&self) -> Result<Option<Preset>, RecipeError> {
        match self.data.preprocess.as_str() {
            "" => Ok(None),
            name => Ok(Some(name.parse().map_err(word("data.preprocess"))?)),
        }
    }

    pub(crate) fn criterion(&self) -> Criterion {
        let loss = &self.loss;
        let smoothing = loss.smoothing;
        let distillation = match loss.distillation {
            DistillationKind::None => Distillation::None,
            DistillationKind::Hard => Distillation::Hard { alpha: loss.alpha },
            DistillationKind::Soft => Distillation::Soft { alpha: loss.alpha, tau: loss.tau },
        };
        Criterion {
            base: match loss.base {
                BaseKind::CrossEntropy => BaseLoss::CrossEntropy { smoothing },
                BaseKind::Binary => BaseLoss::Binary { smoothing, threshold: None },
            },
            // Without a teacher both heads learn from the labels, as one.
            base_head: if distillation == Distillation::None { BaseHead::Mean } else { BaseHead::Class },
            distillation,
        }
    }

    pub(crate) fn rule(&self) -> Rule {
        let optimizer = &self.optimizer;
        match optimizer.rule {
            RuleKind::Adamw => Rule::AdamW { betas: optimizer.betas, eps: optimizer.eps },
            RuleKind::Sgd => Rule::Sgd { momentum: optimizer.momentum, nesterov: optimizer.nesterov },
        }
    }

    pub(crate) fn groups(&self) -> GroupOptions {
        GroupOptions { weight_decay: self.optimizer.weight_decay, layer_decay: self.optimizer.layer_decay }
    }

    pub(crate) fn clip(&self) -> Clip {
        let bound = self.optimizer.clip_bound;
        match self.optimizer.clip {
            ClipKind::None => Clip::None,
            ClipKind::Agc => Clip::Agc { factor: bound, scope: AgcScope::All },
            ClipKind::AgcTimm => Clip::Agc { factor: bound, scope: AgcScope::WithoutLastTwo },
            ClipKind::Norm => Clip::Norm(bound),
            ClipKind::Value => Clip::Value(bound),
        }
    }

    /// The attention of each stage; none where all are additive.
    pub(crate) fn attention(&self) -> Vec<StageAttention> {
        let kind = |kind: &AttentionKind| match kind {
            AttentionKind::Additive => StageAttention::Additive,
            AttentionKind::SelfAttention => StageAttention::SelfAttention,
            AttentionKind::Transposed => StageAttention::Transposed,
            AttentionKind::Separable => StageAttention::Separable,
        };
        let list: Vec<_> = self.model.attention.iter().map(kind).collect();
        if list.iter().all(|&kind| kind == StageAttention::Additive) { Vec::new() } else { list }
    }

    pub(crate) fn precision(&self) -> Precision {
        match self.run.precision {
            PrecisionKind::F32 => Precision::F32,
            PrecisionKind::Bf16 => Precision::Bf16,
        }
    }

    pub(crate) fn drop_path_rule(&self) -> Option<DropPathRule> {
        match self.model.drop_path_rule {
            DropRule::Auto => None,
            DropRule::EveryBlock => Some(DropPathRule::EveryBlock),
            DropRule::AttentionBlocks => Some(DropPathRule::AttentionBlocks),
        }
    }

    /// The learning rate over time; `lr` is scaled to the size of a step.
    pub fn rates(&self) -> Schedule {
        let schedule = &self.schedule;
        let images = (self.run.batch * self.run.accumulate) as f64;
        let scale = if schedule.lr_for == 0 { 1.0 } else { images / schedule.lr_for as f64 };
        Schedule {
            shape: match schedule.shape {
                // A plateau falls by what is measured: see `plateau`.
                ScheduleKind::Constant | ScheduleKind::Plateau => Shape::Constant,
                ScheduleKind::Cosine => Shape::Cosine,
                ScheduleKind::Step => Shape::Step { every: schedule.step_epochs, rate: schedule.step_factor },
            },
            lr: schedule.lr * scale,
            min_lr: schedule.min_lr,
            epochs: schedule.epochs,
            warmup_epochs: schedule.warmup_epochs,
            warmup_lr: schedule.warmup_lr,
            cooldown_epochs: schedule.cooldown_epochs,
            reading: match schedule.reading {
                StepReading::Timm => Reading::Timm,
                StepReading::Original => Reading::Original,
            },
        }
    }

    /// The rule by which the rate falls at plateaus of the validation images' top-1.
    pub(crate) fn plateau(&self) -> Option<PlateauOptions> {
        let schedule = &self.schedule;
        (schedule.shape == ScheduleKind::Plateau).then(|| PlateauOptions {
            lr: self.rates().lr,
            min_lr: schedule.min_lr,
            rate: schedule.step_factor,
            patience: schedule.plateau_epochs,
            // PyTorch's.
            threshold: 1e-4,
            cooldown: 0,
            warmup_epochs: schedule.warmup_epochs.ceil() as usize,
            warmup_lr: schedule.warmup_lr,
            larger_is_better: true,
        })
    }
}
