//! Jobs that are to work in a folder: their `--cwd` leads into it.

use std::cell::OnceCell;
use std::collections::HashMap;
use std::path::{Path, PathBuf};

use rustix::fs::AtFlags;
use serde::Deserialize;

use super::answer::{How, Use, User};
use super::mounts::{MountTable, look};
use crate::queue::{Job, JobId, JobStatus, QueueState};
use crate::state::StateDir;

/// A job, and the folder that it was told to work in.
type AtWork = (JobId, JobStatus, PathBuf);

/// Jobs that wait, run, or may be resumed, by the folders that they are to work in.
#[derive(Debug, Clone, Default)]
pub struct JobsAtWork {
    /// The record up to which the queue was looked at.
    seq: u64,
    /// By device and inode of each folder from a job's own up to the root: a folder has several names.
    jobs: HashMap<(u64, u64), Vec<AtWork>>,
}

impl JobsAtWork {
    /// Those of a queue.
    #[must_use]
    pub fn of(dir: &StateDir, state: &QueueState) -> JobsAtWork {
        let mut at_work = JobsAtWork { seq: state.last_seq(), ..JobsAtWork::default() };
        let own = OnceCell::new();
        let mut above: HashMap<PathBuf, Vec<(u64, u64)>> = HashMap::new();
        // Of those that are over only a crashed one is to go on where it was.
        let comes = |status| matches!(status, JobStatus::Queued | JobStatus::Running | JobStatus::Crashed);
        for job in state.jobs().filter(|job| comes(job.status)) {
            let Some(folder) = folder_of(job) else { continue };
            // A file system of another host that does not answer would be waited for.
            if own.get_or_init(|| Own::of(dir)).is_elsewhere(&folder) {
                continue;
            }
            let above = above.entry(folder.clone()).or_insert_with(|| folders_above(&folder));
            for identity in above.iter() {
                let there = at_work.jobs.entry(*identity).or_default();
                // Two are enough: one of them is another job than the one whose folder it is.
                if there.len() < 2 {
                    there.push((job.id.clone(), job.status, folder.clone()));
                }
            }
        }
        at_work
    }

    /// Whether it was made of this state of the queue.
    #[must_use]
    pub fn is_of(&self, state: &QueueState) -> bool {
        self.seq == state.last_seq()
    }

    /// A job, other than `own`, that is to work in a folder.
    #[must_use]
    pub fn in_folder(&self, folder: &Path, own: Option<&JobId>) -> Option<Use> {
        if self.jobs.is_empty() {
            return None;
        }
        let seen = look(folder, AtFlags::SYMLINK_NOFOLLOW).ok()?;
        let there = self.jobs.get(&(seen.device, seen.inode))?;
        let (id, status, cwd) = there.iter().find(|(id, _, _)| Some(id) != own)?;
        let by = User::Job(id.clone(), *status);
        Some(Use { by, how: How::Work, what: cwd.display().to_string() })
    }
}

/// The mounts of this process, and the file system that the workspaces are on.
struct Own {
    table: MountTable,
    device: Option<u64>,
}

impl Own {
    fn of(dir: &StateDir) -> Own {
        let table = MountTable::of(Path::new("/proc/self")).unwrap_or_default();
        let jobs = std::fs::canonicalize(dir.paths.jobs()).ok();
        let place = jobs.and_then(|jobs| table.locate(&look(&jobs, AtFlags::empty()).ok()?, &jobs));
        Own { device: place.map(|place| place.device), table }
    }

    /// Whether a path is, by its name, on another host's file system than the workspaces.
    fn is_elsewhere(&self, path: &Path) -> bool {
        self.table.is_remote(path).is_some_and(|device| Some(device) != self.device)
    }
}

/// The folder that a job was told to work in.
fn folder_of(job: &Job) -> Option<PathBuf> {
    #[derive(Deserialize)]
    struct Folder {
        cwd: Option<PathBuf>,
    }
    // Most have none, and a million are not parsed.
    memchr::memmem::find(job.raw_spec.as_bytes(), b"\"cwd\"")?;
    serde_json::from_str::<Folder>(&job.raw_spec).ok()?.cwd
}

/// Device and inode of a folder and of all above it, links resolved; of one that is yet to be made, those above it.
fn folders_above(folder: &Path) -> Vec<(u64, u64)> {
    let there = folder.ancestors().find_map(|at| std::fs::canonicalize(at).ok());
    let above = there.iter().flat_map(|there| there.ancestors());
    let seen = above.filter_map(|at| look(at, AtFlags::empty()).ok());
    seen.map(|seen| (seen.device, seen.inode)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::queue::{JobSpec, Place};
    use crate::state::Timestamp;

    fn job(cwd: Option<&Path>) -> Job {
        let spec = JobSpec { cwd: cwd.map(Path::to_owned), ..JobSpec::default() };
        let place = Place { seq: 1, index: 0 };
        Job::new("b".parse().unwrap(), place, Timestamp::from_millis(1), &spec)
    }

    #[test]
    fn folder_is_read_from_the_submission() {
        assert_eq!(folder_of(&job(Some(Path::new("/a b")))), Some("/a b".into()));
        assert_eq!(folder_of(&job(None)), None);
    }

    #[test]
    fn folder_that_is_yet_to_be_made_lies_in_what_is_there() {
        let place = tempfile::tempdir().unwrap();
        let link = place.path().join("link");
        std::os::unix::fs::symlink(place.path(), &link).unwrap();
        let seen = look(&std::fs::canonicalize(place.path()).unwrap(), AtFlags::empty()).unwrap();
        for folder in [place.path().join("not/yet"), link.join("not"), link.clone()] {
            assert!(folders_above(&folder).contains(&(seen.device, seen.inode)), "{}", folder.display());
        }
        assert!(!folders_above(Path::new("/usr")).contains(&(seen.device, seen.inode)));
    }
}
