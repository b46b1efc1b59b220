//! Runs: from a data set and a recipe to a folder with a trained model.
//!
//! ```text
//! run/  config.json, model.safetensors, preprocessor_config.json   the best model so far: the run's folder is a model
//!       last/ …                                                    the model of the last epoch, with raw weights
//!       averaged/ …                                                the same with averaged weights, where there are any
//!       recipe.toml                                                every setting
//!       metrics.jsonl                                              one object every few steps, one each epoch
//!       events.out.tfevents.swiftformer                            the same for TensorBoard
//!       state.safetensors                                          all that resuming needs
//!       curves.svg, confusion.svg, mistakes.svg, report.json       at the end: how it went, and what the model confuses
//! ```
//!
//! Whenever the program is killed, the last saved state is whole, and going on from it gives the bits that an uninterrupted
//! run gives. The best model is the one with the highest top-1 on the validation images, then the lowest loss, of raw and
//! averaged weights.

mod epoch;
mod error;
mod events;
mod finish;
mod folder;
mod judge;
mod mistakes;
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
    config::SwiftFormerConfig,
    image::{Normalize, Preprocessor},
};

pub use self::{
    error::RunError,
    events::EVENTS,
    report::{EpochReport, Event, Score, StepReport, Summary},
};
use self::{
    events::Events,
    folder::{Folder, Journal},
    model::Model,
    state::{Record, Saved, Totals},
};
use crate::{
    data::{self, Loader, Position, Splits, View},
    device,
    model::{Network, NetworkOptions},
    optim::{Average, Optimizer},
    parallel::Group,
    recipe::{DistillationKind, DropRule, Parts, PrecisionKind, Recipe, RecipeError},
    teacher::{Pupil, Teacher},
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
/// The folder of the last model with averaged weights.
pub const AVERAGED: &str = "averaged";

/// Who does the work of a run.
#[derive(Clone, Debug, Default)]
pub struct Workers {
    /// Threads of this process; 0 are as many as there are processors.
    pub threads: usize,
    /// The processes that train together. Only the first writes files; the others read the same data set and, to resume,
    /// the same folder.
    pub group: Group,
    /// The graphics card to use of several, where the recipe's device names none.
    pub card: usize,
}

/// A run that is ready for its next step.
pub struct Run {
    recipe: Recipe,
    folder: Folder,
    preprocessor: Preprocessor,
    train: Loader,
    validation: Loader,
    trainer: Trainer,
    teacher: Option<Teacher>,
    record: Record,
    /// Of the first process alone.
    logs: Option<(Journal, Events)>,
    workers: Workers,
    notes: Vec<String>,
}

impl std::fmt::Debug for Run {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Run").field("folder", &self.folder).field("record", &self.record).finish_non_exhaustive()
    }
}

/// What recipe, data and model come to, before the run's folder is touched.
struct Prepared {
    network: Network,
    preprocessor: Preprocessor,
    train: Loader,
    validation: Loader,
    teacher: Option<Teacher>,
    workers: Workers,
    notes: Vec<String>,
}

impl Prepared {
    fn new(
        recipe: &Recipe,
        model: Model,
        splits: &Splits,
        workers: Workers,
        mut notes: Vec<String>,
    ) -> Result<Self, RunError> {
        let device = workers.device(recipe)?;
        let threads = workers.threads;
        let options = recipe.loader_options(threads, workers.group.shard());
        let (mean, std) = model::mean_and_std(&model.preprocessor);
        let train = Loader::new(
            Arc::clone(&splits.train),
            recipe.train_view([mean, std], model.preprocessor.orientation)?,
            options.clone(),
        )?;
        let view = View::Evaluate(Box::new(model.preprocessor.clone()));
        let validation = Loader::new(Arc::clone(&splits.validation), view, options)?;
        let teacher = match (recipe.loss.distillation, recipe.loss.teacher.as_str()) {
            (DistillationKind::None, _) => None,
            (_, "") => {
                let how = "--set teacher=MODEL, or --set distillation=none";
                return Err(RunError::Setting(format!("the recipe distils, but names no teacher: {how}")));
            }
            (_, name) => {
                let normalize = &Normalize { mean: mean.to_vec(), std: std.to_vec() };
                let (classes, steps) = (splits.train.classes(), train.steps());
                let (world, orientation) = (workers.group.shard().world, model.preprocessor.orientation);
                let pupil = Pupil { recipe, classes, normalize, orientation, steps, world, threads };
                Some(Teacher::open(name, &pupil)?)
            }
        };
        if recipe.run.precision == PrecisionKind::Bf16 && device == Device::flex() {
            notes.push("bfloat16 is for graphics cards: the CPU's own kernels cannot be used with it".to_owned());
        }
        let Model { arch, state, preprocessor, .. } = model;
        let options = NetworkOptions {
            drop_path_rule: recipe.drop_path_rule(),
            attention: recipe.attention(),
            freeze_statistics: recipe.model.freeze_statistics,
            threads,
            checkpointing: recipe.model.checkpointing,
            precision: recipe.precision(),
            ..NetworkOptions::default()
        };
        let mut network = Network::new(arch, &state, &options, &device)?;
        network.join(&workers.group, recipe.run.synchronise_norms)?;
        if recipe.model.train == Parts::Heads {
            network.parameters_mut().freeze(|module| !matches!(module, Module::Head | Module::DistHead));
        }
        Ok(Self { network, preprocessor, train, validation, teacher, workers, notes })
    }
}

