//! What a crash left half done in the state directory.
//!
//! Temporary files of atomic replacement are removed when no living process is writing them: they are
//! flocked from creation to publication, see [`crate::durable::remove_abandoned`]. They are sought only
//! directly in the state directory's own folders and in each workspace's top level, where supervisors
//! write, and only by the exact form of our own names: what lies deeper belongs to the jobs.
//!
//! An empty workspace whose job the queue does not know is half made: a submission or an import, which make
//! it before they enter the job, was killed in between. It is removed when the queue is known and while
//! nobody submits by name or imports; a folder that is not empty stays by itself.

use std::path::{Path, PathBuf};

use super::cleanup_log::CleanupEntry;
use super::under_way::Startup;
use super::under_way::StartupError;
use crate::durable::{Abandoned, FileLock, LockError, is_temporary_name, remove_abandoned};
use crate::queue::JobId;
use crate::state::StateDir;
use crate::state::names::decode;

/// What was found and done.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Cleanup {
    /// Temporary files that were removed.
    pub removed: Vec<PathBuf>,
    /// How many bytes they had.
    pub bytes_freed: u64,
    /// Temporary files that living processes are writing.
    pub in_use: Vec<PathBuf>,
    /// What could not be looked at or removed, and why.
    pub failed: Vec<(PathBuf, String)>,
}

/// Removes the temporary files that dead processes left, and writes every act into the log; that a living
/// process is writing a file (our own progress, say) is no act. `progress`
/// hears how many of how many folders are done, and says when to stop: what was done until then is logged.
///
/// # Errors
/// When the log cannot be written; what goes wrong with one file is in [`Cleanup::failed`].
pub fn clean_up(
    startup: &Startup,
    progress: &mut dyn FnMut(usize, usize) -> bool,
) -> Result<Cleanup, StartupError> {
    let dir = startup.dir();
    let mut sweep = Sweep { dir, found: Cleanup::default() };
    let mut folders = vec![dir.paths.root().to_owned()];
    folders.extend(dir.paths.folders());
    folders.extend([dir.paths.cleanup_archive(), dir.paths.cleanup_git()]);
    folders.extend(sweep.workspaces());
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
/// how many were removed. `unknown` says which jobs of a list the queue does not know at this very moment:
/// it is asked while nobody can enter one of them.
///
/// # Errors
/// When the log cannot be written, or a lock cannot be used.
pub fn remove_half_made(
    startup: &Startup,
    unknown: &mut dyn FnMut(Vec<JobId>) -> Vec<JobId>,
) -> Result<usize, StartupError> {
    let dir = startup.dir();
    let all = Sweep { dir, found: Cleanup::default() }.workspaces();
    let candidates = unknown(all.iter().filter_map(|path| job_of(path)).collect());
    if candidates.is_empty() {
        return Ok(0);
    }
    let mut locks = Vec::new();
    for path in [dir.paths.import_lock(), dir.paths.names_lock()] {
        match FileLock::try_acquire(&dir.disk, &path) {
            Ok(lock) => locks.push(lock),
            // Somebody is at it: the next startup sees what is left.
            Err(LockError::Held { .. }) => return Ok(0),
            Err(LockError::Disk(e)) => return Err(e.into()),
        }
    }
    let mut acts = Vec::new();
    for id in unknown(candidates) {
        let Ok(paths) = dir.paths.job(&id.to_string()) else { continue };
        let (result, detail) = match dir.disk.remove_dir(&paths.workspace) {
            Ok(()) => ("done", "it was empty, and the queue knows no such job".to_owned()),
            // What it holds is for the scan for orphans to judge.
            Err(e) if e.kind() == std::io::ErrorKind::DirectoryNotEmpty || e.is_not_found() => continue,
            Err(e) => ("failed", format!("{e}: {}", e.source)),
        };
        let object = startup.relative(&paths.workspace);
        acts.push(startup.act("remove_half_made_workspace", &object, result, detail));
    }
    if acts.is_empty() {
        return Ok(0);
    }
    dir.disk.sync_dir(&dir.paths.jobs())?;
    startup.log(&acts)?;
    Ok(acts.iter().filter(|a| a.result == "done").count())
}

struct Sweep<'a> {
    dir: &'a StateDir,
    found: Cleanup,
}

impl Sweep<'_> {
    /// The folders in `jobs/` (no links) whose names could be a job's.
    fn workspaces(&mut self) -> Vec<PathBuf> {
        let jobs = self.dir.paths.jobs();
        let mut found: Vec<PathBuf> = self
            .entries(&jobs)
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

fn job_of(workspace: &Path) -> Option<JobId> {
    decode(workspace.file_name()?.to_str()?)?.parse().ok()
}

fn acts(startup: &Startup, found: &Cleanup) -> Vec<CleanupEntry> {
    let act = |path: &Path, result: &str, detail: &str| {
        let action = if is_half_a_snapshot(startup, path) {
            "remove_half_written_snapshot"
        } else {
            "remove_temporary_file"
        };
        startup.act(action, &startup.relative(path), result, detail)
    };
    let removed = found.removed.iter().map(|p| act(p, "done", "no process was writing it"));
    let failed = found.failed.iter().map(|(p, why)| act(p, "failed", why));
    removed.chain(failed).collect()
}

/// What lies half written beside the snapshots was to become one.
fn is_half_a_snapshot(startup: &Startup, path: &Path) -> bool {
    path.parent() == Some(&startup.dir().paths.queue())
}
