//! The command in a build that trains.

use anyhow::{Context, bail};
use swiftformer_train::{
    recipe::Recipe,
    teacher::{TeachOptions, TeacherError, write_logits},
};

use super::TeachArgs;
use crate::{console, interrupt, outcome::Outcome, partial::Partial, progress::Progress};

/// Epochs that are written where nobody says how many.
const EPOCHS: usize = 10;

/// Runs the command.
pub fn run(args: &TeachArgs) -> anyhow::Result<Outcome> {
    if args.output.extension().is_none_or(|ending| ending != "safetensors") {
        bail!("{}: files of logits end in .safetensors", args.output.display());
    }
    let recipe = Recipe::open(&args.recipe)?.with(&args.set)?;
    let epochs = args.epochs.map_or(recipe.rates().total_epochs().min(EPOCHS), |epochs| epochs as usize);
    let threads = crate::model::threads(args.threads);
    let options = TeachOptions { teacher: args.teacher.clone(), recipe, epochs, threads };
    let mut file = Partial::create(&args.output)?;
    interrupt::finish_work_in_hand();
    let mut bar = None;
    let mut progress = |done: usize, all: usize| {
        bar.get_or_insert_with(|| Progress::images(all, false)).set(done as u64);
        !interrupt::requested()
    };
    match write_logits(&args.data, &options, file.writer()?, &mut progress) {
        Ok(()) => file.finish()?,
        Err(TeacherError::Stopped) => return Ok(Outcome::Interrupted),
        Err(error) => return Err(error).with_context(|| format!("cannot make {}", args.output.display())),
    }
    drop(bar);
    let (target, teacher) = (args.output.display(), &args.teacher);
    console::line(&format!("wrote {target}: what {teacher} says, epochs: {epochs}"))?;
    Ok(Outcome::Done)
}
