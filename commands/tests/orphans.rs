//! `scan` and `orphans`: what is found, what protects it, what is removed and restored.
#![allow(unreachable_pub)] // One program of several files.
#![allow(clippy::disallowed_methods)] // Tests leave orphans behind.

use std::path::PathBuf;
use std::process::Command;

use recovery::audit::Actor;
use recovery::durable::Disk;
use recovery::orphans::{OrphanSettings, empty_trash};
use recovery::state::{Clock, StateDir};
use serde_json::Value;

use crate::common::{Background, Place, Ran, skipped, until};

fn command(place: &Place) -> Command {
    let mut command = place.command();
    command.env("RECOVERYCTL_ORPHANS_GRACE", "0s");
    command
}

fn run(place: &Place, arguments: &[&str]) -> Ran {
    Ran::of(command(place).args(arguments))
}

fn json(place: &Place, arguments: &[&str]) -> Value {
    Ran::of(command(place).arg("--json").args(arguments)).json()
}

/// A workspace without a job.
fn ghost(place: &Place, id: &str) -> PathBuf {
    if !place.state().exists() {
        run(place, &["init"]).ends_with(0);
    }
    place.write(&format!("state/jobs/{id}/sub/file"), "left");
    place.state().join("jobs").join(id)
}

fn candidate<'a>(candidates: &'a Value, object: &str) -> &'a Value {
    let all = candidates["candidates"].as_array().unwrap();
    all.iter().find(|c| c["object"] == object).unwrap_or_else(|| panic!("no {object} in {candidates}"))
}

/// The check that protects a candidate.
fn objection(candidate: &Value) -> (&str, &Value) {
    let checks = candidate["checks"].as_array().unwrap();
    let check = checks.iter().find(|c| c["passed"] != true).unwrap_or_else(|| panic!("{candidate}"));
    (check["check"].as_str().unwrap(), &check["passed"])
}

#[test]
fn why_makes_every_check_anew() {
    let place = Place::new();
    let workspace = ghost(&place, "ghost");
    run(&place, &["why", "job_directory:ghost"]).ends_with(5);
    let plan = json(&place, &["scan"])["plan_id"].clone();
    let id = json(&place, &["orphans", "candidates"])["candidates"][0]["id"].as_str().unwrap().to_owned();
    let asked = format!("orphan:{id}");
    let why = json(&place, &["why", &asked]);
    assert_eq!((&why["verdict"], &why["reason"]), (&"orphan".into(), &Value::Null), "{why}");
    assert_eq!((&why["object"], &why["plan_id"]), (&"job_directory:ghost".into(), &plan), "{why}");
    let (evidence, checks) = (why["evidence"].as_array().unwrap(), &why["candidate"]["checks"]);
    assert_eq!(evidence.len(), checks.as_array().unwrap().len(), "{why}");
    // The candidate grows older meanwhile.
    let without_age = |evidence: &Value| {
        let evidence = evidence.as_array().unwrap().iter().map(|line| line.as_str().unwrap().to_owned());
        evidence.map(|line| line.replace(|c: char| c.is_ascii_digit(), "")).collect::<Vec<_>>()
    };
    let again = json(&place, &["why", "job_directory:ghost"]);
    assert_eq!(without_age(&again["evidence"]), without_age(&why["evidence"]));
    // The present state counts, not what the scan saw.
    let lock = std::fs::File::create(place.write("state/attempts/ghost/sentinel.lock", "")).unwrap();
    rustix::fs::flock(&lock, rustix::fs::FlockOperation::LockExclusive).unwrap();
    let why = json(&place, &["why", &asked]);
    assert_eq!((&why["verdict"], &why["candidate"]["safe"]), (&"protected".into(), &false.into()), "{why}");
    assert!(why["reason"].as_str().unwrap().starts_with("lock-free: "), "{why}");
    // Another folder with the same name is not the one in the plan.
    std::fs::rename(&workspace, place.path("moved")).unwrap();
    ghost(&place, "ghost");
    let why = json(&place, &["why", &asked]);
    assert!(why["reason"].as_str().unwrap().starts_with("identity: "), "{why}");
    std::fs::remove_dir_all(&workspace).unwrap();
    let why = json(&place, &["why", &asked]);
    assert_eq!((&why["verdict"], &why["evidence"]), (&"gone".into(), &serde_json::json!([])), "{why}");
    let said = run(&place, &["why", &asked]).ends_with(0).stdout;
    assert!(said.starts_with("job_directory:ghost  gone\n"), "{said}");
}

