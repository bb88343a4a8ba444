//! Removing trees: everything inside is removed, nothing outside is touched, and what cannot be removed is
//! reported.
#![allow(clippy::disallowed_methods)] // Tests make what is to be removed.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};

use recovery::durable::tree::{
    Progress, Removed, TakeError, TreeIdentity, measure_tree, put_back, remove_tree, take_into_trash,
};
use recovery::durable::{Disk, Effect, Observer};

use crate::common::{is_root, skipped, skipped_by_the_machine};

fn scratch() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

fn write(path: PathBuf, text: &str) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}

fn remove(top: &Path) -> Removed {
    remove_tree(&Disk::real(), top, &()).unwrap()
}

/// Undoes what keeps a test's folder from being removed.
struct Undo(&'static str, Vec<PathBuf>);

impl Drop for Undo {
    fn drop(&mut self) {
        for path in &self.1 {
            let words: Vec<&str> = self.0.split(' ').collect();
            let _ = Command::new(words[0]).args(&words[1..]).arg(path).status();
        }
    }
}

#[test]
fn links_are_removed_and_never_followed() {
    let place = scratch();
    write(place.path().join("outside/precious"), "keep");
    let top = place.path().join("trash/t");
    write(top.join("a/b/file"), "x");
    symlink("/etc", top.join("etc")).unwrap();
    symlink(place.path().join("outside"), top.join("a/outside")).unwrap();
    symlink("nowhere", top.join("a/b/dangling")).unwrap();
    let removed = remove(&top);
    assert!(removed.is_complete(), "{removed:?}");
    assert_eq!(removed.entries, 7);
    assert!(!top.exists() && Path::new("/etc/passwd").exists());
    assert_eq!(std::fs::read(place.path().join("outside/precious")).unwrap(), b"keep");
    assert_eq!(remove(&top), Removed::default());
}

#[test]
fn a_link_at_the_top_is_itself() {
    let place = scratch();
    write(place.path().join("outside/precious"), "keep");
    let top = place.path().join("link");
    symlink(place.path().join("outside"), &top).unwrap();
    assert!(remove(&top).is_complete());
    assert!(top.symlink_metadata().is_err() && place.path().join("outside/precious").exists());
}

#[test]
fn any_name_at_any_depth_goes() {
    let place = scratch();
    let top = place.path().join("t");
    for name in [&b"two\nlines"[..], b"\xff\xfe\x80", b" ", b"-rf", b"a\tb", &[b'x'; 255], "日本".as_bytes()]
    {
        write(top.join(OsStr::from_bytes(name)).join("file"), "x");
    }
    // Deeper than any path can be long, and than there are descriptors to hold.
    let mut folder = std::fs::File::open(&top).unwrap();
    for level in 0..3000 {
        let name = format!("{level:0>100}");
        rustix::fs::mkdirat(&folder, &*name, 0o700.into()).unwrap();
        let flags = rustix::fs::OFlags::DIRECTORY | rustix::fs::OFlags::CLOEXEC;
        folder = rustix::fs::openat(&folder, &*name, flags, rustix::fs::Mode::empty()).unwrap().into();
    }
    let removed = remove(&top);
    assert!(removed.is_complete(), "{removed:?}");
    assert_eq!(removed.entries, 7 * 2 + 3000 + 1);
    assert!(!top.exists());
}

#[test]
fn folders_that_their_owner_made_read_only_go() {
    let place = scratch();
    let top = place.path().join("t");
    write(top.join("cache/pkg/file"), "x");
    for (folder, mode) in [("cache/pkg", 0o555), ("cache", 0o000)] {
        std::fs::set_permissions(top.join(folder), std::fs::Permissions::from_mode(mode)).unwrap();
    }
    assert!(remove(&top).is_complete());
}

#[test]
fn what_the_system_refuses_stays_and_the_rest_goes() {
    struct Refuses;
    impl Observer for Refuses {
        fn before(&self, effect: &Effect<'_>) -> std::io::Result<()> {
            match effect {
                Effect::RemoveFile { path } if path.ends_with("two") => {
                    Err(std::io::ErrorKind::PermissionDenied.into())
                }
                _ => Ok(()),
            }
        }
        fn after(&self, _: &Effect<'_>) {}
    }
    let place = scratch();
    let top = place.path().join("t");
    for file in ["one", "a/one", "a/b/two", "a/b/c/three", "d/four"] {
        write(top.join(file), "x");
    }
    let kept_elsewhere = place.path().join("kept");
    std::fs::hard_link(top.join("one"), &kept_elsewhere).unwrap();
    let removed = remove_tree(&Disk::observed(std::sync::Arc::new(Refuses)), &top, &()).unwrap();
    assert_eq!((removed.kept_total, removed.entries), (1, 4 + 2), "{removed:?}");
    assert_eq!(removed.kept[0].path, Path::new("a/b/two"));
    assert!(top.join("a/b/two").exists() && !top.join("a/b/c").exists() && !top.join("d").exists());
    assert!(remove(&top).is_complete() && kept_elsewhere.exists());
}

#[test]
fn mounts_are_told_and_what_is_in_them_stays() {
    if !is_root() {
        return skipped("mounting needs root");
    }
    let place = scratch();
    let top = place.path().join("t");
    for n in 0..3 {
        write(place.path().join(format!("victim/precious-{n}")), "keep");
    }
    write(top.join("a/bind/hidden"), "x");
    write(top.join("a/other"), "x");
    write(top.join("b/other"), "x");
    write(place.path().join("one-file"), "keep");
    write(top.join("b/mounted-file"), "x");
    let mount = |from: &str, to: &str| {
        let (from, to) = (place.path().join(from), top.join(to));
        assert!(Command::new("mount").arg("--bind").arg(from).arg(&to).status().unwrap().success());
        to
    };
    let mounted = vec![mount("victim", "a/bind"), mount("one-file", "b/mounted-file")];
    let undo = Undo("umount", mounted);
    let removed = remove(&top);
    assert_eq!(removed.kept_total, 2, "{removed:?}");
    assert!(removed.kept.iter().all(|k| k.is_mount), "{removed:?}");
    assert_eq!(removed.kept[0].path, Path::new("a/bind"));
    assert_eq!(std::fs::read_dir(place.path().join("victim")).unwrap().count(), 3);
    assert_eq!(std::fs::read(place.path().join("one-file")).unwrap(), b"keep");
    assert!(!top.join("a/other").exists() && !top.join("b/other").exists());
    assert!(measure_tree(&top).has_mounts);
    // A mount point cannot be taken, a tree with one in it can.
    let noted = TreeIdentity::of(&top.join("a/bind")).unwrap().unwrap();
    let taken = take_into_trash(&Disk::real(), &top.join("a/bind"), &place.path().join("taken"), noted);
    assert!(matches!(taken, Err(TakeError::MountPoint { .. })), "{taken:?}");
    drop(undo);
    assert!(remove(&top).is_complete());
}

#[test]
fn what_is_immutable_is_told_and_the_rest_goes() {
    let place = scratch();
    let top = place.path().join("t");
    for n in 0..5 {
        write(top.join(format!("a/file-{n}")), "x");
        write(top.join(format!("b/c/file-{n}")), "x");
    }
    let pinned = top.join("b/c/file-3");
    let pin = Command::new("chattr").arg("+i").arg(&pinned).output();
    if !pin.is_ok_and(|o| o.status.success()) {
        return skipped_by_the_machine("the file system here knows no immutable files");
    }
    let undo = Undo("chattr -i", vec![pinned]);
    let removed = remove(&top);
    assert_eq!((removed.kept_total, removed.entries), (1, 10), "{removed:?}");
    assert_eq!(removed.kept[0].path, Path::new("b/c/file-3"));
    assert!(removed.kept[0].why.contains("not permitted"), "{removed:?}");
    assert!(!top.join("a").exists() && top.join("b/c/file-3").exists());
    drop(undo);
    assert_eq!(remove(&top).entries, 4);
}

#[test]
fn what_came_to_a_name_since_is_not_taken() {
    let place = scratch();
    let (path, trash) = (place.path().join("job"), place.path().join("trash"));
    write(path.join("file"), "old");
    let noted = TreeIdentity::of(&path).unwrap().unwrap();
    std::fs::rename(&path, place.path().join("aside")).unwrap();
    write(path.join("file"), "new");
    let disk = Disk::real();
    assert!(matches!(take_into_trash(&disk, &path, &trash, noted), Err(TakeError::Replaced { .. })));
    assert_eq!(std::fs::read(path.join("file")).unwrap(), b"new");
    std::fs::remove_dir_all(&path).unwrap();
    assert!(!take_into_trash(&disk, &path, &trash, noted).unwrap());
    std::fs::rename(place.path().join("aside"), &path).unwrap();
    assert!(take_into_trash(&disk, &path, &trash, noted).unwrap());
    assert!(take_into_trash(&disk, &path, &trash, noted).unwrap(), "once more is done already");
    assert!(!path.exists());
    put_back(&disk, &trash, &path).unwrap();
    assert_eq!(std::fs::read(path.join("file")).unwrap(), b"old");
}

/// Ends after so many entries.
struct Until(AtomicU64, u64);

impl Progress for Until {
    fn removed(&self, entries: u64, _: u64) {
        self.0.store(entries, Ordering::SeqCst);
    }

    fn stop(&self) -> bool {
        self.0.load(Ordering::SeqCst) >= self.1
    }
}

#[test]
fn a_removal_that_was_stopped_goes_on() {
    let place = scratch();
    let top = place.path().join("t");
    for folder in 0..40 {
        for file in 0..50 {
            write(top.join(format!("{folder}/{file}")), "x");
        }
    }
    assert_eq!(measure_tree(&top).entries, 40 * 51 + 1);
    let first = remove_tree(&Disk::real(), &top, &Until(AtomicU64::new(0), 500)).unwrap();
    assert!(first.stopped && first.entries >= 500 && !first.is_complete(), "{first:?}");
    let second = remove(&top);
    assert!(second.is_complete());
    assert_eq!(first.entries + second.entries, 40 * 51 + 1);
}

/// Another process swaps a folder for a link and back while the tree is removed: what the link leads to
/// stays.
#[test]
fn a_folder_that_becomes_a_link_leads_nowhere() {
    for _ in 0..20 {
        let place = scratch();
        let (top, victim) = (place.path().join("t"), place.path().join("victim"));
        for n in 0..30 {
            write(victim.join(n.to_string()), "keep");
            write(top.join(format!("a/{n}/file")), "x");
            write(top.join(format!("swap/{n}")), "x");
        }
        symlink(&victim, top.join("link")).unwrap();
        let over = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            let (over, top) = (&over, &top);
            scope.spawn(move || {
                use rustix::fs::{CWD, RenameFlags, renameat_with};
                while !over.load(Ordering::SeqCst) {
                    let (a, b) = (top.join("swap"), top.join("link"));
                    let _ = renameat_with(CWD, a, CWD, b, RenameFlags::EXCHANGE);
                }
            });
            remove(top);
            over.store(true, Ordering::SeqCst);
        });
        assert_eq!(std::fs::read_dir(&victim).unwrap().count(), 30);
    }
}
