//! Git work of folders that go: whatever a repository alone has is kept, and what others have is not.
#![allow(clippy::disallowed_methods)] // Tests write their own files.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use recovery::archive::{
    ArchiveSource, CannotKeep, KeepRequest, KeepRules, Kept, archive, archives, has_git, keep, remove,
    restore,
};
use recovery::durable::Disk;
use recovery::state::{Clock, StateDir};

const WORK: &str = "precious-work";

/// A state directory, an origin with one commit, and a folder `w` that is to go.
struct Scene {
    w: PathBuf,
    place: tempfile::TempDir,
    dir: StateDir,
    rules: KeepRules,
}

impl Scene {
    fn new() -> Scene {
        let scene = Scene::empty();
        scene.sh(
            "mkdir w; git init -q --bare up.git; git clone -q up.git first 2>/dev/null; cd first; \
             echo 1 >f; seq 100 >g; echo '*.ignored' >.gitignore; git add .; git commit -qm one; git tag -am one v1; \
             git push -q origin HEAD:main v1; git -C ../up.git symbolic-ref HEAD refs/heads/main; \
             git clone -q $TOP/up.git $TOP/w/repo",
        );
        scene
    }

    fn empty() -> Scene {
        let place = tempfile::tempdir().unwrap();
        let dir =
            StateDir::open_or_create(&place.path().join("state"), Disk::real(), Clock::system()).unwrap();
        Scene { w: place.path().join("w"), place, dir, rules: KeepRules::default() }
    }

    /// A clone in `w/repo` that has nothing of its own, and then what a script does in it.
    fn with(script: &str) -> Scene {
        Scene::new().then(script)
    }

    /// The same, made from another scene in which nothing was done.
    fn like(other: &Scene, script: &str) -> Scene {
        let scene = Scene::empty();
        let from = other.place.path().display();
        scene.sh(&format!("cp -a {from}/up.git {from}/first {from}/w .; for r in first w/repo; do sed -i s,{from},$TOP, $r/.git/config; done"));
        scene.then(script)
    }

    fn then(self, script: &str) -> Scene {
        self.sh(&format!("cd w/repo; {script}"));
        self
    }

    fn sh(&self, script: &str) {
        let mut sh = Command::new("sh");
        sh.args(["-ec", script]).current_dir(self.place.path());
        sh.env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("TOP", self.place.path());
        let who = [("AUTHOR", "a"), ("COMMITTER", "c")];
        for (role, name) in who {
            sh.env(format!("GIT_{role}_NAME"), name).env(format!("GIT_{role}_EMAIL"), "a@b");
        }
        sh.env("GIT_CONFIG_COUNT", "1").env("GIT_CONFIG_KEY_0", "protocol.file.allow");
        let ran = sh.env("GIT_CONFIG_VALUE_0", "always").output().unwrap();
        assert!(ran.status.success(), "{script}: {}", String::from_utf8_lossy(&ran.stderr));
    }

    fn request(&self) -> KeepRequest<'_> {
        KeepRequest {
            folder: &self.w,
            archive_id: "w.1",
            source: ArchiveSource::Cleanup,
            object: "job:w".to_owned(),
            rules: &self.rules,
            stop: &|| false,
        }
    }

    fn keep(&self) -> Result<Kept, CannotKeep> {
        keep(&self.dir, &self.request())
    }

    /// Keeps, unpacks what was kept, and looks for the work in files and in every store of objects.
    fn has_kept_the_work(&self) -> bool {
        let kept = self.keep().unwrap();
        let Kept::Archived { archive_id, bytes } = kept else { return false };
        let found = archive(&self.dir, &archive_id).unwrap().unwrap();
        assert_eq!((found.bytes, found.object.as_deref()), (bytes, Some("job:w")));
        assert!(!found.repositories.is_empty() && found.entries > 0);
        let to = self.place.path().join("restored");
        let _ = std::fs::remove_dir_all(&to);
        restore(&Disk::real(), &found, &to).unwrap();
        let mut open = vec![to];
        while let Some(folder) = open.pop() {
            if folder.join("objects").is_dir() && has_object_with(&folder, WORK) {
                return true;
            }
            for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
                let kind = entry.file_type().unwrap();
                if kind.is_dir() {
                    open.push(entry.path());
                } else if kind.is_file()
                    && std::fs::read(entry.path()).unwrap().windows(WORK.len()).any(|w| w == WORK.as_bytes())
                {
                    return true;
                }
            }
        }
        false
    }
}

