//! Git work of folders that go: whatever a repository alone has is kept, and what others have is not.
#![allow(clippy::disallowed_methods)] // Tests write their own files.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use recovery::archive::{
    ArchiveSource, CannotKeep, KeepRequest, KeepRules, Kept, archive, archives, fingerprint, has_git, keep,
    remove, restore,
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
        scene.sh("mkdir w; git init -q --bare up.git; git clone -q up.git first 2>/dev/null; cd first; \
             echo 1 >f; seq 100 >g; echo '*.ignored' >.gitignore; git add .; git commit -qm one; git tag v1; \
             git push -q origin HEAD:main v1; git -C ../up.git symbolic-ref HEAD refs/heads/main; \
             git clone -q $TOP/up.git $TOP/w/repo");
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
            was: None,
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
            let is_pool = folder.join("pack").is_dir() || folder.join("info").is_dir();
            if is_pool && pool_has_object_with(&self.place.path().join("up.git"), &folder, WORK) {
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
    pool_has_object_with(store, &store.join("objects"), text)
}

fn pool_has_object_with(store: &Path, objects: &Path, text: &str) -> bool {
    let mut git = Command::new("git");
    git.env("GIT_DIR", store).env("GIT_OBJECT_DIRECTORY", objects).args([
        "-c",
        "safe.directory=*",
        "cat-file",
        "--batch-all-objects",
        "--batch",
    ]);
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
    ("copy, of which the index is to be refreshed", "cp -r ../repo ../copy; echo precious-work >new"),
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
        "tag with an old date that is not packed",
        "GIT_COMMITTER_DATE='2020-01-01T00:00:00Z' git tag -am precious-work v2",
    ),
    (
        "tag that was made after the clone and packed",
        "cd ..; rm -rf repo; git clone -q file://$TOP/up.git repo; cd repo; git tag -am precious-work v2; git gc -q",
    ),
    ("tag packed, no branch packed", "git tag -am precious-work v2; git pack-refs"),
    (
        "tag packed, detached",
        "git checkout -q --detach; git branch -qD main; git tag -am precious-work v2; git gc -q",
    ),
    ("tag of a tag", "git tag -am precious-work in; git tag -am outer out in; git tag -d in"),
    ("message of a tag of a file", "git tag -am t t $(echo precious-work | git hash-object -w --stdin)"),
    (
        "message of a tag of a tree",
        "B=$(echo precious-work | git hash-object -w --stdin); git tag -am t t $(printf '100644 blob %s\\tx\\n' $B | git mktree)",
    ),
    (
        "tag among a remote's names",
        "git tag -am precious-work v2; git update-ref refs/remotes/origin/v2 v2; git tag -d v2",
    ),
    (
        "remotes of each other",
        "git clone -q . ../b; echo precious-work >n; git add n; git commit -qm n; git remote add b ../b; \
      git push -q b HEAD:refs/heads/new; cd ../b; git remote add a ../repo; git fetch -q a; git checkout -q new",
    ),
    (
        "remote that is itself",
        "echo precious-work >>f; git commit -qam two; git remote add self .; git fetch -q self",
    ),
    (
        "remote by a URL that is inside",
        "echo precious-work >>f; git commit -qam two; git clone -q --bare . ../b.git; git remote add b file://$TOP/w/b.git; \
      git fetch -q b; rm .git/FETCH_HEAD; cd ../b.git; git remote add r ../repo; git fetch -q r; rm FETCH_HEAD",
    ),
    (
        "remote that is a bundle inside",
        "echo precious-work >>f; git commit -qam two; git bundle create -q ../b.bundle main; cd ..; rm -rf repo; \
      git clone -q -b main b.bundle repo",
    ),
    (
        "remote whose objects are inside",
        "echo precious-work >>f; git commit -qam two; git clone -q --bare -s . $TOP/thin.git; \
      git remote add thin $TOP/thin.git; git fetch -q thin; rm .git/FETCH_HEAD",
    ),
    (
        "name of no remote",
        "echo precious-work >>f; git commit -qam two; git update-ref refs/remotes/backup/main HEAD",
    ),
    (
        "remote that went",
        "echo precious-work >>f; git commit -qam two; git init -q --bare $TOP/t.git; git remote add t $TOP/t.git; \
      git push -q t main; rm -rf $TOP/t.git",
    ),
    (
        "remote under another's name",
        "echo precious-work >>f; git commit -qam two; git clone -q --bare . ../b.git; git remote add b ../b.git; \
      git config remote.b.fetch '+refs/heads/*:refs/remotes/origin/*'; git fetch -q b; rm .git/FETCH_HEAD; \
      cd ../b.git; git remote add r ../repo; git fetch -q r; rm FETCH_HEAD",
    ),
    (
        "remote whose URL is told by another setting",
        "echo precious-work >>f; git commit -qam two; git clone -q --bare . ../b.git; git config url.$TOP/w/.insteadOf x: ; \
      git remote add b x:b.git; git fetch -q b; rm .git/FETCH_HEAD; cd ../b.git; git remote add r x:repo; \
      git config url.$TOP/w/.insteadOf x: ; git fetch -q r; rm FETCH_HEAD",
    ),
    (
        "objects behind a link",
        "echo precious-work >>f; git commit -qam two; mv .git/objects ../store; ln -s ../../store .git/objects",
    ),
    (
        "objects of no repository",
        "echo precious-work >>f; git commit -qam two; mkdir ../o; mv .git/objects ../o/store; cd ..; rm -rf repo",
    ),
    (
        "objects of no repository, packed",
        "echo precious-work >>f; git commit -qam two; git gc -q; mkdir ../o; mv .git/objects ../o/store; cd ..; rm -rf repo",
    ),
    (
        "lender that is no repository",
        "mkdir -p ../cache; (export GIT_OBJECT_DIRECTORY=$TOP/w/cache GIT_ALTERNATE_OBJECT_DIRECTORIES=$PWD/.git/objects; \
      echo precious-work >n; git add n; git commit -qm n); echo $TOP/w/cache >.git/objects/info/alternates; rm n",
    ),
    (
        "tree whose folder of git is made of links",
        "mkdir -p ../wd/.git/logs; cd ../wd/.git; for x in config refs packed-refs objects info; do \
      ln -s ../../repo/.git/$x $x; done; cp ../../repo/.git/HEAD HEAD; cd ..; git checkout -qf; \
      git checkout -q --detach; echo precious-work >n; git add n; git commit -qm n; rm n",
    ),
    (
        "reflog of another day",
        "export GIT_COMMITTER_DATE='2005-04-07T22:13:13 +0000'; git checkout -q --detach; echo precious-work >>f; \
      git commit -qam two; git checkout -q main",
    ),
    (
        "linked tree, detached and removed",
        "git worktree add -q --detach ../t; (cd ../t; echo precious-work >>f; git commit -qam two); git worktree remove ../t",
    ),
    ("stash that was dropped", "echo precious-work >f; git stash -q; git stash drop -q"),
    (
        "commit that was never named",
        "echo precious-work >f; git commit-tree -m x $(git stash create)^{tree}; git checkout -q f",
    ),
    (
        "commit that was never named, packed",
        "echo precious-work >n; git add n; C=$(git commit-tree -m x -p HEAD $(git write-tree)); git reset -q; rm n; \
      git update-ref refs/heads/t $C; git repack -qad; git update-ref -d refs/heads/t; rm -rf .git/logs",
    ),
    (
        "tree that moved",
        "cd ..; mkdir t; mv repo/.git dot.git; rm -r repo; cd dot.git; git config core.worktree $TOP/w/t; git reset -q --hard; \
      cd ..; echo precious-work >>t/f; mv t t2",
    ),
    (
        "no index, ignored file of a commit",
        "echo 1 >a.ignored; git add -f .; git commit -qm c; git push -q origin main; \
      echo precious-work >a.ignored; rm .git/index",
    ),
    (
        "below folders that git cannot open",
        "D=$(yes ä | head -n 120 | tr -d '\\n'); for i in $(seq 20); do mkdir $D; cd -P $D; done; echo precious-work >new",
    ),
    (
        "packed tag of another repository that is older than the clone",
        "cd ..; rm -rf repo; git clone -q file://$TOP/up.git repo; git init -q $TOP/peer; cd $TOP/peer; \
      echo precious-work >p; git add p; git commit -qm p; GIT_COMMITTER_DATE='2020-01-01T00:00:00Z' git tag -am old v0; \
      cd $TOP/w/repo; git -c fetch.unpackLimit=1 fetch -q $TOP/peer tag v0; rm .git/FETCH_HEAD",
    ),
    (
        "another remote's names, fetched as they are",
        "echo precious-work >>f; git commit -qam two; git init -q --bare $TOP/ev.git; \
      git push -q $TOP/ev.git HEAD:refs/remotes/origin/x; git reset -q --hard HEAD~1; git remote add --mirror=fetch b $TOP/ev.git; \
      git fetch -q b; git remote set-url origin ssh://host/x.git",
    ),
    (
        "remote that was made anew",
        "echo precious-work >>f; git commit -qam two; git push -q origin HEAD:main; rm -rf $TOP/up.git; \
      git init -q --bare $TOP/up.git",
    ),
    (
        "bundle that was made anew",
        "echo precious-work >>f; git commit -qam two; git bundle create -q $TOP/b.bundle HEAD main; cd ..; rm -rf repo; \
      git clone -q -b main $TOP/b.bundle repo; git -C $TOP/first bundle create -q $TOP/b.bundle HEAD",
    ),
    (
        "tree named by a setting, without an index",
        "cd ..; rm -rf repo; mkdir files; git --git-dir=.store --work-tree=files init -q; echo precious-work >files/new",
    ),
    (
        "file in a submodule whose .git is empty",
        "git clone -q $TOP/up.git sub; git add sub 2>&1; git commit -qm sub; git push -q origin HEAD:sub; rm -rf sub/.git/*; \
      echo precious-work >sub/new",
    ),
    (
        "folder that became a file",
        "mkdir d; echo x >d/x; git add d; git commit -qm d; git push -q origin HEAD:d; rm -r d; echo precious-work >d",
    ),
    (
        "folder that became a link",
        "mkdir d; echo x >d/x; git add d; git commit -qm d; git push -q origin HEAD:d; mv d ../moved; ln -s ../moved d; \
      echo precious-work >new",
    ),
    (
        "LFS objects in a folder beside",
        "git config lfs.storage $TOP/w/lfs; mkdir -p ../lfs/objects/ab; echo precious-work >../lfs/objects/ab/x",
    ),
    (
        "LFS objects behind a link",
        "mkdir -p ../lfs/objects/ab; echo precious-work >../lfs/objects/ab/x; ln -s ../../lfs .git/lfs",
    ),
    (
        "settings behind a link",
        "mv .git/config ../settings; echo '# precious-work' >>../settings; ln -s ../../settings .git/config",
    ),
    ("extension that is not known", "git config extensions.neverHeardOf 1; git config core.x precious-work"),
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
        let was = fingerprint(&scene.w).unwrap();
        if !scene.has_kept_the_work() {
            lost.push((what, scene.keep()));
        }
        assert_eq!(fingerprint(&scene.w).unwrap(), was, "{what}: it was changed");
    }
    assert!(lost.is_empty(), "{lost:#?}");
}

