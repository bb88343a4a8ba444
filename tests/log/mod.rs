//! The log from outside: rotation, cuts, damage, lost files, failing disks, killed writers.
#![allow(clippy::disallowed_methods, clippy::print_stdout)]

mod page;

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use crate::common::{EIO, ENOSPC, Faults, Refuse, scratch, within};
use recovery::durable::log::{
    DamageKind, Item, Log, LogError, LogOptions, Position, ReadRequest, ReadSummary, Scan, SegmentFile, read,
};
use recovery::durable::{Disk, Quarantine};

fn options(root: &Path, segment_bytes: u64) -> LogOptions {
    let folder = root.join("log");
    let _ = fs::create_dir(&folder);
    LogOptions {
        folder,
        name: "test",
        state_id: "state-1".to_owned(),
        epoch: "boot-1".to_owned(),
        segment_bytes,
        preallocate: false,
        min_next_seq: 1,
        lock_wait: Duration::from_secs(20),
        quarantine: Quarantine::new(Disk::real(), root.join("quarantine")),
        stamp: Arc::new(|| "2026-03-01T09:30:00.000Z".to_owned()),
    }
}

fn open(root: &Path, segment_bytes: u64) -> Log {
    Log::open(&Disk::real(), options(root, segment_bytes)).unwrap()
}

fn all(root: &Path) -> (Vec<(u64, String)>, ReadSummary) {
    let mut found = Vec::new();
    let folder = root.join("log");
    let request =
        ReadRequest { folder: &folder, state_id: Some("state-1"), from: Position::default(), until: None };
    let summary =
        read(request, |seq, payload| found.push((seq, String::from_utf8(payload.to_vec()).unwrap())))
            .unwrap();
    (found, summary)
}

fn numbers(records: &[(u64, String)]) -> Vec<u64> {
    records.iter().map(|r| r.0).collect()
}

fn texts(records: &[(u64, String)]) -> Vec<&str> {
    records.iter().map(|r| r.1.as_str()).collect()
}

fn segments(root: &Path) -> Vec<SegmentFile> {
    SegmentFile::list(&root.join("log")).unwrap()
}

fn last_segment(root: &Path) -> PathBuf {
    segments(root).pop().unwrap().path
}

/// As after a reboot: nothing is known but the files.
fn forget_page(root: &Path) {
    fs::remove_file(root.join("log/commit.page")).unwrap();
}

fn quarantined(root: &Path) -> Vec<(Option<u64>, u64)> {
    let notes = Quarantine::new(Disk::real(), root.join("quarantine")).notes();
    notes.into_iter().map(|n| (n.offset, n.bytes)).collect()
}

#[test]
fn segments_follow_one_another_and_keep_total_order() {
    for preallocate in [false, true] {
        let root = scratch();
        let make = || LogOptions { preallocate, ..options(root.path(), 400) };
        let mut expected = Vec::new();
        for round in 0..4 {
            let log = Log::open(&Disk::real(), make()).unwrap();
            for size in [10, 700, 30, 399, 400, 401, 0] {
                let batch: Vec<String> =
                    (0..6).map(|i| format!("{round}-{i}-{}", "x".repeat(size))).collect();
                assert_eq!(log.append(&batch).unwrap(), expected.len() as u64 + 1);
                expected.extend(batch);
            }
            assert_eq!(log.append::<&str>(&[]).unwrap(), expected.len() as u64 + 1);
        }
        let (records, summary) = all(root.path());
        assert_eq!(texts(&records), expected);
        assert_eq!(numbers(&records), (1..=expected.len() as u64).collect::<Vec<_>>());
        assert!(summary.damage.is_empty() && summary.missing.is_empty(), "{summary:?}");
        let files = segments(root.path());
        assert!(files.len() > 60, "{}", files.len());
        // What is left is as long as its records, whatever was reserved.
        for file in &files[..files.len() - 1] {
            let bytes = fs::read(&file.path).unwrap();
            assert_eq!(bytes.last(), Some(&b'\n'), "{}", file.path.display());
        }
    }
}

