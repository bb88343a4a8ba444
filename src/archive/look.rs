//! Finds everything in a folder that looks like git, without running git: by descriptors, at any depth, also
//! in dotted folders.

use std::collections::HashSet;
use std::ffi::{CStr, CString};
use std::hash::{BuildHasher, RandomState};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags, Stat, fstat, openat, openat2, statat};
use rustix::io::Errno;

use crate::durable::tree::{Go, Unread, Visitor, open_top, walk};

/// Device and inode.
pub(super) type FileId = (u64, u64);

/// A folder in which git keeps objects and names: a `.git`, a bare repository, a submodule's folder below
/// `.git/modules`, or the own folder of a linked working tree (`is_linked`).
#[derive(Debug, Clone)]
pub(super) struct Store {
    /// The path below the folder that was searched.
    pub(super) path: PathBuf,
    pub(super) place: FileId,
    /// Its folder `objects`, when it has one itself.
    pub(super) objects: Option<FileId>,
    /// Its objects and most of its names belong to another repository (`commondir`).
    pub(super) is_linked: bool,
}

/// The kind of a working tree's `.git`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DotGit {
    Folder(FileId),
    File,
    /// A link, a pipe or something else that git does not make.
    Strange,
}

/// A folder with a `.git`.
#[derive(Debug, Clone)]
pub(super) struct WorkTree {
    pub(super) path: PathBuf,
    pub(super) dot_git: DotGit,
}

/// Everything in a folder that looks like git.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) stores: Vec<Store>,
    pub(super) trees: Vec<WorkTree>,
    /// Folders of objects that belong to no repository here: others have them as alternates or reach them by
    /// a link.
    pub(super) pools: Vec<PathBuf>,
    /// Pipes and devices in the place of files that git opens: git would wait for them.
    pub(super) holding: Vec<PathBuf>,
    /// The disk space of all files, each counted once: time limits depend on it, and holes take no time.
    pub(super) bytes: u64,
}

impl Found {
    pub(super) fn is_empty(&self) -> bool {
        self.stores.is_empty() && self.trees.is_empty() && self.pools.is_empty()
    }

    /// Returns how many things there are to judge.
    pub(super) fn total(&self) -> usize {
        self.stores.len() + self.trees.len() + self.pools.len()
    }

    pub(super) fn store_at(&self, place: FileId) -> Option<usize> {
        self.stores.iter().position(|store| store.place == place)
    }
}

/// Opens a folder and searches it; `None` when there is no folder of that name.
///
/// # Errors
/// The part that could not be read: it may hold git work.
pub(super) fn look(folder: &Path, stop: &dyn Fn() -> bool) -> Result<Option<(OwnedFd, Found)>, Unread> {
    let top = match open_top(folder) {
        Ok(top) => top,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(e) if is_no_folder(&e) => return Ok(None),
        Err(e) => return Err(Unread::new(Path::new(""), e)),
    };
    let mut looking = Looking { found: Found::default(), seen: HashSet::new(), stop };
    walk(top.as_fd(), &mut looking)?;
    let mut found = looking.found;
    found.pools.sort_unstable();
    found.pools.dedup();
    let stores: HashSet<&Path> = found.stores.iter().map(|store| store.path.as_path()).collect();
    let is_of_store = |objects: &Path| {
        let above = objects.parent().filter(|_| objects.file_name().is_some_and(|name| name == "objects"));
        above.is_some_and(|above| stores.contains(above))
    };
    found.pools.retain(|pool| !is_of_store(pool));
    Ok(Some((top, found)))
}

pub(super) fn is_no_folder(error: &std::io::Error) -> bool {
    let raw = error.raw_os_error();
    raw == Some(Errno::NOTDIR.raw_os_error()) || raw == Some(Errno::LOOP.raw_os_error())
}

/// Returns the type and the file id of an entry; `None` when there is none.
pub(super) fn entry_at(folder: BorrowedFd<'_>, name: &CStr) -> Result<Option<(FileType, FileId)>, Errno> {
    match statat(folder, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(found) => Ok(Some((FileType::from_raw_mode(found.st_mode), (found.st_dev, found.st_ino)))),
        Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
        Err(e) => Err(e),
    }
}

/// An entry that exists.
pub(super) struct There {
    pub(super) kind: FileType,
    pub(super) found: Stat,
    /// Further questions about the entry use this handle, whatever has its name by then.
    pub(super) handle: OwnedFd,
}

/// Returns the entry at a path (of a length that the system takes) below an open folder; `None` when there is
/// none. A file or a link in the place of a folder of the path also gives `None`: what the path names is
/// gone, and a link's target is not part of it.
pub(super) fn entry_below(folder: BorrowedFd<'_>, path: &[u8]) -> Result<Option<There>, Errno> {
    let path = CString::new(path).map_err(|_| Errno::INVAL)?;
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
    let opened = loop {
        match openat2(folder, &*path, flags, Mode::empty(), resolve) {
            Err(Errno::AGAIN | Errno::INTR) => {}
            Err(Errno::NOSYS) => break openat(folder, &*path, flags, Mode::empty()),
            other => break other,
        }
    };
    match opened {
        Ok(handle) => {
            let found = fstat(&handle)?;
            Ok(Some(There { kind: FileType::from_raw_mode(found.st_mode), found, handle }))
        }
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => Ok(None),
        Err(e) => Err(e),
    }
}

