//! Emptying the trash: several threads share one stack of folders. Each folder is read and emptied below its own
//! descriptor, and removed by the thread that finished the last of its sub-folders.

use std::ffi::{CStr, CString, OsStr};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use rustix::fs::{
    AtFlags, FileType, Mode, OFlags, RawDir, ResolveFlags, StatxFlags, fchmod, fstat, open, openat, openat2,
    statat, statx,
};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use crate::durable::disk::{Disk, Effect, parent};
use crate::durable::error::{DiskError, IoContext};
use crate::durable::noreplace::MISSING;

/// Deletion mostly waits for the disk: four threads were more than twice as fast as one on two cores.
const THREADS: usize = 4;
/// Depth down to which each folder has a descriptor; deeper folders are moved to the top first.
const DEEPEST: usize = 200;
/// How many kept entries are listed; further ones are only counted.
const NAMED: usize = 100;
/// How many of the listed entries a sentence names.
const TOLD: usize = 3;
/// How often a folder is read that fills again while it is emptied.
const ROUNDS: usize = 3;

/// An entry that was not removed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// Below the tree that was to go; empty for the tree itself.
    pub path: PathBuf,
    /// The reason, for people.
    pub why: String,
    /// Whether something is mounted there.
    pub is_mount: bool,
}

/// Result of a removal.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Removed {
    /// Files, links and folders that are gone.
    pub entries: u64,
    /// Disk space given back, in bytes; files with other names elsewhere count for nothing.
    pub bytes: u64,
    /// How many entries stayed because they could not be removed; the folders above them are not counted.
    pub kept_total: u64,
    /// The first hundred of them.
    pub kept: Vec<Kept>,
    /// It ended early because it was told to.
    pub stopped: bool,
}

impl Removed {
    /// Whether nothing of the tree is left.
    pub fn is_complete(&self) -> bool {
        self.kept_total == 0 && !self.stopped
    }

    /// The entries of a tree at `top` that could not be removed, in words.
    pub(crate) fn kept_in_words(&self, top: &Path) -> String {
        let first = self.kept.iter().take(TOLD);
        let named: Vec<String> =
            first.map(|kept| format!("{}: {}", top.join(&kept.path).display(), kept.why)).collect();
        let more = self.kept_total.saturating_sub(named.len() as u64);
        let more = if more > 0 { format!(", and {more} more") } else { String::new() };
        format!("{} of its entries cannot be removed: {}{more}", self.kept_total, named.join("; "))
    }
}

/// Watches a removal, and may stop it at the next entry.
pub trait Progress: Sync {
    /// Called now and then, by several threads.
    fn removed(&self, entries: u64, bytes: u64);
    /// Whether the removal should end.
    fn stop(&self) -> bool {
        false
    }
}

impl Progress for () {
    fn removed(&self, _: u64, _: u64) {}
}

/// Removes a folder, or a file, with all its content. An absent one counts as removed.
///
/// `top` must be a name that nothing uses any more: one in a trash.
///
/// # Errors
/// When the folder of `top` cannot be used; entries below that stay are reported as kept.
pub fn remove_tree(disk: &Disk, top: &Path, progress: &dyn Progress) -> Result<Removed, DiskError> {
    let folder = parent(top);
    let Some(name) = top.file_name().and_then(c_name) else {
        return Err(io::Error::from(io::ErrorKind::InvalidInput)).context("remove", top);
    };
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let base = match open(folder, flags, Mode::empty()) {
        Ok(fd) => fd,
        Err(Errno::NOENT) => return Ok(Removed::default()),
        Err(e) => return Err(io::Error::from(e)).context("open", folder),
    };
    let trash = Arc::new(Folder {
        fd: base,
        name: c"".to_owned(),
        above: None,
        depth: 0,
        pending: AtomicUsize::new(1),
        kept: AtomicBool::new(false),
    });
    let work = Work {
        disk,
        top: folder,
        progress,
        tasks: Mutex::default(),
        change: Condvar::new(),
        idle: AtomicUsize::new(0),
        threads: AtomicUsize::new(1),
        tally: Tally::default(),
        moved: AtomicU64::new(0),
    };
    work.remove_entry(&trash, &name, FileType::Unknown);
    if !work.tasks().is_empty() {
        std::thread::scope(|scope| {
            for _ in 1..THREADS {
                work.threads.fetch_add(1, Ordering::SeqCst);
                if std::thread::Builder::new().spawn_scoped(scope, || work.work()).is_err() {
                    work.one_less();
                }
            }
            // This thread works too: there may be no others.
            work.work();
        });
    }
    disk.sync_dir(folder)?;
    Ok(work.tally.finish(progress.stop()))
}

fn c_name(name: &OsStr) -> Option<CString> {
    CString::new(name.as_bytes()).ok()
}

