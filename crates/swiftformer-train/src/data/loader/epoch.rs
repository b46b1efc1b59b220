//! One epoch under way: workers that fill batches ahead of the consumer, in order and within a bound.

use std::{
    collections::BTreeMap,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use super::{
    super::{
        DataError, Dataset,
        batch::{Batch, Place, Sample, assemble},
        order::Order,
    },
    BrokenLog, LoaderOptions, Position, View,
};
use crate::rng::{AUGMENT, Rng};

/// What all threads of an epoch need.
pub(super) struct Job {
    pub(super) data: Arc<dyn Dataset>,
    pub(super) view: Arc<View>,
    pub(super) order: Order,
    pub(super) options: LoaderOptions,
    pub(super) broken: Arc<BrokenLog>,
    pub(super) epoch: u64,
    pub(super) steps: usize,
}

/// An image that cannot be used, as an error of its own: a decoder that panics must not take the run with it.
#[derive(Debug, thiserror::Error)]
#[error("the decoder failed on it")]
struct Panicked;

impl Job {
    /// How many images step `step` has.
    fn images(&self, step: usize) -> usize {
        match self.view.as_ref() {
            View::Train(_) => self.options.batch,
            View::Evaluate(_) => self.options.batch.min(self.order.len() - step * self.options.batch),
        }
    }

    /// Makes the `at`-th image of the epoch; `None` when it is left out.
    fn sample(&self, at: usize) -> Result<Option<Sample>, DataError> {
        let first = self.order.image(at);
        let candidates = match self.view.as_ref() {
            View::Train(_) => self.data.len(),
            View::Evaluate(_) => 1,
        };
        for attempt in 0..candidates {
            let index = (first + attempt) % self.data.len();
            if self.broken.contains(index) {
                continue;
            }
            let error: Box<dyn std::error::Error> =
                match catch_unwind(AssertUnwindSafe(|| self.prepare(index, self.order.position(at)))) {
                    Ok(Ok(sample)) => return Ok(Some(sample)),
                    Ok(Err(error)) => error.into(),
                    Err(_) => Panicked.into(),
                };
            self.broken.add(index, &self.data.name(index), error.as_ref())?;
        }
        if candidates == 1 { Ok(None) } else { Err(self.broken.all()) }
    }

    fn prepare(&self, index: usize, position: u64) -> Result<Sample, DataError> {
        let named = |source| DataError::Image { name: self.data.name(index), source };
        match self.view.as_ref() {
            View::Train(view) => {
                let image = self.data.read(index, view.orientation)?;
                let mut rng = Rng::new(self.options.seed, &[AUGMENT, self.epoch, position]);
                let mut values = vec![0.0; view.transform.len()];
                view.transform.apply(&image, &mut rng, &mut values).map_err(named)?;
                let [height, width] = view.transform.size;
                Ok(Sample { values, shape: [3, height, width], index, position })
            }
            View::Evaluate(preprocessor) => {
                let image = self.data.read(index, preprocessor.orientation)?;
                let tensor = preprocessor.apply(&image).map_err(named)?;
                let shape = [tensor.shape()[0], tensor.shape()[1], tensor.shape()[2]];
                Ok(Sample { values: tensor.into_data(), shape, index, position })
            }
        }
    }
}

/// A batch of which some images are there.
struct Open {
    samples: Vec<Option<Sample>>,
    missing: usize,
}

/// What the threads share.
#[derive(Default)]
struct State {
    /// The step and place of the image that is made next.
    next: (usize, usize),
    /// Batches that the consumer has taken.
    consumed: usize,
    open: BTreeMap<usize, Open>,
    ready: BTreeMap<usize, Result<Batch, DataError>>,
    /// No further images are wanted.
    stop: bool,
}

struct Shared {
    job: Job,
    state: Mutex<State>,
    work: Condvar,
    done: Condvar,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next image to make, as soon as there is room for it; `None` at the end.
    fn next(&self) -> Option<(usize, usize)> {
        let mut state = self.lock();
        loop {
            let (step, slot) = state.next;
            if state.stop || step >= self.job.steps {
                return None;
            }
            if step < state.consumed + self.job.options.prefetch.max(1) {
                let images = self.job.images(step);
                state.next = if slot + 1 < images { (step, slot + 1) } else { (step + 1, 0) };
                let open = || Open { samples: (0..images).map(|_| None).collect(), missing: images };
                state.open.entry(step).or_insert_with(open);
                return Some((step, slot));
            }
            state = self.work.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn work(&self) {
        while let Some((step, slot)) = self.next() {
            match self.job.sample(step * self.job.options.batch + slot) {
                Ok(sample) => self.put(step, slot, sample),
                Err(error) => self.fail(step, error),
            }
        }
    }

    /// Puts an image in its place; whoever brings the last one finishes the batch.
    fn put(&self, step: usize, slot: usize, sample: Option<Sample>) {
        let mut state = self.lock();
        let Some(open) = state.open.get_mut(&step) else { return };
        open.samples[slot] = sample;
        open.missing -= 1;
        if open.missing > 0 {
            return;
        }
        let Some(open) = state.open.remove(&step) else { return };
        drop(state);
        let samples = open.samples.into_iter().flatten().collect();
        let Job { data, view, options, epoch, .. } = &self.job;
        let place = Place { seed: options.seed, shard: options.shard, epoch: *epoch, step };
        match assemble(samples, data.as_ref(), view, &place) {
            Ok(batch) => {
                self.lock().ready.insert(step, Ok(batch));
                self.done.notify_all();
            }
            Err(error) => self.fail(step, error),
        }
    }

    /// Ends the epoch at `step`; earlier batches still come.
    fn fail(&self, step: usize, error: DataError) {
        let mut state = self.lock();
        state.open.remove(&step);
        state.ready.entry(step).or_insert(Err(error));
        state.stop = true;
        self.done.notify_all();
        self.work.notify_all();
    }
}

/// The batches of one epoch in order, made by threads in the background.
///
/// After an error nothing follows.
pub struct Epoch {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
    next: usize,
    waited: Duration,
    started: Instant,
}

impl std::fmt::Debug for Epoch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Epoch").field("position", &self.position()).finish_non_exhaustive()
    }
}

impl Epoch {
    pub(super) fn start(job: Job, step: usize) -> Self {
        let workers = job.options.workers.max(1);
        let state = State { next: (step, 0), consumed: step, ..State::default() };
        let shared = Arc::new(Shared { job, state: Mutex::new(state), work: Condvar::new(), done: Condvar::new() });
        let mut threads = Vec::new();
        for number in 0..workers {
            let shared = shared.clone();
            let thread = std::thread::Builder::new().name(format!("data {number}"));
            match thread.spawn(move || shared.work()) {
                Ok(thread) => threads.push(thread),
                Err(error) if threads.is_empty() => {
                    // Without a single thread the consumer works itself; see `next`.
                    tracing::warn!("no thread for loading data: {error}");
                    break;
                }
                Err(_) => break,
            }
        }
        Self { shared, threads, next: step, waited: Duration::ZERO, started: Instant::now() }
    }

    /// What comes next: save it to go on from here later.
    pub fn position(&self) -> Position {
        Position { epoch: self.shared.job.epoch, step: self.next }
    }

    /// Steps of the whole epoch.
    pub fn steps(&self) -> usize {
        self.shared.job.steps
    }

    /// How long the consumer has waited for batches.
    pub fn waited(&self) -> Duration {
        self.waited
    }

    /// The share of the time since the start that the consumer waited, 0..=1.
    pub fn wait_share(&self) -> f64 {
        let elapsed = self.started.elapsed().as_secs_f64();
        if elapsed > 0.0 { (self.waited.as_secs_f64() / elapsed).min(1.0) } else { 0.0 }
    }
}

impl Iterator for Epoch {
    type Item = Result<Batch, DataError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.next >= self.shared.job.steps {
            return None;
        }
        let begun = Instant::now();
        if self.threads.is_empty() {
            while !self.shared.lock().ready.contains_key(&self.next)
                && let Some((step, slot)) = self.shared.next()
            {
                match self.shared.job.sample(step * self.shared.job.options.batch + slot) {
                    Ok(sample) => self.shared.put(step, slot, sample),
                    Err(error) => self.shared.fail(step, error),
                }
            }
        }
        let mut state = self.shared.lock();
        let result = loop {
            if let Some(result) = state.ready.remove(&self.next) {
                break result;
            }
            state = self.shared.done.wait(state).unwrap_or_else(PoisonError::into_inner);
        };
        self.waited += begun.elapsed();
        self.next += 1;
        state.consumed = self.next;
        drop(state);
        self.shared.work.notify_all();
        if result.is_err() {
            self.next = self.shared.job.steps;
        }
        Some(result)
    }
}

impl Drop for Epoch {
    fn drop(&mut self) {
        self.shared.lock().stop = true;
        self.shared.work.notify_all();
        for thread in self.threads.drain(..) {
            // Panics are caught in the worker; a thread that ended otherwise has nothing to say.
            let _ = thread.join();
        }
    }
}
