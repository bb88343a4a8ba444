//! Visits everything that a removal would reach: below descriptors, no link, no other mount, at any depth.
//!
//! Unlike a measurement, a walk ends at the first entry that cannot be read, and names it: an entry that was not
//! seen is unknown, and must not be deleted.

use std::ffi::{CStr, CString, OsStr};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, RawDir, Stat, fstat, open, statat};
use rustix::io::Errno;

use super::remove::open_below;

/// Folders above the present one that stay open; those above them are opened again through `..`.
const KEPT_OPEN: usize = 48;
/// Longest path in a message, in bytes.
const SHOWN: usize = 400;

/// Something that could not be read.
#[derive(Debug, thiserror::Error)]
#[error("{} cannot be read: {source}", shown(path))]
pub struct Unread {
    /// The path below the folder that was walked; empty for the folder itself.
    pub path: PathBuf,
    /// The system's reason.
    #[source]
    pub source: io::Error,
}

impl Unread {
    pub(crate) fn new(path: &Path, source: impl Into<io::Error>) -> Unread {
        Unread { path: path.to_owned(), source: source.into() }
    }
}

/// A path for a message: without control characters, and cut when it is very long.
pub(crate) fn shown(path: &Path) -> String {
    let text: String = path.to_string_lossy().chars().filter(|c| !c.is_control()).collect();
    if text.is_empty() {
        return "the folder itself".to_owned();
    }
    match text.char_indices().nth(SHOWN) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text,
    }
}

/// Whether a walk enters a folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Go {
    /// The walk visits the folder's entries.
    In,
    /// The walk skips the folder's entries.
    Past,
}

