//! Operations on orphans.

mod candidates;
mod cleanup;
mod cleanup_log;
mod scan;

pub use candidates::OrphanCandidates;
pub use cleanup::CleanupOrphans;
pub use cleanup_log::OrphansLogRequest;
pub use scan::{ScanOrphans, make_plan};