#[test]
fn a_reader_goes_on_where_it_stopped_and_stops_where_it_is_told() {
    let root = scratch();
    let log = open(root.path(), 300);
    let mut at = Position::default();
    for n in 0..30u64 {
        log.append(&[format!("a{n}"), format!("b{n}")]).unwrap();
        let until = log.end();
        log.append(&["behind the end that was asked for"]).unwrap();
        let mut seen = Vec::new();
        let folder = root.path().join("log");
        let request = ReadRequest { folder: &folder, state_id: None, from: at, until: Some(until) };
        let summary = read(request, |seq, _| seen.push(seq)).unwrap();
        let first = if n == 0 { 1 } else { 3 * n };
        assert_eq!(seen, (first..=3 * n + 2).collect::<Vec<_>>());
        at = summary.position;
        assert_eq!(at.last_seq, until.last_seq);
    }
}

#[test]
fn segments_before_a_number_are_removed_and_no_more() {
    let root = scratch();
    let log = open(root.path(), 300);
    for n in 0..40 {
        log.append(&[format!("record {n} {}", "x".repeat(50))]).unwrap();
    }
    let count = segments(root.path()).len();
    let removed = log.remove_until(20).unwrap();
    assert!(removed > 0);
    assert_eq!(segments(root.path()).len(), count - removed);
    let first = segments(root.path())[0].first_seq;
    assert!((15..=21).contains(&first), "{first}");
    let (records, summary) = all(root.path());
    assert_eq!(numbers(&records), (first..=40).collect::<Vec<_>>());
    assert_eq!(summary.missing, [(1, first - 1)]);
    assert!(log.remove_until(1000).unwrap() > 0);
    assert_eq!(segments(root.path()).len(), 1, "the present one stays");
    assert_eq!(log.append(&["next"]).unwrap(), 41);
}

#[test]
fn every_cut_keeps_the_records_before_it_and_the_torn_bytes() {
    let root = scratch();
    let log = open(root.path(), 1 << 20);
    let payloads: Vec<String> = (0..4).map(|n| format!("record {n}")).collect();
    log.append(&payloads).unwrap();
    let whole = fs::read(last_segment(root.path())).unwrap();
    let name = last_segment(root.path()).file_name().unwrap().to_owned();
    let ends: Vec<usize> = Scan::new(&whole, 0)
        .map(|i| if let Item::Record { offset, frame } = i { offset as usize + frame.len } else { 0 })
        .collect();
    let header = ends[0];
    for cut in 0..=whole.len() {
        let root = scratch();
        let make = || options(root.path(), 1 << 20);
        drop(make());
        fs::write(root.path().join("log").join(&name), &whole[..cut]).unwrap();
        let first = Log::open(&Disk::real(), make()).unwrap().append(&["after"]).unwrap();
        let (records, summary) = all(root.path());
        let kept = ends.iter().filter(|&&e| e <= cut).count().saturating_sub(1);
        let mut expected: Vec<&str> = payloads[..kept].iter().map(String::as_str).collect();
        expected.push("after");
        assert_eq!(texts(&records), expected, "cut at {cut}");
        assert_eq!(records.last().unwrap().0, first);
        if cut >= header {
            assert!(summary.damage.is_empty() && summary.missing.is_empty(), "cut at {cut}: {summary:?}");
            let boundary = ends.iter().copied().filter(|&e| e <= cut).max().unwrap();
            let torn = (cut > boundary).then(|| (Some(boundary as u64), (cut - boundary) as u64));
            assert_eq!(quarantined(root.path()), torn.into_iter().collect::<Vec<_>>(), "cut at {cut}");
        }
    }
}

#[test]
fn a_cut_behind_our_back_never_gives_a_number_twice() {
    for keep_page in [true, false] {
        let root = scratch();
        open(root.path(), 1 << 20).append(&["one", "two", "three"]).unwrap();
        let path = last_segment(root.path());
        let bytes = fs::read(&path).unwrap();
        fs::write(&path, &bytes[..bytes.len() - 41]).unwrap();
        if !keep_page {
            forget_page(root.path());
        }
        let next = open(root.path(), 1 << 20).append(&["after"]).unwrap();
        let (records, summary) = all(root.path());
        assert_eq!(texts(&records), ["one", "two", "after"]);
        if keep_page {
            assert_eq!((next, summary.missing), (4, vec![(3, 3)]));
        } else {
            assert_eq!((next, summary.missing.len()), (3, 0));
        }
    }
}

