//! Keeping what a git repository has and nobody else does, in files beside each other:
//!
//! - `<name>.bundle`: every branch, tag and other name, when one of them, or HEAD, has a commit that no remote is
//!   known to have. It can be cloned.
//! - `<name>.stashes.bundle`: every stash, as `refs/stashes/0`, `1`, …, the newest first.
//! - `<name>.patch`: what the working tree has more than HEAD, untracked files included (but no ignored ones), also
//!   where the index says not to look (`assume-unchanged`, `skip-worktree`).
//! - `<name>.staged.patch`: what the index has more than HEAD, when that is something else.
//!
//! Commits that no name reaches any more, but for stashes, are not kept. What cannot be kept is an error: a repository
//! that git cannot read, or no git on this machine.
//!
//! git runs in a folder that is to be deleted, with its hooks, file-system monitor, filters, pagers, external
//! diffs, fetches and background work switched off, and with an index and an object store of its own: the
//! repository is not changed.

use std::ffi::OsStr;
use std::io::{Read as _, Seek as _};
use std::os::unix::ffi::OsStrExt as _;
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
/// Of the tree that has no entries.
const EMPTY_TREE: &str = "4b825dc642cb6eb9a060e54bf8d69288fbee4904";

/// The repositories in a folder, its own included: working trees, and those without one. Links are not followed.
#[must_use]
pub fn repositories(folder: &Path) -> Vec<PathBuf> {
    let (mut found, mut open) = (Vec::new(), vec![folder.to_owned()]);
    while let Some(folder) = open.pop() {
        let (mut below, mut names) = (Vec::new(), Vec::new());
        for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
            let name = entry.file_name();
            if name != ".git" && entry.file_type().is_ok_and(|t| t.is_dir()) {
                below.push(entry.path());
            }
            names.push(name);
        }
        let has = |name: &str| names.iter().any(|n| n == name);
        let is_bare = has("objects") && has("refs") && (has("HEAD") || has("packed-refs") || has("config"));
        if is_bare || has(".git") {
            found.push(folder);
        }
        if !is_bare {
            open.extend(below);
        }
    }
    found.sort();
    found
}

/// Keeps the work of the repositories in a folder, in the folder `to`; see the module. What was kept, in words;
/// `None` when there was nothing. Done again, it replaces what it kept before.
///
/// # Errors
/// Why something that is there could not be kept.
pub fn archive(disk: &Disk, folder: &Path, to: &Path) -> Result<Option<String>, String> {
    let mut kept = Vec::new();
    for repository in repositories(folder) {
        let inside =
            repository.strip_prefix(folder).map_or_else(|_| String::new(), |p| p.display().to_string());
        let inside: String = inside.chars().filter(|c| !c.is_control()).collect();
        // Two names never meet; one that is too long gets a short one.
        let name = encode(&inside).unwrap_or_else(|_| format!("workspace-{}", kept.len()));
        let name = if inside.is_empty() { "workspace".to_owned() } else { name };
        for (kind, bytes) in work_of(&repository)? {
            for made in [to.parent(), Some(to)].into_iter().flatten() {
                disk.ensure_dir(made).map_err(|e| format!("{e}: {}", e.source))?;
            }
            let file = to.join(format!("{name}.{kind}"));
            replace(disk, &file, &bytes).map_err(|e| format!("{e}: {}", e.source))?;
            kept.push(format!("{name}.{kind} ({} bytes)", bytes.len()));
        }
    }
    Ok((!kept.is_empty()).then(|| kept.join(", ")))
}

