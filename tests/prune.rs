//! Removing jobs: cut short at every effect on the disk, a job is there whole or goes whole.
#![allow(clippy::disallowed_methods)] // Tests write their own files.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use crate::common::{EIO, Faults, Refuse, scratch};
use recovery::durable::{Disk, Effect, Observer};
use recovery::jobs::{ExitRecord, RecoverSettings, record, resume};
use recovery::prune::{JobRetention, PruneReport, prune, trash_slots, would_prune};
use recovery::queue::{
    Actor, AfterCrash, AttemptOutcome, Claim, End, Job, JobId, JobSpec, Operation, Queue, Submission, append,
};
use recovery::recovery::{Recovery, RecoveryOutcome, RunOptions, Settings};
use recovery::startup::StartedBy;
use recovery::state::{Clock, StateDir, Timestamp};

const GOING: [&str; 3] = ["a", "b", "never-began"];
const STAYING: [&str; 3] = ["waits", "crashed", "needed"];

fn id(text: &str) -> JobId {
    text.parse().unwrap()
}

fn actor() -> Actor {
    Actor { by: "test".to_owned(), why: None }
}

fn settings() -> RecoverSettings {
    RecoverSettings::new(actor())
}

fn everything() -> JobRetention {
    JobRetention { keep_days: Some(0), keep_last: None, crashed: false }
}

fn needed(job: &Job) -> Option<(&'static str, String)> {
    (job.id == id("needed")).then(|| ("job-callback-pending", "somebody is to be told".to_owned()))
}

fn open(root: &Path, disk: Disk) -> StateDir {
    StateDir::open(root, disk, Clock::system()).unwrap()
}

/// Jobs that are over, with workspace, output and record, and others.
fn stage(root: &Path) {
    let dir = StateDir::open_or_create(root, Disk::real(), Clock::system()).unwrap();
    let spec = || JobSpec { command: vec!["true".to_owned()], ..JobSpec::default() };
    for job in GOING.iter().chain(&STAYING) {
        let submission = Submission { job: id(job), priority: 0, repository: None, spec: spec() };
        append(&dir, &actor(), &[Operation::Submit(submission)]).unwrap();
    }
    append(&dir, &actor(), &[Operation::Cancel { job: id("never-began") }]).unwrap();
    for job in ["a", "b", "crashed", "needed"] {
        let claim =
            append(&dir, &actor(), &[Operation::Claim { job: id(job), attempt: 1, host: None }]).unwrap()[0];
        let crashed = job == "crashed";
        let end = End {
            job: id(job),
            attempt: 1,
            claim: Claim::of_record(claim),
            outcome: if crashed { AttemptOutcome::Crashed } else { AttemptOutcome::Exited },
            exit_code: (!crashed).then_some(i32::from(job == "b")),
            signal: None,
            ended_at: None,
            reason: None,
            after_crash: crashed.then_some(AfterCrash::Hold),
            started_at: None,
            ended_by: None,
            by_itself: false,
            evidence: Vec::new(),
        };
        append(&dir, &actor(), &[Operation::End(end)]).unwrap();
        furnish(&dir, job, claim);
    }
    let queue = Queue::open(&dir).unwrap();
    queue.state().jobs().for_each(|job| record::write(&dir, job).unwrap());
}

fn furnish(dir: &StateDir, job: &str, claim: u64) {
    let paths = dir.paths.job(job).unwrap();
    std::fs::create_dir_all(paths.workspace.join("work/deep")).unwrap();
    std::fs::create_dir_all(&paths.attempts).unwrap();
    std::fs::write(paths.output(), "printed").unwrap();
    std::fs::write(paths.workspace.join("work/deep/file"), "work").unwrap();
    let exit = ExitRecord {
        version: 1,
        job_id: id(job),
        attempt: 1,
        claim: Claim::of_record(claim),
        outcome: AttemptOutcome::Exited,
        exit_code: Some(0),
        signal: None,
        reason: None,
        ended_by: None,
        by_itself: false,
        started_at: Timestamp::from_millis(1),
        finished_at: Timestamp::from_millis(2),
        tree_empty: true,
        leftovers_ended: 0,
        cpu_ms: None,
        state: None,
        resources: None,
    };
    exit.write(&dir.disk, &paths.exit()).unwrap();
}

fn prune_all(dir: &StateDir) -> Result<PruneReport, Box<dyn std::error::Error>> {
    let mut queue = Queue::open(dir)?;
    Ok(prune(dir, &mut queue, &everything(), &needed, &settings())?)
}