/// A folder that is being emptied.
struct Folder {
    fd: OwnedFd,
    name: CString,
    above: Option<Arc<Folder>>,
    depth: usize,
    /// How many of its sub-folders are not finished, plus one while it is read itself.
    pending: AtomicUsize,
    /// Something in it stays.
    kept: AtomicBool,
}

impl Folder {
    fn path(&self) -> PathBuf {
        let mut names = vec![&*self.name];
        let mut above = self.above.as_ref();
        while let Some(folder) = above {
            names.push(&folder.name);
            above = folder.above.as_ref();
        }
        names.iter().rev().map(|n| OsStr::from_bytes(n.to_bytes())).filter(|n| !n.is_empty()).collect()
    }

    fn entry(&self, name: &CStr) -> PathBuf {
        self.path().join(OsStr::from_bytes(name.to_bytes()))
    }
}

#[derive(Default)]
struct Tally {
    entries: AtomicU64,
    bytes: AtomicU64,
    kept_total: AtomicU64,
    kept: Mutex<Vec<Kept>>,
}

impl Tally {
    fn finish(self, stopped: bool) -> Removed {
        let mut kept = self.kept.into_inner().unwrap_or_else(PoisonError::into_inner);
        kept.sort_by(|a, b| a.path.cmp(&b.path));
        Removed {
            entries: self.entries.into_inner(),
            bytes: self.bytes.into_inner(),
            kept_total: self.kept_total.into_inner(),
            kept,
            stopped,
        }
    }
}

/// A sub-folder to be emptied.
struct Task {
    above: Arc<Folder>,
    name: CString,
}

struct Work<'a> {
    disk: &'a Disk,
    /// The path of the trash, for the paths that the seam reports.
    top: &'a Path,
    progress: &'a dyn Progress,
    tasks: Mutex<Vec<Task>>,
    change: Condvar,
    idle: AtomicUsize,
    /// How many threads work.
    threads: AtomicUsize,
    tally: Tally,
    moved: AtomicU64,
}