fn has_object_with(store: &Path, text: &str) -> bool {
    let mut git = Command::new("git");
    git.env("GIT_DIR", store).args(["-c", "safe.directory=*", "cat-file", "--batch-all-objects", "--batch"]);
    let out = git.output().unwrap().stdout;
    out.windows(text.len()).any(|window| window == text.as_bytes())
}

fn has_git_program() -> bool {
    let has = Command::new("git").arg("--version").output().is_ok_and(|o| o.status.success());
    if !has {
        crate::common::skipped("it needs git");
    }
    has
}

/// What people do to a clone that has nothing of its own, and what is then nowhere else.
const WORKS: &[(&str, &str)] = &[
    ("changed", "echo precious-work >>f"),
    ("untracked", "mkdir -p a/.b; echo precious-work >a/.b/new"),
    ("committed", "echo precious-work >>f; git commit -qam two"),
    ("on a branch", "git checkout -qb x; echo precious-work >>f; git commit -qam two; git checkout -q main"),
    ("staged and taken back", "echo precious-work >f; git add f; echo 1 >f"),
    ("older stash", "for n in precious-work other; do echo $n >>f; git stash -q; done"),
    ("stash of an old day", "echo precious-work >>f; GIT_COMMITTER_DATE='2001-01-01T00:00:00Z' git stash -q"),
    ("reflog", "echo precious-work >>f; git commit -qam two; git reset -q --hard HEAD~1"),
    ("ORIG_HEAD", "echo precious-work >>f; git commit -qam two; git reset -q --hard HEAD~1; rm -r .git/logs"),
    (
        "amended",
        "git checkout -q -B mine; echo precious-work >>f; git commit -qam two; git push -q origin mine; \
      git checkout -q main; echo precious-work >h; git add h; git commit -qm x; git reset -q --hard origin/main",
    ),
    (
        "MERGE_HEAD",
        "git checkout -qb x; echo precious-work >>f; git commit -qam two; C=$(git rev-parse HEAD); \
      git checkout -q main; git branch -qD x; rm -r .git/logs .git/ORIG_HEAD || true; echo $C >.git/MERGE_HEAD",
    ),
    (
        "CHERRY_PICK_HEAD",
        "git checkout -q --detach; echo precious-work >>f; git commit -qam two; C=$(git rev-parse HEAD); \
      git checkout -q main; rm -r .git/logs; echo $C >.git/CHERRY_PICK_HEAD",
    ),
    ("AUTO_MERGE", "echo precious-work >x; T=$(git hash-object -w x); rm x; echo $T >.git/AUTO_MERGE"),
    (
        "bisect",
        "echo precious-work >>f; git commit -qam two; C=$(git rev-parse HEAD); git reset -q --hard HEAD~1; \
      rm -r .git/logs .git/ORIG_HEAD; mkdir .git/refs/bisect; echo $C >.git/refs/bisect/bad",
    ),
    ("notes", "git notes add -m precious-work"),
    ("tag with a message", "git tag -am precious-work v2"),
    ("packed tag with a message", "git tag -am precious-work v2; git gc -q"),
    ("tag of a file", "git tag t $(echo precious-work | git hash-object -w --stdin)"),
    ("assume-unchanged", "git update-index --assume-unchanged f; echo precious-work >f"),
    ("skip-worktree", "git update-index --skip-worktree f; echo precious-work >f"),
    ("symbolic link", "ln -s precious-work new; echo precious-work >other"),
    (
        "linked tree, detached",
        "git worktree add -q --detach ../tree; cd ../tree; echo precious-work >>f; git commit -qam two",
    ),
    (
        "linked tree, staged",
        "git worktree add -q --detach ../tree; cd ../tree; echo precious-work >f; git add f; echo 1 >f",
    ),
    (
        "linked tree, gone",
        "git worktree add -q --detach ../tree; cd ../tree; echo precious-work >>f; git commit -qam two; rm -r ../tree",
    ),
    (
        "linked tree, operation",
        "git worktree add -q --detach ../tree; D=$(ls -d .git/worktrees/*); echo precious-work >x; \
      git hash-object -w x >$D/CHERRY_PICK_HEAD; rm x",
    ),
    (
        "tree of a repository elsewhere",
        "git worktree add -q $TOP/other; cd ..; rm -rf repo; \
      git -C $TOP/first worktree add -q --detach $TOP/w/tree; cd tree; echo precious-work >>f; git commit -qam two",
    ),
    (
        "files of a tree of a repository elsewhere",
        "cd ..; rm -rf repo; git -C $TOP/first worktree add -q --detach $TOP/w/tree; \
      echo precious-work >tree/new",
    ),
    (
        "tree of a repository that moved",
        "cd ..; rm -rf repo; git -C $TOP/first worktree add -q --detach $TOP/w/tree; \
      echo precious-work >tree/new; mv $TOP/first $TOP/moved",
    ),
    (
        "bare",
        "git clone -q --bare . ../.hidden.git; cd ..; rm -rf repo; git init -q x; cd x; echo precious-work >f; \
      git add f; git commit -qm x; git push -q ../.hidden.git HEAD:x; cd ..; rm -rf x",
    ),
    (
        "separate folder",
        "cd ..; rm -rf repo; git init -q --separate-git-dir=$TOP/w/.store x; cd x; echo precious-work >f; \
      git add f; git commit -qm x; rm f",
    ),
    (
        "separate folder without its tree",
        "cd ..; rm -rf repo; git init -q --separate-git-dir=$TOP/w/.store x; cd x; \
      echo precious-work >f; git add f; git commit -qm x; cd ..; rm -r x",
    ),
    (
        "tree named on the command line",
        "cd ..; mkdir files; mv repo/.git .store; rm -r repo; \
      git --git-dir=.store --work-tree=files checkout -qf; echo precious-work >files/new",
    ),
    (
        "tree named by a setting",
        "cd ..; mkdir files; mv repo/.git .store; rm -r repo; \
      git --git-dir=.store config core.worktree ../files; git --git-dir=.store checkout -qf; echo precious-work >files/new",
    ),
    (
        "borrowed objects",
        "echo precious-work >>f; git commit -qam two; git push -q origin HEAD:two; git fetch -q; \
      git clone -q --shared . ../borrower; cd ../borrower; git remote remove origin",
    ),
    (
        "submodule, left",
        "git submodule --quiet add $TOP/up.git lib; git commit -qm sub; git push -q origin HEAD:sub; \
      cd lib; echo precious-work >>f; git commit -qam two; cd ..; git submodule --quiet deinit -f lib",
    ),
    (
        "submodule, changed",
        "git submodule --quiet add $TOP/up.git lib; git commit -qm sub; git push -q origin HEAD:sub; \
      echo precious-work >lib/new",
    ),
    (
        "files in a submodule's empty folder",
        "git submodule --quiet add $TOP/up.git lib; git commit -qm sub; \
      git push -q origin HEAD:sub; git submodule --quiet deinit -f lib; echo precious-work >lib/new",
    ),
    ("repository in a repository", "git init -q inner; echo precious-work >inner/f"),
    ("LFS object", "mkdir -p .git/lfs/objects/ab/cd; echo precious-work >.git/lfs/objects/ab/cd/abcd"),
    ("lock of an index", "echo precious-work >.git/index.lock"),
    ("damaged HEAD", "echo precious-work >f; git add f; echo >.git/HEAD"),
    ("no HEAD", "echo precious-work >f; git add f; rm .git/HEAD"),
    ("damaged index", "echo precious-work >new; echo x >.git/index"),
    ("index cut off", "echo precious-work >new; truncate -s 40 .git/index"),
    ("no index", "rm .git/index; echo precious-work >f"),
    ("no objects", "rm -rf .git/objects; echo precious-work >new"),
    (
        "damaged object",
        "echo precious-work >>f; git commit -qam two; O=$(git rev-parse HEAD^{tree} | sed 's,^..,&/,'); \
      chmod u+w .git/objects/$O; echo x >.git/objects/$O",
    ),
    (".git of another kind", "rm -rf .git; ln -s /nowhere .git; echo precious-work >f"),
    (".git that leads nowhere", "rm -rf .git; echo 'gitdir: /nowhere' >.git; echo precious-work >f"),
    (".git that says nothing", "rm -rf .git; : >.git; echo precious-work >f"),
    (
        "missing lender",
        "echo /nowhere/objects >.git/objects/info/alternates; echo precious-work >>f; git commit -qam two",
    ),
    (
        "rebase with autostash",
        "mkdir .git/rebase-merge; echo precious-work >>f; git stash create >.git/rebase-merge/autostash; \
      git checkout -q f",
    ),
    (
        "SHA-256",
        "cd ..; rm -rf repo; git init -q --object-format=sha256 repo; cd repo; echo precious-work >f; git add f; \
      git commit -qm x; rm f",
    ),
    (
        "remote-tracking name of a first commit only",
        "echo precious-work >>f; git commit -qam two; git gc -q --prune=now",
    ),
];