fn recover(dir: &StateDir) {
    let settings = Settings {
        by: StartedBy::Recover,
        jobs: settings(),
        write_records: true,
        webhooks: recovery::webhooks::Settings::default(),
    };
    let (record, _) = Recovery::new(dir, settings).unwrap().run(&RunOptions::default()).unwrap();
    assert_eq!(record.snapshot.outcome, RecoveryOutcome::Completed, "{record:?}");
}

fn files_of(dir: &StateDir, job: &str) -> (PathBuf, PathBuf) {
    let paths = dir.paths.job(job).unwrap();
    (paths.record.clone(), paths.workspace.clone())
}

/// What holds at every moment: a job that the queue does not know has left no record that would bring it
/// back, and one whose workspace is where it was has all of it.
fn check(dir: &StateDir, when: &str) {
    let queue = Queue::open(dir).unwrap();
    for job in GOING {
        let (record, workspace) = files_of(dir, job);
        if queue.state().get(&id(job)).is_none() {
            let attempts = dir.paths.attempts().join(job);
            let is_gone = !record.exists() && !workspace.exists() && !attempts.exists();
            assert!(is_gone, "{when}: something of {job} stays");
        }
        assert!(!workspace.exists() || workspace.join("work/deep/file").exists(), "{when}: {job} is torn");
    }
    for job in STAYING {
        let (record, workspace) = files_of(dir, job);
        assert!(queue.state().get(&id(job)).is_some() && record.exists(), "{when}: {job} is gone");
        assert!(job == "waits" || workspace.join("work/deep/file").exists(), "{when}: {job} is torn");
    }
}

fn check_gone(dir: &StateDir, when: &str) {
    check(dir, when);
    let queue = Queue::open(dir).unwrap();
    assert!(GOING.iter().all(|job| queue.state().get(&id(job)).is_none()), "{when}: not all are gone");
    assert!(trash_slots(dir).unwrap().is_empty(), "{when}: the trash is not empty");
}

#[test]
fn what_nothing_refers_to_goes_and_stays_gone() {
    let place = scratch();
    let root = place.path().join("state");
    stage(&root);
    let dir = open(&root, Disk::real());
    let rehearsed = would_prune(&dir, &Queue::open(&dir).unwrap(), &everything(), &needed, &settings());
    check(&dir, "after a rehearsal");
    assert!(files_of(&dir, "a").1.exists());
    let report = prune_all(&dir).unwrap();
    assert_eq!((&report.removed, &report.kept), (&rehearsed.removed, &rehearsed.kept));
    let mut removed: Vec<&str> = report.removed.iter().map(|job| job.job_id.as_str()).collect();
    removed.sort_unstable();
    assert_eq!(removed, GOING);
    let kept: Vec<(&str, &str)> = report.kept.iter().map(|k| (k.job_id.as_str(), &*k.code)).collect();
    assert_eq!(kept, [("crashed", "job-resumable"), ("needed", "job-callback-pending")]);
    assert!(report.trash.bytes_freed > 0 && report.trash.emptied == 4);
    check_gone(&dir, "after the prune");
    recover(&dir);
    check_gone(&dir, "after a recovery");
    assert_eq!(prune_all(&dir).unwrap().removed, []);
}

#[test]
fn cut_short_at_every_effect_it_is_finished_later() {
    for (way, refuse) in [("cut", Refuse::From as fn(u64) -> Refuse), ("refused", Refuse::Only)] {
        for by_recovery in [true, false] {
            let (mut effects, mut refused) = (0, 0);
            loop {
                let place = scratch();
                let root = place.path().join("state");
                stage(&root);
                let (faults, disk) = Faults::new(EIO, refuse(effects));
                let ended = prune_all(&open(&root, disk));
                let when = format!("{way} at effect {effects}: {:?}", faults.done().last());
                let dir = open(&root, Disk::real());
                check(&dir, &when);
                // Where one effect fails the rest may happen; a job that is half gone is not resumed.
                let mut queue = Queue::open(&dir).unwrap();
                if queue.state().get(&id("b")).is_some() && !files_of(&dir, "b").1.exists() {
                    let answer = resume(&dir, &mut queue, &[id("b")], false, &settings()).unwrap();
                    assert_eq!(answer.refused[0].code, "job-being-removed", "{when}");
                    refused += 1;
                }
                if by_recovery {
                    recover(&dir);
                    check(&dir, &when);
                }
                prune_all(&dir).unwrap();
                check_gone(&dir, &when);
                recover(&dir);
                check_gone(&dir, &when);
                if ended.is_ok() && faults.seen() <= effects {
                    break;
                }
                effects += 1;
            }
            assert!(effects > 20 && refused > 0, "{effects} effects");
        }
    }
}

