//! Repositories that borrow from one another: what goes is kept with its lenders, and what others need stays.

use recovery::archive::{CannotKeep, KeepOutcome, KeepRequest, archive, keep, restore};
use recovery::durable::Disk;

use super::{Scene, has_git_program};

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
    assert!(matches!(keep(&scene.dir, &request), Ok(KeepOutcome::Archived { .. })));
    scene.sh("rm -rf state/jobs/a state/jobs/b up.git first");
    let kept = archive(&scene.dir, "b.1").unwrap().unwrap();
    restore(&Disk::real(), &kept, &scene.place.path().join("again")).unwrap();
    scene.sh("cd again/workspace/repo; export GIT_CONFIG_COUNT=1 GIT_CONFIG_KEY_0=safe.directory GIT_CONFIG_VALUE_0='*'; \
              test \"$(git log --format=%s | tr '\\n' ' ')\" = 'n one '; git fsck --full");
}

/// The archive's note names a lender that nobody can open.
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

/// Whatever another workspace has in the place of git's files, it only blocks a folder that it names.
#[test]
fn folder_is_not_held_by_what_another_workspace_has_in_the_place_of_a_file() {
    if !has_git_program() {
        return;
    }
    let scene = Scene::new();
    scene.sh("mkdir -p state/jobs/b/x/objects/info; ln -s b state/jobs/link; : >state/jobs/file; \
              ln -s . state/jobs/b/round");
    for script in [
        "truncate -s 6G a",
        "{ yes | head -c 3000000; echo; } >a",
        "mkfifo a",
        "ln -s /dev/zero a",
        "mkdir a",
        ": >a",
    ] {
        scene.sh(&format!("cd state/jobs/b/x/objects/info; rm -rf a alternates; {script}; mv a alternates"));
        assert!(matches!(scene.keep(), Ok(KeepOutcome::Proven)), "{script}: {:?}", scene.keep());
    }
    scene.sh("cd state/jobs/b/x/objects/info; { echo $TOP/w/repo; yes | head -c 3000000; } >alternates");
    assert!(matches!(scene.keep(), Err(CannotKeep::Needed { .. })), "{:?}", scene.keep());
    scene.sh("rm state/jobs/b/x/objects/info/alternates");
    let stopped = keep(&scene.dir, &KeepRequest { stop: &|| true, ..scene.request() });
    assert!(matches!(stopped, Err(CannotKeep::Stopped)), "{stopped:?}");
}

/// A repository that has its objects, or its own folder, in a folder blocks the removal of that folder.
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
        // The judgement is made anew, whatever was found before.
        request("a.1", "a").unwrap();
    }
}

/// A working tree elsewhere is dead without its repository.
#[test]
fn folder_stays_while_a_working_tree_elsewhere_has_its_repository_in_it() {
    if !has_git_program() {
        return;
    }
    for (script, end) in [
        ("git worktree add -q -b x $TOP/out", "git worktree remove $TOP/out"),
        ("git worktree add -q -b x $TOP/out", "rm -r $TOP/out"),
        (
            "git worktree add -q -b x $TOP/out; ln -s $TOP/w/repo $TOP/link; \
          echo gitdir: $TOP/link/.git/worktrees/out >$TOP/out/.git",
            "mkdir $TOP/o; mv $TOP/out/.git $TOP/o",
        ),
        (
            "git worktree add -q -b x $TOP/out",
            "git init -q --bare $TOP/y; echo gitdir: $TOP/y >$TOP/out/.git",
        ),
        (
            "git clone -q --separate-git-dir $TOP/w/x $TOP/up.git $TOP/out; \
             git -C $TOP/w/x config core.worktree $TOP/out",
            "rm -r $TOP/out",
        ),
    ] {
        let scene = Scene::with(script);
        let why = scene.keep().unwrap_err();
        assert!(
            matches!(why, CannotKeep::Leads { .. }) && why.may_pass() && why.is_needed(),
            "{script}: {why}"
        );
        assert!(
            why.to_string().contains(scene.place.path().join("out").to_str().unwrap()),
            "{script}: {why}"
        );
        let scene = scene.then(end);
        assert!(scene.keep().is_ok(), "{script}: {:?}", scene.keep());
    }
    // The folder is in a trash by now.
    let scene =
        Scene::with("git worktree add -q -b x $TOP/out; cd $TOP/state/cleanup; mkdir trash; mv $TOP/w trash");
    let trash = scene.dir.paths.cleanup_trash().join("w");
    let kept = keep(&scene.dir, &KeepRequest { folder: &trash, was: Some(&scene.w), ..scene.request() });
    assert!(matches!(kept, Err(CannotKeep::Leads { .. })), "{kept:?}");
}
