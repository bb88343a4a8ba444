//! Nothing that somebody uses is removed: cleanups, `jobs prune`, orphans and the trash wait, refuse or keep,
//! and say who uses it.
#![allow(clippy::disallowed_methods)] // Tests make their own files.

use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use crate::common::{Background, Place, Ran, skipped, until};

const PRUNE: [&str; 4] = ["jobs", "prune", "--keep-days", "0"];

fn json_of(place: &Place, arguments: &[&str]) -> Value {
    Ran::of(place.command().arg("--json").args(arguments)).json()
}

/// A job that is over, with a file in its workspace.
fn ended_job(place: &Place, id: &str, options: &[&str]) -> PathBuf {
    let submit = [&["submit", "--id", id], options, &["--", "sh", "-c", "echo artefact > artefact"]].concat();
    place.run(&submit).ends_with(0);
    place.run(["work", "--once"]).ends_with(0);
    place.state().join("jobs").join(id)
}

/// A process that has a file open, and says so by a file of its own.
fn holder(place: &Place, file: &Path) -> Background {
    let ready = place.path("ready");
    let script = "exec 3<\"$1\"; : > \"$2\"; exec sleep 600";
    let holder = Background::start(Command::new("sh").args(["-c", script, "sh"]).arg(file).arg(&ready));
    until("the file to be open", || ready.exists());
    std::fs::remove_file(ready).unwrap();
    holder
}

#[test]
fn prune_refuses_while_a_queued_job_is_to_work_in_the_workspace() {
    let place = Place::new();
    let workspace = ended_job(&place, "c", &[]);
    place.run(["submit", "--id", "d", "--cwd", workspace.to_str().unwrap(), "--", "true"]).ends_with(0);
    for dry in [true, false] {
        let words = [&PRUNE[..], if dry { &["--dry-run"] } else { &[] }].concat();
        let report = json_of(&place, &words);
        let kept = &report["kept"][0];
        assert_eq!((&kept["job_id"], &kept["code"]), (&json!("c"), &json!("job-in-use")), "{report}");
        assert!(
            kept["detail"].as_str().unwrap().contains("job d, which is queued, is to work in it"),
            "{kept}"
        );
        assert_eq!(report["removed"], json!([]), "{report}");
    }
    assert!(workspace.join("artefact").exists());
    place.run(["jobs", "cancel", "d"]).ends_with(0);
    let removed = json_of(&place, &PRUNE)["removed"].as_array().unwrap().len();
    assert_eq!((removed, workspace.exists()), (2, false));
}

#[test]
fn prune_refuses_while_a_process_has_a_file_of_the_workspace_open() {
    let place = Place::new();
    let workspace = ended_job(&place, "c", &[]);
    let process = holder(&place, &workspace.join("artefact"));
    let report = json_of(&place, &PRUNE);
    let detail = report["kept"][0]["detail"].as_str().unwrap_or_else(|| panic!("{report}"));
    assert!(
        detail.contains(&format!("process {} (sleep) has a file of it open: artefact", process.pid())),
        "{detail}"
    );
    drop(process);
    assert_eq!(json_of(&place, &PRUNE)["removed"][0]["job_id"], "c");
    assert!(!workspace.exists());
}

/// The same holds for files that our own program was given: somebody wants what `jobs output -f` prints.
#[test]
fn prune_refuses_while_our_own_program_prints_into_the_workspace() {
    let place = Place::new();
    let workspace = ended_job(&place, "c", &[]);
    place.run(["submit", "--id", "long", "--", "sleep", "600"]).ends_with(0);
    let daemon = Background::start(place.command().args(["daemon", "--listen", "none"]));
    until("the job to run", || json_of(&place, &["jobs", "show", "long"])["status"] == "running");
    let plain = place.command();
    let mut shell = Command::new("sh");
    plain.get_envs().filter_map(|(name, value)| Some((name, value?))).for_each(|(name, value)| {
        shell.env(name, value);
    });
    shell.args(["-c", "exec \"$1\" jobs output -f long > \"$2\"", "sh"]).arg(plain.get_program());
    let follower = Background::start(shell.arg(workspace.join("log")));
    let pid = follower.pid();
    let own = std::fs::read_link(format!("/proc/{}/exe", daemon.pid())).unwrap();
    until("the program to be there", || {
        std::fs::read_link(format!("/proc/{pid}/exe")).is_ok_and(|program| program == own)
    });
    let report = json_of(&place, &PRUNE);
    let detail = report["kept"][0]["detail"].as_str().unwrap_or_else(|| panic!("{report}"));
    assert!(detail.contains(&format!("process {pid} ")) && detail.contains("open: log"), "{detail}");
    drop(follower);
    assert_eq!(json_of(&place, &PRUNE)["removed"][0]["job_id"], "c");
    place.run(["jobs", "cancel", "long"]).ends_with(0);
    until("the job to end", || json_of(&place, &["jobs", "show", "long"])["status"] == "cancelled");
    drop(daemon);
}

