//! The threads that compute: they prepare requests, and one of them at a time runs batches of what is ready.
//!
//! ```text
//! admit ─▶ tasks ─ prepare (decode, resize, parse) ─▶ ready ─ one batch at a time ─▶ answers
//! ```
//!
//! Whoever has prepared an image and finds nobody running batches runs them until nothing is ready. So a request that comes
//! alone passes no second thread, requests that come together share a batch, and decoding goes on beside it. The number of
//! images in here is bounded; whether there is room is known before a body is read.

mod batch;
mod job;
mod timings;

use std::{
    collections::VecDeque,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use tokio::sync::oneshot;

use self::job::Item;
pub use self::{
    job::{Answer, Job, Output, Picture, Pixels, Prepared, Want},
    timings::Timings,
};
use super::{http::error::ApiError, metrics::Metrics};

/// Batches that may lie ready while one runs: enough that the engine never waits, and no more, so that preparing does not
/// take the processor from it.
const BATCHES_AHEAD: usize = 2;

/// Shared by everything that hands work in.
pub struct Engine {
    shared: Arc<Shared>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

/// How requests share the engine.
#[derive(Clone, Copy, Debug)]
pub struct Sharing {
    /// Threads that prepare, one of which runs batches.
    pub workers: usize,
    /// Threads that a batch runs on.
    pub threads: usize,
    /// Most images of a batch.
    pub max_batch: usize,
    /// Longest that an image waits for others.
    pub max_wait: Duration,
    /// Most images of one request, and a third more than those of several, waiting or running.
    pub queue: usize,
}

struct Shared {
    sharing: Sharing,
    state: Mutex<State>,
    /// Something to do, or room for something.
    changed: Condvar,
    /// For who runs batches and waits for more images.
    gathered: Condvar,
    /// Images admitted and not answered.
    admitted: Arc<AtomicUsize>,
    metrics: Arc<Metrics>,
}

#[derive(Default)]
struct State {
    tasks: VecDeque<Task>,
    ready: VecDeque<Item>,
    /// Whether a worker runs batches.
    led: bool,
    stopped: bool,
}

/// What a worker does besides running batches.
enum Task {
    /// Turns what was received into images.
    Prepare(Arc<Job>, Work),
    /// Anything else that takes long, such as writing a PNG.
    Other(Box<dyn FnOnce() + Send>),
}

/// Makes images of a request's body.
pub type Work = Box<dyn FnOnce() -> Result<Prepared, ApiError> + Send>;

/// Room for images; given back when it is dropped.
#[derive(Debug)]
pub struct Ticket {
    admitted: Arc<AtomicUsize>,
    images: usize,
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.admitted.fetch_sub(self.images, Ordering::Relaxed);
    }
}

impl Engine {
    /// Starts the threads.
    ///
    /// # Errors
    /// When the system refuses one.
    pub fn start(sharing: Sharing, metrics: Arc<Metrics>) -> std::io::Result<Self> {
        let shared = Arc::new(Shared {
            sharing,
            state: Mutex::default(),
            changed: Condvar::new(),
            gathered: Condvar::new(),
            admitted: Arc::default(),
            metrics,
        });
        let start = |index| {
            let shared = Arc::clone(&shared);
            std::thread::Builder::new().name(format!("serve-{index}")).spawn(move || shared.work())
        };
        let threads = (0..sharing.workers).map(start).collect::<Result<_, _>>()?;
        Ok(Self { shared, threads: Mutex::new(threads) })
    }

    /// Room for one image.
    ///
    /// # Errors
    /// 503 when there is none.
    pub fn admit(&self) -> Result<Ticket, ApiError> {
        let mut ticket = Ticket { admitted: Arc::clone(&self.shared.admitted), images: 0 };
        ticket.grow(1, self.shared.sharing.queue)?;
        Ok(ticket)
    }

    /// How requests share it.
    pub fn sharing(&self) -> Sharing {
        self.shared.sharing
    }

    /// Images waiting or running.
    pub fn admitted(&self) -> usize {
        self.shared.admitted.load(Ordering::Relaxed)
    }

    /// Hands a request in; `work` is called on another thread unless the answer is not wanted any more by then.
    pub fn submit(&self, ticket: Ticket, want: Want, deadline: Instant, work: Work) -> Submitted {
        let (sender, receiver) = oneshot::channel();
        let job = Arc::new(Job::new(ticket, want, deadline, sender));
        self.shared.lock().tasks.push_back(Task::Prepare(Arc::clone(&job), work));
        self.shared.changed.notify_one();
        Submitted { job, receiver }
    }

    /// Calls `work` on a thread of the engine, before what waits to be prepared.
    pub async fn call<R: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<R, ApiError> + Send + 'static,
    ) -> Result<R, ApiError> {
        let (sender, receiver) = oneshot::channel();
        let task = move || {
            if !sender.is_closed() {
                let result = catch_unwind(AssertUnwindSafe(work));
                drop(sender.send(result.unwrap_or_else(|_| Err(ApiError::internal("writing the answer broke down")))));
            }
        };
        self.shared.lock().tasks.push_front(Task::Other(Box::new(task)));
        self.shared.changed.notify_one();
        receiver.await.unwrap_or_else(|_| Err(ApiError::internal("the engine has stopped")))
    }

    /// Ends the threads when nothing is left to do.
    pub fn stop(&self) {
        self.shared.lock().stopped = true;
        self.shared.changed.notify_all();
        self.shared.gathered.notify_all();
        for thread in self.threads.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            // Workers catch the panics of their work.
            drop(thread.join());
        }
    }
}