/// Receives the entries of a tree. Paths are relative to its top.
pub(crate) trait Visitor {
    /// A folder that was just opened, before its entries are visited; the top has an empty path.
    ///
    /// # Errors
    /// Ends the walk.
    fn folder(&mut self, folder: BorrowedFd<'_>, path: &Path) -> Result<Go, Unread>;

    /// Anything else, by its name in an open folder.
    ///
    /// # Errors
    /// Ends the walk.
    fn entry(&mut self, folder: BorrowedFd<'_>, name: &CStr, path: &Path) -> Result<(), Unread>;

    /// A folder that cannot be opened.
    ///
    /// # Errors
    /// Ends the walk, unless the visitor can do without that folder.
    fn closed(
        &mut self,
        above: BorrowedFd<'_>,
        name: &CStr,
        path: &Path,
        error: Errno,
    ) -> Result<(), Unread> {
        let _ = (above, name);
        Err(Unread::new(path, error))
    }

    /// A folder on which something is mounted: it is not entered.
    ///
    /// # Errors
    /// Ends the walk.
    fn mounted(&mut self, path: &Path) -> Result<(), Unread> {
        let _ = path;
        Ok(())
    }
}

/// A folder on the way down.
struct Level {
    fd: Option<OwnedFd>,
    device_and_inode: (u64, u64),
    below: Vec<CString>,
}

/// Opens the folder at which a walk begins; a link at the end of its path is an error.
pub(crate) fn open_top(path: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(open(path, flags, Mode::empty())?)
}

/// Shows a visitor everything below an open folder, the folder first.
pub(crate) fn walk(top: BorrowedFd<'_>, visitor: &mut dyn Visitor) -> Result<(), Unread> {
    let mut path = PathBuf::new();
    // A new open file description, so that this walk has its own position in the listing.
    let own = open_again(top).map_err(|e| Unread::new(&path, e))?;
    let mut levels: Vec<Level> = Vec::new();
    levels.extend(seen(own, &path, visitor)?);
    while let Some(level) = levels.last_mut() {
        let Some(name) = level.below.pop() else {
            let done = levels.pop();
            if let (Some(done), Some(above)) = (done, levels.last_mut()) {
                reopen(&done, above, &path)?;
                path.pop();
            }
            continue;
        };
        path.push(OsStr::from_bytes(name.to_bytes()));
        let Some(fd) = &level.fd else { return Err(Unread::new(&path, io::ErrorKind::NotFound)) };
        match open_below(fd.as_fd(), &name, OFlags::RDONLY) {
            Ok(opened) => {
                if let Some(level) = seen(opened, &path, visitor)? {
                    levels.push(level);
                    if let Some(far) = levels.len().checked_sub(KEPT_OPEN + 1) {
                        levels[far].fd = None;
                    }
                    continue;
                }
            }
            // A removal does not cross a mount either; a folder that is gone holds nothing.
            Err(Errno::XDEV) => visitor.mounted(&path)?,
            Err(Errno::NOENT) => {}
            // It became a link or a file since it was listed.
            Err(Errno::LOOP | Errno::NOTDIR) => visitor.entry(fd.as_fd(), &name, &path)?,
            Err(e) => visitor.closed(fd.as_fd(), &name, &path, e)?,
        }
        path.pop();
    }
    Ok(())
}

fn open_again(folder: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(rustix::fs::openat(folder, c".", flags, Mode::empty())?)
}

/// Shows a folder and its direct entries to the visitor; returns the level below it, when the walk enters it.
fn seen(fd: OwnedFd, path: &Path, visitor: &mut dyn Visitor) -> Result<Option<Level>, Unread> {
    let found = fstat(&fd).map_err(|e| Unread::new(path, e))?;
    if visitor.folder(fd.as_fd(), path)? == Go::Past {
        return Ok(None);
    }
    let mut below = Vec::new();
    let mut buffer: Vec<u8> = Vec::with_capacity(32 << 10);
    let mut entries = RawDir::new(fd.as_fd(), buffer.spare_capacity_mut());
    while let Some(entry) = entries.next() {
        let entry = match entry {
            Ok(entry) => entry,
            // It was removed since it was opened.
            Err(Errno::NOENT) => break,
            Err(e) => return Err(Unread::new(path, e)),
        };
        let name = entry.file_name();
        if matches!(name.to_bytes(), b"." | b"..") {
            continue;
        }
        let is_folder = match entry.file_type() {
            FileType::Directory => true,
            FileType::Unknown => match statat(&fd, name, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(found) => FileType::from_raw_mode(found.st_mode).is_dir(),
                Err(Errno::NOENT) => continue,
                Err(e) => return Err(Unread::new(&path.join(OsStr::from_bytes(name.to_bytes())), e)),
            },
            _ => false,
        };
        if is_folder {
            below.push(name.to_owned());
        } else {
            visitor.entry(fd.as_fd(), name, &path.join(OsStr::from_bytes(name.to_bytes())))?;
        }
    }
    below.sort_by(|a, b| b.cmp(a)); // Popped from the end: in order.
    Ok(Some(Level { fd: Some(fd), device_and_inode: identity(&found), below }))
}

fn identity(found: &Stat) -> (u64, u64) {
    (found.st_dev, found.st_ino)
}

/// Opens the folder above again if it was closed on the way down, and makes sure that it is the same folder.
fn reopen(below: &Level, above: &mut Level, path: &Path) -> Result<(), Unread> {
    if above.fd.is_some() {
        return Ok(());
    }
    let Some(fd) = &below.fd else { return Err(Unread::new(path, io::ErrorKind::NotFound)) };
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let opened = rustix::fs::openat(fd, c"..", flags, Mode::empty()).map_err(|e| Unread::new(path, e))?;
    let found = fstat(&opened).map_err(|e| Unread::new(path, e))?;
    if identity(&found) != above.device_and_inode {
        return Err(Unread::new(path, io::Error::other("it was moved while it was looked at")));
    }
    above.fd = Some(opened);
    Ok(())
}

/// Opens a folder below an open one, however long its path is. Neither links nor mounts are followed.
pub(crate) fn open_folder(top: BorrowedFd<'_>, path: &Path) -> io::Result<OwnedFd> {
    let mut at = open_again(top)?;
    for part in path.components() {
        let Component::Normal(name) = part else { return Err(io::ErrorKind::InvalidInput.into()) };
        let name = CString::new(name.as_bytes())?;
        at = open_below(at.as_fd(), &name, OFlags::RDONLY)?;
    }
    Ok(at)
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)] // Makes and removes what is walked.
mod tests {
    use super::super::open_file;
    use super::*;

