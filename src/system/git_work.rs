//! Keeping what a git repository has and nobody else does: commits that no remote is known to have, as a
//! bundle, and uncommitted changes, untracked files included, as a patch.
//!
//! git runs in a folder that is to be deleted, with its hooks, file-system monitor, filters, pagers, external
//! diffs, fetches and background work switched off, and with an index and an object store of its own: the
//! repository is not changed.

use std::io::{Read as _, Seek as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use super::git::without_filters;
use super::tool::{ToolEnd, wait};
use crate::durable::{Disk, replace};
use crate::state::names::encode;

/// Of one git command. A filter that the repository configures may hang.
const TIME_LIMIT: Duration = Duration::from_secs(300);
/// As deep below a folder repositories are looked for.
const DEPTH: usize = 4;

/// The working trees of repositories in a folder: its own, and those in its subfolders. Links are not
/// followed.
#[must_use]
pub fn working_trees(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    look(folder, DEPTH, &mut found);
    found.sort();
    found
}

fn look(folder: &Path, depth: usize, found: &mut Vec<PathBuf>) {
    let mut below = Vec::new();
    let mut is_top = false;
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_name() == ".git" {
            is_top = true;
        } else if entry.file_type().is_ok_and(|t| t.is_dir()) {
            below.push(entry.path());
        }
    }
    if is_top {
        found.push(folder.to_owned());
    }
    if depth > 0 {
        below.iter().for_each(|folder| look(folder, depth - 1, found));
    }
}

/// Keeps the uncommitted and unpushed work of the repositories in a folder, in the folder `to`:
/// `<name>.bundle` and `<name>.patch`. What was kept, in words; `None` when there was nothing. Done again,
/// it replaces what it kept before.
///
/// # Errors
/// Why something that is there could not be kept.
pub fn archive(disk: &Disk, folder: &Path, to: &Path) -> Result<Option<String>, String> {
    let mut kept = Vec::new();
    for repository in working_trees(folder) {
        let inside =
            repository.strip_prefix(folder).map_or_else(|_| String::new(), |p| p.display().to_string());
        let inside: String = inside.chars().filter(|c| !c.is_control()).collect();
        // Two names never meet; one that is too long gets a short one.
        let name = encode(&inside).unwrap_or_else(|_| format!("workspace-{}", kept.len()));
        let name = if inside.is_empty() { "workspace".to_owned() } else { name };
        let mut git = Git { top: &repository, time_limit: TIME_LIMIT, switched_off: Vec::new() };
        if !git.is_usable() {
            continue; // A `.git` that is no repository holds no work.
        }
        git.switched_off = without_filters(&repository)?;
        let files = [("bundle", git.bundle()?), ("patch", git.patch()?)];
        for (kind, bytes) in files {
            if let Some(bytes) = bytes {
                for made in [to.parent(), Some(to)].into_iter().flatten() {
                    disk.ensure_dir(made).map_err(|e| format!("{e}: {}", e.source))?;
                }
                let file = to.join(format!("{name}.{kind}"));
                replace(disk, &file, &bytes).map_err(|e| format!("{e}: {}", e.source))?;
                kept.push(format!("{name}.{kind} ({} bytes)", bytes.len()));
            }
        }
    }
    Ok((!kept.is_empty()).then(|| kept.join(", ")))
}

struct Git<'a> {
    top: &'a Path,
    /// Settings that take the repository's own filters away.
    switched_off: Vec<String>,
    time_limit: Duration,
}