/// The files that keep the work of one repository.
fn work_of(repository: &Path) -> Result<Vec<(&'static str, Vec<u8>)>, String> {
    let mut git = Git { top: repository, time_limit: TIME_LIMIT, switched_off: Vec::new() };
    // Without git, nothing is known of what only git can read.
    git.run(git.command(&["version"]))?;
    match git.run(git.command(&["rev-parse", "--is-bare-repository"])) {
        Ok(answer) => {
            let has_tree = answer.trim_ascii() == b"false";
            git.switched_off = without_filters(repository)?;
            let mut files = vec![("bundle", git.bundle()?), ("stashes.bundle", git.stashes()?)];
            if has_tree {
                let patch = git.patch()?;
                // Staged and not touched since: the one patch says it all.
                let staged = git.staged()?.filter(|staged| patch.as_ref() != Some(staged));
                files.extend([("patch", patch), ("staged.patch", staged)]);
            }
            Ok(files.into_iter().filter_map(|(kind, bytes)| Some((kind, bytes?))).collect())
        }
        Err(why) if has_objects(repository) => Err(why),
        Err(_) => Ok(Vec::new()), // A `.git` that is no repository holds no work.
    }
}

/// Whether there is anything in it that may be work, though git does not take it for a repository.
fn has_objects(repository: &Path) -> bool {
    let has_file = |folder: PathBuf| {
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        entries.map(|entry| entry.path()).any(|path| {
            path.is_file() || std::fs::read_dir(&path).is_ok_and(|mut below| below.next().is_some())
        })
    };
    has_file(repository.join(".git/objects")) || has_file(repository.join("objects"))
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

    /// Every name with its commits, when some of them no remote branch has.
    fn bundle(&self) -> Result<Option<Vec<u8>>, String> {
        let mut names = vec!["--all"];
        if self.run(self.command(&["rev-parse", "--verify", "-q", "HEAD"])).is_ok() {
            names.push("HEAD");
        }
        let only_here = [&["rev-list", "--max-count=1"], &names[..], &["--not", "--remotes"]].concat();
        if self.run(self.command(&only_here))?.is_empty() {
            return Ok(None);
        }
        // Everything, not only what is new: a bundle that needs nothing else can be cloned.
        self.bundled(&names).map(Some)
    }

    fn bundled(&self, names: &[&str]) -> Result<Vec<u8>, String> {
        let folder = tempfile::tempdir().map_err(|e| e.to_string())?;
        let file = folder.path().join("bundle");
        let Some(name) = file.to_str() else { return Err("no usable temporary folder".to_owned()) };
        self.run(self.command(&[&["bundle", "create", "-q", name], names].concat()))?;
        std::fs::read(&file).map_err(|e| e.to_string())
    }

    /// Every stash. All but the newest have no name, without which a bundle takes none: they get one in a
    /// repository beside this one, which has nothing else of its own.
    fn stashes(&self) -> Result<Option<Vec<u8>>, String> {
        if self.run(self.command(&["rev-parse", "--verify", "-q", "refs/stash"])).is_err() {
            return Ok(None);
        }
        let listed = self.run(self.command(&["rev-list", "--walk-reflogs", "refs/stash"]))?;
        let folder = tempfile::tempdir().map_err(|e| e.to_string())?;
        let beside = Git { top: folder.path(), switched_off: Vec::new(), ..*self };
        beside.run(beside.command(&["init", "-q", "--bare"]))?;
        let alternates = folder.path().join("objects/info/alternates");
        let theirs = format!("{}\n", self.objects()?.display());
        let file = Disk::real().create_new(&alternates, 0o600);
        file.and_then(|file| file.write_at(theirs.as_bytes(), 0)).map_err(|e| e.to_string())?;
        for (number, commit) in String::from_utf8_lossy(&listed).lines().enumerate() {
            beside.run(beside.command(&["update-ref", &format!("refs/stashes/{number}"), commit]))?;
        }
        beside.bundled(&["--all"]).map(Some)
    }

    /// The folder of its objects.
    fn objects(&self) -> Result<PathBuf, String> {
        let theirs = self.run(self.command(&["rev-parse", "--git-path", "objects"]))?;
        let at = self.top.join(String::from_utf8_lossy(&theirs).trim_end());
        at.canonicalize().map_err(|e| format!("{}: {e}", at.display()))
    }

    /// What a patch is against: the last commit, or nothing.
    fn base(&self) -> &'static str {
        let has_head = self.run(self.command(&["rev-parse", "--verify", "-q", "HEAD"])).is_ok();
        if has_head { "HEAD" } else { EMPTY_TREE }
    }

    /// What the working tree has more than the last commit.
    fn patch(&self) -> Result<Option<Vec<u8>>, String> {
        let status = ["status", "--porcelain", "--untracked-files=all", "--ignore-submodules=all"];
        if self.run(self.command(&status))?.is_empty() && !self.hides_files()? {
            return Ok(None);
        }
        let own = OwnIndex::new(self)?;
        let base = self.base();
        if base == "HEAD" {
            self.run(own.with(self.command(&["read-tree", "HEAD"])))?;
        }
        self.run(own.with(self.command(&["add", "--all", "--", "."])))?;
        self.difference(&own, base)
    }

    /// What the index has more than the last commit.
    fn staged(&self) -> Result<Option<Vec<u8>>, String> {
        let theirs = self.run(self.command(&["rev-parse", "--git-path", "index"]))?;
        let theirs = self.top.join(String::from_utf8_lossy(&theirs).trim_end());
        let own = OwnIndex::new(self)?;
        let index = match std::fs::read(&theirs) {
            Ok(index) => index,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(format!("{}: {e}", theirs.display())),
        };
        let file = Disk::real().create_new(&own.folder.path().join("index"), 0o600);
        file.and_then(|file| file.write_at(&index, 0)).map_err(|e| e.to_string())?;
        self.difference(&own, self.base())
    }

    fn difference(&self, own: &OwnIndex, base: &str) -> Result<Option<Vec<u8>>, String> {
        let diff = ["diff", "--cached", "--binary", "--no-ext-diff", "--no-textconv", "--no-color", base];
        let patch = self.run(own.with(self.command(&diff)))?;
        Ok((!patch.is_empty()).then_some(patch))
    }

    /// Whether the index says of a file that is there not to look at it.
    fn hides_files(&self) -> Result<bool, String> {
        let listed = self.run(self.command(&["ls-files", "-v", "-z"]))?;
        let mut marked = listed.split(|byte| *byte == 0).filter_map(|entry| entry.split_at_checked(2));
        Ok(marked.any(|(mark, name)| {
            let is_hidden = mark[0].is_ascii_lowercase() || mark[0] == b'S';
            is_hidden && self.top.join(OsStr::from_bytes(name)).symlink_metadata().is_ok()
        }))
    }
}

