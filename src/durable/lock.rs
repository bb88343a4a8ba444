//! flock with a bounded wait that names the holder.
//!
//! The lock file is made once and never renamed, replaced or removed while in use: otherwise two processes could
//! both hold "the" lock, one of them on a file that no longer has a name. The file's content is a hint about the
//! holder for people; only the kernel's flock counts, and it ends with the process.

use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::backoff::Backoff;
use super::disk::{Disk, DiskFile};
use super::error::{DiskError, IoContext};
use super::flock::{is_named, is_same, probe, try_exclusive, try_shared, unlock};
use super::home::{NotHome, leads_nowhere};
use super::regular::{open_regular, read_regular};
use super::replace::{Survives, Temporary};

/// Longest holder hint in a lock file, in bytes.
const LONGEST_HINT: u64 = 64 << 10;

/// Tries when another file takes the lock file's name between opening and locking.
const MOST_TRIES: u32 = 100;

/// Names the holder of a lock, for people to read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    pub pid: u32,
    /// What it does: "recover", "daemon".
    pub purpose: String,
    /// Since when, RFC 3339.
    pub since: String,
}

/// Why a lock was not given.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another process held it for the whole wait.
    #[error("{} is held{} (waited {:.1} s)", path.display(), describe(holder.as_ref()), waited.as_secs_f64())]
    Held {
        /// The lock file.
        path: PathBuf,
        /// The holder, if the file names one.
        holder: Option<Holder>,
        /// The time spent waiting.
        waited: Duration,
    },
    /// The lock file could not be used.
    #[error(transparent)]
    Disk(#[from] DiskError),
}

fn describe(holder: Option<&Holder>) -> String {
    match holder {
        Some(h) => format!(" by process {} ({}) since {}", h.pid, h.purpose, h.since),
        None => " by another process".to_owned(),
    }
}

/// An exclusive lock, held until this is dropped or the process ends, however it ends.
#[derive(Debug)]
pub struct FileLock {
    file: DiskFile,
    /// The process that took the lock: a forked child shares the descriptor until its exec and must not unlock
    /// it.
    owner: u32,
}

impl FileLock {
    /// Takes the lock if it is free. Makes the lock file when absent.
    ///
    /// # Errors
    /// [`LockError::Held`] at once when another process holds it.
    pub fn try_acquire(disk: &Disk, path: &Path) -> Result<FileLock, LockError> {
        FileLock::acquire(disk, path, Duration::ZERO)
    }

    /// Takes the lock, waiting at most `wait`.
    ///
    /// # Errors
    /// [`LockError::Held`] with the holder after the wait.
    pub fn acquire(disk: &Disk, path: &Path, wait: Duration) -> Result<FileLock, LockError> {
        let (begun, mut tries) = (Instant::now(), 0);
        let mut backoff = Backoff::new(Duration::from_micros(200), Duration::from_millis(50));
        loop {
            let file = disk.open_or_create(path)?;
            if try_exclusive(file.as_file()).context("lock", path)? {
                if is_named(file.as_file(), path) {
                    return Ok(FileLock { file, owner: std::process::id() });
                }
                // The name belongs to another file by now: lock that file. The number of tries is bounded because
                // a job could exchange the file again and again.
                tries += 1;
                if tries < MOST_TRIES {
                    continue;
                }
                return Err(io::Error::other("it is exchanged all the time")).context("lock", path)?;
            }
            let waited = begun.elapsed();
            if waited >= wait {
                return Err(LockError::Held { path: path.to_owned(), holder: holder_of(path), waited });
            }
            std::thread::sleep(backoff.pause().min(wait - waited));
        }
    }

