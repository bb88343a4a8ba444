//! Recognises a process of a job without its environment and without its files: by its arguments, and by its
//! output.
//!
//! A job of the server's user may remove all its files, and a command may clear its environment. Two things
//! remain: a supervisor, and a process that is about to become a command, name state directory, job and claim in
//! their arguments; and a command prints into the pipe of its job, whose name was beside the job's output and is
//! shown by its descriptors even when no file has that name any more. A command that has cleared its environment
//! and redirected its output, and whose supervisor was killed, is not found once its files are gone.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::keeper::pipe_of;
use crate::queue::{Claim, JobId};
use crate::state::JobPaths;
use crate::state::names::decode;
use crate::system::process_stat;

/// The first arguments of supervisors and trampolines.
const WORDS: [&[u8]; 2] = [b"supervise", b"exec-command"];
/// The first argument of a keeper.
const KEEPER: &[u8] = b"keep-output";
/// The kernel's suffix for the name of a removed file.
const REMOVED: &[u8] = b" (deleted)";
/// The folders of all workspaces and of all attempts.
const JOBS: &str = "jobs";
const ATTEMPTS: &str = "attempts";
/// The name of every job's output.
const OUTPUT: &str = "output.log";
/// The name beside it that the output's pipe had for a moment.
const OUTPUT_PIPE: &str = "output.pipe";
/// Standard output and standard error.
const STREAMS: [u32; 2] = [1, 2];

/// The attempt for which a supervisor, or a process that is about to become a command, was started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SupervisorInvocation {
    pub(super) job: Vec<u8>,
    pub(super) claim: Claim,
    pub(super) state_dir: PathBuf,
}

impl SupervisorInvocation {
    /// The invocation of a process; `None` when it is no such process, or may not be examined.
    pub(super) fn of(pid: u32) -> Option<SupervisorInvocation> {
        SupervisorInvocation::parse(&crate::durable::plain::read(format!("/proc/{pid}/cmdline")).ok()?)
    }

    fn parse(command_line: &[u8]) -> Option<SupervisorInvocation> {
        let mut arguments = command_line.split(|&b| b == 0).skip(1);
        let word = arguments.next()?;
        if !WORDS.contains(&word) {
            return None;
        }
        let (mut job, mut claim, mut state_dir) = (None, None, None);
        // What follows `--` is the command, which may say anything.
        while let Some(name) = arguments.next().filter(|name| *name != b"--") {
            match name {
                b"--job" => job = arguments.next(),
                b"--claim" => claim = arguments.next(),
                b"--state-dir" => state_dir = arguments.next(),
                _ => {}
            }
        }
        let claim = std::str::from_utf8(claim?).ok()?.parse().ok()?;
        Some(SupervisorInvocation {
            job: job?.to_vec(),
            claim,
            state_dir: Path::new(OsStr::from_bytes(state_dir?)).into(),
        })
    }
}

/// The nearest supervisor among this process's ancestors; it leads the session in which its job was started.
pub fn supervisor_above() -> Option<u32> {
    let mut pid = std::process::id();
    loop {
        pid = process_stat(pid).ok()?.parent;
        if pid <= 1 {
            return None;
        }
        let arguments = crate::durable::plain::read(format!("/proc/{pid}/cmdline")).ok()?;
        if SupervisorInvocation::of(pid).is_some() && arguments.split(|&b| b == 0).nth(1) == Some(WORDS[0]) {
            return Some(pid);
        }
    }
}

/// The number of the unnamed pipe that a keeper empties, and its output. The keeper lives as long as the pipe has
/// a writer, and ties the pipe to the job when all files are gone; it is no process of the job.
pub(super) fn kept_by(pid: u32) -> Option<(u64, PathBuf)> {
    Some((pipe_of(pid, 0)?, outputs_of(pid).next()?.path()))
}

/// Whether a process is the keeper of an output.
pub(super) fn is_keeper(pid: u32) -> bool {
    let command_line = crate::durable::plain::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    command_line.split(|&b| b == 0).nth(1) == Some(KEEPER)
}

/// Whether a server, and no one else, started a process for a job: its streams are then the server's.
pub(crate) fn serves_a_job(pid: u32) -> bool {
    SupervisorInvocation::of(pid).is_some() || is_keeper(pid)
}

/// The pipes that a process prints into.
pub(super) fn pipes(pid: u32) -> impl Iterator<Item = u64> {
    STREAMS.into_iter().filter_map(move |stream| pipe_of(pid, stream))
}

