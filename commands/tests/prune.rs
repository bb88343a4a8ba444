//! `jobs prune`, and the same by the daemon.
#![allow(unreachable_pub)] // One program of several files.
#![allow(clippy::disallowed_methods)] // Tests write their own files.

use std::path::{Path, PathBuf};
use std::process::Command;

use recovery::queue::JobStatus;
use serde_json::{Value, json};

use crate::common;
use crate::crash::scene::{Scene, wait_for};

fn ids(report: &Value, list: &str) -> Vec<String> {
    let all = report[list].as_array().unwrap_or_else(|| panic!("{report}"));
    let mut ids: Vec<String> = all.iter().map(|j| j["job_id"].as_str().unwrap().to_owned()).collect();
    ids.sort();
    ids
}

fn names_in(folder: PathBuf) -> Vec<String> {
    let entries = std::fs::read_dir(folder).map_or_else(|_| Vec::new(), |e| e.flatten().collect());
    let mut names: Vec<String> =
        entries.iter().map(|e| e.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

fn jobs_folder(scene: &Scene) -> Vec<String> {
    names_in(scene.place.state().join("jobs"))
}

fn trash(scene: &Scene) -> Vec<String> {
    names_in(scene.place.state().join("jobs/.trash"))
}

#[test]
fn finished_jobs_go_by_count_and_age_and_what_is_needed_stays() {
    let scene = Scene::new();
    // A process that an earlier, killed run left would be taken for one of a job of the same name.
    let (dies, runs) = (format!("dies-{}", std::process::id()), format!("runs-{}", std::process::id()));
    let (dies, runs) = (dies.as_str(), runs.as_str());
    for n in 0..6 {
        scene.submit(&format!("done-{n}"), &[], "echo printed; mkdir -p deep/er; echo x > deep/er/file");
    }
    scene.submit("called", &["--callback", "http://127.0.0.1:9/done"], "true");
    scene.submit("cleaned", &["--auto-cleanup"], "echo x > file");
    scene.work();
    let daemon = scene.daemon(4);
    scene.submit(dies, &[], "echo began >> $W/dies; exec sleep 600");
    scene.wait_for_witness("dies");
    scene.kill_all_of(dies);
    scene.wait_for_status(dies, JobStatus::Crashed);
    scene.submit(runs, &["--repo", "web"], "echo began >> $W/runs; exec sleep 600");
    scene.wait_for_witness("runs");
    scene.submit("waits", &["--repo", "web"], "true");
    daemon.kill();

    let rehearsed = scene.json(&["jobs", "prune", "--keep-last", "4", "--dry-run"], 0);
    assert_eq!(rehearsed["dry_run"], true);
    let all: Vec<String> = jobs_folder(&scene);
    let report = scene.json(&["jobs", "prune", "--keep-last", "4"], 0);
    // Of jobs that ended in parallel, the order is not known beforehand: nine were over.
    assert_eq!(report["removed"].as_array().unwrap().len() + report["kept"].as_array().unwrap().len(), 5);
    assert_eq!((&rehearsed["removed"], &rehearsed["kept"]), (&report["removed"], &report["kept"]));
    assert!(all.len() > jobs_folder(&scene).len());

    assert_eq!(scene.json(&["jobs", "prune", "--keep-days", "1"], 0)["removed"], json!([]));
    let report = scene.json(&["jobs", "prune", "--keep-days", "0", "--reason", "room"], 0);
    let codes: Vec<(&str, &str)> = report["kept"]
        .as_array()
        .unwrap()
        .iter()
        .map(|k| (k["job_id"].as_str().unwrap(), k["code"].as_str().unwrap()))
        .collect();
    for kept in [("called", "job-callback-pending"), (dies, "job-resumable")] {
        assert!(codes.contains(&kept), "{codes:?}");
    }
    assert_eq!(codes.len(), 2);
    for n in 0..6 {
        let gone = format!("done-{n}");
        scene.run(&["jobs", "show", &gone]).ends_with(5);
        assert!(!jobs_folder(&scene).iter().any(|name| name.starts_with(&gone)), "{gone}");
    }
    assert_eq!(trash(&scene), Vec::<String>::new());
    let left: Vec<String> = ids(&scene.json(&["jobs", "list"], 0), "jobs");
    assert_eq!(left, ["called", dies, runs, "waits"]);
    assert_eq!(scene.status(runs), JobStatus::Running);
    // They stay removed, also when the whole queue must be restored from the jobs' own records.
    scene.recover();
    // The supervisor of the job that runs may write there meanwhile.
    let queue = scene.place.state().join("queue");
    wait_for("the queue to be gone", || std::fs::remove_dir_all(&queue).is_ok() || !queue.exists());
    scene.recover();
    assert_eq!(ids(&scene.json(&["jobs", "list"], 0), "jobs"), left);
    let report = scene.json(&["jobs", "prune", "--keep-days", "0", "--crashed"], 0);
    assert_eq!(ids(&report, "removed"), [dies]);
    // A name is free again.
    scene.submit("done-0", &[], "true");
    assert_eq!(scene.status("done-0"), JobStatus::Queued);
}

const REPOSITORY: &str = "mkdir repo; cd repo; git init -q .; echo new > untracked";

fn has_git() -> bool {
    Command::new("git").arg("--version").output().is_ok_and(|o| o.status.success())
}

/// A job that left more than files is cleaned up before it is removed, also a crashed one.
#[test]
fn uncommitted_work_is_kept_and_an_index_removed_before_a_job_goes() {
    if !has_git() {
        return common::skipped("it needs git");
    }
    let scene = Scene::new();
    let dies = format!("dies-at-work-{}", std::process::id());
    scene.submit("dirty", &[], REPOSITORY);
    scene.submit("indexed", &[], "mkdir .code-indexer; echo i > .code-indexer/db");
    scene.submit("plain", &[], "echo x > file");
    scene.work();
    let daemon = scene.daemon(2);
    let script = format!("{REPOSITORY}; echo began >> $W/dies; exec sleep 600");
    scene.submit(&dies, &["--auto-cleanup"], &script);
    scene.wait_for_witness("dies");
    scene.kill_all_of(&dies);
    scene.wait_for_status(&dies, JobStatus::Crashed);
    daemon.kill();
    // The job waits for a resume: nothing of it is removed automatically.
    assert_eq!(scene.json(&["cleanup", "run"], 0)["derived"], 0);
    assert!(scene.job_file(&dies, "repo/untracked").exists());

    let rehearsed = scene.json(&["jobs", "prune", "--keep-days", "0", "--dry-run"], 0);
    assert_eq!(ids(&rehearsed, "removed"), ["dirty", "indexed", "plain"], "{rehearsed}");
    assert_eq!(ids(&rehearsed, "cleanups"), ["dirty", "indexed"], "{rehearsed}");
    assert_eq!(scene.json(&["cleanup", "queue"], 0)["total"], 0);
    let report = scene.json(&["jobs", "prune", "--keep-days", "0", "--reason", "room"], 0);
    assert_eq!(ids(&report, "removed"), ids(&rehearsed, "removed"), "{report}");
    assert_eq!(ids(&report, "cleanups"), ids(&rehearsed, "cleanups"), "{report}");
    let completed = scene.json(&["cleanup", "completed"], 0);
    assert_eq!(completed["total"], 2);
    assert_eq!(
        (&completed["cleanups"][0]["source"], &completed["cleanups"][0]["reason"]),
        (&json!("pruned"), &json!("room"))
    );
    let archive = scene.place.state().join("cleanup/archive");
    let kept = |id: &str| {
        let archive = std::fs::read(archive.join(format!("{id}.tar"))).unwrap();
        String::from_utf8_lossy(&archive).contains("workspace/repo/untracked")
    };
    assert!(kept("dirty.1"));
    assert!(scene.job_file(&dies, "repo/untracked").exists());
    let report = scene.json(&["jobs", "prune", "--keep-days", "0", "--crashed"], 0);
    assert_eq!(ids(&report, "removed"), [dies.as_str()]);
    assert!(kept(&format!("{dies}.1")));
    assert!(jobs_folder(&scene).iter().all(|name| name.starts_with('.')));

    // The name is free: the next job of that name is another one, and so is its cleanup.
    scene.submit("dirty", &["--auto-cleanup"], REPOSITORY);
    scene.work();
    scene.json(&["cleanup", "run"], 0);
    assert!(!scene.job_file("dirty", "").exists());
    assert!(kept("dirty.1_2") && kept("dirty.1"));
}

/// A job whose cleanup does not complete stays; when the cleanup is skipped, the job is removed.
#[test]
fn a_job_whose_cleanup_is_stuck_stays() {
    let scene = Scene::new();
    scene.submit("stuck", &[], "mkdir .code-indexer");
    scene.work();
    scene.place.write("config.toml", "[cleanup]\nindex_command = [\"false\"]\ntries = 1\n");
    let report = scene.json(&["jobs", "prune", "--keep-days", "0"], 3);
    assert_eq!(report["cleanups"][0]["status"], "parked", "{report}");
    assert_eq!((&report["kept"][0]["code"], &report["removed"]), (&json!("job-cleanup-pending"), &json!([])));
    let rehearsed = scene.json(&["jobs", "prune", "--keep-days", "0", "--dry-run"], 0);
    assert_eq!(ids(&rehearsed, "kept"), ["stuck"], "{rehearsed}");
    scene.json(&["cleanup", "skip", "stuck.1", "cidx", "--reason", "no tool"], 0);
    scene.json(&["cleanup", "run"], 0);
    assert_eq!(ids(&scene.json(&["jobs", "prune", "--keep-days", "0"], 0), "removed"), ["stuck"]);
}

/// A resumed job that is cancelled in the queue is over in the same attempt once more.
#[test]
fn a_cleanup_that_was_overtaken_is_made_up_for() {
    let scene = Scene::new();
    scene.submit("again", &["--auto-cleanup"], "echo x > file; exit 1");
    scene.work();
    scene.json(&["cleanup", "queue"], 0);
    scene.json(&["resume", "again"], 0);
    let report = scene.json(&["cleanup", "run"], 0);
    assert_eq!(report["cleanups"][0]["overtaken"], true, "{report}");
    scene.json(&["jobs", "cancel", "again"], 0);
    scene.json(&["cleanup", "run"], 0);
    assert!(!scene.job_file("again", "").exists());
}

#[test]
fn a_daemon_cleans_up_what_it_is_to_prune() {
    if !has_git() {
        return common::skipped("it needs git");
    }
    let scene = Scene::new();
    scene.submit("dirty", &[], REPOSITORY);
    scene.submit("plain", &[], "echo x > file");
    scene.work();
    scene.place.write("config.toml", "[jobs]\nkeep_days = 0\nkeep_last = 0\n");
    let _daemon = scene.daemon(2);
    wait_for("the daemon to prune", || ids(&scene.json(&["jobs", "list"], 0), "jobs").is_empty());
    assert!(scene.place.state().join("cleanup/archive/dirty.1.tar").exists());
}

#[test]
fn wrong_rules_are_refused() {
    let scene = Scene::new();
    for wrong in ["-1", "36501", "many"] {
        scene.run(&["jobs", "prune", "--keep-days", wrong]).ends_with(2);
    }
    assert_eq!(scene.json(&["jobs", "prune"], 0)["removed"], json!([]));
}

#[test]
fn a_daemon_prunes_by_its_configuration() {
    let scene = Scene::new();
    for n in 0..5 {
        scene.submit(&format!("old-{n}"), &[], "echo printed");
    }
    scene.work();
    scene.place.write("config.toml", "[jobs]\nkeep_days = 0\nkeep_last = 2\n");
    let _daemon = scene.daemon(2);
    wait_for("the daemon to prune", || {
        ids(&scene.json(&["jobs", "list"], 0), "jobs").len() == 2 && trash(&scene).is_empty()
    });
    wait_for("their files to be gone", || {
        jobs_folder(&scene).iter().filter(|name| name.starts_with("old-")).count() == 4
    });
}

/// A mount in a workspace, or a link out of it: what is behind them stays.
#[test]
fn nothing_behind_a_mount_or_a_link_is_touched() {
    if !rustix::process::geteuid().is_root() {
        common::skipped("only root can mount");
        return;
    }
    let scene = Scene::new();
    let victim = scene.place.path("victim");
    std::fs::create_dir(&victim).unwrap();
    std::fs::write(victim.join("precious"), "precious").unwrap();
    scene.submit("mounted", &[], "mkdir mnt; echo x > file; ln -s $W/../victim link");
    scene.work();
    let workspace = scene.job_file("mounted", "");
    let binary = scene.place.command().get_program().to_owned();
    let script = "mount --bind \"$1\" \"$2/mnt\" || exit 77; exec \"$3\" --json jobs prune --keep-days 0";
    let mut command = Command::new("unshare");
    command.args(["-m", "--propagation", "private", "sh", "-c", script, "sh"]);
    command.arg(&victim).arg(&workspace).arg(binary);
    command.env("RECOVERYCTL_STATE_DIR", scene.place.state()).env("HOME", scene.place.path(""));
    command.env("RECOVERYCTL_CONFIG", scene.place.path("config.toml"));
    command.env("RECOVERYCTL_DOCKER_HOST", "none");
    let ran = common::Ran::of(&mut command);
    if ran.status == 77 || ran.stderr.contains("unshare failed") {
        common::skipped(&format!("no mounts here: {}", ran.stderr));
        return;
    }
    let report = ran.ends_with(3).json();
    assert_eq!(ids(&report, "removed"), ["mounted"]);
    assert_eq!(report["failed"].as_array().map(Vec::len), Some(1), "{report}");
    assert_eq!(std::fs::read_to_string(victim.join("precious")).unwrap(), "precious");
    // The mount belonged to the other namespace: the rest is removed now.
    assert_eq!(trash(&scene).len(), 1);
    scene.json(&["jobs", "prune", "--keep-days", "0"], 0);
    assert_eq!((trash(&scene).len(), Path::exists(&victim.join("precious"))), (0, true));
}

/// Killed at any moment, again and again: a job is removed completely or stays complete.
#[test]
fn killed_at_random_it_leaves_nothing_torn() {
    let scene = Scene::new();
    let script = "for n in 1 2 3 4 5 6 7 8; do mkdir d$n; for m in 1 2 3 4 5 6 7 8; do echo x > d$n/$m; done; done; echo whole > whole";
    let lines: Vec<String> = (0..100)
        .map(|n| json!({ "id": format!("j{n}"), "command": ["/bin/sh", "-c", script] }).to_string())
        .collect();
    let file = scene.place.write("jobs.jsonl", &lines.join("\n"));
    scene.run(&["submit", "--from", file.to_str().unwrap()]).ends_with(0);
    scene.work();
    let mut pause = 3_000;
    for round in 0.. {
        let mut child = scene.place.command();
        child.args(["--quiet", "jobs", "prune", "--keep-last", "10"]);
        let mut child = common::Background::start(&mut child);
        std::thread::sleep(std::time::Duration::from_micros(pause));
        child.kill();
        pause = pause * 5 / 4;
        let left = ids(&scene.json(&["jobs", "list"], 0), "jobs");
        let folder = jobs_folder(&scene);
        for n in 0..100 {
            let id = format!("j{n}");
            let workspace = scene.job_file(&id, "");
            assert!(!workspace.exists() || workspace.join("whole").exists(), "round {round}: {id} is torn");
            if !left.contains(&id) {
                assert!(!folder.contains(&id) && !folder.contains(&format!("{id}.job.json")), "{id}");
            }
        }
        assert!(left.len() >= 10, "round {round}");
        if left.len() == 10 && trash(&scene).is_empty() {
            assert!(round > 2, "it was never cut short");
            break;
        }
    }
    assert!(scene.recover().codes().is_empty());
}