    /// Takes the lock of an existing file, if it is free. Readers hold it, shared, for moments; they are waited
    /// for, at most `grace`. `may_lock` examines the open file before it is locked.
    ///
    /// # Errors
    /// When the file cannot be opened (`NotFound` included) or the file system cannot lock.
    pub(crate) fn take_if_free(
        disk: &Disk,
        path: &Path,
        grace: Duration,
        may_lock: impl Fn(&File, &Metadata) -> bool,
    ) -> Result<Taken, DiskError> {
        let (begun, mut tries) = (Instant::now(), 0);
        loop {
            let file = disk.open(path)?;
            let opened = file.as_file().metadata().context("look at", path)?;
            if !may_lock(file.as_file(), &opened) {
                return Ok(Taken::NotTried);
            }
            let mut is_ours = try_exclusive(file.as_file()).context("lock", path)?;
            if !is_ours && !try_shared(file.as_file()).context("lock", path)? {
                return Ok(Taken::Held);
            }
            // The same descriptor: the shared lock becomes an exclusive one.
            is_ours = is_ours || try_exclusive(file.as_file()).context("lock", path)?;
            if is_ours {
                if is_same(&opened, path) {
                    return Ok(Taken::Ours(FileLock { file, owner: std::process::id() }));
                }
                // The name belongs to another file by now: lock that file.
                tries += 1;
                if tries < MOST_TRIES {
                    continue;
                }
                return Err(io::Error::other("it is exchanged all the time")).context("lock", path);
            }
            if begun.elapsed() >= grace {
                return Ok(Taken::Held);
            }
            std::thread::yield_now();
        }
    }

    /// Makes a lock file that no process ever sees unlocked: it is locked under a temporary name and then renamed
    /// into place. `None` when the name is taken.
    pub fn publish(disk: &Disk, path: &Path) -> Result<Option<FileLock>, DiskError> {
        FileLock::publish_with(disk, path, &[])
    }

