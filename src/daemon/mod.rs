//! The daemon: recovers, then runs jobs and watches them until it is told to end.
//!
//! [`Scheduler`] claims queued jobs and starts a supervisor for each; it is the same for `work`, which
//! runs it without a daemon. [`serve`] is the daemon itself. Ending it, however it ends, touches no job:
//! supervisors are processes of their own.

mod choice;
mod claims;
mod cleaning;
mod config;
mod deliveries;
mod draining;
mod error;
mod exits;
mod idempotency;
mod info;
mod job_locker;
mod limits;
mod occupied;
mod phase_retry;
mod prune;
mod removal_blockers;
mod restarts;
mod retention;
mod scans;
mod scheduler;
mod serve;
mod starting;
mod starts;
mod supervisors;
mod tokens;
mod told;
mod unsupervised;
mod watch;
mod wishes;
mod working;

pub use config::DaemonConfig;
pub use deliveries::Trouble;
pub use draining::Ending;
pub use error::DaemonError;
pub use idempotency::{IdempotencyStore, OpenKey, PriorRequest, StoredAnswer};
pub use info::{DaemonInfo, known_daemon, running_daemon};
pub use job_locker::JobLocker;
pub use prune::{CleanedPrune, PruneCleanup};
pub(crate) use prune::{CleanedPruneError, prune_cleaned, would_prune_cleaned};
pub use scheduler::{Scheduler, SchedulerSettings, WorkError};
pub use serve::{DaemonSettings, Listen, Listening, serve};
pub(crate) use tokens::rotate_token;
pub use tokens::{Role, Tokens, make_tokens};
