//! Replacement, locks and quarantine from outside, on a disk that fails and with holders that are killed.
#![allow(clippy::disallowed_methods, clippy::print_stdout)]

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::common::{EIO, ENOSPC, Faults, Refuse, scratch};
use recovery::durable::{
    Disk, FileLock, Holder, LockError, Quarantine, create, holder_of, is_held, replace, replace_with,
};

fn temporaries(folder: &Path) -> usize {
    let entries = fs::read_dir(folder).unwrap().flatten();
    entries.filter(|e| e.file_name().to_string_lossy().starts_with(".tmp-")).count()
}

#[test]
fn a_replacement_is_two_syncs_and_whatever_fails_leaves_the_old_or_the_new() {
    let old = b"old content".to_vec();
    let new: Vec<u8> = (0..200_000u32).map(|n| n as u8).collect();
    for errno in [EIO, ENOSPC] {
        for n in 0.. {
            let folder = scratch();
            let path = folder.path().join("file");
            fs::write(&path, &old).unwrap();
            let (faults, disk) = Faults::new(errno, Refuse::Only(n));
            let result = replace(&disk, &path, &new);
            let content = fs::read(&path).unwrap();
            assert!(content == old || content == new, "effect {n}");
            assert_eq!(temporaries(folder.path()), 0, "effect {n}");
            if faults.seen() <= n {
                result.unwrap();
                assert_eq!(content, new);
                let done = faults.done();
                let count = |word: &str| done.iter().filter(|e| e.starts_with(word)).count();
                assert_eq!(count("Sync {") + count("SyncDir"), 2, "{done:?}");
                assert!(n >= 5, "{done:?}");
                break;
            }
            let error = result.unwrap_err();
            assert_eq!(error.source.raw_os_error(), Some(errno), "effect {n}: {error}");
        }
    }
}

#[test]
fn what_fill_says_comes_back_and_the_old_stays() {
    let folder = scratch();
    let path = folder.path().join("file");
    replace(&Disk::real(), &path, b"old").unwrap();
    let result = replace_with(&Disk::real(), &path, |out| {
        out.write_all(b"half of the new")?;
        Err(std::io::Error::other("no more"))
    });
    assert_eq!(result.unwrap_err().source.to_string(), "no more");
    assert_eq!((fs::read(&path).unwrap(), temporaries(folder.path())), (b"old".to_vec(), 0));
    let taken = create(&Disk::real(), &path, b"another").unwrap_err();
    assert_eq!(taken.kind(), std::io::ErrorKind::AlreadyExists);
    assert_eq!((fs::read(&path).unwrap(), temporaries(folder.path())), (b"old".to_vec(), 0));
}

#[test]
fn a_bounded_wait_names_the_holder() {
    let folder = scratch();
    let path = folder.path().join("x.lock");
    let held = FileLock::try_acquire(&Disk::real(), &path).unwrap();
    let holder =
        Holder { pid: 4711, purpose: "recover".to_owned(), since: "2026-03-01T09:30:00.000Z".to_owned() };
    held.describe(&holder).unwrap();
    let begun = Instant::now();
    let refused = FileLock::acquire(&Disk::real(), &path, Duration::from_millis(60)).unwrap_err();
    assert!(begun.elapsed() >= Duration::from_millis(60));
    let text = refused.to_string();
    assert!(text.contains("4711") && text.contains("recover") && text.contains("x.lock"), "{text}");
    let LockError::Held { holder: named, waited, .. } = refused else { panic!("{refused:?}") };
    assert_eq!((named.as_ref(), waited >= Duration::from_millis(60)), (Some(&holder), true));
    // A shorter text leaves nothing of the longer one behind.
    held.describe(&Holder { pid: 1, purpose: String::new(), since: String::new() }).unwrap();
    assert_eq!(holder_of(&path).unwrap().pid, 1);
    drop(held);
    assert!(!is_held(&path).unwrap());
    FileLock::try_acquire(&Disk::real(), &path).unwrap();
}

