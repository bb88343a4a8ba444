//! Damaged files of the attempts of jobs that are over.
//!
//! No verdict needs them any more, but they show how attempts ended, and a disk that damages one file damages
//! others. They are moved to quarantine while the job's lock is held, so that no next attempt begins at the same
//! time.

use std::path::{Path, PathBuf};

use super::reconcile::lock_job;
use super::reconstruct::jobs_with_files;
use crate::durable::DiskError;
use crate::jobs::command_record::CommandRecord;
use crate::jobs::exit_record::ExitRecord;
use crate::jobs::sentinel::Sentinel;
use crate::jobs::stored::is_blank;
use crate::queue::{JobId, QueueState};
use crate::state::{JobPaths, StateDir};
use crate::system::Host;

/// A file that cannot be understood.
#[derive(Debug)]
pub(crate) struct DamagedFile {
    /// The job that it belongs to.
    pub job: JobId,
    /// Its path in the folder of the job's attempts.
    pub name: String,
    /// Its path in quarantine, or why it was left in place.
    pub kept: Result<PathBuf, String>,
}

/// Moves the damaged files to quarantine.
pub(crate) fn damaged_files(dir: &StateDir, state: &QueueState) -> Result<Vec<DamagedFile>, DiskError> {
    let ids = jobs_with_files(dir)?.into_iter();
    let over = ids.filter(|id| state.get(id).is_some_and(|job| job.status.is_over()));
    let (mut found, host) = (Vec::new(), Host::this());
    for id in over {
        let Ok(paths) = dir.paths.job(&id.to_string()) else { continue };
        let claimed_on = state.get(&id).and_then(|job| job.run_state().claimed_on.as_deref());
        let may_be_unwritten = claimed_on.is_some_and(|then| host.is_later_boot_of(then));
        let mut damaged = damaged_in(&paths);
        // The files of an attempt are not synced, and a power loss may have left them without content.
        damaged.retain(|path| !(may_be_unwritten && is_blank(path)));
        if !damaged.is_empty() {
            found.extend(take(dir, &id, &paths, &damaged));
        }
    }
    found.sort_by(|a, b| (&a.job, &a.name).cmp(&(&b.job, &b.name)));
    Ok(found)
}

fn damaged_in(paths: &JobPaths) -> Vec<PathBuf> {
    let folders = std::iter::once(paths.attempts.clone()).chain(paths.earlier_attempts());
    folders.flat_map(|folder| damaged_of_attempt(&folder)).collect()
}

fn damaged_of_attempt(folder: &Path) -> Vec<PathBuf> {
    let at = |name: &str| folder.join(name);
    let looked_at = [
        (at("sentinel.json"), Sentinel::read(&at("sentinel.json")).is_ok_and(|s| s.is_damaged())),
        (at("command.json"), CommandRecord::read(&at("command.json")).is_ok_and(|c| c.is_damaged())),
        (at("exit.json"), ExitRecord::read(&at("exit.json")).is_ok_and(|e| e.is_damaged())),
    ];
    looked_at.into_iter().filter(|(_, is_damaged)| *is_damaged).map(|(path, _)| path).collect()
}

fn take(dir: &StateDir, id: &JobId, paths: &JobPaths, damaged: &[PathBuf]) -> Vec<DamagedFile> {
    let lock = lock_job(dir, id);
    let at = dir.clock.now().to_string();
    let keep = |path: &PathBuf| match &lock {
        Ok(_) => {
            let kept = dir.quarantine().take_file(path, "cannot be understood", &at);
            kept.map_err(|e| format!("{e}: {}", e.source))
        }
        Err(e) => Err(e.to_string()),
    };
    let told = damaged.iter().map(|path| DamagedFile {
        job: id.clone(),
        name: path.strip_prefix(&paths.attempts).unwrap_or(path).display().to_string(),
        kept: keep(path),
    });
    told.collect()
}
