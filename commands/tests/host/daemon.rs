//! A daemon that cannot make its threads, that is stopped, or that hangs.

use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::hang_the_loop;
use super::starts::has_finding;
use crate::common::skipped_by_the_machine;
use crate::crash::scene::{Daemon, Scene, wait_for};

/// Longer than a daemon that is told to end may take, on a busy machine.
const ENDS_WITHIN: Duration = Duration::from_secs(40);

fn ends(mut daemon: Daemon, what: &str) -> Option<i32> {
    let _ = kill_process(Pid::from_child(&daemon.child), Signal::TERM);
    let begun = Instant::now();
    loop {
        if let Some(status) = daemon.child.try_wait().unwrap() {
            return status.code();
        }
        assert!(begun.elapsed() < ENDS_WITHIN, "{what}: SIGTERM is not obeyed");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn give_to(uid: u32, folder: &std::path::Path) {
    std::os::unix::fs::chown(folder, Some(uid), Some(uid)).unwrap();
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        if entry.file_type().unwrap().is_dir() {
            give_to(uid, &entry.path());
        } else {
            std::os::unix::fs::lchown(entry.path(), Some(uid), Some(uid)).unwrap();
        }
    }
}

/// The binary as another user, with so many processes; without its standard streams.
fn as_user(scene: &Scene, uid: u32, processes: u32) -> Command {
    let own = scene.place.command();
    let mut command = Command::new("prlimit");
    command
        .arg(format!("--nproc={processes}:"))
        .arg(scene.place.program_for_all())
        .current_dir("/")
        .env_clear();
    for (name, value) in own.get_envs() {
        value.map(|value| command.env(name, value));
    }
    command.uid(uid).gid(uid).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

fn has_succeeded(scene: &Scene, uid: u32) -> bool {
    let mut command = as_user(scene, uid, 5_000);
    let output = command.args(["--json", "jobs", "list"]).stdout(Stdio::piped()).output().unwrap();
    let jobs: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
    jobs["jobs"][0]["status"] == "succeeded"
}

#[test]
fn daemon_with_few_processes_works_or_ends_and_obeys() {
    if !rustix::process::geteuid().is_root() {
        return skipped_by_the_machine("only root can be another user");
    }
    for limit in [4, 6, 7, 8, 9, 10, 12] {
        let scene = Scene::new();
        scene.submit("j", &["--on-crash", "requeue"], "true");
        let uid = 61_000 + std::process::id() % 2_000 * 2 + limit;
        give_to(uid, &scene.place.path(""));
        let child = as_user(&scene, uid, limit).args(["daemon", "--listen", "127.0.0.1:0"]).spawn().unwrap();
        let mut daemon = Daemon { child };
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(5) {
            if daemon.child.try_wait().unwrap().is_some() || has_succeeded(&scene, uid) {
                break;
            }
        }
        if let Some(status) = daemon.child.try_wait().unwrap() {
            assert!(!status.success(), "{limit}: it ended as if all were well");
            continue;
        }
        // The user may do this: the hard limit stays.
        let pid = daemon.child.id().to_string();
        let mut lift = Command::new("prlimit");
        lift.args(["--pid", &pid, "--nproc=5000:"]).uid(uid).gid(uid);
        if !lift.status().unwrap().success() {
            assert!(daemon.child.try_wait().unwrap().is_some(), "the limit of {limit} stays");
        }
        wait_for(&format!("the job, when the limit of {limit} is gone"), || {
            has_succeeded(&scene, uid) || daemon.child.try_wait().unwrap().is_some()
        });
        ends(daemon, &format!("limit {limit}"));
    }
}

#[test]
fn stopped_daemon_is_told_by_health_and_goes_on() {
    let scene = Scene::new();
    let daemon = scene.daemon(1);
    let pid = Pid::from_child(&daemon.child);
    let turn = scene.place.state().join("daemon/turn");
    wait_for("a turn to be written down", || turn.exists());
    assert!(!has_finding(&scene, "daemon-hangs"));
    kill_process(pid, Signal::STOP).unwrap();
    // The loop seems to have been stopped for long: the time is by the clock of this boot.
    let text = format!("{:<63}\n", format!("{{\"pid\":{},\"boot_ms\":1}}", daemon.child.id()));
    std::fs::write(&turn, text).unwrap();
    let status = scene.json(&["status"], 3);
    assert_eq!(status["state"], "unwatched");
    assert!(has_finding(&scene, "daemon-hangs"));
    assert!(status["findings"].to_string().contains("is stopped"), "{status}");
    assert_eq!(scene.run(&["health"]).status, 3);
    kill_process(pid, Signal::CONT).unwrap();
    wait_for("the finding to go", || !has_finding(&scene, "daemon-hangs"));
    assert_eq!(ends(daemon, "a daemon that was stopped"), Some(0));
}

#[test]
fn daemon_whose_loop_hangs_obeys_the_signal_to_end() {
    let scene = Scene::new();
    let daemon = scene.daemon(1);
    let _writer = hang_the_loop(&scene);
    ends(daemon, "a daemon that hangs");
}
