//! A failure that recurs in every round of a loop is logged when it begins, then ever more rarely, and when it is
//! over.

use crate::durable::error_chain;
use std::fmt::Display;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tracing::{info, warn};

use super::events;

/// While it lasts, it is logged at least this often.
const AT_LEAST_EVERY: Duration = Duration::from_secs(60);

/// An operation that may fail again and again.
#[derive(Debug)]
pub struct Repeats {
    what: &'static str,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    failures: u64,
    left_out: u64,
    /// The number of failures at which the next line is due.
    next: u64,
    told: Option<Instant>,
}

/// A line that is due.
#[derive(Debug, PartialEq, Eq)]
struct Due {
    left_out: u64,
}

impl State {
    fn failed(&mut self, now: Instant) -> Option<Due> {
        self.failures += 1;
        let is_late = self.told.is_some_and(|told| now.duration_since(told) >= AT_LEAST_EVERY);
        if self.failures > 1 && self.failures < self.next && !is_late {
            self.left_out += 1;
            return None;
        }
        self.next = self.failures * 2;
        self.told = Some(now);
        Some(Due { left_out: std::mem::take(&mut self.left_out) })
    }

    fn worked(&mut self) -> Option<u64> {
        let failures = std::mem::take(self).failures;
        (failures > 0).then_some(failures)
    }
}

impl Repeats {
    /// `what` is a sentence that says what fails: "cleanups cannot be entered".
    pub const fn new(what: &'static str) -> Repeats {
        Repeats { what, state: Mutex::new(State { failures: 0, left_out: 0, next: 0, told: None }) }
    }

    /// Records a failure. The first one is logged, then one at each doubling of their number, or one a minute.
    pub fn failed(&self, error: &dyn Display) {
        let Some(Due { left_out }) = self.lock().failed(Instant::now()) else { return };
        let what = self.what;
        match left_out {
            0 => warn!(event = events::TROUBLE, what, "{what}: {error}"),
            _ => warn!(
                event = events::TROUBLE,
                what, left_out, "{what}: {error} (and {left_out} times before)"
            ),
        }
    }

    /// Records a success: the operation works, or works again.
    pub(crate) fn worked(&self) {
        if let Some(failures) = self.lock().worked() {
            let what = self.what;
            info!(event = events::TROUBLE_OVER, what, failures, "over after {failures} failures: {what}");
        }
    }

    /// Records the result: a failure may be logged; a value is returned.
    pub fn note<T, E: std::error::Error + 'static>(&self, done: Result<T, E>) -> Option<T> {
        match done {
            Ok(value) => {
                self.worked();
                Some(value)
            }
            Err(error) => {
                self.failed(&error_chain(&error));
                None
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeats_are_told_at_each_doubling_and_once_a_minute() {
        let (mut state, begun) = (State::default(), Instant::now());
        let told: Vec<u64> = (1..=100).filter(|_| state.failed(begun).is_some()).collect();
        assert_eq!(told, [1, 2, 4, 8, 16, 32, 64]);
        assert_eq!(state.left_out, 36);
        assert_eq!(state.failed(begun + AT_LEAST_EVERY), Some(Due { left_out: 36 }));
        assert_eq!(state.failed(begun + AT_LEAST_EVERY), None);
    }

    #[test]
    fn repeats_that_are_over_are_told_once_and_begin_anew() {
        let (mut state, now) = (State::default(), Instant::now());
        assert_eq!(state.worked(), None);
        assert_eq!((0..5).filter_map(|_| state.failed(now)).count(), 3);
        assert_eq!((state.worked(), state.worked()), (Some(5), None));
        assert_eq!(state.failed(now), Some(Due { left_out: 0 }));
    }
}
