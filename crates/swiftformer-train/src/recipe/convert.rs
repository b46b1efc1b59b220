//! A recipe's sections as the settings of the modules that they are for.

use swiftformer::image::Preset;

use super::{BaseKind, ClipKind, DistillationKind, DropRule, Recipe, RecipeError, RuleKind, ScheduleKind, StepReading};
use crate::{
    augment::{ColorJitter, Mix, RandomErasing, RandomResizedCrop, TrainTransform, affine::Sampling},
    loss::{BaseHead, BaseLoss, Criterion, Distillation},
    model::DropPathRule,
    optim::{AgcScope, Clip, GroupOptions, Rule},
    schedule::{Reading, Schedule, Shape},
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

    /// How images to judge by are prepared.
    pub(crate) fn preset(&self) -> Result<Preset, RecipeError> {
        self.data.preprocess.parse().map_err(word("data.preprocess"))
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
                ScheduleKind::Constant => Shape::Constant,
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
}
