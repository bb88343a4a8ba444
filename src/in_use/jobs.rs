//! Jobs that refer to a folder: their `--cwd` leads into it or through it, or their command names a file in it.
//!
//! A path refers to a folder when it passes it: by links in it or to it, by a chain of them, or by `..`. A word of the
//! command (or of the one for a resumed attempt) counts as a path when it is absolute, also behind a `=`, and as one
//! from the job's own folder when it is not. What a script says inside, and the jobs of another state directory, are
//! not known here.

use std::borrow::Cow;
use std::cell::OnceCell;
use std::collections::HashMap;
use std::path::{Path, PathBuf};

use rustix::fs::AtFlags;
use serde::Deserialize;

use super::answer::{How, Use, User};
use super::mounts::{MountTable, look};
use super::way::Ways;
use crate::queue::{Job, JobId, JobStatus, QueueState};
use crate::state::StateDir;

/// A longer word is no path.
const PATH_MAX: usize = 4096;

/// A job, and the path by which it refers to a folder.
type AtWork = (JobId, JobStatus, How, PathBuf);

/// Jobs that wait, run, or may be resumed, by the folders that they refer to.
#[derive(Debug, Clone, Default)]
pub struct JobsAtWork {
    /// The record up to which the queue was looked at.
    seq: u64,
    /// By device and inode of everything that a job's paths pass: a folder has several names.
    jobs: HashMap<(u64, u64), Vec<AtWork>>,
}

impl JobsAtWork {
    /// Those of a queue.
    #[must_use]
    pub fn of(dir: &StateDir, state: &QueueState) -> JobsAtWork {
        let mut at_work = JobsAtWork { seq: state.last_seq(), ..JobsAtWork::default() };
        let own = OnceCell::new();
        // A file system of another host that does not answer would be waited for.
        let is_elsewhere = |path: &Path| own.get_or_init(|| Own::of(dir)).is_elsewhere(path);
        let mut ways = Ways::new("/", &is_elsewhere);
        // Of those that are over only a crashed one is to go on where it was.
        let comes = |status| matches!(status, JobStatus::Queued | JobStatus::Running | JobStatus::Crashed);
        for job in state.jobs().filter(|job| comes(job.status)) {
            for (how, path) in paths_of(dir, job) {
                for identity in ways.follow(&path).passed {
                    let there = at_work.jobs.entry(identity).or_default();
                    // Two jobs are enough: one of them is another than the one whose folder it is.
                    if there.len() < 2 && there.iter().all(|(id, ..)| *id != job.id) {
                        there.push((job.id.clone(), job.status, how, path.clone()));
                    }
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

    /// A job, other than `own`, that refers to a folder.
    #[must_use]
    pub fn in_folder(&self, folder: &Path, own: Option<&JobId>) -> Option<Use> {
        if self.jobs.is_empty() {
            return None;
        }
        let seen = look(folder, AtFlags::SYMLINK_NOFOLLOW).ok()?;
        let there = self.jobs.get(&(seen.device, seen.inode))?;
        let (id, status, how, path) = there.iter().find(|(id, ..)| Some(id) != own)?;
        let by = User::Job(id.clone(), *status);
        Some(Use { by, how: *how, what: path.display().to_string() })
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

/// The paths that a job refers to.
fn paths_of(dir: &StateDir, job: &Job) -> Vec<(How, PathBuf)> {
    #[derive(Deserialize)]
    struct Spec<'a> {
        cwd: Option<PathBuf>,
        #[serde(borrow, default)]
        command: Vec<Cow<'a, str>>,
        #[serde(borrow, default)]
        resume_command: Option<Vec<Cow<'a, str>>>,
    }
    // Most have neither, and a million are not parsed. The workspace of a job that waits is yet to be made: what its
    // command names without a slash is in it, or a program of the system.
    let has_path = memchr::memchr2(b'/', b'\\', job.raw_spec.as_bytes()).is_some();
    if job.status == JobStatus::Queued && !has_path {
        let has_folder = memchr::memmem::find(job.raw_spec.as_bytes(), b"\"cwd\"").is_some();
        if !has_folder {
            return Vec::new();
        }
    }
    let Ok(spec) = serde_json::from_str::<Spec<'_>>(&job.raw_spec) else { return Vec::new() };
    let workspace = || dir.paths.job(&job.id.to_string()).ok().map(|paths| paths.workspace);
    let base = match &spec.cwd {
        Some(cwd) if cwd.is_absolute() => Some(cwd.clone()),
        Some(cwd) => workspace().map(|workspace| workspace.join(cwd)),
        None => workspace(),
    };
    let mut paths: Vec<_> =
        spec.cwd.iter().filter_map(|_| base.clone()).map(|base| (How::Work, base)).collect();
    let words = spec.command.iter().chain(spec.resume_command.iter().flatten());
    for word in words.filter(|word| word.len() < PATH_MAX && !word.contains('\0')) {
        let value = word.split_once('=').map(|(_, value)| value).filter(|value| value.starts_with('/'));
        let word = value.unwrap_or(word);
        if word.starts_with('-') || word.is_empty() {
            continue;
        }
        paths.extend(base.as_ref().map(|base| (How::Named, base.join(word))));
    }
    paths
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::durable::Disk;
    use crate::queue::{JobSpec, Place};
    use crate::state::{Clock, Timestamp};

    #[test]
    fn paths_are_those_of_folder_command_and_resume_command() {
        let place = tempfile::tempdir().unwrap();
        let root = place.path().join("state");
        let dir = StateDir::open_or_create(&root, Disk::real(), Clock::system()).unwrap();
        let of = |cwd: Option<&str>, command: &[&str], resume: &[&str]| {
            let words = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect::<Vec<_>>();
            let spec = JobSpec {
                cwd: cwd.map(PathBuf::from),
                command: words(command),
                resume_command: (!resume.is_empty()).then(|| words(resume)),
                ..JobSpec::default()
            };
            let at = Place { seq: 1, index: 0 };
            let job = Job::new("b".parse().unwrap(), at, Timestamp::from_millis(1), &spec);
            paths_of(&dir, &job)
        };
        let named = |path: &str| (How::Named, PathBuf::from(path));
        assert_eq!(of(None, &["true"], &[]), []);
        assert_eq!(
            of(Some("/a b"), &["./run", "-x", "--in=/i/n"], &["/r"]),
            [(How::Work, "/a b".into()), named("/a b/./run"), named("/i/n"), named("/r")]
        );
        let own = dir.paths.jobs().join("b/../c/x");
        assert_eq!(of(None, &["../c/x"], &[]), [(How::Named, own)]);
    }
}
