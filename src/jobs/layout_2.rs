//! Jobs of layout 2, which had the server's files about their attempts in their workspaces.
//!
//! A startup moves those files to `attempts/<id>/`. If the job was still running under a supervisor of that
//! layout at the last startup, the supervisor of its next attempt moves them. The workspace may belong to another
//! user: each name is moved first, without being opened, to where no other user can change it, and is examined
//! there. Anything that is not the server's (a regular file with one name and the server's owner) gets its name
//! in the workspace back. From a workspace that belongs to another user only the output is taken: a user who may
//! rename the server's files there can give each of them the name of a record, with text that the job chose to
//! print in it. A sentinel that proves nothing then notes that an attempt was begun.
//!
//! The folder of a job is filled as `attempts/.moving-<id>` and gets its name at the end. Until then readers use
//! the workspace and find the job's lock held. After a kill the next startup continues, and until then a reader
//! may miss the job's output.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::living::living_of;
use super::process_table::ProcessTable;
use crate::durable::{Disk, DiskError, FileLock, IoContext, LockError, replace};
use crate::queue::JobId;
use crate::state::names::decode;
use crate::state::{ATTEMPT_FILES, EARLIER, JobPaths, StateDir};

/// Replaces a sentinel that was in the workspace of another user; it counts as damaged.
const NO_EVIDENCE: &str = "it was in the workspace of another user\n";
/// The prefix of the name of a folder that is being filled; no job's name begins with a dot.
const MOVING: &str = ".moving-";

/// The result of a move.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Moved {
    /// Jobs whose files were moved.
    pub moved: usize,
    /// Jobs whose files are still in their workspaces.
    pub left: Vec<(JobId, WhyLeft)>,
}

/// Why the files of a job were not moved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WhyLeft {
    /// A process of the job lives.
    Lives,
    /// The system refused, in words.
    Refused(String),
}

impl WhyLeft {
    /// The system's error, if that was the reason.
    pub(crate) fn refused(&self) -> Option<&str> {
        match self {
            WhyLeft::Lives => None,
            WhyLeft::Refused(why) => Some(why),
        }
    }
}

/// Moves the files of every job, and records that in the identity when none is left. `go_on` is called before
/// each job, and says whether to go on.
pub fn move_attempts(dir: &StateDir, go_on: &mut dyn FnMut() -> bool) -> Result<Moved, DiskError> {
    let mut moved = Moved::default();
    if !dir.identity.may_have_attempts_in_workspaces() {
        return Ok(moved);
    }
    let mut ids = folders_of_jobs(&dir.paths.jobs(), "")?;
    // Jobs whose workspaces were removed while their files were being moved.
    ids.extend(folders_of_jobs(&dir.paths.attempts(), MOVING)?);
    ids.sort();
    ids.dedup();
    let table = ProcessTable::new();
    for id in ids {
        if !go_on() {
            return Ok(moved);
        }
        match move_files(dir, &id, &table) {
            Ok(Step::Nothing) => {}
            Ok(Step::Moved) => moved.moved += 1,
            Ok(Step::Lives) => moved.left.push((id, WhyLeft::Lives)),
            Err(e) if e.is_refused_change() => return Err(e),
            Err(e) => moved.left.push((id, WhyLeft::Refused(format!("{e}: {}", e.source)))),
        }
    }
    if moved.moved > 0 {
        dir.disk.sync_filesystem(&dir.paths.attempts())?;
    }
    if moved.left.is_empty() {
        dir.attempts_are_moved().map_err(|e| DiskError {
            action: "write",
            path: dir.paths.identity(),
            source: std::io::Error::other(e),
        })?;
    }
    Ok(moved)
}

/// The jobs that have a folder in `folder` whose name begins with this prefix.
fn folders_of_jobs(folder: &Path, prefix: &str) -> Result<Vec<JobId>, DiskError> {
    let entries = match std::fs::read_dir(folder) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.context("list", folder)?,
    };
    let folders = entries.flatten().filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    let named =
        |entry: std::fs::DirEntry| decode(entry.file_name().to_str()?.strip_prefix(prefix)?)?.parse().ok();
    Ok(folders.filter_map(named).collect())
}

/// Moves one job's files, durably, before its next attempt begins.
///
/// # Errors
/// [`LockError::Held`] when a supervisor lives; the system's error.
pub(in crate::jobs) fn move_attempts_of(dir: &StateDir, id: &JobId) -> Result<(), LockError> {
    match move_files(dir, id, &ProcessTable::new())? {
        Step::Nothing => Ok(()),
        Step::Moved => Ok(dir.disk.sync_filesystem(&dir.paths.attempts())?),
        Step::Lives => {
            let path = dir.paths.job(&id.to_string()).map(|paths| paths.sentinel_lock()).unwrap_or_default();
            Err(LockError::Held { path, holder: None, waited: std::time::Duration::ZERO })
        }
    }
}

enum Step {
    Nothing,
    Moved,
    Lives,
}

