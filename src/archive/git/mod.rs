//! Asking git about objects that are not ours to trust.
//!
//! git never runs in the repository that it is asked about: it runs in an empty one of ours (`cleanup/git`), with our
//! settings only, and reads the other's objects, index and files through descriptors of ours. So nothing that the
//! other repository configures (filters, hooks, monitors, pagers, helpers, transports, other working trees) is known
//! to it. It changes nothing.
//!
//! An answer counts only when git ended by itself with status 0, said nothing else, and said all that was asked for.

mod commits;
mod index;
mod remote;
mod tags;

use std::ffi::OsString;
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::durable::{Disk, DiskError, replace};
use crate::system::{ToolEnd, wait_for_tool};

pub(super) use index::{Changes, each_name};
pub(super) use remote::{Owned, RemoteStore};

/// Without what grows with the size.
const BASE_TIME: Duration = Duration::from_secs(30);
/// What a busy disk reads in a second at least.
const BYTES_PER_SECOND: u64 = 4 << 20;
/// Settings that matter for what git reads; it knows no others.
const SETTINGS: &str = "[core]
\trepositoryformatversion = 0
\tbare = false
\tfsmonitor = false
\thooksPath = /dev/null
\tattributesFile = /dev/null
\texcludesFile = /dev/null
\tuntrackedCache = false
\tpreloadIndex = false
\tcommitGraph = false
\tmultiPackIndex = false
\tbigFileThreshold = 1m
\tsafecrlf = false
\tpackedGitWindowSize = 1m
\tpackedGitLimit = 32m
\tdeltaBaseCacheLimit = 8m
[advice]
\tsparseIndexExpanded = false
[gc]
\tauto = 0
[maintenance]
\tauto = false
[protocol]
\tallow = never
[submodule]
\trecurse = false
[diff]
\tignoreSubmodules = all
\texternal =
";

/// Runs git in our own repository.
pub(super) struct Git<'a> {
    home: PathBuf,
    /// Where files without names are made: on the disk of the state directory.
    scratch: PathBuf,
    time_limit: Duration,
    /// It took too long once: it is not asked again about the same folder.
    gave_up: AtomicBool,
    stop: &'a (dyn Fn() -> bool + Sync),
}

/// A path by which another process of ours finds what this one has open.
pub(super) fn path_of(fd: impl AsFd) -> String {
    format!("/proc/{}/fd/{}", std::process::id(), fd.as_fd().as_raw_fd())
}

impl<'a> Git<'a> {
    /// Makes our repository unless it is there.
    ///
    /// # Errors
    /// What the system says.
    pub(super) fn new(
        disk: &Disk,
        home: &Path,
        scratch: &Path,
        bytes: u64,
        stop: &'a (dyn Fn() -> bool + Sync),
    ) -> Result<Git<'a>, DiskError> {
        let home = std::path::absolute(home).unwrap_or_else(|_| home.to_owned());
        disk.ensure_dirs(&[home.clone(), home.join("objects"), home.join("refs")])?;
        for (name, content) in [("HEAD", "ref: refs/heads/none\n"), ("config", SETTINGS)] {
            let path = home.join(name);
            if crate::durable::read_optional(&path)?.as_deref() != Some(content.as_bytes()) {
                replace(disk, &path, content.as_bytes())?;
            }
        }
        let time_limit = BASE_TIME + Duration::from_secs(bytes / BYTES_PER_SECOND);
        Ok(Git { home, scratch: scratch.to_owned(), time_limit, gave_up: AtomicBool::new(false), stop })
    }

    fn command(&self, objects: BorrowedFd<'_>) -> Command {
        let mut command = Command::new("git");
        let kept = |name: &OsString| matches!(name.to_str(), Some("PATH" | "LD_LIBRARY_PATH" | "TMPDIR"));
        for (name, _) in std::env::vars_os().filter(|(name, _)| !kept(name)) {
            command.env_remove(name);
        }
        command
            .env("LC_ALL", "C")
            .env("HOME", &self.home)
            .env("GIT_DIR", &self.home)
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_ATTR_NOSYSTEM", "1")
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("GIT_OPTIONAL_LOCKS", "0")
            .env("GIT_NO_REPLACE_OBJECTS", "1")
            .env("GIT_NO_LAZY_FETCH", "1")
            .env("GIT_ALLOW_PROTOCOL", "none")
            .env("GIT_PAGER", "cat")
            .env("GIT_ALTERNATE_OBJECT_DIRECTORIES", path_of(objects))
            .current_dir(&self.home)
            .process_group(0);
        command
    }

    fn nameless(&self) -> Result<std::fs::File, String> {
        tempfile::tempfile_in(&self.scratch).map_err(|e| format!("{}: {e}", self.scratch.display()))
    }

    /// Lines for git to read, in a file that nobody else finds.
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

    /// Runs it to its end; what it printed. Files, not pipes: nothing blocks, and nothing is held in memory.
    fn run(&self, mut command: Command, input: Option<std::fs::File>) -> Result<std::fs::File, String> {
        if self.gave_up.load(Ordering::Relaxed) {
            return Err(self.too_long());
        }
        let cannot = |e: std::io::Error| format!("git cannot be run: {e}");
        let (mut printed, mut said) = (self.nameless()?, self.nameless()?);
        let input = input.map_or_else(Stdio::null, Stdio::from);
        let (out, err) = (printed.try_clone().map_err(cannot)?, said.try_clone().map_err(cannot)?);
        let mut child = command.stdin(input).stdout(out).stderr(err).spawn().map_err(cannot)?;
        let end = wait_for_tool(&mut child, self.time_limit, self.stop);
        if !matches!(end, Ok(ToolEnd::Exited(_) | ToolEnd::Signaled(_))) {
            // Not reaped yet: the number is still this one's.
            let group = rustix::process::Pid::from_child(&child);
            let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
            let _ = child.wait(); // It was killed: there is nothing more to learn.
        }
        // Whether it said anything is told by the length alone: a name in a warning may be of any bytes.
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
            ToolEnd::Absent => Err("git was not found in PATH".to_owned()),
        }
    }

    fn too_long(&self) -> String {
        format!("git took longer than {} s", self.time_limit.as_secs_f64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn run_counts_only_when_git_ends_by_itself_and_says_nothing_else() {
        let place = tempfile::tempdir().unwrap();
        let home = place.path().join("git");
        let mut git = Git::new(&Disk::real(), &home, place.path(), 0, &|| false).unwrap();
        git.time_limit = Duration::from_millis(300);
        let run = |script: &str| {
            let mut sh = Command::new("sh");
            sh.args(["-c", script]).process_group(0);
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
            ("sleep 600 & sleep 600", "longer than 0.3 s"),
            ("echo answer", "longer than 0.3 s"),
        ] {
            let refused = run(script).unwrap_err();
            assert!(refused.contains(why), "{script}: {refused}");
        }
    }
}
