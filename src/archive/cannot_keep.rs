//! Why a folder that is to be removed must stay.

use std::io;
use std::path::PathBuf;

use crate::durable::DiskError;
use crate::durable::tree::{Unread, shown};

/// Why a folder must stay.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CannotKeep {
    /// Something in it cannot be read: it may be work.
    #[error("{}: {source}", shown(folder))]
    Unread {
        folder: PathBuf,
        /// What could not be read, and why.
        source: Unread,
    },
    /// The archive cannot be written.
    #[error("the archive cannot be written: {source}: {}", source.source)]
    Disk {
        /// The system's error.
        #[from]
        source: DiskError,
    },
    /// A repository elsewhere needs it.
    #[error(
        "the repository {} borrows objects from this folder, or has its git folder here: clean up its workspace \
         first (recoveryctl cleanup start JOB)",
        shown(repository)
    )]
    Needed {
        /// The repository, in another workspace.
        repository: PathBuf,
    },
    /// Another workspace cannot be looked through: a repository in it may need this folder.
    #[error(
        "whether a repository in {} borrows objects from this folder is not known: {source}",
        shown(folder)
    )]
    Beside {
        /// The other workspace.
        folder: PathBuf,
        /// What could not be read, and why.
        source: Unread,
    },
    /// A working tree elsewhere has its repository in it.
    #[error(
        "the working tree {} has its repository in this folder: remove it (git worktree remove), or move the \
         repository out of this folder first",
        shown(tree)
    )]
    Leads {
        /// The working tree.
        tree: PathBuf,
    },
    /// The process was told to end.
    #[error("it was ended early")]
    Stopped,
}

impl CannotKeep {
    /// Whether the folder's own work is safe and it stays only because others need it, or may need it.
    pub fn is_needed(&self) -> bool {
        matches!(self, CannotKeep::Needed { .. } | CannotKeep::Beside { .. } | CannotKeep::Leads { .. })
    }

    /// Whether the next try may succeed although nobody changed anything.
    pub fn may_pass(&self) -> bool {
        use io::ErrorKind as E;
        match self {
            CannotKeep::Unread { source, .. } => {
                !matches!(source.source.kind(), E::PermissionDenied | E::InvalidFilename | E::InvalidInput)
            }
            CannotKeep::Disk { .. }
            | CannotKeep::Needed { .. }
            | CannotKeep::Beside { .. }
            | CannotKeep::Leads { .. }
            | CannotKeep::Stopped => true,
        }
    }
}
