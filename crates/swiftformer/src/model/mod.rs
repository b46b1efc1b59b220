//! Models that run: a checkpoint compiled for this machine.

mod hf;
mod outputs;

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicUsize, Ordering},
};

use swiftformer_kernels::nchw_to_nhwc;
pub use swiftformer_kernels::{IsaKind, Kernels, Pool, Precision};

use self::outputs::{Collector, stack};
pub use self::{
    hf::{ClassifierOutput, SwiftFormerForImageClassification, SwiftFormerModel},
    outputs::{OutputRequest, Outputs},
};
use crate::{
    arch::{Arch, GeometryError},
    checkpoint::{Checkpoint, CheckpointError},
    image::{ImageError, Preprocessor, RgbImage},
    plan::{Network, Plan, Tap, Workspace},
    tensor::Tensor,
};

/// Plans for this many image sizes are kept, or for half as many where batches run on one thread an image.
const PLANS: usize = 16;

/// How to run a model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ModelOptions {
    /// Threads to run on; 0 for as many as the machine has cores.
    pub threads: usize,
    /// The instruction set; `None` for the best of this machine.
    pub isa: Option<IsaKind>,
    /// What products are made with.
    pub precision: Precision,
}

/// Why a model cannot be compiled or run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ModelError {
    /// The checkpoint is not ready to run.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The machine lacks an instruction set.
    #[error("this machine has no {isa}; it has {}", available.join(", "))]
    Isa {
        /// The instruction set asked for.
        isa: IsaKind,
        /// Those of the machine.
        available: Vec<&'static str>,
    },
    /// An input of the wrong rank or with the wrong channels.
    #[error("pixel_values has shape {found:?}, expected [batch, {channels}, height, width]")]
    Input {
        /// Its shape.
        found: Vec<usize>,
        /// The model's input channels.
        channels: usize,
    },
    /// An image size that the network cannot take.
    #[error(transparent)]
    Geometry(#[from] GeometryError),
    /// An image that cannot be prepared.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// Labels that do not fit the logits.
    #[error(transparent)]
    Loss(#[from] crate::loss::LossError),
    /// The model has no classifier.
    #[error("{0} is a backbone without final norm and heads: it embeds, but does not classify")]
    NoClassifier(String),
}

/// A network packed for this machine, with its threads. Shared freely between threads.
///
/// ```
/// use swiftformer::{
///     checkpoint::{Checkpoint, ModelSource, OpenOptions},
///     model::{Model, ModelOptions, OutputRequest},
///     tensor::Tensor,
/// };
///
/// let checkpoint = Checkpoint::open(&ModelSource::Demo, &OpenOptions::default())?;
/// let model = Model::new(&checkpoint, &ModelOptions::default())?;
/// let images = Tensor::zeros([2, 3, 64, 96]);
/// let outputs = model.run(&images, &OutputRequest::default())?;
/// assert_eq!(outputs.logits.unwrap().shape(), [2, 12]);
/// assert_eq!(outputs.last_hidden_state.shape(), [2, 128, 2, 3]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Model {
    network: Network,
    preprocessor: Preprocessor,
    pool: Pool,
    name: String,
    plans: Mutex<Vec<Arc<SizedPlan>>>,
}

/// A plan for one size and number of threads, and the buffers that wait for its next images.
struct SizedPlan {
    plan: Plan,
    idle: Mutex<Vec<Buffers>>,
}

/// What one image in flight needs.
struct Buffers {
    workspace: Workspace,
    /// The image in the plan's order, where it was given in another.
    image: Vec<f32>,
}

