//! Folders in a trash are judged by their former place, and again when they were changed.

use std::path::Path;

use recovery::archive::{Judged, KeepOutcome, KeepRequest, archive, fingerprint, keep, keep_noted, remove};

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

/// A folder that was moved to a trash is judged by its former place, and later work in it is kept.
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
    assert!(matches!(judged(), Ok(KeepOutcome::Proven)), "{:?}", judged());
    assert!(matches!(judged_as(&by_link), Ok(KeepOutcome::Proven)), "{:?}", judged_as(&by_link));
    let seen = fingerprint(&trash).unwrap();
    assert_eq!(fingerprint(&trash).unwrap(), seen);
    std::fs::write(trash.join("tree/new"), WORK).unwrap();
    assert_ne!(fingerprint(&trash).unwrap(), seen);
    assert!(matches!(judged(), Ok(KeepOutcome::Archived { .. })));
}

/// A note of a judgement holds while nothing was changed and all archives of the folder are there.
#[test]
fn note_of_a_judgement_holds_while_its_archives_are_there() {
    if !has_git_program() {
        return;
    }
    let scene = Scene::with("echo precious-work >n");
    let noted = |before: &Judged| keep_noted(&scene.dir, &scene.request(), before).unwrap().1;
    let holds = |judged: &Judged| judged.still_holds(&scene.dir, &scene.w).unwrap();
    let lacks = |judged: &Judged| judged.lacks_an_archive(&scene.dir, &scene.w).unwrap();
    let none = Judged::default();
    assert!(!holds(&none) && !lacks(&none));
    let judged = noted(&none);
    assert!(holds(&judged) && !lacks(&judged));
    // As earlier versions noted it.
    let mut earlier = serde_json::to_value(&judged).unwrap();
    earlier.as_object_mut().unwrap().remove("archives").unwrap();
    let earlier: Judged = serde_json::from_value(earlier).unwrap();
    assert!(!holds(&earlier) && !lacks(&earlier));
    let kept = || archive(&scene.dir, "w.1").unwrap().unwrap();
    remove(&scene.dir, &kept()).unwrap();
    assert!(!holds(&judged) && lacks(&judged));
    // Half of it, or another folder's of the same id, is none of this one.
    let judged = noted(&judged);
    assert!(holds(&judged));
    let file = std::fs::File::options().write(true).open(kept().path).unwrap();
    let length = file.metadata().unwrap().len();
    file.set_len(length - 1).unwrap();
    assert!(lacks(&judged));
    file.set_len(length).unwrap();
    assert!(holds(&judged));
    scene.sh("cp -a w v; mv w u; mv v w");
    assert!(lacks(&judged));
    scene.sh("rm -r w; mv u w");
    assert!(holds(&judged));
    // Work that is proven elsewhere needs no archive.
    scene.sh("rm w/repo/n");
    assert!(!holds(&judged));
    let judged = noted(&judged);
    remove(&scene.dir, &kept()).unwrap();
    assert!(holds(&judged));
}
