//! Ends that come from outside, and ends that are owed: the effect on a job of a shutdown, a stray signal, a
//! killed client and a process that cannot be ended.
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

/// Records only the cancel, as when the process that recorded it was killed before it told anybody.
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
fn interruption_that_a_killed_supervisor_noted_is_told_by_the_recovery() {
    let scene = Scene::new();
    scene.place.write("config.toml", "[jobs]\nkill_grace = \"1h\"\n");
    let daemon = scene.daemon(1);
    // This is one process: a child of it would live on for a moment when it is killed.
    scene.submit("deaf", &[], "trap '' TERM; echo began >> $W/deaf; exec sleep 600");
    scene.wait_for_witness("deaf");
    daemon.terminate();
    let (supervisor, command) = (scene.supervisor_of("deaf"), scene.command_of("deaf"));
    signal_process(supervisor, Signal::TERM).unwrap();
    wait_for("the note in the sentinel", || {
        !crate::crash::scene::read_json(&scene.job_file("deaf", "sentinel.json"))["interrupted"].is_null()
    });
    crate::crash::scene::kill(supervisor);
    crate::crash::scene::kill(command);
    scene.recover().names("job-interrupted");
    let job = scene.json(&["jobs", "show", "deaf"], 0);
    assert_eq!((&job["status"], &job["reason"]), (&"crashed".into(), &"interrupted".into()), "{job:#}");
    assert_eq!(job["ended_by"]["pid"], std::process::id(), "{job:#}");
}

#[test]
fn recorded_cancel_of_a_stopped_supervisor_is_carried_out_by_the_daemon() {
    let scene = Scene::new();
    let _daemon = scene.daemon(1);
    scene.submit("sleeps", &[], SLEEPS);
    scene.wait_for_witness("sleeps");
    // The supervisor neither receives a signal nor reads the log.
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
    // The records are two minutes old, by this clock.
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

fn program() -> &'static str {
    env!("CARGO_BIN_EXE_recoveryctl")
}

/// Returns the script of a deploy job: it stops the daemon that runs it, and starts another.
fn restarting(scene: &Scene, how: &str, rest: &str) -> String {
    let (log, pid) = (scene.place.path("new.log"), std::process::id());
    let old = crate::crash::scene::read_json(&scene.place.state().join("daemon/daemon.json"))["pid"].clone();
    let daemon = format!("'{}' daemon --listen none >'{}' 2>&1 </dev/null", program(), log.display());
    let started = how.replace("DAEMON", &daemon);
    // The test is the old daemon's parent: the PID exists until the test has reaped it.
    format!(
        "kill {old}; until [ -e $W/stopped-{pid} ]; do sleep 0.02; done; {started} echo began >> $W/upgrade; {rest}"
    )
}

/// The new daemon's process, once it takes jobs.
fn new_daemon(scene: &Scene, old: u32) -> ProcessIdentity {
    let info = || crate::crash::scene::read_json(&scene.place.state().join("daemon/daemon.json"));
    let is_new = || info()["ready"] == true && info()["pid"] != 0 && info()["pid"] != old;
    let exists = || scene.place.state().join("daemon/daemon.json").exists();
    wait_for("the new daemon to take jobs", || exists() && is_new());
    ProcessIdentity::of(u32::try_from(info()["pid"].as_u64().unwrap()).unwrap()).unwrap()
}

/// A job that has started a daemon in this way, and goes on in that way; the daemon, and a job that it has started.
fn restarted(how: &str, options: &[&str], rest: &str) -> (Scene, ProcessIdentity, ProcessIdentity) {
    let scene = Scene::new();
    let daemon = scene.daemon(2);
    let old = daemon.child.id();
    scene.submit("upgrade", options, &restarting(&scene, how, rest));
    let mut child = daemon;
    wait_for("the job to stop the daemon", || child.child.try_wait().unwrap().is_some());
    scene.open_gate(&format!("stopped-{}", std::process::id()));
    scene.wait_for_witness("upgrade");
    let new = new_daemon(&scene, old);
    scene.submit("victim", &[], "echo began >> $W/victim; exec sleep 1000");
    scene.wait_for_witness("victim");
    let victim = scene.command_of("victim");
    (scene, new, victim)
}

