//! Temporary files that a crash left behind.
//!
//! A writer locks its temporary file before the file has a name. A sweep takes that lock, checks that the
//! name still means the file it locked, and removes the file while holding the lock. So a file that can be
//! locked belongs to no living process, and no clock is needed. Where the file system has no unnamed files,
//! the writer locks the file right after creating it and checks that the name is still its own; if a sweep
//! was faster, it creates another.

use std::ffi::OsStr;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::disk::Disk;
use super::error::{DiskError, IoContext};
use super::flock::{is_named, try_exclusive, unlock};
use super::replace::TEMPORARY_PREFIX;

/// How many letters and digits follow the prefix.
const RANDOM_LETTERS: usize = 6;

/// Result of [`remove_abandoned`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Abandoned {
    /// No process was writing the file; it is removed.
    Removed {
        /// Its length.
        bytes: u64,
    },
    /// A living process holds its lock; it was left alone.
    InUse,
    /// It was removed or replaced before this process examined it.
    Gone,
}

/// Whether a name has exactly the form of the temporary files that this library makes.
pub fn is_temporary_name(name: &OsStr) -> bool {
    name.to_str().and_then(|n| n.strip_prefix(TEMPORARY_PREFIX)).is_some_and(|random| {
        random.len() == RANDOM_LETTERS && random.bytes().all(|b| b.is_ascii_alphanumeric())
    })
}

/// Removes a temporary file unless a living process is writing it.
///
/// # Errors
/// The system's error; the file is then still there.
#[track_caller]
pub(crate) fn remove_abandoned(disk: &Disk, path: &Path) -> Result<Abandoned, DiskError> {
    match remove_unlocked(disk, path) {
        Err(e) if e.is_not_found() => Ok(Abandoned::Gone),
        other => other,
    }
}

#[track_caller]
fn remove_unlocked(disk: &Disk, path: &Path) -> Result<Abandoned, DiskError> {
    let seen = std::fs::symlink_metadata(path).context("look at", path)?;
    if !seen.is_file() {
        return Ok(Abandoned::Gone);
    }
    let file = disk.open(path)?;
    let opened = file.metadata()?;
    if (seen.dev(), seen.ino()) != (opened.dev(), opened.ino()) {
        return Ok(Abandoned::Gone);
    }
    if !try_exclusive(file.as_file()).context("lock", path)? {
        return Ok(Abandoned::InUse);
    }
    let removed = if is_named(file.as_file(), path) {
        disk.remove_file(path).map(|()| Abandoned::Removed { bytes: opened.len() })
    } else {
        Ok(Abandoned::Gone)
    };
    unlock(file.as_file());
    removed
}

#[cfg(test)]
mod tests {
    #![allow(clippy::disallowed_methods)]
    use super::*;
    use crate::durable::replace;
    use crate::durable::replace::Temporary;

    #[test]
    fn sweep_keeps_locked_and_removes_abandoned() {
        let folder = tempfile::tempdir().unwrap();
        let disk = Disk::real();
        let writing = Temporary::new(&disk, folder.path()).unwrap();
        let path = writing.file.path().to_owned();
        assert!(is_temporary_name(path.file_name().unwrap()));
        assert_eq!(remove_abandoned(&disk, &path).unwrap(), Abandoned::InUse);
        assert!(path.exists());
        drop(writing);
        assert_eq!(remove_abandoned(&disk, &path).unwrap(), Abandoned::Gone);

        let left = folder.path().join(".tmp-aB3dE9");
        std::fs::write(&left, b"half").unwrap();
        assert_eq!(remove_abandoned(&disk, &left).unwrap(), Abandoned::Removed { bytes: 4 });
        assert!(!left.exists());
    }

    #[test]
    fn temporary_name_has_exact_form() {
        for name in [".tmp-abc", ".tmp-abcdefg", "tmp-abcdef", ".tmp-abc.ef", ".tmp-"] {
            assert!(!is_temporary_name(OsStr::new(name)), "{name}");
        }
    }

    /// Writers and sweeps work in the same folder at once: every replacement succeeds and nothing is left.
    #[test]
    fn sweep_concurrent_with_writers() {
        let folder = tempfile::tempdir().unwrap();
        let disk = Disk::real();
        let done = std::sync::atomic::AtomicUsize::new(0);
        let sweep = || {
            for entry in std::fs::read_dir(folder.path()).unwrap().flatten() {
                if is_temporary_name(&entry.file_name()) {
                    remove_abandoned(&disk, &entry.path()).unwrap();
                }
            }
        };
        std::thread::scope(|scope| {
            for writer in 0..3 {
                let (disk, folder, done) = (&disk, &folder, &done);
                scope.spawn(move || {
                    for round in 0..200 {
                        let path = folder.path().join(format!("file-{writer}"));
                        replace(disk, &path, format!("{round}").as_bytes()).unwrap();
                        assert_eq!(std::fs::read(&path).unwrap(), format!("{round}").as_bytes());
                    }
                    done.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                });
            }
            while done.load(std::sync::atomic::Ordering::SeqCst) < 3 {
                sweep();
            }
        });
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 3);
    }
}
