//! Jobs that refer to a folder: their `--cwd` leads into it or through it, or their command names a file in
//! it.
//!
//! A path refers to a folder when it passes through it: by links in it or to it, by a chain of links, or by `..`.
//! A word of the command (or of the resume command) counts as a path: an absolute one as it is, also after a `=`;
//! any other as a path from the job's own folder. In a script on the command line every part with a slash counts
//! as such a word, and so does the value of a job's variable (`--env`); `$RECOVERYCTL_STATE_DIR` is replaced by
//! the value that the job will see. In addition, wherever a request contains the name of the folder of
//! workspaces, the workspace named after it counts. A request that cannot be parsed may name any folder. The
//! content of script files, names that are composed (`*`, `$X`), and the jobs of another state directory are not
//! known here.

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

/// The most words of a script that are followed: a script may be long.
const MOST_NAMED: usize = 256;
/// The longest path, in bytes; a longer word is no path.
const PATH_MAX: usize = 4096;

/// A job, and the path by which it refers to a folder.
type AtWork = (JobId, JobStatus, How, PathBuf);

/// Jobs that wait, run, or may be resumed, by the folders that they refer to.
#[derive(Debug, Clone, Default)]
pub struct JobsAtWork {
    /// The record up to which the queue was read.
    seq: u64,
    /// The jobs, by device and inode of everything that their paths pass, because a folder may have several
    /// names.
    jobs: HashMap<(u64, u64), Vec<AtWork>>,
    /// Jobs whose requests cannot be parsed.
    undecodable: Vec<JobId>,
}

impl JobsAtWork {
    /// The jobs of a queue.
    pub fn of(dir: &StateDir, state: &QueueState) -> JobsAtWork {
        let mut at_work = JobsAtWork { seq: state.last_seq(), ..JobsAtWork::default() };
        let own = OnceCell::new();
        // Do not examine a file system of another host: one that does not answer would block.
        let is_elsewhere = |path: &Path| own.get_or_init(|| Own::of(dir)).is_elsewhere(path);
        let mut ways = Ways::new("/", &is_elsewhere);
        // Of the jobs that are over only a crashed one is to continue where it was.
        let comes = |status| matches!(status, JobStatus::Queued | JobStatus::Running | JobStatus::Crashed);
        let workspaces = names_of_workspaces(dir);
        for job in state.jobs().filter(|job| comes(job.status)) {
            let Some(paths) = paths_of(dir, &workspaces, job) else {
                if at_work.undecodable.len() < 2 {
                    at_work.undecodable.push(job.id.clone());
                }
                continue;
            };
            for (how, path) in paths {
                for identity in ways.follow(&path).passed {
                    let there = at_work.jobs.entry(identity).or_default();
                    // Two jobs are enough: at least one of them is not the job that owns the folder.
                    if there.len() < 2 && there.iter().all(|(id, ..)| *id != job.id) {
                        there.push((job.id.clone(), job.status, how, path.clone()));
                    }
                }
            }
        }
        at_work
    }

    /// Whether it was made of this state of the queue.
    pub(crate) fn is_of(&self, state: &QueueState) -> bool {
        self.seq == state.last_seq()
    }

