//! Operations on cleanups and on the git work that they keep.

mod archives;
mod completed;
mod lists;
mod prune;
mod restore;
mod retry;
mod run;
mod skip;
mod start;
mod state;

pub use archives::{ArchiveListRequest, ShowArchive};
pub use completed::CompletedCleanups;
pub use lists::{QueuedCleanups, ResumingCleanups};
pub use prune::{PruneArchives, PrunedReport, RemovedArchive};
pub use restore::{RestoreArchive, RestoredReport};
pub use retry::{RetryCleanup, RetryCleanupReport};
pub use run::{CleanupsRun, RunCleanups};
pub use skip::{CleanupPhaseSkip, SkipCleanupPhase};
pub use start::{RefusedCleanup, StartCleanups, StartReport, StartedCleanup};
pub use state::CleanupStateRequest;