fn move_files(dir: &StateDir, id: &JobId, table: &ProcessTable) -> Result<Step, DiskError> {
    let Ok(new) = dir.paths.job_of_this_layout(&id.to_string()) else { return Ok(Step::Nothing) };
    let (old, disk, filling) = (new.clone().of_layout_2(), &dir.disk, moving(&new));
    if new.attempts.exists() || !has_files(&old, &filling) {
        return Ok(Step::Nothing);
    }
    let is_of_the_server = dir.paths.is_of_the_server(&old.workspace);
    // In the workspace of another user a lock proves nothing; only processes do.
    let _lock = match is_of_the_server.then(|| lock_of(&old, &filling, disk)) {
        Some(Ok(lock)) => Some(lock),
        Some(Err(LockError::Held { .. })) => return Ok(Step::Lives),
        Some(Err(LockError::Disk(e))) if !crate::durable::is_not_regular(&e.source) => return Err(e),
        _ => {
            let life = living_of(dir, id, table);
            if !life.processes.is_empty() || life.doubt.is_some() {
                return Ok(Step::Lives);
            }
            None
        }
    };
    disk.ensure_dir(&dir.paths.attempts())?;
    disk.ensure_dir(&filling)?;
    if is_of_the_server {
        move_earlier(disk, &old, &filling)?;
    } else {
        let sentinel = filling.join("sentinel.json");
        // Keep files that an earlier move had taken before the workspace was given to another user.
        if sentinel.symlink_metadata().is_err() {
            replace(disk, &sentinel, NO_EVIDENCE.as_bytes())?;
        }
    }
    let names = if is_of_the_server { &ATTEMPT_FILES[..] } else { &["output.log"] };
    for name in names {
        let (from, to) = (old.workspace.join(name), filling.join(name));
        let is_ours = |path: &Path| is_our_file(path, is_of_the_server);
        if is_ours(&from) && to.symlink_metadata().is_err() {
            rename(disk, &from, &to)?;
            give_back_unless(disk, &to, &from, is_ours(&to))?;
        }
    }
    disk.rename(&filling, &new.attempts, false)?;
    Ok(Step::Moved)
}

/// The job's lock, wherever a move that was cut short has left it.
fn lock_of(old: &JobPaths, filling: &Path, disk: &Disk) -> Result<FileLock, LockError> {
    let moved = filling.join("sentinel.lock");
    let there = if moved.is_file() { moved } else { old.workspace.join("sentinel.lock") };
    FileLock::try_acquire(disk, &there)
}

fn moving(paths: &JobPaths) -> PathBuf {
    let name = paths.attempts.file_name().unwrap_or_default();
    paths.attempts.with_file_name(format!("{MOVING}{}", name.to_string_lossy()))
}

fn has_files(old: &JobPaths, filling: &Path) -> bool {
    let is_there =
        |name: &str| old.workspace.join(name).symlink_metadata().is_ok_and(|found| found.is_file());
    filling.is_dir() || ATTEMPT_FILES.iter().any(|name| is_there(name))
}

/// Moves the folders of earlier attempts. The server made each of them, and the folder around them, for itself
/// alone.
fn move_earlier(disk: &Disk, old: &JobPaths, filling: &Path) -> Result<(), DiskError> {
    let (from, taken) = (old.workspace.join(EARLIER), filling.join(EARLIER));
    if is_our_folder(&from) && taken.symlink_metadata().is_err() {
        rename(disk, &from, &taken)?;
        give_back_unless(disk, &taken, &from, is_our_folder(&taken))?;
    }
    if !taken.is_dir() {
        return Ok(());
    }
    for entry in std::fs::read_dir(&taken).context("list", &taken)?.flatten() {
        let is_number = entry.file_name().to_str().is_some_and(|name| name.parse::<u32>().is_ok());
        if is_number && is_our_folder(&entry.path()) {
            disk.rename(&entry.path(), &filling.join(entry.file_name()), false)?;
        }
    }
    match disk.remove_dir(&taken) {
        // The other content is the job's.
        Err(e) if e.kind() == std::io::ErrorKind::DirectoryNotEmpty => {
            give_back_unless(disk, &taken, &from, false)
        }
        removed => removed,
    }
}

/// Renames. A name that the job removed in the meantime needs no move.
fn rename(disk: &Disk, from: &Path, to: &Path) -> Result<(), DiskError> {
    match disk.rename(from, to, false) {
        Err(e) if e.is_not_found() => Ok(()),
        done => done,
    }
}

/// Unless the file is the server's, gives it its name back, or another one where the job has used that name
/// again.
fn give_back_unless(disk: &Disk, taken: &Path, from: &Path, is_ours: bool) -> Result<(), DiskError> {
    if is_ours || taken.symlink_metadata().is_err() {
        return Ok(());
    }
    let mut name = from.as_os_str().to_owned();
    for number in 1_u32.. {
        let to = if number == 1 { from.to_owned() } else { PathBuf::from(&name) };
        match disk.rename(taken, &to, false) {
            Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists && number < 100 => {
                name = from.as_os_str().to_owned();
                name.push(format!(".{number}"));
            }
            done => return done,
        }
    }
    Ok(())
}

fn is_our_file(path: &Path, may_be_linked: bool) -> bool {
    let own = rustix::process::geteuid().as_raw();
    let is_sole = |links: u64| links == 1 || may_be_linked;
    path.symlink_metadata().is_ok_and(|found| found.is_file() && is_sole(found.nlink()) && found.uid() == own)
}

fn is_our_folder(path: &Path) -> bool {
    let own = rustix::process::geteuid().as_raw();
    path.symlink_metadata()
        .is_ok_and(|found| found.is_dir() && found.uid() == own && found.mode() & 0o022 == 0)
}