    /// As [`FileLock::publish`], with content that is there from the beginning, though not synced.
    pub(crate) fn publish_with(
        disk: &Disk,
        path: &Path,
        content: &[u8],
    ) -> Result<Option<FileLock>, DiskError> {
        let temporary = Temporary::new(disk, super::disk::parent(path))?;
        if !content.is_empty() {
            temporary.file.write_at(content, 0)?;
        }
        try_exclusive(temporary.file.as_file()).context("lock", path)?;
        // No power loss leaves a process that holds it.
        match temporary.publish(path, false, Survives::Kill) {
            Ok(file) => Ok(Some(FileLock { file, owner: std::process::id() })),
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// Writes the holder into the lock file, for [`LockError::Held`]. It is only a hint and not synced. A file
    /// that has named a holder is never empty in between.
    pub fn describe(&self, holder: &Holder) -> Result<(), DiskError> {
        let mut text = serde_json::to_vec(holder).unwrap_or_default();
        text.push(b'\n');
        self.file.write_at(&text, 0)?;
        self.file.truncate(text.len() as u64)
    }

    /// Checks that the paths of the lock file and of its folder still lead to them. If not, another process can
    /// lock the file that is at that path now, and the files beside it are not the ones that this process works
    /// on.
    ///
    /// # Errors
    /// [`NotHome`], which says what has the path instead.
    pub(crate) fn check_its_name(&self, disk: &Disk) -> Result<(), DiskError> {
        disk.check_its_home()?;
        let (Some(home), path) = (disk.home(), self.file.path()) else { return Ok(()) };
        let Ok(opened) = self.file.as_file().metadata() else { return Ok(()) };
        let is_left = match std::fs::metadata(path) {
            Ok(now) => (now.dev(), now.ino()) != (opened.dev(), opened.ino()),
            Err(e) => leads_nowhere(&e),
        };
        let left = NotHome::Emptied { root: home.root().to_owned(), file: path.to_owned() };
        if is_left { Err(io::Error::other(left)).context("work in", home.root()) } else { Ok(()) }
    }

    /// Sets whether processes that this one starts from now on inherit the locked descriptor, and so keep the
    /// lock held.
    pub(crate) fn share_with_children(&self, is_shared: bool) -> Result<(), DiskError> {
        use rustix::io::{FdFlags, fcntl_setfd};
        let flags = if is_shared { FdFlags::empty() } else { FdFlags::CLOEXEC };
        fcntl_setfd(self.file.as_file(), flags).map_err(io::Error::from).context("share", self.file.path())
    }

    /// Closes the file without unlocking it: a process that shares the descriptor keeps the lock held.
    pub(crate) fn leave_to_others(mut self) {
        self.owner = 0; // No process has this PID.
    }

    /// The locked file.
    pub fn file(&self) -> &DiskFile {
        &self.file
    }
}

impl Drop for FileLock {
    fn drop(&mut self) {
        // Unlock before closing: a child that another thread has forked may still have the descriptor until its
        // exec, and the lock would stay held until then.
        if std::process::id() == self.owner {
            unlock(self.file.as_file());
        }
    }
}

/// Result of trying to take a lock that may be free.
#[derive(Debug)]
pub(crate) enum Taken {
    /// It was free.
    Ours(FileLock),
    /// Another process holds it.
    Held,
    /// The caller's check said not to lock this file.
    NotTried,
}

/// A lock file that stays open, for locks that are taken thousands of times a second.
#[derive(Debug)]
pub(crate) struct LockFile {
    file: DiskFile,
}

impl LockFile {
    /// Opens the file; makes it when absent.
    pub(crate) fn open(disk: &Disk, path: &Path) -> Result<LockFile, DiskError> {
        Ok(LockFile { file: disk.open_or_create(path)? })
    }

    /// The locked file.
    pub(crate) fn file(&self) -> &DiskFile {
        &self.file
    }

    /// Takes the lock if no other process holds it. Threads of this process share the descriptor and so the lock:
    /// they must exclude each other by other means.
    pub(crate) fn try_acquire(&self) -> Result<Option<HeldFile<'_>>, DiskError> {
        let got = try_exclusive(self.file.as_file()).context("lock", self.file.path())?;
        Ok(got.then(|| HeldFile { file: &self.file, owner: std::process::id() }))
    }

    /// Takes the lock, waiting at most `wait`. Its holders hold it for microseconds, so this sleeps for growing
    /// moments of at most a millisecond.
    pub(crate) fn acquire(&self, wait: Duration) -> Result<HeldFile<'_>, LockError> {
        let mut backoff = Backoff::new(Duration::from_micros(20), Duration::from_millis(1));
        let mut begun = None;
        loop {
            if let Some(held) = self.try_acquire()? {
                return Ok(held);
            }
            let waited = begun.get_or_insert_with(Instant::now).elapsed();
            if waited >= wait {
                let path = self.file.path().to_owned();
                return Err(LockError::Held { holder: holder_of(&path), path, waited });
            }
            std::thread::sleep(backoff.pause());
        }
    }
}

/// A [`LockFile`] while it is locked.
#[derive(Debug)]
pub(crate) struct HeldFile<'a> {
    file: &'a DiskFile,
    owner: u32,
}

impl Drop for HeldFile<'_> {
    fn drop(&mut self) {
        if std::process::id() == self.owner {
            unlock(self.file.as_file());
        }
    }
}

/// Whether the lock is held. The check itself takes the lock, shared, for a moment at most.
///
/// # Errors
/// When the file cannot be opened (`NotFound` included) or the file system cannot lock.
pub fn is_held(path: &Path) -> Result<bool, DiskError> {
    let file = open_regular(path).context("open", path)?;
    probe(&file).context("probe the lock", path)
}

/// The holder that the lock file names.
pub fn holder_of(path: &Path) -> Option<Holder> {
    serde_json::from_slice(&read_regular(path, LONGEST_HINT).ok()?).ok()
}

/// Locks an open file until it and all duplicates of its descriptor, in any process, are closed. False when
/// another open file has the lock.
pub(crate) fn try_lock(file: &DiskFile) -> Result<bool, DiskError> {
    try_exclusive(file.as_file()).context("lock", file.path())
}
