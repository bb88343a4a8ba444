//! The recovery sequence: it runs phases with dependencies in parallel, tries them again, skips them on
//! request, and writes progress that every process can read. It knows nothing of queue, jobs or locks: the
//! caller passes the phases.
//!
//! **Files** (all by atomic replacement, so a reader sees an old or a new whole file):
//! `recovery/current.json` a [`Snapshot`], about four times a second while progress moves;
//! `recovery/last.json` a [`RecoveryRecord`], the last recovery that completed; `recovery/history.json` the
//! last hundred, aborted ones too; `recovery/requests/` requests of other processes to the running recovery,
//! to the next one, or to the daemon that has recovered.
//!
//! **Lock**: `recovery/recovery.lock` is held for the whole run. Only its holder writes the first three.
//!
//! **Pitfalls**: a snapshot that says `running` proves nothing, because its writer may be gone: read it with
//! [`read_current`]. A phase that never calls [`PhaseContext::check_interrupted`] cannot be stopped: skipped
//! or cancelled it is abandoned, and its thread goes on beside later phases.
//!
//! **Degraded or completed**: `completed` means that no phase named an unusable resource, and that neither a
//! phase nor the run found an error or worse. A finding of severity `error` or `critical` makes its phase
//! `degraded`, names the finding's object among the degraded resources, and so makes the recovery `degraded`.
//! `failed` is for a critical phase that did not complete. A resource is named until a recovery, or the phase
//! tried again, finds it repaired.
//!
//! **A part of the sequence** ([`RunOptions::only`]): the named phases and their dependents run, the others
//! are carried over from the last recovery with their findings, so that the record always describes the whole
//! state directory.
//!
//! **To add a phase**: make a [`Phase`] with a name, its dependencies and a closure, and pass it to
//! [`PhaseGraph::new`] with the others.

mod complete;
mod context;
mod control;
mod coordinator;
mod current;
mod graph;
mod history;
mod options;
mod phase;
mod phase_outcome;
mod phases;
mod progress;
mod publish;
mod rehearse;
mod requests;
mod run;
mod snapshot;
mod tries;

pub use context::PhaseContext;
pub use control::Cancel;
pub use current::read_current;
pub use graph::{GraphError, PhaseGraph};
pub(crate) use history::counter;
pub use history::{HistoryEntry, HistoryError, HistoryPhase, RecoveryRecord, read_history, read_last};
pub use options::{Observer, RunOptions};
pub use phase::Phase;
pub use phase_outcome::{DegradedResource, Interrupted, PhaseError, PhaseOutcome};
pub use phases::{JobHolders, Recovery, Settings};
pub(crate) use phases::{liveness_of, recovery_ends, repair_queue};
pub use rehearse::{Change, Proof, Rehearsal, RehearseError, rehearse};
pub use requests::{
    Asking, RequestAnswer, RequestError, request_retry, request_retry_of_daemon, request_skip, withdraw_retry,
};
pub(crate) use requests::{RetryWanted, is_retry_wanted, retries_wanted, withdraw_skip};
pub use run::{RunError, run};
pub use snapshot::{PhaseProgress, PhaseStatus, RecoveryOutcome, Snapshot};