#[track_caller]
fn both_live(scene: &Scene, new: ProcessIdentity, victim: ProcessIdentity) {
    assert!(!is_gone(new), "the daemon was ended");
    assert!(!is_gone(victim), "its job was ended");
    assert_eq!(scene.status("victim"), JobStatus::Running);
}

#[test]
fn daemon_started_in_a_job_outlives_the_jobs_end_however_it_was_started() {
    for how in ["setsid DAEMON &", "nohup DAEMON &", "(DAEMON &);", "DAEMON &"] {
        let (scene, new, victim) = restarted(how, &[], "until [ -e $W/go ]; do sleep 0.05; done");
        scene.open_gate("go");
        scene.wait_for_status("upgrade", JobStatus::Succeeded);
        both_live(&scene, new, victim);
        let environment = recovery::system::environment_of(new.pid).unwrap();
        assert!(!environment.iter().any(|e| e.starts_with(b"RECOVERYCTL_JOB_ID=")), "{how}");
    }
}

#[test]
fn daemon_started_in_a_job_outlives_its_cancel_its_time_limit_and_its_crash() {
    let waits = "while :; do sleep 0.05; done";
    let (scene, new, victim) = restarted("nohup DAEMON &", &[], waits);
    scene.json(&["jobs", "cancel", "upgrade"], 0);
    scene.wait_for_status("upgrade", JobStatus::Cancelled);
    both_live(&scene, new, victim);

    let (scene, new, victim) = restarted("DAEMON &", &["--timeout", "5s"], waits);
    scene.wait_for_status("upgrade", JobStatus::TimedOut);
    both_live(&scene, new, victim);

    let (scene, new, victim) = restarted("DAEMON &", &[], waits);
    kill(scene.supervisor_of("upgrade"));
    scene.json(&["jobs", "cancel", "upgrade"], 0);
    scene.wait_for_status("upgrade", JobStatus::Cancelled);
    both_live(&scene, new, victim);
}

/// The scene of an ordinary user whose job becomes root for a step, and leaves a process that the user may not end.
/// That process notes its PID in the witness file `root`.
struct Ordinary {
    scene: Scene,
    become_root: std::path::PathBuf,
}

const UID: u32 = 61_234;