/// An image as it was given.
#[derive(Clone, Copy)]
enum Pixels<'a> {
    /// `[channels, height, width]`
    Planes(&'a [f32]),
    /// `[height, width, channels]`
    Interleaved(&'a [f32]),
}

impl SizedPlan {
    fn run(&self, pixels: Pixels<'_>, pool: &Pool, mut collector: Collector) -> Collector {
        let idle = || self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let waiting = idle().pop();
        let mut buffers = waiting.unwrap_or_else(|| Buffers { workspace: self.plan.workspace(), image: Vec::new() });
        let image = match pixels {
            Pixels::Interleaved(image) => image,
            Pixels::Planes(planes) => {
                let shape = self.plan.input();
                buffers.image.resize(shape.len(), 0.0);
                nchw_to_nhwc(planes, shape, &mut buffers.image);
                &buffers.image
            }
        };
        self.plan.run(image, &mut buffers.workspace, pool, &mut collector);
        idle().push(buffers);
        collector
    }
}

impl Model {
    /// Folds and packs a checkpoint; it is not needed any more afterwards. While it is packed, the memory behind tensors that
    /// are views of a mapped file is let go of, so that the packed weights take its place.
    ///
    /// # Errors
    /// When nothing says which dialect trained the weights, or the machine lacks the instruction set.
    pub fn new(checkpoint: &Checkpoint, options: &ModelOptions) -> Result<Self, ModelError> {
        checkpoint.known_dialect()?;
        let kernels = match options.isa {
            None => Kernels::detect(),
            Some(isa) => Kernels::with(isa).ok_or_else(|| {
                let available = Kernels::available().into_iter().map(IsaKind::name).collect();
                ModelError::Isa { isa, available }
            })?,
        };
        let kernels = kernels.with_precision(options.precision);
        let threads = match options.threads {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            threads => threads,
        };
        Ok(Self {
            network: Network::pack(checkpoint.arch(), checkpoint.state(), kernels),
            preprocessor: checkpoint.preprocessor().clone(),
            pool: Pool::new(threads),
            name: checkpoint.name().to_owned(),
            plans: Mutex::new(Vec::new()),
        })
    }

    /// The description of the network.
    pub fn arch(&self) -> &Arch {
        self.network.arch()
    }

    /// How images are prepared.
    pub fn preprocessor(&self) -> &Preprocessor {
        &self.preprocessor
    }

    /// The instruction set in use.
    pub fn isa(&self) -> IsaKind {
        self.network.isa()
    }

    /// What products are made with.
    pub fn precision(&self) -> Precision {
        self.network.kernels().precision()
    }

    /// The packed network, to plan and run it by hand.
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// The threads that runs are spread over.
    pub fn pool(&self) -> &Pool {
        &self.pool
    }

    /// Threads in use.
    pub fn threads(&self) -> usize {
        self.pool.threads()
    }

    /// Runs images `[batch, channels, height, width]`, already normalised.
    ///
    /// # Errors
    /// When the shape is not the model's.
    pub fn run(&self, images: &Tensor, request: &OutputRequest) -> Result<Outputs, ModelError> {
        let channels = self.arch().config.num_channels;
        let &[batch, found, height, width] = images.shape() else {
            return Err(ModelError::Input { found: images.shape().to_vec(), channels });
        };
        if found != channels || batch == 0 {
            return Err(ModelError::Input { found: images.shape().to_vec(), channels });
        }
        // Even where there are no pixels to run: then no plan takes the size, and says so.
        self.plan([height, width], self.pool.threads())?;
        let len = (channels * height * width).max(1);
        let images: Vec<_> = images.data().chunks_exact(len).map(Pixels::Planes).collect();
        Ok(stack(self.collect_batch([height, width], &images, || Collector::new(*request))?))
    }

    /// Class scores of prepared images, each `[height, width, channels]` as
    /// [`Preprocessor::apply_into_nhwc`] gives them, all of `size` `[height, width]`; for each its logits and, if asked for,
    /// its embedding. A backbone gives neither.
    ///
    /// # Errors
    /// When the network cannot take the size.
    ///
    /// # Panics
    /// When an image has another length than `size` says.
    pub fn run_nhwc(&self, images: &[&[f32]], size: [usize; 2], embed: bool) -> Result<Vec<Vectors>, ModelError> {
        let images: Vec<_> = images.iter().map(|image| Pixels::Interleaved(image)).collect();
        let collected = self.collect_batch(size, &images, || Collector::vectors(embed))?;
        Ok(collected.into_iter().map(Vectors::of).collect())
    }

    /// As [`Model::run_nhwc`], but calls `done(index, vectors)` for each image as soon as it is computed, on any thread. Images
    /// are begun in their order, so that the first need not wait for the last.
    ///
    /// # Errors
    /// As [`Model::run_nhwc`]; `done` was not called then.
    ///
    /// # Panics
    /// As [`Model::run_nhwc`], and when `done` panics.
    pub fn run_nhwc_each(
        &self,
        images: &[&[f32]],
        size: [usize; 2],
        embed: bool,
        done: impl Fn(usize, Vectors) + Sync,
    ) -> Result<(), ModelError> {
        let images: Vec<_> = images.iter().map(|image| Pixels::Interleaved(image)).collect();
        self.run_batch(size, &images, || Collector::vectors(embed), |index, image| done(index, Vectors::of(image)))
    }

    /// Prepares and runs one picture.
    ///
    /// # Errors
    /// When the picture cannot be prepared, or the model has no classifier.
    pub fn classify(&self, picture: &RgbImage) -> Result<Vec<f32>, ModelError> {
        let channels = self.arch().config.num_channels;
        if channels != self.preprocessor.channels {
            return Err(ImageError::Channels { found: channels }.into());
        }
        let [height, width] = self.preprocessor.output_size(picture.width(), picture.height())?;
        let mut input = vec![0.0; height * width * channels];
        self.preprocessor.apply_into_nhwc(picture, &mut input)?;
        let vectors = self.run_nhwc(&[&input], [height, width], false)?.pop();
        vectors.and_then(|vectors| vectors.logits).ok_or_else(|| ModelError::NoClassifier(self.name.clone()))
    }

    /// Runs a batch and gives what was collected of each image.
    fn collect_batch(
        &self,
        size: [usize; 2],
        images: &[Pixels<'_>],
        collector: impl Fn() -> Collector + Sync,
    ) -> Result<Vec<Collector>, ModelError> {
        let done: Vec<Mutex<Option<Collector>>> = images.iter().map(|_| Mutex::new(None)).collect();
        self.run_batch(size, images, collector, |index, image| {
            *done[index].lock().unwrap_or_else(PoisonError::into_inner) = Some(image);
        })?;
        Ok(done.into_iter().filter_map(|slot| slot.into_inner().unwrap_or_else(PoisonError::into_inner)).collect())
    }

    /// Runs a batch: as many images as there are threads side by side, what remains one by one on all threads.
    fn run_batch(
        &self,
        size: [usize; 2],
        images: &[Pixels<'_>],
        collector: impl Fn() -> Collector + Sync,
        done: impl Fn(usize, Collector) + Sync,
    ) -> Result<(), ModelError> {
        let threads = self.pool.threads();
        let side_by_side = if threads > 1 { images.len() / threads * threads } else { 0 };
        let (side_by_side, one_by_one) = images.split_at(side_by_side);
        let one_image = if side_by_side.is_empty() { None } else { Some(self.plan(size, 1)?) };
        let all_threads = if one_by_one.is_empty() { None } else { Some(self.plan(size, threads)?) };
        if let Some(plan) = one_image {
            let (single, next) = (Pool::new(1), AtomicUsize::new(0));
            self.pool.for_each(side_by_side.len(), |_| {
                // In the order of the batch, whichever share of it a thread has.
                let index = next.fetch_add(1, Ordering::Relaxed);
                done(index, plan.run(side_by_side[index], &single, collector()));
            });
        }
        if let Some(plan) = all_threads {
            for (index, &image) in one_by_one.iter().enumerate() {
                done(side_by_side.len() + index, plan.run(image, &self.pool, collector()));
            }
        }
        Ok(())
    }

    /// The plan for a size and a number of threads, compiled the first time it is needed.
    fn plan(&self, size: [usize; 2], threads: usize) -> Result<Arc<SizedPlan>, ModelError> {
        let mut plans = self.plans.lock().unwrap_or_else(PoisonError::into_inner);
        let plan = match plans.iter().position(|entry| (entry.plan.size(), entry.plan.threads()) == (size, threads)) {
            Some(at) => plans.remove(at),
            None => {
                let plan = self.network.plan(size, threads)?;
                Arc::new(SizedPlan { plan, idle: Mutex::new(Vec::new()) })
            }
        };
        // Most recently used last; the oldest goes.
        if plans.len() == PLANS {
            plans.remove(0);
        }
        plans.push(Arc::clone(&plan));
        Ok(plan)
    }
}

/// The vectors that a model gives for one image.
#[derive(Clone, Debug, PartialEq)]
pub struct Vectors {
    /// Class scores `[labels]`.
    pub logits: Option<Vec<f32>>,
    /// Pooled features `[channels]`, if they were asked for.
    pub pre_logits: Option<Vec<f32>>,
}

impl Vectors {
    fn of(mut image: Collector) -> Self {
        Self { logits: image.take_out(Tap::Logits), pre_logits: image.take_out(Tap::Pooled) }
    }
}
