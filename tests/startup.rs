//! Startups that are cut short by a real SIGKILL, and what they leave.
#![allow(clippy::disallowed_methods, clippy::print_stdout)] // Child processes tell by printing.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::common;
use crate::common::{ENOSPC, Faults, Refuse};
use recovery::durable::{Disk, FileLock};
use recovery::queue::JobId;
use recovery::startup::{
    Detection, STARTUPS_KEPT, StartOptions, StartedBy, Startup, StartupError, StartupOutcome, clean_up,
    cleanup_log, clear, consecutive_aborts, detect, history, remove_half_made, safe_mode,
};
use recovery::state::{Clock, StateDir, Timestamp};

fn open(root: &Path) -> StateDir {
    StateDir::open_or_create(root, Disk::real(), Clock::system()).unwrap()
}

fn begin(dir: &StateDir) -> (Startup, Detection) {
    Startup::begin(dir, StartedBy::Recover).unwrap()
}

/// Another process that begins a startup, does phase `queue`, and is in `locks` and `jobs`.
fn start_and_stay(dir: &StateDir) -> (Child, String) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "startup::role", "--ignored", "--nocapture"])
        .env("STARTUP_TEST_STATE", dir.paths.root())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let id = lines.map(Result::unwrap).find_map(|l| l.strip_prefix("in ").map(str::to_owned)).unwrap();
    (child, id)
}

#[test]
#[ignore = "what the other tests' child processes run"]
fn role() {
    let dir = open(Path::new(&std::env::var("STARTUP_TEST_STATE").unwrap()));
    let (startup, _) = Startup::begin(&dir, StartedBy::Daemon).unwrap();
    startup.enter("queue").unwrap();
    startup.done("queue");
    startup.enter("locks").unwrap();
    startup.enter("jobs").unwrap();
    println!("\nin {}", startup.id());
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
}

#[test]
fn a_killed_startup_is_in_the_history_once_with_the_phase_it_died_in() {
    let folder = tempfile::tempdir().unwrap();
    let dir = open(&folder.path().join("state"));
    let (mut child, id) = start_and_stay(&dir);
    match detect(&dir).unwrap() {
        Detection::Running { current: Some(current) } => assert_eq!(current.startup_id, id),
        other => panic!("{other:?}"),
    }
    assert!(matches!(Startup::begin(&dir, StartedBy::Work), Err(StartupError::Running(_))));
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(detect(&dir).unwrap().is_aborted());
    assert!(history(&dir).unwrap().is_empty(), "a look changes nothing");

    let marker = std::fs::read(dir.paths.startup_marker()).unwrap();
    let (startup, detection) = begin(&dir);
    let Detection::Aborted { previous, damage: None } = detection else { panic!("{detection:?}") };
    assert_eq!((previous.startup_id.as_str(), previous.phase.as_deref()), (id.as_str(), Some("jobs")));
    assert_eq!(
        (previous.phases_done, previous.phases_entered),
        (vec!["queue".to_owned()], vec!["locks".to_owned(), "jobs".to_owned()])
    );
    // As if this one had died between its entry in the history and its own marker.
    drop(startup);
    std::fs::write(dir.paths.startup_marker(), marker).unwrap();
    let (startup, detection) = begin(&dir);
    assert!(detection.is_aborted());
    let entries = history(&dir).unwrap();
    assert_eq!(entries.iter().filter(|e| e.startup_id == id).count(), 1);
    assert_eq!(consecutive_aborts(&entries), entries.len());

    let own = startup.id().to_owned();
    let entry = startup.finish(StartupOutcome::Degraded, 3).unwrap();
    assert_eq!((entry.findings_total, entry.outcome), (3, StartupOutcome::Degraded));
    assert!(!dir.paths.startup_marker().exists());
    assert_eq!(detect(&dir).unwrap(), Detection::Clean);
    let entries = history(&dir).unwrap();
    assert_eq!(entries.last().unwrap().startup_id, own);
    assert_eq!(consecutive_aborts(&entries), 0);
}