#[test]
fn every_flipped_byte_costs_one_record_at_most_and_no_number() {
    let root = scratch();
    let payloads = ["one", "two two", "three", "four"];
    open(root.path(), 1 << 20).append(&payloads).unwrap();
    let path = last_segment(root.path());
    let whole = fs::read(&path).unwrap();
    let header = whole.iter().position(|&b| b == b'\n').unwrap() + 1;
    for at in 0..whole.len() {
        for wrong in [whole[at] ^ 1, whole[at] ^ 0x80, b'\n', 0] {
            if wrong == whole[at] {
                continue;
            }
            let root = scratch();
            let make = || options(root.path(), 1 << 20);
            drop(make());
            let mut bytes = whole.clone();
            bytes[at] = wrong;
            fs::write(root.path().join("log").join(path.file_name().unwrap()), &bytes).unwrap();
            let (before, summary) = all(root.path());
            let lost = usize::from(at >= header);
            assert_eq!(before.len(), 4 - lost, "byte {at} made {wrong}");
            assert!(!summary.damage.is_empty());
            let log = Log::open(&Disk::real(), make()).unwrap();
            let next = log.append(&["after"]).unwrap();
            // The last record's last byte gone is what a killed writer leaves; all else was whole once.
            let torn = at + 1 == whole.len() && wrong != b'\n';
            // A line feed in the last record makes two lines of it: one number too many is passed over.
            let passed = u64::from(wrong == b'\n' && before.last().unwrap().0 == 3);
            assert_eq!(next, if torn { 4 } else { 5 + passed }, "byte {at} made {wrong}");
            let (after, summary) = all(root.path());
            assert_eq!(after[..before.len()], before[..], "byte {at} made {wrong}");
            assert_eq!(after.last().unwrap(), &(next, "after".to_owned()));
            assert_eq!(
                summary.missing.len(),
                lost - usize::from(torn),
                "byte {at} made {wrong}: {summary:?}"
            );
        }
    }
}

#[test]
fn a_zeroed_block_costs_its_records_only() {
    let root = scratch();
    let log = open(root.path(), 1 << 20);
    for n in 0..40 {
        log.append(&[format!("{n:04}{}", "x".repeat(460))]).unwrap();
    }
    let path = last_segment(root.path());
    let mut bytes = fs::read(&path).unwrap();
    bytes[4096..8192].fill(0);
    fs::write(&path, &bytes).unwrap();
    let (records, summary) = all(root.path());
    assert_eq!((records.len(), summary.missing.len()), (30, 1), "{summary:?}");
    assert_eq!(summary.damaged_records(), 1);
    let (first, last) = summary.missing[0];
    assert_eq!(last - first + 1, 10);
}

#[test]
fn a_missing_segment_is_a_gap() {
    let root = scratch();
    let log = open(root.path(), 300);
    for n in 0..20 {
        log.append(&[format!("record {n} {}", "x".repeat(60))]).unwrap();
    }
    let files = segments(root.path());
    let (gone, next) = (&files[3], &files[4]);
    fs::remove_file(&gone.path).unwrap();
    let (records, summary) = all(root.path());
    assert_eq!(summary.missing, [(gone.first_seq, next.first_seq - 1)]);
    assert_eq!(records.len() as u64, 20 - (next.first_seq - gone.first_seq));
}

#[test]
fn a_lost_beginning_is_seen_though_nothing_follows() {
    let root = scratch();
    let log = open(root.path(), 1 << 20);
    log.append(&["one", "two"]).unwrap();
    log.rotate().unwrap();
    assert_eq!(log.remove_until(2).unwrap(), 1);
    let (records, summary) = all(root.path());
    assert!(records.is_empty());
    assert_eq!(summary.missing, [(1, 2)]);
    assert_eq!(summary.position.last_seq, 2);
}

