//! Disk errors: the action, its path, and the system's error as source.

use std::io;
use std::path::{Path, PathBuf};

use super::home::NotHome;

/// An effect or a read that the system refused.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} {}", path.display())]
pub struct DiskError {
    /// The action, as a verb: "sync", "rename into place".
    pub action: &'static str,
    /// The file or folder that the action was for.
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

    /// Whether the system refuses changes but may allow reading: a read-only or full disk, a quota, missing
    /// permission, a failing device, a copy of a state directory.
    pub(crate) fn is_refused_change(&self) -> bool {
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

    /// Whether this process has reached its own limit of open files; waiting does not change that.
    pub(crate) fn is_out_of_descriptors(&self) -> bool {
        self.source.raw_os_error() == Some(rustix::io::Errno::MFILE.raw_os_error())
    }

    /// Whether the file or folder was not there.
    pub fn is_not_found(&self) -> bool {
        self.kind() == io::ErrorKind::NotFound
    }
}

/// Adds the action and the path to an I/O result.
pub(crate) trait IoContext<T> {
    /// Names the action and the path.
    fn context(self, action: &'static str, path: &Path) -> Result<T, DiskError>;
}

impl<T> IoContext<T> for io::Result<T> {
    fn context(self, action: &'static str, path: &Path) -> Result<T, DiskError> {
        self.map_err(|source| DiskError { action, path: path.to_owned(), source })
    }
}

/// Reads a whole file of the state directory; `None` when there is none. For files that others can write use
/// [`super::read_regular`].
///
/// # Errors
/// The system's error, except that the file is not there.
pub(crate) fn read_optional(path: &Path) -> Result<Option<Vec<u8>>, DiskError> {
    match crate::durable::plain::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e).context("read", path),
    }
}
