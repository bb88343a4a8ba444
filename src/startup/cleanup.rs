//! What a crash left half done in the state directory.
//!
//! Temporary files of atomic replacement are removed when no living process is writing them: they are
//! flocked from creation to publication, see [`crate::durable::remove_abandoned`]. They are sought only
//! directly in the state directory's own folders and in each workspace's top level, where supervisors
//! write, and only by the exact form of our own names: what lies deeper belongs to the jobs.
//!
//! An empty workspace whose job the queue does not know is reported and left: a submission or a
//! supervisor may be about to use it.

use std::path::{Path, PathBuf};

use super::cleanup_log::CleanupEntry;
use super::under_way::Startup;
use crate::durable::{Abandoned, DiskError, is_temporary_name, remove_abandoned};
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
    /// Empty workspaces of jobs that the queue does not know.
    pub half_made: Vec<PathBuf>,
    /// What could not be looked at or removed, and why.
    pub failed: Vec<(PathBuf, String)>,
}

/// Cleans up, and writes every act into the cleanup log; that a living process is writing a file (our own
/// progress, say) is no act. `is_known` says whether the queue has a job;
/// `progress` hears how many of how many folders are done.
///
/// # Errors
/// When the log cannot be written; what goes wrong with one file is in [`Cleanup::failed`].
pub fn clean_up(
    startup: &Startup,
    is_known: &dyn Fn(&JobId) -> bool,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<Cleanup, DiskError> {
    let dir = startup.dir();
    let mut sweep = Sweep { dir, found: Cleanup::default() };
    let workspaces = sweep.workspaces();
    let mut folders = vec![dir.paths.root().to_owned()];
    folders.extend(dir.paths.folders());
    let total = folders.len() + workspaces.len();
    for (done, folder) in folders.iter().enumerate() {
        sweep.folder(folder);
        progress(done + 1, total);
    }
    for (done, workspace) in workspaces.iter().enumerate() {
        let is_empty = sweep.folder(workspace) == Some(0);
        if is_empty && job_of(workspace).is_some_and(|id| !is_known(&id)) {
            sweep.found.half_made.push(workspace.clone());
        }
        progress(folders.len() + done + 1, total);
    }
    let found = sweep.found;
    startup.log(&acts(startup, &found))?;
    Ok(found)
}

struct Sweep<'a> {
    dir: &'a StateDir,
    found: Cleanup,
}

impl Sweep<'_> {
    /// The folders in `jobs/` (no links) whose names could be a job's.
    fn workspaces(&mut self) -> Vec<PathBuf> {
        let jobs = self.dir.paths.jobs();
        let Some(entries) = self.entries(&jobs) else { return Vec::new() };
        let mut found: Vec<PathBuf> = entries
            .into_iter()
            .filter(|e| e.file_type().is_ok_and(|t| t.is_dir()))
            .map(|e| e.path())
            .filter(|path| job_of(path).is_some())
            .collect();
        found.sort();
        found
    }

    /// Sweeps one folder; how many entries are left in it, when that could be learnt.
    fn folder(&mut self, folder: &Path) -> Option<usize> {
        let entries = self.entries(folder)?;
        let mut left = entries.len();
        for entry in entries.iter().filter(|e| is_temporary_name(&e.file_name())) {
            let path = entry.path();
            match remove_abandoned(&self.dir.disk, &path) {
                Ok(Abandoned::Removed { bytes }) => {
                    left -= 1;
                    self.found.bytes_freed += bytes;
                    self.found.removed.push(path);
                }
                Ok(Abandoned::InUse) => self.found.in_use.push(path),
                Ok(Abandoned::Gone) => {}
                Err(e) => self.found.failed.push((path, format!("{e}: {}", e.source))),
            }
        }
        Some(left)
    }

    fn entries(&mut self, folder: &Path) -> Option<Vec<std::fs::DirEntry>> {
        match std::fs::read_dir(folder).and_then(Iterator::collect) {
            Ok(entries) => Some(entries),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => None,
            Err(e) => {
                self.found.failed.push((folder.to_owned(), format!("cannot list it: {e}")));
                None
            }
        }
    }
}

fn job_of(workspace: &Path) -> Option<JobId> {
    decode(workspace.file_name()?.to_str()?)?.parse().ok()
}

fn acts(startup: &Startup, found: &Cleanup) -> Vec<CleanupEntry> {
    let dir = startup.dir();
    let at = dir.clock.now();
    let act = |action: &str, path: &Path, result: &str, detail: &str| CleanupEntry {
        at,
        startup_id: startup.id().to_owned(),
        action: action.to_owned(),
        object: path.strip_prefix(dir.paths.root()).unwrap_or(path).display().to_string(),
        result: result.to_owned(),
        detail: detail.to_owned(),
    };
    let (temporary, workspace) = ("remove_temporary_file", "report_half_made_workspace");
    let removed = found.removed.iter().map(|p| act(temporary, p, "done", "no process was writing it"));
    let half =
        found.half_made.iter().map(|p| act(workspace, p, "kept", "empty, and the queue has no such job"));
    let failed = found.failed.iter().map(|(p, why)| act(temporary, p, "failed", why));
    removed.chain(half).chain(failed).collect()
}
