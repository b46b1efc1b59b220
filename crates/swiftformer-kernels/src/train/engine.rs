//! What the blocks of one network share: threads, and memory that lasts from one call to the next.

use std::sync::{Mutex, PoisonError};

use super::shared::SharedAverage;
use crate::kernels::{IsaKind, Kernels};
use crate::pool::Pool;

/// Threads and scratch memory for training. Results do not depend on the number of threads.
pub struct Engine {
    pub(super) kernels: Kernels,
    pub(super) pool: Pool,
    /// Scratch of the threads, and sums of the lanes.
    pub(super) scratch: Vec<f32>,
    pub(super) sums: Vec<f32>,
    pub(super) packed: Vec<f32>,
    spare: Vec<Vec<f32>>,
    /// For BatchNorms over several processes.
    pub(super) shared: Option<SharedAverage>,
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine").field("kernels", &self.kernels).field("threads", &self.pool.threads()).finish()
    }
}

/// Kept buffers that wait for their next use.
const SPARE: usize = 256;

impl Engine {
    /// An engine of `threads` threads, the caller's included, with the best instructions of this CPU.
    pub fn new(threads: usize) -> Self {
        Self::with_kernels(Kernels::detect(), threads)
    }

    /// An engine for given instructions.
    pub fn with_kernels(kernels: Kernels, threads: usize) -> Self {
        // Training computes in f32 on vectors; tiles of bfloat16 parts would round differently.
        let vectors = (kernels.kind() == IsaKind::Amx).then(|| Kernels::with(IsaKind::Avx512)).flatten();
        let kernels = vectors.unwrap_or(kernels);
        let (scratch, sums, packed, spare) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        Self { kernels, pool: Pool::new(threads), scratch, sums, packed, spare, shared: None }
    }

    /// Lets every BatchNorm in train mode use the statistics of all processes that `average` averages over; `None` is this
    /// process alone.
    pub fn synchronise(&mut self, average: Option<SharedAverage>) {
        self.shared = average;
    }

    /// A buffer of `len` floats that may hold anything.
    pub fn buffer(&mut self, len: usize) -> Vec<f32> {
        let fitting = |buffer: &Vec<f32>| buffer.capacity() >= len && buffer.capacity() <= len + len / 4 + 64;
        let mut buffer = match self.spare.iter().position(fitting) {
            Some(at) => self.spare.swap_remove(at),
            None => Vec::with_capacity(len),
        };
        buffer.resize(len, 0.0);
        buffer
    }

    /// Takes a buffer back for a later use: that saves clearing a new one, and getting its pages from the system.
    pub fn recycle(&mut self, buffer: Vec<f32>) {
        if buffer.capacity() == 0 {
            return;
        }
        if self.spare.len() == SPARE {
            self.spare.remove(0);
        }
        self.spare.push(buffer);
    }

    /// Calls `run` with each of `tasks`, in any order and on any thread.
    ///
    /// # Panics
    /// When a call panics, after all that had begun have ended.
    pub fn for_all<T: Send>(&self, tasks: Vec<T>, run: impl Fn(Kernels, T) + Sync) {
        for_all(&self.pool, tasks, |task| run(self.kernels, task));
    }
}

/// Calls `run` with each of `tasks`, in any order and on any thread of `pool`.
pub(super) fn for_all<T: Send>(pool: &Pool, tasks: Vec<T>, run: impl Fn(T) + Sync) {
    let tasks: Vec<Mutex<Option<T>>> = tasks.into_iter().map(|task| Mutex::new(Some(task))).collect();
    pool.for_each(tasks.len(), |index| {
        let task = tasks[index].lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(task) = task {
            run(task);
        }
    });
}

/// Lets the C library keep freed memory for the next allocation, for the whole process: by default large buffers go back
/// to the system when they are freed, and a training step then spends most of its time getting them again. Does nothing
/// where the C library has no such setting. Programs that train call it once.
pub fn keep_freed_memory() {
    #[cfg(all(target_os = "linux", target_env = "gnu", not(miri)))]
    // SAFETY: the calls set two numbers inside the allocator, which takes its own lock.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, 1 << 30);
        libc::mallopt(libc::M_TRIM_THRESHOLD, i32::MAX);
    }
}

/// Floats of a cache line.
const LINE: usize = 16;

/// `len` floats of `buffer`, which may hold anything. They start at a cache line: a vector that lies in two takes twice the
/// time to read, and more to write.
pub(super) fn room(buffer: &mut Vec<f32>, len: usize) -> &mut [f32] {
    if buffer.len() < len + LINE {
        buffer.resize(len + LINE, 0.0);
    }
    let start = buffer.as_ptr().align_offset(size_of::<f32>() * LINE).min(LINE);
    &mut buffer[start..start + len]
}

/// Tokens of a lane that are worth weight gradients of their own.
const LANE_TOKENS: usize = 96;
/// The most lanes.
const LANES: usize = 16;

/// Cuts tokens into lanes whose weight gradients are summed apart, by their number alone: lanes and tokens of each. The
/// order of all sums, and so every bit of the result, is the same on any number of threads.
pub(super) fn lanes(tokens: usize) -> [usize; 2] {
    let most = (tokens / LANE_TOKENS).clamp(2, LANES);
    let lanes = if tokens < 16 { 1 } else { 1 << most.ilog2() };
    [lanes, tokens.div_ceil(lanes)]
}

/// The most tokens whose hidden activations are worked on at once: they stay in the second-level cache.
const BLOCK_TOKENS: usize = 144;

/// Cuts a lane's tokens into even blocks: `(start, count)`.
pub(super) fn blocks(tokens: usize) -> impl Iterator<Item = (usize, usize)> {
    let size = tokens.div_ceil(tokens.div_ceil(BLOCK_TOKENS).max(1)).next_multiple_of(6).max(1);
    (0..tokens).step_by(size).map(move |start| (start, size.min(tokens - start)))
}

/// The most tokens of a block that [`blocks`] gives.
pub(super) const MOST_TOKENS: usize = BLOCK_TOKENS.next_multiple_of(6);
