//! A phase that hangs because a disk or an engine does not answer: skipped, cancelled, and what comes after.

use std::process::Stdio;

use recovery::queue::JobStatus;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

use super::{Running, Stop, after_a_crash, phase_of};
use crate::crash::scene::Scene;

#[test]
fn a_phase_that_hangs_is_skipped_and_left_behind() {
    for phase in ["locks", "jobs"] {
        let scene = after_a_crash();
        let _stop = Stop::in_phase(&scene, phase);
        let mut recover = Running::start(&scene, &["recover", "--json"]);
        recover.wait_for_phase(&scene, phase);
        // The progress that others see is written a moment after the marker.
        crate::crash::scene::wait_for("it to be shown", || {
            phase_of(&scene.json(&["recovery", "phases"], 0), phase)["status"] == "running"
        });
        let answer = scene.json(&["skip", phase, "--reason", "the disk hangs"], 0);
        assert_eq!((&answer["accepted"], &answer["was"]), (&json!(true), &json!("running")));
        // Those behind it may ask about the same job or lock, and hang at the same file.
        recover.skip_what_hangs(&scene, &["locks", "orphans"], phase);
        let (status, record) = recover.wait();
        let skipped = phase_of(&record, phase);
        assert_eq!(skipped["status"], "skipped", "{record:#}");
        let message = skipped["message"].as_str().unwrap();
        assert!(message.contains("the disk hangs") && message.contains("left behind"), "{message}");
        // `jobs` is critical: what it restores cannot be relied on.
        let expected = if phase == "jobs" { (Some(3), "degraded") } else { (Some(0), "completed") };
        assert_eq!((status, record["outcome"].as_str().unwrap()), expected, "{record:#}");
        assert!(scene.json(&["recovery", "metrics"], 0)["skipped_total"].as_u64() >= Some(1));
    }
}

#[test]
fn recovery_ends_when_the_reader_of_its_result_is_gone() {
    let scene = after_a_crash();
    let _stop = Stop::in_phase(&scene, "locks");
    let mut recover = scene.place.command();
    let mut recover = recover.arg("recover").stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    crate::crash::scene::wait_for("the phase to hang", || {
        scene.json(&["recovery", "phases"], 0)["phases"][3]["status"] == "running"
    });
    drop(recover.stdout.take());
    crate::crash::scene::wait_for("it to end", || recover.try_wait().unwrap().is_some());
}

#[test]
fn a_daemon_comes_up_past_a_phase_that_hangs() {
    let scene = after_a_crash();
    let stop = Stop::in_phase(&scene, "locks");
    let daemon = scene.start_daemon(1);
    crate::crash::scene::wait_for("the phase to hang", || {
        scene.json(&["recovery", "phases"], 0)["phases"][3]["status"] == "running"
    });
    scene.json(&["skip", "locks"], 0);
    // It looks at the same lock.
    crate::crash::scene::wait_for("the orphans to hang", || {
        scene.json(&["recovery", "phases"], 0)["phases"][6]["status"] == "running"
    });
    scene.json(&["skip", "orphans"], 0);
    scene.submit("new", &[], "echo ran >> $W/new");
    scene.wait_for_status("new", JobStatus::Succeeded);
    // The disk answers again: the phase is tried again, by the daemon.
    drop(stop);
    let retried = scene.json(&["retry", "phase", "locks"], 0);
    assert_eq!((&retried["status"], &retried["by"]), (&json!("succeeded"), &json!("daemon")), "{retried}");
    scene.wait_for_status("waits", JobStatus::Succeeded);
    drop(daemon);
}

#[test]
fn what_was_cancelled_is_taken_up_by_the_next_recovery() {
    let scene = after_a_crash();
    let stop = Stop::in_phase(&scene, "jobs");
    let recover = Running::start(&scene, &["recover", "--json"]);
    recover.wait_for_phase(&scene, "jobs");
    kill_process(Pid::from_child(&recover.0), Signal::INT).unwrap();
    let (status, record) = recover.wait();
    assert_eq!((status, &record["outcome"]), (Some(130), &json!("cancelled")), "{record:#}");
    assert_eq!(phase_of(&record, "locks")["status"], "blocked");
    drop(stop);
    let shown = scene.json(&["status"], 3);
    // A daemon that starts recovers first.
    assert_eq!(shown["action"], "recoveryctl daemon");
    let unfinished =
        |r: &serde_json::Value| r["code"] == "recovery-unfinished" && r["next"] == "recoveryctl recover";
    assert!(shown["reasons"].as_array().unwrap().iter().any(unfinished), "{shown:#}");
    // The process did not vanish: it gave up in order.
    assert_eq!(scene.json(&["startup", "detection"], 0)["current"]["outcome"], "failed");
    let recovered = scene.recover();
    assert_eq!(recovered.document["outcome"], "completed", "{:#}", recovered.document);
    assert_eq!(scene.status("gone"), JobStatus::Crashed);
    scene.work();
    assert_eq!(scene.witnessed("waits"), ["ran"]);
}

/// An engine that takes connections and says nothing, within the patience of the configuration.
#[test]
fn a_phase_that_waits_for_a_stuck_docker_is_skipped() {
    let scene = Scene::new();
    let socket = scene.place.path("silent.sock");
    let listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    std::thread::spawn(move || {
        let mut open = Vec::new();
        for stream in listener.incoming().flatten() {
            open.push(stream); // Neither answered nor closed.
        }
    });
    let host = |path: &std::path::Path| format!("unix://{}", path.display());
    let mut work = scene.place.command();
    work.env("RECOVERYCTL_DOCKER_HOST", host(&scene.place.path("no.sock"))).args(["work", "--once"]);
    scene.submit("over", &["--auto-cleanup"], "echo kept > file");
    assert!(work.status().unwrap().success());
    let mut command = scene.place.command();
    command.env("RECOVERYCTL_DOCKER_HOST", host(&socket)).env("RECOVERYCTL_DOCKER_TIMEOUT", "10m");
    command.args(["recover", "--json"]).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut recover = Running(command.spawn().unwrap());
    recover.wait_for_phase(&scene, "cleanup");
    let answer = scene.json(&["skip", "cleanup", "--reason", "the engine hangs"], 0);
    assert_eq!((&answer["accepted"], &answer["was"]), (&json!(true), &json!("running")), "{answer}");
    recover.skip_what_hangs(&scene, &["orphans"], "cleanup");
    let (status, record) = recover.wait();
    assert_eq!(phase_of(&record, "cleanup")["status"], "skipped", "{record:#}");
    assert!(matches!(status, Some(0 | 3)), "{status:?}: {record:#}");
    assert!(scene.job_file("over", "file").exists(), "what Docker was not asked about keeps its files");
}

/// A daemon that is told to end while it recovers ends well: the next start recovers.
#[test]
fn a_daemon_that_is_told_to_end_while_it_recovers_ends_well() {
    let scene = after_a_crash();
    let stop = Stop::in_phase(&scene, "locks");
    let daemon = Running::start(&scene, &["daemon", "--listen", "none"]);
    daemon.wait_for_phase(&scene, "locks");
    let pid = Pid::from_child(&daemon.0);
    kill_process(pid, Signal::TERM).unwrap();
    assert_eq!(daemon.wait().0, Some(0));
    drop(stop);
    assert_eq!(scene.recover().document["outcome"], "completed");
}