#[test]
fn a_daemon_looks_again_and_empties_the_trash() {
    let place = Place::new();
    ghost(&place, "old");
    run(&place, &["scan"]).ends_with(0);
    run(&place, &["orphans", "cleanup", "--yes"]).ends_with(0);
    // Cron has reported it.
    place.write("state/cleanup/damaged.json", "{");
    assert!(run(&place, &["scan", "--only-changes"]).ends_with(0).stdout.contains("cleanup-damaged"));
    let trashed = || json(&place, &["orphans", "candidates"])["trash"].as_array().unwrap().len();
    assert_eq!(trashed(), 1);
    let mut daemon = command(&place);
    daemon.env("RECOVERYCTL_ORPHANS_SCAN_EVERY", "500ms").env("RECOVERYCTL_ORPHANS_TRASH_KEEP", "1s");
    let daemon = Background::start(daemon.args(["daemon", "--listen", "none"]));
    until("the trash to be empty", || trashed() == 0);
    let workspace = ghost(&place, "new");
    until("the new one to be found", || {
        let plan = json(&place, &["orphans", "candidates"]);
        plan["candidates"].as_array().unwrap().iter().any(|c| c["object"] == "job_directory:new")
    });
    assert!(workspace.exists(), "it only looks");
    drop(daemon);
    // What the daemon found was reported to nobody; what cron reported, it does not report again.
    let told = run(&place, &["scan", "--only-changes"]).ends_with(0).stdout;
    assert!(told.lines().count() == 1 && told.contains("job_directory:new"), "{told}");
    assert_eq!(run(&place, &["scan", "--only-changes"]).ends_with(0).stdout, "");
}

#[test]
fn a_process_at_work_in_it_protects_a_folder() {
    let place = Place::new();
    let workspace = ghost(&place, "ghost");
    let visitor = Background::start(Command::new("sleep").arg("600").current_dir(workspace.join("sub")));
    run(&place, &["scan"]).ends_with(0);
    let why = json(&place, &["why", "job_directory:ghost"]);
    assert!(why["reason"].as_str().unwrap().starts_with("no-visitor: process "), "{why}");
    run(&place, &["orphans", "cleanup", "--yes"]).ends_with(0);
    assert!(workspace.exists());
    drop(visitor);
    assert_eq!(json(&place, &["why", "job_directory:ghost"])["verdict"], "orphan");
}

#[test]
fn an_engine_that_does_not_answer_is_no_proof() {
    let place = Place::new();
    run(&place, &["init"]).ends_with(0);
    let mut why = command(&place);
    why.env("RECOVERYCTL_DOCKER_HOST", format!("unix://{}", place.path("nobody.sock").display()));
    let ran = Ran::of(why.args(["why", "container:web"])).ends_with(1);
    assert!(ran.stderr.contains("cannot be reached"), "{}", ran.stderr);
}

