//! `jobs list|show|output|cancel`.
#![allow(clippy::disallowed_methods)]

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use crate::common::{Place, Ran};
use serde_json::{Value, json};

fn submit(place: &Place, options: &[&str], command: &[&str]) {
    let arguments = [&["submit"], options, &["--"], command].concat();
    place.run(arguments).ends_with(0);
}

fn show(place: &Place, id: &str) -> Value {
    place.run(["jobs", "show", id, "--json"]).ends_with(0).json()
}

fn listed(place: &Place, options: &[&str]) -> Vec<String> {
    let list = place.run([&["jobs", "list", "--json"], options].concat()).ends_with(0).json();
    list["jobs"].as_array().unwrap().iter().map(|j| j["job_id"].as_str().unwrap().to_owned()).collect()
}

/// A shell's words for waiting for a file, which end by themselves should the test fail.
fn wait_for(file: &Path) -> String {
    format!("n=0; until [ -e {} ] || [ $n -ge 1200 ]; do n=$((n+1)); sleep 0.05; done", file.display())
}

/// A worker that does not outlive its test.
struct Worker(Child);

impl Worker {
    fn start(place: &Place) -> Worker {
        let mut command = place.command();
        command.args(["work", "--once"]).stdout(Stdio::null()).stderr(Stdio::null());
        Worker(command.spawn().unwrap())
    }

