//! The control group around a job's processes, where one can be made.

use recovery::queue::JobStatus;
use recovery::system::{Presence, ProcessIdentity, presence};
use serde_json::Value;

use crate::common::skipped_by_the_machine;
use crate::crash::scene::{Scene, kill, read_json, wait_for};

/// Leaves a process behind that has given up session, environment and files, and waits.
const HIDING: &str = "env -i setsid sleep 1000 </dev/null >/dev/null 2>&1 & echo $! > $W/hidden; wait";

fn hidden(scene: &Scene) -> ProcessIdentity {
    scene.wait_for_witness("hidden");
    let pid = scene.witnessed("hidden")[0].parse().unwrap();
    wait_for("the process to hide", || {
        let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        environment.is_empty()
    });
    ProcessIdentity::of(pid).unwrap()
}

fn group_of(scene: &Scene) -> Option<std::path::PathBuf> {
    let sentinel: Value = read_json(&scene.job_file("it", "sentinel.json"));
    sentinel["cgroup"].as_str().map(Into::into)
}

#[test]
fn who_has_given_up_every_mark_is_found_all_the_same() {
    let scene = Scene::new();
    let daemon = scene.daemon(1);
    scene.submit("it", &[], HIDING);
    let hiding = hidden(&scene);
    let Some(group) = group_of(&scene) else {
        return skipped_by_the_machine("no control group can be made here");
    };
    daemon.kill();
    let command = scene.command_of("it");
    kill(scene.supervisor_of("it"));
    kill(command);
    let why = scene.json(&["why", "job:it"], 0);
    assert_eq!((&why["liveness"], &why["verdict"]), (&"alive".into(), &"orphaned_process".into()), "{why}");
    assert!(why["processes"].as_array().unwrap().iter().any(|p| p["pid"] == hiding.pid), "{why}");
    scene.recover().names("job-orphaned-process");
    scene.json(&["jobs", "cancel", "it"], 0);
    assert_eq!(presence(hiding), Presence::Gone);
    assert_eq!(scene.status("it"), JobStatus::Cancelled);
    assert!(!group.join("cgroup.procs").exists() || std::fs::remove_dir(&group).is_ok(), "it is empty");
}

#[test]
fn the_group_goes_with_the_job() {
    let scene = Scene::new();
    let _daemon = scene.daemon(1);
    scene.submit("it", &[], "sleep 1000 & echo began >> $W/it; until [ -e $W/open-it ]; do sleep 0.05; done");
    scene.wait_for_witness("it");
    let Some(group) = group_of(&scene) else {
        return skipped_by_the_machine("no control group can be made here");
    };
    assert!(group.join("cgroup.procs").exists());
    scene.open_gate("open-it");
    scene.wait_for_status("it", JobStatus::Succeeded);
    wait_for("the group to go", || !group.exists());
    let exit = read_json(&scene.job_file("it", "exit.json"));
    assert_eq!((&exit["tree_empty"], &exit["leftovers_ended"]), (&true.into(), &1.into()), "{exit}");
}

#[test]
fn without_groups_everything_else_is_the_same() {
    let scene = Scene::new();
    scene.place.write("config.toml", "[jobs]\ncgroup = false\n");
    let _daemon = scene.daemon(1);
    scene.submit("it", &["--timeout", "300ms"], "sleep 1000 & setsid sleep 1000 & echo began >> $W/it; wait");
    scene.wait_for_status("it", JobStatus::TimedOut);
    assert_eq!(group_of(&scene), None);
    let exit = read_json(&scene.job_file("it", "exit.json"));
    assert_eq!(exit["tree_empty"], true, "{exit}");
}

/// Files in a workspace belong to the job: what they say must not end another process.
#[test]
fn a_group_that_a_job_has_made_up_is_left_alone() {
    let scene = Scene::new();
    let daemon = scene.daemon(1);
    scene.submit("it", &[], super::GATED);
    scene.wait_for_witness("it");
    daemon.kill();
    let command = scene.command_of("it");
    kill(scene.supervisor_of("it"));
    for name in ["sentinel.json", "command.json"] {
        let path = scene.job_file("it", name);
        let mut document = read_json(&path);
        document["cgroup"] = "/sys/fs/cgroup".into();
        std::fs::write(&path, document.to_string()).unwrap();
    }
    let why = scene.json(&["why", "job:it"], 0);
    assert_eq!(why["verdict"], "orphaned_process", "{why}");
    assert!(why["evidence"].as_array().unwrap().iter().all(|e| e["kind"] != "cgroup"), "{why}");
    kill(command);
    wait_for("the crash", || {
        scene.open_gate("open-it");
        scene.recover();
        scene.status("it") == JobStatus::Crashed
    });
}
