//! Tries many things in parallel.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

/// Tries each item on so many workers; `attempt` gets the worker's number and may skip an item. Returns the
/// results in the order of the items.
pub(crate) fn parallel_map<T: Sync, R: Send>(
    all: &[T],
    workers: usize,
    attempt: impl Fn(usize, &T) -> Option<R> + Sync,
) -> Vec<Option<R>> {
    let next = AtomicUsize::new(0);
    let results: Mutex<Vec<Option<R>>> = Mutex::new(all.iter().map(|_| None).collect());
    std::thread::scope(|scope| {
        for worker in 0..workers.max(1) {
            let (next, results, attempt) = (&next, &results, &attempt);
            scope.spawn(move || {
                loop {
                    let turn = next.fetch_add(1, Ordering::SeqCst);
                    let Some(item) = all.get(turn) else { return };
                    let result = attempt(worker, item);
                    results.lock().unwrap_or_else(PoisonError::into_inner)[turn] = result;
                }
            });
        }
    });
    results.into_inner().unwrap_or_else(PoisonError::into_inner)
}