impl Git<'_> {
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("git");
        for (name, _) in std::env::vars_os() {
            if name.as_encoded_bytes().starts_with(b"GIT_") {
                command.env_remove(name);
            }
        }
        let always = ["core.fsmonitor=false", "core.hooksPath=/dev/null", "gc.auto=0", "safe.directory=*"];
        command.arg("-C").arg(self.top);
        for setting in always.into_iter().chain(self.switched_off.iter().map(String::as_str)) {
            command.args(["-c", setting]);
        }
        // What a partial clone lacks is not fetched: whoever wrote the repository chose from whom, and by what.
        command.env("GIT_NO_LAZY_FETCH", "1").env("GIT_ALLOW_PROTOCOL", "none");
        command.args(arguments).stdin(Stdio::null()).env("GIT_OPTIONAL_LOCKS", "0").env("GIT_PAGER", "cat");
        // Nothing above the folder, and nobody's settings.
        command.env("GIT_CEILING_DIRECTORIES", self.top.parent().unwrap_or(self.top));
        command
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_CONFIG_COUNT", "1");
        command.env("GIT_CONFIG_KEY_0", "safe.directory").env("GIT_CONFIG_VALUE_0", "*");
        command
    }

    /// Files, not pipes: nobody has to read them, and nothing blocks when a filter of the repository's own
    /// keeps one open.
    fn run(&self, mut command: Command) -> Result<Vec<u8>, String> {
        let cannot = |e: std::io::Error| format!("git cannot be run: {e}");
        let (mut printed, mut said) =
            (tempfile::tempfile().map_err(cannot)?, tempfile::tempfile().map_err(cannot)?);
        let (out, err) = (printed.try_clone().map_err(cannot)?, said.try_clone().map_err(cannot)?);
        let mut child = command.stdout(out).stderr(err).process_group(0).spawn().map_err(cannot)?;
        let end = wait(&mut child, self.time_limit, &|| false).map_err(cannot)?;
        if end == ToolEnd::TimedOut {
            let group = i32::try_from(child.id()).ok().and_then(rustix::process::Pid::from_raw);
            if let Some(group) = group {
                // Not reaped yet: the number is still this one's.
                let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
            }
            let _ = child.wait(); // It was killed: there is nothing more to learn.
            let seconds = self.time_limit.as_secs_f64();
            return Err(format!("git in {} took longer than {seconds} s", self.top.display()));
        }
        let read = |file: &mut std::fs::File| {
            let mut bytes = Vec::new();
            file.rewind().and_then(|()| file.read_to_end(&mut bytes)).map(|_| bytes).map_err(cannot)
        };
        if end == ToolEnd::Exited(0) {
            return read(&mut printed);
        }
        let said = String::from_utf8_lossy(&read(&mut said)?).trim().to_owned();
        Err(format!("git in {} failed: {said}", self.top.display()))
    }

    fn is_usable(&self) -> bool {
        self.run(self.command(&["rev-parse", "--git-dir"])).is_ok()
    }

    /// Commits that no remote branch has.
    fn bundle(&self) -> Result<Option<Vec<u8>>, String> {
        let only_here = ["rev-list", "--max-count=1", "--branches", "--tags", "HEAD", "--not", "--remotes"];
        let has_head = self.run(self.command(&["rev-parse", "--verify", "-q", "HEAD"])).is_ok();
        if !has_head || self.run(self.command(&only_here))?.is_empty() {
            return Ok(None);
        }
        let folder = tempfile::tempdir().map_err(|e| e.to_string())?;
        let file = folder.path().join("bundle");
        let Some(name) = file.to_str() else { return Err("no usable temporary folder".to_owned()) };
        // Everything, not only what is new: a bundle that needs nothing else can be cloned.
        self.run(self.command(&["bundle", "create", "-q", name, "--branches", "--tags", "HEAD"]))?;
        std::fs::read(&file).map(Some).map_err(|e| e.to_string())
    }

    /// What the working tree has more than the last commit.
    fn patch(&self) -> Result<Option<Vec<u8>>, String> {
        let status = ["status", "--porcelain", "--untracked-files=all", "--ignore-submodules=all"];
        if self.run(self.command(&status))?.is_empty() {
            return Ok(None);
        }
        let folder = tempfile::tempdir().map_err(|e| e.to_string())?;
        let (index, objects) = (folder.path().join("index"), folder.path().join("objects"));
        let theirs = self.run(self.command(&["rev-parse", "--git-path", "objects"]))?;
        let theirs = String::from_utf8_lossy(&theirs).trim_end().to_owned();
        let theirs = self.top.join(theirs);
        let own = |mut command: Command| {
            command.env("GIT_INDEX_FILE", &index).env("GIT_OBJECT_DIRECTORY", &objects);
            command.env("GIT_ALTERNATE_OBJECT_DIRECTORIES", &theirs);
            command
        };
        let disk = Disk::real();
        disk.create_dir(&objects).map_err(|e| e.to_string())?;
        let head = self.run(self.command(&["rev-parse", "--verify", "-q", "HEAD"])).is_ok();
        if head {
            self.run(own(self.command(&["read-tree", "HEAD"])))?;
        }
        self.run(own(self.command(&["add", "--all", "--", "."])))?;
        let against = if head { "HEAD" } else { "4b825dc642cb6eb9a060e54bf8d69288fbee4904" };
        let diff = ["diff", "--cached", "--binary", "--no-ext-diff", "--no-textconv", "--no-color", against];
        self.run(own(self.command(&diff))).map(Some)
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)] // Makes its own repository.
mod tests {
    use super::*;

