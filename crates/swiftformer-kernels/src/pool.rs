//! A fork-join pool whose regions cost microseconds.
//!
//! A forward pass of the smallest model has about sixty parallel regions in three milliseconds, so workers spin for a
//! moment before they sleep, and the caller never waits for a worker that has not joined: it closes the region when the
//! tasks are taken, and only those who joined in time are waited for.

use std::{
    any::Any,
    cell::UnsafeCell,
    ops::Range,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    sync::{
        Arc, Condvar, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    thread::JoinHandle,
};

use crate::subnormals::SubnormalsAsZero;

/// Spins before a worker sleeps: some tens of microseconds, longer than the serial gaps within one forward pass.
const SPINS: u32 = 20_000;
/// Set in [`Shared::state`] while a region takes workers in.
const OPEN: u64 = 1 << 31;
/// Workers inside the region.
const JOINED: u64 = OPEN - 1;
/// One region further; the upper half counts regions.
const REGION: u64 = 1 << 32;

/// Called with the number of the thread (0 is the caller's) and the number of the task.
type Task<'a> = dyn Fn(usize, usize) + Sync + 'a;

/// Threads that run the parts of a loop. Its workers take [subnormal numbers as zero](SubnormalsAsZero).
///
/// One caller at a time is served by the workers; a second one meanwhile runs its loop alone.
pub struct Pool {
    shared: Arc<Shared>,
    workers: Vec<JoinHandle<()>>,
}

struct Shared {
    /// Region number, [`OPEN`], and the number of workers inside.
    state: AtomicU64,
    /// Whether some caller owns the region.
    busy: AtomicBool,
    /// What the open region runs. Written only by the owner while no region is open and nobody is inside.
    task: UnsafeCell<Option<*const Task<'static>>>,
    /// The tasks that are not begun, for each thread those it takes first.
    shares: Vec<Share>,
    panic: Mutex<Option<Box<dyn Any + Send>>>,
    sleepers: AtomicUsize,
    sleep: Mutex<()>,
    wake: Condvar,
    shutdown: AtomicBool,
}

// SAFETY: the task pointer is the only part that is not thread-safe by itself; it is written by the one owner (`busy`)
// before the release store that opens the region, and read only by workers that joined the open region.
unsafe impl Sync for Shared {}
// SAFETY: as above; the pointer is used only while its owner waits in `for_each`.
unsafe impl Send for Shared {}

/// A range of tasks: its start in the upper half, its end in the lower. On a cache line of its own.
///
/// A thread has the same part of every loop, so that what it reads was, for the most part, written by itself and still lies
/// in its own second-level cache.
#[derive(Default)]
#[repr(align(128))]
struct Share(AtomicU64);

impl Share {
    fn fill(&self, tasks: Range<usize>) {
        let half = |bound: usize| u64::from(u32::try_from(bound).expect("fewer tasks than 2^32"));
        self.0.store(half(tasks.start) << 32 | half(tasks.end), Ordering::Relaxed);
    }

    fn take_front(&self) -> Option<usize> {
        self.take(|start, end| (start, [start + 1, end]))
    }

    fn take_back(&self) -> Option<usize> {
        self.take(|start, end| (end - 1, [start, end - 1]))
    }

    /// Takes one task of the range, where it has one: `choose` gives it and what remains.
    fn take(&self, choose: impl Fn(u64, u64) -> (u64, [u64; 2])) -> Option<usize> {
        let bounds = |range: u64| (range >> 32, range & u64::from(u32::MAX));
        let rest = |range| match bounds(range) {
            (start, end) if start < end => Some(choose(start, end).1),
            _ => None,
        };
        let taken = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |range| {
            rest(range).map(|[start, end]| start << 32 | end)
        });
        let (start, end) = bounds(taken.ok()?);
        usize::try_from(choose(start, end).0).ok()
    }
}

