//! What a git repository tells of work that was left in it: HEAD, branch, uncommitted changes.
//!
//! Asked of `git` itself, which knows every form that a repository can have. It reads only (no optional
//! locks), trusts a repository of whichever owner, reads no configuration but the repository's own, asks
//! nobody, and is ended when it takes too long.
//!
//! The author of a repository decides nothing about what is run: no hook, no file system monitor, no
//! filter of `.gitattributes` (each that the configuration names is taken away first), no transport that
//! would fetch what a partial clone lacks; and only the work tree that the repository lies in is looked at.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

/// Longer than a status of a large work tree takes on a busy disk.
const PATIENCE: Duration = Duration::from_secs(10);
/// So many bytes of its answer are read: some ten thousand changes.
const MOST: u64 = 1 << 20;
/// Where `git` is looked for.
const SEARCHED: &str = "/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin";
/// So many settings of filters are taken away at most.
const FILTERS: usize = 1_000;
/// How many folders of a workspace are looked at for repositories.
const FOLDERS: usize = 64;

/// A repository as it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GitState {
    /// The commit; `None` before the first one.
    pub head: Option<String>,
    /// The branch; `None` when HEAD is detached.
    pub branch: Option<String>,
    /// Files that differ from the commit, untracked ones included.
    pub changes: usize,
}

impl std::fmt::Display for GitState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.head {
            Some(commit) => write!(f, "HEAD {commit}")?,
            None => f.write_str("no commit yet")?,
        }
        match &self.branch {
            Some(branch) => write!(f, ", branch {branch}")?,
            None => f.write_str(", detached")?,
        }
        match self.changes {
            0 => f.write_str(", nothing uncommitted"),
            1 => f.write_str(", 1 uncommitted change"),
            n => write!(f, ", {n} uncommitted changes"),
        }
    }
}

/// The repositories in a folder: its own, or those of its direct subfolders.
#[must_use]
pub fn git_repositories(folder: &Path) -> Vec<PathBuf> {
    let has_one = |at: &Path| at.join(".git").symlink_metadata().is_ok();
    if has_one(folder) {
        return vec![folder.to_owned()];
    }
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let folders = entries.filter(|e| e.file_type().is_ok_and(|t| t.is_dir())).map(|e| e.path());
    let mut found: Vec<PathBuf> = folders.take(FOLDERS).filter(|at| has_one(at)).collect();
    found.sort();
    found
}

/// Looks at a repository; the reason when that cannot be done.
///
/// # Errors
/// In words: no git, no repository, or no answer in time.
pub fn git_state(repository: &Path) -> Result<GitState, String> {
    let answer = ask(status(repository, &without_filters(repository)?), PATIENCE)?;
    understand(&answer).ok_or_else(|| "its answer cannot be understood".to_owned())
}

/// Settings for `-c` that take away what the repository's filters run, which git would call for changed files.
///
/// # Errors
/// When they cannot all be taken away.
fn without_filters(repository: &Path) -> Result<Vec<String>, String> {
    // No command, and nothing that must not be without one.
    let without = |named: String| match named.ends_with(".required") {
        true => format!("{named}=false"),
        false => format!("{named}="),
    };
    Ok(filters(repository)?.into_iter().map(without).collect())
}

fn filters(repository: &Path) -> Result<Vec<String>, String> {
    let mut list = command(repository);
    list.args(["config", "--list", "--name-only", "-z", "--includes"]);
    let listed = ask(list, PATIENCE)?;
    if listed.len() as u64 == MOST {
        return Err("its configuration is too large".to_owned());
    }
    let name = |name: &[u8]| std::str::from_utf8(name).ok().map(str::to_owned);
    let runs = |name: &[u8]| {
        name.starts_with(b"filter.")
            && [&b".clean"[..], b".smudge", b".process", b".required"].iter().any(|end| name.ends_with(end))
    };
    let mut found = Vec::new();
    for named in listed.split(|&b| b == 0).filter(|n| runs(n)) {
        // An equals sign would end the name where it is taken away.
        let Some(named) = name(named).filter(|n| !n.contains('=')) else {
            return Err("a filter in its configuration has a name that cannot be taken away".to_owned());
        };
        found.push(named);
    }
    found.sort();
    found.dedup();
    match found.len() {
        0..=FILTERS => Ok(found),
        many => Err(format!("its configuration has {many} settings of filters")),
    }
}

fn status(repository: &Path, switched_off: &[String]) -> Command {
    let mut git = command(repository);
    for setting in switched_off {
        git.args(["-c", setting]);
    }
    git.args(["status", "--porcelain=v2", "--branch", "-z", "--ignore-submodules=all"]);
    git
}

