//! One lock seen from as near as possible: its flock taken if it is free, its metadata, its verdict.
//!
//! Granting, releasing, recovering and repairing all begin so, and act on what they see while they hold
//! the flock: nobody can be granted the lock meanwhile.

use std::time::Duration;

use super::look::Look;
use super::metadata::{MetadataRead, read_metadata};
use super::verdict::{Flock, Judgement};
use crate::durable::{DiskError, FileLock, LockError};
use crate::state::{LockPaths, StateDir};

/// Somebody who merely looks holds the flock for less than this.
pub(super) const LOOK_GRACE: Duration = Duration::from_millis(20);

/// What was seen.
pub(super) struct Sight {
    /// The flock, when it was free.
    pub(super) flock: Option<FileLock>,
    pub(super) metadata: MetadataRead,
    pub(super) judgement: Judgement,
}

/// Looks, waiting at most `wait` for the flock, which is not even tried on a network file system: it may
/// block there.
pub(super) fn see(
    dir: &StateDir,
    look: &Look<'_>,
    repository: &str,
    paths: &LockPaths,
    wait: Duration,
) -> Result<Sight, DiskError> {
    let (flock, state) = if look.is_on_network() {
        (None, Flock::Unusable("it is on a network file system".to_owned()))
    } else {
        match FileLock::acquire(&dir.disk, &paths.flock, wait) {
            Ok(flock) => (Some(flock), Flock::Free),
            Err(LockError::Held { .. }) => (None, Flock::Held),
            Err(LockError::Disk(e)) => return Err(e),
        }
    };
    let metadata = read_metadata(&paths.metadata, repository);
    let judgement = match look.covers(&metadata) {
        true => look.judge(state, &metadata),
        // Its holder was alive when the processes were scanned, and may be gone now.
        false => look.anew(dir).judge(state, &metadata),
    };
    let judgement = Look::unless_used_by_others(dir, repository, judgement);
    Ok(Sight { flock, metadata, judgement })
}