impl Pool {
    /// A pool in which loops run on `threads` threads, the caller's included; 0 counts as 1.
    ///
    /// Where the system refuses a thread, the pool has fewer.
    pub fn new(threads: usize) -> Self {
        let shared = Arc::new(Shared {
            state: AtomicU64::new(0),
            busy: AtomicBool::new(false),
            task: UnsafeCell::new(None),
            shares: (0..threads.max(1)).map(|_| Share::default()).collect(),
            panic: Mutex::new(None),
            sleepers: AtomicUsize::new(0),
            sleep: Mutex::new(()),
            wake: Condvar::new(),
            shutdown: AtomicBool::new(false),
        });
        let spawn = |index| {
            let shared = Arc::clone(&shared);
            std::thread::Builder::new().name(format!("swiftformer-{index}")).spawn(move || shared.work(index)).ok()
        };
        let workers = (1..threads).map_while(spawn).collect();
        Self { shared, workers }
    }

    /// Threads that a loop runs on, the caller's included.
    pub fn threads(&self) -> usize {
        self.workers.len() + 1
    }

    /// Runs `task(0)` to `task(total - 1)`, each once, in any order and on any thread, and waits for all.
    ///
    /// # Panics
    /// When a task panics, after all tasks that had begun have ended.
    pub fn for_each(&self, total: usize, task: impl Fn(usize) + Sync) {
        self.for_each_on_thread(total, |_, index| task(index));
    }

    /// As [`Pool::for_each`]; `task` is also told the number of the thread it runs on, below [`Pool::threads`]. Tasks
    /// with the same number never run at the same time.
    ///
    /// # Panics
    /// As [`Pool::for_each`].
    pub fn for_each_on_thread(&self, total: usize, task: impl Fn(usize, usize) + Sync) {
        let shared = &*self.shared;
        if self.workers.is_empty() || total < 2 || shared.busy.swap(true, Ordering::Acquire) {
            (0..total).for_each(|index| task(0, index));
            return;
        }
        let task: &Task<'_> = &task;
        // SAFETY: only the lifetime is erased. No worker touches the pointer after this function has returned, because
        // it returns only when the region is closed and nobody is inside.
        let erased = unsafe { std::mem::transmute::<&Task<'_>, &'static Task<'static>>(task) };
        // SAFETY: `busy` makes this thread the only owner, and no region is open, so nobody reads the cell.
        unsafe { *shared.task.get() = Some(std::ptr::from_ref(erased)) };
        let threads = self.threads();
        for (thread, share) in shared.shares[..threads].iter().enumerate() {
            share.fill(thread * total / threads..(thread + 1) * total / threads);
        }
        // SeqCst, with the worker's: either the worker sees the open region, or this thread sees the sleeper.
        shared.state.fetch_add(REGION | OPEN, Ordering::SeqCst);
        if shared.sleepers.load(Ordering::SeqCst) > 0 {
            drop(shared.sleep.lock().unwrap_or_else(PoisonError::into_inner));
            shared.wake.notify_all();
        }
        shared.run_tasks(task, 0);
        shared.state.fetch_and(!OPEN, Ordering::AcqRel);
        let mut spins = 0u32;
        while shared.state.load(Ordering::Acquire) & JOINED != 0 {
            spins += 1;
            if spins < SPINS { std::hint::spin_loop() } else { std::thread::yield_now() }
        }
        let panic = shared.panic.lock().unwrap_or_else(PoisonError::into_inner).take();
        shared.busy.store(false, Ordering::Release);
        if let Some(panic) = panic {
            resume_unwind(panic);
        }
    }
}

/// A slice cut into parts of `len` floats, the last one shorter where it does not divide evenly.
pub struct Parts<'a> {
    data: &'a mut [f32],
    len: usize,
}

impl<'a> Parts<'a> {
    /// Cuts `data` into parts of `len` floats.
    pub fn new(data: &'a mut [f32], len: usize) -> Self {
        Self { data, len }
    }
}

/// Start and length of a slice whose parts go to different threads.
#[derive(Clone, Copy)]
struct RawParts {
    data: *mut f32,
    total: usize,
    len: usize,
}

