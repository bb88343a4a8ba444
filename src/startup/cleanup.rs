//! Removes the half-done work of a crash from the state directory.
//!
//! Temporary files of atomic replacement are removed when no living process is writing them: their writers
//! hold an flock from creation to publication, see [`crate::durable::remove_abandoned`]. They are looked for
//! only directly in the state directory's own folders and in the folder of each job's attempts, where
//! supervisors write, and only by the exact form of our names. Workspaces belong to the jobs; they are
//! searched too only while some may still have the form of layout 2.
//!
//! An empty workspace whose job the queue does not know is half made: a submission or an import, which make
//! the workspace before they enter the job, was killed in between. It is removed when the queue is known and
//! while no process submits by name or imports; a folder that is not empty stays. A folder of attempts that
//! holds nothing but a free lock is removed in the same way: a process that had locked the job was killed.

use std::path::{Path, PathBuf};

use super::error::StartupError;
use super::record::CleanupEntry;
use super::under_way::Startup;
use crate::durable::{Abandoned, FileLock, LockError, is_temporary_name, remove_abandoned};
use crate::queue::JobId;
use crate::state::names::decode;
use crate::state::{JobPaths, StateDir};

/// The result of a cleaning.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Cleanup {
    /// Temporary files that were removed.
    pub removed: Vec<PathBuf>,
    /// Their total size in bytes.
    pub bytes_freed: u64,
    /// Temporary files that living processes are writing.
    pub in_use: Vec<PathBuf>,
    /// Paths that could not be examined or removed, with the reason.
    pub failed: Vec<(PathBuf, String)>,
}

/// Removes the temporary files of dead processes, and writes every act into the log; a file that a living
/// process is writing (for example, our own progress) is no act. `progress` is called with the number of
/// folders done and in all, and says when to stop: the acts until then are logged.
///
/// # Errors
/// When the log cannot be written; errors with one file are in [`Cleanup::failed`].
pub fn clean_up(
    startup: &Startup,
    progress: &mut dyn FnMut(usize, usize) -> bool,
) -> Result<Cleanup, StartupError> {
    let dir = startup.dir();
    let mut sweep = Sweep { dir, found: Cleanup::default() };
    let mut folders = vec![dir.paths.root().to_owned()];
    folders.extend(dir.paths.folders());
    folders.extend([dir.paths.cleanup_archive(), dir.paths.cleanup_git()]);
    folders.extend(sweep.folders_of_jobs(&dir.paths.attempts()));
    if dir.identity.may_have_attempts_in_workspaces() {
        folders.extend(sweep.folders_of_jobs(&dir.paths.jobs()));
    }
    for (done, folder) in folders.iter().enumerate() {
        sweep.folder(folder);
        if !progress(done + 1, folders.len()) {
            break;
        }
    }
    let found = sweep.found;
    startup.log(&acts(startup, &found))?;
    Ok(found)
}

/// Removes the empty workspaces of jobs that the queue does not know, and writes every act into the log;
/// returns their number. `unknown` selects the jobs of a list that the queue does not know at this very
/// moment: it is called while no process can enter one of them.
pub fn remove_half_made(
    startup: &Startup,
    unknown: &mut dyn FnMut(Vec<JobId>) -> Vec<JobId>,
) -> Result<usize, StartupError> {
    let dir = startup.dir();
    let mut sweep = Sweep { dir, found: Cleanup::default() };
    let mut all = sweep.folders_of_jobs(&dir.paths.jobs());
    all.extend(sweep.folders_of_jobs(&dir.paths.attempts()));
    let candidates = unknown(all.iter().filter_map(|path| job_of(path)).collect());
    if candidates.is_empty() {
        return Ok(0);
    }
    let mut locks = Vec::new();
    for path in [dir.paths.import_lock(), dir.paths.names_lock()] {
        match FileLock::try_acquire(&dir.disk, &path) {
            Ok(lock) => locks.push(lock),
            // Another process is submitting; the next startup removes the rest.
            Err(LockError::Held { .. }) => return Ok(0),
            Err(LockError::Disk(e)) => return Err(e.into()),
        }
    }
    let mut acts = Vec::new();
    for id in unknown(candidates) {
        let Ok(paths) = dir.paths.job(&id.to_string()) else { continue };
        remove_lone_lock(dir, &paths);
        for folder in [&paths.workspace, &paths.attempts] {
            let (result, detail) = match dir.disk.remove_dir(folder) {
                Ok(()) => ("done", "it was empty, and the queue knows no such job".to_owned()),
                // The scan for orphans judges its content.
                Err(e) if e.kind() == std::io::ErrorKind::DirectoryNotEmpty || e.is_not_found() => continue,
                Err(e) => ("failed", format!("{e}: {}", e.source)),
            };
            let object = startup.relative(folder);
            acts.push(startup.act("remove_half_made_workspace", &object, result, detail));
        }
    }
    if acts.is_empty() {
        return Ok(0);
    }
    dir.disk.sync_dir(&dir.paths.attempts())?;
    dir.disk.sync_dir(&dir.paths.jobs())?;
    startup.log(&acts)?;
    Ok(acts.iter().filter(|a| a.result == "done").count())
}

