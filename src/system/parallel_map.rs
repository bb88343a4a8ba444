//! Applies a function to many items on several threads; results are in the order of the items.

use std::num::NonZero;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

/// For fewer items than this a thread costs more than it saves.
const FEW: usize = 64;
/// More threads than this wait for the disk's and the kernel's locks, not for a processor.
const MOST: usize = 16;

/// Calls `act` with every item; the results are in the order of the items.
pub(crate) fn parallel_map<T: Send, R: Send>(items: Vec<T>, act: impl Fn(T) -> R + Sync) -> Vec<R> {
    let threads = std::thread::available_parallelism().map_or(1, NonZero::get).min(MOST);
    if items.len() < FEW || threads < 2 {
        return items.into_iter().map(act).collect();
    }
    let share = items.len().div_ceil(threads);
    let mut items = items.into_iter();
    let parts = std::iter::from_fn(|| {
        let part: Vec<T> = items.by_ref().take(share).collect();
        (!part.is_empty()).then(|| Mutex::new(Part { items: part, results: Vec::new() }))
    });
    let parts: Vec<Mutex<Part<T, R>>> = parts.collect();
    let next = AtomicUsize::new(0);
    let work = || {
        while let Some(part) = parts.get(next.fetch_add(1, Ordering::SeqCst)) {
            let mut part = part.lock().unwrap_or_else(PoisonError::into_inner);
            let items = std::mem::take(&mut part.items);
            part.results = items.into_iter().map(&act).collect();
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..parts.len() {
            // If no thread can be started, this thread does the work.
            let _ = std::thread::Builder::new().spawn_scoped(scope, work);
        }
        work();
    });
    let results =
        parts.into_iter().map(|part| part.into_inner().unwrap_or_else(PoisonError::into_inner).results);
    results.flatten().collect()
}

/// Some of the items, and their results.
struct Part<T, R> {
    items: Vec<T>,
    results: Vec<R>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parallel_map_keeps_order() {
        for count in [0, 1, FEW - 1, FEW, 10 * FEW + 7] {
            let items: Vec<usize> = (0..count).collect();
            let doubled = parallel_map(items.clone(), |n| 2 * n);
            assert_eq!(doubled, items.iter().map(|n| 2 * n).collect::<Vec<_>>());
        }
    }
}
