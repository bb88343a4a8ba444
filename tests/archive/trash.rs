//! Folders in a trash: judged as where they were, and again when they were changed.

use std::path::Path;

use recovery::archive::{KeepRequest, Kept, fingerprint, keep};

use super::{Scene, WORK, has_git_program};

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
