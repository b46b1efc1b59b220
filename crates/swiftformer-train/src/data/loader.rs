//! Batches made ahead by worker threads.

mod broken;
mod epoch;

use std::sync::Arc;

use swiftformer::image::{Orientation, Preprocessor};

pub use broken::Broken;
use broken::BrokenLog;
pub use epoch::Epoch;

use super::{
    DataError, Dataset,
    order::{Order, Shard},
};
use crate::augment::{Mix, TrainTransform};

/// The most numbers a batch may hold: 4 GiB of them.
const MAX_BATCH_VALUES: usize = 1 << 30;

/// How images are prepared.
#[derive(Clone, Debug)]
pub enum View {
    /// Shuffled, augmented and mixed.
    Train(Box<TrainView>),
    /// In order, as the model's own preprocessing says.
    Evaluate(Box<Preprocessor>),
}

/// How training images are prepared.
#[derive(Clone, Debug)]
pub struct TrainView {
    /// Changes of each image.
    pub transform: TrainTransform,
    /// Mixing of the images of a batch.
    pub mix: Option<Mix>,
    /// The share of a label that is spread over all classes, 0..1.
    pub smoothing: f32,
    /// How often each image stands in a row (3 with repeated augmentation, else 1).
    pub repeats: usize,
    /// Whether files are turned upright; timm does not.
    pub orientation: Orientation,
}

impl TrainView {
    /// Augmentation without mixing, smoothing or repetition.
    pub fn new(transform: TrainTransform) -> Self {
        Self { transform, mix: None, smoothing: 0.0, repeats: 1, orientation: Orientation::Ignore }
    }
}

/// How a loader works.
#[derive(Clone, Debug)]
pub struct LoaderOptions {
    /// Images of a batch of this process.
    pub batch: usize,
    /// Threads that decode and augment; results do not depend on their number.
    pub workers: usize,
    /// Batches that may be ready or in the making at a time: the bound on memory.
    pub prefetch: usize,
    /// Decides order and augmentation.
    pub seed: u64,
    /// Which process of how many this is.
    pub shard: Shard,
    /// How many different broken images are put up with; a hundredth of all, 10 at least, when `None`.
    pub max_broken: Option<usize>,
}

impl LoaderOptions {
    /// Batches of `batch` images made by as many threads as there are processors, two ahead.
    pub fn new(batch: usize) -> Self {
        let workers = std::thread::available_parallelism().map_or(1, usize::from);
        Self { batch, workers, prefetch: 3, seed: 0, shard: Shard::WHOLE, max_broken: None }
    }
}

/// Where training stands: enough to go on from there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Position {
    /// The epoch, from 0.
    pub epoch: u64,
    /// The step in the epoch that comes next, from 0.
    pub step: usize,
}

/// Makes batches of a data set, always the same ones for the same seed, whatever the number of workers.
///
/// An image that cannot be read or decoded is broken. In training, the next image of the data set (by number, after the last
/// the first) takes its place, so that batches are the same in every run; in evaluation it is left out. Broken images are
/// counted and named ([`Loader::broken`]), and an error ends the epoch when there are more than the limit.
#[derive(Debug)]
pub struct Loader {
    data: Arc<dyn Dataset>,
    view: Arc<View>,
    options: LoaderOptions,
    broken: Arc<BrokenLog>,
}

impl Loader {
    /// A loader of `data`.
    ///
    /// # Errors
    /// When there are no images, or a setting is impossible.
    pub fn new(data: Arc<dyn Dataset>, view: View, options: LoaderOptions) -> Result<Self, DataError> {
        let wrong = |text: String| Err(DataError::Setting(text));
        let Shard { rank, world } = options.shard;
        if data.is_empty() {
            return wrong("a data set without images".to_owned());
        }
        if u32::try_from(data.len()).is_err() {
            return wrong(format!("{} images: 2³² − 1 are the most", data.len()));
        }
        if options.batch == 0 || rank >= world {
            return wrong(format!("batches of {} images, process {rank} of {world}", options.batch));
        }
        if let View::Train(view) = &view {
            let values = view.transform.size.iter().try_fold(options.batch * 3, |count, &side| count.checked_mul(side));
            if values.is_none_or(|values| values == 0 || values > MAX_BATCH_VALUES) {
                let ([height, width], batch) = (view.transform.size, options.batch);
                return wrong(format!("batches of {batch} images of {width}x{height} pixels"));
            }
            if !(0.0..1.0).contains(&view.smoothing) {
                return wrong(format!("label smoothing of {}", view.smoothing));
            }
        }
        let limit = options.max_broken.unwrap_or_else(|| (data.len() / 100).max(10));
        Ok(Self { data, view: Arc::new(view), options, broken: Arc::new(BrokenLog::new(limit)) })
    }

    /// The data set.
    pub fn data(&self) -> &Arc<dyn Dataset> {
        &self.data
    }

    fn order(&self, epoch: u64) -> Order {
        let (length, shard) = (self.data.len(), self.options.shard);
        match self.view.as_ref() {
            View::Train(view) => {
                Order::shuffled(length, self.options.seed, epoch, view.repeats, shard, self.options.batch)
            }
            View::Evaluate(_) => Order::sequential(length, shard),
        }
    }

    /// Steps of an epoch. In training the last batch is left out when it is not full, unless it is the only one: then the
    /// epoch starts over to fill it. In evaluation the last batch may be smaller.
    pub fn steps(&self) -> usize {
        let LoaderOptions { batch, seed, shard, .. } = self.options;
        match self.view.as_ref() {
            // As many as a single process with the whole batch makes.
            View::Train(view) => {
                let images = Order::shuffled(self.data.len(), seed, 0, view.repeats, Shard::WHOLE, batch).len();
                (images / (batch * shard.world)).max(1)
            }
            View::Evaluate(_) => self.order(0).len().div_ceil(batch),
        }
    }

    /// Starts workers at `position`; the batches of the rest of that epoch follow in order. Dropping the iterator stops them.
    pub fn start(&self, position: Position) -> Epoch {
        let (order, steps) = (self.order(position.epoch), self.steps());
        let job = epoch::Job {
            data: self.data.clone(),
            view: self.view.clone(),
            order,
            options: self.options.clone(),
            broken: self.broken.clone(),
            epoch: position.epoch,
            steps,
        };
        Epoch::start(job, position.step.min(steps))
    }

    /// The broken images that were found so far.
    pub fn broken(&self) -> Vec<Broken> {
        self.broken.list()
    }
}
