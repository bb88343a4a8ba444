//! The same thing done with many items by several threads, in the order of the items.

use std::num::NonZero;

/// Below this a thread costs more than it saves.
const FEW: usize = 64;
/// More threads than this wait for the disk's and the kernel's locks, not for a processor.
const MOST: usize = 16;

/// Calls `act` with every item; the results are in the order of the items.
pub(crate) fn side_by_side<T: Send, R: Send>(items: Vec<T>, act: impl Fn(T) -> R + Sync) -> Vec<R> {
    let threads = std::thread::available_parallelism().map_or(1, NonZero::get).min(MOST);
    if items.len() < FEW || threads < 2 {
        return items.into_iter().map(act).collect();
    }
    let share = items.len().div_ceil(threads);
    let act = &act;
    std::thread::scope(|scope| {
        let mut items = items.into_iter();
        let shares = std::iter::from_fn(|| {
            let part: Vec<T> = items.by_ref().take(share).collect();
            (!part.is_empty()).then_some(part)
        });
        let workers: Vec<_> =
            shares.map(|part| scope.spawn(move || part.into_iter().map(act).collect::<Vec<R>>())).collect();
        workers.into_iter().flat_map(|w| w.join().unwrap_or_else(|e| std::panic::resume_unwind(e))).collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_in_the_order_of_the_items() {
        for count in [0, 1, FEW - 1, FEW, 10 * FEW + 7] {
            let items: Vec<usize> = (0..count).collect();
            let doubled = side_by_side(items.clone(), |n| 2 * n);
            assert_eq!(doubled, items.iter().map(|n| 2 * n).collect::<Vec<_>>());
        }
    }
}
