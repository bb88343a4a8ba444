//! The library's things, as the benchmarks need them: a log with records of 300 bytes, a queue with a
//! number of jobs, an observer that counts syncs.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use recovery::durable::log::{Log, LogOptions, encode};
use recovery::durable::{Disk, Effect, Observer, Quarantine};
use recovery::queue::{Actor, DEFAULT_MAX_ATTEMPTS, JobId, JobSpec, Operation, Record, Submission, open_log};
use recovery::state::{Clock, SEGMENT_BYTES, StateDir};

use super::floor::RECORD;

/// Counts every sync that passes the seam.
#[derive(Default)]
pub struct SyncCounter(AtomicU64);

impl SyncCounter {
    /// How many so far.
    pub fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Observer for SyncCounter {
    fn before(&self, _: &Effect<'_>) -> io::Result<()> {
        Ok(())
    }

    fn after(&self, effect: &Effect<'_>) {
        if matches!(effect, Effect::Sync { .. } | Effect::SyncDir { .. }) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// A disk with a counter.
pub fn counted_disk() -> (Disk, Arc<SyncCounter>) {
    let counter = Arc::new(SyncCounter::default());
    (Disk::observed(counter.clone()), counter)
}

/// A log in a folder, as the queue's.
pub fn log(disk: &Disk, folder: &Path) -> Log {
    disk.ensure_dir(folder).expect("a folder");
    let options = LogOptions {
        folder: folder.to_owned(),
        name: "bench",
        state_id: "0192d7a0-0000-7000-8000-000000000000".to_owned(),
        epoch: recovery::system::Host::this().boot_id,
        segment_bytes: SEGMENT_BYTES,
        preallocate: true,
        min_next_seq: 1,
        lock_wait: Duration::from_secs(10),
        quarantine: Quarantine::new(disk.clone(), folder.join("quarantine")),
        stamp: Arc::new(|| "2026-03-01T09:30:00.000Z".to_owned()),
    };
    Log::open(disk, options).expect("a log")
}

/// Appends one record and waits for its sync.
pub fn append(log: &Log, payload: &[u8]) {
    log.append(&[payload]).expect("an append");
}

/// A payload whose record takes [`RECORD`] bytes.
pub fn payload() -> Vec<u8> {
    let mut empty = Vec::new();
    encode(&mut empty, 1, b"");
    vec![b'x'; RECORD - empty.len()]
}

/// What every job here works on.
pub const REPOSITORY: &str = "web";

/// Who submits here.
pub fn actor() -> Actor {
    Actor { by: "uid:0 root submit".to_owned(), why: None }
}

/// A submission whose record takes [`RECORD`] bytes.
pub fn submission() -> Operation {
    let spec = JobSpec {
        command: ["/usr/local/bin/render", "--quality", "high", "--frames", "1-240", "a.blend"]
            .map(str::to_owned)
            .to_vec(),
        max_attempts: DEFAULT_MAX_ATTEMPTS,
        ..JobSpec::default()
    };
    let repository = Some(REPOSITORY.to_owned());
    Operation::Submit(Submission { job: JobId::new(), priority: 0, repository, spec })
}

/// Makes a state directory with so many queued jobs, all in the log, each its own record.
pub fn queue_of(root: &Path, jobs: usize) -> StateDir {
    let dir = StateDir::open_or_create(root, Disk::real(), Clock::system()).expect("a state directory");
    let log = open_log(&dir).expect("a log");
    let mut empty = Vec::new();
    encode(&mut empty, 1, b"");
    let mut left = jobs;
    while left > 0 {
        let batch = left.min(10_000);
        let line = |_| {
            let record = Record { at: dir.clock.now(), actor: actor(), operation: submission() };
            let line = record.to_line().expect("a line");
            assert_eq!(empty.len() + line.len(), RECORD);
            line
        };
        log.append(&(0..batch).map(line).collect::<Vec<_>>()).expect("an append");
        left -= batch;
    }
    dir
}

/// Opens a state directory that exists.
pub fn open_dir(root: &Path) -> StateDir {
    StateDir::open(root, Disk::real(), Clock::system()).expect("a state directory")
}
