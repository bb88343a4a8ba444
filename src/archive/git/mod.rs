//! Asks git about objects of repositories that we do not trust.
//!
//! git never runs in such a repository: it runs in an empty one of ours (`cleanup/git`), with our settings
//! only, as the tree's author, and reads the other repository's objects, index and files through descriptors
//! of ours (`system/git.rs`). So nothing that the other repository configures (filters, hooks, monitors,
//! pagers, helpers, transports, other working trees) has any effect, and git changes nothing.
//!
//! An answer counts only when git exited with status 0, wrote nothing to stderr, and answered every question.
//!
//! *Why git at all.* Without it, everything would have to be copied: a clone of 5 GB with all branches
//! pushed, for each job that had one. Finding commits elsewhere means walking through objects, and finding
//! changed files means comparing contents; a library for both would be more code that parses untrusted data,
//! in this process and with its rights. So git does it outside of this process and with fewer rights, and
//! wherever its answer is not as expected, the data in question is copied.

mod commits;
mod index;
mod remote;
mod tags;

use std::io::{Read, Seek, SeekFrom, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};

use super::open::Objects;
use crate::durable::tree::open_top;
use crate::durable::{Disk, DiskError, IoContext, replace};
use crate::state::human;
use crate::system::git::{GitProgram, SETTINGS};
use crate::system::{Author, Restricted, SearchPath, ToolEnd, wait_for_tool};

pub(super) use index::{Changes, each_name};
pub(super) use remote::{Owned, RemoteStore};

/// The time limit of one run, without the part that grows with the size.
const BASE_TIME: Duration = Duration::from_secs(30);
/// The slowest reading speed that a busy disk is given, in bytes per second.
const BYTES_PER_SECOND: u64 = 4 << 20;
/// All runs together may take this many times as long as one run may.
const RUNS: u64 = 10;

/// Runs git in our own repository.
pub(super) struct Git<'a> {
    program: Result<GitProgram, String>,
    /// Where files without names are made: on the disk of the state directory.
    scratch: PathBuf,
    time_limit: Duration,
    /// Time that all runs took so far, in milliseconds.
    spent: AtomicU64,
    /// A run took too long: git is not asked about this folder again.
    gave_up: AtomicBool,
    stop: &'a (dyn Fn() -> bool + Sync),
}

/// Returns a path by which another process of ours can open a descriptor of this process.
pub(super) fn path_of(fd: impl AsFd) -> String {
    format!("/proc/{}/fd/{}", std::process::id(), fd.as_fd().as_raw_fd())
}

