//! Operations on repository locks.

mod active;
mod inspect;
mod recovered;
mod release;
mod stale;

pub use active::ActiveLocksRequest;
pub use inspect::InspectLocks;
pub(crate) use inspect::no_such_lock;
pub use recovered::RecoveredLocksRequest;
pub use release::ReleaseLock;
pub use stale::DetectStaleLocks;

use super::context::Context;
use super::settings::judging;
use crate::recovery::JobHolders;
use crate::state::StateDir;

/// Answers for the jobs that locks belong to.
pub fn holders(context: &Context<'_>, dir: &StateDir) -> JobHolders {
    JobHolders::new(dir, judging(context).limits)
}
