//! Runs: from a data set and a recipe to a folder with a trained model.
//!
//! ```text
//! run/  config.json, model.safetensors, preprocessor_config.json   the best model so far: the run's folder is a model
//!       last/ …                                                    the model of the last epoch, with raw weights
//!       recipe.toml                                                every setting
//!       metrics.jsonl                                              one object every few steps, one each epoch
//!       state.safetensors                                          all that resuming needs
//!       curves.svg, confusion.svg, report.json                     at the end: how it went, and what the model confuses
//! ```
//!
//! Whenever the program is killed, the last saved state is whole, and going on from it gives the bits that an uninterrupted
//! run gives. The best model is the one with the highest top-1 on the validation images, then the lowest loss, of raw and
//! averaged weights.

mod epoch;
mod error;
mod finish;
mod folder;
mod judge;
mod model;
mod plot;
mod report;
mod state;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use burn::tensor::Device;
use swiftformer::{
    arch::{Arch, Module, TailKind},
    checkpoint::{Checkpoint, OpenOptions as ModelOptions},
    config::SwiftFormerConfig,
    image::{Orientation, Preprocessor},
    model::Model as Engine,
};

pub use self::{
    error::RunError,
    report::{EpochReport, Event, Score, StepReport, Summary},
};
use self::{
    folder::{Folder, Journal},
    model::Model,
    state::{Record, Saved, Totals},
};
use crate::{
    data::{self, Loader, LoaderOptions, OpenOptions, Position, Splits, TrainView, View},
    model::{Network, NetworkOptions},
    optim::{Average, Optimizer},
    recipe::{DistillationKind, DropRule, Parts, Recipe, RecipeError},
    trainer::Trainer,
};

/// The state's file.
pub const STATE: &str = "state.safetensors";
/// The metrics' file.
pub const METRICS: &str = "metrics.jsonl";
/// The resolved recipe's file.
pub const RECIPE: &str = "recipe.toml";
/// The folder of the last model.
pub const LAST: &str = "last";

/// A run that is ready for its next step.
pub struct Run {
    recipe: Recipe,
    folder: Folder,
    preprocessor: Preprocessor,
    train: Loader,
    validation: Loader,
    trainer: Trainer,
    teacher: Option<Engine>,
    record: Record,
    journal: Journal,
    threads: usize,
    notes: Vec<String>,
}

impl std::fmt::Debug for Run {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Run").field("folder", &self.folder).field("record", &self.record).finish_non_exhaustive()
    }
}

fn open_data(path: &Path, recipe: &Recipe) -> Result<Splits, RunError> {
    let options =
        OpenOptions { validation_share: recipe.data.validation_share, seed: recipe.run.seed, ..OpenOptions::default() };
    Ok(data::open(path, &options)?)
}

/// Threads that were meant: 0 are as many as there are processors.
fn actual(threads: usize) -> usize {
    if threads > 0 { threads } else { std::thread::available_parallelism().map_or(1, usize::from) }
}

impl Run {
    /// Starts a run on the data set at `data` in the new or empty folder `output`.
    ///
    /// # Errors
    /// When data, recipe and model do not fit each other, or the folder cannot be used.
    pub fn start(data: &Path, output: &Path, mut recipe: Recipe, threads: usize) -> Result<Self, RunError> {
        let splits = open_data(data, &recipe)?;
        let classes = splits.train.classes().to_vec();
        let mut notes = Vec::new();
        let model = model::open(&recipe, &classes, &mut |note| notes.push(note.to_owned()))?;
        if recipe.model.drop_path_rule == DropRule::Auto {
            recipe.model.drop_path_rule = model.rule;
        }
        let teacher = open_teacher(&recipe, &model, threads)?;
        let folder = Folder::create(output)?;
        folder.write_configs(&model.arch, &model.preprocessor)?;
        let text = recipe.to_text()?;
        folder::write(&folder.file(RECIPE), text.as_bytes())?;
        let preprocessor = model.preprocessor.to_preprocessor_config();
        let record = Record {
            position: Position::default(),
            recipe: text,
            config: model.arch.config.to_hf_json()?,
            preprocessor: preprocessor.map_err(|error| RunError::Setting(error.to_string()))?,
            data: std::path::absolute(data).unwrap_or_else(|_| data.to_owned()),
            classes,
            images: [splits.train.len(), splits.validation.len()],
            metrics_bytes: 0,
            totals: Totals::default(),
            best: None,
            bad_epochs: 0,
            finished: false,
        };
        let run = Self::assemble(recipe, folder, model, &splits, teacher, record, threads, notes)?;
        // So that a run that is killed in its first epoch can be resumed.
        state::save(&run.folder.file(STATE), &run.trainer, &run.record)?;
        Ok(run)
    }