#[test]
fn a_foreign_segment_is_not_read_and_not_touched() {
    for text in [b"torn".as_slice(), b""] {
        let other = scratch();
        let stranger = LogOptions { state_id: "state-2".to_owned(), ..options(other.path(), 1 << 20) };
        Log::open(&Disk::real(), LogOptions { min_next_seq: 3, ..stranger }).unwrap();
        let mut foreign = fs::read(last_segment(other.path())).unwrap();
        foreign.extend_from_slice(text);

        let root = scratch();
        open(root.path(), 1 << 20).append(&["one", "two"]).unwrap();
        let planted = SegmentFile::named(&root.path().join("log"), 3).path;
        fs::write(&planted, &foreign).unwrap();
        forget_page(root.path());
        let next = open(root.path(), 1 << 20).append(&["three"]).unwrap();
        let (records, summary) = all(root.path());
        assert_eq!(texts(&records), ["one", "two", "three"]);
        assert_eq!(records[2].0, next);
        assert_eq!(fs::read(&planted).unwrap(), foreign);
        assert!(summary.damage.iter().any(|d| d.kind == DamageKind::Foreign && d.path == planted));
    }
}

/// Returns what a run on a failing disk did; it goes on after each error, as a careful program would.
fn run(root: &Path, disk: &Disk, acknowledged: &mut Vec<String>, tried: &mut Vec<String>) {
    let mut log = None;
    let batches: [&[&str]; 7] = [
        &["a"],
        &["b", "c"],
        &["d with some length so that it fills the segment ........................................"],
        &["e", "f", "g", "h with some length .............................", "i", "j"],
        &["k"],
        &["l", "m"],
        &["n"],
    ];
    for (n, batch) in batches.into_iter().enumerate() {
        if log.is_none() {
            log = Log::open(disk, options(root, 300)).ok();
        }
        let Some(open) = &log else { continue };
        if n == 4 {
            let _ = open.rotate();
            let _ = open.remove_until(0);
        }
        tried.extend(batch.iter().map(ToString::to_string));
        match open.append(batch) {
            Ok(_) => acknowledged.extend(batch.iter().map(ToString::to_string)),
            Err(LogError::Poisoned { .. }) => {
                if open.verify().is_err() {
                    log = None;
                }
            }
            Err(_) if n % 2 == 0 => log = None,
            Err(_) => {}
        }
    }
}

#[test]
fn whatever_effect_fails_what_was_acknowledged_is_there_after_reopening() {
    for (errno, once) in [(EIO, true), (ENOSPC, true), (EIO, false), (ENOSPC, false)] {
        for n in 0.. {
            let root = scratch();
            let refuse = if once { Refuse::Only(n) } else { Refuse::From(n) };
            let (faults, disk) = Faults::new(errno, refuse);
            let (mut acknowledged, mut tried) = (Vec::new(), Vec::new());
            run(root.path(), &disk, &mut acknowledged, &mut tried);
            if faults.seen() <= n {
                assert_eq!(acknowledged.len(), 14, "a run without a fault acknowledges all");
                assert!(n > 25, "{n}");
                break;
            }
            let what = format!("{errno} {refuse:?}, then {:?}", faults.done().last());
            if n % 2 == 0 && root.path().join("log/commit.page").exists() {
                forget_page(root.path());
            }
            let log = Log::open(&Disk::real(), options(root.path(), 300)).unwrap();
            let next = log.append(&["last"]).unwrap();
            let (records, summary) = all(root.path());
            let (mut at, mut all_tried) = (tried.iter().peekable(), 0);
            for (_, text) in &records[..records.len() - 1] {
                // In the order in which they were tried, none twice, none invented.
                assert!(at.any(|t| t == text), "{what}: {text} in {records:?}");
                all_tried += 1;
            }
            assert_eq!(all_tried + 1, records.len());
            for text in &acknowledged {
                assert!(records.iter().any(|(_, t)| t == text), "{what}: {text} of {acknowledged:?}");
            }
            assert_eq!(records.last().unwrap(), &(next, "last".to_owned()), "{what}");
            assert!(summary.missing.is_empty(), "{what}: {summary:?}");
            assert!(summary.damage.is_empty(), "{what}: {summary:?}");
            let left = fs::read_dir(root.path().join("log")).unwrap().flatten();
            let temporary = left.filter(|e| e.file_name().to_string_lossy().starts_with(".tmp-")).count();
            assert_eq!(temporary, 0, "{what}");
        }
    }
}

