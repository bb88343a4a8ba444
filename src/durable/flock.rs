//! Locking files that are already open, and whether such a file still has its name.
//!
//! `fs2` does the locking. Since Rust 1.89 `std::fs::File` has methods of the same names, which silently take
//! precedence over the trait's; hence the explicit calls.

use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Whether another open file holds the lock: [`super::is_held`] for a file that is already open.
pub(crate) fn probe(file: &File) -> io::Result<bool> {
    match fs2::FileExt::try_lock_shared(file) {
        Ok(()) => {
            fs2::FileExt::unlock(file)?;
            Ok(false)
        }
        Err(e) if would_block(&e) => Ok(true),
        Err(e) => Err(e),
    }
}

/// Locks a file that was just made; false when another process locked it first or removed its name. Where the
/// file system has no locks, no other process can lock it either, so the file counts as locked by this one.
pub(super) fn claim_new(file: &File, path: &Path) -> bool {
    match try_exclusive(file) {
        Ok(locked) => locked && is_named(file, path),
        Err(_) => true,
    }
}

/// Releases the lock before the file is closed.
pub(super) fn unlock(file: &File) {
    let _ = fs2::FileExt::unlock(file);
}

pub(super) fn try_shared(file: &File) -> io::Result<bool> {
    match fs2::FileExt::try_lock_shared(file) {
        Ok(()) => Ok(true),
        Err(e) if would_block(&e) => Ok(false),
        Err(e) => Err(e),
    }
}

pub(super) fn try_exclusive(file: &File) -> io::Result<bool> {
    match fs2::FileExt::try_lock_exclusive(file) {
        Ok(()) => Ok(true),
        Err(e) if would_block(&e) => Ok(false),
        Err(e) => Err(e),
    }
}

fn would_block(e: &io::Error) -> bool {
    e.kind() == io::ErrorKind::WouldBlock
}

pub(super) fn is_named(file: &File, path: &Path) -> bool {
    file.metadata().is_ok_and(|opened| is_same(&opened, path))
}

/// Whether the name still belongs to this file.
pub(super) fn is_same(opened: &Metadata, path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|now| now.dev() == opened.dev() && now.ino() == opened.ino())
}
