//! Keeping what a git repository has and nobody else does: commits that no remote is known to have, as a
//! bundle, and uncommitted changes, untracked files included, as a patch.
//!
//! git runs in a folder that is to be deleted, with its hooks, file-system monitor, pagers, external diffs
//! and background work switched off, and with an index and an object store of its own: the repository is not
//! changed.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::durable::{Disk, replace};
use crate::state::names::encode;

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
        let git = Git { top: &repository };
        if !git.is_usable() {
            continue; // A `.git` that is no repository holds no work.
        }
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
}

impl Git<'_> {
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("git");
        for (name, _) in std::env::vars_os() {
            if name.as_encoded_bytes().starts_with(b"GIT_") {
                command.env_remove(name);
            }
        }
        let switched_off =
            ["core.fsmonitor=false", "core.hooksPath=/dev/null", "gc.auto=0", "safe.directory=*"];
        command.arg("-C").arg(self.top);
        for setting in switched_off {
            command.args(["-c", setting]);
        }
        command.args(arguments).stdin(Stdio::null()).env("GIT_OPTIONAL_LOCKS", "0").env("GIT_PAGER", "cat");
        // Nothing above the folder, and nobody's settings.
        command.env("GIT_CEILING_DIRECTORIES", self.top.parent().unwrap_or(self.top));
        command.env("GIT_CONFIG_NOSYSTEM", "1").env("GIT_CONFIG_COUNT", "1");
        command.env("GIT_CONFIG_KEY_0", "safe.directory").env("GIT_CONFIG_VALUE_0", "*");
        command
    }

    fn run(&self, mut command: Command) -> Result<Vec<u8>, String> {
        let output = command.output().map_err(|e| format!("git cannot be run: {e}"))?;
        if output.status.success() {
            return Ok(output.stdout);
        }
        let said = String::from_utf8_lossy(&output.stderr);
        Err(format!("git in {} failed: {}", self.top.display(), said.trim()))
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
