//! The folder that a [`Disk`] works in, held open: every change by path happens in that folder or is refused.
//!
//! A process that works on a folder for a while has only its path, and that path can come to lead to another
//! folder: an operator renames the folder and puts another one in its place. So before every change of a name
//! below the path, the path is compared with the folder that was opened. Open files are not affected: they belong
//! to the folder in which they were opened, wherever it is now.
//!
//! [`Disk`]: super::Disk

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{Mode, OFlags};

/// Why a change was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NotHome {
    /// The folder is a copy of another one; nothing in it may be changed.
    #[error("{} is a copy of {}: nothing is changed in it", root.display(), of.display())]
    Copy {
        root: PathBuf,
        /// The path at which the original is, or was.
        of: PathBuf,
    },
    /// Another folder than the one that was opened is at the path.
    #[error("{} is another folder now: the one that was opened there was moved or replaced", root.display())]
    Replaced { root: PathBuf },
    /// Nothing is at the path.
    #[error("{} is not there any more: it was moved or removed", root.display())]
    Gone { root: PathBuf },
    /// The folder is the one that was opened, but the file that this process has locked in it is no longer at its
    /// path.
    #[error("{} is not the file that this process has locked: the files of {} were removed or replaced", file.display(), root.display())]
    Emptied {
        root: PathBuf,
        /// The path of the file.
        file: PathBuf,
    },
}

impl NotHome {
    /// The refusal behind an error of the system, if it is one.
    pub fn behind(error: &io::Error) -> Option<&NotHome> {
        error.get_ref()?.downcast_ref()
    }
}

/// A folder that was opened.
#[derive(Debug, Clone)]
pub struct Home {
    root: PathBuf,
    folder: Option<Arc<OwnedFd>>,
    identity: (u64, u64),
    copy_of: Option<PathBuf>,
}

impl Home {
    /// Opens the folder at `root`. When no more files can be opened, only the folder's identity is kept.
    pub(crate) fn open(root: &Path) -> io::Result<Home> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let folder = rustix::fs::open(root, flags, Mode::empty()).ok().map(Arc::new);
        let identity = identity_at(root)?;
        Ok(Home { root: root.to_owned(), folder, identity, copy_of: None })
    }

    /// The same folder, marked as a copy: every change in it is refused.
    pub(crate) fn copy_of(self, original: PathBuf) -> Home {
        Home { copy_of: Some(original), ..self }
    }

    /// Refuses a change below the root, unless the root is still the folder that was opened.
    pub(super) fn check(&self, path: &Path) -> io::Result<()> {
        if !path.starts_with(&self.root) {
            return Ok(());
        }
        let root = || self.root.clone();
        if let Some(of) = &self.copy_of {
            return Err(io::Error::other(NotHome::Copy { root: root(), of: of.clone() }));
        }
        match identity_at(&self.root) {
            Ok(found) if found != self.identity && found != self.own_identity() => {
                Err(io::Error::other(NotHome::Replaced { root: root() }))
            }
            // A missing folder makes the change itself fail.
            _ => Ok(()),
        }
    }

    /// Checks that its path leads to it. This is for long-running work, so a path that leads nowhere is an error
    /// too, whereas a single change simply fails. A path that cannot be examined is no reason to stop.
    pub(super) fn check_itself(&self) -> io::Result<()> {
        match std::fs::metadata(&self.root) {
            Err(e) if leads_nowhere(&e) => Err(io::Error::other(NotHome::Gone { root: self.root.clone() })),
            _ => self.check(&self.root),
        }
    }

    /// The path by which it was opened.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// The folder itself, to open something in; `None` where it could not be held open.
    pub(crate) fn as_folder(&self) -> Option<BorrowedFd<'_>> {
        self.folder.as_ref().map(|folder| folder.as_fd())
    }

    /// Whether its path leads to it.
    pub(crate) fn is_at_its_path(&self) -> bool {
        identity_at(&self.root).is_ok_and(|found| found == self.own_identity())
    }

    /// The folder's present path; `None` when the folder was removed or the system cannot tell.
    pub(crate) fn path_now(&self) -> Option<PathBuf> {
        let folder = self.folder.as_ref()?;
        let path = std::fs::read_link(format!("/proc/self/fd/{}", folder.as_raw_fd())).ok()?;
        identity_at(&path).is_ok_and(|found| found == self.own_identity()).then_some(path)
    }

    /// The same folder, under another path.
    pub(crate) fn by_path(&self, root: PathBuf) -> Home {
        Home { root, ..self.clone() }
    }

    /// Device and inode. The system is asked each time, because some file systems renumber their files.
    fn own_identity(&self) -> (u64, u64) {
        let seen = self.folder.as_ref().and_then(|folder| rustix::fs::fstat(folder).ok());
        #[allow(clippy::useless_conversion)] // The types differ between architectures.
        seen.map_or(self.identity, |seen| (seen.st_dev.into(), seen.st_ino.into()))
    }
}

