//! Judging many running jobs at once, against a bare loop that opens, try-locks and reads the same number
//! of sentinels: 1,000 that live and 10,000 that are dead.
//!
//! The living are held by another process, which is the supervisor of all of them; to a recovery that is
//! the same as a process each. The dead have sentinel, lock file and the record of a command, and are
//! recorded as crashed, in the queue too; for the next round they are claimed again.
#![allow(clippy::disallowed_methods, clippy::print_stdout)]

mod support;

use std::io::Read;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use recovery::durable::{Disk, FileLock};
use recovery::jobs::{CommandRecord, Reattachment, RecoverSettings, Sentinel, reattach};
use recovery::queue::{Job, JobId, JobSpec, Operation, Queue, Submission, append};
use recovery::state::{Clock, StateDir};
use recovery::system::ProcessIdentity;
use support::floor::timed;
use support::table::{Target, heading, row};
use support::{in_role, library, median, time};

const LIVING: usize = 1_000;
const DEAD: usize = 10_000;
const ROUNDS: usize = 5;

fn main() {
    if let Some((role, arguments)) = support::role() {
        assert_eq!(role, "holder");
        return hold(Path::new(&arguments[0]));
    }
    heading(
        "Re-attachment: all jobs in one recovery, against opening, try-locking and reading each sentinel",
    );
    living();
    dead();
}

/// Jobs that are claimed, with nothing of them on disk yet.
fn claimed(root: &Path, count: usize) -> (StateDir, Queue) {
    let dir = StateDir::open_or_create(root, Disk::real(), Clock::system()).expect("a state directory");
    let spec = JobSpec { command: vec!["/bin/sleep".into(), "60".into()], ..JobSpec::default() };
    let submission = |n| Submission { job: id(n), priority: 0, repository: None, spec: spec.clone() };
    let submissions: Vec<Operation> = (0..count).map(|n| Operation::Submit(submission(n))).collect();
    append(&dir, &library::actor(), &submissions).expect("submissions");
    let claims: Vec<Operation> =
        (0..count).map(|n| Operation::Claim { job: id(n), attempt: 1, host: None }).collect();
    append(&dir, &library::actor(), &claims).expect("claims");
    let mut queue = Queue::open(&dir).expect("a queue");
    queue.checkpoint().expect("a checkpoint");
    (dir, queue)
}

fn id(n: usize) -> JobId {
    format!("job-{n:05}").parse().expect("an id")
}

/// Writes what a supervisor and its command would have.
fn write_files(dir: &StateDir, job: &Job, supervisor: ProcessIdentity, command: ProcessIdentity) {
    let paths = dir.paths.job(&job.id.to_string()).expect("paths");
    std::fs::create_dir_all(&paths.workspace).expect("a workspace");
    let claim = job.run_state().claim.expect("a claim");
    let words = vec!["/bin/sleep".to_owned(), "60".to_owned()];
    let sentinel = Sentinel {
        interrupted: None,
        cannot_end: Vec::new(),
        supervisor,
        command: Some(command),
        ..Sentinel::of_this_process(job, claim, words, None, dir.clock.now())
    };
    let record =
        CommandRecord { command, ..CommandRecord::of_this_process(job.id.clone(), job.attempt, claim) };
    let json = |path: &Path, text: Result<Vec<u8>, _>| {
        std::fs::write(path, text.unwrap_or_else(|e: serde_json::Error| panic!("{e}"))).expect("a file");
    };
    json(&paths.sentinel(), serde_json::to_vec(&sentinel));
    json(&paths.command(), serde_json::to_vec(&record));
    std::fs::write(paths.sentinel_lock(), "").expect("a file");
}

/// The floor: opened, try-locked and read, one after the other.
fn bare_loop(dir: &StateDir, count: usize) -> usize {
    let mut held = 0;
    for n in 0..count {
        let paths = dir.paths.job(&id(n).to_string()).expect("paths");
        let lock = std::fs::File::open(paths.sentinel_lock()).expect("a lock file");
        held += usize::from(fs2::FileExt::try_lock_exclusive(&lock).is_err());
        let mut text = Vec::new();
        std::fs::File::open(paths.sentinel()).expect("a sentinel").read_to_end(&mut text).expect("a read");
        std::hint::black_box(text);
    }
    held
}