#[test]
fn who_waits_gets_the_lock_as_soon_as_it_is_free() {
    let folder = scratch();
    let path = folder.path().join("x.lock");
    let held = FileLock::try_acquire(&Disk::real(), &path).unwrap();
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| FileLock::acquire(&Disk::real(), &path, Duration::from_secs(20)));
        drop(held);
        waiting.join().unwrap().unwrap();
    });
}

#[test]
fn a_replaced_lock_file_is_not_the_lock() {
    let folder = scratch();
    let path = folder.path().join("x.lock");
    let old = FileLock::try_acquire(&Disk::real(), &path).unwrap();
    fs::remove_file(&path).unwrap();
    let new = FileLock::try_acquire(&Disk::real(), &path).unwrap();
    drop(old);
    assert!(is_held(&path).unwrap());
    drop(new);
    assert!(!is_held(&path).unwrap());
}

#[test]
fn a_published_lock_is_never_seen_unlocked() {
    let folder = scratch();
    let done = AtomicBool::new(false);
    let looks = std::thread::scope(|scope| {
        let probers: Vec<_> = (0..2)
            .map(|_| {
                scope.spawn(|| {
                    let (mut looks, mut n) = (0u64, 0);
                    while !done.load(Ordering::SeqCst) || n < 300 {
                        let path = folder.path().join(format!("{n}.lock"));
                        match is_held(&path) {
                            Ok(held) => {
                                assert!(held, "{n} was seen unlocked");
                                looks += 1;
                                n += 1;
                            }
                            Err(e) => assert!(e.is_not_found(), "{e}"),
                        }
                    }
                    looks
                })
            })
            .collect();
        let mut held = Vec::new();
        for n in 0..300 {
            let path = folder.path().join(format!("{n}.lock"));
            held.push(FileLock::publish(&Disk::real(), &path).unwrap().unwrap());
            assert!(FileLock::publish(&Disk::real(), &path).unwrap().is_none(), "the name is taken");
        }
        done.store(true, Ordering::SeqCst);
        let looks: u64 = probers.into_iter().map(|p| p.join().unwrap()).sum();
        drop(held);
        looks
    });
    assert!(looks >= 600);
    assert!(!is_held(&folder.path().join("0.lock")).unwrap());
    assert_eq!(temporaries(folder.path()), 0);
}

/// Not a test of its own: the holder that `a_killed_holder_frees_its_lock` starts and kills.
#[test]
fn a_holder_process() {
    let Ok(path) = std::env::var("RECOVERY_TEST_LOCK") else { return };
    let _held = FileLock::try_acquire(&Disk::real(), Path::new(&path)).unwrap();
    println!("locked");
    // The process ends when its parent kills it, or is gone.
    let _ = std::io::stdin().read_line(&mut String::new());
}

#[test]
fn a_killed_holder_frees_its_lock() {
    let folder = scratch();
    let path = folder.path().join("x.lock");
    let mut holder = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "durable::a_holder_process", "--nocapture", "--test-threads=1"])
        .env("RECOVERY_TEST_LOCK", &path)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(holder.stdout.take().unwrap()).lines();
    assert!(lines.any(|l| l.unwrap().contains("locked")));
    assert!(is_held(&path).unwrap());
    assert!(matches!(FileLock::try_acquire(&Disk::real(), &path), Err(LockError::Held { .. })));
    holder.kill().unwrap();
    holder.wait().unwrap();
    FileLock::try_acquire(&Disk::real(), &path).unwrap();
}

