//! A fingerprint of a folder, to tell later whether anything in it changed. It is made of the system's own
//! data about each entry and compared for equality, so a clock that was set back hides nothing.

use std::ffi::CStr;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{AtFlags, Stat, fstat, statat};
use rustix::io::Errno;

use super::cannot_keep::CannotKeep;
use super::look::is_no_folder;
use crate::durable::tree::{Go, Unread, Visitor, open_top, walk};

/// Locking a job changes this file, and it holds nothing of the job's.
const LOCK: &str = "sentinel.lock";

/// Combines the names, inodes, sizes and change times of the entries; their order does not matter. The
/// folder's own name and times do not count: they change when it is moved to a trash.
struct Fold {
    sums: [u64; 2],
    entries: u64,
}

impl Fold {
    fn add(&mut self, path: &Path, found: &Stat) {
        if path == Path::new(LOCK) {
            return;
        }
        self.entries += 1;
        for (salt, sum) in (0u8..).zip(&mut self.sums) {
            let mut hash = DefaultHasher::new();
            salt.hash(&mut hash);
            path.as_os_str().as_bytes().hash(&mut hash);
            (found.st_ino, found.st_size, found.st_mode).hash(&mut hash);
            (found.st_ctime, found.st_ctime_nsec).hash(&mut hash);
            *sum = sum.wrapping_add(hash.finish());
        }
    }
}

impl Visitor for Fold {
    fn folder(&mut self, folder: BorrowedFd<'_>, path: &Path) -> Result<Go, Unread> {
        if !path.as_os_str().is_empty() {
            self.add(path, &fstat(folder).map_err(|e| Unread::new(path, e))?);
        }
        Ok(Go::In)
    }

    fn entry(&mut self, folder: BorrowedFd<'_>, name: &CStr, path: &Path) -> Result<(), Unread> {
        match statat(folder, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(found) => self.add(path, &found),
            Err(Errno::NOENT) => {}
            Err(e) => return Err(Unread::new(path, e)),
        }
        Ok(())
    }
}

/// Returns a text that differs when anything in the folder changed; `None` when there is no folder. Take it
/// before judging the folder, so that it covers changes during the judgement.
pub fn fingerprint(folder: &Path) -> Result<Option<String>, CannotKeep> {
    let unread = |source| CannotKeep::Unread { folder: folder.to_owned(), source };
    let top = match open_top(folder) {
        Ok(top) => top,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound || is_no_folder(&e) => return Ok(None),
        Err(e) => return Err(unread(Unread::new(Path::new(""), e))),
    };
    let mut fold = Fold { sums: [0; 2], entries: 0 };
    walk(top.as_fd(), &mut fold).map_err(unread)?;
    Ok(Some(format!("{}-{:016x}{:016x}", fold.entries, fold.sums[0], fold.sums[1])))
}
