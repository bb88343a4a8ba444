//! Causes that keep every job from starting are distinguished from causes that keep one.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use recovery::queue::{Actor, JobStatus, Operation, append};
use recovery::state::{Clock, StateDir};
use serde_json::Value;

use crate::common::copy_program;
use crate::crash::scene::{Daemon, Scene, wait_for};

pub fn has_finding(scene: &Scene, code: &str) -> bool {
    let ran = scene.run(&["--json", "status"]);
    let status: Value = serde_json::from_str(&ran.stdout).unwrap_or_default();
    let found = status["findings"].as_array().cloned().unwrap_or_default();
    found.iter().any(|finding| finding["code"] == code)
}

/// A daemon whose program is a copy of its own, which may be taken away.
fn daemon_of_a_copy(scene: &Scene) -> (Daemon, PathBuf) {
    let program = scene.place.path("bin/recoveryctl");
    std::fs::create_dir_all(program.parent().unwrap()).unwrap();
    copy_program(env!("CARGO_BIN_EXE_recoveryctl"), &program);
    let usual = scene.place.command();
    let mut command = Command::new(&program);
    command.env_clear();
    for (name, value) in usual.get_envs() {
        value.map(|value| command.env(name, value));
    }
    command.args(["daemon", "--workers", "3", "--listen", "none"]).current_dir(scene.place.path(""));
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    (Daemon { child: command.spawn().unwrap() }.ready_in(&scene.place.state()), program)
}

fn assert_nothing_was_spent(scene: &Scene, id: &str) {
    let job = scene.job(id);
    let run = job.run_state();
    assert_eq!((job.status, job.attempt, run.attempts.len()), (JobStatus::Succeeded, 1, 1), "{job:?}");
    assert!(run.history.iter().all(|turn| turn.status != JobStatus::Crashed), "{job:?}");
}

#[test]
fn queue_waits_while_program_is_missing_and_goes_on_by_itself() {
    let scene = Scene::new();
    scene.place.write("config.toml", "[jobs]\nstart_tries = 2\n");
    let (_daemon, program) = daemon_of_a_copy(&scene);
    let away = scene.place.path("bin/away");
    std::fs::rename(&program, &away).unwrap();
    for id in ["a", "b", "c", "d"] {
        scene.submit(id, &[], "true");
    }
    wait_for("the finding", || has_finding(&scene, "host-cannot-start"));
    let status = scene.json(&["status"], 3);
    assert_eq!(status["state"], "degraded");
    assert!(status["status"].as_str().unwrap().contains("no job is started"), "{status}");
    assert_eq!(scene.run(&["health"]).status, 3);
    assert!(scene.queue().state().jobs().all(|job| job.run_state().history.is_empty()), "not even claimed");
    std::fs::rename(&away, &program).unwrap();
    for id in ["a", "b", "c", "d"] {
        scene.wait_for_status(id, JobStatus::Succeeded);
        assert_nothing_was_spent(&scene, id);
    }
    wait_for("the finding to go", || !has_finding(&scene, "host-cannot-start"));
}

#[test]
fn supervisors_that_all_die_at_once_cost_no_job_its_starts() {
    let scene = Scene::new();
    scene.place.write("config.toml", "[jobs]\nstart_tries = 2\n");
    let (_daemon, program) = daemon_of_a_copy(&scene);
    let away = scene.place.path("bin/away");
    std::fs::rename(&program, &away).unwrap();
    // The program can be executed and ends, as when a library is missing. For the second job it takes its
    // time, and until then the failures of the first one could count against that job.
    let script = "#!/bin/sh\ncase \"$*\" in *'--job b'*) sleep 1;; esac\nexit 127\n";
    std::fs::write(&program, script).unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    let lines = "{\"command\":[\"true\"],\"id\":\"a\"}\n{\"command\":[\"true\"],\"id\":\"b\"}\n";
    let file = scene.place.write("jobs.jsonl", lines);
    scene.run(&["submit", "--from", file.to_str().unwrap()]).ends_with(0);
    wait_for("the finding", || has_finding(&scene, "host-cannot-start"));
    std::fs::rename(&away, &program).unwrap();
    for id in ["a", "b"] {
        scene.wait_for_status(id, JobStatus::Succeeded);
        assert_nothing_was_spent(&scene, id);
    }
}

#[test]
fn program_that_is_being_written_is_waited_for() {
    let scene = Scene::new();
    let _daemon = scene.daemon(2);
    let script = scene.place.path("tool");
    std::fs::copy("/bin/true", &script).unwrap();
    let writing = std::fs::OpenOptions::new().write(true).open(&script).unwrap();
    let command = script.to_str().unwrap();
    scene.run(&["submit", "--id", "busy", "--", command]).ends_with(0);
    // Longer than the process that is to become the command tries by itself.
    wait_for("the finding", || has_finding(&scene, "host-cannot-start"));
    assert_ne!(scene.status("busy"), JobStatus::Failed);
    drop(writing);
    scene.wait_for_status("busy", JobStatus::Succeeded);
    assert_nothing_was_spent(&scene, "busy");
}

#[test]
fn what_a_command_names_wrongly_is_still_its_own_failure() {
    let scene = Scene::new();
    let _daemon = scene.daemon(2);
    let tool = scene.place.write("not-a-program", "");
    for (id, command) in [("missing", "/no/such/program"), ("forbidden", tool.to_str().unwrap())] {
        scene.run(&["submit", "--id", id, "--", command]).ends_with(0);
        scene.wait_for_status(id, JobStatus::Failed);
    }
    assert_eq!(scene.job("missing").run_state().exit_code, Some(127));
    assert_eq!(scene.job("forbidden").run_state().exit_code, Some(126));
    let output = scene.run(&["jobs", "output", "missing"]).ends_with(0).stdout;
    assert!(output.contains("/no/such/program"), "{output}");
    assert!(!has_finding(&scene, "host-cannot-start"));
}

#[test]
fn claim_whose_start_does_not_come_about_is_told() {
    let scene = Scene::new();
    scene.submit("a", &[], "true");
    let dir = scene.dir();
    let earlier = Clock::fixed(dir.clock.now().plus_millis(-120_000));
    let claim = Operation::Claim { job: "a".parse().unwrap(), attempt: 1, host: None };
    append(&StateDir { clock: earlier, ..dir }, &Actor::default(), &[claim]).unwrap();
    assert!(has_finding(&scene, "job-start-hangs"));
    assert_eq!(scene.json(&["status"], 3)["state"], "unwatched");
    assert_eq!(scene.run(&["health"]).status, 3);
    scene.recover();
    assert_eq!(scene.status("a"), JobStatus::Queued);
    assert!(!has_finding(&scene, "job-start-hangs"));
}
