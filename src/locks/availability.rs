//! Which repositories a scheduler need not try: a quick look that judges nothing.

use super::metadata::{LockHolder, LockState, MetadataRead, read_metadata};
use crate::durable::is_held;
use crate::state::StateDir;

/// What a quick look at a repository's lock says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Availability {
    /// Worth a try.
    Free,
    /// Somebody holds the flock now.
    Held,
    /// Nobody holds the flock, yet the metadata says that a job has the lock: to be recovered first.
    LeftByJob,
    /// It cannot be said; an operator decides.
    Unavailable,
}

/// Looks at a repository's lock without taking it.
pub fn availability(dir: &StateDir, repository: &str) -> Availability {
    let Ok(paths) = dir.paths.lock(repository) else { return Availability::Unavailable };
    match is_held(&paths.flock) {
        Ok(true) => return Availability::Held,
        Ok(false) => {}
        Err(e) if e.is_not_found() => {}
        Err(_) => return Availability::Unavailable,
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