impl Ordinary {
    /// Returns `None`, with a printed reason, where this is not possible.
    fn new() -> Option<Ordinary> {
        use std::os::unix::fs::{PermissionsExt, chown};
        if !rustix::process::geteuid().is_root() {
            crate::common::skipped("only root can make a program that changes its user");
            return None;
        }
        let scene = Scene::new();
        scene.place.write("config.toml", "[jobs]\nkill_grace = \"300ms\"\n");
        let become_root = scene.place.path("become-root");
        crate::common::copy_program("/usr/bin/setpriv", &become_root);
        std::fs::set_permissions(&become_root, std::fs::Permissions::from_mode(0o4755)).unwrap();
        let folder = scene.place.path("");
        std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o755)).unwrap();
        let mut all = vec![folder];
        while let Some(path) = all.pop() {
            if path != become_root {
                chown(&path, Some(UID), Some(UID)).unwrap();
            }
            if path.is_dir() {
                all.extend(std::fs::read_dir(&path).unwrap().map(|e| e.unwrap().path()));
            }
        }
        let ordinary = Ordinary { scene, become_root };
        let mut id = ordinary.as_user("sh");
        let root = id.args(["-c", &format!("{} id -u", ordinary.root_command())]).output();
        let is_root = root.is_ok_and(|said| said.stdout == b"0\n");
        if !is_root {
            crate::common::skipped_by_the_machine("a setuid program has no effect in the temporary folder");
            return None;
        }
        Some(ordinary)
    }

    fn root_command(&self) -> String {
        format!("'{}' --reuid=0 --regid=0 --clear-groups", self.become_root.display())
    }

    fn program(&self) -> String {
        self.scene.place.program_for_all().display().to_string()
    }

    fn as_user(&self, program: &str) -> std::process::Command {
        let mut command = std::process::Command::new("setpriv");
        command.args([&format!("--reuid={UID}"), &format!("--regid={UID}"), "--clear-groups", program]);
        let own = self.scene.place.command();
        command.env_clear().envs(own.get_envs().filter_map(|(name, value)| Some((name, value?))));
        command.current_dir("/").stdin(std::process::Stdio::null());
        command
    }

    fn run(&self, arguments: &[&str]) -> serde_json::Value {
        let said = self.as_user(&self.program()).arg("--json").args(arguments).output().unwrap();
        serde_json::from_slice(&said.stdout).unwrap_or_default()
    }

    fn daemon(&self) -> crate::crash::scene::Daemon {
        let mut command = self.as_user(&self.program());
        command.args(["daemon", "--listen", "none", "--workers", "4"]);
        command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
        crate::crash::scene::Daemon { child: command.spawn().unwrap() }.ready_in(&self.scene.place.state())
    }

    /// Submits a job on a repository that leaves a process of root, which has given up environment and
    /// session. The command goes on only then: until that process is root, the job's user may end it.
    fn submit_step(&self, then: &str) {
        let pid = self.scene.witness("root").display().to_string();
        let deaf = format!("trap '' TERM INT HUP; echo \\$\\$ > {pid}; while :; do sleep 0.1; done");
        let as_root = format!("{} env -i PATH=\"$PATH\" setsid sh -c \"{deaf}\"", self.root_command());
        let script = format!("{as_root} & until [ -s {pid} ]; do sleep 0.02; done; {then}");
        self.run(&["submit", "--id", "step", "--repo", "web", "--", "sh", "-c", &script]);
        self.run(&["submit", "--id", "next", "--repo", "web", "--", "true"]);
    }

    fn of_root(&self) -> ProcessIdentity {
        self.scene.wait_for_witness("root");
        ProcessIdentity::of(self.scene.witnessed("root")[0].parse().unwrap()).unwrap()
    }

    fn status(&self, id: &str) -> String {
        self.run(&["jobs", "show", id])["status"].as_str().unwrap_or_default().to_owned()
    }

    /// Checks that the job runs, says what it waits for, and keeps its repository.
    #[track_caller]
    fn is_kept_for(&self, process: ProcessIdentity) {
        wait_for("the condition", || {
            let conditions = self.run(&["jobs", "show", "step"])["conditions"].clone();
            let found = conditions.as_array().into_iter().flatten().find(|c| c["condition"] == "cannot_end");
            found.is_some_and(|c| c["pids"].as_array().unwrap().iter().any(|pid| *pid == process.pid))
        });
        assert_eq!((self.status("step").as_str(), self.status("next").as_str()), ("running", "queued"));
        let findings = self.run(&["findings"])["findings"].clone();
        let found = findings.as_array().unwrap().iter().find(|f| f["code"] == "job-cannot-end").cloned();
        let sentence = found.unwrap_or_else(|| panic!("{findings:#}"))["sentence"].to_string();
        let status = self.run(&["status"]);
        assert_eq!(status["state"], "degraded", "what cannot end keeps its repository: {status:#}");
        let named = [process.pid.to_string(), "user 0".to_owned(), format!("kill -KILL {}", process.pid)];
        assert!(named.iter().all(|part| sentence.contains(part)), "{sentence}");
    }
}

impl Drop for Ordinary {
    fn drop(&mut self) {
        if let Some(pid) = self.scene.witnessed("root").first().and_then(|line| line.parse().ok()) {
            let _ = ProcessIdentity::of(pid).map(|process| signal_process(process, Signal::KILL));
        }
    }
}

#[test]
fn job_is_not_over_while_a_process_of_another_user_lives_and_ends_with_it() {
    for (then, cancelled) in [("exit 3", false), ("while :; do sleep 0.1; done", true)] {
        let Some(ordinary) = Ordinary::new() else { return };
        let _daemon = ordinary.daemon();
        ordinary.submit_step(then);
        let process = ordinary.of_root();
        if cancelled {
            ordinary.run(&["jobs", "cancel", "step"]);
        }
        ordinary.is_kept_for(process);
        kill(process);
        let expected = if cancelled { "cancelled" } else { "failed" };
        wait_for("the job to end by itself", || ordinary.status("step") == expected);
        wait_for("the next one", || ordinary.status("next") == "succeeded");
        if !cancelled {
            assert_eq!(ordinary.run(&["jobs", "show", "step"])["exit_code"], 3);
        }
    }
}