impl Workers {
    /// With the number of threads that was meant.
    fn counted(mut self) -> Self {
        if self.threads == 0 {
            self.threads = std::thread::available_parallelism().map_or(1, usize::from);
        }
        self
    }

    /// The device of the recipe, whose batches these processes can share.
    fn device(&self, recipe: &Recipe) -> Result<Device, RunError> {
        let (batch, world) = (recipe.run.batch, self.group.shard().world);
        if !batch.is_multiple_of(world) {
            let fits = batch.next_multiple_of(world);
            let why = format!("{world} processes cannot share a batch of {batch} images evenly: --set batch={fits}");
            return Err(RunError::Setting(why));
        }
        Ok(device::open(&recipe.run.device, self.card)?)
    }
}

impl Run {
    /// Starts a run on the data set at `data` in the new or empty folder `output`.
    ///
    /// # Errors
    /// When data, recipe and model do not fit each other, or the folder cannot be used.
    pub fn start(data: &Path, output: &Path, mut recipe: Recipe, workers: Workers) -> Result<Self, RunError> {
        let workers = workers.counted();
        let splits = data::open(data, &recipe.open_options()?)?;
        let classes = splits.train.classes().to_vec();
        let mut notes = Vec::new();
        let model = model::open(&recipe, &classes, &mut |note| notes.push(note.to_owned()))?;
        if recipe.model.drop_path_rule == DropRule::Auto {
            recipe.model.drop_path_rule = model.rule;
        }
        recipe.data.size = model.arch.config.image_size[0];
        let prepared = Prepared::new(&recipe, model, &splits, workers, notes)?;
        let arch = prepared.network.arch();
        let text = recipe.to_text()?;
        let mut folder = Folder { path: output.to_owned() };
        // A process that could not come this far is gone, and no folder is left behind.
        prepared.workers.group.any(false)?;
        if prepared.workers.group.is_first() {
            folder = Folder::create(output)?;
            folder.write_settings(&recipe, arch, &prepared.preprocessor)?;
        }
        let preprocessor = prepared.preprocessor.to_preprocessor_config();
        let record = Record {
            position: Position::default(),
            recipe: text,
            config: arch.config.to_hf_json()?,
            preprocessor: preprocessor.map_err(|error| RunError::Setting(error.to_string()))?,
            data: std::path::absolute(data).unwrap_or_else(|_| data.to_owned()),
            classes,
            images: [splits.train.len(), splits.validation.len()],
            metrics_bytes: 0,
            events_bytes: 0,
            totals: Totals::default(),
            best: None,
            bad_epochs: 0,
            plateau: None,
            finished: false,
        };
        let mut run = Self::assemble(recipe, folder, prepared, record)?;
        // So that a run that is killed in its first epoch can be resumed.
        run.save()?;
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
        workers: Workers,
    ) -> Result<Self, RunError> {
        let workers = workers.counted();
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
        let splits = data::open(&record.data, &recipe.open_options()?)?;
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
        let prepared = Prepared::new(&recipe, model, &splits, workers, notes)?;
        record.recipe = recipe.to_text()?;
        // More epochs than before.
        record.finished &= record.position.epoch >= recipe.rates().total_epochs() as u64;
        let folder = Folder { path: folder.to_owned() };
        if prepared.workers.group.is_first() {
            folder.write_settings(&recipe, prepared.network.arch(), &prepared.preprocessor)?;
        }
        let mut run = Self::assemble(recipe, folder, prepared, record)?;
        let Saved { tensors, .. } = saved;
        run.trainer.load_tensors(&tensors)?;
        Ok(run)
    }

    fn assemble(recipe: Recipe, folder: Folder, prepared: Prepared, record: Record) -> Result<Self, RunError> {
        let Prepared { network, preprocessor, train, validation, teacher, workers, notes } = prepared;
        let optimizer = Optimizer::new(recipe.rule(), network.parameters(), &recipe.groups());
        let mut trainer = Trainer::new(network, optimizer, recipe.criterion());
        trainer.clip = recipe.clip();
        trainer.group = workers.group.clone();
        if recipe.optimizer.ema > 0.0 {
            trainer.average = Some(Average::new(recipe.optimizer.ema, trainer.network.parameters()));
        }
        let logs = match workers.group.is_first() {
            true => Some((Journal::open(&folder, record.metrics_bytes)?, Events::open(&folder, record.events_bytes)?)),
            false => None,
        };
        Ok(Self { recipe, folder, preprocessor, train, validation, trainer, teacher, record, logs, workers, notes })
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