/// Whether an error says that nothing is at a path, and not only that the path cannot be examined.
pub(super) fn leads_nowhere(e: &io::Error) -> bool {
    matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

fn identity_at(path: &Path) -> io::Result<(u64, u64)> {
    let metadata = std::fs::metadata(path)?;
    Ok((metadata.dev(), metadata.ino()))
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)]
mod tests {
    use super::super::Disk;
    use super::*;

    #[test]
    fn home_refuses_changes_in_another_folder() {
        let folder = tempfile::tempdir().unwrap();
        let (root, moved, other) =
            (folder.path().join("root"), folder.path().join("moved"), folder.path().join("other"));
        std::fs::create_dir(&root).unwrap();
        std::fs::create_dir(&other).unwrap();
        let home = Home::open(&root).unwrap();
        let disk = Disk::real().at_home(home.clone());
        let kept = disk.create_new(&root.join("kept"), 0o600).unwrap();
        std::fs::rename(&root, &moved).unwrap();
        std::fs::rename(&other, &root).unwrap();
        let refused = disk.create_new(&root.join("new"), 0o600).unwrap_err();
        assert!(matches!(NotHome::behind(&refused.source), Some(NotHome::Replaced { .. })), "{refused:?}");
        assert!(disk.create_dir(&root.join("below")).is_err());
        assert!(disk.open_append(&root.join("log")).is_err());
        assert!(disk.remove_file(&root.join("kept")).is_err());
        assert_eq!(std::fs::read_dir(&root).unwrap().count(), 0);
        // An open file stays in its folder, wherever that is now.
        kept.write_at(b"x", 0).unwrap();
        assert_eq!(std::fs::read(moved.join("kept")).unwrap(), b"x");
        assert_eq!(home.path_now(), Some(std::fs::canonicalize(&moved).unwrap()));
        let there = Disk::real().at_home(home.by_path(moved.clone()));
        there.create_new(&moved.join("new"), 0o600).unwrap();
        // Long-running work learns what the path leads to.
        let seen = |disk: &Disk| NotHome::behind(&disk.check_its_home().unwrap_err().source).cloned();
        assert!(matches!(seen(&disk), Some(NotHome::Replaced { .. })));
        std::fs::remove_dir(&root).unwrap();
        assert!(matches!(seen(&disk), Some(NotHome::Gone { .. })));
        there.check_its_home().unwrap();
        // Changes beside the root are not refused.
        disk.create_dir(&folder.path().join("beside")).unwrap();
        std::fs::remove_dir_all(&moved).unwrap();
        assert_eq!(home.path_now(), None);
    }

    #[test]
    fn home_refuses_changes_in_copy() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("file"), "x").unwrap();
        let home = Home::open(folder.path()).unwrap().copy_of("/original".into());
        let disk = Disk::real().at_home(home);
        let refused = disk.open(&folder.path().join("file")).unwrap_err();
        assert!(refused.is_refused_change());
        assert!(matches!(NotHome::behind(&refused.source), Some(NotHome::Copy { .. })));
        assert!(disk.remove_file(&folder.path().join("file")).unwrap_err().is_refused_change());
        assert!(folder.path().join("file").exists());
    }
}
