//! Archives on the disk are made once, never replaced by one with less, and complete or absent.

use recovery::archive::{KeepOutcome, KeepRequest, archive, archives, keep, remove, restore};
use recovery::durable::Disk;

use super::{Scene, has_git_program};
use crate::common::{EIO, Faults, Refuse};

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
    let KeepOutcome::Archived { archive_id, .. } = scene.keep().unwrap() else { panic!("there is work") };
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
    assert!(
        matches!(&again, Ok(KeepOutcome::Archived { archive_id, .. }) if archive_id == "w.1-2"),
        "{again:?}"
    );
    assert!(std::fs::read(&first).unwrap() == kept, "what was kept first stays");
    scene.sh("mv state/trash/w w");
    let again = scene.keep();
    assert!(
        matches!(&again, Ok(KeepOutcome::Archived { archive_id, .. }) if archive_id != "w.1"),
        "{again:?}"
    );
    assert!(std::fs::read(&first).unwrap() == kept, "also in its own place");
}

/// Every effect on the disk is refused in turn: the folder stays, and nothing half made is left.
#[test]
fn keep_that_cannot_write_is_an_error_and_leaves_nothing() {
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
            assert!(matches!(kept, Ok(KeepOutcome::Archived { .. })) && at > 8, "{at} effects: {kept:?}");
            break;
        }
        let entries = std::fs::read_dir(dir.paths.cleanup_archive()).into_iter().flatten();
        let left: Vec<_> = entries.map(|e| e.unwrap().file_name()).collect();
        assert!(left.iter().all(|name| !name.to_str().unwrap().starts_with('.')), "effect {at}: {left:?}");
        assert!(kept.is_err() || scene.has_kept_the_work(), "effect {at}: {kept:?}");
    }
}