#[test]
fn prune_refuses_while_a_queued_job_names_a_file_of_the_workspace() {
    let place = Place::new();
    let workspace = ended_job(&place, "c", &[]);
    let script = workspace.join("artefact");
    place.run(["submit", "--id", "d", "--", "sh", script.to_str().unwrap()]).ends_with(0);
    let report = json_of(&place, &PRUNE);
    let detail = report["kept"][0]["detail"].as_str().unwrap_or_else(|| panic!("{report}"));
    assert!(
        detail.contains("job d, which is queued, names it, or something in it, in its command"),
        "{detail}"
    );
    place.run(["jobs", "cancel", "d"]).ends_with(0);
    assert!(!json_of(&place, &PRUNE)["removed"].as_array().unwrap().is_empty());
    assert!(!workspace.exists());
}

#[test]
fn cleanup_waits_while_a_process_works_in_the_workspace_and_goes_on_by_itself() {
    let place = Place::new();
    let workspace = ended_job(&place, "a", &["--auto-cleanup"]);
    let process = Background::start(Command::new("sleep").arg("600").current_dir(&workspace));
    let pid = process.pid();
    let daemon = Background::start(place.command().args(["daemon", "--listen", "none"]));
    until("the cleanup to wait", || {
        json_of(&place, &["cleanup", "state"])["cleanups"][0]["status"] == "waiting"
    });
    let state = json_of(&place, &["cleanup", "state"]);
    let finding = &state["findings"][0];
    let sentence = finding["sentence"].as_str().unwrap_or_else(|| panic!("{state}"));
    assert_eq!(finding["code"], "cleanup-waiting", "{finding}");
    assert!(
        sentence.contains(&format!("process {pid} (sleep) has its working directory in it")),
        "{sentence}"
    );
    assert!(workspace.join("artefact").exists());
    drop(process);
    until("the workspace to go", || !workspace.exists());
    until("the cleanup to be over", || json_of(&place, &["cleanup", "completed"])["total"] == 1);
    drop(daemon);
}

#[test]
fn trash_keeps_what_is_used_in_it() {
    let place = Place::new();
    place.run(["init"]).ends_with(0);
    place.write("state/jobs/ghost/file", "left");
    let grace = |words: &[&str]| {
        let mut command = place.command();
        Ran::of(command.env("RECOVERYCTL_ORPHANS_GRACE", "0s").arg("--json").args(words)).json()
    };
    grace(&["scan"]);
    let id = grace(&["orphans", "cleanup", "--yes"])["removed"][0]["id"].as_str().unwrap().to_owned();
    let file = place.state().join("orphans/trash").join(id).join("what/file");
    let process = holder(&place, &file);
    let report = json_of(&place, &["orphans", "empty-trash", "--yes"]);
    let error = report["failed"][0]["error"].as_str().unwrap_or_else(|| panic!("{report}"));
    assert!(error.contains("it is in use, and kept: process"), "{error}");
    assert!(file.exists());
    drop(process);
    json_of(&place, &["orphans", "empty-trash", "--yes"]);
    assert!(!file.exists());
}

#[test]
fn what_may_not_be_looked_at_protects_and_says_so() {
    const NOBODY: u32 = 65534;
    if !rustix::process::geteuid().is_root() {
        return skipped("becoming another user needs root");
    }
    let place = Place::new();
    let as_nobody = |words: &[&str]| {
        let plain = place.command();
        let mut command = Command::new("setpriv");
        command
            .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
            .arg(place.program_for_all())
            .args(words);
        command.env_clear().current_dir(place.path(""));
        plain.get_envs().filter_map(|(name, value)| Some((name, value?))).for_each(|(name, value)| {
            command.env(name, value);
        });
        Ran::of(command.env("RECOVERYCTL_ORPHANS_GRACE", "0s"))
    };
    chown(place.path(""), Some(NOBODY), Some(NOBODY)).unwrap();
    as_nobody(&["init"]).ends_with(0);
    place.write("state/jobs/ghost/file", "left");
    let ghost = place.state().join("jobs/ghost");
    [ghost.clone(), ghost.join("file")].iter().for_each(|p| chown(p, Some(NOBODY), Some(NOBODY)).unwrap());
    let process = Background::start(Command::new("sleep").arg("600").current_dir(&ghost));
    as_nobody(&["scan"]);
    let why = as_nobody(&["--json", "why", "job_directory:ghost"]).json();
    assert_eq!(why["verdict"], "unknown", "{why}");
    let reason = why["reason"].as_str().unwrap_or_else(|| panic!("{why}"));
    assert!(
        reason.starts_with("no-visitor: ") && reason.contains("may not be looked at by this user"),
        "{reason}"
    );
    as_nobody(&["orphans", "cleanup", "--yes"]);
    assert!(ghost.join("file").exists());
    drop(process);
}

