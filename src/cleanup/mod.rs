//! Cleanup: the removal of everything that a job left, in three phases, resumable at every step.
//!
//! **Phases**: `cidx` (the workspace's code index, by its own tool), `docker` (containers, then networks,
//! then volumes that bear the job's label or name), `filesystem` (the workspace: git work that exists nowhere
//! else is kept, see [`crate::archive`], then the workspace is renamed into the trash and deleted there).
//! `filesystem` waits until `cidx` is over, and until every container of the job is proven gone, because one
//! may mount the workspace. An engine that cannot be reached proves nothing.
//!
//! **Derived**: a job that was submitted with `--auto-cleanup` and is over (and is not held for a `resume`
//! after a crash) has a cleanup by that fact alone, without a request. The cleanup's id is made of the job's
//! and its attempt's (and a number, when that id was used). The cleanup's file is made when a process first
//! looks, and the log of completed cleanups says when it is done. So an end without its cleanup cannot exist,
//! whatever is killed between the two.
//!
//! **Files**: `cleanup/<id>.json`, the progress file, replaced before a step (its intent) and after it (its
//! result); `cleanup/completed/`, an append-only log of the completed ones, written before the progress file
//! is removed; `cleanup/trash/<id>`; `cleanup/archive/<id>.tar`; `cleanup/run.lock`, held by the one process
//! that works on cleanups.
//!
//! **A step** names its object by identity (a container by full id, a folder by device, inode and creation),
//! can be repeated without harm, and counts "already gone" as done. A step with an intent and no result was
//! interrupted by a crash: the cleanup goes on there. A step whose intent was written several times without
//! any result kills the process that tries it, and parks its phase.
//!
//! **Nothing alive**: before each effect the job's `sentinel.lock` is held, the queue was followed and says
//! that the job is over in the very attempt that the cleanup is for, and no process bears its mark. A job
//! that was resumed in between overtakes its cleanup, which then ends without touching anything more. Files
//! in use ([`crate::in_use`]: by another job, a process, a mount) wait until they are free.

mod cleaner;
mod completed;
mod create;
mod derive;
mod docker;
mod files;
mod findings;
mod index;
mod known;
mod leftovers;
mod named;
mod record;
mod run;
mod settings;
mod store;
mod work;

pub use cleaner::{Cleaner, CleanupError};
pub use completed::{Completed, completed};
pub(crate) use create::create_beside;
pub use create::{CleanupRequest, CreateRefused, Created, create, retry, skip};
pub(crate) use derive::Derived;
pub(crate) use findings::findings;
pub(crate) use known::KnownCleanups;
pub use leftovers::Left;
pub(crate) use leftovers::Leftovers;
pub use record::{
    CleanupPhase, CleanupPhaseName, CleanupPhaseStatus, CleanupRecord, CleanupStatus, ResumedFrom, Source,
    Step, StepWhat,
};
pub use run::Pass;
pub use settings::CleanupSettings;
pub(crate) use store::is_running;
pub use store::list;
