//! Deaths after a re-attachment: each is noticed by its event, not by the periodic look.

use std::time::{Duration, Instant};

use recovery::queue::{JobStatus, Queue};
use recovery::system::{ProcessIdentity, end_process};
use serde_json::Value;

use super::GATED;
use crate::crash::scene::{Scene, kill, wait_for};

/// Far less than the minute after which a daemon looks at every job again, whatever it was told; far more than the
/// moment that an event takes, also on a busy machine.
const PROMPT: Duration = Duration::from_secs(20);

/// Jobs that a daemon started and another one has re-attached.
fn reattached(jobs: &[&str], options: &[&str], config: &str) -> (Scene, crate::crash::scene::Daemon) {
    let scene = Scene::new();
    scene.place.write("config.toml", config);
    let daemon = scene.daemon(jobs.len());
    for id in jobs {
        scene.submit(id, options, GATED);
    }
    for id in jobs {
        scene.wait_for_witness(id);
        wait_for("the command in the sentinel", || {
            let sentinel = crate::crash::scene::read_json(&scene.job_file(id, "sentinel.json"));
            !sentinel["command"].is_null()
        });
    }
    daemon.kill();
    let daemon = scene.daemon(jobs.len());
    let status = scene.json(&["jobs", "status"], 0);
    assert_eq!(status["reattachment"]["reattached"], jobs.len(), "{status}");
    assert_eq!(status["jobs"][0]["reattached"], true, "{status}");
    (scene, daemon)
}

/// Returns how long it takes, from now, until the queue says so.
#[track_caller]
fn until(scene: &Scene, id: &str, status: JobStatus) -> Duration {
    let begun = Instant::now();
    let mut queue = Queue::open(&scene.dir()).unwrap();
    wait_for(&format!("{id} to be {status}"), || {
        queue.refresh().unwrap();
        queue.state().get(&id.parse().unwrap()).unwrap().status == status
    });
    begun.elapsed()
}

fn kill_at_once(process: ProcessIdentity) {
    assert!(end_process(process, 20_000).unwrap());
}

#[test]
fn every_death_is_recorded_at_once() {
    let (scene, _daemon) = reattached(&["command", "both", "later"], &[], "");
    kill_at_once(scene.command_of("command"));
    let took = until(&scene, "command", JobStatus::Failed);
    assert!(took < PROMPT, "a killed command: {took:?}");
    assert_eq!(scene.job("command").run_state().signal, Some(9));

    let (supervisor, command) = (scene.supervisor_of("both"), scene.command_of("both"));
    kill_at_once(supervisor);
    kill_at_once(command);
    let took = until(&scene, "both", JobStatus::Crashed);
    assert!(took < PROMPT, "both killed: {took:?}");

    // Only the supervisor is killed: the command is adopted, and its end recorded.
    let command = scene.command_of("later");
    kill_at_once(scene.supervisor_of("later"));
    wait_for("the finding", || {
        codes(&scene.json(&["jobs", "status"], 0)).contains(&"job-orphaned-process".to_owned())
    });
    let why = scene.json(&["why", "job:later"], 0);
    assert_eq!((&why["status"], &why["verdict"]), (&"running".into(), &"orphaned_process".into()), "{why}");
    kill_at_once(command);
    let took = until(&scene, "later", JobStatus::Crashed);
    assert!(took < PROMPT, "an adopted command: {took:?}");
    let reason = scene.job("later").run_state().reason.clone().unwrap();
    assert!(reason.contains("exit status is unknown"), "{reason}");
    assert_eq!(scene.witnessed("later"), ["began"], "it was not started again");
    let metrics = scene.json(&["jobs", "metrics"], 0);
    assert_eq!(metrics["died_after_reattach_total"], 3, "killed, both killed, adopted and killed: {metrics}");
}

pub fn codes(report: &Value) -> Vec<String> {
    let findings = report["findings"].as_array().unwrap();
    findings.iter().filter_map(|f| Some(f["code"].as_str()?.to_owned())).collect()
}

#[test]
fn a_job_without_its_supervisor_is_ended_where_that_is_the_policy() {
    let scene = Scene::new();
    scene.place.write("config.toml", "[jobs]\non_orphan = \"end\"\n");
    let _daemon = scene.daemon(1);
    scene.submit("alone", &["--on-crash", "requeue", "--max-attempts", "2"], GATED);
    scene.wait_for_witness("alone");
    let command = scene.command_of("alone");
    kill(scene.supervisor_of("alone"));
    wait_for("the second attempt", || scene.witnessed("alone").len() == 2);
    assert_ne!(ProcessIdentity::of(command.pid), Some(command));
    let first = scene.job("alone").run_state().attempts[0].clone();
    assert_eq!(first.status, JobStatus::Crashed);
    assert!(first.reason.unwrap().contains("by policy"));
    scene.open_gate("open-alone");
    scene.wait_for_status("alone", JobStatus::Succeeded);
}

#[test]
fn a_time_limit_and_a_cancellation_hold_without_the_supervisor() {
    let scene = Scene::new();
    let _daemon = scene.daemon(2);
    scene.submit("limited", &["--timeout", "15s"], GATED);
    scene.submit("unwanted", &[], GATED);
    for id in ["limited", "unwanted"] {
        scene.wait_for_witness(id);
        kill(scene.supervisor_of(id));
    }
    scene.json(&["jobs", "cancel", "unwanted"], 0);
    scene.wait_for_status("unwanted", JobStatus::Cancelled);
    scene.wait_for_status("limited", JobStatus::TimedOut);
    for id in ["limited", "unwanted"] {
        let command = scene.command_of(id);
        assert_ne!(ProcessIdentity::of(command.pid), Some(command), "{id}");
    }
}