#[test]
fn an_orphan_is_found_removed_and_restored() {
    let place = Place::new();
    let workspace = ghost(&place, "ghost");
    run(&place, &["submit", "--id", "known", "--", "true"]).ends_with(0);
    run(&place, &["work", "--once"]).ends_with(0);
    let before = json(&place, &["orphans", "candidates"]);
    let file = place.path("figures.prom");
    let words = ["scan", "--dry-run", "--exit-code", "--textfile", file.to_str().unwrap()];
    let rehearsed = json(&place, &words);
    assert_eq!((&rehearsed["plan_id"], &rehearsed["dry_run"]), (&Value::Null, &true.into()), "{rehearsed}");
    assert_eq!(json(&place, &["orphans", "candidates"]), before);
    assert!(!file.exists());
    let scan = json(&place, &["scan", "--exit-code"]);
    for same in ["scanned", "candidates_total", "bytes_total", "protected_total", "findings"] {
        assert_eq!(rehearsed[same], scan[same], "{same}");
    }
    json(&place, &["scan", "--dry-run"]);
    assert_eq!(json(&place, &["orphans", "candidates"])["plan_id"], scan["plan_id"]);
    assert_eq!((&scan["candidates_total"], &scan["protected_total"]), (&1.into(), &0.into()), "{scan}");
    assert_eq!(scan["scanned"]["job_directory"], 2);
    assert_eq!(scan["findings"][0]["code"], "orphan-found");
    assert!(workspace.exists(), "a scan removes nothing");
    let plan = scan["plan_id"].as_str().unwrap();
    // The cases: no agreement, a wrong plan, an unknown candidate, a rehearsal.
    run(&place, &["orphans", "cleanup", "--plan", plan]).ends_with(16);
    run(&place, &["orphans", "cleanup", "--plan", "other", "--yes"]).ends_with(13);
    run(&place, &["orphans", "cleanup", "--id", "none", "--yes"]).ends_with(5);
    run(&place, &["orphans", "cleanup", "--dry-run"]).ends_with(0);
    assert!(workspace.join("sub/file").exists() && !place.state().join("attempts/ghost").exists());
    let done = json(&place, &["orphans", "cleanup", "--plan", plan, "--yes", "--reason", "space"]);
    assert_eq!(done["removed"][0]["object"], "job_directory:ghost", "{done}");
    assert!(done["bytes_freed"].as_u64().unwrap() > 0);
    assert!(!workspace.exists() && place.state().join("jobs/known").exists());
    let id = done["removed"][0]["id"].as_str().unwrap();
    let log = json(&place, &["orphans", "cleanup-log"]);
    assert_eq!(
        (&log["entries"][0]["result"], &log["entries"][0]["reason"]),
        (&"removed".into(), &"space".into())
    );
    // The evidence stays, also when no plan has the candidate any more.
    for name in [format!("orphan:{id}"), "job_directory:ghost".to_owned()] {
        let why = json(&place, &["why", &name]);
        assert_eq!(
            (&why["verdict"], &why["past"][0]["action"]),
            (&"gone".into(), &"removed".into()),
            "{why}"
        );
        let evidence = why["past"][0]["evidence"].as_array().unwrap();
        assert!(!evidence.is_empty() && evidence.iter().all(|e| e.as_str().unwrap().contains(" passed: ")));
    }
    // After its execution, the plan has nothing left.
    assert_eq!(
        json(&place, &["orphans", "cleanup", "--plan", plan, "--yes"])["removed"],
        serde_json::json!([])
    );
    let rehearsed = json(&place, &["orphans", "restore", id, "--dry-run"]);
    assert_eq!(rehearsed["restored"][0]["object"], "job_directory:ghost", "{rehearsed}");
    assert!(!workspace.exists());
    run(&place, &["orphans", "restore", id]).ends_with(0);
    assert_eq!(std::fs::read_to_string(workspace.join("sub/file")).unwrap(), "left");
    run(&place, &["orphans", "restore", id]).ends_with(5);
    run(&place, &["orphans", "restore", id, "--dry-run"]).ends_with(5);
    // It is not restored over what exists by now.
    run(&place, &["scan"]).ends_with(0);
    run(&place, &["orphans", "cleanup", "--yes"]).ends_with(0);
    ghost(&place, "ghost");
    run(&place, &["orphans", "restore", id]).ends_with(12);
    run(&place, &["orphans", "restore", id, "--dry-run"]).ends_with(12);
    // What comes into the trash after the question stays there.
    let dir = StateDir::open(&place.state(), Disk::real(), Clock::system()).unwrap();
    let settings = OrphanSettings::new(Actor::default());
    assert!(empty_trash(&dir, &settings, &[]).unwrap().is_empty());
    let rehearsed = json(&place, &["orphans", "empty-trash", "--dry-run"]);
    assert_eq!(std::fs::read_dir(place.state().join("orphans/trash")).unwrap().count(), 1);
    let emptied = json(&place, &["orphans", "empty-trash", "--yes"]);
    assert_eq!((&rehearsed["dry_run"], &emptied["dry_run"]), (&true.into(), &false.into()));
    assert_eq!(
        (&rehearsed["emptied"], &rehearsed["bytes_freed"]),
        (&emptied["emptied"], &emptied["bytes_freed"])
    );
    assert_eq!(std::fs::read_dir(place.state().join("orphans/trash")).unwrap().count(), 0);
}