/// Removes the lock of a job that has nothing else, if the lock is free.
fn remove_lone_lock(dir: &StateDir, paths: &JobPaths) {
    let lock = paths.sentinel_lock();
    let names = || std::fs::read_dir(&paths.attempts).into_iter().flatten().flatten();
    if names().next().is_none() || !names().all(|entry| entry.path() == lock) {
        return;
    }
    // A lock that cannot be removed stays; removing its folder then fails and is reported.
    if let Ok(_held) = FileLock::try_acquire(&dir.disk, &lock) {
        let _ = dir.disk.remove_file(&lock);
    }
}

struct Sweep<'a> {
    dir: &'a StateDir,
    found: Cleanup,
}

impl Sweep<'_> {
    /// Returns the folders in a folder (not links) whose names could be a job's.
    fn folders_of_jobs(&mut self, folder: &Path) -> Vec<PathBuf> {
        let mut found: Vec<PathBuf> = self
            .entries(folder)
            .into_iter()
            .filter(|e| e.file_type().is_ok_and(|t| t.is_dir()))
            .map(|e| e.path())
            .filter(|path| job_of(path).is_some())
            .collect();
        found.sort();
        found
    }

    fn folder(&mut self, folder: &Path) {
        for entry in self.entries(folder).iter().filter(|e| is_temporary_name(&e.file_name())) {
            let path = entry.path();
            match remove_abandoned(&self.dir.disk, &path) {
                Ok(Abandoned::Removed { bytes }) => {
                    self.found.bytes_freed += bytes;
                    self.found.removed.push(path);
                }
                Ok(Abandoned::InUse) => self.found.in_use.push(path),
                Ok(Abandoned::Gone) => {}
                Err(e) => self.found.failed.push((path, format!("{e}: {}", e.source))),
            }
        }
    }

    fn entries(&mut self, folder: &Path) -> Vec<std::fs::DirEntry> {
        match std::fs::read_dir(folder).and_then(Iterator::collect) {
            Ok(entries) => entries,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Vec::new(),
            Err(e) => {
                self.found.failed.push((folder.to_owned(), format!("cannot list it: {e}")));
                Vec::new()
            }
        }
    }
}

fn job_of(folder: &Path) -> Option<JobId> {
    decode(folder.file_name()?.to_str()?)?.parse().ok()
}

fn acts(startup: &Startup, found: &Cleanup) -> Vec<CleanupEntry> {
    let act = |path: &Path, result: &str, detail: &str| {
        let action = if is_half_a_snapshot(startup, path) {
            "remove_half_written_snapshot"
        } else {
            "remove_temporary_file"
        };
        startup.act(action, startup.relative(path), result, detail)
    };
    let removed = found.removed.iter().map(|p| act(p, "done", "no process was writing it"));
    let failed = found.failed.iter().map(|(p, why)| act(p, "failed", why));
    removed.chain(failed).collect()
}

/// Whether a half-written file beside the snapshots was to become a snapshot.
fn is_half_a_snapshot(startup: &Startup, path: &Path) -> bool {
    path.parent() == Some(&startup.dir().paths.queue())
}
