//! Copies, and backups that were put back, as users meet them.

use std::process::Command;

use crate::common::{Background, Place, until};

fn copy(place: &Place, from: &str, to: &str) {
    let done = Command::new("cp").args(["-a", from, to]).current_dir(place.path("")).status().unwrap();
    assert!(done.success());
}

/// A command in another state directory of the place.
fn json_in(place: &Place, state: &str, arguments: &[&str]) -> (serde_json::Value, i32) {
    let mut command = place.command();
    command.env("RECOVERYCTL_STATE_DIR", place.path(state)).arg("--json").args(arguments);
    let done = command.output().unwrap();
    let document =
        serde_json::from_slice(&done.stdout).unwrap_or_else(|e| panic!("{arguments:?}: {e}: {done:?}"));
    (document, done.status.code().unwrap())
}

fn codes(document: &serde_json::Value) -> Vec<&str> {
    document["findings"].as_array().unwrap().iter().filter_map(|f| f["code"].as_str()).collect()
}

#[test]
fn copy_refuses_what_changes_and_names_the_way_out_which_works() {
    let place = Place::new();
    assert_eq!(json_in(&place, "state", &["submit", "--id", "one", "--", "true"]).1, 0);
    copy(&place, "state", "copied");
    for refused in [
        &["submit", "--", "true"][..],
        &["recover"],
        &["work", "--once"],
        &["jobs", "cancel", "one"],
        &["orphans", "cleanup", "--yes"],
        &["repair"],
        &["lock", "web", "--", "true"],
    ] {
        let (answer, status) = json_in(&place, "copied", refused);
        assert_eq!((status, &answer["error"]["code"]), (12, &"state-directory-copied".into()), "{answer:#}");
        assert!(answer["error"]["hint"].as_str().unwrap().contains("state adopt --as-new"), "{answer:#}");
    }
    let (jobs, status) = json_in(&place, "copied", &["jobs", "list"]);
    assert_eq!((jobs["jobs"][0]["job_id"].as_str(), status), (Some("one"), 0));
    let (found, _) = json_in(&place, "copied", &["findings"]);
    assert!(codes(&found).contains(&"state-directory-copied"), "{found:#}");
    assert!(!codes(&found).contains(&"disk-not-writable"), "{found:#}");
    let finding =
        found["findings"].as_array().unwrap().iter().find(|f| f["code"] == "state-directory-copied");
    let next = finding.unwrap()["next"].as_str().unwrap().to_owned();
    let (shown, _) = json_in(&place, "copied", &["state", "show"]);
    assert_eq!((&shown["is_copy"], &shown["restored"]), (&true.into(), &serde_json::Value::Null));
    let words: Vec<&str> = next.split(' ').skip(1).collect();
    let (adopted, status) = json_in(&place, "copied", &words);
    assert_eq!((status, &adopted["is_copy"]), (0, &false.into()), "{adopted:#}");
    assert_ne!(adopted["id"], json_in(&place, "state", &["state", "show"]).0["id"]);
    assert_eq!(json_in(&place, "copied", &["work", "--once"]).1, 0);
    let (status, _) = json_in(&place, "copied", &["status"]);
    assert_eq!(status["state"], "healthy", "{status:#}");
    // Nothing of it has reached the original, which is none.
    assert_eq!(json_in(&place, "state", &["jobs", "list"]).0["jobs"][0]["status"], "queued");
    assert_eq!(json_in(&place, "state", &["state", "adopt", "--as-new"]).1, 12);
}