#[test]
fn a_finished_startup_whose_marker_was_left_is_not_aborted() {
    let folder = tempfile::tempdir().unwrap();
    let dir = open(&folder.path().join("state"));
    let (startup, detection) = begin(&dir);
    assert_eq!(detection, Detection::Clean);
    let marker = std::fs::read(dir.paths.startup_marker()).unwrap();
    startup.finish(StartupOutcome::Completed, 0).unwrap();
    std::fs::write(dir.paths.startup_marker(), marker).unwrap();
    assert_eq!(detect(&dir).unwrap(), Detection::Clean);
    let (startup, detection) = begin(&dir);
    assert_eq!(detection, Detection::Clean);
    startup.finish(StartupOutcome::Completed, 0).unwrap();
    assert_eq!(history(&dir).unwrap().len(), 2);
}

#[test]
fn a_damaged_marker_is_an_aborted_startup_and_kept_in_quarantine() {
    let folder = tempfile::tempdir().unwrap();
    let dir = open(&folder.path().join("state"));
    for (round, content) in [&b""[..], b"{\"version\":1,", b""].iter().enumerate() {
        std::fs::write(dir.paths.startup_marker(), content).unwrap();
        let (startup, detection) = begin(&dir);
        assert!(matches!(detection, Detection::Aborted { damage: Some(_), .. }), "{detection:?}");
        startup.finish(StartupOutcome::Completed, 0).unwrap();
        assert_eq!(history(&dir).unwrap().len(), 2 * (round + 1));
    }
    assert_eq!(dir.quarantine().notes().len(), 2, "two different contents");
}

#[test]
fn a_marker_from_the_future_is_as_good_as_any_other() {
    let folder = tempfile::tempdir().unwrap();
    let mut dir = open(&folder.path().join("state"));
    let now = dir.clock.now();
    dir.clock = Clock::fixed(now.plus_millis(86_400_000 * 365));
    let (startup, _) = begin(&dir);
    startup.enter("queue").unwrap();
    drop(startup);
    dir.clock = Clock::fixed(Timestamp::from_millis(0));
    let (startup, detection) = begin(&dir);
    assert!(detection.is_aborted());
    dir.clock.set(Timestamp::from_millis(-5_000));
    assert_eq!(startup.finish(StartupOutcome::Completed, 0).unwrap().duration_ms, Some(0));
}

/// Returns the only segment of the startup log.
fn segment(dir: &StateDir) -> std::path::PathBuf {
    let paths = std::fs::read_dir(dir.paths.startup_log()).unwrap().map(|e| e.unwrap().path());
    paths.filter(|p| p.extension().is_some_and(|e| e == "log")).max().unwrap()
}

#[test]
fn the_last_startups_are_kept_and_segments_of_older_ones_go() {
    let folder = common::scratch();
    let dir = open(&folder.path().join("state"));
    let mut ids = Vec::new();
    let all = STARTUPS_KEPT + 150;
    for _ in 0..all {
        let (startup, _) = begin(&dir);
        startup.log(&[startup.act("remove_temporary_file", "x".repeat(500), "done", "")]).unwrap();
        ids.push(startup.id().to_owned());
        startup.finish(StartupOutcome::Completed, 0).unwrap();
    }
    let kept: Vec<String> = history(&dir).unwrap().into_iter().map(|e| e.startup_id).collect();
    assert!(kept.len() >= STARTUPS_KEPT && kept.len() < all, "{}", kept.len());
    assert_eq!(kept, ids[all - kept.len()..]);
    assert!(
        cleanup_log(&dir)
            .unwrap()
            .iter()
            .rev()
            .map(|a| &a.startup_id)
            .take(100)
            .eq(ids.iter().rev().take(100))
    );
    let (startup, _) = begin(&dir);
    let act = |n: usize| startup.act("remove_temporary_file", format!("file {n}"), "done", "");
    startup.log(&(0..2_000).map(act).collect::<Vec<_>>()).unwrap();
    let acts = cleanup_log(&dir).unwrap();
    assert!(acts.last().unwrap().detail.starts_with("1000 more acts"), "more than a thousand are a number");
}