/// Where `/proc` hides other users' processes, no process is known to be gone.
#[test]
fn processes_that_are_not_listed_protect_and_the_way_out_is_named() {
    const NOBODY: u32 = 65534;
    if !rustix::process::geteuid().is_root() {
        return skipped("another /proc needs root");
    }
    let place = Place::new();
    let as_nobody = |hides: &str, words: &[&str]| {
        let plain = place.command();
        let mut command = Command::new("unshare");
        let script = "mount -t proc -o hidepid=$1 proc /proc && shift && \
                      setpriv --reuid=65534 --regid=65534 --clear-groups \"$@\"; exit $?";
        command.args(["--pid", "--mount", "--fork", "--kill-child", "--", "sh", "-c", script, "sh", hides]);
        command.arg(place.program_for_all()).args(words).env_clear().current_dir(place.path(""));
        plain.get_envs().filter_map(|(name, value)| Some((name, value?))).for_each(|(name, value)| {
            command.env(name, value);
        });
        Ran::of(command.env("RECOVERYCTL_ORPHANS_GRACE", "0s"))
    };
    chown(place.path(""), Some(NOBODY), Some(NOBODY)).unwrap();
    as_nobody("0", &["init"]).ends_with(0);
    place.write("state/jobs/ghost/file", "left");
    let ghost = place.state().join("jobs/ghost");
    [ghost.clone(), ghost.join("file")].iter().for_each(|p| chown(p, Some(NOBODY), Some(NOBODY)).unwrap());
    as_nobody("0", &["scan"]);
    for hides in ["1", "2"] {
        let why = as_nobody(hides, &["--json", "why", "job_directory:ghost"]).json();
        assert_eq!(why["verdict"], "unknown", "hidepid={hides}: {why}");
        let checks = why.to_string();
        assert!(checks.contains("cannot be listed (hidepid") && checks.contains("run it as root"), "{why}");
    }
    let why = as_nobody("0", &["--json", "why", "job_directory:ghost"]).json();
    assert!(!why.to_string().contains("hidepid"), "{why}");
}

#[test]
fn mount_in_a_namespace_without_processes_keeps_the_files() {
    if !rustix::process::geteuid().is_root() {
        return skipped("mounts need root");
    }
    let place = Place::new();
    place.run(["init"]).ends_with(0);
    place.run(["submit", "--id", "a", "--", "sh", "-c", "mkdir m; echo x >n"]).ends_with(0);
    place.run(["work", "--once"]).ends_with(0);
    place.run(["cleanup", "start", "a"]).ends_with(0);
    let workspace = place.state().join("jobs/a");
    // A file in a namespace that the test made keeps the namespace, and ends with it. (unshare(1) 2.38 binds
    // it in a race with itself: "Invalid argument".)
    let script = "set -e; mkdir ns; mount --bind ns ns; mount --make-private ns; touch ns/kept; tries=0; \
                  until unshare --mount=ns/kept --propagation private mount -t tmpfs none \"$1/m\" 2>/dev/null; \
                  do tries=$((tries + 1)); [ $tries -lt 100 ]; done; shift; exec \"$@\"";
    let plain = place.command();
    let mut command = Command::new("unshare");
    command.args(["--mount", "--propagation", "private", "sh", "-c", script, "sh"]).arg(&workspace);
    command.arg(plain.get_program()).args(["--json", "cleanup", "run"]);
    command.env_clear().envs(plain.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let report = Ran::of(command.current_dir(place.path(""))).json();
    let phases = report["cleanups"][0]["phases"].to_string();
    assert!(phases.contains("the mount namespace that") && phases.contains("ns/kept keeps"), "{report:#}");
    assert!(workspace.join("n").exists());
    // Nothing is mounted in it any more.
    until("the files to go", || {
        place.run(["cleanup", "run"]);
        !workspace.exists()
    });
}
