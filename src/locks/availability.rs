//! Which repositories a scheduler need not try: a quick check without a verdict.

use super::metadata::{LockHolder, LockState, MetadataRead, read_metadata};
use crate::durable::{error_chain, is_held};
use crate::logging::events;
use crate::state::StateDir;
use tracing::debug;

/// The result of a quick check of a repository's lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Availability {
    /// The lock is probably free: try it.
    Free,
    /// The flock is held now.
    Held,
    /// The flock is free, but the metadata name a job as holder: recover the lock first.
    LeftByJob,
    /// The check cannot tell; an operator decides.
    Unavailable,
}

/// Checks a repository's lock without taking it.
pub(crate) fn availability(dir: &StateDir, repository: &str) -> Availability {
    let Ok(paths) = dir.paths.lock(repository) else { return Availability::Unavailable };
    match is_held(&paths.flock) {
        Ok(true) => return Availability::Held,
        Ok(false) => {}
        Err(e) if e.is_not_found() => {}
        Err(e) => {
            debug!(
                event = events::TROUBLE,
                repository,
                "whether {repository} is locked cannot be seen: {}",
                error_chain(&e)
            );
            return Availability::Unavailable;
        }
    }
    match read_metadata(&paths.metadata, repository) {
        MetadataRead::Missing => Availability::Free,
        MetadataRead::Damaged { .. } => Availability::Unavailable,
        MetadataRead::Whole(metadata) => match (metadata.state, &metadata.holder) {
            (LockState::Released, _) | (_, LockHolder::Process) => Availability::Free,
            (_, LockHolder::Job { .. }) => Availability::LeftByJob,
        },
    }
}
