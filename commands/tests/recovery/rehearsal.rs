//! `recover --rehearse`: says what would happen, and the state directory stays as it is, byte for byte.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use recovery::queue::JobStatus;
use recovery::system::{ProcessIdentity, signal_process};
use rustix::process::Signal;
use serde_json::json;

use super::{after_a_crash, phase_of};
use crate::common::{Background, Ran};
use crate::crash::scene::{Scene, wait_for};

/// Every file with its content and its time.
fn everything(folder: &Path) -> BTreeMap<PathBuf, (Vec<u8>, std::time::SystemTime)> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
        if entry.file_type().unwrap().is_dir() {
            found.extend(everything(&entry.path()));
        } else {
            let modified = entry.metadata().unwrap().modified().unwrap();
            // A killed daemon's socket has no content.
            let is_file = entry.file_type().unwrap().is_file();
            let content = if is_file { std::fs::read(entry.path()).unwrap() } else { Vec::new() };
            found.insert(entry.path(), (content, modified));
        }
    }
    found
}

#[test]
fn what_would_happen_is_said_and_nothing_is_changed() {
    let scene = after_a_crash();
    std::fs::write(scene.dir().paths.jobs().join(".tmp-aB3dE9"), "half").unwrap();
    let before = everything(&scene.place.state());
    let rehearsed = scene.json(&["recover", "--rehearse"], 0);
    assert_eq!(everything(&scene.place.state()), before);
    assert_eq!(rehearsed["rehearsal"], true);
    let proof = &rehearsed["proof"];
    assert_eq!((&proof["unchanged"], &proof["before"]), (&json!(true), &proof["after"]), "{proof}");
    // The copy has no content of workspaces: each counts as one entry.
    let jobs = scene.dir().paths.jobs();
    let is_outside = |path: &&PathBuf| path.parent() == Some(&jobs) || !path.starts_with(&jobs);
    let folders = std::fs::read_dir(&jobs).unwrap().flatten().filter(|entry| entry.path().is_dir()).count();
    let seen = before.keys().filter(is_outside).count() + folders;
    assert_eq!((&proof["files"], &proof["live"]), (&json!(seen), &json!([])), "{proof}");
    assert_eq!(rehearsed["details"]["jobs"]["crashed"], 1);
    let changed = |path: &str, how: &str| {
        let changes = rehearsed["changes"].as_array().unwrap();
        changes.iter().any(|c| c["path"] == path && c["change"] == how)
    };
    assert!(
        changed("jobs/.tmp-aB3dE9", "removed") && changed("jobs/gone.job.json", "changed"),
        "{rehearsed:#}"
    );
    assert!(changed("locks/web.lock.json", "changed"), "{rehearsed:#}");
    // The real recovery goes the same way.
    let done = scene.recover();
    for phase in ["startup", "queue", "jobs", "locks", "webhooks", "cleanup", "orphans"] {
        let (would, did) = (phase_of(&rehearsed, phase), phase_of(&done.document, phase));
        assert_eq!(would["message"], did["message"], "{phase}");
    }
    assert_eq!(scene.status("gone"), JobStatus::Crashed);
    let again = scene.json(&["recover", "--rehearse"], 0);
    assert_eq!(again["details"]["jobs"]["crashed"], 0);
}

/// Living jobs are seen by the locks that they hold and by their processes, though the copy is elsewhere.
#[test]
fn living_jobs_are_alive_in_the_rehearsal_too() {
    let scene = Scene::new();
    let daemon = scene.daemon(2);
    for id in ["held", "orphan"] {
        scene.submit(
            id,
            &["--repo", id],
            "echo began >> $W/$RECOVERYCTL_JOB_ID; until [ -e $W/open ]; do sleep 0.02; done",
        );
        scene.wait_for_witness(id);
    }
    daemon.kill();
    crate::crash::scene::kill(scene.supervisor_of("orphan"));
    let commands = ["held", "orphan"].map(|id| scene.command_of(id));
    let rehearsed = scene.json(&["recover", "--rehearse"], 0);
    let jobs = &rehearsed["details"]["jobs"];
    assert_eq!((&jobs["found"], &jobs["reattached"]), (&json!(2), &json!(2)), "{rehearsed:#}");
    let locks = &rehearsed["details"]["locks"];
    assert_eq!((&locks["kept"], &locks["released"]), (&json!(2), &json!(0)), "{rehearsed:#}");
    let live: Vec<&str> =
        rehearsed["proof"]["live"].as_array().unwrap().iter().filter_map(|l| l.as_str()).collect();
    assert!(live.contains(&"attempts/held/sentinel.lock"), "{live:?}");
    for command in commands {
        assert_eq!(recovery::system::ProcessIdentity::of(command.pid), Some(command), "no signal was sent");
    }
    scene.open_gate("open");
    scene.wait_for_status("held", JobStatus::Succeeded);
}

#[test]
fn a_damaged_queue_is_rehearsed_without_mending_it() {
    let scene = after_a_crash();
    scene.flip_record("submit", "waits");
    let before = everything(&scene.place.state());
    let rehearsed = scene.json(&["recover", "--rehearse"], 3);
    assert_eq!(rehearsed["outcome"], "degraded");
    assert_eq!(everything(&scene.place.state()), before);
    assert!(scene.quarantined().is_empty());
    // A dry run is the same.
    scene.json(&["recover", "--dry-run"], 3);
    assert_eq!(everything(&scene.place.state()), before);
}

/// Whether a process holds the lock of a copy below this folder, without touching the lock: a probe could get
/// in its way.
fn is_copy_held(place: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let copies = std::fs::read_dir(place).unwrap().flatten();
    let inodes = copies.filter_map(|copy| Some(copy.path().join("in-use.lock").metadata().ok()?.ino()));
    let locks = std::fs::read_to_string("/proc/locks").unwrap();
    inodes.into_iter().any(|inode| locks.contains(&format!(":{inode} ")))
}

/// A rehearsal that is killed leaves its copy; the next one removes it, and leaves copies in use alone.
#[test]
fn what_a_killed_rehearsal_left_goes_with_the_next_one() {
    let scene = after_a_crash();
    let place = tempfile::tempdir().unwrap();
    let copies = || std::fs::read_dir(place.path()).unwrap().count();
    let mut under_way = scene.place.command();
    let under_way = Background::start(under_way.env("TMPDIR", place.path()).args(["recover", "--rehearse"]));
    wait_for("the copy to be held, and the rehearsal to be stopped", || {
        let process =
            ProcessIdentity::of(under_way.pid()).expect("the rehearsal ended before it was stopped");
        assert!(signal_process(process, Signal::STOP).unwrap());
        let is_held = is_copy_held(place.path());
        if !is_held {
            assert!(signal_process(process, Signal::CONT).unwrap());
        }
        is_held
    });
    let other = |status| {
        let mut command = scene.place.command();
        Ran::of(command.env("TMPDIR", place.path()).args(["recover", "--rehearse", "--json"]))
            .ends_with(status)
    };
    other(0);
    assert_eq!(copies(), 1, "somebody is at work in it");
    drop(under_way); // It is killed.
    other(0);
    assert_eq!(copies(), 0);
}