    #[test]
    fn what_the_repository_would_have_run_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let (at, ran) = (folder.path().join("work"), folder.path().join("ran"));
        std::fs::create_dir(&at).unwrap();
        let git = |arguments: &[&str]| {
            let mut git = Command::new("git");
            git.current_dir(&at).args(["-c", "user.name=a", "-c", "user.email=a@b"]).args(arguments);
            git.env("GIT_CONFIG_GLOBAL", "/dev/null").output().unwrap().status.success()
        };
        assert!(git(&["init", "-q", "-b", "main"]));
        std::fs::write(at.join("kept"), "first\n").unwrap();
        std::fs::write(at.join(".gitattributes"), "* filter=own\n").unwrap();
        assert!(git(&["add", "."]) && git(&["commit", "-q", "-m", "first"]));
        let clean = format!("touch {}; cat", ran.display());
        assert!(
            git(&["config", "filter.own.clean", &clean]) && git(&["config", "filter.own.required", "true"])
        );
        std::fs::write(at.join("kept"), "second\n").unwrap();
        std::fs::write(at.join("new"), "third\n").unwrap();
        assert!(git(&["add", "--dry-run", "."]) && git(&["add", "new"]) && ran.exists(), "it is harmful");
        std::fs::remove_file(&ran).unwrap();
        let to = folder.path().join("archive");
        let kept = archive(&Disk::real(), folder.path(), &to).unwrap().unwrap();
        assert!(kept.contains("work.patch") && kept.contains("work.bundle"), "{kept}");
        let patch = std::fs::read_to_string(to.join("work.patch")).unwrap();
        assert!(patch.contains("+second") && patch.contains("+third"), "{patch}");
        assert!(!ran.exists(), "its filter was run");
    }

    #[test]
    fn a_filter_of_the_repository_that_hangs_is_ended() {
        let place = tempfile::tempdir().unwrap();
        let git = Git { top: place.path(), time_limit: Duration::from_millis(500), switched_off: Vec::new() };
        if git.run(git.command(&["init", "-q"])).is_err() {
            return; // There is no git: nothing is archived either.
        }
        git.run(git.command(&["config", "filter.hangs.clean", "sleep 1000"])).unwrap();
        std::fs::write(place.path().join(".gitattributes"), "* filter=hangs\n").unwrap();
        let refused = git.patch().unwrap_err();
        assert!(refused.contains("longer than 0.5 s"), "{refused}");
        let marked = format!("{}", place.path().display());
        let living = std::fs::read_dir("/proc")
            .unwrap()
            .flatten()
            .filter(|p| std::fs::read_link(p.path().join("cwd")).is_ok_and(|cwd| cwd.starts_with(&marked)));
        assert_eq!(living.count(), 0, "nothing of it goes on");
    }
}
