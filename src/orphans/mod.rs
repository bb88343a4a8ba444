//! Orphans: resources that no job owns any more, found, proven, and removed without touching anything alive.
//!
//! **Scan** ([`scan`]): looks at every kind, gives each candidate an id, its evidence, size and age, and
//! every safety check with its result, and saves that as a plan (`orphans/candidates.json`). Nothing is
//! removed.
//!
//! **Checks** are data and have three values. A candidate is safe when all passed; an unknown one (a gap in
//! the queue's log, an engine that does not answer, a hidden process, a workspace on a network file system)
//! is never removed.
//!
//! **Cleanup** ([`execute`]): executes a plan, all of it, by kind or by id. It removes only what the plan
//! names by identity (device, inode and creation; full id; pid and start time), makes every check again right
//! before each removal, with the job's `sentinel.lock` held where there is one, and refuses with the check
//! that failed. A plan that is not the saved one, or is older than a day, is refused.
//!
//! **Why** ([`explain`]): the checks of one thing, made again as a cleanup would make them, without removing
//! it.
//!
//! **Trash**: folders are renamed into `orphans/trash/<id>/` with a note, and can be restored until the trash
//! is emptied by age and size. Git work that exists nowhere else is kept as the archive `orphan-<id>` before
//! that, see [`crate::archive`]. Every act is in `orphans/log/`, an append-only log.
//!
//! **The owner of a Docker object**: only labels count here, the job's together with this state directory's.
//! A name alone proves nothing about an object whose job is not known. Containers and networks of a job that
//! is over are orphans; its volumes may hold its results and stay as long as the queue knows the job.

mod candidate;
mod checks;
mod docker;
mod execute;
mod explain;
mod folders;
mod log;
mod others;
mod saved;
mod scan;
mod scan_context;
mod trash;

pub use candidate::{Candidate, Check, OrphanKind, OrphanPlan, OrphanTarget};
pub use execute::{ExecuteError, Executed, FailedCandidate, RefusedCandidate, Request, execute};
pub use explain::{Asked, OrphanVerdict};
pub(crate) use explain::{ExplainError, Explained, explain};
pub use log::LogEntry;
pub(crate) use log::entries;
pub(crate) use saved::plan;
pub use scan::{ScanError, scan};
pub(crate) use scan::{rehearse, rescan};
pub use scan_context::{OrphanSettings, ScanContext};
pub use trash::{Emptied, TrashError, Trashed, empty_trash, restore, trashed};