/// A job that waits in the backup, and of which a process from the lost time lives, does not start beside it.
#[test]
fn job_that_lives_from_before_the_restore_is_not_started_beside_it() {
    use std::os::unix::fs::MetadataExt;
    let place = Place::new();
    assert_eq!(json_in(&place, "state", &["submit", "--id", "one", "--repo", "web", "--", "true"]).1, 0);
    copy(&place, "state", "backup");
    let (shown, _) = json_in(&place, "state", &["state", "show"]);
    let folder = std::fs::metadata(place.state()).unwrap();
    let mut survivor = Command::new("sleep")
        .arg("300")
        .env("RECOVERYCTL_JOB_ID", "one")
        .env("RECOVERYCTL_STATE_DIR", place.state())
        .env("RECOVERYCTL_STATE_ID", shown["id"].as_str().unwrap())
        .env("RECOVERYCTL_STATE_INCARNATION", format!("1@{}:{}", folder.dev(), folder.ino()))
        .env("RECOVERYCTL_REPOSITORY", "web")
        .spawn()
        .unwrap();
    std::fs::rename(place.path("state"), place.path("broken")).unwrap();
    std::fs::rename(place.path("backup"), place.path("state")).unwrap();
    assert_eq!(json_in(&place, "state", &["work", "--once"]).1, 0);
    assert_eq!(json_in(&place, "state", &["jobs", "list"]).0["jobs"][0]["status"], "queued");
    let (found, _) = json_in(&place, "state", &["findings"]);
    assert!(codes(&found).contains(&"job-of-other-incarnation"), "{found:#}");
    assert_eq!(json_in(&place, "state", &["lock", "web", "--wait", "1ms", "--", "true"]).1, 11);
    survivor.kill().unwrap();
    survivor.wait().unwrap();
    assert_eq!(json_in(&place, "state", &["work", "--once"]).1, 0);
    assert_eq!(json_in(&place, "state", &["jobs", "list"]).0["jobs"][0]["status"], "succeeded");
}

#[test]
fn restored_backup_is_told_once_and_works() {
    let place = Place::new();
    assert_eq!(json_in(&place, "state", &["submit", "--id", "one", "--", "true"]).1, 0);
    copy(&place, "state", "backup");
    assert_eq!(json_in(&place, "state", &["submit", "--id", "two", "--", "true"]).1, 0);
    std::fs::rename(place.path("state"), place.path("broken")).unwrap();
    std::fs::rename(place.path("backup"), place.path("state")).unwrap();
    let (found, _) = json_in(&place, "state", &["findings"]);
    assert!(codes(&found).contains(&"state-directory-restored"), "{found:#}");
    let (recovered, status) = json_in(&place, "state", &["recover"]);
    assert_eq!(status, 0, "{recovered:#}");
    let (found, _) = json_in(&place, "state", &["findings"]);
    assert!(codes(&found).contains(&"state-directory-restored"), "as the last recovery told it: {found:#}");
    json_in(&place, "state", &["recover"]);
    let (found, _) = json_in(&place, "state", &["findings"]);
    assert!(!codes(&found).contains(&"state-directory-restored"), "{found:#}");
    let (shown, _) = json_in(&place, "state", &["state", "show"]);
    assert_eq!(shown["restored"]["from_incarnation"], 1, "{shown:#}");
    assert_eq!(json_in(&place, "state", &["work", "--once"]).1, 0);
}

/// Puts the backup where the state directory is, as people do.
fn put_back(place: &Place) {
    std::fs::rename(place.path("state"), place.path("broken")).unwrap();
    std::fs::rename(place.path("backup"), place.path("state")).unwrap();
}

/// The processes of this place's program that have this word for a command.
fn attendants(place: &Place, word: &str) -> Vec<rustix::process::Pid> {
    let own = std::fs::canonicalize(place.path("")).unwrap();
    let pids = std::fs::read_dir("/proc").unwrap().flatten();
    let pids = pids.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let ours = pids.filter(|pid| {
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let parts: Vec<_> = line.split(|&b| b == 0).map(String::from_utf8_lossy).collect();
        let output = std::fs::read_link(format!("/proc/{pid}/fd/1")).unwrap_or_default();
        let is_here =
            parts.iter().any(|part| part.contains(own.to_str().unwrap())) || output.starts_with(&own);
        parts.get(1).is_some_and(|first| first == word) && is_here
    });
    ours.filter_map(rustix::process::Pid::from_raw).collect()
}