fn command(repository: &Path) -> Command {
    let mut git = Command::new("git");
    let above = repository.parent().unwrap_or(repository);
    git.args(["--no-optional-locks", "-c", "safe.directory=*", "-c", "core.fsmonitor=false"])
        .args(["-c", "core.hooksPath=/dev/null", "-c", "core.untrackedCache=false"])
        .args(["-c", "protocol.allow=never"])
        .current_dir(repository)
        .env_clear()
        .env("PATH", SEARCHED)
        .env("LC_ALL", "C")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_ATTR_NOSYSTEM", "1")
        .env("GIT_TERMINAL_PROMPT", "0")
        .env("GIT_NO_LAZY_FETCH", "1")
        .env("GIT_ALLOW_PROTOCOL", "none")
        .env("GIT_WORK_TREE", ".")
        .env("GIT_CEILING_DIRECTORIES", above)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    std::os::unix::process::CommandExt::process_group(&mut git, 0);
    git
}

fn ask(mut git: Command, patience: Duration) -> Result<Vec<u8>, String> {
    let mut child = git.spawn().map_err(|e| format!("git cannot be run: {e}"))?;
    let Some(output) = child.stdout.take() else { return Err("git has no output".to_owned()) };
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        let mut answer = Vec::new();
        let read = output.take(MOST).read_to_end(&mut answer);
        let _ = sender.send(read.map(|_| answer));
    });
    let answer = receiver.recv_timeout(patience);
    if answer.is_err() {
        end(&child);
    }
    let status = child.wait().map_err(|e| format!("git is lost: {e}"))?;
    let answer = answer.map_err(|_| format!("git gave no answer within {patience:?}"))?;
    match status.success() {
        true => answer.map_err(|e| format!("git cannot be read: {e}")),
        // What was not read any more broke its pipe.
        false => {
            answer.ok().filter(|a| a.len() as u64 == MOST).ok_or_else(|| format!("git failed: {status}"))
        }
    }
}

/// The whole group: what it started has its output open too.
fn end(child: &Child) {
    let _ = rustix::process::kill_process_group(
        rustix::process::Pid::from_child(child),
        rustix::process::Signal::KILL,
    );
}

fn understand(answer: &[u8]) -> Option<GitState> {
    let mut state = GitState { head: None, branch: None, changes: 0 };
    let (mut is_told, mut is_former_name) = (false, false);
    for line in answer.split(|&b| b == 0) {
        // A renamed file is followed by the name that it had.
        if std::mem::take(&mut is_former_name) {
            continue;
        }
        let text = String::from_utf8_lossy(line);
        match text.split_once(' ') {
            Some(("#", header)) => match header.split_once(' ') {
                Some(("branch.oid", oid)) => {
                    is_told = true;
                    state.head = (oid != "(initial)").then(|| oid.to_owned());
                }
                Some(("branch.head", name)) => {
                    state.branch = (name != "(detached)").then(|| name.to_owned());
                }
                _ => {}
            },
            Some((kind @ ("1" | "2" | "u" | "?"), _)) => {
                state.changes += 1;
                is_former_name = kind == "2";
            }
            _ => {}
        }
    }
    is_told.then_some(state)
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)]
mod tests {
    use super::*;

    fn git(at: &Path, arguments: &[&str]) {
        let mut git = Command::new("git");
        git.current_dir(at).args(["-c", "user.name=a", "-c", "user.email=a@b"]).args(arguments);
        assert!(
            git.env("GIT_CONFIG_GLOBAL", "/dev/null").output().unwrap().status.success(),
            "{arguments:?}"
        );
    }

    #[test]
    fn a_repository_tells_where_it_stands_and_runs_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path().join("work");
        std::fs::create_dir(&at).unwrap();
        assert!(git_repositories(folder.path()).is_empty() && git_state(&at).is_err());
        git(&at, &["init", "-q", "-b", "fix/one"]);
        let fresh = git_state(&at).unwrap();
        assert_eq!(fresh, GitState { head: None, branch: Some("fix/one".to_owned()), changes: 0 });
        for name in ["kept", "moved"] {
            std::fs::write(at.join(name), name.repeat(50)).unwrap();
        }
        git(&at, &["add", "."]);
        git(&at, &["commit", "-q", "-m", "first"]);
        let ran = folder.path().join("ran");
        let hook = folder.path().join("hook");
        std::fs::write(&hook, format!("#!/bin/sh\ntouch {}\n", ran.display())).unwrap();
        std::fs::set_permissions(&hook, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        git(&at, &["config", "core.fsmonitor", hook.to_str().unwrap()]);
        std::fs::write(at.join("kept"), "changed").unwrap();
        std::fs::write(at.join("new"), "new").unwrap();
        std::fs::rename(at.join("moved"), at.join("? moved")).unwrap();
        let _ = std::fs::remove_file(&ran);
        assert_eq!(git_repositories(folder.path()), std::slice::from_ref(&at));
        let state = git_state(&at).unwrap();
        assert_eq!((state.head.as_ref().map(String::len), state.changes), (Some(40), 4), "{state}");
        assert!(!ran.exists(), "the monitor of the repository was run");
        git(&at, &["-c", "core.fsmonitor=false", "add", "-A"]);
        let _ = std::fs::remove_file(&ran);
        assert_eq!(git_state(&at).unwrap().changes, 3, "one renamed, one changed, one new");
        git(&at, &["-c", "core.fsmonitor=false", "checkout", "-q", "--detach"]);
        let state = git_state(&at).unwrap();
        assert!(state.branch.is_none() && state.to_string().ends_with("detached, 3 uncommitted changes"));
    }