/// An index and an object store beside the repository's own.
struct OwnIndex {
    folder: tempfile::TempDir,
    theirs: PathBuf,
}

impl OwnIndex {
    fn new(git: &Git<'_>) -> Result<OwnIndex, String> {
        let folder = tempfile::tempdir().map_err(|e| e.to_string())?;
        Disk::real().create_dir(&folder.path().join("objects")).map_err(|e| e.to_string())?;
        Ok(OwnIndex { folder, theirs: git.objects()? })
    }

    fn with(&self, mut command: Command) -> Command {
        command.env("GIT_INDEX_FILE", self.folder.path().join("index"));
        command.env("GIT_OBJECT_DIRECTORY", self.folder.path().join("objects"));
        command.env("GIT_ALTERNATE_OBJECT_DIRECTORIES", &self.theirs);
        command
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

    /// A repository with one commit that its remote has; `git` runs in it.
    struct Work {
        place: tempfile::TempDir,
    }

    impl Work {
        fn new(at: &str) -> Work {
            let work = Work { place: tempfile::tempdir().unwrap() };
            std::fs::create_dir_all(work.place.path().join("w").join(at)).unwrap();
            work.git(at, &["init", "-q", "-b", "main"]);
            std::fs::write(work.place.path().join("w").join(at).join("kept"), "first\n").unwrap();
            work.git(at, &["add", "."]);
            work.git(at, &["commit", "-q", "-m", "first"]);
            work.git(at, &["update-ref", "refs/remotes/origin/main", "HEAD"]);
            work
        }

        fn write(&self, path: &str, text: &str) {
            std::fs::write(self.place.path().join("w").join(path), text).unwrap();
        }

        fn git(&self, at: &str, arguments: &[&str]) -> String {
            let mut git = Command::new("git");
            git.current_dir(self.place.path().join("w").join(at));
            git.args(["-c", "user.name=a", "-c", "user.email=a@b"]).args(arguments);
            let ran = git.env("GIT_CONFIG_GLOBAL", "/dev/null").output().unwrap();
            assert!(ran.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&ran.stderr));
            String::from_utf8(ran.stdout).unwrap()
        }

        fn archive(&self) -> Result<Option<String>, String> {
            archive(&Disk::real(), &self.place.path().join("w"), &self.place.path().join("to"))
        }

        fn kept(&self, file: &str) -> PathBuf {
            self.place.path().join("to").join(file)
        }
    }

