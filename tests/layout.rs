//! Layouts of the state directory: a real one of layout 1 must always load, and its migration may die at any
//! effect.
#![allow(clippy::disallowed_methods)]

use std::path::{Path, PathBuf};

use crate::common;
use crate::common::{EIO, Faults, Refuse};
use recovery::durable::Disk;
use recovery::jobs::RecoverSettings;
use recovery::queue::{Actor, JobStatus, Queue};
use recovery::recovery::{Recovery, RecoveryOutcome, RunOptions, Settings};
use recovery::startup::{
    Detection, StartOptions, StartedBy, Startup, StartupError, StartupOutcome, cleanup_log, history,
    safe_mode,
};
use recovery::state::{Clock, LAYOUT_VERSION, StateDir, StateError};

/// A copy of the kept state directory of layout 1, private as the original was.
fn layout_1(folder: &Path) -> PathBuf {
    let root = folder.join("state");
    copy(&Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/layout-1"), &root);
    root
}

pub(crate) fn copy(from: &Path, to: &Path) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::create_dir(to).unwrap();
    std::fs::set_permissions(to, std::fs::Permissions::from_mode(0o700)).unwrap();
    for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::write(&target, std::fs::read(entry.path()).unwrap()).unwrap();
            std::fs::set_permissions(&target, std::fs::Permissions::from_mode(0o600)).unwrap();
        }
    }
}

fn open(root: &Path) -> StateDir {
    StateDir::open(root, Disk::real(), Clock::system()).unwrap()
}

fn recovered(dir: &StateDir) -> (recovery::recovery::RecoveryRecord, Queue) {
    let jobs = RecoverSettings::new(Actor::default());
    let webhooks = recovery::webhooks::Settings::default();
    let settings = Settings { by: StartedBy::Recover, jobs, write_records: true, webhooks };
    let (record, queue) = Recovery::new(dir, settings).unwrap().run(&RunOptions::default()).unwrap();
    (record, queue.unwrap())
}

const JOBS: [(&str, JobStatus); 6] = [
    ("render-1", JobStatus::Succeeded),
    ("render-2", JobStatus::Failed),
    ("long", JobStatus::Crashed),
    ("index-1", JobStatus::Queued),
    ("index-2", JobStatus::Queued),
    ("unwanted", JobStatus::Cancelled),
];

fn assert_jobs(queue: &Queue) {
    for (id, status) in JOBS {
        assert_eq!(queue.state().get(&id.parse().unwrap()).unwrap().status, status, "{id}");
    }
}

/// Six in the history and the one whose marker is there still.
const STARTUPS: usize = 6;

#[test]
fn a_state_directory_of_layout_1_loads_and_is_brought_up_to_date() {
    let folder = tempfile::tempdir().unwrap();
    let root = layout_1(folder.path());
    let dir = open(&root);
    assert_eq!(dir.identity.layout, 1);
    // A mere look changes nothing.
    assert_jobs(&Queue::open(&dir).unwrap());
    let old = history(&dir).unwrap();
    assert_eq!((old.len(), cleanup_log(&dir).unwrap().len()), (STARTUPS, 1));
    assert_eq!(old[4].outcome, StartupOutcome::Aborted);
    assert_eq!(safe_mode(&dir).unwrap(), None);
    assert!(dir.paths.startup_history_1().exists() && open(&root).identity.layout == 1);

    let (record, queue) = recovered(&dir);
    assert_jobs(&queue);
    assert_eq!(record.snapshot.outcome, RecoveryOutcome::Completed);
    let codes: Vec<&str> = record.snapshot.all_findings().map(|f| &*f.code).collect();
    assert!(codes.contains(&"layout-migrated") && codes.contains(&"startup-aborted"), "{codes:?}");
    let dir = open(&root);
    assert_eq!(dir.identity.layout, LAYOUT_VERSION);
    assert!(!dir.paths.startup_history_1().exists() && !dir.paths.startup_cleanup_log_1().exists());
    let new = history(&dir).unwrap();
    assert_eq!(new[..STARTUPS], old);
    assert_eq!(new.len(), STARTUPS + 2, "the aborted one, and this one");
    assert_eq!((new[6].phase.as_deref(), new[6].outcome), (Some("queue"), StartupOutcome::Aborted));
    let acts = cleanup_log(&dir).unwrap();
    assert_eq!(acts[0].object, "jobs/.tmp-aB3dE9");
    assert_eq!(acts.iter().filter(|a| a.action == "migrate_layout").count(), 1);
    // Once is enough.
    recovered(&dir);
    assert_eq!(cleanup_log(&dir).unwrap().iter().filter(|a| a.action == "migrate_layout").count(), 1);
}