fn judged(dir: &StateDir, queue: &mut Queue) -> Reattachment {
    let settings = RecoverSettings::new(library::actor());
    reattach(dir, queue, &settings, &mut |_, _| true).expect("a re-attachment")
}

/// Another process holds the locks of all jobs until its input ends.
fn hold(root: &Path) {
    let dir = library::open_dir(root);
    let queue = Queue::open(&dir).expect("a queue");
    let own = ProcessIdentity::this();
    let lock = |job: &Job| {
        write_files(&dir, job, own, own);
        let path = dir.paths.job(&job.id.to_string()).expect("paths").sentinel_lock();
        FileLock::try_acquire(&dir.disk, &path).expect("the lock")
    };
    let locks: Vec<FileLock> = queue.state().running().map(lock).collect();
    println!("{}", locks.len());
    let _ = std::io::stdin().read(&mut [0]);
}

fn living() {
    let place = support::workplace();
    let root = place.path().join("state");
    let (dir, mut queue) = claimed(&root, LIVING);
    let mut holder =
        in_role("holder", &[root.to_str().expect("a path")]).stdin(Stdio::piped()).spawn().expect("a holder");
    holder.stdout.as_mut().expect("its output").read_exact(&mut [0; 5]).expect("it is ready");
    let (mut ours, mut floor) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        floor.push(timed(|| assert_eq!(bare_loop(&dir, LIVING), LIVING)));
        ours.push(timed(|| {
            let found = judged(&dir, &mut queue);
            assert_eq!((found.found, found.reattached), (LIVING as u64, LIVING as u64));
        }));
    }
    drop(holder.stdin.take());
    holder.wait().expect("the holder's end");
    show("1,000 living, judged", &ours, &floor);
}

/// The next attempt of every crashed job: its files stay where they are, and are written anew.
fn claim_again(dir: &StateDir, queue: &mut Queue) {
    let next: Vec<(JobId, u32)> = queue.state().jobs().map(|j| (j.id.clone(), j.attempt + 1)).collect();
    let resume = |(job, attempt): &(JobId, u32)| Operation::Resume {
        job: job.clone(),
        fresh: false,
        attempt: Some(*attempt),
    };
    append(dir, &library::actor(), &next.iter().map(resume).collect::<Vec<_>>()).expect("a resume");
    let claims = next.iter().map(|(job, attempt)| Operation::Claim {
        job: job.clone(),
        attempt: *attempt,
        host: None,
    });
    append(dir, &library::actor(), &claims.collect::<Vec<_>>()).expect("claims");
    queue.refresh().expect("the queue");
    queue.checkpoint().expect("a checkpoint");
}

fn dead() {
    let mut gone = std::process::Command::new("true").spawn().expect("a process");
    let process = ProcessIdentity { pid: gone.id(), start_time: 1 };
    gone.wait().expect("its end");
    let place = support::workplace();
    let (dir, mut queue) = claimed(&place.path().join("state"), DEAD);
    let (mut ours, mut floor) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        if round > 0 {
            claim_again(&dir, &mut queue);
        }
        queue.state().running().for_each(|job| write_files(&dir, job, process, process));
        floor.push(timed(|| assert_eq!(bare_loop(&dir, DEAD), 0)));
        ours.push(timed(|| {
            let found = judged(&dir, &mut queue);
            assert_eq!((found.found, found.crashed), (DEAD as u64, DEAD as u64));
        }));
    }
    show("10,000 dead, judged and recorded", &ours, &floor);
}

fn show(what: &str, ours: &[Duration], floor: &[Duration]) {
    let (ours, floor) = (median(ours), median(floor));
    let ratio = ours.as_secs_f64() / floor.as_secs_f64();
    row(&format!("{what} (× the loop)"), &time(ours), &time(floor), ratio, Target::AtMost(3.0));
}