#[test]
fn a_damaged_record_costs_itself_and_is_kept_in_quarantine() {
    let folder = tempfile::tempdir().unwrap();
    let dir = open(&folder.path().join("state"));
    let ids: Vec<String> =
        (0..3).map(|_| begin(&dir).0.finish(StartupOutcome::Completed, 0).unwrap().startup_id).collect();
    let path = segment(&dir);
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replace(&ids[1], &"0".repeat(36))).unwrap();
    let kept: Vec<String> = history(&dir).unwrap().into_iter().map(|e| e.startup_id).collect();
    assert_eq!(kept, [ids[0].clone(), ids[2].clone()]);
    let (startup, met) = Startup::begin_in(&dir, StartedBy::Recover, StartOptions::default()).unwrap();
    assert_eq!(met.damage.len(), 1);
    startup.finish(StartupOutcome::Completed, 0).unwrap();
    assert_eq!(dir.quarantine().notes().len(), 1);
    assert_eq!(history(&dir).unwrap().len(), 3);
    assert!(cleanup_log(&dir).unwrap().iter().any(|a| a.action == "drop_damaged_record"));
    let (_, met) = Startup::begin_in(&dir, StartedBy::Recover, StartOptions::default()).unwrap();
    assert!(met.damage.is_empty());
}

#[test]
fn a_half_written_end_of_the_startup_log_is_cut() {
    use std::io::Write;
    let folder = tempfile::tempdir().unwrap();
    let dir = open(&folder.path().join("state"));
    begin(&dir).0.finish(StartupOutcome::Completed, 0).unwrap();
    let mut file = std::fs::OpenOptions::new().append(true).open(segment(&dir)).unwrap();
    file.write_all(b"0badc0de 0000").unwrap();
    // As after a reboot: what processes shared is not believed any more.
    std::fs::remove_file(dir.paths.startup_log().join("commit.page")).unwrap();
    let (startup, _) = begin(&dir);
    let acts = cleanup_log(&dir).unwrap();
    assert!(acts.iter().any(|a| a.action == "cut_torn_tail" && a.object == "startup/log"), "{acts:?}");
    startup.finish(StartupOutcome::Completed, 0).unwrap();
    assert_eq!(history(&dir).unwrap().len(), 2);
}

/// An aborted startup that began at this moment.
fn abort_at(dir: &StateDir, at: Timestamp, phase: &str) {
    let mut dir = dir.clone();
    dir.clock = Clock::fixed(at);
    let (startup, _) = Startup::begin(&dir, StartedBy::Daemon).unwrap();
    startup.enter(phase).unwrap();
}

