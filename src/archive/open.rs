//! Opening what a repository names, and what it may have.

use std::ffi::OsStr;
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{FileType, Mode, OFlags, openat};

use super::look::entry_at;
use super::tips;
use crate::durable::tree::{Go, Unread, Visitor, open_file, open_folder, walk};

/// Opens a folder that a repository names, wherever it is.
pub(super) fn open_anywhere(from: BorrowedFd<'_>, path: &[u8]) -> std::io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(openat(from, OsStr::from_bytes(path), flags, Mode::empty())?)
}

/// The repository that a linked working tree's folder belongs to; `None` for a whole one.
pub(super) fn common_of(folder: BorrowedFd<'_>) -> Result<Option<OwnedFd>, String> {
    let Some(text) = tips::small(folder, c"commondir")? else { return Ok(None) };
    open_anywhere(folder, text.trim_ascii())
        .map(Some)
        .map_err(|e| format!("the repository that its file commondir names cannot be opened: {e}"))
}

pub(super) fn is_store(folder: BorrowedFd<'_>) -> bool {
    [c"objects", c"refs"].iter().all(|name| {
        entry_at(folder, name).is_ok_and(|found| found.is_some_and(|(kind, _)| kind == FileType::Directory))
    })
}

pub(super) fn objects_of(folder: BorrowedFd<'_>) -> Result<OwnedFd, String> {
    let common = common_of(folder)?;
    let folder = common.as_ref().map_or(folder, AsFd::as_fd);
    open_folder(folder, Path::new("objects")).map_err(|e| format!("its folder objects cannot be opened: {e}"))
}

pub(super) fn optional_file(folder: BorrowedFd<'_>, name: &std::ffi::CStr) -> Result<Option<File>, String> {
    match open_file(folder, name) {
        Ok(file) => Ok(Some(file)),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(format!("{}: {e}", name.to_string_lossy())),
    }
}

/// Whether there is a file in a working tree's `.git`, which is no repository.
pub(super) fn holds_files(tree: &OwnedFd) -> Result<bool, String> {
    let dot_git = open_folder(tree.as_fd(), Path::new(".git")).map_err(|e| format!(".git: {e}"))?;
    holds_anything(&dot_git).map_err(|e| e.to_string())
}

/// Whether there is anything but folders in a folder.
pub(super) fn holds_anything(folder: &OwnedFd) -> Result<bool, Unread> {
    pub(super) struct Any(bool);
    impl Visitor for Any {
        fn folder(&mut self, _: BorrowedFd<'_>, _: &Path) -> Result<Go, Unread> {
            Ok(if self.0 { Go::Past } else { Go::In })
        }
        fn entry(&mut self, _: BorrowedFd<'_>, _: &std::ffi::CStr, _: &Path) -> Result<(), Unread> {
            self.0 = true;
            Ok(())
        }
    }
    let mut any = Any(false);
    walk(folder.as_fd(), &mut any)?;
    Ok(any.0)
}
