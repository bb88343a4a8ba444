//! The recovery sequence from outside: order, tries, skip, what other processes see, kills.
//!
//! Phases here meet at barriers and channels, so that every moment a test speaks of is one it made.
#![allow(clippy::disallowed_methods)]

mod order;
mod outcome;
mod processes;
mod refused;
mod skip;
mod tries;

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use recovery::durable::Disk;
use recovery::recovery::{
    Phase, PhaseContext, PhaseError, PhaseGraph, PhaseOutcome, PhaseStatus, RecoveryRecord, RunOptions, run,
};
use recovery::state::{Clock, StateDir};

/// Returns a state directory that is removed with the test.
fn state() -> (tempfile::TempDir, StateDir) {
    let folder = tempfile::tempdir().unwrap();
    let dir = StateDir::open_or_create(&folder.path().join("state"), Disk::real(), Clock::system()).unwrap();
    (folder, dir)
}

/// Pauses short enough for a test that waits for them.
fn options() -> RunOptions {
    RunOptions { pauses: vec![Duration::from_millis(1); 3], by: "uid:7 test".into(), ..RunOptions::default() }
}

/// Pauses that no test can wait for: it must end them.
fn endless_pauses() -> RunOptions {
    RunOptions { pauses: vec![Duration::from_secs(3600); 3], ..options() }
}

fn graph(phases: Vec<Phase>) -> PhaseGraph {
    PhaseGraph::new(phases).unwrap()
}

fn run_all(dir: &StateDir, phases: Vec<Phase>) -> RecoveryRecord {
    run(dir, &graph(phases), &options()).unwrap()
}

fn fine(_: &PhaseContext) -> Result<PhaseOutcome, PhaseError> {
    Ok(PhaseOutcome::default())
}

fn broken(_: &PhaseContext) -> Result<PhaseOutcome, PhaseError> {
    Err(PhaseError::failed("cannot mend the roof", "no ladder"))
}

/// Makes a phase that notes its name when it runs.
fn noting(name: &'static str, notes: &Arc<Mutex<Vec<&'static str>>>) -> Phase {
    let notes = Arc::clone(notes);
    Phase::new(name, "items", move |_| {
        notes.lock().unwrap().push(name);
        Ok(PhaseOutcome::default())
    })
}

/// Works, with safe points, until it is interrupted.
fn until_interrupted(context: &PhaseContext) -> Result<PhaseOutcome, PhaseError> {
    loop {
        context.check_interrupted()?;
        std::thread::yield_now();
    }
}

fn status(record: &RecoveryRecord, phase: &str) -> PhaseStatus {
    record.snapshot.phase(phase).unwrap().status
}

/// Waits for a condition; gives up loudly after a time that only a hang takes.
fn wait_for(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < Duration::from_secs(60), "waited a minute for: {what}");
        std::thread::yield_now();
    }
}
