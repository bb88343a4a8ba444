//! Many things tried side by side.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

/// Tries each of them, by so many workers; `attempt` is given the worker's number and may leave one out. What
/// came of them, in their order.
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
