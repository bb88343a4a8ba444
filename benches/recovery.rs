//! The whole recovery sequence on 20,000 and on 100,000 jobs that were all running when the server died and had
//! not started: each phase's time and the memory at its most must grow no faster than the number of jobs.
//!
//! Every pass is a process of its own on a state directory of its own, small and large in turn.
#![allow(clippy::disallowed_methods, clippy::print_stdout)]

mod support;

use std::path::Path;
use std::time::{Duration, Instant};

use recovery::durable::Disk;
use recovery::jobs::RecoverSettings;
use recovery::queue::{JobSpec, Operation, Queue, Submission, append};
use recovery::recovery::{Recovery, RunOptions, Settings};
use recovery::startup::StartedBy;
use recovery::state::{Clock, StateDir};
use support::table::{Target, heading, row};
use support::{library, median, megabytes, memory, time};

const SMALL: usize = 20_000;
const LARGE: usize = 100_000;
const PASSES: usize = 3;
const PHASES: [&str; 4] = ["startup", "queue", "jobs", "locks"];

fn main() {
    match support::role() {
        Some((role, arguments)) if role == "recover" => recover(Path::new(&arguments[0])),
        _ => measure(),
    }
}

/// What one pass said.
struct Pass {
    whole: Duration,
    /// Milliseconds, as the recovery's own record has them.
    phases: [u64; 4],
    peak_memory: u64,
}

fn measure() {
    heading("Recovery of 20,000 and of 100,000 running jobs");
    let (mut small, mut large) = (Vec::new(), Vec::new());
    for _ in 0..PASSES {
        small.push(pass(SMALL));
        large.push(pass(LARGE));
    }
    // Linear is LARGE / SMALL; what a state directory costs however small makes it less.
    let most = Target::AtMost(LARGE as f64 / SMALL as f64 * 1.3);
    let whole = |passes: &[Pass]| median(&passes.iter().map(|p| p.whole).collect::<Vec<_>>());
    let (s, l) = (whole(&small), whole(&large));
    row("the whole sequence", &time(l), &time(s), l.as_secs_f64() / s.as_secs_f64(), most);
    for (i, phase) in PHASES.iter().enumerate() {
        let took = |passes: &[Pass]| median(&passes.iter().map(|p| p.phases[i]).collect::<Vec<_>>()).max(1);
        let (s, l) = (took(&small), took(&large));
        let shown = |ms| time(Duration::from_millis(ms));
        row(&format!("phase {phase}"), &shown(l), &shown(s), l as f64 / s as f64, most);
    }
    let peak = |passes: &[Pass]| median(&passes.iter().map(|p| p.peak_memory).collect::<Vec<_>>());
    let (s, l) = (peak(&small), peak(&large));
    row("peak memory", &megabytes(l), &megabytes(s), l as f64 / s as f64, most);
}

fn pass(jobs: usize) -> Pass {
    let place = support::workplace();
    let root = place.path().join("state");
    claim_all(&queue_of(&root, jobs));
    let answer = support::numbers(&mut support::in_role("recover", &[&root.to_string_lossy()]));
    let [nanos, found, startup, queue, judging, locks, peak_memory] = answer[..] else {
        panic!("{answer:?}")
    };
    assert_eq!(found, jobs as u64, "all were judged");
    Pass { whole: Duration::from_nanos(nanos), phases: [startup, queue, judging, locks], peak_memory }
}

/// Jobs that wait for nothing: those of one repository would run one after the other.
fn queue_of(root: &Path, jobs: usize) -> StateDir {
    let dir = StateDir::open_or_create(root, Disk::real(), Clock::system()).expect("a state directory");
    let spec = JobSpec { command: vec!["/bin/true".into()], ..JobSpec::default() };
    let submission = |n| {
        let job = format!("job-{n:06}").parse().expect("an id");
        Operation::Submit(Submission { job, priority: 0, repository: None, spec: spec.clone() })
    };
    let all: Vec<Operation> = (0..jobs).map(submission).collect();
    all.chunks(10_000).for_each(|some| drop(append(&dir, &library::actor(), some).expect("submissions")));
    dir
}

/// As a server that died right after it had claimed them.
fn claim_all(dir: &StateDir) {
    let mut queue = Queue::open(dir).expect("a queue");
    let claims: Vec<Operation> = queue
        .state()
        .queued()
        .map(|job| Operation::Claim { job: job.id.clone(), attempt: 1, host: None })
        .collect();
    for batch in claims.chunks(10_000) {
        let batch = batch.to_vec();
        queue.transact(&library::actor(), |_| (batch, ())).expect("claims");
    }
}

fn recover(root: &Path) {
    let dir = library::open_dir(root);
    let jobs = RecoverSettings::new(library::actor());
    // As a daemon: records of waiting jobs are written when it is ready.
    let settings = Settings {
        by: StartedBy::Daemon,
        jobs,
        write_records: false,
        webhooks: recovery::webhooks::Settings::default(),
    };
    let begun = Instant::now();
    let (record, _) =
        Recovery::new(&dir, settings).expect("phases").run(&RunOptions::default()).expect("a run");
    let whole = begun.elapsed().as_nanos();
    let phases = PHASES.map(|name| record.snapshot.phase(name).expect("a phase").duration_ms.to_string());
    let peak = memory(std::process::id(), "VmHWM").expect("its memory");
    let found = record.details["jobs"]["found"].as_u64().expect("how many were judged");
    println!("{whole} {found} {} {peak}", phases.join(" "));
}