#[test]
fn keep_loses_nothing_that_only_a_folder_has() {
    if !has_git_program() {
        return;
    }
    let mut lost = Vec::new();
    let untouched = Scene::new();
    for (what, script) in WORKS {
        let scene = Scene::like(&untouched, script);
        if !scene.has_kept_the_work() {
            lost.push((what, scene.keep()));
        }
        assert!(scene.w.exists());
    }
    assert!(lost.is_empty(), "{lost:#?}");
}

/// What is elsewhere: a copy of it would take room for nothing.
const NOTHING: &[(&str, &str)] = &[
    ("clone", ":"),
    ("packed", "git tag -d v1; git gc -q"),
    ("ignored files", "echo x >a.ignored"),
    ("shallow", "cd ..; rm -rf repo; git clone -q --no-tags --depth 1 file://$TOP/up.git repo"),
    ("pushed", "git checkout -qb x; echo 2 >>f; git commit -qam two; git push -q origin x"),
    ("touched", "touch f g"),
    (
        "clean submodule",
        "git submodule --quiet add $TOP/up.git lib; git commit -qm sub; git push -q origin HEAD:sub",
    ),
    ("clean linked tree", "git worktree add -q -b x ../tree"),
    ("empty repository", "cd ..; rm -rf repo; git init -q repo"),
    ("empty .git", "cd ..; rm -rf repo; mkdir -p repo/.git/objects/info"),
];