/// A set of names, told apart by 128 bits of each, hashed with random keys so that no two can be made to
/// collide.
#[derive(Default)]
pub(super) struct Names {
    keys: [RandomState; 2],
    seen: HashSet<[u64; 2]>,
}

impl Names {
    /// Adds a name; true when it is new.
    pub(super) fn insert(&mut self, name: &[u8]) -> bool {
        self.seen.insert([self.keys[0].hash_one(name), self.keys[1].hash_one(name)])
    }
}

/// Returns the device and inode of an open folder.
pub(super) fn place_of(folder: impl AsFd) -> Result<FileId, Errno> {
    fstat(folder).map(|found| (found.st_dev, found.st_ino))
}

struct Looking<'a> {
    found: Found,
    /// Files with several names.
    seen: HashSet<FileId>,
    stop: &'a dyn Fn() -> bool,
}

impl Visitor for Looking<'_> {
    fn folder(&mut self, folder: BorrowedFd<'_>, path: &Path) -> Result<Go, Unread> {
        if (self.stop)() {
            return Err(Unread::new(path, std::io::ErrorKind::Interrupted));
        }
        let at = |name: &CStr| entry_at(folder, name).map_err(|e| Unread::new(path, e));
        if let Some((kind, place)) = at(c".git")? {
            let dot_git = match kind {
                FileType::Directory => DotGit::Folder(place),
                FileType::RegularFile => DotGit::File,
                _ => DotGit::Strange,
            };
            self.found.trees.push(WorkTree { path: path.to_owned(), dot_git });
        }
        // A damaged repository may lack any of these.
        let objects = at(c"objects")?;
        let has_objects_elsewhere = objects.is_some_and(|(kind, _)| kind == FileType::Symlink);
        let objects = objects.filter(|(kind, _)| *kind == FileType::Directory);
        let has = |names: &[&CStr]| -> Result<bool, Unread> {
            names.iter().try_fold(false, |seen, name| Ok(seen || at(name)?.is_some()))
        };
        let is_linked = at(c"commondir")?.is_some() && has(&[c"HEAD", c"index", c"gitdir"])?;
        let is_store = (objects.is_some() || has_objects_elsewhere)
            && has(&[c"HEAD", c"refs", c"packed-refs", c"config", c"index", c"logs"])?;
        if is_store || is_linked {
            let place = place_of(folder).map_err(|e| Unread::new(path, e))?;
            let objects = objects.map(|(_, place)| place);
            let path = path.to_owned();
            self.found.stores.push(Store { path, place, objects, is_linked });
        }
        Ok(Go::In)
    }

    fn entry(&mut self, folder: BorrowedFd<'_>, name: &CStr, path: &Path) -> Result<(), Unread> {
        match statat(folder, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(found) if is_holding(&found, path) => self.found.holding.push(path.to_owned()),
            // Another name of a file takes no space.
            Ok(found) if found.st_nlink > 1 && !self.seen.insert((found.st_dev, found.st_ino)) => {}
            Ok(found) => {
                let bytes = u64::try_from(found.st_blocks).unwrap_or(0).saturating_mul(512);
                self.found.bytes = self.found.bytes.saturating_add(bytes);
            }
            Err(Errno::NOENT) => {}
            Err(e) => return Err(Unread::new(path, e)),
        }
        let pool = path.parent().and_then(Path::parent).filter(|_| is_object(name.to_bytes(), path));
        if let Some(pool) = pool.filter(|pool| self.found.pools.last().is_none_or(|last| last != pool)) {
            self.found.pools.push(pool.to_owned());
        }
        Ok(())
    }
}

/// Whether git would open something that is no regular file: in a working tree the files that configure it,
/// and in the repositories of its submodules everything.
fn is_holding(found: &Stat, path: &Path) -> bool {
    let kind = FileType::from_raw_mode(found.st_mode);
    let is_of_git = || path.iter().any(|name| name.as_bytes().starts_with(b".git"));
    matches!(kind, FileType::Fifo | FileType::CharacterDevice | FileType::BlockDevice) && is_of_git()
}

/// Whether a file is an object of git's, or a pack of them, by its name and that of its folder.
fn is_object(name: &[u8], path: &Path) -> bool {
    let is_hex = |text: &[u8]| text.iter().all(u8::is_ascii_hexdigit);
    let above = || path.parent().and_then(Path::file_name).map(OsStrExt::as_bytes).unwrap_or_default();
    match name.len() {
        38 | 62 => is_hex(name) && above().len() == 2 && is_hex(above()),
        _ => name.starts_with(b"pack-") && name.ends_with(b".pack") && above() == b"pack",
    }
}
