//! Whether anything below a folder is in use, and by which process or job. Every removal asks here: cleanups,
//! `jobs prune`, orphans, and every emptying of a trash.
//!
//! **What counts**, of every process but this one: working and root directory (of each thread), program,
//! mapped files, open files and folders, with or without a lock; the names of bound sockets; mounts in the
//! folder, or of it, in any mount namespace that a process is in; the folders of an overlay ([`overlays`]);
//! loop devices and swap files. Also jobs of the queue whose `--cwd`, program or arguments lead into the
//! folder or through it: those that wait or run, and crashed ones that can be resumed ([`JobsAtWork`]).
//!
//! **How it is compared**: by device and inode, and by the position in its file system ([`mounts`],
//! [`picture`]); never by the text of a path alone, which differs between namespaces. A file with a second
//! name elsewhere is not in use here when it is used by that name.
//!
//! **What does not count**: files opened by processes of this very program. Such a process only reads the file,
//! or holds a lock that every remover takes first: `sentinel.lock` says whether a supervisor lives. For the same
//! reason that lock file does not count for any process. The working directories of these processes do count, and
//! so do the streams that they inherited from anything but a server. Jobs of another state directory are not
//! known here, nor are names inside scripts. A thread with descriptors of its own (`unshare(CLONE_FILES)`) is not
//! told from the others: reading the descriptors of every thread would cost many times as much, for a case that
//! hardly any program has.
//!
//! **What is not known protects**: a process that is hidden counts when it may have entered the folder
//! ([`hidden`]); where processes are not even listed, everything is in use; an unreadable source is named; the
//! layer of an overlay that cannot be found may be in any folder; a socket file may belong to a socket whose name
//! leads nowhere ([`sockets`]); when `/proc` cannot be read, everything is in use.
//!
//! **One reading for many folders**: [`InUse`] reads `/proc` once, at the first question; a folder then costs
//! nothing as long as nothing in the state directory is in use. It shows one moment: a caller that removes
//! something makes a new [`InUse`] right before, and another one before it deletes what it has moved to a trash.

mod answer;
mod gather;
mod hidden;
mod jobs;
mod kept;
mod kernel;
mod mounts;
mod overlays;
mod picture;
mod processes;
mod sockets;
mod way;

use std::ffi::CStr;
use std::io::ErrorKind;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use rustix::fs::{AtFlags, CWD, Statx, StatxFlags, statx};
use rustix::io::Errno;

pub use answer::{How, Use, User};
pub use jobs::JobsAtWork;

use self::mounts::{Location, look};
use self::picture::{By, Picture, Reference};
use crate::durable::tree::{TreeEntry, walk_tree};
use crate::jobs::marks;
use crate::queue::{JobId, QueueState};
use crate::state::{Clock, StateDir};
use crate::system::environment_of;

/// Every remover takes its flock first; a process that merely has it open waits for it, or only reads.
const LOCK: &str = "sentinel.lock";

/// The users of a state directory's files, at one moment.
#[derive(Debug)]
pub struct InUse {
    folders: Vec<PathBuf>,
    clock: Clock,
    picture: OnceLock<Picture>,
    jobs: JobsAtWork,
}

impl InUse {
    /// The uses by the jobs of a queue, and by processes and mounts, which are read at the first question.
    pub fn look(dir: &StateDir, state: &QueueState) -> InUse {
        InUse::with_jobs(dir, JobsAtWork::of(dir, state))
    }

    /// The same, with jobs that were gathered before.
    pub(crate) fn with_jobs(dir: &StateDir, jobs: JobsAtWork) -> InUse {
        let paths = &dir.paths;
        let folders = [paths.root().to_owned(), paths.jobs(), paths.cleanup_trash(), paths.orphans_trash()];
        InUse { folders: folders.to_vec(), clock: dir.clock.clone(), picture: OnceLock::new(), jobs }
    }

    /// Reads processes and mounts now, if that was not done yet.
    pub(crate) fn looked(self) -> InUse {
        self.picture();
        self
    }

    /// The jobs that are to work somewhere.
    pub(crate) fn jobs(&self) -> &JobsAtWork {
        &self.jobs
    }

    fn picture(&self) -> &Picture {
        self.picture.get_or_init(|| Picture::of(&self.folders))
    }