#[test]
fn job_is_not_over_either_when_its_supervisor_was_killed_meanwhile() {
    let Some(ordinary) = Ordinary::new() else { return };
    let _daemon = ordinary.daemon();
    ordinary.submit_step("exit 3");
    let process = ordinary.of_root();
    ordinary.is_kept_for(process);
    kill(ordinary.scene.supervisor_of("step"));
    ordinary.is_kept_for(process);
    kill(process);
    wait_for("the job to end as it ended", || ordinary.status("step") == "failed");
    assert_eq!(ordinary.run(&["jobs", "show", "step"])["exit_code"], 3);
    wait_for("the next one", || ordinary.status("next") == "succeeded");
}

/// Neither a descriptor nor the environment shows the process: only the lock's metadata names it, wherever
/// the directory was moved meanwhile.
#[test]
fn lock_that_is_told_to_end_stays_with_what_cannot_be_ended() {
    for is_moved in [false, true] {
        let Some(ordinary) = Ordinary::new() else { return };
        let pid = ordinary.scene.witness("root").display().to_string();
        let closing = "for fd in /proc/self/fd/*; do n=${fd##*/}; [ $n -gt 2 ] && eval \"exec $n>&-\"; done";
        let deaf = format!("{closing}; trap '' TERM INT HUP; echo $$ > {pid}; while :; do sleep 0.1; done");
        let file = ordinary.scene.place.write("deaf.sh", &deaf);
        let as_root =
            format!("{} env -i PATH=\"$PATH\" setsid bash {}", ordinary.root_command(), file.display());
        ordinary.scene.place.write("config.toml", "[jobs]\nkill_grace = \"300ms\"\ncgroup = false\n");
        let program = ordinary.program();
        let mut command = ordinary.as_user(&program);
        let mut lock =
            command.args(["lock", "web", "--", "sh", "-c", &format!("{as_root}; true")]).spawn().unwrap();
        let process = ordinary.of_root();
        let mut state = ordinary.scene.place.state();
        if is_moved {
            let moved = ordinary.scene.place.path("moved");
            std::fs::rename(&state, &moved).unwrap();
            state = moved;
        }
        terminate(lock.id());
        assert_eq!(lock.wait().unwrap().code(), Some(143));
        let asked = |words: &[&str]| {
            let mut command = ordinary.as_user(&program);
            command.arg("--state-dir").arg(&state).args(words).output().unwrap()
        };
        let is_granted = || asked(&["lock", "web", "--wait", "0s", "--", "true"]).status.success();
        assert!(ProcessIdentity::of(process.pid) == Some(process) && !is_granted(), "moved: {is_moved}");
        let shown = asked(&["locks", "inspect", "web", "--json"]);
        let shown: serde_json::Value = serde_json::from_slice(&shown.stdout).unwrap();
        let left = shown["locks"][0]["metadata"]["left"].as_array().cloned().unwrap_or_default();
        assert!(left.iter().any(|one| one["pid"] == process.pid), "moved: {is_moved}: {shown}");
        kill(process);
        wait_for("it to be free", is_granted);
    }
}

const GATED: &str = "echo began >> $W/$RECOVERYCTL_JOB_ID; until [ -e $W/open ]; do sleep 0.05; done";

fn terminate(process: u32) {
    signal_process(ProcessIdentity::of(process).unwrap(), Signal::TERM).unwrap();
}

#[test]
fn daemon_drains_when_told_to_end_and_starts_nothing_more() {
    let scene = Scene::new();
    scene.place.write("config.toml", "[daemon]\ndrain_timeout = \"10m\"\n");
    let mut daemon = scene.daemon(2);
    scene.submit("runs", &[], GATED);
    scene.wait_for_witness("runs");
    terminate(daemon.child.id());
    // The line at which others wait for a scheduler is given up when it drains.
    let line = scene.dir().paths.scheduling_lock();
    wait_for("the daemon to drain", || !recovery::durable::is_held(&line).unwrap());
    scene.submit("later", &[], "true");
    assert!(daemon.child.try_wait().unwrap().is_none(), "it waits for the job");
    scene.open_gate("open");
    wait_for("the daemon to end", || daemon.child.try_wait().unwrap().is_some());
    assert_eq!(daemon.child.wait().unwrap().code(), Some(0));
    assert_eq!((scene.status("runs"), scene.status("later")), (JobStatus::Succeeded, JobStatus::Queued));
}