#[test]
fn three_aborts_within_ten_minutes_are_a_crash_loop_until_it_is_cleared() {
    let folder = tempfile::tempdir().unwrap();
    let dir = open(&folder.path().join("state"));
    let now = dir.clock.now();
    let before = |minutes: i64| now.plus_millis(-minutes * 60_000);
    for minutes in [40, 30, 11, 9] {
        abort_at(&dir, before(minutes), "queue");
    }
    assert_eq!(safe_mode(&dir).unwrap(), None, "only two within ten minutes");
    abort_at(&dir, before(1), "jobs");
    assert_eq!(safe_mode(&dir).unwrap(), None, "eleven minutes ago is too long ago");
    abort_at(&dir, now, "locks");
    let safe = safe_mode(&dir).unwrap().unwrap();
    assert_eq!((safe.phase(), safe.because.len(), safe.since), (Some("locks"), 6, None));

    // A daemon comes up, and again: it stays so, also long after.
    for _ in 0..2 {
        let (startup, met) = Startup::begin_in(&dir, StartedBy::Daemon, StartOptions::default()).unwrap();
        startup.enter_safe_mode(&met.safe_mode.unwrap()).unwrap();
        startup.finish_in_safe_mode().unwrap();
    }
    let mut later = dir.clone();
    later.clock = Clock::fixed(now.plus_millis(86_400_000));
    let safe = safe_mode(&later).unwrap().unwrap();
    assert!(safe.since.is_some());
    assert_eq!(consecutive_aborts(&history(&dir).unwrap()), 6);
    // One that gives up by itself proves nothing.
    begin(&dir).0.finish(StartupOutcome::Failed, 1).unwrap();
    assert!(safe_mode(&dir).unwrap().is_some());
    clear(&dir, "uid:0 root", Some("more memory")).unwrap();
    assert_eq!(safe_mode(&dir).unwrap(), None);
    abort_at(&dir, now, "queue");
    assert_eq!(safe_mode(&dir).unwrap(), None, "what was cleared counts no more");
}

#[test]
fn a_startup_that_ends_ends_the_loop_and_times_that_cannot_be_count() {
    let folder = tempfile::tempdir().unwrap();
    let dir = open(&folder.path().join("state"));
    let now = dir.clock.now();
    abort_at(&dir, now, "queue");
    abort_at(&dir, now, "queue");
    begin(&dir).0.finish(StartupOutcome::Degraded, 0).unwrap();
    abort_at(&dir, now, "queue");
    assert_eq!(safe_mode(&dir).unwrap(), None);
    // One from the future, one damaged: too much caution costs a command.
    abort_at(&dir, now.plus_millis(86_400_000 * 365), "queue");
    begin(&dir);
    std::fs::write(dir.paths.startup_marker(), b"{\"version\":1,").unwrap();
    assert!(safe_mode(&dir).unwrap().is_some());
}

#[test]
fn a_marker_of_a_later_version_names_its_phase_all_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let dir = open(&folder.path().join("state"));
    let (startup, _) = begin(&dir);
    startup.enter("locks").unwrap();
    let id = startup.id().to_owned();
    drop(startup);
    let text = std::fs::read_to_string(dir.paths.startup_marker()).unwrap();
    let later = text.replacen("\"version\":1", "\"version\":9,\"moon\":\"full\"", 1);
    std::fs::write(dir.paths.startup_marker(), later).unwrap();
    let (_, detection) = begin(&dir);
    let Detection::Aborted { previous, damage: Some(why) } = detection else { panic!("{detection:?}") };
    assert_eq!((previous.startup_id, previous.phase.as_deref()), (id, Some("locks")));
    assert!(why.contains("version 9"), "{why}");
    assert_eq!(dir.quarantine().notes().len(), 1);
}