/// A migration may die at each effect in turn; the next startup continues it.
#[test]
fn a_migration_goes_on_wherever_it_died() {
    let mut died = 0;
    for effect in 0.. {
        let folder = common::scratch();
        let root = layout_1(folder.path());
        let (faults, disk) = Faults::new(EIO, Refuse::From(effect));
        let dir = StateDir::open(&root, disk, Clock::system()).unwrap();
        let begun = Startup::begin_in(&dir, StartedBy::Recover, StartOptions::default());
        drop(begun); // As killed there: nothing more reaches the disk.
        let is_through = faults.seen() <= effect;
        let looked = history(&open(&root)).unwrap();
        assert!(looked.len() >= STARTUPS, "effect {effect}: {} startups", looked.len());

        let dir = open(&root);
        let (startup, _) = Startup::begin(&dir, StartedBy::Recover).unwrap();
        startup.finish(StartupOutcome::Completed, 0).unwrap();
        let entries = history(&dir).unwrap();
        let mut ids: Vec<&str> = entries.iter().map(|e| e.startup_id.as_str()).collect();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), entries.len(), "effect {effect}: one is there twice");
        let of_layout_1 = entries.iter().filter(|e| e.startup_id.starts_with("01a205b2-"));
        assert_eq!(of_layout_1.count(), STARTUPS + 1, "effect {effect}");
        assert!(cleanup_log(&dir).unwrap().iter().filter(|a| a.object == "jobs/.tmp-aB3dE9").count() == 1);
        assert_eq!(open(&root).identity.layout, LAYOUT_VERSION, "effect {effect}");
        assert!(!dir.paths.startup_history_1().exists() && !dir.paths.startup_cleanup_log_1().exists());
        if is_through {
            break;
        }
        died += 1;
    }
    assert!(died > 15, "{died} effects");
}

/// An earlier version that opened the state directory before writes its own file once more.
#[test]
fn what_an_earlier_version_adds_late_is_taken_over_too() {
    let folder = tempfile::tempdir().unwrap();
    let root = layout_1(folder.path());
    let text = std::fs::read_to_string(root.join("startup/history.json")).unwrap();
    recovered(&open(&root));
    let late = text.replace("01a205b2-6f00", "01a205b2-ffff");
    std::fs::write(root.join("startup/history.json"), late).unwrap();
    let dir = open(&root);
    let before = history(&dir).unwrap();
    recovered(&dir);
    let after = history(&dir).unwrap();
    assert_eq!(after.len(), before.len() + 1);
    assert_eq!(after.iter().filter(|e| e.startup_id.starts_with("01a205b2-ffff")).count(), 1);
    assert!(!dir.paths.startup_history_1().exists());
}

#[test]
fn a_damaged_file_of_layout_1_goes_to_quarantine() {
    let folder = tempfile::tempdir().unwrap();
    let root = layout_1(folder.path());
    std::fs::write(root.join("startup/history.json"), "{\"version\":1,\"entries\":[{").unwrap();
    let (record, queue) = recovered(&open(&root));
    assert_jobs(&queue);
    assert!(record.snapshot.all_findings().any(|f| f.code == "startup-log-damaged"));
    let dir = open(&root);
    assert_eq!(dir.identity.layout, LAYOUT_VERSION);
    assert_eq!(dir.quarantine().notes().len(), 1);
    assert!(!dir.paths.startup_history_1().exists());
}

/// Every file with its content and time.
fn everything(folder: &Path, found: &mut Vec<(PathBuf, Vec<u8>, std::time::SystemTime)>) {
    for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let modified = entry.metadata().unwrap().modified().unwrap();
        if entry.file_type().unwrap().is_dir() {
            found.push((entry.path(), Vec::new(), modified));
            everything(&entry.path(), found);
        } else {
            found.push((entry.path(), std::fs::read(entry.path()).unwrap(), modified));
        }
    }
}

#[test]
fn a_later_layout_is_refused_and_nothing_is_touched() {
    let folder = tempfile::tempdir().unwrap();
    let root = layout_1(folder.path());
    for later in ["{\"layout\":4,\"state_id\":\"0\"}", "{\"layout\":99}"] {
        std::fs::write(root.join("state.json"), later).unwrap();
        let (mut before, mut after) = (Vec::new(), Vec::new());
        everything(&root, &mut before);
        let ways = [StateDir::open, StateDir::open_or_create, |root: &Path, disk, clock| {
            StateDir::open_for_repair(root, disk, clock).map(|(dir, _)| dir)
        }];
        for open in ways {
            let error = open(&root, Disk::real(), Clock::system()).unwrap_err();
            assert!(matches!(error, StateError::Newer { .. }), "{error}");
            assert!(error.to_string().contains("later version"), "{error}");
        }
        everything(&root, &mut after);
        assert_eq!(before, after);
    }
}

#[test]
fn a_startup_that_is_over_takes_no_late_phase() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("state");
    let dir = StateDir::open_or_create(&root, Disk::real(), Clock::system()).unwrap();
    let (startup, detection) = Startup::begin(&dir, StartedBy::Daemon).unwrap();
    assert_eq!(detection, Detection::Clean);
    startup.finish(StartupOutcome::Degraded, 1).unwrap();
    assert!(matches!(startup.enter("locks"), Err(StartupError::Over)));
    assert!(!dir.paths.startup_marker().exists());
    // Its lock is given back, though somebody keeps it.
    Startup::begin(&dir, StartedBy::Recover).unwrap().0.finish(StartupOutcome::Completed, 0).unwrap();
}
