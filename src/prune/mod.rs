//! Retention: removes jobs that are over, with workspace, attempts and record.
//!
//! A job is removed in one transaction of the queue, under its own lock and the log's append lock: its
//! workspace and the folder of its attempts are renamed into `jobs/.trash/`, its record file is removed, all
//! folders are synced, and then the `remove` record is appended. The content of the trash is deleted
//! afterwards.
//!
//! | killed | what is left | what the next prune or recovery does |
//! | --- | --- | --- |
//! | before the rename | the job | nothing |
//! | before the `remove` record | the job, a part of it in the trash | takes the rest, removes record file and job ([`finish_removals`]) |
//! | before the deletion | the workspace in the trash, no job | keeps git work that is in it, and deletes it ([`delete_slots`]) |
//! | while deleting | a part of the workspace in the trash as `going-…` | deletes the rest |
//!
//! A job whose workspace is in use stays ([`crate::in_use`]), and so does anything in use in the trash.
//!
//! The trash is in `jobs/`, where workspaces can always be renamed to; its name is no job's. A slot's name
//! has the job's position and id, so a later job of the same id has another one. The trash is the removal's
//! own journal: there is no other.

mod remove;
mod retention;
mod trash;

pub use remove::{KeptJob, PruneError, PruneReport, Pruned, prune, would_prune};
pub(crate) use remove::{finish_removals, prune_some, would_prune_these};
pub use retention::JobRetention;
pub use trash::slots as trash_slots;
pub(crate) use trash::slots_without_job;
pub use trash::{TrashEmptied, delete_slots};
