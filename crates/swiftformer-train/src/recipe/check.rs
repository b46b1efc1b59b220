//! Values that a run cannot use.

use super::{Recipe, RecipeError};

/// No count needs more, and products of them must not overflow.
const MOST: usize = 1_000_000;

impl Recipe {
    /// Checks every number against its range.
    pub(super) fn check(&self) -> Result<(), RecipeError> {
        let Self { model, data, augment, loss, optimizer, schedule, run } = self;
        let share = "0 to 1";
        let rule = |holds: bool, key: &'static str, found: String, expected: &'static str| match holds {
            true => Ok(()),
            false => Err(RecipeError::Range { key, found, expected }),
        };
        for (key, value) in [
            ("model.drop_path", model.drop_path),
            ("augment.flip", augment.flip),
            ("augment.vertical_flip", augment.vertical_flip),
            ("augment.erase", augment.erase),
            ("augment.mix_probability", augment.mix_probability),
            ("augment.mix_switch", augment.mix_switch),
            ("loss.alpha", loss.alpha),
        ] {
            rule((0.0..=1.0).contains(&value), key, value.to_string(), share)?;
        }
        for (key, value) in [
            ("loss.smoothing", loss.smoothing),
            ("optimizer.ema", optimizer.ema),
            ("optimizer.momentum", optimizer.momentum),
            ("optimizer.betas", optimizer.betas[0]),
            ("optimizer.betas", optimizer.betas[1]),
        ] {
            rule((0.0..1.0).contains(&value), key, value.to_string(), "0 or more and below 1")?;
        }
        for (key, value) in [
            ("model.layer_scale", model.layer_scale),
            ("augment.jitter", augment.jitter),
            ("augment.mixup", augment.mixup),
            ("augment.cutmix", augment.cutmix),
            ("optimizer.weight_decay", optimizer.weight_decay),
            ("schedule.min_lr", schedule.min_lr),
            ("schedule.warmup_lr", schedule.warmup_lr),
            ("schedule.warmup_epochs", schedule.warmup_epochs),
        ] {
            rule(value.is_finite() && value >= 0.0, key, value.to_string(), "0 or more")?;
        }
        for (key, value) in [
            ("loss.tau", loss.tau),
            ("optimizer.eps", optimizer.eps),
            ("optimizer.layer_decay", optimizer.layer_decay),
            ("optimizer.clip_bound", optimizer.clip_bound),
            ("schedule.lr", schedule.lr),
            ("schedule.step_epochs", schedule.step_epochs),
            ("schedule.step_factor", schedule.step_factor),
            ("augment.scale", augment.scale[0]),
            ("augment.ratio", augment.ratio[0]),
        ] {
            rule(value.is_finite() && value > 0.0, key, value.to_string(), "above 0")?;
        }
        for (key, [least, most]) in [("augment.scale", augment.scale), ("augment.ratio", augment.ratio)] {
            rule(most.is_finite() && least <= most, key, format!("[{least}, {most}]"), "the lesser first")?;
        }
        for (key, value) in [
            ("augment.repeats", augment.repeats),
            ("schedule.epochs", schedule.epochs),
            ("run.batch", run.batch),
            ("run.accumulate", run.accumulate),
            ("run.log_every", run.log_every),
        ] {
            rule((1..=MOST).contains(&value), key, value.to_string(), "1 to a million")?;
        }
        let cooldown = schedule.cooldown_epochs;
        rule(cooldown <= MOST, "schedule.cooldown_epochs", cooldown.to_string(), "0 to a million")?;
        let size = data.size;
        rule(size == 0 || (32..=4096).contains(&size), "data.size", size.to_string(), "32 to 4096 pixels, or 0")?;
        let kept = data.validation_share;
        rule(kept > 0.0 && kept < 1.0, "data.validation_share", kept.to_string(), "above 0 and below 1")?;
        // Words of other modules' parsers.
        self.transform()?;
        self.mix()?;
        self.preset()?;
        self.open_options()?;
        Ok(())
    }
}
