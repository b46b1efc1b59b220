//! Work on several threads whose results come back in order, with a bounded number of them waiting.

use std::{
    any::Any,
    collections::BTreeMap,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    thread,
};

/// A result, or what a panic of the work left behind.
pub type Caught<R> = Result<R, Box<dyn Any + Send>>;

/// Calls `work` for every item on `threads` threads and `consume` on this one with the results, in the items' order.
///
/// No item is begun that is `window` or more places ahead of the one that `consume` waits for. `consume` ends the run by
/// an error or by `false`. With one thread, everything happens on this one.
///
/// # Errors
/// Those of `consume`.
pub fn ordered_map<T: Sync, R: Send, E>(
    items: &[T],
    threads: usize,
    window: usize,
    work: impl Fn(&T) -> R + Sync,
    mut consume: impl FnMut(usize, Caught<R>) -> Result<bool, E>,
) -> Result<(), E> {
    let work = |item: &T| catch_unwind(AssertUnwindSafe(|| work(item)));
    if threads <= 1 || items.len() <= 1 {
        for (index, item) in items.iter().enumerate() {
            if !consume(index, work(item))? {
                break;
            }
        }
        return Ok(());
    }
    let queue = Queue { state: Mutex::default(), changed: Condvar::new(), window: window.max(1) };
    thread::scope(|scope| {
        // Also when `consume` fails or panics, or the scope would wait for ever.
        let _stop = StopOnDrop(&queue);
        for _ in 0..threads.min(items.len()) {
            scope.spawn(|| {
                while let Some(index) = queue.begin(items.len()) {
                    queue.put(index, work(&items[index]));
                }
            });
        }
        for index in 0..items.len() {
            if !consume(index, queue.take(index))? {
                break;
            }
        }
        Ok(())
    })
}

struct State<R> {
    begun: usize,
    taken: usize,
    stopped: bool,
    ready: BTreeMap<usize, Caught<R>>,
}

impl<R> Default for State<R> {
    fn default() -> Self {
        Self { begun: 0, taken: 0, stopped: false, ready: BTreeMap::new() }
    }
}

struct Queue<R> {
    state: Mutex<State<R>>,
    changed: Condvar,
    window: usize,
}

impl<R> Queue<R> {
    fn lock(&self) -> MutexGuard<'_, State<R>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State<R>>) -> MutexGuard<'a, State<R>> {
        self.changed.wait(state).unwrap_or_else(PoisonError::into_inner)
    }

    /// The next item to work on, once it is near enough.
    fn begin(&self, count: usize) -> Option<usize> {
        let mut state = self.lock();
        while !state.stopped && state.begun < count && state.begun >= state.taken + self.window {
            state = self.wait(state);
        }
        if state.stopped || state.begun >= count {
            return None;
        }
        state.begun += 1;
        Some(state.begun - 1)
    }

    fn put(&self, index: usize, result: Caught<R>) {
        self.lock().ready.insert(index, result);
        self.changed.notify_all();
    }

    fn take(&self, index: usize) -> Caught<R> {
        let mut state = self.lock();
        loop {
            if let Some(result) = state.ready.remove(&index) {
                state.taken = index + 1;
                drop(state);
                self.changed.notify_all();
                return result;
            }
            state = self.wait(state);
        }
    }
}

struct StopOnDrop<'a, R>(&'a Queue<R>);

impl<R> Drop for StopOnDrop<'_, R> {
    fn drop(&mut self) {
        self.0.lock().stopped = true;
        self.0.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::atomic::{AtomicUsize, Ordering},
        time::Duration,
    };

    use super::*;

    #[test]
    fn results_come_in_order_and_no_more_than_the_window_wait() {
        let items: Vec<usize> = (0..200).collect();
        let begun = AtomicUsize::new(0);
        let mut next = 0;
        let work = |&item: &usize| {
            begun.fetch_add(1, Ordering::SeqCst);
            // Early items are slow, so that late ones overtake them.
            thread::sleep(Duration::from_micros(if item % 7 == 0 { 500 } else { 10 }));
            item * 2
        };
        let result: Result<(), ()> = ordered_map(&items, 4, 5, work, |index, result| {
            assert_eq!((index, result.unwrap()), (next, next * 2));
            next += 1;
            assert!(begun.load(Ordering::SeqCst) <= next + 5);
            Ok(true)
        });
        assert_eq!((result, next), (Ok(()), 200));
    }

    #[test]
    fn an_error_of_the_consumer_stops_the_work() {
        let items: Vec<usize> = (0..1000).collect();
        let result = ordered_map(&items, 3, 4, |&item| item, |index, _| if index == 3 { Err(index) } else { Ok(true) });
        assert_eq!(result, Err(3));
    }

    #[test]
    fn a_panic_spoils_its_own_item_only() {
        for threads in [1, 3] {
            let mut spoilt = Vec::new();
            let work = |&item: &usize| if item == 2 { std::panic::panic_any(item) } else { item };
            let result: Result<(), ()> = ordered_map(&[0, 1, 2, 3], threads, 2, work, |index, result| {
                spoilt.extend(result.is_err().then_some(index));
                Ok(true)
            });
            assert_eq!((result, spoilt), (Ok(()), vec![2]));
        }
    }
}
