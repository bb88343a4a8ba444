//! A remote of a repository, and the places on this machine that it leads to.

use std::path::PathBuf;

/// A remote of a repository.
pub(super) struct Remote {
    pub(super) name: Vec<u8>,
    /// Whether the settings name its place, and none of its places on this machine is removed.
    pub(super) is_proven: bool,
    /// Its places on this machine, which can be asked for a commit.
    pub(super) here: Vec<Here>,
}

/// A place on this machine.
pub(super) enum Here {
    /// A repository: the folder that its names and objects are in.
    Repository(PathBuf),
    Bundle(PathBuf),
}