// SAFETY: a plain address; who dereferences it says why that is sound.
unsafe impl Send for RawParts {}
// SAFETY: as above.
unsafe impl Sync for RawParts {}

impl RawParts {
    fn new(parts: &mut Parts<'_>) -> Self {
        Self { data: parts.data.as_mut_ptr(), total: parts.data.len(), len: parts.len }
    }

    /// Part `index`, empty beyond the end.
    ///
    /// # Safety
    /// The slice is still borrowed by the caller of the region, and no other reference to this part exists.
    unsafe fn part<'a>(self, index: usize) -> &'a mut [f32] {
        let start = index.saturating_mul(self.len).min(self.total);
        let len = self.len.min(self.total - start);
        // SAFETY: `start + len <= total`, within the slice; exclusive by the caller's promise.
        unsafe { std::slice::from_raw_parts_mut(self.data.add(start), len) }
    }
}

impl Pool {
    /// Runs `task(index, parts, scratch)` for every index below `total`: `parts` holds part `index` of each of `slices`,
    /// and `scratch`, cut evenly into [`Pool::threads`] pieces, the piece of the thread that the task runs on.
    ///
    /// # Panics
    /// As [`Pool::for_each`].
    pub fn for_each_part<const N: usize>(
        &self,
        total: usize,
        mut slices: [Parts<'_>; N],
        scratch: &mut [f32],
        task: impl Fn(usize, [&mut [f32]; N], &mut [f32]) + Sync,
    ) {
        let slices: [RawParts; N] = std::array::from_fn(|slice| RawParts::new(&mut slices[slice]));
        let piece = scratch.len() / self.threads();
        let scratch = RawParts::new(&mut Parts::new(scratch, piece));
        self.for_each_on_thread(total, |thread, index| {
            // SAFETY: `slices` and `scratch` are mutably borrowed until this function returns, every index runs once, parts of
            // different indices do not overlap, and no two tasks run on one thread at the same time.
            let (parts, scratch) = unsafe { (slices.map(|slice| slice.part(index)), scratch.part(thread)) };
            task(index, parts, scratch);
        });
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.shutdown.store(true, Ordering::SeqCst);
        drop(self.shared.sleep.lock().unwrap_or_else(PoisonError::into_inner));
        self.shared.wake.notify_all();
        for worker in self.workers.drain(..) {
            // A worker catches the panics of its tasks, so joining can only succeed.
            let _ = worker.join();
        }
    }
}

impl Shared {
    /// Runs tasks until none is left: the thread's own share from its front, then the others' from their backs.
    fn run_tasks(&self, task: &Task<'_>, thread: usize) {
        let (before, own_and_after) = self.shares.split_at(thread);
        let Some((own, after)) = own_and_after.split_first() else { return };
        let others = || after.iter().chain(before);
        while let Some(index) = own.take_front().or_else(|| others().find_map(Share::take_back)) {
            if let Err(panic) = catch_unwind(AssertUnwindSafe(|| task(thread, index))) {
                self.shares.iter().for_each(|share| share.fill(0..0));
                self.panic.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(panic);
            }
        }
    }

    fn work(&self, thread: usize) {
        let _mode = SubnormalsAsZero::new();
        let mut seen = 0;
        while let Some(state) = self.wait_for_region(seen) {
            seen = state & !(OPEN | JOINED);
            let mut current = state;
            while current & OPEN != 0 && current & !(OPEN | JOINED) == seen {
                match self.state.compare_exchange_weak(current, current + 1, Ordering::AcqRel, Ordering::Acquire) {
                    Ok(_) => {
                        // SAFETY: this worker is counted in an open region, so the owner keeps the task alive.
                        let task = unsafe { (*self.task.get()).map(|task| &*task) };
                        if let Some(task) = task {
                            self.run_tasks(task, thread);
                        }
                        self.state.fetch_sub(1, Ordering::AcqRel);
                        break;
                    }
                    Err(changed) => current = changed,
                }
            }
        }
    }