#[test]
fn keep_proves_that_a_clone_without_work_of_its_own_may_go() {
    if !has_git_program() {
        return;
    }
    let untouched = Scene::new();
    for (what, script) in NOTHING {
        let scene = Scene::like(&untouched, script);
        assert!(has_git(&scene.w).unwrap());
        assert!(
            matches!(scene.keep(), Ok(Kept::Proven)),
            "{what}: {:?} {:#?}",
            scene.keep(),
            archives(&scene.dir)
        );
        assert_eq!(archives(&scene.dir).unwrap(), [], "{what}");
    }
}

#[test]
fn rules_tell_which_ignored_files_and_how_old_reflogs_count() {
    if !has_git_program() {
        return;
    }
    let ignored = "echo precious-work >notes.ignored";
    let mut scene = Scene::with(ignored);
    scene.rules.keep_ignored = vec!["notes.*".to_owned()];
    assert!(scene.has_kept_the_work());
    let old = "export GIT_COMMITTER_DATE='2001-01-01T00:00:00Z'; echo precious-work >>f; git commit -qam two; \
               git reset -q --hard HEAD~1; rm .git/ORIG_HEAD";
    let mut scene = Scene::with(old);
    assert!(matches!(scene.keep(), Ok(Kept::Proven)), "its entry is old: {:?}", scene.keep());
    scene.rules.reflog = Duration::from_secs(100 * 365 * 24 * 3600);
    assert!(scene.has_kept_the_work());
}