#[test]
fn after_a_failed_sync_nobody_acknowledges_until_it_is_verified() {
    for (fresh_segment, half_way) in [(false, false), (false, true), (true, false), (true, true)] {
        let root = scratch();
        let (faults, disk) = Faults::new(EIO, Refuse::Nothing);
        let failing = Log::open(&disk, options(root.path(), 1 << 20)).unwrap();
        let other = open(root.path(), 1 << 20);
        let third = open(root.path(), 1 << 20);
        failing.append(&["one"]).unwrap();
        other.append(&["two"]).unwrap();
        third.append(&["three"]).unwrap();
        let mut expected = vec!["one", "two", "three"];
        if fresh_segment {
            // The suspect part then begins its segment, and is written anew under the same name, while the
            // third has the old file of that name open.
            failing.rotate().unwrap();
            third.locked::<_, LogError>(|l| l.append(&["not synced"])).unwrap();
            expected.push("not synced");
        }
        faults.set(Refuse::Syncs(1));
        assert!(matches!(failing.append(&["suspect"]), Err(LogError::Disk(_))));
        for log in [&failing, &other, &third] {
            assert!(matches!(log.append(&["refused"]), Err(LogError::Poisoned { .. })));
            assert!(matches!(log.commit(1), Err(LogError::Poisoned { .. })));
        }
        // Verifying fails half way first; what is suspect is still known then.
        if half_way {
            faults.set(Refuse::Syncs(1));
            failing.verify().unwrap_err();
        }
        let before = faults.done().len();
        failing.verify().unwrap();
        let since = &faults.done()[before..];
        assert!(since.iter().any(|e| e.starts_with("Rename")), "the suspect was written anew: {since:?}");
        other.append(&["four"]).unwrap();
        third.append(&["five"]).unwrap();
        failing.append(&["six"]).unwrap();
        drop((failing, other, third));
        forget_page(root.path());
        drop(open(root.path(), 1 << 20));
        let (records, summary) = all(root.path());
        expected.extend(["suspect", "four", "five", "six"]);
        assert_eq!(texts(&records), expected, "fresh segment: {fresh_segment}");
        assert!(summary.damage.is_empty() && summary.missing.is_empty(), "{summary:?}");
    }
}

#[test]
fn opening_again_verifies_after_a_failed_sync() {
    let root = scratch();
    let (faults, disk) = Faults::new(EIO, Refuse::Nothing);
    let failing = Log::open(&disk, options(root.path(), 1 << 20)).unwrap();
    failing.append(&["one"]).unwrap();
    faults.set(Refuse::Syncs(1));
    failing.append(&["suspect"]).unwrap_err();
    let again = open(root.path(), 1 << 20);
    assert_eq!(again.append(&["three"]).unwrap(), 3);
    assert_eq!(segments(root.path()).len(), 2, "the suspect was written anew");
    assert!(
        matches!(failing.append(&["four"]), Err(LogError::Poisoned { .. })),
        "its own handle stays closed"
    );
    assert_eq!(texts(&all(root.path()).0), ["one", "suspect", "three"]);
}

/// With a damaged end, or a snapshot that knows later numbers, a new segment was begun and the suspects were
/// left where a failed sync may have dropped them: shown, acknowledged as synced, and gone at a power loss.
#[test]
fn suspects_are_written_anew_whatever_else_is_wrong() {
    for damaged_end in [true, false] {
        let root = scratch();
        let (faults, disk) = Faults::new(EIO, Refuse::Nothing);
        let failing = Log::open(&disk, options(root.path(), 1 << 20)).unwrap();
        failing.append(&["one"]).unwrap();
        faults.set(Refuse::Syncs(1));
        failing.append(&["suspect"]).unwrap_err();
        let old = segments(root.path())[0].path.clone();
        let mut options = options(root.path(), 1 << 20);
        if damaged_end {
            let file = fs::File::options().write(true).open(&old).unwrap();
            file.write_all_at(b"a line that was a record once\n", failing.end().offset).unwrap();
        } else {
            options.min_next_seq = 10;
        }
        let again = Log::open(&Disk::real(), options).unwrap();
        let next = again.append(&["next"]).unwrap();
        assert!(next >= if damaged_end { 3 } else { 10 });
        let text = |path: &Path| String::from_utf8_lossy(&fs::read(path).unwrap()).into_owned();
        let anew = segments(root.path()).into_iter().map(|s| s.path).filter(|path| *path != old);
        let copies = anew.filter(|path| text(path).contains("suspect")).count();
        assert_eq!(copies, 1, "damaged end: {damaged_end}");
        assert_eq!(texts(&all(root.path()).0), ["one", "suspect", "next"]);
    }
}