/// Nothing of it bears a mark, and nobody supervises it any more.
#[test]
fn job_with_a_cleared_environment_that_lives_from_before_the_restore_is_not_started_beside_it() {
    let place = Place::new();
    let (seen, go) = (place.path("pids"), place.path("go"));
    let script = "echo $$ >> \"$1\"; [ -e \"$2\" ] || exec sleep 600";
    let words = ["submit", "--id", "one", "--repo", "web", "--", "env", "-i", "sh", "-c", script, "sh"];
    let words = [&words[..], &[seen.to_str().unwrap(), go.to_str().unwrap()]].concat();
    assert_eq!(json_in(&place, "state", &words).1, 0);
    copy(&place, "state", "backup");
    let mut daemon = Background::start(place.command().args(["daemon", "--listen", "none"]));
    let pid = || std::fs::read_to_string(&seen).ok()?.lines().next()?.parse().ok();
    until("the job to run", || {
        pid().is_some() && json_in(&place, "state", &["jobs", "show", "one"]).0["status"] == "running"
    });
    let survivor = rustix::process::Pid::from_raw(pid().unwrap()).unwrap();
    daemon.kill();
    for word in ["supervise", "keep-output"] {
        until("those who attend to it to be gone", || {
            let left = attendants(&place, word);
            let kill = rustix::process::Signal::KILL;
            for &pid in &left {
                let _ = rustix::process::kill_process(pid, kill); // Gone already.
            }
            left.is_empty()
        });
    }
    put_back(&place);
    std::fs::write(&go, "").unwrap();
    assert_eq!(json_in(&place, "state", &["work", "--once"]).1, 0);
    assert_eq!(json_in(&place, "state", &["jobs", "list"]).0["jobs"][0]["status"], "queued");
    let (found, _) = json_in(&place, "state", &["findings"]);
    assert!(codes(&found).contains(&"job-of-other-incarnation"), "{found:#}");
    rustix::process::kill_process(survivor, rustix::process::Signal::KILL).unwrap();
    until("the job to start again", || {
        assert_eq!(json_in(&place, "state", &["work", "--once"]).1, 0);
        json_in(&place, "state", &["jobs", "list"]).0["jobs"][0]["status"] == "succeeded"
    });
    assert_eq!(std::fs::read_to_string(&seen).unwrap().lines().count(), 2);
}

/// Also after recoveries that found no job of another time.
#[test]
fn lock_whose_command_lives_from_before_the_restore_is_not_granted_until_it_is_gone() {
    let place = Place::new();
    assert_eq!(json_in(&place, "state", &["submit", "--id", "one", "--", "true"]).1, 0);
    copy(&place, "state", "backup");
    let seen = place.path("pid");
    let script = "echo $$ > \"$1.new\"; mv \"$1.new\" \"$1\"; sleep 600 & wait";
    let mut command = place.command();
    command.args(["lock", "web", "--", "sh", "-c", script, "sh"]).arg(&seen);
    let holder = Background::start(&mut command);
    until("the command to run", || seen.exists());
    put_back(&place);
    let ask = || json_in(&place, "state", &["lock", "web", "--wait", "1ms", "--", "true"]).1;
    assert_eq!(ask(), 11);
    for _ in 0..2 {
        json_in(&place, "state", &["recover"]);
        assert_eq!(ask(), 11, "its command lives");
    }
    let pid = rustix::process::Pid::from_raw(holder.pid().cast_signed()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    holder.wait();
    json_in(&place, "state", &["recover"]);
    until("the lock to be had", || {
        let done = place.command().args(["lock", "web", "--wait", "1ms", "--", "true"]).status().unwrap();
        done.success()
    });
}