#[test]
fn keep_leaves_one_archive_of_a_folder_however_often_it_is_done() {
    if !has_git_program() {
        return;
    }
    let scene = Scene::with("echo first >>f");
    scene.keep().unwrap();
    scene.sh("echo precious-work >>w/repo/f");
    assert!(scene.has_kept_the_work(), "it is made anew");
    assert_eq!(archives(&scene.dir).unwrap().len(), 1);
    let names: Vec<_> = std::fs::read_dir(scene.dir.paths.cleanup_archive())
        .unwrap()
        .map(|e| e.unwrap().file_name())
        .collect();
    assert_eq!(names.len(), 2, "{names:?}");
    // Another folder of that id: what is kept of the first one stays.
    scene.sh("rm -rf w; mkdir w; git clone -q up.git w/other; echo second >>w/other/f");
    let Kept::Archived { archive_id, .. } = scene.keep().unwrap() else { panic!("there is work") };
    assert_eq!(archive_id, "w.1-2");
    let all = archives(&scene.dir).unwrap();
    assert_eq!(all.len(), 2);
    all.iter().for_each(|archive| remove(&scene.dir, archive).unwrap());
    assert_eq!(std::fs::read_dir(scene.dir.paths.cleanup_archive()).unwrap().count(), 0);
}

#[test]
fn archive_without_its_note_and_those_of_earlier_versions_are_listed() {
    if !has_git_program() {
        return;
    }
    let scene = Scene::with("echo precious-work >>f");
    scene.keep().unwrap();
    let folder = scene.dir.paths.cleanup_archive();
    std::fs::write(folder.join("w.1.json"), "{\"format\":1,\"arch").unwrap();
    let old = scene.dir.paths.orphans_archive().join("o-1");
    std::fs::create_dir_all(&old).unwrap();
    std::fs::write(old.join("workspace.patch"), "+new").unwrap();
    let all = archives(&scene.dir).unwrap();
    let mut ids: Vec<_> = all.iter().map(|a| a.archive_id.as_str()).collect();
    ids.sort_unstable();
    assert_eq!(ids, ["o-1", "w.1"]);
    let unnoted = archive(&scene.dir, "w.1").unwrap().unwrap();
    let restored = restore(&Disk::real(), &unnoted, &scene.place.path().join("again")).unwrap();
    assert!(restored.entries > 0 && scene.place.path().join("again/workspace/repo/f").exists());
}

/// Every effect on the disk is refused in turn: the folder stays, and nothing half made is left.
#[test]
fn keep_that_cannot_write_is_an_error_and_leaves_nothing() {
    use crate::common::{EIO, Faults, Refuse};
    if !has_git_program() {
        return;
    }
    let scene = Scene::with("echo precious-work >>f; echo precious-work >new; git commit -qam two");
    let mut dir = scene.dir.clone();
    for at in 0.. {
        let _ = std::fs::remove_dir_all(scene.dir.paths.cleanup());
        let (faults, disk) = Faults::new(EIO, Refuse::Only(at));
        dir.disk = disk;
        let kept = keep(&dir, &scene.request());
        if faults.seen() <= at {
            assert!(matches!(kept, Ok(Kept::Archived { .. })) && at > 8, "{at} effects: {kept:?}");
            break;
        }
        let entries = std::fs::read_dir(dir.paths.cleanup_archive()).into_iter().flatten();
        let left: Vec<_> = entries.map(|e| e.unwrap().file_name()).collect();
        assert!(left.iter().all(|name| !name.to_str().unwrap().starts_with('.')), "effect {at}: {left:?}");
        assert!(kept.is_err() || scene.has_kept_the_work(), "effect {at}: {kept:?}");
    }
}