    /// Waits until it has nothing left to do.
    fn end(mut self) {
        self.0.wait().unwrap();
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // Ended already, unless the test failed.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Waits until something holds, or fails.
#[track_caller]
fn until(what: &str, holds: impl Fn() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < crate::common::PATIENCE, "in vain: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn without_a_state_directory_nothing_is_made() {
    let place = Place::new();
    for arguments in
        [&["jobs", "list"][..], &["jobs", "show", "a"], &["jobs", "output", "a"], &["jobs", "cancel", "a"]]
    {
        let error = place.run([arguments, &["--json"]].concat()).ends_with(10).error();
        assert_eq!(error["code"], "no-state-directory");
    }
    assert!(!place.state().exists());
}

#[test]
fn an_unknown_job_is_told_and_nothing_is_touched() {
    let place = Place::new();
    submit(&place, &["--id", "a"], &["true"]);
    let outside = place.write("victim/output.log", "mine");
    let long = "x".repeat(5000);
    for id in ["nope", "../../victim", "../x", "", "a\nb", "jobs/a", &long] {
        for word in ["show", "output", "cancel"] {
            let ran = place.run(["jobs", word, id, "--json"]).ends_with(5);
            assert_eq!(ran.json()["error"]["code"], "no-such-job", "{word} {id:?}");
        }
    }
    assert_eq!(fs::read_to_string(outside).unwrap(), "mine");
    assert_eq!(show(&place, "a")["status"], "queued");
}

#[test]
fn the_list_is_in_order_and_can_be_narrowed_and_paged() {
    let place = Place::new();
    for id in ["a", "b", "c", "d", "e"] {
        let repository = if id < "d" { "web" } else { "other" };
        submit(&place, &["--id", id, "--repo", repository], &["true"]);
    }
    place.run(["jobs", "cancel", "b"]).ends_with(0);
    assert_eq!(listed(&place, &[]), ["e", "d", "c", "b", "a"]);
    assert_eq!(listed(&place, &["--reverse"]), ["a", "b", "c", "d", "e"]);
    assert_eq!(listed(&place, &["--repo", "web"]), ["c", "b", "a"]);
    assert_eq!(listed(&place, &["--status", "queued", "--repo", "web"]), ["c", "a"]);
    assert_eq!(listed(&place, &["--status", "cancelled"]), ["b"]);

    let (mut seen, mut cursor) = (Vec::new(), None::<String>);
    loop {
        let from: Vec<&str> = cursor.iter().flat_map(|c| ["--cursor", c]).collect();
        let arguments = [&["jobs", "list", "--json", "--limit", "2"], &from[..]].concat();
        let page = place.run(arguments).ends_with(0).json();
        assert_eq!(page["total"], 5);
        seen.extend(page["jobs"].as_array().unwrap().iter().map(|j| j["job_id"].clone()));
        cursor = page["next_cursor"].as_str().map(str::to_owned);
        if cursor.is_none() {
            break;
        }
    }
    assert_eq!(seen, ["e", "d", "c", "b", "a"]);
    assert_eq!(
        place.run(["jobs", "list", "--json", "--cursor", "x"]).ends_with(2).error()["code"],
        "bad-cursor"
    );
    place.run(["jobs", "list", "--limit", "0"]).ends_with(2);
    place.run(["jobs", "list", "--status", "fine"]).ends_with(2);
}

#[test]
fn the_table_is_for_people() {
    let place = Place::new();
    assert!(place.run(["init"]).ends_with(0).stdout.contains("made"));
    let none = place.run(["jobs", "list"]).ends_with(0);
    assert_eq!((none.stdout.as_str(), none.stderr.as_str()), ("", "no jobs\n"));
    submit(&place, &["--id", "a", "--title", "nightly \u{1b}[31mbuild"], &["true"]);
    let table = place.run(["jobs", "list"]).ends_with(0).stdout;
    let lines: Vec<&str> = table.lines().collect();
    assert!(lines[0].starts_with("JOB  STATUS") && lines[1].starts_with("a    queued"), "{table}");
    assert!(!table.contains('\u{1b}') && table.contains("build"), "{table}");
    let shown = place.run(["jobs", "show", "a"]).ends_with(0).stdout;
    assert!(shown.starts_with("QUEUED  a\n") && shown.contains("1 in the line"), "{shown}");
}

#[test]
fn what_ran_is_shown_with_its_history_and_its_output() {
    let place = Place::new();
    submit(&place, &["--id", "good"], &["printf", "one\\n\\033[31mtwo\\377\\n"]);
    submit(&place, &["--id", "bad"], &["sh", "-c", "exit 3"]);
    submit(&place, &["--id", "lost"], &["/no/such/program"]);
    place.run(["work", "--once"]);
    let good = show(&place, "good");
    assert_eq!((&good["status"], &good["exit_code"]), (&json!("succeeded"), &json!(0)));
    let history: Vec<&Value> = good["history"].as_array().unwrap().iter().map(|t| &t["status"]).collect();
    assert_eq!(history, ["queued", "running", "succeeded"]);
    assert_eq!(good["attempts"].as_array().unwrap().len(), 1);
    let bad = show(&place, "bad");
    assert_eq!(
        (&bad["status"], &bad["exit_code"], &bad["resumable"]),
        (&json!("failed"), &json!(3), &json!(true))
    );
    assert_eq!(show(&place, "lost")["status"], "failed");

    let raw = place.command().args(["jobs", "output", "good"]).output().unwrap();
    assert_eq!(raw.stdout, b"one\n\x1b[31mtwo\xFF\n");
    let document = place.run(["jobs", "output", "good", "--json"]).ends_with(0).json();
    assert_eq!((&document["bytes"], &document["attempt"]), (&json!(14), &json!(1)));
    assert_eq!(document["output"], "one\n\u{1b}[31mtwo\u{fffd}\n");
    let tail = place.command().args(["jobs", "output", "good", "--tail", "5B"]).output().unwrap();
    assert_eq!(tail.stdout, b"two\xFF\n");
    let none = place.run(["jobs", "output", "bad"]).ends_with(0);
    assert!(none.stdout.is_empty() && none.stderr.contains("has printed nothing"), "{none:?}");
    let error = place.run(["jobs", "output", "good", "--attempt", "2", "--json"]).ends_with(5).error();
    assert_eq!(error["code"], "no-such-attempt");
}

#[test]
fn following_ends_with_the_job_and_misses_nothing() {
    let place = Place::new();
    let go_on = place.path("go-on");
    let script = format!("echo first; {}; echo last", wait_for(&go_on));
    submit(&place, &["--id", "a"], &["sh", "-c", &script]);
    let worker = Worker::start(&place);
    let mut follower =
        place.command().args(["jobs", "output", "-f", "a"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut printed = BufReader::new(follower.stdout.take().unwrap());
    let mut first = String::new();
    printed.read_line(&mut first).unwrap();
    assert_eq!(first, "first\n");
    assert_eq!(show(&place, "a")["status"], "running");
    fs::write(&go_on, "").unwrap();
    let mut rest = String::new();
    printed.read_to_string(&mut rest).unwrap();
    assert_eq!(rest, "last\n");
    assert!(follower.wait().unwrap().success());
    worker.end();
    assert_eq!(show(&place, "a")["status"], "succeeded");
}

#[test]
fn a_queued_job_is_over_at_once_when_cancelled() {
    let place = Place::new();
    submit(&place, &["--id", "a"], &["true"]);
    submit(&place, &["--id", "b"], &["true"]);
    let dry = place.run(["jobs", "cancel", "a", "--dry-run", "--json"]).ends_with(0).json();
    assert_eq!((&dry["cancelled"][0]["job_id"], &dry["dry_run"]), (&json!("a"), &json!(true)));
    assert_eq!(show(&place, "a")["status"], "queued");
    let report = place
        .run(["jobs", "cancel", "a", "a", "nope", "--json", "--reason", "not needed"])
        .ends_with(3)
        .json();
    assert_eq!(report["cancelled"].as_array().unwrap().len(), 1);
    assert_eq!(report["refused"][0]["code"], "no-such-job");
    let a = show(&place, "a");
    assert_eq!((&a["status"], &a["reason"]), (&json!("cancelled"), &json!("not needed")));
    let error = place.run(["jobs", "cancel", "a", "--json"]).ends_with(1).error();
    assert_eq!(error["code"], "job-is-over");
    assert_eq!(show(&place, "b")["status"], "queued");
}

#[test]
fn a_running_job_is_ended_when_cancelled() {
    let place = Place::new();
    submit(&place, &["--id", "a"], &["sh", "-c", "echo up; exec sleep 600"]);
    let worker = Worker::start(&place);
    until("the job prints", || place.run(["jobs", "output", "a"]).stdout == "up\n");
    place.run(["jobs", "cancel", "a"]).ends_with(0);
    until("it is over", || show(&place, "a")["status"] == "cancelled");
    worker.end();
}

#[test]
fn a_queued_job_says_what_it_waits_for() {
    let place = Place::new();
    let go_on = place.path("go-on");
    let script = wait_for(&go_on);
    submit(&place, &["--id", "holder", "--repo", "web"], &["sh", "-c", &script]);
    submit(&place, &["--id", "waiter", "--repo", "web"], &["true"]);
    let worker = Worker::start(&place);
    until("the first has its lock", || show(&place, "holder")["lock"]["liveness"] == "alive");
    assert_eq!(show(&place, "waiter")["waiting_for"], "job:holder");
    let text = Ran::of(place.command().args(["jobs", "list"])).stdout;
    assert!(text.contains("waits for job:holder"), "{text}");
    let status = place.run(["queue", "status", "--json"]).ends_with(0).json();
    assert_eq!(status["head"][0]["waiting_for"], "job:holder");
    fs::write(&go_on, "").unwrap();
    worker.end();
    assert_eq!(show(&place, "waiter")["status"], "succeeded");
    assert_eq!(show(&place, "holder")["lock"], Value::Null);
}

#[test]
fn a_queued_job_has_its_place_in_the_line() {
    let place = Place::new();
    for (id, priority) in [("a", "0"), ("b", "5"), ("c", "9"), ("d", "0")] {
        submit(&place, &["--id", id, "--priority", priority], &["true"]);
    }
    place.run(["jobs", "cancel", "c"]).ends_with(0);
    let list = place.run(["jobs", "list", "--json"]).ends_with(0).json();
    let places: Vec<&Value> = list["jobs"].as_array().unwrap().iter().map(|j| &j["position"]).collect();
    assert_eq!(places, [&json!(3), &Value::Null, &json!(1), &json!(2)], "the newest first");
    assert_eq!(show(&place, "d")["position"], 3);
    let page = place.run(["jobs", "list", "--json", "--status", "queued", "--limit", "1"]).json();
    assert_eq!(page["jobs"][0]["position"], 3);
}

#[test]
fn the_password_of_a_callback_is_never_shown() {
    let place = Place::new();
    let callback = ["--callback", "http://user:hunter2@hooks.example/x"];
    for options in [&["--dry-run"][..], &["--id", "a"]] {
        let ran = place.run([&["submit", "--json"], options, &callback, &["--", "true"]].concat());
        assert_eq!(ran.ends_with(0).json()["callbacks"], json!(["http://***@hooks.example/***"]));
    }
    assert_eq!(show(&place, "a")["callbacks"][0]["url"], "http://***@hooks.example/***");
    let refused = place.run(["submit", "--callback", "ftp://user:hunter2@x", "--", "true"]).ends_with(2);
    assert!(refused.stderr.contains("***@x") && !refused.stderr.contains("hunter2"), "{}", refused.stderr);
    let line = place.write("line", "{\"command\":[\"true\"],\"callbacks\":\"http://user:hunter2@x\"}");
    let refused = place.run(["submit".as_ref(), "--from".as_ref(), line.as_os_str()]).ends_with(1);
    assert!(refused.stderr.contains("***@x") && !refused.stderr.contains("hunter2"), "{}", refused.stderr);
    let text = place.run(["jobs", "show", "a"]).ends_with(0).stdout;
    assert!(text.contains("***@hooks.example") && !text.contains("hunter2"), "{text}");
}

#[test]
fn a_job_is_named_by_the_beginning_of_its_id_or_as_the_last_one() {
    let place = Place::new();
    for id in ["build-10", "nightly"] {
        submit(&place, &["--id", id], &["false"]);
    }
    place.run(["work", "--once"]).ends_with(0);
    let entered = || place.run(["submit", "--", "true"]).ends_with(0).stdout.trim().to_owned();
    let made = entered();
    assert_eq!(show(&place, "nigh")["job_id"], "nightly");
    assert_eq!(show(&place, "@last")["job_id"], made);
    assert_eq!(show(&place, "@last-failed")["status"], "failed");
    let second = entered();
    // Both were made in this moment: their ids begin with it.
    let both = place.run(["jobs", "show", &made[..6], "--json"]).ends_with(5).error();
    assert_eq!(both["code"], "ambiguous-job", "{both}");
    assert!(both["message"].as_str().unwrap().contains(&second), "{both}");
    place.run(["jobs", "show", "nig"]).ends_with(5);
    // A script that names a job that is gone must not affect another one.
    assert_eq!(
        place.run(["jobs", "cancel", "build-1", "--json"]).ends_with(5).error()["code"],
        "no-such-job"
    );
    assert_eq!(place.run(["resume", "build-1", "--json"]).ends_with(5).error()["code"], "no-such-job");
    let short = &second[..second.len() - 1];
    let cancelled = place.run(["jobs", "cancel", short, "--json"]).ends_with(0).json();
    assert_eq!(cancelled["cancelled"][0]["job_id"], second, "{cancelled:#}");
    place.run(["resume", "@last-failed"]).ends_with(0);
}