#[test]
fn what_a_crash_left_half_done_is_cleaned_and_what_is_not_ours_stays() {
    let folder = tempfile::tempdir().unwrap();
    let dir = open(&folder.path().join("state"));
    let workspace = |id: &str| dir.paths.job(id).unwrap().workspace;
    let attempts = |id: &str| dir.paths.job(id).unwrap().attempts;
    for id in ["known", "unknown", "full"] {
        std::fs::create_dir(workspace(id)).unwrap();
        std::fs::create_dir(attempts(id)).unwrap();
    }
    // A process that had locked the job was killed.
    std::fs::write(dir.paths.job("unknown").unwrap().sentinel_lock(), "").unwrap();
    std::fs::create_dir(workspace("full").join("deep")).unwrap();
    let left = [
        dir.paths.root().join(".tmp-aaaaaa"),
        dir.paths.locks().join(".tmp-bbbbbb"),
        dir.paths.queue().join(".tmp-cccccc"),
        attempts("full").join(".tmp-dddddd"),
        attempts("unknown").join(".tmp-eeeeee"),
    ];
    let not_ours = [
        workspace("full").join("deep/.tmp-aaaaaa"),
        workspace("full").join(".tmp-gggggg"),
        workspace("full").join("output.log"),
    ];
    for path in left.iter().chain(&not_ours) {
        std::fs::write(path, b"12345").unwrap();
    }
    let outside = folder.path().join("outside");
    std::fs::write(&outside, b"x").unwrap();
    std::os::unix::fs::symlink(&outside, dir.paths.queue().join(".tmp-ffffff")).unwrap();

    let (startup, _) = begin(&dir);
    let mut last = (0, 0);
    let mut progress = |done, total| {
        last = (done, total);
        true
    };
    let found = clean_up(&startup, &mut progress).unwrap();
    assert_eq!((found.removed.len(), found.bytes_freed), (5, 25));
    assert!(found.failed.is_empty() && found.in_use.is_empty());
    assert_eq!(last.0, last.1);
    assert!(left.iter().all(|p| !p.exists()));
    assert!(not_ours.iter().all(|p| p.exists()) && outside.exists());

    let mut unknown = |ids: Vec<JobId>| ids.into_iter().filter(|id| id.to_string() != "known").collect();
    // Somebody imports: the workspaces may be those of jobs that are about to enter.
    let import = FileLock::try_acquire(&dir.disk, &dir.paths.import_lock()).unwrap();
    assert_eq!(remove_half_made(&startup, &mut unknown).unwrap(), 0);
    drop(import);
    assert_eq!(remove_half_made(&startup, &mut unknown).unwrap(), 3);
    assert!(!workspace("unknown").exists() && workspace("full").exists() && workspace("known").exists());
    assert!(!attempts("unknown").exists() && !attempts("full").exists() && attempts("known").exists());
    let log = cleanup_log(&dir).unwrap();
    assert_eq!(log.len(), 8);
    assert!(log.iter().all(|e| e.startup_id == startup.id()));
    let is_there = |object: &str, action: &str| {
        log.iter().any(|e| e.object == object && e.action == action && e.result == "done")
    };
    assert!(is_there("locks/.tmp-bbbbbb", "remove_temporary_file"));
    assert!(is_there("queue/.tmp-cccccc", "remove_half_written_snapshot"));
    assert!(is_there("jobs/unknown", "remove_half_made_workspace"));

    let again = clean_up(&startup, &mut |_, _| true).unwrap();
    assert!(again.removed.is_empty());
    startup.finish(StartupOutcome::Completed, 0).unwrap();
}

/// A full disk stopped every recovery at its marker, also the one whose cleaning would have freed space.
#[test]
fn a_full_disk_stops_no_startup_and_the_aborted_one_before_is_remembered() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("state");
    let dir = open(&root);
    let (before, _) = begin(&dir);
    let aborted = before.id().to_owned();
    drop(before); // Without its end: as if killed.
    let (faults, disk) = Faults::new(ENOSPC, Refuse::From(0));
    let full = StateDir::open(&root, disk, Clock::system()).unwrap();
    let (startup, detection) = begin(&full);
    assert!(detection.is_aborted());
    assert!(
        startup.unrecorded().is_some_and(|why| why.contains("No space left")),
        "{:?}",
        startup.unrecorded()
    );
    startup.enter("queue").unwrap();
    assert!(history(&dir).unwrap().is_empty());
    // Its marker is the only trace of it until there is room.
    faults.set(Refuse::Nothing);
    startup.enter("jobs").unwrap();
    assert_eq!(startup.unrecorded(), None);
    let (id, _) = (startup.id().to_owned(), startup.finish(StartupOutcome::Completed, 0).unwrap());
    let ids: Vec<String> = history(&dir).unwrap().into_iter().map(|e| e.startup_id).collect();
    assert_eq!(ids, [aborted, id]);
}