/// A request in the engine. Dropping it cancels what has not begun.
pub struct Submitted {
    job: Arc<Job>,
    receiver: oneshot::Receiver<Result<Answer, ApiError>>,
}

impl Submitted {
    /// The answer, or 504 at the deadline.
    pub async fn answer(mut self) -> Result<Answer, ApiError> {
        let deadline = tokio::time::Instant::from_std(self.job.deadline());
        match tokio::time::timeout_at(deadline, &mut self.receiver).await {
            Ok(answer) => answer.unwrap_or_else(|_| Err(ApiError::internal("the engine has stopped"))),
            Err(_) => Err(ApiError::too_late()),
        }
    }
}

impl Drop for Submitted {
    fn drop(&mut self) {
        self.job.cancel();
    }
}

/// Images of several requests that a queue of `limit` takes. A full server is slower than an idle one, because refusing takes
/// time too; a quarter is left so that what was accepted is still answered within `limit` times the time of one image.
fn filled(limit: usize) -> usize {
    limit - limit / 4
}

impl Ticket {
    /// Asks for room for `images` in all, of `limit` that there are.
    ///
    /// # Errors
    /// 503 when there is too little.
    fn grow(&mut self, images: usize, limit: usize) -> Result<(), ApiError> {
        let more = images.saturating_sub(self.images);
        let grown = self.admitted.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |admitted| {
            let alone = admitted == self.images;
            admitted.checked_add(more).filter(|&sum| sum <= if alone { limit } else { filled(limit) })
        });
        match grown {
            Ok(_) => {
                self.images += more;
                Ok(())
            }
            Err(_) => {
                Err(ApiError::overloaded("queue_full", format!("the queue of {limit} images is full; try again later")))
            }
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A worker's life.
    fn work(&self) {
        let ahead = BATCHES_AHEAD * self.sharing.max_batch;
        let mut state = self.lock();
        loop {
            if !state.led && !state.ready.is_empty() {
                state = self.lead(state);
            } else if (state.ready.len() < ahead || state.stopped)
                && let Some(task) = state.tasks.pop_front()
            {
                drop(state);
                self.perform(task);
                state = self.lock();
            } else if state.stopped {
                return;
            } else {
                state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
        }
    }

    fn perform(&self, task: Task) {
        match task {
            Task::Other(work) => drop(catch_unwind(AssertUnwindSafe(work))),
            Task::Prepare(job, work) => {
                if !job.is_wanted() {
                    return self.metrics.cancelled();
                }
                job.begin();
                let prepared = catch_unwind(AssertUnwindSafe(work));
                let prepared = prepared.unwrap_or_else(|_| Err(ApiError::internal("reading the request broke down")));
                match prepared.and_then(|prepared| job.prepared(prepared, self.sharing.queue)) {
                    Ok(items) => {
                        self.lock().ready.extend(items);
                        // Where nobody runs batches, this worker does so next.
                        self.gathered.notify_one();
                    }
                    Err(error) => job.fail(error),
                }
            }
        }
    }

    /// Runs batches until nothing is ready.
    fn lead<'a>(&'a self, mut state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        state.led = true;
        loop {
            let before = state.ready.len();
            state.ready.retain(|item| item.job.is_wanted());
            for _ in state.ready.len()..before {
                self.metrics.cancelled();
            }
            let Some(oldest) = state.ready.front().map(Item::since) else { break };
            let waited = oldest.elapsed();
            let (full, max_wait) = (self.sharing.max_batch, self.sharing.max_wait);
            if state.ready.len() < full && waited < max_wait && !state.stopped {
                state = self.gathered.wait_timeout(state, max_wait - waited).unwrap_or_else(PoisonError::into_inner).0;
                continue;
            }
            let batch = batch::take(&mut state.ready, full, self.sharing.threads);
            let behind = !state.tasks.is_empty();
            drop(state);
            if behind {
                self.changed.notify_all();
            }
            batch::run(batch, &self.metrics);
            state = self.lock();
        }
        state.led = false;
        state
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, atomic::AtomicUsize};

    use super::Ticket;

    #[test]
    fn several_requests_fill_three_quarters_and_one_alone_the_whole_queue() {
        let admitted: Arc<AtomicUsize> = Arc::default();
        let ask = |images: usize| {
            let mut ticket = Ticket { admitted: Arc::clone(&admitted), images: 0 };
            ticket.grow(1, 8).and_then(|()| ticket.grow(images, 8)).map(|()| ticket)
        };
        assert!(ask(8).is_ok() && ask(9).is_err());
        let tickets: Vec<Ticket> = (0..6).map(|_| ask(1).unwrap()).collect();
        assert_eq!(ask(1).unwrap_err().code, "queue_full");
        drop(tickets);
        let _one = ask(1).unwrap();
        assert!(ask(5).is_ok() && ask(6).is_err());
        for (limit, fits) in [(1, 1), (2, 2), (3, 3), (4, 3)] {
            assert_eq!(super::filled(limit), fits);
        }
    }
}