    /// Says that a program was run by writing a file.
    fn witness(folder: &Path, name: &str) -> (PathBuf, String) {
        let (ran, program) = (folder.join(format!("{name}.ran")), folder.join(name));
        std::fs::write(&program, format!("#!/bin/sh\ntouch {}\ncat\n", ran.display())).unwrap();
        std::fs::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        (ran, program.to_str().unwrap().to_owned())
    }

    #[test]
    fn a_repository_that_means_harm_has_nothing_run() {
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path().join("work");
        std::fs::create_dir(&at).unwrap();
        git(&at, &["init", "-q", "-b", "main"]);
        for name in ["a", "b", "c"] {
            std::fs::write(at.join(name), name.repeat(50)).unwrap();
        }
        std::fs::write(at.join(".gitattributes"), "a filter=one\nb filter=two.x\n").unwrap();
        git(&at, &["add", "."]);
        git(&at, &["commit", "-q", "-m", "first"]);
        let programs = ["clean", "process", "hook", "monitor", "transport"];
        let [clean, process, hook, monitor, transport] = programs.map(|name| witness(folder.path(), name));
        let settings = [
            ("filter.one.clean", &clean.1),
            ("filter.one.required", &"true".to_owned()),
            ("filter.two.x.process", &process.1),
            ("core.fsmonitor", &monitor.1),
            ("extensions.partialClone", &"origin".to_owned()),
            ("remote.origin.promisor", &"true".to_owned()),
            ("remote.origin.url", &format!("ext::{}", transport.1)),
            ("protocol.ext.allow", &"always".to_owned()),
        ];
        // Those of filters behind an include, which is followed too.
        let included = folder.path().join("included");
        for (name, value) in settings {
            let into = if name.starts_with("filter.") { &included } else { &at.join(".git/config") };
            git(&at, &["config", "--file", into.to_str().unwrap(), name, value]);
        }
        git(&at, &["config", "core.repositoryFormatVersion", "1"]);
        git(&at, &["config", "include.path", included.to_str().unwrap()]);
        std::fs::copy(&hook.1, at.join(".git/hooks/post-index-change")).unwrap();
        let ran = || {
            let all = [&clean, &process, &hook, &monitor, &transport];
            all.iter().filter(|(ran, _)| std::fs::remove_file(ran).is_ok()).count()
        };
        ran();
        // As new as the index: their contents are compared.
        let touch = |name: &str| {
            let file = std::fs::File::options().append(true).open(at.join(name)).unwrap();
            file.set_modified(std::time::SystemTime::UNIX_EPOCH).unwrap();
        };
        ["a", "b"].into_iter().for_each(touch);
        let mut trusting = Command::new("git");
        let _ = trusting.current_dir(&at).args(["status", "--porcelain"]).output().unwrap();
        assert!(ran() >= 2, "the repository is as harmful as it is to be");
        ["a", "b"].into_iter().for_each(touch);
        // What a partial clone lacks would be fetched.
        let tree = at.join(".git/objects");
        std::fs::write(at.join("c"), "changed").unwrap();
        let state = git_state(&at).unwrap();
        assert_eq!((state.branch.as_deref(), state.changes), (Some("main"), 1), "{state}");
        assert_eq!(ran(), 0, "nothing was run");
        std::fs::remove_dir_all(&tree).unwrap();
        std::fs::create_dir(&tree).unwrap();
        let _ = git_state(&at);
        assert_eq!(ran(), 0, "nothing was run, nor fetched");
        // Another work tree than its own is none of its business.
        git(&at, &["config", "core.worktree", "/"]);
        assert!(git_state(&at).is_ok_and(|state| state.changes < 10) || git_state(&at).is_err());
        assert_eq!(ran(), 0);
        git(&at, &["config", "filter.a=b.clean", &clean.1]);
        assert!(git_state(&at).unwrap_err().contains("cannot be taken away"));
    }

    #[test]
    fn an_answer_that_does_not_come_is_not_waited_for() {
        let mut slow = Command::new("sh");
        slow.args(["-c", "sleep 600"]).stdout(Stdio::piped());
        std::os::unix::process::CommandExt::process_group(&mut slow, 0);
        let begun = std::time::Instant::now();
        assert!(ask(slow, Duration::from_millis(50)).unwrap_err().contains("no answer"));
        assert!(begun.elapsed() < Duration::from_secs(60));
    }
}