#[test]
fn second_signal_ends_a_draining_daemon_and_leaves_its_jobs_running() {
    let scene = Scene::new();
    scene.place.write("config.toml", "[daemon]\ndrain_timeout = \"10m\"\n");
    let mut daemon = scene.daemon(1);
    scene.submit("runs", &[], GATED);
    scene.wait_for_witness("runs");
    terminate(daemon.child.id());
    let line = scene.dir().paths.scheduling_lock();
    wait_for("the daemon to drain", || !recovery::durable::is_held(&line).unwrap());
    terminate(daemon.child.id());
    wait_for("the daemon to end", || daemon.child.try_wait().unwrap().is_some());
    assert_eq!(scene.status("runs"), JobStatus::Running);
    scene.open_gate("open");
    scene.wait_for_status("runs", JobStatus::Succeeded);
}

/// As `docker stop` does it: only the first process is signalled, and all others end with it.
#[test]
fn first_process_of_a_container_interrupts_its_jobs_before_it_ends() {
    if !rustix::process::geteuid().is_root() {
        return crate::common::skipped("only root can make a process namespace");
    }
    let scene = Scene::new();
    let mut command = std::process::Command::new("unshare");
    command.args([
        "--pid",
        "--fork",
        "--mount-proc",
        "--kill-child",
        program(),
        "daemon",
        "--listen",
        "none",
    ]);
    let own = scene.place.command();
    command.env_clear().envs(own.get_envs().filter_map(|(name, value)| Some((name, value?))));
    command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
    let mut daemon = crate::crash::scene::Daemon { child: command.spawn().unwrap() };
    let info = scene.place.state().join("daemon/daemon.json");
    wait_for("the daemon to take jobs", || {
        if daemon.child.try_wait().unwrap().is_some() {
            return true;
        }
        let text = std::fs::read_to_string(&info).unwrap_or_default();
        serde_json::from_str::<serde_json::Value>(&text).unwrap_or_default()["ready"] == true
    });
    if daemon.child.try_wait().unwrap().is_some() {
        return crate::common::skipped_by_the_machine("no process namespace can be made here");
    }
    scene.submit("saves", &["--on-crash", "requeue"], SAVES);
    scene.wait_for_witness("saves");
    let first =
        recovery::system::process_table().into_iter().find(|p| p.parent == daemon.child.id()).unwrap();
    signal_process(first.identity, Signal::TERM).unwrap();
    wait_for("the container to end", || daemon.child.try_wait().unwrap().is_some());
    let job = scene.job("saves");
    assert_eq!((job.status, job.attempt), (JobStatus::Queued, 2));
    assert_eq!(job.run_state().reason.as_deref(), Some("interrupted"));
    assert!(scene.job_file("saves", "checkpoint").exists());
}

#[test]
fn peak_and_run_time_begin_when_the_command_begins() {
    let scene = Scene::new();
    let _daemon = scene.daemon(1);
    scene.submit("small", &[], "exec sleep 0.7");
    scene.wait_for_status("small", JobStatus::Succeeded);
    let shown = scene.json(&["jobs", "show", "small"], 0);
    let attempt = &shown["attempts"][0];
    // The memory of sleep(1) is far less than that of the process that became it.
    let peak = attempt["memory_peak_bytes"].as_u64().unwrap_or_else(|| panic!("{attempt}"));
    assert!((100_000..6_000_000).contains(&peak), "{attempt}");
    let record = crate::crash::scene::read_json(&scene.job_file("small", "command.json"));
    assert_eq!(attempt["started_at"], record["started_at"], "{attempt}");
    let had = record["used_before"]["memory_peak_bytes"].as_u64().unwrap();
    assert!(had > peak, "{record}");
}
