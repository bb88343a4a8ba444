//! The daemon: recovers, then runs jobs and watches them until it is told to end.
//!
//! [`Scheduler`] claims queued jobs and starts a supervisor for each; it is the same for `work`, which
//! runs it without a daemon. [`serve`] is the daemon itself. Ending it, however it ends, touches no job:
//! supervisors are processes of their own.

mod again;
mod choice;
mod cleaning;
mod deliveries;
mod exits;
mod gate;
mod info;
mod orphans;
mod retention;
mod scheduler;
mod serve;
mod supervisors;
mod watch;

pub use deliveries::Trouble;
pub use gate::LockGate;
pub use info::{DaemonInfo, running_daemon};
pub use retention::Needs;
pub use scheduler::{Scheduler, SchedulerSettings, WorkError};
pub use serve::{DaemonError, DaemonSettings, serve};
