//! What went wrong on the disk: what was tried, on which path, and the system's own error as source.

use std::io;
use std::path::{Path, PathBuf};

use super::home::NotHome;

/// An effect or a read that the system refused.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} {}", path.display())]
pub struct DiskError {
    /// What was tried, as a verb: "sync", "rename into place".
    pub action: &'static str,
    /// On which file or folder.
    pub path: PathBuf,
    /// The system's reason.
    #[source]
    pub source: io::Error,
}

impl DiskError {
    /// The kind of the system's reason.
    pub fn kind(&self) -> io::ErrorKind {
        self.source.kind()
    }

    /// Whether the system refuses changes of what it may well let us read: a read-only or full disk, a quota,
    /// missing permission, a failing device, a copy of a state directory.
    pub fn is_refused_change(&self) -> bool {
        use rustix::io::Errno;
        let refusals =
            [Errno::ROFS, Errno::NOSPC, Errno::DQUOT, Errno::FBIG, Errno::ACCESS, Errno::PERM, Errno::IO];
        let is_copy = matches!(NotHome::behind(&self.source), Some(NotHome::Copy { .. }));
        is_copy
            || self
                .source
                .raw_os_error()
                .is_some_and(|code| refusals.iter().any(|e| e.raw_os_error() == code))
    }

    /// Whether this process may open no more files: it alone, and it will not pass.
    pub fn is_out_of_descriptors(&self) -> bool {
        self.source.raw_os_error() == Some(rustix::io::Errno::MFILE.raw_os_error())
    }

    /// Whether the file or folder was not there.
    pub fn is_not_found(&self) -> bool {
        self.kind() == io::ErrorKind::NotFound
    }
}

/// Adds what was tried, and on what, to an I/O result.
pub(crate) trait IoContext<T> {
    /// Names the action and the path.
    fn context(self, action: &'static str, path: &Path) -> Result<T, DiskError>;
}

impl<T> IoContext<T> for io::Result<T> {
    fn context(self, action: &'static str, path: &Path) -> Result<T, DiskError> {
        self.map_err(|source| DiskError { action, path: path.to_owned(), source })
    }
}

/// Reads a whole file of the state directory; `None` when there is none. Not for what others may have put there: see
/// [`super::read_regular`].
///
/// # Errors
/// What the system says, other than that the file is not there.
pub fn read_optional(path: &Path) -> Result<Option<Vec<u8>>, DiskError> {
    match crate::durable::plain::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e).context("read", path),
    }
}