    #[derive(Default)]
    struct Names {
        folders: usize,
        files: Vec<PathBuf>,
    }

    impl Visitor for Names {
        fn folder(&mut self, _: BorrowedFd<'_>, path: &Path) -> Result<Go, Unread> {
            self.folders += 1;
            Ok(if path.ends_with("not-this") { Go::Past } else { Go::In })
        }

        fn entry(&mut self, _: BorrowedFd<'_>, _: &CStr, path: &Path) -> Result<(), Unread> {
            self.files.push(path.to_owned());
            Ok(())
        }
    }

    fn walked(top: &Path) -> Result<Names, Unread> {
        let mut names = Names::default();
        walk(open_top(top).unwrap().as_fd(), &mut names).map(|()| names)
    }

    #[test]
    fn walk_does_not_follow_links() {
        let place = tempfile::tempdir().unwrap();
        let outside = tempfile::tempdir().unwrap();
        std::fs::write(outside.path().join("secret"), "").unwrap();
        std::os::unix::fs::symlink(outside.path(), place.path().join("link")).unwrap();
        for folder in ["a/b", "c", "not-this"] {
            std::fs::create_dir_all(place.path().join(folder)).unwrap();
            std::fs::write(place.path().join(folder).join("file"), "").unwrap();
        }
        let mut seen = walked(place.path()).unwrap();
        seen.files.sort();
        assert_eq!(seen.files, ["a/b/file", "c/file", "link"].map(PathBuf::from));
        assert_eq!(seen.folders, 5);
    }

    #[test]
    fn walk_deeper_than_path_max() {
        let place = tempfile::tempdir().unwrap();
        let name = CString::new("d".repeat(200)).unwrap();
        let mut at = open_top(place.path()).unwrap();
        for _ in 0..120 {
            rustix::fs::mkdirat(&at, &*name, Mode::RWXU).unwrap();
            at = open_below(at.as_fd(), &name, OFlags::RDONLY).unwrap();
        }
        let flags = OFlags::CREATE | OFlags::WRONLY;
        drop(rustix::fs::openat(&at, c"end", flags, Mode::RWXU).unwrap());
        std::fs::write(place.path().join("last"), "").unwrap();
        let seen = walked(place.path()).unwrap();
        assert_eq!((seen.folders, seen.files.len()), (121, 2));
        let deep = seen.files.iter().find(|path| path.ends_with("end")).unwrap();
        assert!(deep.as_os_str().len() > 24_000);
        let top = open_top(place.path()).unwrap();
        let folder = open_folder(top.as_fd(), deep.parent().unwrap()).unwrap();
        assert!(open_file(folder.as_fd(), c"end").is_ok());
        let disk = crate::durable::Disk::real();
        crate::durable::tree::remove_tree(&disk, place.path(), &()).unwrap();
        std::fs::create_dir(place.path()).unwrap(); // For its own removal.
    }

    #[test]
    fn walk_stops_at_unreadable_and_names_it() {
        let place = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(place.path().join("vault/inside")).unwrap();
        struct Refuses;
        impl Visitor for Refuses {
            fn folder(&mut self, _: BorrowedFd<'_>, path: &Path) -> Result<Go, Unread> {
                if path == Path::new("vault/inside") { Err(Unread::new(path, Errno::IO)) } else { Ok(Go::In) }
            }
            fn entry(&mut self, _: BorrowedFd<'_>, _: &CStr, _: &Path) -> Result<(), Unread> {
                Ok(())
            }
        }
        let why = walk(open_top(place.path()).unwrap().as_fd(), &mut Refuses).unwrap_err();
        assert_eq!(why.path, Path::new("vault/inside"));
        assert!(why.to_string().starts_with("vault/inside cannot be read"), "{why}");
    }
}