    /// The users of a folder, or of a file; none when it is not there. `own` is the job whose workspace it is.
    pub fn of(&self, folder: &Path, own: Option<&JobId>) -> Vec<Use> {
        let mut walk = self.walk();
        if walk.is_needed() {
            walk_tree(folder, &mut |entry| walk.see(entry));
        }
        self.seen(folder, own, &walk)
    }

    /// The first certain user, else the first possible one.
    pub(crate) fn first(&self, folder: &Path, own: Option<&JobId>) -> Option<Use> {
        let mut uses = self.of(folder, own);
        let certain = uses.iter().position(Use::is_certain).unwrap_or(0);
        (!uses.is_empty()).then(|| uses.swap_remove(certain))
    }

    /// For a caller that walks a folder anyway: pass every entry to the walk, then ask with [`InUse::seen`].
    pub fn walk(&self) -> Walk<'_> {
        Walk { picture: self.picture(), found: Vec::new(), is_partial: false }
    }

    /// As [`InUse::of`], for a folder whose entries were walked.
    pub fn seen(&self, folder: &Path, own: Option<&JobId>, walk: &Walk<'_>) -> Vec<Use> {
        let picture = self.picture();
        let mut uses: Vec<Use> = self.jobs.in_folder(folder, own).into_iter().collect();
        uses.extend(picture.blind.iter().chain(&picture.unknown).map(Use::unseen));
        uses.extend(picture.uses_of(folder));
        uses.extend(walk.found.iter().map(|(reference, what)| reference.used(what.clone())));
        if walk.is_partial && picture.needs_a_walk() {
            uses.push(Use::unseen("a part of it cannot be read, and what is used in it cannot be told"));
        }
        uses.extend(self.hidden_in(folder));
        uses
    }

    /// Whether anything is mounted below a folder that is named without links, as this process sees it.
    pub(crate) fn has_mounts_below(&self, folder: &Path) -> bool {
        self.picture().own.has_mounts_below(folder)
    }

    fn hidden_in(&self, folder: &Path) -> Option<Use> {
        let hidden = &self.picture().hidden;
        if hidden.is_empty() {
            return None;
        }
        let wanted = StatxFlags::BTIME;
        let found = match statx(CWD, folder, AtFlags::SYMLINK_NOFOLLOW | AtFlags::STATX_DONT_SYNC, wanted) {
            Ok(found) => Some(found),
            Err(Errno::NOENT | Errno::NOTDIR) => return None,
            Err(_) => None,
        };
        let is_told = |found: &Statx| StatxFlags::from_bits_retain(found.stx_mask).contains(wanted);
        let made_ms = found
            .filter(is_told)
            .map(|found| found.stx_btime.tv_sec * 1000 + i64::from(found.stx_btime.tv_nsec) / 1_000_000);
        // Ages are computed as of now, like those of the processes.
        let age_ms = made_ms.map(|made_ms| self.clock.now().as_millis() - made_ms);
        let could = hidden.iter().find(|process| process.could_be_in(age_ms))?;
        let reference = Reference { by: By::Process(could.pid), how: How::Unknown, name: PathBuf::new() };
        Some(reference.used(String::new()))
    }
}

/// The uses of a trash, entry by entry. No job's `--cwd` can lead there, and hardly any process enters it, so one
/// reading is valid for some seconds.
#[derive(Debug)]
pub struct TrashInUse<'a> {
    dir: &'a StateDir,
    seen: Option<(Instant, InUse)>,
}

/// How long a reading for a trash is valid.
const LASTS: Duration = Duration::from_secs(2);

impl<'a> TrashInUse<'a> {
    /// Reads nothing before the first question.
    pub fn new(dir: &'a StateDir) -> TrashInUse<'a> {
        TrashInUse { dir, seen: None }
    }

    /// Why an entry must be kept, in words.
    pub fn why_kept(&mut self, what: &Path) -> Option<String> {
        let last = self.seen.take().filter(|(at, _)| at.elapsed() < LASTS);
        let new = || (Instant::now(), InUse::with_jobs(self.dir, JobsAtWork::default()));
        let (_, in_use) = self.seen.insert(last.unwrap_or_else(new));
        in_use.first(what, None).map(|used| format!("it is in use, and kept: {used}"))
    }
}

/// Collects the uses of the entries of a folder.
#[derive(Debug)]
pub struct Walk<'a> {
    picture: &'a Picture,
    found: Vec<(Reference, String)>,
    is_partial: bool,
}