impl Work<'_> {
    fn tasks(&self) -> MutexGuard<'_, Vec<Task>> {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes folders off the stack until all threads find it empty.
    fn work(&self) {
        let mut buffer = Vec::with_capacity(64 << 10);
        loop {
            let mut tasks = self.tasks();
            let task = loop {
                if let Some(task) = tasks.pop() {
                    break task;
                }
                if self.idle.fetch_add(1, Ordering::SeqCst) + 1 == self.threads.load(Ordering::SeqCst) {
                    self.change.notify_all();
                    return;
                }
                tasks = self.change.wait(tasks).unwrap_or_else(PoisonError::into_inner);
                if self.idle.load(Ordering::SeqCst) == self.threads.load(Ordering::SeqCst) {
                    return;
                }
                self.idle.fetch_sub(1, Ordering::SeqCst);
            };
            drop(tasks);
            self.empty(task, &mut buffer);
        }
    }

    /// Counts out a thread that could not be started, so that the others do not wait for it.
    fn one_less(&self) {
        let _tasks = self.tasks();
        self.threads.fetch_sub(1, Ordering::SeqCst);
        self.change.notify_all();
    }

    fn push(&self, task: Task) {
        self.tasks().push(task);
        self.change.notify_one();
    }

    fn keep(&self, folder: &Folder, name: &CStr, why: &str, is_mount: bool) {
        folder.kept.store(true, Ordering::SeqCst);
        self.tally.kept_total.fetch_add(1, Ordering::Relaxed);
        let mut kept = self.tally.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() < NAMED {
            // Below the tree, not below the trash.
            let path = folder.entry(name).iter().skip(1).collect();
            kept.push(Kept { path, why: why.to_owned(), is_mount });
        }
    }

    fn count(&self, entries: u64, bytes: u64) {
        let before = self.tally.entries.fetch_add(entries, Ordering::Relaxed);
        let bytes = self.tally.bytes.fetch_add(bytes, Ordering::Relaxed) + bytes;
        if before / 256 != (before + entries) / 256 {
            self.progress.removed(before + entries, bytes);
        }
    }

    /// Opens a folder, empties it, and removes it when none of its content is left to remove.
    fn empty(&self, task: Task, buffer: &mut Vec<u8>) {
        let Task { above, name } = task;
        if self.progress.stop() {
            above.kept.store(true, Ordering::SeqCst);
            return self.done(above);
        }
        match self.open(&above, &name) {
            Ok(fd) => {
                let depth = above.depth + 1;
                let (pending, kept) = (AtomicUsize::new(1), AtomicBool::new(false));
                let folder = Arc::new(Folder { fd, name, above: Some(above), depth, pending, kept });
                self.read(&folder, buffer);
                self.done(folder);
            }
            Err(error) => {
                self.not_opened(&above, &name, error);
                self.done(above);
            }
        }
    }

    /// Opens a folder. A folder of this user that it may not read or change is made usable first: it is in the
    /// trash, and some tools make such folders on purpose.
    fn open(&self, above: &Folder, name: &CStr) -> Result<OwnedFd, Errno> {
        let fd = match open_below(above.fd.as_fd(), name, OFlags::RDONLY) {
            Err(Errno::ACCESS) => {
                let handle = open_below(above.fd.as_fd(), name, OFlags::PATH)?;
                // fchmod refuses an `O_PATH` descriptor; its name in /proc works, and leads to nothing else.
                let itself = format!("/proc/self/fd/{}", handle.as_raw_fd());
                self.set_usable(above, name, || rustix::fs::chmod(&itself, Mode::RWXU))?;
                open_below(above.fd.as_fd(), name, OFlags::RDONLY)?
            }
            other => other?,
        };
        // Without write permission nothing in the folder could be removed.
        if fstat(&fd)?.st_mode & 0o300 != 0o300 {
            // Another user's folder: its entries will say why they stay.
            let _ = self.set_usable(above, name, || fchmod(&fd, Mode::RWXU));
        }
        Ok(fd)
    }

    fn set_usable(
        &self,
        above: &Folder,
        name: &CStr,
        set: impl FnOnce() -> Result<(), Errno>,
    ) -> Result<(), Errno> {
        let path = self.top.join(above.entry(name));
        let effect = Effect::SetMode { path: &path, mode: Mode::RWXU.bits() };
        let done = self.disk.perform(&effect, || Ok(set()?));
        done.map_err(|e| Errno::from_io_error(&e).unwrap_or(Errno::ACCESS))
    }

    fn not_opened(&self, above: &Arc<Folder>, name: &CStr, error: Errno) {
        match error {
            Errno::NOENT => {}
            Errno::XDEV => self.keep(above, name, "something is mounted there: it is not crossed", true),
            // It became a link or a file since it was listed.
            Errno::LOOP | Errno::NOTDIR => self.unlink(above, name),
            other => self.keep(above, name, &io::Error::from(other).to_string(), false),
        }
    }

    fn read(&self, folder: &Arc<Folder>, buffer: &mut Vec<u8>) {
        for round in 0..ROUNDS {
            if round > 0 && (folder.kept.load(Ordering::SeqCst) || rewind(folder.fd.as_fd()).is_err()) {
                return;
            }
            let mut found = false;
            let mut entries = RawDir::new(folder.fd.as_fd(), buffer.spare_capacity_mut());
            while let Some(entry) = entries.next() {
                let Ok(entry) = entry else {
                    return self.keep(folder, c"", "cannot be read", false);
                };
                let name = entry.file_name();
                if matches!(name.to_bytes(), b"." | b"..") {
                    continue;
                }
                if self.progress.stop() {
                    return folder.kept.store(true, Ordering::SeqCst);
                }
                found = true;
                self.remove_entry(folder, name, entry.file_type());
            }
            // A sub-folder is removed when its own content is done; the removal of this one fails if something
            // new appeared in it.
            if !found || folder.pending.load(Ordering::SeqCst) > 1 {
                return;
            }
        }
    }

    fn remove_entry(&self, folder: &Arc<Folder>, name: &CStr, kind: FileType) {
        let is_folder = match kind {
            FileType::Directory => true,
            FileType::Unknown => match statat(&folder.fd, name, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(found) => FileType::from_raw_mode(found.st_mode).is_dir(),
                Err(Errno::NOENT) => return,
                Err(e) => return self.keep(folder, name, &io::Error::from(e).to_string(), false),
            },
            _ => false,
        };
        if !is_folder {
            return self.unlink(folder, name);
        }
        let (above, name) = self.brought_up(folder, name);
        above.pending.fetch_add(1, Ordering::SeqCst);
        self.push(Task { above, name });
    }

    /// Where a sub-folder is emptied: in its place, or, when it is very deep, after a move to the top of the
    /// tree.
    fn brought_up(&self, folder: &Arc<Folder>, name: &CStr) -> (Arc<Folder>, CString) {
        let here = || (folder.clone(), name.to_owned());
        if folder.depth < DEEPEST {
            return here();
        }
        let Some(top) = top_of(folder) else { return here() };
        let number = self.moved.fetch_add(1, Ordering::Relaxed);
        let Ok(new) = CString::new(format!(".deep-{}-{number}", std::process::id())) else { return here() };
        let paths = || (self.top.join(folder.entry(name)), self.top.join(top.entry(&new)));
        let to = (top.fd.as_fd(), &*new);
        let moved = self.disk.rename_below((folder.fd.as_fd(), name), to, &paths);
        if moved.is_ok() { (top, new) } else { here() }
    }

    fn unlink(&self, folder: &Folder, name: &CStr) {
        let size = statat(&folder.fd, name, AtFlags::SYMLINK_NOFOLLOW);
        let path = || self.top.join(folder.entry(name));
        match self.disk.unlink_below(folder.fd.as_fd(), name, false, &path) {
            Ok(()) => {
                let bytes = size.ok().filter(|s| s.st_nlink <= 1).map_or(0, |s| blocks(&s));
                self.count(1, bytes);
            }
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(e) => self.keep(folder, name, &e.to_string(), e.kind() == io::ErrorKind::ResourceBusy),
        }
    }

    /// Counts one finished part of this folder; after the last one the folder itself is removed, and so on
    /// upwards.
    fn done(&self, folder: Arc<Folder>) {
        let mut folder = folder;
        while folder.pending.fetch_sub(1, Ordering::SeqCst) == 1 {
            let Some(above) = folder.above.clone() else { return };
            if folder.kept.load(Ordering::SeqCst) {
                above.kept.store(true, Ordering::SeqCst);
            } else {
                self.remove_folder(&folder, &above);
            }
            folder = above;
        }
    }

    fn remove_folder(&self, folder: &Folder, above: &Folder) {
        let size = statat(&folder.fd, c"", AtFlags::EMPTY_PATH);
        let path = || self.top.join(above.entry(&folder.name));
        match self.disk.unlink_below(above.fd.as_fd(), &folder.name, true, &path) {
            Ok(()) => self.count(1, size.map_or(0, |s| blocks(&s))),
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(e) => self.keep(above, &folder.name, &e.to_string(), e.kind() == io::ErrorKind::ResourceBusy),
        }
    }
}