impl<'a> Git<'a> {
    /// Makes our repository if it is missing. Other users may read it through the descriptor that they are
    /// handed.
    pub(super) fn new(
        disk: &Disk,
        home: &Path,
        scratch: &Path,
        search: &SearchPath,
        bytes: u64,
        stop: &'a (dyn Fn() -> bool + Sync),
    ) -> Result<Git<'a>, DiskError> {
        let [objects, refs, head, config] = ["objects", "refs", "HEAD", "config"].map(|name| home.join(name));
        disk.ensure_dirs(&[home.to_owned(), objects.clone(), refs.clone()])?;
        for (path, content) in [(&head, "ref: refs/heads/none\n"), (&config, SETTINGS)] {
            if crate::durable::read_optional(path)?.as_deref() != Some(content.as_bytes()) {
                replace(disk, path, content.as_bytes())?;
            }
        }
        for (path, mode) in
            [(home, 0o755), (&objects, 0o755), (&refs, 0o755), (&head, 0o644), (&config, 0o644)]
        {
            if path.metadata().context("look at", path)?.permissions().mode() & 0o777 != mode {
                disk.set_mode(path, mode)?;
            }
        }
        let opened = open_top(home).context("open", home)?;
        let time_limit = BASE_TIME + Duration::from_secs(bytes / BYTES_PER_SECOND);
        Ok(Git { program: GitProgram::find(search, opened), time_limit, ..Git::absent(scratch, "", stop) })
    }

    /// Sets the time limit for each answer.
    pub(super) fn within(self, time_limit: Duration) -> Git<'a> {
        Git { time_limit, ..self }
    }

    /// Returns a `Git` that answers nothing, for the reason `why`.
    pub(super) fn absent(scratch: &Path, why: &str, stop: &'a (dyn Fn() -> bool + Sync)) -> Git<'a> {
        Git {
            program: Err(why.to_owned()),
            scratch: scratch.to_owned(),
            time_limit: BASE_TIME,
            spent: AtomicU64::new(0),
            gave_up: AtomicBool::new(false),
            stop,
        }
    }

    /// Prepares a run that may read some objects, with the rights of their author and of the authors of its
    /// other inputs.
    fn command<'c>(&'c self, objects: &'c Objects, author: Author) -> Result<Restricted<'c>, String> {
        let program = self.program.as_ref().map_err(Clone::clone)?;
        Ok(program.about(objects.as_fd(), objects.author.and(author), self.time_limit))
    }

    /// The repository that git runs in.
    fn home(&self) -> Result<BorrowedFd<'_>, String> {
        Ok(self.program.as_ref().map_err(Clone::clone)?.home())
    }

    fn nameless(&self) -> Result<std::fs::File, String> {
        tempfile::tempfile_in(&self.scratch).map_err(|e| format!("{}: {e}", self.scratch.display()))
    }

    /// Writes lines for git to read into a file without a name.
    fn lines(&self, lines: impl Iterator<Item = String>) -> Result<std::fs::File, String> {
        let mut file = std::io::BufWriter::new(self.nameless()?);
        let cannot = |e: std::io::Error| e.to_string();
        for line in lines {
            writeln!(file, "{line}").map_err(cannot)?;
        }
        let mut file = file.into_inner().map_err(|e| e.to_string())?;
        file.seek(SeekFrom::Start(0)).map_err(cannot)?;
        Ok(file)
    }

    /// Runs it to its end and returns its output. Output goes to files, not pipes, so that nothing blocks and
    /// nothing is held in memory.
    fn run(
        &self,
        mut command: Restricted<'_>,
        input: Option<std::fs::File>,
    ) -> Result<std::fs::File, String> {
        if self.gave_up.load(Ordering::Relaxed) {
            return Err(self.too_long());
        }
        let cannot = |e: std::io::Error| format!("git cannot be run: {e}");
        let (mut printed, mut said) = (self.nameless()?, self.nameless()?);
        let (out, err) = (printed.try_clone().map_err(cannot)?, said.try_clone().map_err(cannot)?);
        command.stdin(input.map_or_else(Stdio::null, Stdio::from)).output(out, err);
        let begun = Instant::now();
        let mut child = command.spawn().map_err(cannot)?;
        let end = wait_for_tool(&mut child, self.time_limit, self.stop);
        if !matches!(end, Ok(ToolEnd::Exited(_) | ToolEnd::Signaled(_))) {
            // The child is not reaped yet, so the number is still its own.
            let _ = kill_process_group(Pid::from_child(&child), Signal::KILL);
            let _ = child.wait(); // It was killed: there is nothing more to learn.
        }
        self.spend(begun);
        // Only the length tells whether it wrote a warning: a name in it may have any bytes.
        let is_silent = said.metadata().map_err(cannot)?.len() == 0;
        let mut words = Vec::new();
        let _ = said.rewind().and_then(|()| (&mut said).take(2048).read_to_end(&mut words)); // Only for the message.
        let words: String =
            String::from_utf8_lossy(&words).trim().chars().filter(|c| !c.is_control()).collect();
        match end.map_err(cannot)? {
            ToolEnd::Exited(0) if is_silent => {
                printed.rewind().map_err(cannot)?;
                Ok(printed)
            }
            ToolEnd::Exited(status) => Err(format!("git ended with status {status}: {words}")),
            ToolEnd::Signaled(signal) => Err(format!("git was ended by signal {signal}")),
            ToolEnd::TimedOut => {
                self.gave_up.store(true, Ordering::Relaxed);
                Err(self.too_long())
            }
            ToolEnd::Stopped => Err("git was ended early".to_owned()),
        }
    }

    /// Counts the time of a run. A folder may have any number of repositories that take long.
    fn spend(&self, begun: Instant) {
        let took = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        let spent = self.spent.fetch_add(took, Ordering::Relaxed).saturating_add(took);
        if u128::from(spent) > self.time_limit.as_millis() * u128::from(RUNS) {
            self.gave_up.store(true, Ordering::Relaxed);
        }
    }

    fn too_long(&self) -> String {
        format!("git took longer than {}, or {RUNS} times that in all", human::span(self.time_limit))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn git_run_with_failure_or_stderr_is_rejected() {
        let place = tempfile::tempdir().unwrap();
        let home = place.path().join("git");
        let search = SearchPath::default();
        let mut git = Git::new(&Disk::real(), &home, place.path(), &search, 0, &|| false).unwrap();
        git.time_limit = Duration::from_millis(300);
        let run = |script: &str| {
            let mut sh = Restricted::new(Path::new("/bin/sh"));
            sh.args(["-c", script]).env("PATH", crate::system::USUAL_PATH);
            let printed = git.run(sh, None).map(|mut file| {
                let mut text = String::new();
                file.read_to_string(&mut text).map(|_| text)
            });
            printed.map(Result::unwrap)
        };
        assert_eq!(run("echo answer"), Ok("answer\n".to_owned()));
        for (script, why) in [
            ("echo half; exit 3", "status 3"),
            ("echo all; echo 'warning: odd' >&2", "warning: odd"),
            // Not UTF-8; cut within a character where the message ends; nothing that is shown.
            (r"echo all; printf 'warning: \377\n' >&2", "warning: "),
            ("echo all; { printf x; yes ä | head -c 3000 | tr -d '\\n'; } >&2", "xää"),
            ("echo all; echo >&2", "status 0"),
            ("kill -KILL $$", "signal 9"),
            ("sleep 600 & sleep 600", "longer than 300 ms"),
            ("echo answer", "longer than 300 ms"),
        ] {
            let refused = run(script).unwrap_err();
            assert!(refused.contains(why), "{script}: {refused}");
        }
    }
}