#[test]
fn what_is_old_or_too_much_leaves_the_trash() {
    let place = Place::new();
    ghost(&place, "a");
    run(&place, &["scan"]).ends_with(0);
    let mut cleanup = command(&place);
    cleanup.env("RECOVERYCTL_ORPHANS_TRASH_KEEP", "0s").args(["orphans", "cleanup", "--yes"]);
    Ran::of(&mut cleanup).ends_with(0);
    assert_eq!(json(&place, &["orphans", "candidates"])["trash"], serde_json::json!([]));
    assert_eq!(json(&place, &["orphans", "cleanup-log"])["entries"][0]["result"], "emptied");
}

#[test]
fn each_sign_of_an_owner_protects() {
    let place = Place::new();
    ghost(&place, "young");
    let scan =
        Ran::of(command(&place).env("RECOVERYCTL_ORPHANS_GRACE", "1h").args(["--json", "scan"])).json();
    assert_eq!((&scan["protected_total"], &scan["findings"]), (&1.into(), &serde_json::json!([])), "{scan}");
    let candidates = json(&place, &["orphans", "candidates"]);
    assert_eq!(objection(candidate(&candidates, "job_directory:young")).0, "grace");
    let young = candidate(&candidates, "job_directory:young")["id"].as_str().unwrap().to_owned();
    let mut named = command(&place);
    named.env("RECOVERYCTL_ORPHANS_GRACE", "1h").args(["orphans", "cleanup", "--yes", "--id", &young]);
    Ran::of(&mut named).ends_with(12);

    place.write("state/jobs/recorded/file", "x");
    place.write("state/jobs/recorded.job.json", "{}");
    place.write("state/jobs/held/file", "x");
    place.write("state/jobs/marked/file", "x");
    let holder = Background::start(
        Command::new("flock")
            .arg("--no-fork")
            .arg(place.write("state/attempts/held/sentinel.lock", ""))
            .args(["sleep", "1000"]),
    );
    let process = Background::start(
        Command::new("setsid")
            .args(["sleep", "1000"])
            .env("RECOVERYCTL_JOB_ID", "marked")
            .env("RECOVERYCTL_STATE_DIR", place.state()),
    );
    until("the lock to be held and the process to be there", || {
        run(&place, &["scan"]).ends_with(0);
        let candidates = json(&place, &["orphans", "candidates"]);
        let protects = |object, check| objection(candidate(&candidates, object)).0 == check;
        let all = candidates["candidates"].as_array().unwrap();
        let safe = |object: &str| all.iter().any(|c| c["object"] == object && c["safe"] == true);
        !safe("job_directory:held")
            && !safe("job_directory:marked")
            && protects("job_directory:recorded", "no-record")
            && protects("job_directory:held", "lock-free")
            && protects("job_directory:marked", "no-process")
    });
    let done = json(&place, &["orphans", "cleanup", "--kind", "job_directory", "--yes"]);
    let removed: Vec<_> = done["removed"].as_array().unwrap().iter().map(|r| &r["object"]).collect();
    assert_eq!(removed, ["job_directory:young"]);
    drop((holder, process));
}

#[test]
fn a_job_that_comes_alive_between_scan_and_cleanup_is_not_touched() {
    let place = Place::new();
    let workspace = ghost(&place, "lazarus");
    // Its own recovery scans too.
    let daemon = Background::start(command(&place).arg("daemon"));
    until("the daemon to be ready", || place.state().join("daemon/daemon.json").exists());
    run(&place, &["scan"]).ends_with(0);
    run(&place, &["submit", "--id", "lazarus", "--", "sh", "-c", "cat sub/file; sleep 1000"]).ends_with(0);
    until("it to run", || json(&place, &["jobs", "show", "lazarus"])["status"] == "running");
    let done = json(&place, &["orphans", "cleanup", "--yes"]);
    assert_eq!(done["refused"][0]["check"], "not-a-job", "{done}");
    assert_eq!(std::fs::read_to_string(workspace.join("sub/file")).unwrap(), "left");
    until("its output", || {
        std::fs::read(place.state().join("attempts/lazarus/output.log")).is_ok_and(|o| o == b"left")
    });
    run(&place, &["jobs", "cancel", "lazarus"]).ends_with(0);
    until("its end", || json(&place, &["jobs", "show", "lazarus"])["status"] == "cancelled");
    drop(daemon);
}

