//! Opening files of a tree that other users write.
//!
//! Anything may have the name of a file: a pipe without another end, a device that acts when it is opened (a
//! watchdog, a tape), a link to a secret. So the name is first examined through a descriptor that opens nothing
//! (`O_PATH`). Only a regular file is then opened, through that descriptor, even if the name belongs to something
//! else by then.

use std::ffi::{CStr, OsStr};
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, ResolveFlags, fstat, open, openat, openat2, statat};
use rustix::io::Errno;

use super::walk::open_folder;
use crate::durable::noreplace::MISSING;

/// Opens a file for reading by a path (of a length that the system takes) below an open folder. Neither links
/// nor mounts are followed.
///
/// # Errors
/// The system's error; of the kind `Unsupported` when it is no regular file.
pub(crate) fn open_file(folder: BorrowedFd<'_>, path: &CStr) -> io::Result<File> {
    open_found(&handle_of(folder, path)?)
}

/// As [`open_file`], but links are followed: the file behind a link is opened.
pub(crate) fn open_file_behind(path: &Path) -> io::Result<File> {
    open_found(&openat(CWD, path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?)
}

fn handle_of(folder: BorrowedFd<'_>, path: &CStr) -> io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV;
    loop {
        match openat2(folder, path, flags, Mode::empty(), resolve) {
            Err(Errno::AGAIN | Errno::INTR) => {}
            Err(e) if MISSING.contains(&e) => {
                let path = Path::new(OsStr::from_bytes(path.to_bytes()));
                let above = open_folder(folder, path.parent().unwrap_or(Path::new("")))?;
                let name = path.file_name().ok_or(Errno::INVAL)?;
                return Ok(openat(&above, name, flags, Mode::empty())?);
            }
            other => return Ok(other?),
        }
    }
}

/// Opens the file behind an `O_PATH` descriptor if it is a regular file.
fn open_found(handle: &OwnedFd) -> io::Result<File> {
    let found = fstat(handle)?;
    let kind = FileType::from_raw_mode(found.st_mode);
    if kind.is_symlink() {
        return Err(Errno::LOOP.into());
    }
    if !kind.is_file() {
        let why = format!("it is {}, no regular file", name_of(kind));
        return Err(io::Error::new(io::ErrorKind::Unsupported, why));
    }
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    Ok(open(format!("/proc/self/fd/{}", handle.as_raw_fd()), flags, Mode::empty())?.into())
}

/// The type of the entry with this name in a folder; `None` when there is none.
pub(crate) fn entry_at(folder: BorrowedFd<'_>, name: &CStr) -> Result<Option<FileType>, Errno> {
    match statat(folder, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(found) => Ok(Some(FileType::from_raw_mode(found.st_mode))),
        Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
        Err(e) => Err(e),
    }
}

/// What something that is not a regular file is called.
pub(crate) fn name_of(kind: FileType) -> &'static str {
    match kind {
        FileType::RegularFile => "a regular file",
        FileType::Directory => "a folder",
        FileType::Symlink => "a link",
        FileType::Fifo => "a named pipe",
        FileType::Socket => "a socket",
        FileType::CharacterDevice | FileType::BlockDevice => "a device",
        FileType::Unknown => "of an unknown kind",
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)] // Makes what is opened.
mod tests {
    use std::io::Read;
    use std::os::fd::AsFd;

    use super::*;

    #[test]
    fn open_file_refuses_special_files() {
        let place = tempfile::tempdir().unwrap();
        let at = |name: &str| place.path().join(name);
        std::fs::create_dir(at("folder")).unwrap();
        std::fs::write(at("folder/file"), "text").unwrap();
        std::os::unix::fs::symlink("folder/file", at("link")).unwrap();
        std::os::unix::fs::symlink("folder", at("way")).unwrap();
        rustix::fs::mknodat(CWD, at("pipe"), FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(at("socket")).unwrap();
        let top = super::super::open_top(place.path()).unwrap();
        let open = |path: &CStr| open_file(top.as_fd(), path).map_err(|e| (e.kind(), e.to_string()));
        let mut text = String::new();
        open(c"folder/file").unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(text, "text");
        for (path, what) in [(c"pipe", "a named pipe"), (c"socket", "a socket"), (c"folder", "a folder")] {
            let (kind, why) = open(path).unwrap_err();
            assert!(kind == io::ErrorKind::Unsupported && why.contains(what), "{why}");
        }
        for path in [c"link", c"way/file"] {
            assert_eq!(open(path).unwrap_err().0, io::Error::from(Errno::LOOP).kind());
        }
        assert_eq!(open(c"nothing").unwrap_err().0, io::ErrorKind::NotFound);
        assert!(open_file_behind(&at("link")).is_ok() && open_file_behind(&at("pipe")).is_err());
    }
}