#[test]
fn a_child_that_has_the_descriptor_neither_keeps_nor_frees_the_lock() {
    let folder = scratch();
    let path = folder.path().join("x.lock");
    let held = FileLock::try_acquire(&Disk::real(), &path).unwrap();
    // As between fork and exec: the child shares the open file description. Its end changes nothing.
    let shared = || held.file().as_file().try_clone().unwrap();
    let ended = Command::new("true").stdout(shared()).status().unwrap();
    assert!(ended.success() && is_held(&path).unwrap());
    // And while it lives it does not keep what its parent gave back.
    let mut child = Command::new("cat").stdin(Stdio::piped()).stdout(shared()).spawn().unwrap();
    drop(held);
    assert!(!is_held(&path).unwrap());
    FileLock::try_acquire(&Disk::real(), &path).unwrap();
    drop(child.stdin.take());
    assert!(child.wait().unwrap().success());
}

#[test]
fn the_same_bytes_are_kept_once_and_every_note_tells_its_own() {
    let folder = scratch();
    let quarantine = Quarantine::new(Disk::real(), folder.path().join("q"));
    assert!(quarantine.notes().is_empty());
    let from = folder.path().join("a file");
    fs::write(&from, b"unreadable").unwrap();
    let whole = quarantine.keep_file(&from, "damaged", "2026-03-01T09:30:02.000Z").unwrap();
    assert_eq!(quarantine.keep_file(&from, "again", "2026-03-01T09:31:00.000Z").unwrap(), whole);
    let part = quarantine.keep(&from, Some(2), b"reada", "torn", "2026-03-01T09:30:01.000Z").unwrap();
    let elsewhere = quarantine.keep(&from, Some(3), b"reada", "torn", "2026-03-01T09:30:01.000Z").unwrap();
    assert_ne!(part, elsewhere);
    let notes = quarantine.notes();
    assert_eq!(notes.len(), 3, "{notes:?}");
    assert_eq!((notes[2].reason.as_str(), notes[2].bytes, notes[2].offset), ("damaged", 10, None));
    assert_eq!(fs::read(&whole).unwrap(), b"unreadable");
    for note in &notes {
        assert_eq!(note.from, from);
        assert_eq!(fs::read(folder.path().join("q").join(&note.kept_as)).unwrap().len() as u64, note.bytes);
    }
    assert_eq!(quarantine.take_file(&from, "damaged", "2026-03-01T09:32:00.000Z").unwrap(), whole);
    assert!(!from.exists());
}

#[test]
fn a_file_with_the_longest_name_can_be_kept() {
    let folder = scratch();
    let quarantine = Quarantine::new(Disk::real(), folder.path().join("q"));
    for name in ["x".repeat(255), "€".repeat(85)] {
        let from = folder.path().join(&name);
        fs::write(&from, &name).unwrap();
        let kept = quarantine.take_file(&from, "damaged", "2026-03-01T09:30:00.000Z").unwrap();
        assert_eq!((fs::read(kept).unwrap(), from.exists()), (name.into_bytes(), false));
    }
    assert_eq!(quarantine.notes().len(), 2);
}

#[test]
fn nothing_goes_before_its_copy_is_kept() {
    for n in 0.. {
        let folder = scratch();
        let (faults, disk) = Faults::new(ENOSPC, Refuse::From(n));
        let quarantine = Quarantine::new(disk, folder.path().join("q"));
        let from = folder.path().join("file");
        fs::write(&from, b"unreadable").unwrap();
        let result = quarantine.take_file(&from, "damaged", "2026-03-01T09:30:00.000Z");
        if faults.seen() <= n {
            result.unwrap();
            break;
        }
        let notes = quarantine.notes();
        assert!(from.exists() || notes.len() == 1, "effect {n}");
        // The next try, on a disk that works, ends with one copy.
        let quarantine = Quarantine::new(Disk::real(), folder.path().join("q"));
        if from.exists() {
            quarantine.take_file(&from, "damaged", "2026-03-01T09:30:00.000Z").unwrap();
        }
        let notes = quarantine.notes();
        assert_eq!((notes.len(), from.exists()), (1, false), "effect {n}");
        assert_eq!(fs::read(folder.path().join("q").join(&notes[0].kept_as)).unwrap(), b"unreadable");
    }
}