#[test]
fn another_folder_of_the_same_name_is_not_the_plans() {
    let place = Place::new();
    let workspace = ghost(&place, "twin");
    run(&place, &["scan"]).ends_with(0);
    std::fs::rename(&workspace, place.path("aside")).unwrap();
    ghost(&place, "twin");
    let done = json(&place, &["orphans", "cleanup", "--yes"]);
    assert_eq!(done["refused"][0]["check"], "identity", "{done}");
    assert!(workspace.join("sub/file").exists());
}

/// A gap in the queue's log: what seems to have no job may have had one.
#[test]
fn with_a_gap_in_the_queue_nothing_is_known_to_be_an_orphan() {
    let place = Place::new();
    for id in ["one", "two", "three"] {
        run(&place, &["submit", "--id", id, "--", "true"]).ends_with(0);
    }
    let folder = place.state().join("queue/log");
    let names = std::fs::read_dir(folder).unwrap().flatten().map(|e| e.path());
    let segment = names.filter(|p| p.extension().is_some_and(|e| e == "log")).max().unwrap();
    let mut bytes = std::fs::read(&segment).unwrap();
    let at = bytes.windows(5).position(|w| w == b"\"two\"").unwrap();
    bytes[at + 1] ^= 1;
    std::fs::write(&segment, bytes).unwrap();
    place.write("state/jobs/two/file", "work");
    let scan = json(&place, &["scan"]);
    let codes: Vec<_> =
        scan["findings"].as_array().unwrap().iter().map(|f| f["code"].as_str().unwrap()).collect();
    assert!(codes.contains(&"orphan-unknown") && codes.contains(&"log-record-damaged"), "{scan}");
    let candidates = json(&place, &["orphans", "candidates"]);
    let (check, passed) = objection(candidate(&candidates, "job_directory:two"));
    assert_eq!((check, passed), ("queue-complete", &Value::Null));
    let done = json(&place, &["orphans", "cleanup", "--yes"]);
    assert_eq!(done["removed"], serde_json::json!([]), "{done}");
    assert!(place.state().join("jobs/two/file").exists());
}

#[test]
fn something_mounted_in_it_protects_a_workspace() {
    if !rustix::process::geteuid().is_root() {
        return skipped("mounting needs root");
    }
    let place = Place::new();
    let workspace = ghost(&place, "mounted");
    let inside = place.write("state/jobs/mounted/inside/x", "").parent().unwrap().to_owned();
    place.write("victim/precious", "keep");
    let mount = Command::new("mount").arg("--bind").arg(place.path("victim")).arg(&inside).status().unwrap();
    assert!(mount.success());
    let scan = json(&place, &["scan"]);
    let done = json(&place, &["orphans", "cleanup", "--yes"]);
    let kept = workspace.join("sub/file").exists();
    assert!(Command::new("umount").arg(&inside).status().unwrap().success());
    assert_eq!(scan["findings"][0]["code"], "mount-in-workspace", "{scan}");
    assert!(done["removed"] == serde_json::json!([]) && kept, "{done}");
    assert!(place.path("victim/precious").exists());
}

#[test]
fn work_in_a_repository_is_kept_before_its_workspace_goes() {
    if !Command::new("git").arg("--version").output().is_ok_and(|o| o.status.success()) {
        return skipped("it needs git");
    }
    let place = Place::new();
    let workspace = ghost(&place, "repo");
    let init = Command::new("git").args(["init", "-q"]).arg(&workspace).status().unwrap();
    assert!(init.success());
    run(&place, &["scan"]).ends_with(0);
    let done = json(&place, &["orphans", "cleanup", "--yes"]);
    let id = done["removed"][0]["id"].as_str().unwrap();
    let archive = place.state().join("cleanup/archive").join(format!("orphan-{id}.tar"));
    let archive = String::from_utf8_lossy(&std::fs::read(archive).unwrap()).into_owned();
    assert!(archive.contains("workspace/") && archive.contains("left"));
}

