//! The supervisor: one small process for each job, which outlives the process that started it.
//!
//! Order of an attempt (see `docs/internals.md`): own session and subreaper, `sentinel.lock`, the claim
//! verified in the log, the repository, the previous attempt's files moved away, the sentinel, a last check
//! for a cancel, the command; then heartbeats until it ends, the end of its descendants, `exit.json`, the
//! `end` record, the repository given back, the lock.
//!
//! The whole tree is reached in three ways: the command's process group, all descendants (the supervisor is
//! their subreaper), and a control group of the attempt's own where one can be made. The command prints into
//! a pipe that outlives its supervisor (`jobs/keeper/`); the keeper that empties it is a child of the
//! supervisor, but no part of the job: the tree is listed, signalled and reaped without it (`tree`).
//!
//! After a kill at any of these steps, `jobs::judge` can tell how far the supervisor got. Nothing here may run in
//! a thread of another program: a supervisor must be a process of its own, because it reaps every child that the
//! process has.

mod attempt;
mod claim;
mod finish;
mod heartbeat_writer;
mod peak;
mod repository;
mod run;
mod settings;
mod signals;
mod stage;
mod start_report;
mod trampoline;
mod tree;
mod unclaim;
mod watch;

pub use repository::{HeldRepository, RepositoryLocker, RepositoryRefused, RepositoryRequest};
pub use run::supervise;
pub use settings::{HOST_TOO_WEAK, SuperviseError, SuperviseSettings, Supervised, SupervisorHooks};
pub use trampoline::{CommandRequest, NotStarted, exec_command, not_begun};
