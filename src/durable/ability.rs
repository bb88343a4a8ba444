//! Tries out what a file system must be able to do, so that a state directory on an unfit file system is refused
//! at once, with the reason.
//!
//! | needed | why | where it is missing |
//! | --- | --- | --- |
//! | flock that excludes another open file | every lock | some network file systems |
//! | a rename that replaces nothing, or hard links | a name that is given once | FAT; some FUSE |
//! | a lock that stays with its file when that is renamed | no process ever sees a living supervisor's lock free | FUSE, where another name is another file |
//! | a shared page of memory that reads as the file does | the end of a log | FUSE with direct I/O |
//! | a folder that can be synced, a time that can be set | acknowledgements; heartbeats | |
//!
//! Unnamed files, holes and preallocation are used where they exist and are not required.

use std::io;
use std::path::Path;

use super::disk::Disk;
use super::error::{DiskError, IoContext};
use super::flock::try_exclusive;
use super::replace::{Survives, TEMPORARY_PREFIX, Temporary};
use super::shared_page::SharedPage;
use super::weakness::is_weakness;

/// An ability that the file system lacks.
#[derive(Debug)]
pub(crate) struct Unable {
    /// Completes the sentence "the file system cannot …".
    pub what: &'static str,
    /// The system's reason.
    pub source: io::Error,
}

/// Tries the abilities in this folder, and leaves nothing there. A full, read-only or failing disk is not an
/// error here: the command that has to write reports it.
pub(crate) fn try_abilities(disk: &Disk, folder: &Path) -> Result<(), Unable> {
    let trial = Trial { disk, folder };
    match trial.all() {
        Err(unable) if passes(&unable.source) => Ok(()),
        other => other,
    }
}

fn passes(error: &io::Error) -> bool {
    is_weakness(error) || error.raw_os_error() == Some(rustix::io::Errno::ACCESS.raw_os_error())
}

struct Trial<'a> {
    disk: &'a Disk,
    folder: &'a Path,
}

/// Names the ability that an error shows to be missing.
trait Attempted<T> {
    fn or_unable(self, what: &'static str) -> Result<T, Unable>;
}

impl<T> Attempted<T> for Result<T, DiskError> {
    fn or_unable(self, what: &'static str) -> Result<T, Unable> {
        self.map_err(|e| Unable { what, source: e.source })
    }
}

impl Trial<'_> {
    fn all(&self) -> Result<(), Unable> {
        let name = tempfile::Builder::new()
            .prefix(TEMPORARY_PREFIX)
            .make_in(self.folder, |path| Ok(path.to_owned()))
            .context("choose a name in", self.folder)
            .or_unable("make a file")?;
        let (target, name) = name.into_parts();
        // The file is made and removed through the seam; `tempfile` only chose the name and must not remove it.
        let _ = name.keep();
        let tried = self.give_names(&target).and_then(|()| self.share_a_page(&target));
        match self.disk.remove_file(&target) {
            Err(e) if tried.is_ok() && !e.is_not_found() => Err(e).or_unable("remove a file"),
            _ => tried,
        }
    }

    fn give_names(&self, target: &Path) -> Result<(), Unable> {
        let new = || Temporary::new(self.disk, self.folder).or_unable("make a temporary file");
        let first = new()?;
        first.file.write_at(b"tried", 0).or_unable("write to a file")?;
        first.file.sync().or_unable("sync a file")?;
        self.is_locked(first.file.path(), "keep two processes apart by a lock (flock)")?;
        let unnamed = "rename a file without replacing another, nor give it a second name (hard link)";
        let named = first.publish(target, false, Survives::PowerLoss).or_unable(unnamed)?;
        self.is_locked(target, "keep a file's lock when the file gets its name")?;
        named.touch().or_unable("set a file's time")?;
        match new()?.publish(target, false, Survives::PowerLoss) {
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
            Err(e) => return Err(e).or_unable(unnamed),
            Ok(_) => return Err(Unable { what: unnamed, source: io::Error::other("a file was replaced") }),
        }
        new()?.publish(target, true, Survives::PowerLoss).or_unable("replace a file by another").map(drop)
    }

    /// A second open file must not get the lock that the first one holds.
    fn is_locked(&self, path: &Path, what: &'static str) -> Result<(), Unable> {
        let other = self.disk.open(path).or_unable(what)?;
        match try_exclusive(other.as_file()) {
            Ok(false) => Ok(()),
            Ok(true) => Err(Unable { what, source: io::Error::other("another process could lock it too") }),
            Err(source) => Err(Unable { what, source }),
        }
    }

    fn share_a_page(&self, target: &Path) -> Result<(), Unable> {
        let what = "share a page of memory (mmap)";
        let file = self.disk.open(target).or_unable(what)?;
        file.truncate(SharedPage::LEN).or_unable(what)?;
        let page = SharedPage::map(file.as_file()).map_err(|source| Unable { what, source })?;
        if page.reads_as(file.as_file()).map_err(|source| Unable { what, source })? {
            Ok(())
        } else {
            Err(Unable { what, source: io::Error::other("what is written there does not read as the file") })
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::disallowed_methods)]
    use super::*;

    #[test]
    fn abilities_on_usual_file_system_leave_nothing() {
        let folder = tempfile::tempdir().unwrap();
        try_abilities(&Disk::real(), folder.path()).unwrap();
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn abilities_missing_folder_and_full_disk() {
        let folder = tempfile::tempdir().unwrap();
        assert!(try_abilities(&Disk::real(), &folder.path().join("missing")).is_err());
        assert!(passes(&rustix::io::Errno::NOSPC.into()) && !passes(&rustix::io::Errno::INVAL.into()));
    }
}