    #[test]
    fn what_is_nowhere_but_here_is_kept_whatever_hides_it() {
        let work = Work::new("a/b/c/d/e");
        assert_eq!(work.archive(), Ok(None), "all of it is elsewhere, too");
        let at = "a/b/c/d/e";
        for text in ["second\n", "third\n"] {
            work.write("a/b/c/d/e/kept", text);
            work.git(at, &["stash", "-q"]);
        }
        work.write("a/b/c/d/e/kept", "staged\n");
        work.git(at, &["add", "kept"]);
        work.write("a/b/c/d/e/kept", "first\n");
        let kept = work.archive().unwrap().unwrap();
        // The stash is a name that no remote has, so the bundle is made, too.
        assert!(!kept.contains(" (0 bytes)") && !kept.contains(".patch, a"), "{kept}");
        let name = encode(at).unwrap();
        let staged = std::fs::read_to_string(work.kept(&format!("{name}.staged.patch"))).unwrap();
        assert!(staged.contains("+staged"), "{staged}");
        assert!(!work.kept(&format!("{name}.patch")).exists(), "the working tree is as the commit: {kept}");
        let stashes = work.kept(&format!("{name}.stashes.bundle"));
        work.git("", &["init", "-q", "--bare", "../again"]);
        work.git("../again", &["fetch", "-q", stashes.to_str().unwrap(), "refs/stashes/*:refs/stashes/*"]);
        assert_eq!(work.git("../again", &["show", "refs/stashes/0:kept"]), "third\n");
        assert_eq!(work.git("../again", &["show", "refs/stashes/1:kept"]), "second\n");
    }

    #[test]
    fn what_the_index_does_not_look_at_is_kept() {
        for mark in ["--assume-unchanged", "--skip-worktree"] {
            let work = Work::new("");
            work.git("", &["update-index", mark, "kept"]);
            work.write("kept", "changed\n");
            let kept = work.archive().unwrap().unwrap();
            assert!(
                std::fs::read_to_string(work.kept("workspace.patch")).unwrap().contains("+changed"),
                "{kept}"
            );
        }
    }

    #[test]
    fn a_repository_without_a_working_tree_is_kept() {
        let work = Work::new("tree");
        work.git("", &["clone", "-q", "--bare", "tree", "deep.git"]);
        let kept = work.archive().unwrap().unwrap();
        assert!(kept.starts_with("deep.git.bundle ("), "{kept}");
        let again = work.kept("again");
        let bundle = work.kept("deep.git.bundle");
        work.git("", &["clone", "-q", "-b", "main", bundle.to_str().unwrap(), again.to_str().unwrap()]);
        assert_eq!(std::fs::read_to_string(again.join("kept")).unwrap(), "first\n");
    }

    #[test]
    fn what_git_cannot_read_is_no_proof_that_there_is_nothing() {
        let work = Work::new("");
        let head = work.place.path().join("w/.git/HEAD");
        for damage in [Some(""), None] {
            match damage {
                Some(text) => std::fs::write(&head, text).unwrap(),
                None => std::fs::remove_file(&head).unwrap(),
            }
            let why = work.archive().unwrap_err();
            assert!(why.contains("not a git repository"), "{why}");
        }
        // One that never was any holds none.
        std::fs::remove_dir_all(work.place.path().join("w/.git")).unwrap();
        std::fs::create_dir_all(work.place.path().join("w/.git/objects/info")).unwrap();
        assert_eq!(work.archive(), Ok(None));
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
