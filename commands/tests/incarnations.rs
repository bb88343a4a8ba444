//! Copies, and restored backups, as users meet them.

use std::process::Command;

use crate::common::{Background, Place, until};

fn copy(place: &Place, from: &str, to: &str) {
    let done = Command::new("cp").args(["-a", from, to]).current_dir(place.path("")).status().unwrap();
    assert!(done.success());
}

/// Restores the backup in the state directory's place, as people do.
fn put_back(place: &Place) {
    std::fs::rename(place.path("state"), place.path("broken")).unwrap();
    std::fs::rename(place.path("backup"), place.path("state")).unwrap();
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

/// The copy is as an interrupted adoption leaves it.
#[test]
fn damaged_copy_names_the_adoption_and_not_a_recovery() {
    let place = Place::new();
    assert_eq!(json_in(&place, "state", &["submit", "--id", "one", "--", "true"]).1, 0);
    copy(&place, "state", "copied");
    let log = place.path("copied/queue/log");
    let segment = std::fs::read_dir(log)
        .unwrap()
        .map(|e| e.unwrap().path())
        .find(|p| p.extension() == Some("log".as_ref()));
    std::fs::write(segment.unwrap(), "damaged").unwrap();
    let (status, _) = json_in(&place, "copied", &["status"]);
    assert_eq!(status["action"], "recoveryctl state adopt --as-new", "{status:#}");
    assert_eq!(json_in(&place, "copied", &["state", "adopt", "--as-new"]).1, 0);
}

/// A copy whose files are the original's too, as `rsync --link-dest` and rsnapshot make it.
#[test]
fn hard_linked_copy_that_is_adopted_changes_nothing_in_its_original() {
    let place = Place::new();
    let (runs, waits) =
        (["submit", "--id", "runs", "--", "sleep", "600"], ["submit", "--id", "waits", "--", "true"]);
    for words in [&runs[..], &waits[..]] {
        assert_eq!(json_in(&place, "state", words).1, 0);
    }
    let daemon = Background::start(place.command().args(["daemon", "--listen", "none", "--workers", "1"]));
    let status_in = |state: &str, id: &str| {
        let (job, status) = json_in(&place, state, &["jobs", "show", id]);
        assert_eq!(status, 0, "{job:#}");
        job["status"].as_str().unwrap().to_owned()
    };
    until("the job to run", || status_in("state", "runs") == "running");
    let linked =
        Command::new("cp").args(["-al", "state", "linked"]).current_dir(place.path("")).status().unwrap();
    assert!(linked.success());
    let (adopted, status) = json_in(&place, "linked", &["state", "adopt", "--as-new"]);
    assert_eq!(status, 0, "{adopted:#}");
    assert_eq!(
        (status_in("linked", "runs"), status_in("linked", "waits")),
        ("crashed".into(), "queued".into())
    );
    assert_eq!(
        (status_in("state", "runs"), status_in("state", "waits")),
        ("running".into(), "queued".into())
    );
    // Both go on by themselves, side by side.
    assert_eq!(json_in(&place, "linked", &["work", "--once"]).1, 0);
    assert_eq!(json_in(&place, "state", &["jobs", "cancel", "runs"]).1, 0);
    until("the original's jobs to be over", || {
        (status_in("state", "runs"), status_in("state", "waits")) == ("cancelled".into(), "succeeded".into())
    });
    assert_eq!(
        (status_in("linked", "runs"), status_in("linked", "waits")),
        ("crashed".into(), "succeeded".into())
    );
    drop(daemon);
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
    // Nothing of the copy has reached the original, which is no copy.
    assert_eq!(json_in(&place, "state", &["jobs", "list"]).0["jobs"][0]["status"], "queued");
    assert_eq!(json_in(&place, "state", &["state", "adopt", "--as-new"]).1, 12);
}

/// A job that waits in the backup, and of which a process from the lost time lives, does not start beside it.
#[test]
fn job_that_lives_from_before_the_restore_is_not_started_beside_it() {
    let place = Place::new();
    assert_eq!(json_in(&place, "state", &["submit", "--id", "one", "--repo", "web", "--", "true"]).1, 0);
    copy(&place, "state", "backup");
    let state = place.state();
    let marks = [("RECOVERYCTL_STATE_DIR", state.to_str().unwrap()), ("RECOVERYCTL_REPOSITORY", "web")];
    let mut survivor = survivor_of(&place, "one", &marks);
    put_back(&place);
    assert_eq!(json_in(&place, "state", &["work", "--once"]).1, 0);
    assert_eq!(json_in(&place, "state", &["jobs", "list"]).0["jobs"][0]["status"], "queued");
    let (found, _) = json_in(&place, "state", &["findings"]);
    assert!(codes(&found).contains(&"job-of-other-incarnation"), "{found:#}");
    assert_eq!(json_in(&place, "state", &["lock", "web", "--wait", "1ms", "--", "true"]).1, 11);
    survivor.kill();
    assert_eq!(json_in(&place, "state", &["work", "--once"]).1, 0);
    assert_eq!(json_in(&place, "state", &["jobs", "list"]).0["jobs"][0]["status"], "succeeded");
}

#[test]
fn restored_backup_is_told_once_and_works() {
    let place = Place::new();
    assert_eq!(json_in(&place, "state", &["submit", "--id", "one", "--", "true"]).1, 0);
    copy(&place, "state", "backup");
    assert_eq!(json_in(&place, "state", &["submit", "--id", "two", "--", "true"]).1, 0);
    put_back(&place);
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

/// No process of the job bears a mark, and nobody supervises it any more.
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

/// This also holds after recoveries that found no job of another incarnation.
#[test]
fn lock_whose_command_lives_from_before_the_restore_is_not_granted_until_it_is_gone() {
    let place = Place::new();
    assert_eq!(json_in(&place, "state", &["submit", "--id", "one", "--", "true"]).1, 0);
    let holder = put_back_under_a_lock(&place);
    let ask = || json_in(&place, "state", &["lock", "web", "--wait", "1ms", "--", "true"]).1;
    assert_eq!(ask(), 11);
    for _ in 0..2 {
        json_in(&place, "state", &["recover"]);
        assert_eq!(ask(), 11, "its command lives");
    }
    terminate(holder);
    json_in(&place, "state", &["recover"]);
    until("the lock to be had", || {
        let done = place.command().args(["lock", "web", "--wait", "1ms", "--", "true"]).status().unwrap();
        done.success()
    });
}

/// A process that bears the marks of a job of the time that is lost.
fn survivor_of(place: &Place, job: &str, more: &[(&str, &str)]) -> Background {
    use std::os::unix::fs::MetadataExt;
    let (shown, _) = json_in(place, "state", &["state", "show"]);
    let folder = std::fs::metadata(place.state()).unwrap();
    let mut command = Command::new("sleep");
    command.arg("600").env("RECOVERYCTL_JOB_ID", job);
    command.env("RECOVERYCTL_STATE_ID", shown["id"].as_str().unwrap());
    command.env("RECOVERYCTL_STATE_INCARNATION", format!("1@{}:{}", folder.dev(), folder.ino()));
    Background::start(command.envs(more.iter().copied()))
}

/// A backup with job `one` was put back, and a process of that job lives from before.
fn put_back_while_a_job_lives(place: &Place) -> Background {
    assert_eq!(json_in(place, "state", &["submit", "--id", "one", "--", "true"]).1, 0);
    copy(place, "state", "backup");
    let survivor = survivor_of(place, "one", &[]);
    put_back(place);
    survivor
}

/// Puts back a backup of what is there now, while a command runs under the lock of `web`.
fn put_back_under_a_lock(place: &Place) -> Background {
    copy(place, "state", "backup");
    let seen = place.path("pid");
    let script = "echo $$ > \"$1.new\"; mv \"$1.new\" \"$1\"; sleep 600 & wait";
    let mut command = place.command();
    command.args(["lock", "web", "--", "sh", "-c", script, "sh"]).arg(&seen);
    let holder = Background::start(&mut command);
    until("the command to run", || seen.exists());
    put_back(place);
    holder
}

/// Sends it SIGTERM, and waits until it has ended.
fn terminate(process: Background) {
    let pid = rustix::process::Pid::from_raw(process.pid().cast_signed()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    process.wait();
}

fn status_of(place: &Place, job: &str) -> String {
    json_in(place, "state", &["jobs", "show", job]).0["status"].as_str().unwrap().to_owned()
}

fn finding<'a>(document: &'a serde_json::Value, code: &str) -> &'a serde_json::Value {
    let mut all = document["findings"].as_array().unwrap().iter();
    all.find(|finding| finding["code"] == code).unwrap_or_else(|| panic!("no {code}: {document:#}"))
}

/// A job that the queue does not know is none of those that wait: it closes the repository that it works on,
/// and is reported.
#[test]
fn unknown_job_that_lives_from_before_the_restore_keeps_others_from_no_more_than_its_repository() {
    let place = Place::new();
    for (id, repository) in [("free", None), ("web", Some("web")), ("api", Some("api"))] {
        let mut words = vec!["submit", "--id", id];
        words.extend(repository.iter().flat_map(|name| ["--repo", name]));
        words.extend(["--", "true"]);
        assert_eq!(json_in(&place, "state", &words).1, 0);
    }
    copy(&place, "state", "backup");
    let without = survivor_of(&place, "without", &[]);
    let mut on_api = survivor_of(&place, "on-api", &[("RECOVERYCTL_REPOSITORY", "api")]);
    // Under a lock of another repository, nothing shows the job's own repository.
    let inside = [("RECOVERYCTL_REPOSITORY", "docs"), ("RECOVERYCTL_LOCK_STATE", "x")];
    let mut under_lock = survivor_of(&place, "under-lock", &inside);
    put_back(&place);
    assert_eq!(json_in(&place, "state", &["work", "--once"]).1, 0);
    assert_eq!(["free", "web", "api"].map(|id| status_of(&place, id)), ["succeeded", "queued", "queued"]);
    let (found, _) = json_in(&place, "state", &["status"]);
    // The jobs that are kept from starting wait, and no daemon runs.
    assert_eq!(found["state"], "unwatched", "{found:#}");
    let unknown = finding(&found, "unknown-job-lives");
    let (why, _) = json_in(&place, "state", &["why", "job:web"]);
    assert!(why["because"].as_str().unwrap().contains(&format!("kill {}", under_lock.pid())), "{why:#}");
    assert!(["job:on-api", "job:under-lock"].map(Into::into).contains(&unknown["object"]), "{unknown:#}");
    under_lock.kill();
    assert_eq!(json_in(&place, "state", &["work", "--once"]).1, 0);
    assert_eq!(["web", "api"].map(|id| status_of(&place, id)), ["succeeded", "queued"]);
    let (found, _) = json_in(&place, "state", &["status"]);
    let told = finding(&found, "unknown-job-lives")["sentence"].as_str().unwrap();
    assert!(told.contains(&format!("kill {}", on_api.pid())) && told.contains("'api'"), "{told}");
    on_api.kill();
    assert_eq!(json_in(&place, "state", &["work", "--once"]).1, 0);
    assert_eq!(status_of(&place, "api"), "succeeded");
    // It has no repository, and keeps nobody waiting.
    let (found, _) = json_in(&place, "state", &["status"]);
    assert!(!codes(&found).contains(&"unknown-job-lives"), "{found:#}");
    drop(without);
}

/// `why` tells what keeps a job waiting, with the processes.
#[test]
fn queued_job_that_lives_from_before_the_restore_is_explained_with_its_processes() {
    let place = Place::new();
    let survivor = put_back_while_a_job_lives(&place);
    let (why, _) = json_in(&place, "state", &["why", "job:one"]);
    finding(&why, "job-of-other-incarnation");
    assert_eq!(why["processes"][0]["pid"], survivor.pid(), "{why:#}");
    assert!(why["because"].as_str().unwrap().contains(&survivor.pid().to_string()), "{why:#}");
}

/// The scheduler knows this too: a job that needs the repository is not claimed and given back again and
/// again.
#[test]
fn job_waits_while_a_command_under_a_lock_lives_from_before_the_restore() {
    let place = Place::new();
    assert_eq!(json_in(&place, "state", &["submit", "--id", "one", "--repo", "web", "--", "true"]).1, 0);
    let holder = put_back_under_a_lock(&place);
    assert_eq!(json_in(&place, "state", &["work", "--once"]).1, 0);
    let records = || json_in(&place, "state", &["queue", "wal"]).0["last_seq"].clone();
    let before = records();
    assert_eq!(json_in(&place, "state", &["work", "--once"]).1, 0);
    assert_eq!((status_of(&place, "one"), records()), ("queued".to_owned(), before), "nothing was claimed");
    let (found, _) = json_in(&place, "state", &["status"]);
    let told = finding(&found, "lock-of-other-incarnation");
    assert_eq!(told["object"], "lock:web", "{told:#}");
    terminate(holder);
    until("the job to start", || {
        assert_eq!(json_in(&place, "state", &["work", "--once"]).1, 0);
        status_of(&place, "one") == "succeeded"
    });
}

/// A process that this incarnation's own locks have left running is no survivor of the lost time.
#[test]
fn agent_that_a_lock_started_after_the_restore_closes_no_repository() {
    let place = Place::new();
    // As long as the survivor lives, each grant searches for others.
    let survivor = put_back_while_a_job_lives(&place);
    let seen = place.path("pid");
    let closing = "for fd in /proc/self/fd/*; do n=${fd##*/}; [ $n -gt 2 ] && eval \"exec $n>&-\"; done";
    let agent = format!("{closing}; echo $$ > \"$0.new\"; mv \"$0.new\" \"$0\"; exec sleep 600");
    let script =
        "setsid env -i bash -c \"$1\" \"$2\" > /dev/null 2>&1 & until [ -e \"$2\" ]; do sleep 0.01; done";
    let words = ["lock", "web", "--", "sh", "-c", script, "sh", &agent, seen.to_str().unwrap()];
    assert_eq!(place.run(words).status, 0);
    // Another grant follows, so that no file shows the first one.
    for repository in ["web", "api"] {
        place.run(["lock", repository, "--wait", "1ms", "--", "true"]).ends_with(0);
    }
    let pid = std::fs::read_to_string(&seen).unwrap().trim().parse().unwrap();
    let pid = rustix::process::Pid::from_raw(pid).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    drop(survivor);
}

/// A backup was put back into the very folder while an attempt ran.
#[test]
fn attempt_of_the_time_that_is_lost_puts_no_output_into_the_directory_that_was_put_back() {
    let place = Place::new();
    assert_eq!(json_in(&place, "state", &["submit", "--id", "first", "--", "true"]).1, 0);
    copy(&place, "state", "backup");
    let go = place.path("go");
    let script = "echo printed; until [ -e \"$1\" ]; do sleep 0.05; done";
    let words = ["submit", "--id", "one", "--", "sh", "-c", script, "sh", go.to_str().unwrap()];
    assert_eq!(json_in(&place, "state", &words).1, 0);
    let mut daemon = Background::start(place.command().args(["daemon", "--listen", "none"]));
    let output = place.state().join("attempts/one/output.log");
    until("the job to print", || std::fs::read(&output).is_ok_and(|printed| printed == b"printed\n"));
    daemon.kill();
    // The supervisor of the first job may still be ending.
    until("one supervisor to be left", || attendants(&place, "supervise").len() == 1);
    let supervisor = attendants(&place, "supervise")[0];
    let signal = |signal| rustix::process::kill_process(supervisor, signal).unwrap();
    // The supervisor writes its files again when they are gone; it must not do so in between.
    signal(rustix::process::Signal::STOP);
    for entry in std::fs::read_dir(place.state()).unwrap().flatten() {
        let removed = match entry.file_type().unwrap().is_dir() {
            true => std::fs::remove_dir_all(entry.path()),
            false => std::fs::remove_file(entry.path()),
        };
        removed.unwrap();
    }
    copy(&place, "backup/.", "state");
    json_in(&place, "state", &["recover"]);
    let (shown, _) = json_in(&place, "state", &["state", "show"]);
    assert_eq!(shown["restored"]["from_incarnation"], 1, "{shown:#}");
    std::fs::write(&go, "").unwrap();
    signal(rustix::process::Signal::CONT);
    until("the supervisor to leave", || attendants(&place, "supervise").is_empty());
    assert!(!output.exists() && !place.state().join("jobs/one").exists());
}
