//! Why a state directory cannot be used.

use std::io;
use std::path::PathBuf;

use super::exposure::Exposed;
use super::layout::LAYOUT_VERSION;
use crate::durable::{DiskError, LockError};

/// Why a state directory cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StateError {
    /// Nothing there, or a folder that holds no state.
    #[error("{} is no state directory: {why}", path.display())]
    Missing {
        /// The path that was given.
        path: PathBuf,
        /// What is there instead.
        why: &'static str,
    },
    /// Something other than a folder.
    #[error("{} is not a folder", path.display())]
    NotAFolder {
        /// The path that was given.
        path: PathBuf,
    },
    /// A folder with files of another origin, which must not become a state directory.
    #[error("{} is no state directory and not empty: it holds '{found}'", path.display())]
    NotEmpty {
        path: PathBuf,
        /// The name of one of these files.
        found: String,
    },
    /// `state.json` is missing from a state directory that holds state.
    #[error("{} has lost its state.json but still holds state", path.display())]
    IdentityLost {
        /// The state directory.
        path: PathBuf,
    },
    /// Another user could change it.
    #[error("{} belongs to another user, or can be written by one (owner {owner}, mode {mode:04o})", path.display())]
    Exposed {
        path: PathBuf,
        /// Its permissions.
        mode: u32,
        /// Its owner's uid.
        owner: u32,
    },
    /// Another user could replace it, or one of its folders.
    #[error("{} can be changed by another user: {exposed}", path.display())]
    Changeable {
        /// The state directory, or where it would be.
        path: PathBuf,
        /// The folder that another user can change: on the way, or one of its own.
        exposed: Exposed,
    },
    /// Made by a later version.
    #[error("{} has layout {layout}, which a later version made; this version knows up to {LAYOUT_VERSION}", path.display())]
    Newer {
        /// The identity file.
        path: PathBuf,
        /// Its layout.
        layout: u32,
    },
    /// The identity file cannot be understood.
    #[error("{} is damaged", path.display())]
    Damaged {
        /// The identity file.
        path: PathBuf,
        #[source]
        source: serde_json::Error,
    },
    /// A folder of it is on another mount than the others.
    #[error("{} is a mount of its own, or leads to another one: what is removed from it cannot be renamed into {}", path.display(), root.display())]
    Apart {
        path: PathBuf,
        /// The state directory.
        root: PathBuf,
    },
    /// The file system lacks an ability that the state needs.
    #[error("{} is on a file system that cannot {what}", path.display())]
    Unfit {
        path: PathBuf,
        /// The missing ability.
        what: &'static str,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
    /// Files of an earlier time were put back, and the incarnation that begins then cannot be recorded.
    #[error("files of an earlier time were put back into {}, and that cannot be written down", path.display())]
    NotNoted {
        /// The state directory.
        path: PathBuf,
        #[source]
        source: Box<StateError>,
    },
    /// The system refused.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// Another process holds the lock to create it, and does not finish.
    #[error(transparent)]
    Lock(#[from] LockError),
}