#[test]
fn a_process_and_a_file_without_owner_go() {
    let place = Place::new();
    run(&place, &["init"]).ends_with(0);
    let file = place.write("state/jobs/.tmp-aB3dE9", "half");
    let process = Background::start(
        Command::new("setsid")
            .args(["sleep", "1000"])
            .env("RECOVERYCTL_JOB_ID", "nobody")
            .env("RECOVERYCTL_STATE_DIR", place.state()),
    );
    let pid = process.pid();
    until("the process to be found", || {
        run(&place, &["scan"]).ends_with(0);
        json(&place, &["orphans", "candidates"])["total"] == 2
    });
    let done = json(&place, &["orphans", "cleanup", "--yes"]);
    assert_eq!(done["removed"].as_array().unwrap().len(), 2, "{done}");
    assert!(!file.exists());
    assert!(recovery::system::process_stat(pid).map_or(true, |s| s.is_dead));
}

#[test]
fn for_cron_a_scan_says_only_what_is_new() {
    let place = Place::new();
    run(&place, &["init"]).ends_with(0);
    let quiet = run(&place, &["scan", "--only-changes", "--exit-code"]).ends_with(0);
    assert_eq!((quiet.stdout.as_str(), quiet.stderr.as_str()), ("", ""));
    ghost(&place, "first");
    let told = run(&place, &["scan", "--only-changes", "--exit-code"]).ends_with(4);
    assert_eq!(told.stdout.lines().count(), 1, "{}", told.stdout);
    assert!(told.stdout.contains("job_directory:first") && told.stdout.contains("[orphan-found]"));
    let quiet = run(&place, &["scan", "--only-changes", "--exit-code"]).ends_with(0);
    assert_eq!(quiet.stdout, "");
    run(&place, &["scan", "--exit-code"]).ends_with(4);
    let figures = place.path("metrics/recoveryctl.prom");
    std::fs::create_dir(place.path("metrics")).unwrap();
    run(&place, &["scan", "-q", "--textfile", figures.to_str().unwrap()]).ends_with(0);
    let text = std::fs::read_to_string(figures).unwrap();
    assert!(text.contains("recoveryctl_orphans{kind=\"job_directory\"} 1\n"), "{text}");
    assert!(text.contains("# TYPE recoveryctl_last_scan_timestamp_seconds gauge\n"), "{text}");
    run(&place, &["scan", "--kind", "nonsense"]).ends_with(2);
    assert_eq!(json(&place, &["scan", "--kind", "lock"])["scanned"], serde_json::json!({"lock": 0}));
}

/// Removes the one candidate, which is safe; returns the report.
fn found_and_removed(place: &Place, object: &str) -> Value {
    let scan = json(place, &["scan"]);
    assert_eq!(scan["candidates_total"], 1, "{scan}");
    let candidates = json(place, &["orphans", "candidates"]);
    let found = candidate(&candidates, object);
    assert_eq!(found["safe"], true, "{found}");
    let done = json(place, &["orphans", "cleanup", "--yes"]);
    assert_eq!(done["removed"][0]["object"], object, "{done}");
    done["removed"][0].clone()
}

#[test]
fn a_folder_that_was_never_finished_goes() {
    let place = Place::new();
    run(&place, &["init"]).ends_with(0);
    place.write("state/jobs/.staging-half/made/file", "half");
    let young = Ran::of(command(&place).env("RECOVERYCTL_ORPHANS_GRACE", "1h").args(["--json", "scan"]));
    assert_eq!((&young.json()["candidates_total"], &young.json()["protected_total"]), (&1.into(), &1.into()));
    found_and_removed(&place, "staging_directory:.staging-half");
    assert!(!place.state().join("jobs/.staging-half").exists());
}