#[test]
fn a_record_that_is_not_there_cannot_be_committed() {
    let root = scratch();
    let log = open(root.path(), 1 << 20);
    log.append(&["one"]).unwrap();
    let gone = within(10, move || log.commit(2));
    assert!(matches!(gone, Err(LogError::Gone { seq: 2, .. })), "{gone:?}");
}

#[test]
fn a_leader_that_does_not_move_stops_nobody() {
    let root = scratch();
    let log = Arc::new(open(root.path(), 1 << 20));
    log.append(&["one"]).unwrap();
    let stopped = fs::File::open(root.path().join("log/sync.lock")).unwrap();
    stopped.lock().unwrap();
    let writers: Vec<_> = (0..4)
        .map(|n| {
            let log = log.clone();
            std::thread::spawn(move || log.append(&[format!("{n}")]).unwrap())
        })
        .collect();
    let mut given = within(20, move || writers.into_iter().map(|w| w.join().unwrap()).collect::<Vec<_>>());
    given.sort_unstable();
    assert_eq!(given, [2, 3, 4, 5]);
    drop(stopped);
}

#[test]
fn a_payload_that_no_record_can_hold_is_refused() {
    let root = scratch();
    let log = open(root.path(), 1 << 20);
    let long = vec![b'x'; 100_000_000];
    assert!(matches!(log.append(&[b"a".as_slice(), &long]), Err(LogError::TooLong { bytes: 100_000_000 })));
    assert_eq!(log.append(&["one"]).unwrap(), 1);
}

/// Not a test of its own: the writer that `killed_writers_lose_nothing_acknowledged` starts and kills.
#[test]
fn a_writer_process() {
    let Ok(root) = std::env::var("RECOVERY_TEST_WRITER") else { return };
    let name = std::env::var("RECOVERY_TEST_NAME").unwrap();
    let log = open(Path::new(&root), 4096);
    for n in 0u64.. {
        let batch: Vec<String> = (0..=n % 4).map(|i| format!("{name}-{n}-{i}-{}", "x".repeat(200))).collect();
        log.append(&batch).unwrap();
        println!("acknowledged {name}-{n}-");
    }
}

#[test]
fn killed_writers_lose_nothing_acknowledged() {
    let root = scratch();
    let mut acknowledged = Vec::new();
    for round in 0..4 {
        let mut writers: Vec<_> = (0..3)
            .map(|n| {
                Command::new(std::env::current_exe().unwrap())
                    .args(["--exact", "log::a_writer_process", "--nocapture", "--test-threads=1"])
                    .env("RECOVERY_TEST_WRITER", root.path())
                    .env("RECOVERY_TEST_NAME", format!("{round}.{n}"))
                    .stdout(Stdio::piped())
                    .spawn()
                    .unwrap()
            })
            .collect();
        for (n, writer) in writers.iter_mut().enumerate() {
            let mut lines = BufReader::new(writer.stdout.take().unwrap()).lines();
            let mut heard = 0;
            while heard < 15 + 7 * n {
                let line = lines.next().expect("the writer went away").unwrap();
                if let Some(at) = line.find("acknowledged ") {
                    acknowledged.push(line[at + 13..].to_owned());
                    heard += 1;
                }
            }
            writer.kill().unwrap();
            writer.wait().unwrap();
            let rest = lines.map_while(Result::ok).filter_map(|l| {
                l.ends_with('-').then(|| l.split_once("acknowledged ").map(|p| p.1.to_owned()))?
            });
            acknowledged.extend(rest);
        }
    }
    drop(open(root.path(), 4096));
    let (records, summary) = all(root.path());
    assert_eq!(numbers(&records), (1..=records.len() as u64).collect::<Vec<_>>());
    assert!(summary.damage.is_empty(), "{summary:?}");
    let known: std::collections::HashSet<String> = records
        .iter()
        .map(|(_, t)| t.rsplitn(3, '-').last().map(|start| format!("{start}-")).unwrap())
        .collect();
    assert!(acknowledged.len() >= 4 * 3 * 15);
    for name in &acknowledged {
        assert!(known.contains(name), "{name} was acknowledged");
    }
}
