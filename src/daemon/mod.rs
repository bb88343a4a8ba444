//! The daemon: recovers, then runs jobs and watches them until it is told to end.
//!
//! [`Scheduler`] claims queued jobs and starts a supervisor for each; it is the same for `work`, which
//! runs it without a daemon. [`serve`] is the daemon itself. Ending it, however it ends, touches no job:
//! supervisors are processes of their own.

mod again;
mod answered;
mod choice;
mod cleaning;
mod deliveries;
mod draining;
mod exits;
mod gate;
mod info;
mod limits;
mod needs;
mod occupied;
mod orphans;
mod prune;
mod restarts;
mod retention;
mod scans;
mod scheduler;
mod serve;
mod starting;
mod starts;
mod supervisors;
mod tokens;
mod watch;
mod wishes;
mod working;

pub use answered::{AnswerBook, KeptAnswer, Known, OpenKey};
pub use deliveries::Trouble;
pub use draining::Ending;
pub use gate::LockGate;
pub use info::{DaemonInfo, known_daemon, running_daemon};
pub use needs::{CleanupNeed, Needs};
pub use prune::{CleanedPrune, CleanedPruneError, PruneCleanup, prune_cleaned, would_prune_cleaned};
pub use scheduler::{Scheduler, SchedulerSettings, WorkError};
pub use serve::{DaemonError, DaemonSettings, Listen, Listening, Rules, serve};
pub use tokens::{Role, Tokens, make_tokens, rotate_token};