/// What is elsewhere: a copy of it would take room for nothing.
const NOTHING: &[(&str, &str)] = &[
    (
        "packed tags that are older than the clone",
        "GIT_COMMITTER_DATE='2020-01-01T00:00:00Z' git tag -am old v0; git push -q origin v0 :v1; cd ..; rm -rf repo; \
         git clone -q file://$TOP/up.git repo",
    ),
    ("clone", ":"),
    ("packed", "git gc -q"),
    ("tag without a message", "git tag light; git gc -q"),
    ("ignored files", "echo x >a.ignored"),
    ("shallow", "cd ..; rm -rf repo; git clone -q --no-tags --depth 1 file://$TOP/up.git repo"),
    ("pushed", "git checkout -qb x; echo 2 >>f; git commit -qam two; git push -q origin x"),
    ("touched", "touch f g"),
    (
        "clean submodule",
        "git submodule --quiet add $TOP/up.git lib; git commit -qm sub; git push -q origin HEAD:sub",
    ),
    ("clean linked tree", "git worktree add -q -b x ../tree"),
    ("remote outside by a relative path", "git remote set-url origin ../../up.git"),
    ("remote outside by a URL", "git remote set-url origin file://$TOP/up.git"),
    (
        "remote elsewhere",
        "git remote set-url origin ssh://host/x.git; git config remote.origin.pushurl host:x.git",
    ),
    (
        "cut off fetch",
        "mkdir -p .git/objects/tmp_objdir-incoming-x/pack; echo x >.git/objects/tmp_objdir-incoming-x/pack/tmp_pack_1",
    ),
    (
        "partial clone",
        "cd ..; rm -rf repo; git -C $TOP/up.git config uploadpack.allowFilter true; \
      git clone -q --no-tags --filter=blob:none file://$TOP/up.git repo",
    ),
    ("no index and no files", "cd ..; rm -rf repo; git clone -qn --no-tags $TOP/up.git repo"),
    (
        "reference outside with commits of its own",
        "cd $TOP/first; git commit -q --allow-empty -m x; cd $TOP/w; rm -rf repo; \
      git clone -q --no-tags --reference $TOP/first $TOP/up.git repo",
    ),
    (
        "bundle outside",
        "git bundle create -q $TOP/b.bundle HEAD main; cd ..; rm -rf repo; git clone -q -b main $TOP/b.bundle repo",
    ),
    ("sparse checkout", "git sparse-checkout set --no-cone /f"),
    (
        "sparse index",
        "mkdir -p a b/c; echo x >a/x; echo x >b/c/x; echo y >b/y; git add .; git commit -qm s; git push -q origin HEAD:main; \
      git sparse-checkout set --cone --sparse-index a",
    ),
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
    // An entry's own date may be any; when its commit was written, the system knows.
    let old = "export GIT_COMMITTER_DATE='2001-01-01T00:00:00Z'; echo precious-work >>f; git commit -qam two; \
               git reset -q --hard HEAD~1; rm .git/ORIG_HEAD";
    let scene = Scene::with(old);
    assert!(scene.has_kept_the_work());
    let days = |n: i64| n * 24 * 3600 * 1000;
    let mut scene = Scene::with(old);
    scene.dir.clock = Clock::fixed(Clock::system().now().plus_millis(days(91)));
    assert!(matches!(scene.keep(), Ok(Kept::Proven)), "nothing was written for long: {:?}", scene.keep());
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

/// What git says that has nothing to do with what was asked does not make it keep all files; each is counted once.
#[test]
fn files_alone_are_kept_whatever_git_remarks() {
    if !has_git_program() {
        return;
    }
    for script in [
        "echo '* text=auto' >.gitattributes; git add .; git commit -qm a; git push -q origin HEAD:main; \
         printf 'precious-work\\r\\n' >>f; printf '1\\r\\n' >>g; git add g; git reset -q; git checkout -q g",
        "echo precious-work >f; git stash -q; echo other >f; git commit -qam b; git push -q origin HEAD:main; \
         git stash pop >/dev/null || true; git stash drop -q; rm -rf .git/logs; git gc -q --prune=now; grep -q '<<<' f",
    ] {
        let scene = Scene::with(script);
        assert!(scene.has_kept_the_work(), "{script}");
        let found = archive(&scene.dir, "w.1").unwrap().unwrap().repositories;
        let tree = found.iter().find(|r| r.path == "repo").unwrap();
        assert_eq!((tree.whole, tree.files, tree.deleted_total), (false, 1, 0), "{script}: {found:#?}");
    }
}

/// What is known of a repository outside by a folder in its place is gone by the second look.
#[test]
fn archive_is_not_replaced_by_one_with_less() {
    if !has_git_program() {
        return;
    }
    let scene = Scene::with(
        "cd ..; rm -rf repo; git -C $TOP/first worktree add -q --detach $TOP/w/t; cd t; echo precious-work >n; \
         git add n; git commit -qm n",
    );
    assert!(scene.has_kept_the_work());
    assert!(scene.has_kept_the_work(), "the same again");
    assert_eq!(archives(&scene.dir).unwrap().len(), 1);
    let first = scene.dir.paths.cleanup_archive().join("w.1.tar");
    let kept = std::fs::read(&first).unwrap();
    // The owner of the repository removes what leads nowhere.
    scene.sh("mkdir state/trash; mv w state/trash/w; rm -rf first/.git/worktrees first/.git/logs; git -C first gc -q --prune=now");
    let trash = scene.place.path().join("state/trash/w");
    let again = keep(&scene.dir, &KeepRequest { folder: &trash, was: Some(&scene.w), ..scene.request() });
    assert!(matches!(&again, Ok(Kept::Archived { archive_id, .. }) if archive_id == "w.1-2"), "{again:?}");
    assert!(std::fs::read(&first).unwrap() == kept, "what was kept first stays");
    scene.sh("mv state/trash/w w");
    let again = scene.keep();
    assert!(matches!(&again, Ok(Kept::Archived { archive_id, .. }) if archive_id != "w.1"), "{again:?}");
    assert!(std::fs::read(&first).unwrap() == kept, "also in its own place");
}

#[test]
fn fingerprint_tells_what_was_changed_and_not_what_was_moved() {
    let scene = Scene::empty();
    scene.sh("mkdir -p w/a/b w/attempts; echo 1 >w/a/b/f; echo 1 >w/attempts/f; : >w/sentinel.lock");
    let is = || fingerprint(&scene.w).unwrap().unwrap();
    let mut last = is();
    scene.sh("mv w v; mv v w; touch w/sentinel.lock");
    assert_eq!(is(), last);
    // The file's own time is what it was.
    for script in [
        "cp -p w/a/b/f t; echo 2 >w/a/b/f; touch -r t w/a/b/f",
        "touch -d 2001-01-01 w/a/b/f",
        "mv w/a/b/f w/a/b/g",
        "ln -s x w/a/l",
        "chmod 700 w/a",
        "echo 2 >>w/attempts/f",
        "rm w/a/l",
    ] {
        scene.sh(script);
        let next = is();
        assert_ne!(next, last, "{script}");
        last = next;
    }
    assert_eq!(fingerprint(&scene.w.join("gone")).unwrap(), None);
}

/// A repository that is kept, and borrows objects from one that goes as well.
#[test]
fn lender_that_goes_too_is_kept_with_its_borrower() {
    if !has_git_program() {
        return;
    }
    let scene = Scene::new();
    scene.sh("A=$TOP/state/jobs/a; B=$TOP/state/jobs/b; mkdir -p $A $B; cp -a w/repo $A; \
              git clone -q --shared $A/repo $B/repo; cd $B/repo; git remote remove origin; echo precious-work >n; git add n; \
              git commit -qm n");
    let folder = scene.dir.paths.jobs().join("b");
    let request = KeepRequest { folder: &folder, archive_id: "b.1", ..scene.request() };
    assert!(matches!(keep(&scene.dir, &request), Ok(Kept::Archived { .. })));
    scene.sh("rm -rf state/jobs/a state/jobs/b up.git first");
    let kept = archive(&scene.dir, "b.1").unwrap().unwrap();
    restore(&Disk::real(), &kept, &scene.place.path().join("again")).unwrap();
    scene.sh("cd again/workspace/repo; export GIT_CONFIG_COUNT=1 GIT_CONFIG_KEY_0=safe.directory GIT_CONFIG_VALUE_0='*'; \
              test \"$(git log --format=%s | tr '\\n' ' ')\" = 'n one '; git fsck --full");
}

/// What a kept repository borrows from and nobody can open is said.
#[test]
fn lender_that_cannot_be_opened_is_named() {
    if !has_git_program() {
        return;
    }
    for (script, said) in [
        ("echo /nowhere/objects >.git/objects/info/alternates", "/nowhere/objects"),
        ("mkdir .git/objects/info/alternates", "info/alternates"),
    ] {
        let scene = Scene::with(script);
        scene.keep().unwrap();
        let found = archive(&scene.dir, "w.1").unwrap().unwrap().repositories;
        let store = found.iter().find(|r| r.path == "repo/.git" && r.whole).unwrap();
        assert!(store.why.contains("borrows objects from") && store.why.contains(said), "{store:?}");
    }
}

/// What cannot be told of another workspace is not taken for "no".
#[test]
fn folder_stays_while_another_workspace_cannot_be_looked_through() {
    if !has_git_program() {
        return;
    }
    let scene = Scene::new();
    scene.sh("mkdir -p state/jobs/b/x/objects/info; truncate -s 2M state/jobs/b/x/objects/info/alternates; \
              ln -s b state/jobs/link; : >state/jobs/file");
    let why = scene.keep().unwrap_err();
    assert!(why.may_pass() && why.to_string().contains("jobs/b"), "{why}");
    scene.sh("truncate -s 10 state/jobs/b/x/objects/info/alternates; ln -s . state/jobs/b/round");
    assert!(matches!(scene.keep(), Ok(Kept::Proven)), "{:?}", scene.keep());
    let stopped = keep(&scene.dir, &KeepRequest { stop: &|| true, ..scene.request() });
    assert!(matches!(stopped, Err(CannotKeep::Stopped)), "{stopped:?}");
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

/// Nothing but the messages of tags is kept, with those that they are tags of.
#[test]
fn tags_of_a_clone_are_kept_alone() {
    if !has_git_program() {
        return;
    }
    let scene = Scene::with(
        "git fetch -q --tags; git tag -am precious-work in; git tag -am outer out in; git tag -d in",
    );
    assert!(scene.has_kept_the_work());
    let found = archive(&scene.dir, "w.1").unwrap().unwrap();
    assert_eq!((found.entries, found.repositories[0].whole), (1, false), "{found:#?}");
    // As the manual has it.
    scene.sh("git clone -q up.git again; cd again; while read -r id kind size; do head -c \"$size\" | git hash-object -t tag -w --stdin; \
              read -r end; done <$TOP/restored/workspace/repo/.git.tags >$TOP/ids; \
              for id in $(cat $TOP/ids); do git tag $(git cat-file tag $id | sed -n 's/^tag //p') $id; done; \
              git cat-file tag in | grep -q precious-work; git cat-file tag out | grep -q outer");
}

/// Two names that the check sum of names could not tell apart.
#[test]
fn files_are_told_apart_by_their_whole_names() {
    if !has_git_program() {
        return;
    }
    // "plumless" and "buckeroo" have the same CRC-32.
    let names = ["plumless", "buckeroo"];
    assert_eq!(crc32fast::hash(names[0].as_bytes()), crc32fast::hash(names[1].as_bytes()));
    let scene = Scene::with(
        "echo 1 >plumless; echo 1 >buckeroo; git add .; git commit -qm x; git push -q origin main; \
         echo other-work >plumless; echo precious-work >buckeroo",
    );
    assert!(scene.has_kept_the_work());
    let repo = scene.place.path().join("restored/workspace/repo");
    let kept = names.map(|name| std::fs::read_to_string(repo.join(name)).unwrap());
    assert_eq!(kept, ["other-work\n", "precious-work\n"]);
}

#[test]
fn file_that_two_trees_have_is_in_an_archive_once() {
    if !has_git_program() {
        return;
    }
    // Without its names, the outer tree takes the inner one for files of its own.
    let scene = Scene::with(
        "git clone -q $TOP/up.git in; cd in; git gc -q; rm -rf .git/refs; echo precious-work >n; \
         cd ..; echo x >.git.tags; git tag -am other v2",
    );
    assert!(scene.has_kept_the_work());
    let list = Command::new("tar")
        .arg("-tf")
        .arg(scene.dir.paths.cleanup_archive().join("w.1.tar"))
        .output()
        .unwrap();
    let mut names: Vec<String> = String::from_utf8(list.stdout).unwrap().lines().map(str::to_owned).collect();
    names.sort();
    let all = names.len();
    names.dedup();
    assert_eq!(names.len(), all, "{names:?}");
    assert!(
        names.contains(&"workspace/repo/.git.tags".to_owned())
            && names.contains(&"workspace/repo/.git.tags~".to_owned())
    );
}

/// A repository outside that some trees here belong to, and what names places in the folder that went.
#[test]
fn what_is_unpacked_works_where_it_is_and_is_there_once() {
    if !has_git_program() {
        return;
    }
    let scene = Scene::with(
        "echo 1 >>f; git commit -qam base; git clone -q -s . ../b; cd ../b; echo precious-work >n; git add n; \
         git commit -qm n; git worktree add -q -b t ../tree; echo new >../tree/new; \
         for i in 1 2; do git -C $TOP/first worktree add -q -b o$i $TOP/w/o$i; echo $i >$TOP/w/o$i/n; git -C $TOP/w/o$i add n; done",
    );
    assert!(scene.has_kept_the_work());
    scene.sh("mv w gone");
    let out = scene.place.path().join("restored");
    let outside =
        std::fs::read_dir(&out).unwrap().filter(|e| e.as_ref().unwrap().file_name() != "workspace").count();
    assert_eq!(outside, 1);
    for repository in ["b", "tree"] {
        let mut git = Command::new("git");
        git.args(["-c", "safe.directory=*", "log", "--format=%s"])
            .current_dir(out.join("workspace").join(repository));
        let log = git.output().unwrap();
        let said = String::from_utf8_lossy(&log.stderr);
        assert_eq!(String::from_utf8_lossy(&log.stdout), "n\nbase\none\n", "{repository}: {said}");
    }
    let gitdir = std::fs::read_to_string(out.join("workspace/b/.git/worktrees/tree/gitdir")).unwrap();
    assert_eq!(Path::new(gitdir.trim()), out.join("workspace/tree/.git"));
}

/// What has its objects in a folder, or its own folder, holds it.
#[test]
fn folder_stays_while_a_repository_in_another_workspace_needs_it() {
    if !has_git_program() {
        return;
    }
    for script in [
        "git clone -q -s $A/repo $B/deep/b",
        "git -C $A/repo worktree add -q $B/b",
        "git init -q $B/b; rm -r $B/b/.git/objects; ln -s $A/repo/.git/objects $B/b/.git/objects",
    ] {
        let scene = Scene::new();
        scene.sh(&format!(
            "A=$TOP/state/jobs/a; B=$TOP/state/jobs/b; mkdir -p $A $B; cp -a w/repo $A; {script}"
        ));
        let request = |name: &'static str, folder: &'static str| {
            let folder = scene.dir.paths.jobs().join(folder);
            keep(&scene.dir, &KeepRequest { folder: &folder, archive_id: name, ..scene.request() })
        };
        let why = request("a.1", "a").unwrap_err();
        assert!(why.may_pass() && why.to_string().contains("jobs/b/"), "{why}");
        request("b.1", "b").unwrap();
        scene.sh("rm -rf state/jobs/b");
        // As of now, whatever was found before.
        request("a.1", "a").unwrap();
    }
}

/// Times that a number of the old form does not hold, and modes of folders.
#[test]
fn unpacking_gives_times_and_modes_back() {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    if !has_git_program() {
        return;
    }
    let scene = Scene::with(
        "echo >.git/HEAD; echo precious-work >f; mkdir d closed; echo x >closed/x; touch -d '1950-01-01T00:00:00Z' f; \
         touch -d '2300-01-01T00:00:00Z' g; ln -s nowhere l; touch -h -d '1999-01-01T00:00:00Z' l; \
         touch -d '2001-01-01T00:00:00Z' d; chmod 0555 closed; chmod 1777 d",
    );
    assert!(scene.has_kept_the_work());
    let [was, is] = ["w/repo", "restored/workspace/repo"].map(|at| scene.place.path().join(at));
    for name in ["f", "g", "l", "d", "closed"] {
        let [was, is] = [&was, &is].map(|at| at.join(name).symlink_metadata().unwrap());
        assert_eq!(was.mtime(), is.mtime(), "{name}");
        assert_eq!(was.mode(), is.mode(), "{name}");
    }
    for at in [was, is] {
        std::fs::set_permissions(at.join("closed"), std::fs::Permissions::from_mode(0o755)).unwrap();
    }
}

/// An archive of an earlier version may have one file twice; one that has two of one name is damaged.
#[test]
fn archive_with_a_file_twice_is_unpacked_and_a_pipe_is_no_archive() {
    if !has_git_program() {
        return;
    }
    let scene = Scene::with("echo precious-work >>f");
    scene.keep().unwrap();
    let tar = scene.dir.paths.cleanup_archive().join("w.1.tar");
    let unpacked = |to: &str| {
        restore(&Disk::real(), &archive(&scene.dir, "w.1").unwrap().unwrap(), &scene.place.path().join(to))
    };
    let twice = |change: &str| {
        scene.sh(&format!(
            "rm -rf x y.tar; mkdir x; tar -C x -xf {0}; cp {0} y.tar; {change}; tar --format=posix -C x -rf y.tar workspace/repo/f; cp y.tar {0}",
            tar.display()
        ));
    };
    twice(":");
    unpacked("same").unwrap();
    assert!(
        std::fs::read_to_string(scene.place.path().join("same/workspace/repo/f")).unwrap().contains(WORK)
    );
    twice("echo other >x/workspace/repo/f");
    assert!(unpacked("other").is_err());
    scene.sh("mkfifo state/cleanup/archive/p.json state/cleanup/archive/q.tar state/cleanup/archive/p; rm state/cleanup/archive/w.1.json; \
              mkfifo state/cleanup/archive/w.1.json");
    assert_eq!(archives(&scene.dir).unwrap().len(), 1);
}

/// What moved into a trash is judged as where it was, and what came later is kept.
#[test]
fn folder_in_a_trash_is_judged_as_where_it_was() {
    if !has_git_program() {
        return;
    }
    let scene = Scene::with("git worktree add -q -b x ../tree");
    let trash = scene.dir.paths.cleanup_trash().join("w");
    std::fs::create_dir_all(trash.parent().unwrap()).unwrap();
    std::fs::rename(&scene.w, &trash).unwrap();
    std::os::unix::fs::symlink(scene.place.path(), scene.place.path().join("state/link")).unwrap();
    let by_link = scene.place.path().join("state/link/w");
    // By the name that git noted, and by one that leads through a link.
    let judged_as =
        |was: &Path| keep(&scene.dir, &KeepRequest { folder: &trash, was: Some(was), ..scene.request() });
    let judged = || judged_as(&scene.w);
    assert!(matches!(judged(), Ok(Kept::Proven)), "{:?}", judged());
    assert!(matches!(judged_as(&by_link), Ok(Kept::Proven)), "{:?}", judged_as(&by_link));
    let seen = fingerprint(&trash).unwrap();
    assert_eq!(fingerprint(&trash).unwrap(), seen);
    std::fs::write(trash.join("tree/new"), WORK).unwrap();
    assert_ne!(fingerprint(&trash).unwrap(), seen);
    assert!(matches!(judged(), Ok(Kept::Archived { .. })));
}
