//! The recovery's phase `locks` with 100,000 locks against the same with 10,000: time and memory a lock.
//!
//! Of every hundred locks fifty are free, forty-nine are held by a process that lives, and one by a process
//! that is gone, which is given back. Each size is recovered by a process of its own.
#![allow(clippy::disallowed_methods, clippy::print_stdout)]

mod support;

use std::path::Path;
use std::time::Duration;

use recovery::durable::Disk;
use recovery::jobs::RecoverSettings;
use recovery::locks::{
    JobLiveness, LockHolder, LockMetadata, LockRequest, LockState, read_metadata, try_acquire,
};
use recovery::recovery::{Recovery, RunOptions, Settings};
use recovery::startup::StartedBy;
use recovery::state::{Clock, StateDir};
use support::table::{Target, heading, row};
use support::{in_role, library, megabytes, memory, numbers, role, time, workplace};

const SIZES: [usize; 3] = [100, 10_000, 100_000];

fn main() {
    if let Some((role, arguments)) = role() {
        assert_eq!(role, "recover");
        return recover(Path::new(&arguments[0]));
    }
    heading("The phase `locks`: 100,000 locks (ours) and 10,000 (floor)");
    let place = workplace();
    let measured = SIZES.map(|size| {
        let root = place.path().join(size.to_string());
        make(&root, size);
        measure(&root)
    });
    let [(_, base), (few_time, few_memory), (many_time, many_memory)] = measured;
    let [_, few, many] = SIZES.map(|size| size as f64);
    let each = |time: Duration, size: f64| time.as_secs_f64() / size;
    row(
        "time a lock",
        &time(many_time),
        &time(few_time),
        each(many_time, many) / each(few_time, few),
        Target::AtMost(1.5),
    );
    let above = |bytes: u64| bytes.saturating_sub(base) as f64;
    row(
        "peak memory a lock, above that of 100 locks",
        &megabytes(many_memory),
        &megabytes(few_memory),
        (above(many_memory) / many) / (above(few_memory) / few),
        Target::AtMost(1.5),
    );
    row(
        "bytes a lock",
        &format!("{:.0}", above(many_memory) / many),
        "",
        above(many_memory) / many,
        Target::AtMost(8_192.0),
    );
}

/// The phase's time and the process's peak memory.
fn measure(root: &Path) -> (Duration, u64) {
    let told = numbers(&mut in_role("recover", &[&root.display().to_string()]));
    (Duration::from_millis(told[0]), told[1])
}

/// As `recover` does it. Prints the phase's time in milliseconds, and the peak memory.
fn recover(root: &Path) {
    let dir = library::open_dir(root);
    let jobs = RecoverSettings::new(library::actor());
    let webhooks = recovery::webhooks::Settings::default();
    let settings = Settings { by: StartedBy::Recover, jobs, write_records: true, webhooks };
    let recovery = Recovery::new(&dir, settings).expect("a sequence");
    let (record, _) = recovery.run(&RunOptions::default()).expect("a recovery");
    let phase = record.snapshot.phase("locks").expect("the phase");
    let peak = memory(std::process::id(), "VmHWM").expect("the peak memory");
    println!("{} {peak}", phase.duration_ms);
}

/// Files as grants leave them, written without a sync each: a real grant gives the form.
fn make(root: &Path, locks: usize) {
    let dir = StateDir::open_or_create(root, Disk::real(), Clock::system()).expect("a state directory");
    let form = a_grant(&dir);
    for number in 0..locks {
        let repository = format!("repository-{number:06}");
        let paths = dir.paths.lock(&repository).expect("a name");
        let mut metadata = LockMetadata { repository, ..form.clone() };
        match number % 100 {
            0..50 => metadata.state = LockState::Released,
            50 => metadata.process.start_time += 1,
            _ => {}
        }
        std::fs::write(&paths.metadata, metadata.to_bytes()).expect("the metadata");
        std::fs::write(&paths.flock, "").expect("the lock file");
    }
}

/// Held by this process.
fn a_grant(dir: &StateDir) -> LockMetadata {
    let request = LockRequest {
        holder: LockHolder::Process,
        operation: "benchmark".to_owned(),
        job_liveness: &|_, _| JobLiveness::Unknown,
        queue: None,
        waiting: &|_| (),
    };
    let grant = try_acquire(dir, "form", &request).expect("a lock");
    let metadata = read_metadata(&dir.paths.lock("form").expect("a name").metadata, "form");
    let metadata = metadata.whole().expect("the metadata").clone();
    grant.release().expect("the lock is given back");
    metadata
}
