//! The command in a build that trains.

use std::path::{Path, PathBuf};

use swiftformer_train::{
    recipe::Recipe,
    run::{EpochReport, Event, Run, StepReport, Workers},
};

use super::TrainArgs;
use crate::{console, interrupt, outcome::Outcome, progress::Progress};

/// Runs the command.
pub fn run(args: &TrainArgs) -> anyhow::Result<Outcome> {
    let workers = super::processes::workers(args)?;
    swiftformer_train::process::prepare(workers.threads);
    let group = workers.group.clone();
    let result = train(args, workers);
    if result.is_err() {
        // The others would wait for this one. They end once its own reason was told.
        let result = Outcome::of(result);
        group.abort();
        return Ok(result);
    }
    result
}

fn train(args: &TrainArgs, workers: Workers) -> anyhow::Result<Outcome> {
    let is_first = workers.group.is_first();
    let settings: Vec<String> =
        args.device.iter().map(|device| format!("run.device={device}")).chain(args.set.iter().cloned()).collect();
    let mut run = match &args.resume {
        Some(folder) => {
            let change = |own: &Recipe| {
                let base = match &args.recipe {
                    Some(name) => Recipe::open(name)?,
                    None => own.clone(),
                };
                base.with(&settings)
            };
            Run::resume(folder, args.data.as_deref(), change, args.force, workers)?
        }
        None => {
            let data = args.data.clone().unwrap_or_default();
            Run::start(&data, &output(args, &data), recipe(args, &settings)?, workers)?
        }
    };
    interrupt::finish_work_in_hand();
    if !is_first {
        let summary = run.run(&mut |_| !interrupt::requested())?;
        return Ok(if summary.stopped { Outcome::Interrupted } else { Outcome::Done });
    }
    let mut screen =
        Screen { bar: Some(Progress::training()), epochs: run.recipe().rates().total_epochs(), failed: None };
    let summary = run.run(&mut |event| screen.show(event) && !interrupt::requested())?;
    let Screen { bar, failed, .. } = screen;
    drop(bar);
    for broken in &summary.broken {
        console::error(broken);
    }
    if let Some(error) = failed {
        return Err(error);
    }
    let folder = run.path().display();
    if summary.stopped {
        console::note(&format!("saved; go on with: swiftformer train --resume {folder}"));
        return Ok(Outcome::Interrupted);
    }
    if let Some((epoch, score)) = summary.best {
        let top1 = 100.0 * score.top1;
        // Networks with other attentions are none that anything else here opens.
        let holds = if run.recipe().model.attention.is_empty() { "is the model" } else { "holds the network" };
        console::line(&format!("{folder} {holds} of epoch {epoch}: {top1:.2} % of the validation images"))?;
    }
    Ok(if summary.broken.is_empty() { Outcome::Done } else { Outcome::ImagesFailed })
}

/// The recipe of the command line.
fn recipe(args: &TrainArgs, settings: &[String]) -> anyhow::Result<Recipe> {
    let trained = args.model.as_ref().is_some_and(|model| !model.starts_with("random:"));
    let name = args.recipe.as_deref().unwrap_or(if trained { "finetune" } else { "quick" });
    let mut recipe = Recipe::open(name)?;
    if let Some(model) = &args.model {
        recipe.model.start.clone_from(model);
    }
    Ok(recipe.with(settings)?)
}

/// The folder of a new run.
fn output(args: &TrainArgs, data: &Path) -> PathBuf {
    args.output.clone().unwrap_or_else(|| {
        let full = data.canonicalize().unwrap_or_else(|_| data.to_owned());
        Path::new("runs").join(full.file_stem().unwrap_or_default())
    })
}

/// What a person sees of a run.
struct Screen {
    bar: Option<Progress>,
    epochs: usize,
    failed: Option<anyhow::Error>,
}

impl Screen {
    /// Shows an event; `false` where nobody can be shown anything any more.
    fn show(&mut self, event: Event<'_>) -> bool {
        match event {
            Event::Note(text) => console::note(text),
            Event::Step(report) => {
                if let Some(bar) = &mut self.bar {
                    bar.set_training(report.step, report.steps, step_text(report));
                }
            }
            Event::Epoch(report) => {
                if let Err(error) = console::line(&epoch_text(report, self.epochs)) {
                    self.failed = Some(error);
                    return false;
                }
            }
        }
        true
    }
}

fn step_text(report: &StepReport) -> String {
    let StepReport { epoch, epochs, loss, accuracy, images_per_second, seconds_left, .. } = report;
    let accuracy = 100.0 * accuracy;
    let left = duration(*seconds_left);
    format!(
        "epoch {epoch}/{epochs}, loss {loss:.4}, accuracy {accuracy:.1} %, {images_per_second:.0} images/s, {left} left"
    )
}

fn epoch_text(report: &EpochReport, epochs: usize) -> String {
    let percent = |share: f64| format!("{:.2} %", 100.0 * share);
    let average = report.average_top1.map_or_else(String::new, |top1| format!(", averaged {}", percent(top1)));
    format!(
        "epoch {}/{epochs}: loss {:.4}, accuracy {}; validation {}{average}; {:.1} s{}",
        report.epoch,
        report.train_loss,
        percent(report.train_accuracy),
        percent(report.top1),
        report.seconds,
        if report.is_best { "; best so far" } else { "" }
    )
}

/// `1:02:03` or `2:03`.
fn duration(seconds: f64) -> String {
    let seconds = seconds.clamp(0.0, 1e9) as u64;
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    if hours > 0 { format!("{hours}:{minutes:02}:{seconds:02}") } else { format!("{minutes}:{seconds:02}") }
}