    /// The state of the next open region after the one numbered `seen`, or `None` at shutdown.
    fn wait_for_region(&self, seen: u64) -> Option<u64> {
        let fresh = |state: u64| state & OPEN != 0 && state & !(OPEN | JOINED) != seen;
        loop {
            for _ in 0..SPINS {
                let state = self.state.load(Ordering::Acquire);
                if fresh(state) {
                    return Some(state);
                }
                if self.shutdown.load(Ordering::Relaxed) {
                    return None;
                }
                std::hint::spin_loop();
            }
            let mut guard = self.sleep.lock().unwrap_or_else(PoisonError::into_inner);
            self.sleepers.fetch_add(1, Ordering::SeqCst);
            while !fresh(self.state.load(Ordering::SeqCst)) && !self.shutdown.load(Ordering::SeqCst) {
                guard = self.wake.wait(guard).unwrap_or_else(PoisonError::into_inner);
            }
            self.sleepers.fetch_sub(1, Ordering::SeqCst);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

    use super::{Parts, Pool};

    #[test]
    fn parts_and_scratch_are_disjoint_and_cover_the_slices() {
        let pool = Pool::new(3);
        let (mut tens, mut threes, mut scratch) = (vec![0.0; 95], vec![0.0; 30], vec![0.0; 6]);
        pool.for_each_part(
            10,
            [Parts::new(&mut tens, 10), Parts::new(&mut threes, 3)],
            &mut scratch,
            |index, parts, s| {
                let [ten, three] = parts;
                assert_eq!((ten.len(), three.len(), s.len()), (if index == 9 { 5 } else { 10 }, 3, 2));
                s.fill(index as f32);
                ten.iter_mut().for_each(|value| *value += s[1] + 1.0);
                three.fill(1.0);
            },
        );
        assert!(tens.iter().enumerate().all(|(at, &value)| value == (at / 10) as f32 + 1.0));
        assert!(threes.iter().all(|&value| value == 1.0));
    }

    #[test]
    fn every_task_runs_once() {
        let pool = Pool::new(4);
        for total in [0, 1, 2, 3, 17, 1000] {
            let counts: Vec<AtomicU32> = (0..total).map(|_| AtomicU32::new(0)).collect();
            pool.for_each(total, |index| {
                counts[index].fetch_add(1, Ordering::Relaxed);
            });
            assert!(counts.iter().all(|count| count.load(Ordering::Relaxed) == 1), "{total}");
        }
    }

    #[test]
    fn short_regions_in_a_row_lose_no_task() {
        let pool = Pool::new(3);
        let sum = AtomicUsize::new(0);
        for _ in 0..if cfg!(miri) { 20 } else { 20_000 } {
            pool.for_each(3, |index| {
                sum.fetch_add(index + 1, Ordering::Relaxed);
            });
        }
        assert_eq!(sum.load(Ordering::Relaxed), 6 * if cfg!(miri) { 20 } else { 20_000 });
    }

    #[test]
    fn two_callers_and_nested_loops_share_a_pool() {
        let pool = Pool::new(2);
        let sum = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    for _ in 0..50 {
                        pool.for_each(4, |_| {
                            pool.for_each(2, |_| {
                                sum.fetch_add(1, Ordering::Relaxed);
                            })
                        });
                    }
                });
            }
        });
        assert_eq!(sum.load(Ordering::Relaxed), 2 * 50 * 8);
    }

    #[test]
    fn a_panic_in_a_task_reaches_the_caller_and_the_pool_lives_on() {
        let pool = Pool::new(2);
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            pool.for_each(8, |index| assert_ne!(index, 5, "task five"));
        }));
        assert!(result.is_err());
        let sum = AtomicUsize::new(0);
        pool.for_each(8, |index| {
            sum.fetch_add(index, Ordering::Relaxed);
        });
        assert_eq!(sum.load(Ordering::Relaxed), 28);
    }
}
