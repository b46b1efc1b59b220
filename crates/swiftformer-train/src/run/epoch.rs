//! The loop over epochs and steps.

use std::{
    collections::HashSet,
    hash::{DefaultHasher, Hash, Hasher},
    path::PathBuf,
    time::Instant,
};

use super::{
    AVERAGED, EpochReport, Event, LAST, Run, RunError, STATE, StepReport, Summary,
    judge::{averaged, score},
    state::{self, Record, Totals},
};
use crate::{
    data::{self, Epoch, Position},
    loss::Targets,
    rng::{DROP, Rng},
    schedule::Plateau,
    trainer::{Batch, BatchReport, TrainError},
};

/// Files that a message names.
const NAMED: usize = 8;

impl Run {
    /// Trains until the recipe's end, or until `observe` answers `false` to a step; the state is saved then.
    ///
    /// # Errors
    /// When a step, or saving it, fails. What was saved before is whole.
    pub fn run(&mut self, observe: &mut dyn FnMut(Event<'_>) -> bool) -> Result<Summary, RunError> {
        self.agree()?;
        for note in std::mem::take(&mut self.notes) {
            observe(Event::Note(&note));
        }
        let epochs = self.recipe.rates().total_epochs();
        let mut stopped = false;
        while !self.record.finished && !stopped {
            let begun = Instant::now();
            if self.record.position.epoch < epochs as u64 {
                stopped = !self.train_epoch(epochs, observe)?;
                if stopped {
                    break;
                }
                stopped = !self.finish_epoch(epochs, begun, observe)?;
            } else {
                self.record.finished = true;
                self.save()?;
            }
        }
        if self.record.finished && self.workers.group.is_first() {
            self.draw()?;
        }
        Ok(Summary {
            stopped: stopped && !self.record.finished,
            epochs: self.record.position.epoch,
            best: self.record.best,
            broken: self.broken()?,
        })
    }

    /// The rest of the epoch at the run's position; `false` when it was stopped.
    fn train_epoch(&mut self, epochs: usize, observe: &mut dyn FnMut(Event<'_>) -> bool) -> Result<bool, RunError> {
        let (rates, accumulate) = (self.recipe.rates(), self.recipe.run.accumulate);
        let plateau = self.plateau().map(|plateau| plateau.lr());
        let steps = self.train.steps();
        let updates = steps.div_ceil(accumulate);
        // A file of a teacher's logits knows some epochs, whose images come again.
        let position = self.record.position;
        let mut batches =
            self.train.start(self.teacher.as_ref().map_or(position, |teacher| teacher.replayed(position)));
        let (begun, first_images) = (Instant::now(), self.record.totals.images);
        while self.record.position.step < steps {
            let Position { epoch, step } = self.record.position;
            let lr = match (plateau, self.recipe.schedule.every_step) {
                (Some(lr), _) => lr,
                (None, true) => rates.of_step(epoch as usize, step / accumulate, updates),
                (None, false) => rates.of_epoch(epoch as usize),
            };
            let group = accumulate.min(steps - step);
            let files = self.accumulate(&mut batches, group)?;
            self.trainer.share_gradients()?;
            let gradient_norm = self.trainer.apply(lr).unwrap_or(0.0);
            if !gradient_norm.is_finite() {
                let what = "the norm of the gradients";
                return Err(RunError::NotFinite {
                    what,
                    value: gradient_norm,
                    epoch: epoch + 1,
                    step: step + group,
                    files,
                });
            }
            self.record.position.step += group;
            let done = self.record.position.step;
            let seconds = begun.elapsed().as_secs_f64().max(1e-9);
            let images_per_second = (self.record.totals.images - first_images) as f64 / seconds;
            let left = (steps - done) + (epochs.saturating_sub(epoch as usize + 1)) * steps;
            let report = StepReport {
                kind: "step",
                epoch: epoch + 1,
                epochs,
                step: done,
                steps,
                loss: self.record.totals.loss(),
                accuracy: self.record.totals.accuracy(),
                lr,
                gradient_norm,
                images_per_second,
                wait_share: batches.wait_share(),
                seconds_left: (left * self.recipe.run.batch) as f64 / images_per_second.max(1e-9),
            };
            let update = done.div_ceil(accumulate);
            if update.is_multiple_of(self.recipe.run.log_every) || done == steps {
                self.log_step(&report)?;
            }
            if self.workers.group.any(!observe(Event::Step(&report)))? {
                self.save()?;
                return Ok(false);
            }
            if self.recipe.run.save_every > 0 && update.is_multiple_of(self.recipe.run.save_every) && done < steps {
                self.save()?;
            }
        }
        Ok(true)
    }

    /// Adds up the gradients of `group` batches; gives the first names of their images.
    fn accumulate(&mut self, batches: &mut Epoch, group: usize) -> Result<Vec<String>, RunError> {
        let Position { epoch, step } = self.record.position;
        let mut files = Vec::new();
        for at in 0..group {
            let short = || RunError::Setting("the data set ended before the epoch did".into());
            let batch = batches.next().ok_or_else(short)??;
            let names = batch.indices.iter().map(|&index| self.train.data().name(index));
            files.extend(names.take(NAMED - files.len().min(NAMED)));
            let labels = batch.labels.clone();
            let prepared = self.prepare(batch)?;
            let seed = Rng::new(self.recipe.run.seed, &[DROP, epoch, (step + at) as u64]).next_u64();
            let report = self.trainer.accumulate(prepared, 1.0 / group as f64, seed).map_err(|error| match error {
                TrainError::NotFinite { loss } => RunError::NotFinite {
                    what: "the loss",
                    value: loss.into(),
                    epoch: epoch + 1,
                    step: step + at + 1,
                    files: files.clone(),
                },
                other => other.into(),
            })?;
            self.count(&report, &labels)?;
        }
        Ok(files)
    }

    fn prepare(&self, batch: data::Batch) -> Result<Batch, RunError> {
        let shape = [0, 1, 2, 3].map(|axis| batch.images.shape()[axis]);
        let teacher = self.teacher.as_ref().map(|teacher| teacher.logits(&batch)).transpose()?;
        let mixed = batch.kept.iter().any(|&share| share < 1.0) || self.recipe.mix()?.is_some();
        let targets = if mixed { Targets::Soft(batch.targets) } else { Targets::Classes(batch.labels) };
        Ok(Batch { images: batch.images.into_data(), shape, targets, teacher })
    }

    /// Judges the weights and saves everything; `false` when the observer wants no more.
    fn finish_epoch(
        &mut self,
        epochs: usize,
        begun: Instant,
        observe: &mut dyn FnMut(Event<'_>) -> bool,
    ) -> Result<bool, RunError> {
        let arch = self.trainer.network.arch().clone();
        let raw = self.trainer.network.to_state();
        let judged = |state| self.judge(state)?.count(&self.validation, &self.workers.group, &mut |_, _| {});
        let own = score(&judged(&raw)?);
        if !own.loss.is_finite() {
            // The last step of an epoch can break what only the next one would notice.
            let Position { epoch, step } = self.record.position;
            let files = vec!["the validation images".to_owned()];
            return Err(RunError::NotFinite { what: "the loss", value: own.loss, epoch: epoch + 1, step, files });
        }
        let average = match averaged(&self.trainer) {
            Some(state) => Some((score(&judged(&state)?), state)),
            None => None,
        };
        let writes = self.workers.group.is_first();
        if writes {
            self.folder.write_weights(LAST, &arch, &raw)?;
            if let Some((_, state)) = &average {
                self.folder.write_weights(AVERAGED, &arch, state)?;
            }
        }
        let (found, state) = match &average {
            Some((score, state)) if !own.beats(*score) => (*score, state),
            _ => (own, &raw),
        };
        let epoch = self.record.position.epoch + 1;
        let is_best = self.record.best.is_none_or(|(_, best)| found.beats(best));
        if is_best {
            if writes {
                self.folder.write_weights("", &arch, state)?;
            }
            self.record.best = Some((epoch, found));
            self.record.bad_epochs = 0;
        } else {
            self.record.bad_epochs += 1;
        }
        // By what all processes measured together, so that each of them goes on at the same rate.
        if let Some(mut plateau) = self.plateau() {
            plateau.step(epoch as usize, found.top1);
            self.record.plateau = Some(plateau.state());
        }
        let report = EpochReport {
            kind: "epoch",
            epoch,
            train_loss: self.record.totals.loss(),
            train_accuracy: self.record.totals.accuracy(),
            top1: own.top1,
            loss: own.loss,
            average_top1: average.as_ref().map(|(score, _)| score.top1),
            average_loss: average.as_ref().map(|(score, _)| score.loss),
            is_best,
            seconds: begun.elapsed().as_secs_f64(),
        };
        self.log_epoch(&report)?;
        self.record.position = Position { epoch, step: 0 };
        self.record.totals = Totals::default();
        let patience = self.recipe.run.patience;
        self.record.finished = epoch >= epochs as u64 || patience > 0 && self.record.bad_epochs >= patience;
        self.save()?;
        Ok(!self.workers.group.any(!observe(Event::Epoch(&report)))?)
    }

    /// The schedule by plateaus where it stands, for recipes that have one.
    fn plateau(&self) -> Option<Plateau> {
        let options = self.recipe.plateau()?;
        Some(self.record.plateau.map_or_else(|| Plateau::new(options), |state| Plateau::resume(options, state)))
    }

    /// The images that any process found broken.
    fn broken(&self) -> Result<Vec<String>, RunError> {
        let broken = self.train.broken().into_iter().chain(self.validation.broken()).map(|broken| broken.reason);
        let own = serde_json::to_vec(&broken.collect::<Vec<_>>()).unwrap_or_default();
        let all = self.workers.group.gather(&own)?;
        let mut all: Vec<String> = all.iter().flat_map(|list| serde_json::from_slice(list).unwrap_or(vec![])).collect();
        // Processes take each other's images where these are broken too.
        let mut seen = HashSet::new();
        all.retain(|reason| seen.insert(reason.clone()));
        Ok(all)
    }

    /// Writes down a step, as the first process.
    fn log_step(&mut self, report: &StepReport) -> Result<(), RunError> {
        let Some((journal, events)) = &mut self.logs else { return Ok(()) };
        journal.add(report)?;
        events.add_step(report)
    }

    /// Writes down an epoch, as the first process.
    fn log_epoch(&mut self, report: &EpochReport) -> Result<(), RunError> {
        let steps = self.train.steps();
        let Some((journal, events)) = &mut self.logs else { return Ok(()) };
        journal.add(report)?;
        events.add_epoch(report, steps)
    }

    /// Saves everything, as the first process.
    pub(super) fn save(&mut self) -> Result<(), RunError> {
        let Some((journal, events)) = &mut self.logs else { return Ok(()) };
        self.record.metrics_bytes = journal.sync()?;
        self.record.events_bytes = events.sync()?;
        state::save(&self.folder.file(STATE), &self.trainer, &self.record)
    }

    /// Makes sure that all processes are about to do the same.
    fn agree(&self) -> Result<(), RunError> {
        if self.workers.group.shard().world == 1 {
            return Ok(());
        }
        // Where the data set lies may differ between machines.
        let record = Record { data: PathBuf::new(), metrics_bytes: 0, events_bytes: 0, ..self.record.clone() };
        let record = serde_json::to_vec(&record).map_err(|error| RunError::Setting(error.to_string()))?;
        self.workers.group.agree("its recipe, data set or saved state is another", &record)?;
        let mut weights = DefaultHasher::new();
        let network = self.trainer.network.to_state();
        for param in self.trainer.network.arch().params() {
            network.get(param.module, param.leaf).map(|tensor| tensor.bytes()).hash(&mut weights);
        }
        let weights = weights.finish().to_ne_bytes();
        Ok(self.workers.group.agree("its first weights are others", &weights)?)
    }

    /// Counts a batch of all processes for the epoch's means.
    fn count(&mut self, report: &BatchReport, labels: &[usize]) -> Result<(), RunError> {
        let classes = report.logits.len() / labels.len().max(1);
        let right = |(row, &label): (&[f32], &usize)| {
            row.get(label).is_some_and(|own| row.iter().enumerate().all(|(at, other)| at == label || other < own))
        };
        let right = report.logits.chunks_exact(classes.max(1)).zip(labels).filter(|&pair| right(pair)).count();
        let mut sums = [f64::from(report.loss) * labels.len() as f64, right as f64, labels.len() as f64];
        self.workers.group.sum_wide(&mut sums)?;
        let totals = &mut self.record.totals;
        totals.loss += sums[0];
        totals.correct += sums[1] as u64;
        totals.images += sums[2] as u64;
        Ok(())
    }
}
