//! Options of a run, and its observer.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use super::control::Cancel;

/// Called with every change of status, and about twenty times a second while items move, in order; the last
/// call has the final snapshot. The calls come from a thread of their own; a slow observer misses steps and
/// delays nothing until the end.
pub type Observer = Arc<dyn Fn(&super::Snapshot) + Send + Sync>;

/// Options of a run.
#[derive(Clone)]
pub struct RunOptions {
    /// The command, for processes that find the lock held: "recover", "daemon".
    pub purpose: String,
    /// Who runs it, for the record of skips.
    pub by: String,
    /// Phases to skip.
    pub skip: Vec<String>,
    /// Only these phases and their dependents; all when empty. The results of the others are carried over
    /// from the last recovery; when there was none, all run.
    pub only: Vec<String>,
    /// A value kept in the record under `retry`, for the requester of this run.
    pub keep: Option<Value>,
    /// The pauses between tries; their number is how often a failed phase is tried again.
    pub pauses: Vec<Duration>,
    /// How many phases run in parallel, at least one.
    pub side_by_side: usize,
    /// How long a phase that is to stop may take to reach a safe point before it is abandoned.
    pub patience: Duration,
    /// How long to wait for another recovery to end. It must not be zero, because a probe of the lock takes
    /// it for a moment.
    pub lock_wait: Duration,
    /// Ends the run at the next safe points.
    pub cancel: Cancel,
    /// The observer in this process.
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
