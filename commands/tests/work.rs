//! `run`, `work` and `daemon`: what they report about what they did.
#![allow(clippy::disallowed_methods)]

use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::common;
use crate::common::{Place, Ran, until};
use serde_json::{Value, json};

fn submit(place: &Place, options: &[&str], command: &[&str]) {
    place.run([&["submit"], options, &["--"], command].concat()).ends_with(0);
}

fn run(place: &Place, jobs: &[&str], status: i32) -> Value {
    place.run([&["run", "--json"], jobs].concat()).ends_with(status).json()
}

/// Waits for a file, and ends by itself should the test fail.
fn wait_for(file: &Path) -> String {
    format!("n=0; until [ -e {} ] || [ $n -ge 600 ]; do n=$((n+1)); sleep 0.05; done", file.display())
}

/// A process whose output is read at its end; killed when it goes out of scope.
struct Started(Option<Child>);

impl Started {
    fn new(command: &mut Command) -> Started {
        Started(Some(command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap()))
    }

    fn signal(&self, name: &str) {
        let pid = self.0.as_ref().unwrap().id().to_string();
        assert!(Command::new("kill").args(["-s", name, &pid]).status().unwrap().success());
    }

    fn end(mut self) -> (Option<i32>, Value) {
        let output = self.0.take().unwrap().wait_with_output().unwrap();
        (output.status.code(), serde_json::from_slice(&output.stdout).unwrap())
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        if let Some(child) = &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

#[test]
fn run_tells_by_its_status_whether_every_named_job_ran_and_succeeded() {
    let place = Place::new();
    submit(&place, &["--id", "good"], &["true"]);
    submit(&place, &["--id", "bad"], &["false"]);
    let report = run(&place, &["good"], 0);
    assert_eq!((&report["started"][0]["job_id"], &report["not_started"]), (&json!("good"), &json!([])));
    let report = run(&place, &["bad"], 3);
    assert_eq!((&report["started"][0]["status"], &report["not_started"]), (&json!("failed"), &json!([])));
    let report = run(&place, &["good"], 3);
    let over = json!([{ "job_id": "good", "status": "succeeded", "reason": "it has already succeeded" }]);
    assert_eq!((&report["started"], &report["not_started"]), (&json!([]), &over));
    assert!(place.run(["run", "good"]).ends_with(3).stdout.contains("not started: it has already succeeded"));
    submit(&place, &["--id", "worse"], &["false"]);
    place.run(["work", "--once"]).ends_with(0);
}

#[test]
fn run_names_the_jobs_that_run_already_or_wait() {
    let place = Place::new();
    let go_on = place.path("go-on");
    submit(&place, &["--id", "holder", "--repo", "web"], &["sh", "-c", &wait_for(&go_on)]);
    submit(&place, &["--id", "waiter", "--repo", "web"], &["true"]);
    let first = Started::new(place.command().args(["run", "holder", "--json"]));
    let status = || place.run(["jobs", "show", "holder", "--json"]).json()["lock"]["liveness"].clone();
    until("the holder runs", || status() == "alive");
    let report = run(&place, &["holder", "waiter"], 3);
    assert_eq!(report["not_started"][0]["reason"], "it is running already");
    assert_eq!(report["not_started"][1]["status"], "queued");
    assert_eq!(report["not_started"][1]["reason"], "its repository is taken, by job:holder");
    std::fs::write(&go_on, "").unwrap();
    assert_eq!(first.end().0, Some(0));
}

#[test]
fn a_daemon_that_is_told_to_end_says_so_in_one_document() {
    for signal in ["TERM", "INT"] {
        let place = Place::new();
        submit(&place, &["--id", "a"], &["true"]);
        let daemon = Started::new(place.command().args(["daemon", "--json"]));
        let pid = daemon.0.as_ref().unwrap().id();
        let status = || place.run(["jobs", "show", "a", "--json"]).json()["status"].clone();
        until("the job is over", || status() == "succeeded");
        daemon.signal(signal);
        let (status, report) = daemon.end();
        assert_eq!(status, Some(0));
        let expected = json!({ "pid": pid, "recovery": "completed", "stopped_by": format!("SIG{signal}") });
        assert_eq!(report, expected);
    }
}

/// In a container that was given the session of a terminal or another program, none of its processes can name
/// the leader.
#[test]
fn a_session_from_outside_the_pid_namespace_is_no_obstacle() {
    let inside = |command: &mut Command| {
        command.args(["--pid", "--fork", "--mount-proc", "--"]).stdin(Stdio::null());
    };
    let mut probe = Command::new("unshare");
    inside(&mut probe);
    if !probe.arg("true").stderr(Stdio::null()).status().is_ok_and(|s| s.success()) {
        return common::skipped("unshare(1) may not make a PID namespace here (it needs root)");
    }
    let place = Place::new();
    submit(&place, &["--id", "a"], &["sh", "-c", "echo ran"]);
    let ours = place.command();
    // A supervisor that cannot start would be awaited, so the wait has an end.
    let mut command = Command::new("timeout");
    command.args(["-s", "KILL", "60", "unshare"]);
    inside(&mut command);
    command.arg(ours.get_program()).args(["work", "--once"]).env_clear();
    command.envs(ours.get_envs().filter_map(|(k, v)| Some((k, v?))));
    Ran::of(&mut command).ends_with(0);
    assert_eq!(place.run(["jobs", "output", "a"]).ends_with(0).stdout, "ran\n");
}
