//! Ends that come from outside, and ends that are owed: what a shutdown, a stray signal, a killed client and a process
//! that cannot be ended make of a job.
#![allow(clippy::disallowed_methods)] // Tests write their own files.

use recovery::queue::{Actor, JobStatus, Operation, append};
use recovery::system::{ProcessIdentity, presence, signal_process};
use rustix::process::Signal;

use crate::crash::scene::{Scene, kill, wait_for};

/// Saves its progress on SIGTERM and ends well, as the manual advises.
const SAVES: &str = "trap 'echo 5 > $RECOVERYCTL_CHECKPOINT; exit 0' TERM; echo began >> $W/saves; \
    while :; do sleep 0.05; done";
const SLEEPS: &str = "echo began >> $W/sleeps; exec sleep 1000";

fn is_gone(process: ProcessIdentity) -> bool {
    presence(process) == recovery::system::Presence::Gone
}

/// The wish alone, as when whoever recorded it was killed before it told anybody.
fn record_cancel(scene: &Scene, id: &str) {
    let actor = Actor { by: "uid:0 root jobs cancel".to_owned(), why: None };
    append(&scene.dir(), &actor, &[Operation::Cancel { job: id.parse().unwrap() }]).unwrap();
}

/// What a shutdown does to what is left, in an order that nobody promises.
fn shutdown(supervisors_first: bool) -> Scene {
    let scene = Scene::new();
    let daemon = scene.daemon(2);
    scene.submit("saves", &["--on-crash", "requeue"], SAVES);
    scene.submit("sleeps", &["--on-crash", "hold"], SLEEPS);
    for id in ["saves", "sleeps"] {
        scene.wait_for_witness(id);
    }
    daemon.terminate();
    let mut left: Vec<ProcessIdentity> = ["saves", "sleeps"].map(|id| scene.supervisor_of(id)).to_vec();
    left.extend(["saves", "sleeps"].map(|id| scene.command_of(id)));
    if !supervisors_first {
        left.reverse();
    }
    for process in &left {
        signal_process(*process, Signal::TERM).unwrap();
    }
    wait_for("all to have ended", || left.iter().all(|process| is_gone(*process)));
    scene
}

#[test]
fn jobs_ended_by_a_shutdown_are_interrupted_in_whatever_order_the_signals_come() {
    for supervisors_first in [true, false] {
        let scene = shutdown(supervisors_first);
        assert!(matches!(scene.recover().status, 0 | 3));
        let (saves, sleeps) =
            (scene.json(&["jobs", "show", "saves"], 0), scene.json(&["jobs", "show", "sleeps"], 0));
        assert_eq!((&saves["status"], &saves["attempt"]), (&"queued".into(), &2.into()), "{saves:#}");
        assert_eq!(sleeps["status"], "crashed", "{sleeps:#}");
        for job in [&saves, &sleeps] {
            assert_eq!(job["reason"], "interrupted", "{job:#}");
            assert_eq!(job["ended_by"]["signal"], 15, "{job:#}");
            assert_eq!(job["ended_by"]["pid"], std::process::id(), "{job:#}");
        }
        scene.run(&["resume", "sleeps"]).ends_with(0);
        assert_eq!(scene.status("sleeps"), JobStatus::Queued);
    }
}

#[test]
fn recorded_cancel_of_a_stopped_supervisor_is_carried_out_by_the_daemon() {
    let scene = Scene::new();
    let _daemon = scene.daemon(1);
    scene.submit("sleeps", &[], SLEEPS);
    scene.wait_for_witness("sleeps");
    // Neither hears a signal nor reads the log.
    signal_process(scene.supervisor_of("sleeps"), Signal::STOP).unwrap();
    record_cancel(&scene, "sleeps");
    scene.wait_for_status("sleeps", JobStatus::Cancelled);
    let job = scene.json(&["jobs", "show", "sleeps"], 0);
    assert_eq!(job["ended_by"]["by"], "uid:0 root jobs cancel", "{job:#}");
}

#[test]
fn recorded_cancel_of_a_job_without_supervisor_is_carried_out_by_a_recovery() {
    let scene = Scene::new();
    let daemon = scene.daemon(1);
    scene.submit("sleeps", &[], SLEEPS);
    scene.wait_for_witness("sleeps");
    daemon.kill();
    kill(scene.supervisor_of("sleeps"));
    let command = scene.command_of("sleeps");
    record_cancel(&scene, "sleeps");
    scene.recover();
    assert_eq!((scene.status("sleeps"), is_gone(command)), (JobStatus::Cancelled, true));
}

#[test]
fn cancel_that_cannot_be_carried_out_is_a_finding() {
    let scene = Scene::new();
    let daemon = scene.daemon(1);
    scene.submit("sleeps", &[], SLEEPS);
    scene.wait_for_witness("sleeps");
    daemon.kill();
    signal_process(scene.supervisor_of("sleeps"), Signal::STOP).unwrap();
    let mut queue = scene.queue();
    let actor = Actor { by: "test".to_owned(), why: None };
    // Two minutes ago, by its own clock.
    let earlier = recovery::state::StateDir { clock: past_clock(120_000), ..scene.dir() };
    append(&earlier, &actor, &[Operation::Cancel { job: "sleeps".parse().unwrap() }]).unwrap();
    queue.refresh().unwrap();
    let found = scene.json(&["findings"], 0).to_string();
    assert!(found.contains("job-cancel-pending"), "{found}");
}

fn past_clock(ms: i64) -> recovery::state::Clock {
    let then = recovery::state::Clock::system().now().plus_millis(-ms);
    recovery::state::Clock::fixed(then)
}
