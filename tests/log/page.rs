//! The shared page of a log: lost, damaged, emptied, removed, older than the log, also while it is used.

use std::fs;
use std::path::Path;

use recovery::durable::Disk;
use recovery::durable::log::{Log, LogError, LogOptions};

use super::{all, forget_page, numbers, open, options, segments, texts};
use crate::common::{ENOSPC, Faults, Refuse, scratch};

#[test]
fn a_lost_or_damaged_page_is_rebuilt() {
    type Spoil = fn(&Path);
    let spoils: [(&str, Spoil); 6] = [
        ("removed", |p| fs::remove_file(p).unwrap()),
        ("emptied", |p| fs::write(p, b"").unwrap()),
        ("short", |p| fs::write(p, [7; 100]).unwrap()),
        ("garbage", |p| fs::write(p, [0xa5; 4096]).unwrap()),
        ("zeros", |p| fs::write(p, [0; 4096]).unwrap()),
        ("long", |p| fs::write(p, [0xff; 9000]).unwrap()),
    ];
    for (name, spoil) in spoils {
        let root = scratch();
        open(root.path(), 300).append(&["one", "two", "three"]).unwrap();
        spoil(&root.path().join("log/commit.page"));
        let log = open(root.path(), 300);
        assert_eq!((log.end().last_seq, log.synced()), (3, 3), "{name}");
        assert_eq!(log.append(&["four"]).unwrap(), 4, "{name}");
        assert_eq!(texts(&all(root.path()).0), ["one", "two", "three", "four"], "{name}");
    }
}

/// Whatever is written into the page, no number is left out, and nothing counts as synced that is not
/// written.
#[test]
fn no_number_is_taken_from_a_damaged_page() {
    let root = scratch();
    open(root.path(), 300).append(&["one", "two", "three"]).unwrap();
    let page = root.path().join("log/commit.page");
    let mut wanted = vec!["one", "two", "three"];
    for at in (0..16 * 8).step_by(3) {
        // A byte, and a piece of text that reaches over several words.
        for what in [b"\xa5".as_slice(), b"../../../../etc/passwd"] {
            let mut damaged = fs::read(&page).unwrap();
            damaged[at..at + what.len()].copy_from_slice(what);
            fs::write(&page, damaged).unwrap();
            let log = open(root.path(), 300);
            let count = wanted.len() as u64;
            assert_eq!((log.end().last_seq, log.synced()), (count, count), "{what:?} at {at}");
            assert_eq!(log.append(&["more"]).unwrap(), count + 1, "{what:?} at {at}");
            wanted.push("more");
        }
    }
    let (records, summary) = all(root.path());
    assert_eq!((texts(&records), summary.missing), (wanted, Vec::new()));
}

/// The same while a process has the log open, also right after a new segment, when nothing has been written into it.
#[test]
fn a_page_that_is_damaged_while_it_is_used_is_mended() {
    use std::os::unix::fs::FileExt;
    for is_rotated in [false, true] {
        let root = scratch();
        let log = open(root.path(), 4096);
        log.append(&["one", "two", "three"]).unwrap();
        let page =
            fs::File::options().read(true).write(true).open(root.path().join("log/commit.page")).unwrap();
        let mut count = 3;
        for word in 0..16 {
            for change in [1, 1 << 1, 1 << 3, 1 << 40, 0x7878_7878_7878_7878_u64] {
                if is_rotated {
                    log.rotate().unwrap();
                }
                let mut bytes = [0; 8];
                page.read_exact_at(&mut bytes, word * 8).unwrap();
                page.write_all_at(&(u64::from_le_bytes(bytes) ^ change).to_le_bytes(), word * 8).unwrap();
                let what = format!("word {word} ^ {change:x}, rotated: {is_rotated}");
                // Readers look at the end and have it synced; writers must recover from a failed sync, which
                // the page may report now.
                assert_eq!(log.end().last_seq, count, "{what}");
                if log.commit(count).is_err() {
                    log.verify().unwrap();
                }
                assert_eq!(log.end().last_seq, count, "{what}");
                assert_eq!(log.append(&["own"]).unwrap(), count + 1, "{what}");
                // An older one goes with the next snapshot.
                let newest = segments(root.path()).last().map(|s| s.first_seq);
                assert_eq!(newest, Some(log.end().segment), "{what}");
                assert_eq!(open(root.path(), 4096).append(&["other"]).unwrap(), count + 2, "{what}");
                count += 2;
                assert!(log.synced() <= count, "{what}");
            }
        }
        let (records, summary) = all(root.path());
        assert!(numbers(&records).into_iter().eq(1..=count), "{:?}", numbers(&records));
        assert_eq!((summary.missing, summary.damage.len()), (Vec::new(), 0));
    }
}

