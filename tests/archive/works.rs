//! What people do to a clone that has nothing of its own: whatever is then nowhere else is kept.

use recovery::archive::fingerprint;

use super::{Scene, has_git_program};

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

/// What is a repository by its looks costs no more than a look.
#[test]
fn any_number_of_repositories_is_kept_in_time() {
    if !has_git_program() {
        return;
    }
    let scene = Scene::with(
        "echo precious-work >new; mkdir ../many; cd ../many; seq 12000 | xargs mkdir; \
         for i in $(seq 12000); do : >$i/.git; done",
    );
    let begun = std::time::Instant::now();
    assert!(scene.has_kept_the_work());
    assert!(begun.elapsed().as_secs() < 60, "{:?}", begun.elapsed());
}

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
