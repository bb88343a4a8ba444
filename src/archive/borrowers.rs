//! Finds repositories in other workspaces that have something in a folder to be removed. Only paths are
//! examined.

use std::ffi::{CStr, OsStr};
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, fstat, openat, statat};
use rustix::io::Errno;

use super::cannot_keep::CannotKeep;
use super::elsewhere::{SMALL, lines_of};
use super::look::{FileId, entry_at, place_of};
use crate::durable::tree::{Go, Unread, Visitor, open_file, open_top, walk};
use crate::state::StateDir;

/// Returns the repository in another workspace that keeps its objects, or its own folder, in this folder.
/// Only the paths that lead out of those workspaces show that, so every call searches all of them.
///
/// # Errors
/// Something there could not be examined: it may be such a repository.
pub(super) fn borrower(
    dir: &StateDir,
    folder: FileId,
    stop: &dyn Fn() -> bool,
) -> Result<Option<PathBuf>, CannotKeep> {
    let jobs = dir.paths.jobs();
    let beside = |path: &Path, source: Unread| CannotKeep::Beside { folder: path.to_owned(), source };
    let at_top = |e: std::io::Error| beside(&jobs, Unread::new(Path::new(""), e));
    let entries = match std::fs::read_dir(&jobs) {
        Ok(entries) => entries,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(at_top(e)),
    };
    for entry in entries {
        let entry = entry.map_err(at_top)?;
        if entry.file_name().as_bytes().starts_with(b".") {
            continue;
        }
        let path = entry.path();
        let top = match open_top(&path) {
            Ok(top) => top,
            Err(e) if leads_nowhere(&e) => continue,
            Err(e) if is_closed(&e) && !is_own(&path) => continue,
            Err(e) => return Err(beside(&path, Unread::new(Path::new(""), e))),
        };
        let unread = |e: Errno| beside(&path, Unread::new(Path::new(""), e));
        let workspace = place_of(&top).map_err(unread)?;
        if workspace == folder {
            continue;
        }
        let mut leading = Leading { workspace, folder, stop, found: None };
        let walked = walk(top.as_fd(), &mut leading);
        if let Some(repository) = leading.found {
            return Ok(Some(path.join(repository)));
        }
        if stop() {
            return Err(CannotKeep::Stopped);
        }
        walked.map_err(|source| beside(&path, source))?;
    }
    Ok(None)
}

/// Whether the error means that nothing can exist behind this name.
fn leads_nowhere(error: &std::io::Error) -> bool {
    use std::io::ErrorKind as E;
    matches!(error.kind(), E::NotFound | E::NotADirectory | E::InvalidFilename | E::InvalidInput)
        || error.raw_os_error() == Some(Errno::LOOP.raw_os_error())
}

fn is_closed(error: &std::io::Error) -> bool {
    error.kind() == std::io::ErrorKind::PermissionDenied
}

/// Whether this user owns the path, or its owner is unknown. Data that another user keeps private (a database
/// in a container) would otherwise block the removal of every workspace for ever, and only that user can have
/// a repository in it.
fn is_own(path: &Path) -> bool {
    path.symlink_metadata().map_or(true, |found| found.uid() == rustix::process::geteuid().as_raw())
}

/// Searches a workspace for paths that lead into another folder.
struct Leading<'a> {
    workspace: FileId,
    folder: FileId,
    stop: &'a dyn Fn() -> bool,
    /// The repository that needs what was found there.
    found: Option<PathBuf>,
}

impl Leading<'_> {
    fn follow(&mut self, from: BorrowedFd<'_>, to: &[u8], path: &Path) -> Result<(), Unread> {
        let flags = OFlags::PATH | OFlags::CLOEXEC;
        let opened =
            match openat(from, OsStr::from_bytes(to), flags, Mode::empty()).map_err(std::io::Error::from) {
                Ok(opened) => opened,
                // A path into a folder of ours would not be closed to us.
                Err(e) if leads_nowhere(&e) || is_closed(&e) => return Ok(()),
                Err(e) => return Err(Unread::new(path, e)),
            };
        let through = above(&opened).map_err(|e| Unread::new(path, e))?;
        // A repository in the same workspace is removed with it.
        if through.contains(&self.folder) && !through.contains(&self.workspace) {
            self.found = Some(path.to_owned());
        }
        Ok(())
    }
}

