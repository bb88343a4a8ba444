//! The one seam between this library and the file system: every change of a file or folder is an
//! [`Effect`], announced to an optional [`Observer`] before it happens and reported after it did.
//!
//! The observer may refuse an effect (the caller then sees that error, as if the disk had failed) or
//! record it, which is how crash tests rebuild every disk image that a power loss could leave.
//! Reading is not an effect and uses `std::fs::File::open` directly.

use std::ffi::CStr;
use std::fs::{File, Metadata, OpenOptions};
use std::io;
use std::os::fd::BorrowedFd;
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt, PermissionsExt};
use std::panic::Location;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{Mode, OFlags};

use super::error::{DiskError, IoContext};
use super::home::Home;
use super::regular::open_carefully;
use super::seeded_bug::SeededBug;

/// Tries before giving up on a file that other processes keep creating and removing.
const MOST_TRIES: u32 = 100;

/// One change of the disk, in the order in which this process requested it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Effect<'a> {
    /// A new, empty file appears in its folder.
    Create { path: &'a Path },
    /// Bytes are written at an offset; a crash may keep any part of them until the file is synced.
    Write { path: &'a Path, offset: u64, bytes: &'a [u8] },
    /// The file's length is set; what lay behind is gone.
    Truncate { path: &'a Path, len: u64 },
    /// Room is reserved; the file grows to `len` and reads as zeros there.
    Allocate { path: &'a Path, len: u64 },
    /// The room of the first `len` bytes is given back; they read as zeros from then on.
    Punch { path: &'a Path, len: u64 },
    /// The file's content becomes durable. `data_only`: without times.
    Sync { path: &'a Path, data_only: bool },
    /// A name moves; the move is durable once both folders are synced.
    Rename { from: &'a Path, to: &'a Path, replace: bool },
    /// A file's name goes away.
    RemoveFile { path: &'a Path },
    /// An empty folder appears.
    CreateDir { path: &'a Path },
    /// An empty folder goes away.
    RemoveDir { path: &'a Path },
    /// The names in a folder become durable.
    SyncDir { path: &'a Path },
    /// Everything on the file system of this folder becomes durable.
    SyncFilesystem { path: &'a Path },
    /// A file's modification time is set to now (a heartbeat); never synced.
    Touch { path: &'a Path },
    /// Permissions change.
    SetMode { path: &'a Path, mode: u32 },
}

impl Effect<'_> {
    /// The path that a change names; `None` for changes of an open file.
    fn changed_name(&self) -> Option<&Path> {
        match self {
            Effect::Create { path }
            | Effect::RemoveFile { path }
            | Effect::CreateDir { path }
            | Effect::RemoveDir { path }
            | Effect::SetMode { path, .. } => Some(path),
            Effect::Rename { to, .. } => Some(to),
            _ => None,
        }
    }
}

/// Watches, and may refuse, the effects of a [`Disk`].
pub trait Observer: Send + Sync {
    /// Called before the effect.
    ///
    /// # Errors
    /// An error is returned to the caller who wanted the effect, which then does not happen.
    fn before(&self, effect: &Effect<'_>) -> io::Result<()>;

    /// Called after the effect has happened.
    fn after(&self, effect: &Effect<'_>);

    /// Called before an effect, and before records are appended to a log, with the source location of the caller
    /// of the outermost function of [`crate::durable`] or of the queue's store. The crash laboratory learns from
    /// it which write paths an operation has taken.
    fn reached(&self, _site: &'static Location<'static>) {}
}

/// The file system, as this library changes it. Cheap to clone.
#[derive(Clone, Default)]
pub struct Disk {
    observer: Option<Arc<dyn Observer>>,
    /// The folder that this disk works in.
    home: Option<Arc<Home>>,
}

impl std::fmt::Debug for Disk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Disk").field("observed", &self.observer.is_some()).finish()
    }
}

// The only place where std's file effects may be called: see clippy.toml.
#[allow(clippy::disallowed_methods)]
impl Disk {
    /// The real disk, unobserved.
    pub fn real() -> Disk {
        Disk::default()
    }

    /// The real disk, with an observer of every effect.
    pub fn observed(observer: Arc<dyn Observer>) -> Disk {
        Disk { observer: Some(observer), home: None }
    }

    /// The same disk, for work in this folder: see [`Home`].
    pub(crate) fn at_home(self, home: Home) -> Disk {
        Disk { home: Some(Arc::new(home)), ..self }
    }

    /// The folder that it works in, if it was given one.
    pub(crate) fn home(&self) -> Option<&Home> {
        self.home.as_deref()
    }

    /// Checks that the path of its folder still leads to that folder.
    ///
    /// # Errors
    /// [`super::NotHome`] when another folder, or nothing, is at that path.
    pub fn check_its_home(&self) -> Result<(), DiskError> {
        self.home.as_ref().map_or(Ok(()), |home| home.check_itself().context("work in", home.root()))
    }

    fn check_home(&self, path: &Path) -> io::Result<()> {
        self.home.as_ref().map_or(Ok(()), |home| home.check(path))
    }

    #[track_caller]
    pub(super) fn perform<T>(
        &self,
        effect: &Effect<'_>,
        act: impl FnOnce() -> io::Result<T>,
    ) -> io::Result<T> {
        if let Some(path) = effect.changed_name() {
            self.check_home(path)?;
        }
        let Some(observer) = &self.observer else { return act() };
        observer.reached(Location::caller());
        observer.before(effect)?;
        let value = act()?;
        observer.after(effect);
        Ok(value)
    }

    /// Tells the observer which write path is being taken; see [`Observer::reached`].
    #[track_caller]
    pub(crate) fn reached(&self) {
        if let Some(observer) = &self.observer {
            observer.reached(Location::caller());
        }
    }

    /// Makes a new file, open for reading and writing, close-on-exec.
    ///
    /// # Errors
    /// `AlreadyExists` when the name is taken, or the system's error.
    #[track_caller]
    pub fn create_new(&self, path: &Path, mode: u32) -> Result<DiskFile, DiskError> {
        self.perform(&Effect::Create { path }, || {
            OpenOptions::new().read(true).write(true).create_new(true).mode(mode).open(path)
        })
        .map(|file| DiskFile { file, path: path.to_owned(), disk: self.clone() })
        .context("create", path)
    }

    /// As [`Disk::create_new`], but the file is flocked before it has its name, so that no process ever sees it
    /// unlocked. The flag is false where the file system has no unnamed files: then the caller has to lock it.
    #[track_caller]
    pub(super) fn create_locked(&self, path: &Path, mode: u32) -> Result<(DiskFile, bool), DiskError> {
        self.perform(&Effect::Create { path }, || match new_locked(path, mode)? {
            Some(file) => Ok((file, true)),
            None => {
                let new = OpenOptions::new().read(true).write(true).create_new(true).mode(mode).open(path)?;
                Ok((new, false))
            }
        })
        .map(|(file, locked)| (DiskFile { file, path: path.to_owned(), disk: self.clone() }, locked))
        .context("create", path)
    }

    /// Makes a named pipe.
    ///
    /// # Errors
    /// `AlreadyExists` when the name is taken, or the system's error, such as that the file system has no
    /// named pipes.
    #[track_caller]
    pub fn create_fifo(&self, path: &Path) -> Result<(), DiskError> {
        use rustix::fs::{CWD, FileType, mknodat};
        self.perform(&Effect::Create { path }, || {
            mknodat(CWD, path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).map_err(io::Error::from)
        })
        .context("create the pipe", path)
    }

    /// Makes a symbolic link. This library never follows it.
    ///
    /// # Errors
    /// `AlreadyExists` when the name is taken, or the system's error.
    #[track_caller]
    pub(crate) fn create_link(&self, target: &Path, path: &Path) -> Result<(), DiskError> {
        self.perform(&Effect::Create { path }, || Ok(rustix::fs::symlink(target, path)?))
            .context("make the link", path)
    }

    /// Opens an existing file for reading and writing. A link is not followed.
    ///
    /// # Errors
    /// `NotFound`; `NotRegular` as the source of the system's error; or the system's error.
    pub fn open(&self, path: &Path) -> Result<DiskFile, DiskError> {
        self.check_home(path)
            .and_then(|()| open_carefully(path, OFlags::RDWR, Mode::empty()))
            .map(|file| DiskFile { file, path: path.to_owned(), disk: self.clone() })
            .context("open for writing", path)
    }

    /// Opens a file for reading and writing and makes it, with owner-only permissions, when it is not there.
    /// The name is durable only after [`Disk::sync_dir`]. A link is not followed.
    ///
    /// # Errors
    /// The system's error, with `NotRegular` as its source when that is the reason.
    #[track_caller]
    pub(crate) fn open_or_create(&self, path: &Path) -> Result<DiskFile, DiskError> {
        for _ in 0..MOST_TRIES {
            match self.open(path) {
                Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                other => return other,
            }
            match self.create_new(path, 0o600) {
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
                other => return other,
            }
        }
        Err(io::Error::other("it comes and goes")).context("open for writing", path)
    }

    /// Opens a file for appending, so that every write lands at its end even when other processes write too;
    /// makes it when absent. For the output of jobs, which the job itself writes: the observer does not see the
    /// content.
    ///
    /// # Errors
    /// The system's error, with `NotRegular` as its source when that is the reason.
    #[track_caller]
    pub fn open_append(&self, path: &Path) -> Result<File, DiskError> {
        let flags = OFlags::WRONLY | OFlags::APPEND | OFlags::CREATE;
        self.perform(&Effect::Create { path }, || open_carefully(path, flags, Mode::RUSR | Mode::WUSR))
            .context("open for appending", path)
    }

    /// Renames. With `replace` an existing target is replaced; without it, an existing target is `AlreadyExists`.
    ///
    /// Where the system has no rename that replaces nothing (OpenZFS before 2.2, NFS, filtered system calls),
    /// a file is linked to its new name and then loses the old one. A process that is killed in between
    /// leaves both names, and the same call completes it. A folder cannot have two names: there the rename
    /// may replace an empty folder that appeared between check and rename, and nothing else.
    #[track_caller]
    pub(crate) fn rename(&self, from: &Path, to: &Path, replace: bool) -> Result<(), DiskError> {
        use rustix::fs::CWD;
        self.perform(&Effect::Rename { from, to, replace }, || {
            if replace { std::fs::rename(from, to) } else { super::noreplace::rename((CWD, from), (CWD, to)) }
        })
        .context("rename into place", to)
    }

    /// Removes a file's name.
    ///
    /// # Errors
    /// `NotFound` when it is already gone, or the system's error.
    #[track_caller]
    pub fn remove_file(&self, path: &Path) -> Result<(), DiskError> {
        self.perform(&Effect::RemoveFile { path }, || std::fs::remove_file(path)).context("remove", path)
    }

    /// Removes a name in an open folder. `path` is computed only when there is an observer.
    pub(crate) fn unlink_below(
        &self,
        folder: BorrowedFd<'_>,
        name: &CStr,
        is_folder: bool,
        path: &dyn Fn() -> PathBuf,
    ) -> io::Result<()> {
        use rustix::fs::{AtFlags, unlinkat};
        let flags = if is_folder { AtFlags::REMOVEDIR } else { AtFlags::empty() };
        let act = || unlinkat(folder, name, flags).map_err(io::Error::from);
        if self.observer.is_none() && self.home.is_none() {
            return act();
        }
        let path = path();
        let path = path.as_path();
        let effect = if is_folder { Effect::RemoveDir { path } } else { Effect::RemoveFile { path } };
        self.perform(&effect, act)
    }

    /// Moves a name from one open folder to another one; nothing is replaced.
    pub(crate) fn rename_below(
        &self,
        (folder, name): (BorrowedFd<'_>, &CStr),
        (to_folder, to_name): (BorrowedFd<'_>, &CStr),
        paths: &dyn Fn() -> (PathBuf, PathBuf),
    ) -> io::Result<()> {
        let act = || super::noreplace::rename((folder, name), (to_folder, to_name));
        if self.observer.is_none() && self.home.is_none() {
            return act();
        }
        let (from, to) = paths();
        self.perform(&Effect::Rename { from: &from, to: &to, replace: false }, act)
    }

    /// Makes a folder with owner-only permissions.
    ///
    /// # Errors
    /// `AlreadyExists` when the name is taken, or the system's error.
    #[track_caller]
    pub fn create_dir(&self, path: &Path) -> Result<(), DiskError> {
        self.perform(&Effect::CreateDir { path }, || std::fs::DirBuilder::new().mode(0o700).create(path))
            .context("make the folder", path)
    }

    /// Makes a folder unless it exists, and makes its name durable either way: the process that created it
    /// may have been killed before it synced the name. True when this call created it.
    ///
    /// # Errors
    /// The system's error; `NotADirectory` when something else has the name.
    #[track_caller]
    pub fn ensure_dir(&self, path: &Path) -> Result<bool, DiskError> {
        self.ensure_dirs(std::slice::from_ref(&path)).map(|made| made > 0)
    }

    /// As [`Disk::ensure_dir`] for a folder whose name need not survive a power loss: nothing is synced.
    #[track_caller]
    pub(crate) fn ensure_dir_for_this_boot(&self, path: &Path) -> Result<(), DiskError> {
        self.make_if_missing(path).map(drop)
    }

    /// Makes a folder unless it exists; true when this call made it.
    #[track_caller]
    fn make_if_missing(&self, path: &Path) -> Result<bool, DiskError> {
        // An existing folder is not created again: on a disk that is frozen for a snapshot, even the attempt would
        // wait.
        if path.is_dir() {
            return Ok(false);
        }
        match self.create_dir(path) {
            Ok(()) => Ok(true),
            // Another process has just made it.
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(false),
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
                Err(io::Error::from(io::ErrorKind::NotADirectory)).context("make the folder", path)
            }
            Err(e) => Err(e),
        }
    }

    /// As [`Disk::ensure_dir`] for several folders, in this order, with one sync for each parent folder.
    #[track_caller]
    pub(crate) fn ensure_dirs(&self, paths: &[impl AsRef<Path>]) -> Result<usize, DiskError> {
        let mut made = 0;
        let mut around: Vec<&Path> = Vec::new();
        for path in paths.iter().map(AsRef::as_ref) {
            made += usize::from(self.make_if_missing(path)?);
            if !around.contains(&parent(path)) {
                around.push(parent(path));
            }
        }
        if !SeededBug::NoFolderSyncForNewFolder.is_on() {
            for folder in around {
                match self.sync_dir(folder) {
                    // This call made nothing, and a process that may not write here may still read.
                    Err(e) if made == 0 && e.is_refused_change() => {}
                    synced => synced?,
                }
            }
        }
        Ok(made)
    }

    /// Removes an empty folder.
    #[track_caller]
    pub fn remove_dir(&self, path: &Path) -> Result<(), DiskError> {
        self.perform(&Effect::RemoveDir { path }, || std::fs::remove_dir(path))
            .context("remove the folder", path)
    }

    /// Makes the names in a folder durable.
    #[track_caller]
    pub(crate) fn sync_dir(&self, path: &Path) -> Result<(), DiskError> {
        self.perform(&Effect::SyncDir { path }, || crate::durable::plain::open(path)?.sync_all())
            .context("sync the folder", path)
    }

    /// Syncs the whole file system that a folder is on: one call makes many files durable.
    #[track_caller]
    pub(crate) fn sync_filesystem(&self, path: &Path) -> Result<(), DiskError> {
        self.perform(&Effect::SyncFilesystem { path }, || {
            Ok(rustix::fs::syncfs(crate::durable::plain::open(path)?)?)
        })
        .context("sync the file system of", path)
    }

    /// Sets permissions.
    #[track_caller]
    pub fn set_mode(&self, path: &Path, mode: u32) -> Result<(), DiskError> {
        self.perform(&Effect::SetMode { path, mode }, || {
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))
        })
        .context("set the permissions of", path)
    }
}

/// Makes a file without a name, locks it, and then gives it its name. `None` where one of these steps is not
/// possible; the only error is that the name is taken.
fn new_locked(path: &Path, mode: u32) -> io::Result<Option<File>> {
    use rustix::fs::{AtFlags, CWD, linkat, open};
    use std::os::fd::AsRawFd;
    let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
    let Ok(unnamed) = open(parent(path), flags, Mode::from_raw_mode(mode)) else { return Ok(None) };
    let file = File::from(unnamed);
    if !super::flock::try_exclusive(&file).is_ok_and(|locked| locked) {
        return Ok(None);
    }
    let itself = format!("/proc/self/fd/{}", file.as_raw_fd());
    match linkat(CWD, &itself, CWD, path, AtFlags::SYMLINK_FOLLOW) {
        Ok(()) => Ok(Some(file)),
        Err(rustix::io::Errno::EXIST) => Err(io::ErrorKind::AlreadyExists.into()),
        Err(_) => Ok(None),
    }
}

/// The folder that a path lies in.
pub(crate) fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(p) if !p.as_os_str().is_empty() => p,
        _ => Path::new("."),
    }
}

/// An open file whose changes pass the seam.
#[derive(Debug)]
pub struct DiskFile {
    file: File,
    path: PathBuf,
    disk: Disk,
}

#[allow(clippy::disallowed_methods)]
impl DiskFile {
    /// Wraps a file that is open for reading and writing under this name.
    pub(crate) fn of(disk: &Disk, file: File, path: PathBuf) -> DiskFile {
        DiskFile { file, path, disk: disk.clone() }
    }

    /// The file itself, for reading, locking and descriptors.
    pub fn as_file(&self) -> &File {
        &self.file
    }

    /// The name it was opened by.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether the name it was opened by still means this file.
    pub(crate) fn has_its_name(&self) -> bool {
        super::flock::is_named(&self.file, &self.path)
    }

    /// Length, identity and times.
    pub(crate) fn metadata(&self) -> Result<Metadata, DiskError> {
        self.file.metadata().context("look at", &self.path)
    }

    /// Writes all bytes at an offset.
    ///
    /// # Errors
    /// The system's error; some of the bytes may have been written.
    #[track_caller]
    pub fn write_at(&self, bytes: &[u8], offset: u64) -> Result<(), DiskError> {
        self.disk
            .perform(&Effect::Write { path: &self.path, offset, bytes }, || {
                self.file.write_all_at(bytes, offset)
            })
            .context("write to", &self.path)
    }

    /// Sets the length.
    #[track_caller]
    pub fn truncate(&self, len: u64) -> Result<(), DiskError> {
        self.disk
            .perform(&Effect::Truncate { path: &self.path, len }, || self.file.set_len(len))
            .context("set the length of", &self.path)
    }

    /// Reserves room up to `len`, which then reads as zeros; false where the file system cannot.
    ///
    /// # Errors
    /// The system's error, except that it cannot reserve.
    #[track_caller]
    pub(crate) fn allocate(&self, len: u64) -> Result<bool, DiskError> {
        use rustix::fs::{FallocateFlags, fallocate};
        use rustix::io::Errno;
        self.disk
            .perform(&Effect::Allocate { path: &self.path, len }, || {
                match fallocate(&self.file, FallocateFlags::empty(), 0, len) {
                    Ok(()) => Ok(true),
                    // A disk too full for the reserve may still take a small record.
                    Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::NOSPC | Errno::DQUOT) => Ok(false),
                    Err(e) => Err(e.into()),
                }
            })
            .context("reserve room for", &self.path)
    }

    /// Gives back the room of the first `len` bytes; they then read as zeros, and the file keeps its length.
    ///
    /// # Errors
    /// The system's error; `Unsupported` where the file system has no holes.
    #[track_caller]
    pub(crate) fn punch(&self, len: u64) -> Result<(), DiskError> {
        use rustix::fs::{FallocateFlags, fallocate};
        self.disk
            .perform(&Effect::Punch { path: &self.path, len }, || {
                let hole = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
                fallocate(&self.file, hole, 0, len).map_err(io::Error::from)
            })
            .context("give back the room of", &self.path)
    }

    /// Makes content durable (fdatasync).
    ///
    /// # Errors
    /// The system's error. Everything written since the last sync must then be taken as lost.
    #[track_caller]
    pub(crate) fn sync_data(&self) -> Result<(), DiskError> {
        self.disk
            .perform(&Effect::Sync { path: &self.path, data_only: true }, || self.file.sync_data())
            .context("sync", &self.path)
    }

    /// Makes content and times durable (fsync).
    #[track_caller]
    pub(crate) fn sync(&self) -> Result<(), DiskError> {
        self.disk
            .perform(&Effect::Sync { path: &self.path, data_only: false }, || self.file.sync_all())
            .context("sync", &self.path)
    }

    /// Sets the modification time to the system's present time, in about 5 µs.
    #[track_caller]
    pub(crate) fn touch(&self) -> Result<(), DiskError> {
        use rustix::fs::{Timespec, Timestamps, UTIME_NOW, futimens};
        let now = Timespec { tv_sec: 0, tv_nsec: UTIME_NOW };
        self.disk
            .perform(&Effect::Touch { path: &self.path }, || {
                let times = Timestamps { last_access: now, last_modification: now };
                futimens(&self.file, &times).map_err(io::Error::from)
            })
            .context("touch", &self.path)
    }
}
