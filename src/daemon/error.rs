//! Why a daemon does not start, or cannot go on.

use std::io;

use super::scheduler::WorkError;
use crate::durable::{DiskError, Holder, LockError};
use crate::queue::QueueError;
use crate::recovery::{GraphError, RecoveryOutcome, RecoveryRecord, RunError};
use crate::startup::StartupError;

/// Why a daemon did not start, or could not go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DaemonError {
    /// A daemon of this state directory runs already.
    #[error("a daemon is running{}", described(holder.as_ref()))]
    Running {
        /// The holder, if the lock file names one.
        holder: Option<Holder>,
    },
    /// It cannot listen, so no client could reach it.
    #[error("cannot be asked over HTTP")]
    Listen(#[source] io::Error),
    /// Its lock could not be used.
    #[error(transparent)]
    Lock(LockError),
    /// The phases cannot be ordered.
    #[error(transparent)]
    Phases(#[from] GraphError),
    /// Its recovery did not run.
    #[error(transparent)]
    Recovery(#[from] RunError),
    /// Its recovery failed in a critical phase.
    #[error("the recovery {}", outcome.word())]
    NotRecovered {
        /// How it ended.
        outcome: RecoveryOutcome,
        /// The record of that recovery.
        record: Box<RecoveryRecord>,
    },
    /// Its startup in safe mode could not be recorded.
    #[error(transparent)]
    Startup(#[from] StartupError),
    #[error(transparent)]
    Queue(#[from] QueueError),
    /// It could not go on running jobs.
    #[error(transparent)]
    Work(#[from] WorkError),
    /// The host gives no threads for its work.
    #[error("cannot make the threads that a daemon works with")]
    Threads(#[source] io::Error),
    #[error(transparent)]
    Disk(#[from] DiskError),
}

fn described(holder: Option<&Holder>) -> String {
    holder.map_or_else(String::new, |h| format!(" already: process {} since {}", h.pid, h.since))
}