/// Returns the file ids of a folder and of all folders above it.
fn above(opened: &OwnedFd) -> std::io::Result<Vec<FileId>> {
    let real = std::fs::read_link(super::git::path_of(opened))?;
    let place = |path: &Path| path.metadata().ok().map(|found| (found.dev(), found.ino()));
    Ok(real.ancestors().filter_map(place).collect())
}

/// Reads a small file; `None` when it cannot be one of git's. Of a file longer than any that git writes only
/// the beginning is read: whatever else it names, only its author would miss, and reading all of it would
/// delay every removal.
fn text_at(folder: BorrowedFd<'_>, name: &CStr, path: &Path) -> Result<Option<Vec<u8>>, Unread> {
    let told = |e: std::io::Error| Unread::new(&path.join(OsStr::from_bytes(name.to_bytes())), e);
    let file = match open_file(folder, name) {
        Ok(file) => file,
        Err(e) if leads_nowhere(&e) || e.kind() == std::io::ErrorKind::Unsupported => return Ok(None),
        Err(e) if is_closed(&e) && !is_own_at(folder, name) => return Ok(None),
        Err(e) => return Err(told(e)),
    };
    let mut bytes = Vec::new();
    let read = file.take(SMALL).read_to_end(&mut bytes).map_err(told)?;
    if read as u64 == SMALL {
        bytes.truncate(bytes.iter().rposition(|byte| *byte == b'\n').unwrap_or(0));
    }
    Ok(Some(bytes))
}

fn is_own_at(folder: BorrowedFd<'_>, name: &CStr) -> bool {
    let found = statat(folder, name, AtFlags::SYMLINK_NOFOLLOW);
    let found = found.or_else(|_| fstat(folder));
    found.map_or(true, |found| found.st_uid == rustix::process::geteuid().as_raw())
}

impl Visitor for Leading<'_> {
    fn folder(&mut self, folder: BorrowedFd<'_>, path: &Path) -> Result<Go, Unread> {
        if self.found.is_some() || (self.stop)() {
            return Err(Unread::new(path, std::io::ErrorKind::Interrupted));
        }
        let kind = |name: &CStr| match entry_at(folder, name) {
            Ok(found) => Ok(found.map(|(kind, _)| kind)),
            Err(Errno::ACCESS | Errno::PERM) if !is_own_at(folder, c".") => Ok(None),
            Err(e) => Err(Unread::new(path, e)),
        };
        match kind(c".git")? {
            Some(FileType::RegularFile) => {
                let target = text_at(folder, c".git", path)?;
                if let Some(target) = target.as_deref().and_then(|text| text.strip_prefix(b"gitdir:")) {
                    self.follow(folder, target.trim_ascii(), path)?;
                }
            }
            Some(FileType::Symlink) => self.follow(folder, b".git", path)?,
            _ => {}
        }
        match kind(c"objects")? {
            Some(FileType::Symlink) => self.follow(folder, b"objects", path)?,
            Some(FileType::Directory) => {
                if let Some(list) = text_at(folder, c"objects/info/alternates", path)? {
                    let objects = openat(folder, c"objects", OFlags::PATH | OFlags::CLOEXEC, Mode::empty());
                    let objects = objects.map_err(|e| Unread::new(path, e))?;
                    for line in lines_of(&list) {
                        self.follow(objects.as_fd(), line, path)?;
                    }
                }
            }
            _ => {}
        }
        if kind(c"commondir")? == Some(FileType::RegularFile)
            && let Some(target) = text_at(folder, c"commondir", path)?
        {
            self.follow(folder, target.trim_ascii(), path)?;
        }
        // git's own objects are many, and no repository lies among them.
        let name = path.file_name().unwrap_or_default().as_bytes();
        let is_fan = name == b"pack" || (name.len() == 2 && name.iter().all(u8::is_ascii_hexdigit));
        let is_of_objects = path.parent().is_some_and(|above| above.ends_with(".git/objects"));
        Ok(if is_fan && is_of_objects { Go::Past } else { Go::In })
    }

    fn entry(&mut self, _: BorrowedFd<'_>, _: &CStr, _: &Path) -> Result<(), Unread> {
        Ok(())
    }

    fn closed(
        &mut self,
        above: BorrowedFd<'_>,
        name: &CStr,
        path: &Path,
        error: Errno,
    ) -> Result<(), Unread> {
        match error {
            Errno::ACCESS | Errno::PERM if !is_own_at(above, name) => Ok(()),
            _ => Err(Unread::new(path, error)),
        }
    }
}