    /// A job, other than `own`, that refers to a folder.
    pub fn in_folder(&self, folder: &Path, own: Option<&JobId>) -> Option<Use> {
        if let Some(id) = self.undecodable.iter().find(|id| Some(*id) != own) {
            return Some(Use::unseen(format!(
                "what job {id} refers to cannot be told: its request is not understood"
            )));
        }
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

/// All names of the folder of workspaces, each with a slash at its end.
fn names_of_workspaces(dir: &StateDir) -> Vec<String> {
    let jobs = dir.paths.jobs();
    let mut names = vec![std::path::absolute(&jobs).unwrap_or_else(|_| jobs.clone())];
    names.extend(std::fs::canonicalize(&jobs));
    let mut names: Vec<String> =
        names.iter().filter_map(|name| Some(format!("{}/", name.to_str()?))).collect();
    names.dedup();
    names
}

/// The workspaces that a text of any kind names.
fn named_in<'a>(text: &'a str, workspaces: &'a [String]) -> impl Iterator<Item = PathBuf> + 'a {
    workspaces.iter().flat_map(move |folder| {
        let ends = |c: char| !(c.is_alphanumeric() || "-_.%+@~".contains(c));
        memchr::memmem::find_iter(text.as_bytes(), folder.as_bytes()).filter_map(move |at| {
            let name = text.get(at + folder.len()..)?.split(ends).next().filter(|name| !name.is_empty())?;
            Some(Path::new(folder).join(name))
        })
    })
}

/// Whether a word of a command consists of several words.
fn is_script(word: &str) -> bool {
    word.contains(|c: char| c.is_whitespace() || ";|&<>()`\"'".contains(c))
}

/// Possible paths in a text: every part with a slash, split as a shell would.
fn words_of(dir: &StateDir, text: &str) -> impl Iterator<Item = String> {
    let root = dir.paths.root().display().to_string();
    let text = text.replace("${RECOVERYCTL_STATE_DIR}", &root).replace("$RECOVERYCTL_STATE_DIR", &root);
    let parts = |c: char| c.is_whitespace() || ";|&<>()`\"'=,:{}".contains(c);
    let words = text.split(parts).filter(|word| word.contains('/') && word.len() < PATH_MAX);
    words.filter(|word| !word.contains('\0')).map(str::to_owned).collect::<Vec<_>>().into_iter()
}

/// Every text in a request.
fn texts_in(value: &serde_json::Value, each: &mut dyn FnMut(&str)) {
    use serde_json::Value;
    match value {
        Value::String(text) => each(text),
        Value::Array(values) => values.iter().for_each(|value| texts_in(value, each)),
        Value::Object(fields) => fields.iter().for_each(|(name, value)| {
            each(name);
            texts_in(value, each);
        }),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// The paths that a job refers to; `None` when its request cannot be understood.
fn paths_of(dir: &StateDir, workspaces: &[String], job: &Job) -> Option<Vec<(How, PathBuf)>> {
    #[derive(Deserialize)]
    struct Spec<'a> {
        cwd: Option<PathBuf>,
        #[serde(borrow, default)]
        command: Vec<Cow<'a, str>>,
        #[serde(borrow, default)]
        resume_command: Option<Vec<Cow<'a, str>>>,
        #[serde(default)]
        env: HashMap<String, String>,
    }
    // Most requests have neither, and a million requests are not parsed. The workspace of a waiting job does not
    // exist yet: names without a slash mean files in it, or programs of the system.
    let has_path = memchr::memchr2(b'/', b'\\', job.raw_spec.as_bytes()).is_some();
    if job.status == JobStatus::Queued && !has_path {
        let has_folder = memchr::memmem::find(job.raw_spec.as_bytes(), b"\"cwd\"").is_some();
        if !has_folder {
            return Some(Vec::new());
        }
    }
    let spec = serde_json::from_str::<Spec<'_>>(&job.raw_spec).ok()?;
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
    let scripts =
        spec.command.iter().chain(spec.resume_command.iter().flatten()).filter(|word| is_script(word));
    let in_scripts = scripts.flat_map(|script| words_of(dir, script));
    // Only values with one path: every job has lists of paths, such as PATH.
    let values = spec.env.values().filter(|value| value.starts_with('/') && !value.contains([':', '\0']));
    for word in in_scripts.chain(values.cloned()) {
        let Some(path) = base.as_ref().map(|base| base.join(&word)) else { continue };
        if paths.len() < MOST_NAMED && !paths.iter().any(|(_, known)| *known == path) {
            paths.push((How::Named, path));
        }
    }
    let mut add = |text: &str| {
        for path in named_in(text, workspaces) {
            if !paths.iter().any(|(_, known)| *known == path) {
                paths.push((How::Named, path));
            }
        }
    };
    // Most requests contain no escapes.
    match memchr::memchr(b'\\', job.raw_spec.as_bytes()) {
        None => add(&job.raw_spec),
        Some(_) => texts_in(&serde_json::from_str(&job.raw_spec).ok()?, &mut add),
    }
    Some(paths)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::durable::Disk;
    use crate::queue::{JobSpec, QueuePosition};
    use crate::state::{Clock, Timestamp};

    fn normal(path: &Path) -> PathBuf {
        path.components().fold(PathBuf::new(), |mut normal, part| {
            if part == std::path::Component::ParentDir {
                normal.pop();
            } else {
                normal.push(part);
            }
            normal
        })
    }

    #[test]
    fn job_paths_from_cwd_command_and_resume() {
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
            let at = QueuePosition { seq: 1, index: 0 };
            let job = Job::new("b".parse().unwrap(), at, Timestamp::from_millis(1), &spec);
            paths_of(&dir, &names_of_workspaces(&dir), &job).unwrap()
        };
        let named = |path: &str| (How::Named, PathBuf::from(path));
        assert_eq!(of(None, &["true"], &[]), []);
        assert_eq!(
            of(Some("/a b"), &["./run", "-x", "--in=/i/n"], &["/r"]),
            [(How::Work, "/a b".into()), named("/a b/./run"), named("/i/n"), named("/r")]
        );
        let own = dir.paths.jobs().join("b/../c/x");
        assert_eq!(of(None, &["../c/x"], &[]), [(How::Named, own)]);
        // In a script by a path that leads there.
        let c = dir.paths.jobs().join("c");
        for (cwd, script) in [
            (None, "cat ../c/n"),
            (None, "cat $RECOVERYCTL_STATE_DIR/jobs/c/n"),
            (None, "x=${RECOVERYCTL_STATE_DIR}/jobs/c; ls"),
            (root.parent(), "(cat state/jobs/c/n)"),
            (None, "ls >ROOT//jobs/./c/n"),
        ] {
            let script = script.replace("ROOT", &root.display().to_string());
            let found = of(cwd.and_then(|cwd| cwd.to_str()), &["sh", "-c", &script], &[]);
            let leads = |path: &PathBuf| normal(path).starts_with(&c);
            assert!(found.iter().any(|(_, path)| leads(path)), "{script}: {found:?}");
        }
        // Wherever the name stands, also when JSON escapes it.
        let jobs = dir.paths.jobs().display().to_string();
        for script in ["cd J/c && make", "-CJ/c", "x\"J/c\"", "/x:J/c:ro", "a\nJ/c\n"] {
            let found = of(None, &["sh", &script.replace('J', &jobs)], &[]);
            assert!(found.contains(&(How::Named, dir.paths.jobs().join("c"))), "{script}: {found:?}");
        }
    }

    #[test]
    fn job_with_unparsable_request_names_any_folder() {
        let place = tempfile::tempdir().unwrap();
        let root = place.path().join("state");
        let dir = StateDir::open_or_create(&root, Disk::real(), Clock::system()).unwrap();
        let at = QueuePosition { seq: 1, index: 0 };
        let mut job = Job::new("b".parse().unwrap(), at, Timestamp::from_millis(1), &JobSpec::default());
        job.raw_spec = "{\"command\":\"a /b\"}".into();
        assert_eq!(paths_of(&dir, &[], &job), None);
        let strange = JobsAtWork { undecodable: vec![job.id.clone()], ..JobsAtWork::default() };
        assert!(
            strange.in_folder(&root, None).is_some() && strange.in_folder(&root, Some(&job.id)).is_none()
        );
    }
}