#[test]
fn the_lock_of_a_holder_that_is_gone_is_given_back_and_a_living_one_is_kept() {
    let place = Place::new();
    run(&place, &["init"]).ends_with(0);
    let pid = place.path("pid");
    let script = format!("echo $$ > {}; exec sleep 1000", pid.display());
    let mut holder = Background::start(command(&place).args(["lock", "web", "--", "sh", "-c", &script]));
    until("the lock to be held", || std::fs::read_to_string(&pid).is_ok_and(|t| t.ends_with('\n')));
    assert_eq!(json(&place, &["scan"])["candidates_total"], 0);
    holder.kill();
    let pid: i32 = std::fs::read_to_string(&pid).unwrap().trim().parse().unwrap();
    let pid = rustix::process::Pid::from_raw(pid).unwrap();
    let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
    let is_gone = || recovery::system::process_stat(pid.as_raw_nonzero().get().unsigned_abs());
    until("its command to be gone", || is_gone().map_or(true, |s| s.is_dead));
    assert_eq!(json(&place, &["locks", "active"])["total"], 1);
    found_and_removed(&place, "lock:web");
    assert_eq!(json(&place, &["locks", "active"])["total"], 0);
    assert_eq!(json(&place, &["scan"])["candidates_total"], 0);
    run(&place, &["lock", "web", "--", "true"]).ends_with(0);
}

#[test]
fn a_sentinel_of_another_job_goes_and_the_workspace_stays() {
    let place = Place::new();
    for id in ["one", "two"] {
        run(&place, &["submit", "--id", id, "--", "sh", "-c", "echo x > file"]).ends_with(0);
    }
    run(&place, &["work", "--once"]).ends_with(0);
    let sentinel = |id: &str| place.state().join("attempts").join(id).join("sentinel.json");
    let own = std::fs::read(sentinel("two")).unwrap();
    std::fs::copy(sentinel("one"), sentinel("two")).unwrap();
    let removed = found_and_removed(&place, "sentinel:attempts/two/sentinel.json");
    assert!(!sentinel("two").exists() && place.state().join("jobs/two/file").exists());
    // A wrong removal can be restored, but not over what exists by now.
    let id = removed["id"].as_str().unwrap();
    std::fs::write(sentinel("two"), own).unwrap();
    run(&place, &["orphans", "restore", id]).ends_with(12);
    assert_eq!(json(&place, &["scan"])["candidates_total"], 0);
}

#[test]
fn the_index_of_a_job_that_succeeded_goes_and_that_of_a_failed_one_stays() {
    let place = Place::new();
    for (id, end) in [("good", "true"), ("bad", "false")] {
        let script = format!("mkdir .code-indexer; echo i > .code-indexer/db; echo x > file; {end}");
        run(&place, &["submit", "--id", id, "--", "sh", "-c", &script]).ends_with(0);
    }
    run(&place, &["work", "--once"]);
    let removed = found_and_removed(&place, "index:good/.code-indexer");
    let in_workspace = |path: &str| place.state().join("jobs").join(path);
    assert!(!in_workspace("good/.code-indexer").exists() && in_workspace("good/file").exists());
    assert!(in_workspace("bad/.code-indexer/db").exists());
    run(&place, &["orphans", "restore", removed["id"].as_str().unwrap()]).ends_with(0);
    assert!(in_workspace("good/.code-indexer/db").exists());
}

/// A process that holds a workspace between scan and cleanup keeps its index.
#[test]
fn a_workspace_that_somebody_holds_keeps_what_the_plan_names() {
    let place = Place::new();
    run(&place, &["submit", "--id", "again", "--", "mkdir", ".code-indexer"]).ends_with(0);
    run(&place, &["work", "--once"]).ends_with(0);
    assert_eq!(json(&place, &["scan"])["candidates_total"], 1);
    let holder = Background::start(
        Command::new("flock")
            .arg("--no-fork")
            .arg(place.state().join("attempts/again/sentinel.lock"))
            .args(["sleep", "1000"]),
    );
    until("the lock to be held", || {
        run(&place, &["orphans", "cleanup", "--yes", "--dry-run"]).stdout.contains("lock-free")
    });
    let done = json(&place, &["orphans", "cleanup", "--yes"]);
    assert_eq!(done["refused"][0]["check"], "lock-free", "{done}");
    assert!(place.state().join("jobs/again/.code-indexer").exists());
    drop(holder);
}
