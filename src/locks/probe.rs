//! A probe of one lock: its flock taken if it is free, its metadata, its verdict.
//!
//! Granting, releasing, recovering and repairing all begin with a probe, and act on it while they hold the
//! flock, so that the lock cannot be granted in between.

use std::time::Duration;

use super::inspector::LockInspector;
use super::metadata::{MetadataRead, read_metadata};
use super::verdict::{Flock, Judgement};
use crate::durable::{DiskError, FileLock, LockError};
use crate::state::{LockPaths, StateDir};

/// A process that only reads a lock holds its flock for less than this.
pub(super) const PROBE_WAIT: Duration = Duration::from_millis(20);

/// The result of a probe.
pub(super) struct LockProbe {
    /// The flock, when it was free.
    pub(super) flock: Option<FileLock>,
    pub(super) metadata: MetadataRead,
    pub(super) judgement: Judgement,
}

/// Probes a lock, waiting at most `wait` for the flock. On a network file system the flock is not even tried,
/// because that may block.
pub(super) fn probe(
    dir: &StateDir,
    look: &LockInspector<'_>,
    repository: &str,
    paths: &LockPaths,
    wait: Duration,
) -> Result<LockProbe, DiskError> {
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
    let judgement = LockInspector::unless_used_by_others(dir, repository, judgement);
    Ok(LockProbe { flock, metadata, judgement })
}