impl Walk<'_> {
    /// Whether anything is in use whose position only a walk can find.
    pub(crate) fn is_needed(&self) -> bool {
        self.picture.needs_a_walk()
    }

    /// An entry of the folder, or the folder itself.
    pub fn see(&mut self, entry: TreeEntry<'_>) {
        let TreeEntry::There { name, device, inode, is_socket } = entry else {
            self.is_partial = true;
            return;
        };
        let picture = self.picture;
        if !self.found.is_empty() || !picture.needs_a_walk() || name.to_bytes() == LOCK.as_bytes() {
            return;
        }
        let in_memory = || {
            let (of, reference) = picture.inodes.get(&inode)?;
            // Where stat(2) gives another number for the device, only the inode is compared.
            (*of == device || !picture.areas.have_device(device)).then_some(reference)
        };
        let socket = || picture.sockets.get(os(name)).filter(|_| is_socket);
        let lost = || picture.lost_socket.as_ref().filter(|_| is_socket);
        let reference =
            picture.unplaced.get(&(device, inode)).or_else(in_memory).or_else(socket).or_else(lost);
        let reference = reference.or_else(|| picture.backing.get(os(name)));
        if let Some(reference) = reference {
            self.found.push((reference.clone(), os(name).to_string_lossy().into_owned()));
        }
    }
}

fn os(name: &CStr) -> &std::ffi::OsStr {
    std::ffi::OsStr::from_bytes(name.to_bytes())
}

impl Picture {
    /// Uses whose position, or name, is in a folder.
    fn uses_of(&self, folder: &Path) -> Vec<Use> {
        let mut uses = Vec::new();
        if self.placed.is_empty() && self.named.is_empty() {
            return uses;
        }
        let real = real_name(folder);
        let place = match self.place_of(&real) {
            Ok(place) => place,
            Err(why) => {
                uses.push(Use::unseen(format!("where {} lies cannot be told: {why}", real.display())));
                None
            }
        };
        if let Some(place) = place {
            let lock = place.path.join(LOCK);
            let from = self.placed.range(place.clone()..);
            for (at, references) in from.take_while(|(at, _)| at.is_within(&place)) {
                let what = at.path.strip_prefix(&place.path).unwrap_or(&at.path).display().to_string();
                let counts = |r: &&Reference| r.how != How::Open || at.path != lock;
                uses.extend(references.iter().filter(counts).map(|r| match r.how.is_mount() {
                    true => r.used(r.name.display().to_string()),
                    false => r.used(what.clone()),
                }));
            }
        }
        let named = self.named.iter().filter(|(name, _)| name.starts_with(&real));
        uses.extend(named.map(|(name, r)| r.used(name.display().to_string())));
        uses
    }

    /// The location of a name: in the folder above it, whatever is mounted at the name. `None` when there is no
    /// such folder.
    fn place_of(&self, real: &Path) -> Result<Option<Location>, String> {
        let (Some(above), Some(name)) = (real.parent(), real.file_name()) else { return Ok(None) };
        let seen = match look(above, AtFlags::empty()) {
            Ok(seen) => seen,
            Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => return Ok(None),
            Err(e) => return Err(e.to_string()),
        };
        let place = self.own.locate(&seen, above).ok_or("its mount is not among those that are seen")?;
        Ok(Some(Location { path: place.path.join(name), ..place }))
    }
}

/// A path with the links in its folders resolved; if the last part is a link, it names the link itself.
fn real_name(path: &Path) -> PathBuf {
    let above = path.parent().and_then(|above| std::fs::canonicalize(above).ok());
    match (above, path.file_name()) {
        (Some(above), Some(name)) => above.join(name),
        _ => path.to_owned(),
    }
}

impl Reference {
    fn used(&self, what: String) -> Use {
        let by = match &self.by {
            By::Kernel(what) => User::Kernel(what.clone()),
            By::Process(pid) => User::Process { pid: *pid, name: name_of(*pid), job: job_of(*pid) },
        };
        Use { by, how: self.how, what }
    }
}

fn name_of(pid: u32) -> String {
    let name = crate::durable::plain::read(format!("/proc/{pid}/comm")).unwrap_or_default();
    String::from_utf8_lossy(name.trim_ascii_end()).into_owned()
}

/// The job that a process was started by.
fn job_of(pid: u32) -> Option<String> {
    let environment = environment_of(pid).ok()?;
    let job =
        environment.iter().find_map(|e| e.strip_prefix(marks::JOB_ID.as_bytes())?.strip_prefix(b"="))?;
    String::from_utf8(job.to_vec()).ok()
}
