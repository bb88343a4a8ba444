//! Operations on orphans.

mod candidates;
mod cleanup;
mod cleanup_log;
mod empty;
mod restore;
mod scan;

pub use candidates::OrphanCandidates;
pub use cleanup::CleanupOrphans;
pub use cleanup_log::OrphansLogRequest;
pub use empty::{EmptyTrash, NotEmptied, TrashEmptied};
pub use restore::{NotRestored, OrphansRestored, RestoreOrphans, RestoredOrphan};
pub use scan::ScanOrphans;