/// What a process prints to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum PrintsTo {
    /// An output itself.
    File(PathBuf),
    /// The pipe that is emptied into an output. The file may have been moved since, from the workspace: the path
    /// is that of the present layout.
    Pipe(PathBuf),
}

impl PrintsTo {
    pub(super) fn path(self) -> PathBuf {
        match self {
            PrintsTo::File(path) | PrintsTo::Pipe(path) => path,
        }
    }
}

/// The outputs of jobs that a process prints to: by the name of the file, or of the pipe that is emptied into it,
/// even if the file or pipe does not have that name any more.
pub(super) fn outputs_of(pid: u32) -> impl Iterator<Item = PrintsTo> {
    let links =
        STREAMS.into_iter().filter_map(move |n| std::fs::read_link(format!("/proc/{pid}/fd/{n}")).ok());
    links.map(without_removal).filter_map(|file| match file.file_name()?.to_str()? {
        OUTPUT => Some(PrintsTo::File(file)),
        OUTPUT_PIPE => Some(PrintsTo::Pipe(in_present_layout(&file.with_file_name(OUTPUT)))),
        _ => None,
    })
}

/// The path of an output in the present layout: `…/attempts/<id>/output.log` for `…/jobs/<id>/output.log`.
pub(super) fn in_present_layout(output: &Path) -> PathBuf {
    let moved = || {
        let folder = output.parent()?;
        let (root, name) = (folder.parent()?, folder.file_name()?);
        (root.file_name()? == JOBS).then(|| root.with_file_name(ATTEMPTS).join(name).join(OUTPUT))
    };
    moved().unwrap_or_else(|| output.to_owned())
}

/// The job that an output belongs to, by the name of its folder.
pub(super) fn job_of_output(output: &Path) -> Option<JobId> {
    decode(output.parent()?.file_name()?.to_str()?)?.parse().ok()
}

/// The output's path as the system names open files, even when its folder is gone. `real_root` is the real name
/// of the state directory.
pub(super) fn real_output(paths: &JobPaths, real_root: &Path) -> PathBuf {
    let output = paths.output();
    let named = output.ancestors().nth(3).and_then(|root| output.strip_prefix(root).ok());
    named.map_or_else(|| real_name(&output), |named| real_root.join(named))
}

/// A path without symbolic links, as far as the path exists.
pub(super) fn real_name(path: &Path) -> PathBuf {
    let folder = path.ancestors().find_map(|f| Some((f, std::fs::canonicalize(f).ok()?)));
    let real = folder.and_then(|(named, real)| Some(real.join(path.strip_prefix(named).ok()?)));
    real.unwrap_or_else(|| path.to_owned())
}

fn without_removal(file: PathBuf) -> PathBuf {
    match file.as_os_str().as_bytes().strip_suffix(REMOVED) {
        Some(named) => PathBuf::from(OsStr::from_bytes(named)),
        None => file,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(arguments: &[&str]) -> Option<SupervisorInvocation> {
        SupervisorInvocation::parse(arguments.join("\0").as_bytes())
    }

    #[test]
    fn invocation_needs_all_arguments() {
        let named = ["--state-dir", "/s", "--heartbeat-ms", "5", "--job", "a", "--claim", "7"];
        let call = |word: &str| parse(&[&["recoveryctl", word], &named[..], &["--", "--job", "b"]].concat());
        let invocation =
            SupervisorInvocation { job: b"a".to_vec(), claim: Claim::of_record(7), state_dir: "/s".into() };
        assert_eq!(call("supervise"), Some(invocation.clone()));
        assert_eq!(call("exec-command"), Some(invocation));
        assert_eq!(call("submit"), None);
        assert_eq!(parse(&["recoveryctl", "supervise", "--job", "a", "--claim", "7"]), None);
        assert_eq!(parse(&["recoveryctl", "supervise", "--state-dir", "/s", "--job", "a"]), None);
    }

    #[test]
    fn output_of_layout_2_is_recognised() {
        let there = Path::new("/s/attempts/a/output.log");
        assert_eq!(in_present_layout(Path::new("/s/jobs/a/output.log")), there);
        assert_eq!(in_present_layout(there), there);
    }

    #[test]
    fn output_removed_is_recognised() {
        assert_eq!(without_removal("/s/output.log (deleted)".into()), Path::new("/s/output.log"));
        assert_eq!(without_removal("/s/output.log".into()), Path::new("/s/output.log"));
    }
}