/// Cancels a job and removes it, and no other.
fn remove(root: &Path, job: &str) {
    let dir = open(root, Disk::real());
    append(&dir, &actor(), &[Operation::Cancel { job: id(job) }]).unwrap();
    let others = |j: &Job| (j.id != id(job)).then(|| ("job-callback-pending", String::new()));
    let removed = prune(&dir, &mut Queue::open(&dir).unwrap(), &everything(), &others, &settings()).unwrap();
    assert_eq!(removed.removed.len(), 1, "{job}");
}

/// Removes one job when the records' contents are being written, and begins with another when they get their names.
struct Meanwhile {
    root: PathBuf,
    is_written: AtomicBool,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl Observer for Meanwhile {
    fn before(&self, effect: &Effect<'_>) -> std::io::Result<()> {
        let mut threads = self.threads.lock().unwrap();
        match effect {
            Effect::Write { .. } if !self.is_written.swap(true, Ordering::Relaxed) => {
                remove(&self.root, "written");
            }
            Effect::Rename { .. } if threads.is_empty() => {
                let root = self.root.clone();
                threads.push(std::thread::spawn(move || remove(&root, "named")));
            }
            _ => {}
        }
        Ok(())
    }

    fn after(&self, _: &Effect<'_>) {}
}

/// A record without a job brings the job back. So none is written for a job that was removed after it was
/// seen to wait, and a job that is being removed meanwhile takes its record with it.
#[test]
fn a_job_that_is_removed_while_records_are_made_leaves_none() {
    let scratch = scratch();
    let root = scratch.path().join("state");
    stage(&root);
    for job in ["early", "written", "named", "more"] {
        let spec = JobSpec { command: vec!["true".to_owned()], ..JobSpec::default() };
        let submission = Submission { job: id(job), priority: 0, repository: None, spec };
        append(&open(&root, Disk::real()), &actor(), &[Operation::Submit(submission)]).unwrap();
    }
    let meanwhile = Arc::new(Meanwhile {
        root: root.clone(),
        is_written: AtomicBool::default(),
        threads: Mutex::default(),
    });
    let dir = open(&root, Disk::observed(meanwhile.clone()));
    let waiting = record::waiting(Queue::open(&dir).unwrap().state());
    remove(&root, "early");
    let made = record::write_waiting(&dir, &waiting, &|| false).unwrap();
    let threads = std::mem::take(&mut *meanwhile.threads.lock().unwrap());
    assert_eq!((made.made, threads.len()), (2, 1), "the removed ones' are not among them");
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    let has_record = |job: &str| root.join(format!("jobs/{job}.job.json")).exists();
    assert_eq!(["early", "written", "named", "more"].map(has_record), [false, false, false, true]);
    recover(&open(&root, Disk::real()));
    let queue = Queue::open(&open(&root, Disk::real())).unwrap();
    assert!(["early", "written", "named"].iter().all(|job| queue.state().get(&id(job)).is_none()));
}

/// A power loss may leave the record of a job that waits without content, because it is not synced.
#[test]
fn record_without_content_is_made_anew_and_is_no_damage() {
    let scratch = scratch();
    let root = scratch.path().join("state");
    stage(&root);
    let dir = open(&root, Disk::real());
    for (job, content) in [("empty", &b""[..]), ("zeros", &[0; 300]), ("torn", b"{\"version\":2,")] {
        let spec = JobSpec { command: vec!["true".to_owned()], ..JobSpec::default() };
        let submission = Submission { job: id(job), priority: 0, repository: None, spec };
        append(&dir, &actor(), &[Operation::Submit(submission)]).unwrap();
        std::fs::write(root.join(format!("jobs/{job}.job.json")), content).unwrap();
    }
    let waiting = record::waiting(Queue::open(&dir).unwrap().state());
    let made = record::write_waiting(&dir, &waiting, &|| false).unwrap();
    let damaged: Vec<String> = made.damaged.iter().map(|(job, _)| job.to_string()).collect();
    assert_eq!((made.made, damaged), (3, vec!["torn".to_owned()]));
    for job in ["empty", "zeros", "torn"] {
        assert!(record::read(&dir, &id(job)).unwrap().whole().is_some(), "{job}");
    }
}