/// The topmost folder of the tree that a folder is in.
fn top_of(folder: &Arc<Folder>) -> Option<Arc<Folder>> {
    let mut at = folder.clone();
    while at.depth > 1 {
        at = at.above.clone()?;
    }
    Some(at)
}

fn blocks(found: &rustix::fs::Stat) -> u64 {
    u64::try_from(found.st_blocks).unwrap_or(0) * 512
}

fn rewind(fd: BorrowedFd<'_>) -> io::Result<()> {
    rustix::fs::seek(fd, rustix::fs::SeekFrom::Start(0))?;
    Ok(())
}

/// Opens a folder directly below another one: no link, no other mount.
pub(super) fn open_below(above: BorrowedFd<'_>, name: &CStr, flags: OFlags) -> Result<OwnedFd, Errno> {
    let flags = flags | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV;
    loop {
        match openat2(above, name, flags, Mode::empty(), resolve) {
            // The kernel could not resolve the name safely while names changed elsewhere; try again.
            Err(Errno::AGAIN | Errno::INTR) => {}
            Err(e) if MISSING.contains(&e) => return open_on_the_same_mount(above, name, flags),
            other => return other,
        }
    }
}

/// [`open_below`] for kernels before Linux 5.6, and for processes whose system calls are filtered.
fn open_on_the_same_mount(above: BorrowedFd<'_>, name: &CStr, flags: OFlags) -> Result<OwnedFd, Errno> {
    let folder = openat(above, name, flags, Mode::empty())?;
    let (here, there) = (mount_of(above)?, mount_of(folder.as_fd())?);
    if here == there { Ok(folder) } else { Err(Errno::XDEV) }
}

/// Device and mount of an open folder.
fn mount_of(folder: BorrowedFd<'_>) -> Result<(u32, u32, u64), Errno> {
    let told = statx(folder, c"", AtFlags::EMPTY_PATH, StatxFlags::MNT_ID)?;
    if StatxFlags::from_bits_retain(told.stx_mask).contains(StatxFlags::MNT_ID) {
        return Ok((told.stx_dev_major, told.stx_dev_minor, told.stx_mnt_id));
    }
    // Without a mount number there is nothing to compare: keeping a folder too many is better than deleting one
    // on another mount.
    let mount = mount_in_proc(folder).ok_or(Errno::XDEV)?;
    Ok((told.stx_dev_major, told.stx_dev_minor, mount))
}

/// Whether a name can be renamed from one folder to the other: both are on one mount.
pub(crate) fn is_on_one_mount(one: &Path, other: &Path) -> io::Result<bool> {
    let mount = |path: &Path| {
        let folder = open(path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        mount_of(folder.as_fd())
    };
    Ok(mount(one)? == mount(other)?)
}

/// The mount of an open folder as `/proc` tells it.
fn mount_in_proc(folder: BorrowedFd<'_>) -> Option<u64> {
    let told = crate::durable::plain::read_text(format!("/proc/self/fdinfo/{}", folder.as_raw_fd())).ok()?;
    told.lines().find_map(|line| line.strip_prefix("mnt_id:")?.trim().parse().ok())
}