#[test]
fn a_page_that_is_older_than_the_log_is_not_believed() {
    let root = scratch();
    let log = open(root.path(), 1 << 20);
    log.append(&["one"]).unwrap();
    let old = fs::read(root.path().join("log/commit.page")).unwrap();
    log.append(&["two", "three"]).unwrap();
    drop(log);
    fs::write(root.path().join("log/commit.page"), old).unwrap();
    assert_eq!(open(root.path(), 1 << 20).append(&["four"]).unwrap(), 4);
    assert_eq!(texts(&all(root.path()).0), ["one", "two", "three", "four"]);
}

#[test]
fn who_still_has_a_removed_page_writes_nothing() {
    let root = scratch();
    let early = open(root.path(), 1 << 20);
    early.append(&["one"]).unwrap();
    forget_page(root.path());
    let late = open(root.path(), 1 << 20);
    late.append(&["two"]).unwrap();
    assert!(matches!(early.append(&["lost"]), Err(LogError::PageReplaced { .. })));
    late.append(&["three"]).unwrap();
    assert_eq!(texts(&all(root.path()).0), ["one", "two", "three"]);
}

#[test]
fn the_page_has_its_room_on_the_disk() {
    use std::os::unix::fs::MetadataExt;
    let root = scratch();
    let (faults, disk) = Faults::new(ENOSPC, Refuse::Nothing);
    Log::open(&disk, options(root.path(), 300)).unwrap();
    let page = fs::metadata(root.path().join("log/commit.page")).unwrap();
    assert!(page.len() >= 4096 && page.blocks() > 0);
    assert!(faults.done().iter().any(|e| e.starts_with("Write") && e.contains("commit.page")));
}

/// A process that had it mapped was ended by SIGBUS at its next append.
#[test]
fn an_emptied_page_is_refused_and_made_anew() {
    let root = scratch();
    let log = open(root.path(), 1 << 20);
    log.append(&["one"]).unwrap();
    fs::File::options().write(true).open(root.path().join("log/commit.page")).unwrap().set_len(0).unwrap();
    assert!(matches!(log.append(&["two"]), Err(LogError::PageReplaced { .. })));
    drop(log);
    let again = open(root.path(), 1 << 20);
    again.append(&["three"]).unwrap();
    assert_eq!(texts(&all(root.path()).0), ["one", "three"]);
}

#[test]
fn another_boot_believes_only_the_files_and_what_a_snapshot_knows() {
    let root = scratch();
    open(root.path(), 300).append(&["one", "two", "three"]).unwrap();
    let rebooted = LogOptions { epoch: "boot-2".to_owned(), ..options(root.path(), 300) };
    assert_eq!(Log::open(&Disk::real(), rebooted.clone()).unwrap().append(&["four"]).unwrap(), 4);
    // In the same boot too: the log may have been replaced by an older copy.
    for min_next_seq in [9, 20] {
        let behind = LogOptions { min_next_seq, ..rebooted.clone() };
        let log = Log::open(&Disk::real(), behind).unwrap();
        assert_eq!(log.append(&["later"]).unwrap(), min_next_seq);
    }
    let (records, summary) = all(root.path());
    assert_eq!(numbers(&records), [1, 2, 3, 4, 9, 20]);
    assert_eq!(summary.missing, [(5, 8), (10, 19)]);
}
