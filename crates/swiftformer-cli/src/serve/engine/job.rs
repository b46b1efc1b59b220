//! One request on its way through the engine.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use swiftformer::{
    image::{Placement, RgbImage},
    model::OutputRequest,
    tensor::Tensor,
};
use tokio::sync::oneshot;

use super::{Ticket, Timings};
use crate::serve::{http::error::ApiError, models::Served};

/// What a request wants to know of its images.
#[derive(Clone)]
pub struct Want {
    /// Of this model.
    pub model: Arc<Served>,
    /// The pooled features, beside the logits.
    pub embedding: bool,
    /// Maps along the way, too; slower.
    pub maps: Option<OutputRequest>,
}

/// Values of one image.
pub enum Pixels {
    /// `[height, width, channels]`, for logits and embeddings.
    Interleaved(Vec<f32>),
    /// `[channels, height, width]`, where maps are wanted.
    Planes(Vec<f32>),
}

/// A request as the model takes it.
pub struct Prepared {
    /// Its images.
    pub images: Vec<Pixels>,
    /// Their `[height, width]`.
    pub size: [usize; 2],
    /// What its preparation took.
    pub decode: Duration,
    /// And the resize, where that was timed.
    pub resize: Option<Duration>,
    /// What came along from a picture's file.
    pub picture: Option<Picture>,
}

/// What is known of a picture.
pub struct Picture {
    /// Its format.
    pub format: &'static str,
    /// Width and height, where it was decoded as a whole.
    pub size: Option<[usize; 2]>,
    /// Where the model looked.
    pub placement: Option<Placement>,
    /// Itself, where it is wanted again.
    pub pixels: Option<RgbImage>,
}

/// What the model says of one image.
#[derive(Debug, Default)]
pub struct Output {
    /// Class scores.
    pub logits: Option<Vec<f32>>,
    /// Pooled features.
    pub embedding: Option<Vec<f32>>,
    /// Maps by name, without the side of the batch.
    pub maps: Vec<(String, Tensor)>,
}

/// A request answered.
pub struct Answer {
    /// For each image.
    pub outputs: Vec<Output>,
    /// From the request's picture.
    pub picture: Option<Picture>,
    /// What took how long; for several images, the last.
    pub timings: Timings,
    /// Images in the batch of the last one.
    pub batch: usize,
}

/// One request.
pub struct Job {
    want: Want,
    deadline: Instant,
    submitted: Instant,
    cancelled: AtomicBool,
    state: Mutex<State>,
}

struct State {
    ticket: Option<Ticket>,
    reply: Option<oneshot::Sender<Result<Answer, ApiError>>>,
    outputs: Vec<Option<Output>>,
    left: usize,
    picture: Option<Picture>,
    timings: Timings,
}

/// One image of a request, ready to run.
pub struct Item {
    /// The request.
    pub job: Arc<Job>,
    /// Which of its images.
    index: usize,
    /// Its values.
    pub pixels: Pixels,
    /// Its `[height, width]`.
    pub size: [usize; 2],
    since: Instant,
}

impl Job {
    pub(super) fn new(
        ticket: Ticket,
        want: Want,
        deadline: Instant,
        reply: oneshot::Sender<Result<Answer, ApiError>>,
    ) -> Self {
        let state = State {
            ticket: Some(ticket),
            reply: Some(reply),
            outputs: Vec::new(),
            left: 0,
            picture: None,
            timings: Timings::default(),
        };
        let (submitted, cancelled) = (Instant::now(), AtomicBool::new(false));
        Self { want, deadline, submitted, cancelled, state: Mutex::new(state) }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is wanted.
    pub fn want(&self) -> &Want {
        &self.want
    }

    /// When the answer comes too late.
    pub fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Nobody waits for the answer.
    pub fn cancel(&self) {
        self.cancelled.store(true, Ordering::Relaxed);
    }

    /// Whether somebody waits for the answer, and no image of it has failed.
    pub fn is_wanted(&self) -> bool {
        !self.cancelled.load(Ordering::Relaxed) && Instant::now() < self.deadline
    }

    /// Its preparation begins.
    pub(super) fn begin(&self) {
        self.lock().timings.queue = self.submitted.elapsed();
    }

    /// Takes what was prepared apart into images.
    pub(super) fn prepared(self: &Arc<Self>, prepared: Prepared, queue: usize) -> Result<Vec<Item>, ApiError> {
        let Prepared { images, size, decode, resize, picture } = prepared;
        let mut state = self.lock();
        if images.is_empty() {
            return Err(ApiError::unprocessable("no_image", "the request holds no image"));
        }
        if images.len() > queue {
            let message = format!("{} images at a time: the limit is {queue}", images.len());
            return Err(ApiError::too_large(message));
        }
        if let Some(ticket) = &mut state.ticket {
            ticket.grow(images.len(), queue)?;
        }
        (state.timings.decode, state.timings.resize) = (decode, resize);
        state.picture = picture;
        state.left = images.len();
        state.outputs.resize_with(images.len(), || None);
        let since = Instant::now();
        let item = |(index, pixels)| Item { job: Arc::clone(self), index, pixels, size, since };
        Ok(images.into_iter().enumerate().map(item).collect())
    }

    /// Answers with an error, unless there was an answer.
    pub(super) fn fail(&self, error: ApiError) {
        self.cancel();
        let mut state = self.lock();
        state.ticket = None;
        if let Some(reply) = state.reply.take() {
            // Nobody may be waiting any more.
            drop(reply.send(Err(error)));
        }
    }
}

impl Item {
    /// Since when it is ready.
    pub fn since(&self) -> Instant {
        self.since
    }

    /// Takes the output; the last one of a request answers it.
    pub(super) fn done(&self, output: Output, batch: usize, began: Instant, inference: Duration) {
        let mut state = self.job.lock();
        let Some(slot) = state.outputs.get_mut(self.index) else { return };
        if slot.replace(output).is_none() {
            state.left -= 1;
        }
        if state.left > 0 {
            return;
        }
        let Some(reply) = state.reply.take() else { return };
        state.timings.queue += began.saturating_duration_since(self.since);
        state.timings.inference = inference;
        let outputs = std::mem::take(&mut state.outputs).into_iter().flatten().collect();
        let answer = Answer { outputs, picture: state.picture.take(), timings: state.timings, batch };
        state.ticket = None;
        drop(reply.send(Ok(answer)));
    }
}
