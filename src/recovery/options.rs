//! How to run a sequence, and who observes it.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use super::control::Cancel;

/// Called with every change of status, and with moving items about twenty times a second, in order; the last
/// call has the final snapshot. Called from a thread of its own; a slow one misses steps and delays nothing
/// until the end.
pub type Observer = Arc<dyn Fn(&super::Snapshot) + Send + Sync>;

/// How to run a sequence.
#[derive(Clone)]
pub struct RunOptions {
    /// The command, for processes that find the lock held: "recover", "daemon".
    pub purpose: String,
    /// The actor, for the record of skips.
    pub by: String,
    /// Phases to pass over.
    pub skip: Vec<String>,
    /// Only these phases and their dependents; all when empty. The results of the others are carried over
    /// from the last recovery; when there was none, all run.
    pub only: Vec<String>,
    /// Kept in the record under `retry`, for the requester of this run.
    pub keep: Option<Value>,
    /// The pauses between tries; their number is how often a failed phase is tried again.
    pub pauses: Vec<Duration>,
    /// How many phases run side by side, at least one.
    pub side_by_side: usize,
    /// How long a phase that is to stop may take to come to a safe point before it is left behind.
    pub patience: Duration,
    /// How long to wait for another recovery to end. Not zero: a probe of the lock takes it for a moment.
    pub lock_wait: Duration,
    /// Ends the run at the next safe points.
    pub cancel: Cancel,
    /// Observer in this process.
    pub observer: Option<Observer>,
}

impl Default for RunOptions {
    fn default() -> RunOptions {
        RunOptions {
            purpose: "recover".to_owned(),
            by: "recover".to_owned(),
            skip: Vec::new(),
            only: Vec::new(),
            keep: None,
            pauses: [1, 2, 4].map(Duration::from_secs).to_vec(),
            side_by_side: 4,
            patience: Duration::from_secs(2),
            lock_wait: Duration::from_millis(250),
            cancel: Cancel::new(),
            observer: None,
        }
    }
}
