//! Work that exists elsewhere, or does not count, is not kept.

use std::time::Duration;

use recovery::archive::{KeepOutcome, archives, has_git};
use recovery::state::Clock;

use super::{Scene, has_git_program};

/// What people do that leaves nothing to keep: a copy of what is elsewhere would only take space.
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
    ("branch that went on", "cd $TOP/first; echo 2 >>f; git commit -qam two; git push -q origin HEAD:main"),
    ("staged once", "echo x >>f; git add f; git reset -q --hard"),
    (
        "staged once in a shallow clone",
        "cd $TOP/first; echo 2 >>f; git commit -qam two; git push -q origin HEAD:main; cd $TOP/w; rm -rf repo; \
         git clone -q --no-tags --depth 1 file://$TOP/up.git repo; cd repo; echo x >>f; git add f; git reset -q --hard",
    ),
    ("linked tree that was removed by hand", "git worktree add -q -b x $TOP/out; rm -r $TOP/out"),
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
            matches!(scene.keep(), Ok(KeepOutcome::Proven)),
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
    // The date of an entry is arbitrary; the system knows when its commit was written.
    let old = "export GIT_COMMITTER_DATE='2001-01-01T00:00:00Z'; echo precious-work >>f; git commit -qam two; \
               git reset -q --hard HEAD~1; rm .git/ORIG_HEAD";
    let scene = Scene::with(old);
    assert!(scene.has_kept_the_work());
    let days = |n: i64| n * 24 * 3600 * 1000;
    let mut scene = Scene::with(old);
    scene.dir.clock = Clock::fixed(Clock::system().now().plus_millis(days(91)));
    assert!(
        matches!(scene.keep(), Ok(KeepOutcome::Proven)),
        "nothing was written for long: {:?}",
        scene.keep()
    );
    scene.rules.reflog = Duration::from_secs(100 * 365 * 24 * 3600);
    assert!(scene.has_kept_the_work());
}