    /// Goes on with the run in `folder`. `data` is where its data set lies now, if elsewhere. `change` gives the recipe to
    /// go on with, from the run's own; where the two differ, `force` is needed.
    ///
    /// # Errors
    /// When there is no run, its state is damaged, or recipe or data set are not the run's.
    pub fn resume(
        folder: &Path,
        data: Option<&Path>,
        change: impl FnOnce(&Recipe) -> Result<Recipe, RecipeError>,
        force: bool,
        threads: usize,
    ) -> Result<Self, RunError> {
        let saved = state::load(folder)?;
        let damaged = |why: String| RunError::State { path: folder.to_owned(), why };
        let before = Recipe::parse(&saved.record.recipe, "the run's recipe")?;
        let recipe = change(&before)?;
        let differences = before.differences(&recipe)?;
        let mut notes = Vec::new();
        if !differences.is_empty() {
            if !force {
                return Err(RunError::Changed { differences });
            }
            notes.extend(differences.iter().map(|difference| format!("going on with another setting: {difference}")));
        }
        let mut record = saved.record.clone();
        if let Some(data) = data {
            record.data = std::path::absolute(data).unwrap_or_else(|_| data.to_owned());
        }
        let splits = open_data(&record.data, &recipe)?;
        let images = [splits.train.len(), splits.validation.len()];
        let described = |classes: usize, [train, validation]: [usize; 2]| {
            format!("{train} and {validation} images of {classes} classes")
        };
        if splits.train.classes() != record.classes || images != record.images {
            return Err(RunError::OtherData {
                path: record.data.clone(),
                before: described(record.classes.len(), record.images),
                after: match splits.train.classes().len() == record.classes.len() && images == record.images {
                    true => "as many, of other classes".to_owned(),
                    false => described(splits.train.classes().len(), images),
                },
            });
        }
        let arch = Arch::build(&SwiftFormerConfig::from_json(&record.config)?, TailKind::Classifier)?;
        let preprocessor = Preprocessor::from_preprocessor_config(&record.preprocessor);
        let preprocessor = preprocessor.map_err(|error| damaged(error.to_string()))?;
        let rule = recipe.model.drop_path_rule;
        let model = Model { state: saved.network(folder, &arch)?, arch, preprocessor, rule };
        let teacher = open_teacher(&recipe, &model, threads)?;
        record.recipe = recipe.to_text()?;
        // More epochs than before.
        record.finished &= record.position.epoch >= recipe.rates().total_epochs() as u64;
        let folder = Folder { path: folder.to_owned() };
        folder::write(&folder.file(RECIPE), record.recipe.as_bytes())?;
        let mut run = Self::assemble(recipe, folder, model, &splits, teacher, record, threads, notes)?;
        let Saved { tensors, .. } = saved;
        run.trainer.load_tensors(&tensors)?;
        Ok(run)
    }

    #[expect(clippy::too_many_arguments, reason = "the parts of a run, from two places")]
    fn assemble(
        recipe: Recipe,
        folder: Folder,
        model: Model,
        splits: &Splits,
        teacher: Option<Engine>,
        record: Record,
        threads: usize,
        notes: Vec<String>,
    ) -> Result<Self, RunError> {
        let Model { arch, state, preprocessor, .. } = model;
        let threads = actual(threads);
        let checkpointing = recipe.model.checkpointing;
        let options = NetworkOptions { drop_path_rule: recipe.drop_path_rule(), threads, checkpointing, fused: true };
        let mut network = Network::new(arch, &state, &options, &Device::flex())?;
        if recipe.model.train == Parts::Heads {
            network.parameters_mut().freeze(|module| !matches!(module, Module::Head | Module::DistHead));
        }
        let optimizer = Optimizer::new(recipe.rule(), network.parameters(), &recipe.groups());
        let mut trainer = Trainer::new(network, optimizer, recipe.criterion());
        trainer.clip = recipe.clip();
        if recipe.optimizer.ema > 0.0 {
            trainer.average = Some(Average::new(recipe.optimizer.ema, trainer.network.parameters()));
        }
        let (mean, std) = model::mean_and_std(&preprocessor);
        let mut transform = recipe.transform()?;
        (transform.mean, transform.std) = (mean, std);
        let mix = recipe.mix()?;
        // Mixed labels are smoothed before they are mixed, others by the loss.
        let smoothing = if mix.is_some() { recipe.loss.smoothing as f32 } else { 0.0 };
        let view = TrainView { mix, smoothing, repeats: recipe.augment.repeats, ..TrainView::new(transform) };
        let view = TrainView { orientation: Orientation::Ignore, ..view };
        let options = LoaderOptions { seed: recipe.run.seed, workers: threads, ..LoaderOptions::new(recipe.run.batch) };
        let train = Loader::new(Arc::clone(&splits.train), View::Train(Box::new(view)), options.clone())?;
        let view = View::Evaluate(Box::new(preprocessor.clone()));
        let validation = Loader::new(Arc::clone(&splits.validation), view, options)?;
        let journal = Journal::open(&folder, record.metrics_bytes)?;
        Ok(Self { recipe, folder, preprocessor, train, validation, trainer, teacher, record, journal, threads, notes })
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.folder.path
    }

    /// Where the data set lies.
    pub fn data(&self) -> &PathBuf {
        &self.record.data
    }

    /// The resolved recipe.
    pub fn recipe(&self) -> &Recipe {
        &self.recipe
    }
}

/// Opens the teacher that the recipe asks for.
fn open_teacher(recipe: &Recipe, student: &Model, threads: usize) -> Result<Option<Engine>, RunError> {
    if recipe.loss.distillation == DistillationKind::None {
        return Ok(None);
    }
    let name = &recipe.loss.teacher;
    if name.is_empty() {
        let how = "--set teacher=MODEL, or --set distillation=none";
        return Err(RunError::Setting(format!("the recipe distils, but names no teacher: {how}")));
    }
    let teacher = Checkpoint::open(&model::parse_source(name)?, &ModelOptions::default())?;
    let (classes, own) = (teacher.config().num_labels, student.arch.config.num_labels);
    if classes != own {
        return Err(RunError::Setting(format!("the teacher {name} knows {classes} classes, the data set has {own}")));
    }
    if teacher.preprocessor().normalize != student.preprocessor.normalize {
        return Err(RunError::Setting(format!(
            "the teacher {name} was trained on images of another mean or deviation"
        )));
    }
    let options = swiftformer::model::ModelOptions { threads, ..Default::default() };
    Ok(Some(Engine::new(&teacher, &options)?))
}
