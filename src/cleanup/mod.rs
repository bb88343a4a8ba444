//! Cleanup: the removal of all that a job left, in three phases, resumable at every step.
//!
//! **Phases**: `cidx` (the workspace's code index, by its own tool), `docker` (containers, then networks,
//! then volumes that bear the job's label or name), `filesystem` (the workspace: git work that is nowhere else is
//! kept, see [`crate::archive`], then it goes into the trash by one rename and is deleted there). `filesystem`
//! waits until `cidx` is over, and until every container of the job is proven gone: one may have the
//! workspace mounted. An engine that cannot be reached proves nothing.
//!
//! **Derived**: a job that was submitted with `--auto-cleanup` and is over (and is not held for a `resume`
//! after a crash) has a cleanup by that fact alone. The cleanup's id is the job's and its attempt's (and a
//! number, when there was one of that id), its file is made when somebody first looks, and it is done when the
//! log of the completed says so: an end without its cleanup cannot exist, whatever is killed between the two.
//!
//! **Files**: `cleanup/<id>.json`, the checkpoint, replaced before a step (its intent) and after it (its
//! result); `cleanup/completed/`, an append-only log of the completed ones, entered before the checkpoint
//! goes; `cleanup/trash/<id>`; `cleanup/archive/<id>.tar`; `cleanup/run.lock`, held by the one process that
//! works on cleanups.
//!
//! **A step** names its object by what it is (container by full id, folder by device, inode and creation), is
//! done again without harm, and takes "already gone" for done. One with an intent and no result is what a
//! crash interrupted: the cleanup goes on there. A step whose intent was written several times without any
//! result kills the process that tries it, and parks its phase.
//!
//! **Nothing alive**: before each effect the job's `sentinel.lock` is held, the queue was followed and says
//! that the job is over in the very attempt that the cleanup is for, and no process bears its mark. A job
//! that was resumed meanwhile overtakes its cleanup, which then ends without touching anything more. Files that
//! anybody uses ([`crate::in_use`]: another job, a process, a mount) wait until nobody does any more.

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

pub use completed::{Completed, completed};
pub use create::{CleanupRequest, CreateRefused, Created, create, create_beside, retry, skip};
pub use derive::Derived;
pub use findings::findings;
pub use known::KnownCleanups;
pub use leftovers::{Left, Leftovers};
pub use record::{
    CleanupPhase, CleanupPhaseName, CleanupPhaseStatus, CleanupRecord, CleanupStatus, ResumedFrom, Source,
    Step, StepWhat,
};
pub use run::{Cleaner, CleanupError, Pass};
pub use settings::CleanupSettings;
pub use store::{damaged, is_running, list};
