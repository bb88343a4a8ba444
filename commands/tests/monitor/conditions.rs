//! Conditions of living jobs: the right verdict, and the right finding.

use std::time::{Duration, SystemTime};

use recovery::queue::JobStatus;
use recovery::system::{ProcessIdentity, process_stat, signal_process};
use rustix::process::Signal;
use serde_json::Value;

use super::GATED;
use super::deaths::codes;
use crate::common::skipped;
use crate::crash::scene::{Scene, kill, wait_for};

fn running(id: &str) -> (Scene, crate::crash::scene::Daemon) {
    let scene = Scene::new();
    let daemon = scene.daemon(1);
    scene.submit(id, &[], GATED);
    scene.wait_for_witness(id);
    wait_for("the command in the sentinel", || {
        !crate::crash::scene::read_json(&scene.job_file(id, "sentinel.json"))["command"].is_null()
    });
    (scene, daemon)
}

fn stop(process: ProcessIdentity) {
    assert!(signal_process(process, Signal::STOP).unwrap());
    wait_for("the stop", || process_stat(process.pid).unwrap().is_stopped);
}

/// Checks that every report shows the job alive by this verdict, with this condition.
#[track_caller]
fn is(scene: &Scene, verdict: &str, code: &str) {
    let why = scene.json(&["why", "job:it"], 0);
    assert_eq!((&why["liveness"], &why["verdict"]), (&"alive".into(), &verdict.into()), "{why}");
    assert!(why["evidence"].as_array().unwrap().len() >= 4, "{why}");
    for report in [why, scene.json(&["jobs", "status"], 0), scene.run(&["--json", "status"]).json()] {
        assert!(codes(&report).contains(&code.to_owned()), "{code}: {report}");
        let finding = find(&report, code);
        assert_eq!((&finding["object"], finding["next"].is_string()), (&"job:it".into(), true), "{finding}");
    }
    let sentinels = scene.json(&["jobs", "sentinels"], 0);
    assert_eq!(sentinels["sentinels"][0]["verdict"], verdict, "{sentinels}");
}

fn find<'a>(report: &'a Value, code: &str) -> &'a Value {
    report["findings"].as_array().unwrap().iter().find(|f| f["code"] == code).unwrap()
}

fn goes_on(scene: &Scene, process: ProcessIdentity, end: JobStatus) {
    assert!(signal_process(process, Signal::CONT).unwrap());
    scene.open_gate("open-it");
    scene.wait_for_status("it", end);
}

#[test]
fn a_stopped_command_is_alive() {
    let (scene, _daemon) = running("it");
    let command = scene.command_of("it");
    stop(command);
    is(&scene, "supervised", "job-stopped");
    goes_on(&scene, command, JobStatus::Succeeded);
}

#[test]
fn a_stopped_command_is_cancelled_all_the_same() {
    let (scene, _daemon) = running("it");
    stop(scene.command_of("it"));
    scene.json(&["jobs", "cancel", "it"], 0);
    scene.wait_for_status("it", JobStatus::Cancelled);
}

/// A cancel works in the same way: neither depends on one process.
#[test]
fn time_limit_is_carried_out_while_the_supervisor_is_stopped() {
    for is_reattached in [false, true] {
        let scene = Scene::new();
        scene.place.write("config.toml", "[jobs]\nkill_grace = \"100ms\"\n");
        let mut daemon = scene.daemon(1);
        scene.submit("it", &["--timeout", "2s"], "echo began >> $W/it; exec sleep 1000");
        scene.wait_for_witness("it");
        stop(scene.supervisor_of("it"));
        if is_reattached {
            daemon.kill();
            daemon = scene.daemon(1);
        }
        scene.wait_for_status("it", JobStatus::TimedOut);
        drop(daemon);
    }
}

#[test]
fn a_stopped_supervisor_with_an_old_heartbeat_is_alive_and_hung() {
    let (scene, daemon) = running("it");
    let supervisor = scene.supervisor_of("it");
    stop(supervisor);
    is(&scene, "stalled", "job-stopped");
    let beat = |minutes: u64| {
        let file = std::fs::File::options().write(true).open(scene.job_file("it", "sentinel.json")).unwrap();
        file.set_modified(SystemTime::now() - Duration::from_secs(60 * minutes)).unwrap();
    };
    beat(3);
    is(&scene, "stalled", "job-heartbeat-stale");
    beat(10);
    is(&scene, "stalled", "job-hung");
    // A recovery says the same, and leaves it alone.
    daemon.kill();
    scene.recover().names("job-hung").names("job-stopped");
    assert_eq!(scene.status("it"), JobStatus::Running);
    goes_on(&scene, supervisor, JobStatus::Succeeded);
}

#[test]
fn a_zombie_is_no_end_until_its_supervisor_says_so() {
    let (scene, _daemon) = running("it");
    let (supervisor, command) = (scene.supervisor_of("it"), scene.command_of("it"));
    stop(supervisor);
    assert!(signal_process(command, Signal::KILL).unwrap());
    wait_for("the zombie", || process_stat(command.pid).unwrap().is_dead);
    is(&scene, "stalled", "job-zombie");
    assert_eq!(scene.status("it"), JobStatus::Running);
    goes_on(&scene, supervisor, JobStatus::Failed);
    assert_eq!(scene.job("it").run_state().signal, Some(9));
}

#[test]
fn a_job_that_acts_as_another_user_is_alive() {
    if !rustix::process::geteuid().is_root() {
        return skipped("only root can start a job that changes its user");
    }
    let scene = Scene::new();
    let daemon = scene.daemon(1);
    // nobody may not read the folder of the state directory, nor of the witness.
    scene.submit("it", &[], "echo began >> $W/it; exec setpriv --reuid 65534 --clear-groups sleep 1000");
    scene.wait_for_witness("it");
    wait_for("the change", || recovery::system::user_of(scene.command_of("it").pid) == Some(65534));
    wait_for("the command in the sentinel", || {
        !crate::crash::scene::read_json(&scene.job_file("it", "sentinel.json"))["command"].is_null()
    });
    is(&scene, "supervised", "job-other-user");
    daemon.kill();
    kill(scene.supervisor_of("it"));
    let command = scene.command_of("it");
    scene.recover().names("job-other-user").names("job-orphaned-process");
    kill(command);
    scene.recover().names("job-crashed");
    assert_eq!(scene.status("it"), JobStatus::Crashed);
}
