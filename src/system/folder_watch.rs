//! Whether anything happened in folders, as inotify(7) reports: by any process of this machine, even in another
//! namespace. An operation on a file is reported before its call returns to the process that made it. Writes to
//! memory that is shared with a file are not reported, and neither is what other machines do on a network file
//! system.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use rustix::io;

/// See the module.
#[derive(Debug)]
pub(crate) struct FolderWatch(OwnedFd);

/// Files that come, go, or are written.
const CHANGES: WatchFlags = WatchFlags::CREATE
    .union(WatchFlags::DELETE)
    .union(WatchFlags::MODIFY)
    .union(WatchFlags::ATTRIB)
    .union(WatchFlags::MOVED_FROM)
    .union(WatchFlags::MOVED_TO)
    .union(WatchFlags::DELETE_SELF)
    .union(WatchFlags::MOVE_SELF);

impl FolderWatch {
    /// Watches nothing yet.
    ///
    /// # Errors
    /// The system's: all instances may be taken.
    pub(crate) fn begin() -> io::Result<FolderWatch> {
        inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK).map(FolderWatch)
    }

    /// Watches a further folder: what appears, disappears and is written in it, not below it.
    pub(crate) fn add(&self, folder: &Path) -> io::Result<()> {
        inotify::add_watch(&self.0, folder, CHANGES | WatchFlags::ONLYDIR).map(drop)
    }

    /// Whether anything happened since the last call.
    pub(crate) fn take(&self) -> bool {
        let mut events = [0; 4096];
        let mut any = false;
        while matches!(io::read(&self.0, &mut events), Ok(n) if n > 0) {
            any = true;
        }
        any
    }
}

/// It becomes readable when something has happened.
impl AsFd for FolderWatch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)] // Plays another process that writes.
mod tests {
    use super::*;

    #[test]
    fn folder_watch_tells_once_what_happened() {
        let folder = tempfile::tempdir().unwrap();
        let watch = FolderWatch::begin().unwrap();
        watch.add(folder.path()).unwrap();
        assert!(!watch.take());
        std::fs::write(folder.path().join("a"), "1").unwrap();
        assert!(watch.take() && !watch.take());
        std::fs::rename(folder.path().join("a"), folder.path().join("b")).unwrap();
        assert!(watch.take() && !watch.take());
        assert!(watch.add(&folder.path().join("b")).is_err());
    }
}
