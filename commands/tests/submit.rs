//! `submit`: one job and many, and everything that cannot be submitted.
#![allow(clippy::disallowed_methods, clippy::print_stderr)]

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};

use crate::common;
use crate::common::{Place, Ran};
use serde_json::{Value, json};

/// The ids in the queue, in the order in which they entered.
fn ids(place: &Place) -> Vec<String> {
    let list = place.run(["jobs", "list", "--reverse", "--json"]).ends_with(0).json();
    list["jobs"].as_array().unwrap().iter().map(|j| j["job_id"].as_str().unwrap().to_owned()).collect()
}

/// Runs with something on stdin.
fn with_input(place: &Place, arguments: &[&str], input: &[u8]) -> Ran {
    let mut child = place
        .command()
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    // The reading runs beside the writing: ids come back before the input has ended.
    let output = std::thread::scope(|scope| {
        scope.spawn(move || stdin.write_all(input).unwrap());
        child.wait_with_output().unwrap()
    });
    Ran {
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
        status: output.status.code().unwrap(),
    }
}

#[test]
fn the_id_is_printed_and_the_job_is_in_the_queue() {
    let place = Place::new();
    let id = place.run(["submit", "--", "true"]).ends_with(0).stdout.trim_end().to_owned();
    let second = place.run(["submit", "--json", "--", "echo", "two words", "--json"]).ends_with(0).json();
    assert_eq!(second["command"], json!(["echo", "two words", "--json"]));
    assert_eq!((&second["seq"], &second["dry_run"]), (&json!(2), &json!(false)));
    assert_eq!(ids(&place), [id, second["job_id"].as_str().unwrap().to_owned()]);
}

#[test]
fn every_option_arrives() {
    let place = Place::new();
    let arguments = [
        "submit",
        "--id",
        "all",
        "--repo",
        "web app/größe",
        "--priority",
        "-3",
        "--callback",
        "http://localhost:1/a",
        "--callback",
        "https://example.org",
        "--env",
        "TOKEN=top=secret",
        "--export",
        "none",
        "--cwd",
        "sub",
        "--timeout",
        "1m30s",
        "--on-crash",
        "requeue",
        "--max-attempts",
        "5",
        "--resume-command",
        "make 'from here'",
        "--auto-cleanup",
        "--title",
        "a title",
        "--",
        "make",
    ];
    assert_eq!(place.run(arguments).ends_with(0).stdout, "all\n");
    let job = place.run(["jobs", "show", "all", "--json"]).ends_with(0).json();
    for (member, expected) in [
        ("repository", json!("web app/größe")),
        ("priority", json!(-3)),
        ("command", json!(["make"])),
        ("resume_command", json!(["make", "from here"])),
        ("timeout_ms", json!(90_000)),
        ("on_crash", json!("requeue")),
        ("max_attempts", json!(5)),
        ("auto_cleanup", json!(true)),
        ("title", json!("a title")),
        ("cwd", json!(place.path("sub").to_str().unwrap())),
        ("env", json!({"TOKEN": "***"})),
        ("callbacks", json!([{"url": "http://localhost:1/***"}, {"url": "https://example.org"}])),
    ] {
        assert_eq!(job[member], expected, "{member}");
    }
}

#[test]
fn the_configuration_decides_what_is_not_said() {
    let place = Place::new();
    place.write("config.toml", "[jobs]\non_crash = \"requeue\"\nmax_attempts = 9\n");
    let job = place.run(["submit", "--json", "--", "true"]).ends_with(0).json();
    assert_eq!((&job["on_crash"], &job["max_attempts"]), (&json!("requeue"), &json!(9)));
}

#[test]
fn wrong_usage_ends_with_2_and_enters_nothing() {
    let place = Place::new();
    let long = "x".repeat(300);
    for options in [
        &["--"][..],
        &["--", ""],
        &["true"],
        &["--id", "../x", "--", "true"],
        &["--id", "", "--", "true"],
        &["--id", "..", "--", "true"],
        &["--id", "a/b", "--", "true"],
        &["--id", &long, "--", "true"],
        &["--repo", "", "--", "true"],
        &["--repo", "a\nb", "--", "true"],
        &["--repo", &long, "--", "true"],
        &["--callback", "ftp://h/", "--", "true"],
        &["--callback", "http://", "--", "true"],
        &["--env", "NOVALUE", "--", "true"],
        &["--env", "=x", "--", "true"],
        &["--timeout", "0s", "--", "true"],
        &["--timeout", "soon", "--", "true"],
        &["--on-crash", "panic", "--", "true"],
        &["--max-attempts", "0", "--", "true"],
        &["--resume-command", "'", "--", "true"],
        &["--resume-command", "", "--", "true"],
        &["--priority", "1.5", "--", "true"],
        &["--all-or-nothing", "--", "true"],
        &["--from", "-", "--", "true"],
        &["--from", "-", "--id", "x"],
    ] {
        let arguments: Vec<&str> = ["submit"].iter().chain(options).copied().collect();
        let ran = place.run(&arguments).ends_with(2);
        assert_eq!((ran.stdout.as_str(), ran.stderr.is_empty()), ("", false), "{options:?}");
        let json: Vec<&str> = ["--json", "submit"].iter().chain(options).copied().collect();
        place.run(&json).ends_with(2).error();
    }
    assert!(!place.state().exists(), "nothing was made for what was refused");
}

#[test]
fn names_with_blanks_slashes_and_any_script_are_repositories() {
    let place = Place::new();
    for name in ["two words", "group/project", "../up", "日本語", "50%", ".hidden"] {
        place.run(["submit", "--repo", name, "--", "true"]).ends_with(0);
        let list = place.run(["jobs", "list", "--reverse", "--repo", name, "--json"]).ends_with(0).json();
        assert_eq!((&list["total"], &list["jobs"][0]["repository"]), (&json!(1), &json!(name)));
    }
}

#[test]
fn a_state_directory_that_is_a_file_is_left_alone() {
    let place = Place::new();
    place.write("state", "mine");
    place.run(["submit", "--", "true"]).ends_with(10);
    assert_eq!(fs::read_to_string(place.state()).unwrap(), "mine");
}

#[test]
fn an_id_is_given_once() {
    let place = Place::new();
    place.run(["submit", "--id", "nightly", "--", "true"]).ends_with(0);
    let uuid = place.run(["submit", "--", "true"]).ends_with(0).stdout.trim_end().to_owned();
    for id in ["nightly", &uuid] {
        for dry_run in [&[][..], &["--dry-run"]] {
            let arguments = [&["submit", "--json", "--id", id][..], dry_run, &["--", "false"]].concat();
            assert_eq!(place.run(arguments).ends_with(1).error()["code"], "job-exists", "{id}");
        }
    }
    assert_eq!(ids(&place), ["nightly".to_owned(), uuid]);
}

#[test]
fn one_of_many_gets_a_name() {
    let place = Place::new();
    place.run(["init"]).ends_with(0);
    let statuses: Vec<i32> = std::thread::scope(|scope| {
        let runs: Vec<_> = (0..12)
            .map(|_| scope.spawn(|| place.run(["submit", "--id", "the-one", "--", "true"]).status))
            .collect();
        runs.into_iter().map(|r| r.join().unwrap()).collect()
    });
    assert_eq!(statuses.iter().filter(|s| **s == 0).count(), 1, "{statuses:?}");
    assert!(statuses.iter().all(|s| matches!(s, 0 | 1)), "{statuses:?}");
    assert_eq!(ids(&place), ["the-one"]);
}

#[test]
fn a_dry_run_makes_nothing() {
    let place = Place::new();
    let report =
        place.run(["submit", "--dry-run", "--json", "--env", "A=secret", "--", "true"]).ends_with(0).json();
    assert_eq!(
        (&report["dry_run"], &report["job_id"], &report["seq"]),
        (&json!(true), &Value::Null, &Value::Null)
    );
    assert!(!report.to_string().contains("secret"));
    with_input(&place, &["submit", "--dry-run", "--from", "-"], b"{\"command\":[\"true\"]}\n").ends_with(0);
    assert!(!place.state().exists());
}

#[test]
fn parallel_submissions_are_all_there_in_the_order_of_the_log() {
    let place = Place::new();
    let printed: Vec<(u64, String)> = std::thread::scope(|scope| {
        let submitters: Vec<_> = (0..64)
            .map(|_| {
                scope.spawn(|| {
                    let report = place.run(["submit", "--json", "--", "true"]).ends_with(0).json();
                    (report["seq"].as_u64().unwrap(), report["job_id"].as_str().unwrap().to_owned())
                })
            })
            .collect();
        submitters.into_iter().map(|s| s.join().unwrap()).collect()
    });
    let mut by_seq = printed;
    by_seq.sort();
    assert_eq!(by_seq.iter().map(|(seq, _)| *seq).collect::<Vec<_>>(), (1..=64).collect::<Vec<_>>());
    assert_eq!(ids(&place), by_seq.into_iter().map(|(_, id)| id).collect::<Vec<_>>());
    let wal = place.run(["queue", "wal", "--json"]).ends_with(0).json();
    assert_eq!((&wal["damaged_records"], &wal["last_seq"]), (&json!(0), &json!(64)));
}

const MIXED: &str = concat!(
    "\u{feff}{\"command\":[\"true\"],\"id\":\"first\"}\n",
    "\n",
    "{\"command\":\"make all\"}\r\n",
    "{\"comand\":[\"true\"]}\n",
    "{\"command\":[\"true\"],\"id\":\"second\",\"timeout\":\"5s\"}\r\n",
    "not json\n",
    "{\"command\":[\"true\"],\"id\":\"first\"}\n",
    "{\"command\":[]}",
);

#[test]
fn bad_lines_are_told_by_number_and_the_good_ones_go_in() {
    let place = Place::new();
    let file = place.write("jobs.jsonl", MIXED);
    let ran = place.run(["submit", "--from", file.to_str().unwrap()]).ends_with(3);
    assert_eq!(ran.stdout, "first\nsecond\n");
    for part in
        ["line 3: 'command' must be a list", "line 4: ", "'command'?", "line 6: ", "line 7: ", "line 8: "]
    {
        assert!(ran.stderr.contains(part), "{part}: {}", ran.stderr);
    }
    assert_eq!(ids(&place), ["first", "second"]);

    let other = Place::new();
    let report =
        with_input(&other, &["submit", "--from", "-", "--json"], MIXED.as_bytes()).ends_with(3).json();
    let lines = |list: &str| -> Vec<u64> {
        report[list].as_array().unwrap().iter().map(|e| e["line"].as_u64().unwrap()).collect()
    };
    assert_eq!((lines("submitted"), lines("errors")), (vec![1, 5], vec![3, 4, 6, 7, 8]));
    assert_eq!(report["submitted"][1]["job_id"], "second");
    assert_eq!((&report["total"], &report["errors_total"]), (&json!(7), &json!(5)));
}

#[test]
fn all_or_nothing_enters_all_as_one_record_or_nothing() {
    let place = Place::new();
    let arguments = ["submit", "--all-or-nothing", "--json", "--from", "-"];
    let refused = with_input(&place, &arguments, MIXED.as_bytes()).ends_with(1).json();
    assert_eq!((&refused["submitted"], &refused["error"]["code"]), (&json!([]), &json!("bad-lines")));
    let doubled = b"{\"command\":[\"true\"],\"id\":\"a\"}\n{\"command\":[\"true\"],\"id\":\"a\"}\n";
    let refused = with_input(&place, &arguments, doubled).ends_with(1).json();
    assert_eq!(refused["errors"][0]["line"], 2);
    assert_eq!(ids(&place), [""; 0]);

    let good = b"{\"command\":[\"true\"],\"id\":\"a\"}\n{\"command\":[\"true\"],\"id\":\"b\"}\n";
    let report = with_input(&place, &arguments, good).ends_with(0).json();
    assert_eq!(report["submitted"].as_array().unwrap().len(), 2);
    assert_eq!(ids(&place), ["a", "b"]);
    assert_eq!(place.run(["queue", "wal", "--json"]).ends_with(0).json()["last_seq"], 1);

    // One entered before, one bad in itself, one that is good, and one that is in the input twice.
    let taken = b"{\"command\":[\"true\"],\"id\":\"a\"}\n{\"command\":[]}\n\
        {\"command\":[\"true\"],\"id\":\"c\"}\n{\"command\":[\"true\"],\"id\":\"c\"}\n";
    let refused = with_input(&place, &arguments, taken).ends_with(1).json();
    let lines: Vec<&Value> = refused["errors"].as_array().unwrap().iter().map(|e| &e["line"]).collect();
    assert_eq!(lines, [1, 2, 4]);
    assert_eq!(refused["errors_total"], 3);
    assert_eq!(ids(&place), ["a", "b"]);
}

/// The environment that each job gets from the shell counts as well: everything is in the one record.
#[test]
fn all_or_nothing_counts_the_environment_of_each_job() {
    let place = Place::new();
    let input = place.write("jobs.jsonl", &"{\"command\":[\"true\"]}\n".repeat(25_000));
    let submit = |options: &[&str]| {
        let mut command = place.command();
        command.env("LARGE", "x".repeat(4096)).args(["submit", "--all-or-nothing", "--json"]);
        Ran::of(command.args(options).arg("--from").arg(&input))
    };
    let refused = submit(&[]).ends_with(1).json();
    assert_eq!(refused["error"]["code"], "batch-too-large", "{}", refused["error"]);
    assert!(refused["error"]["hint"].as_str().unwrap().contains("--export none"));
    submit(&["--export", "none"]).ends_with(0);
}

#[test]
fn named_variable_that_does_not_go_along_is_told() {
    let place = Place::new();
    let submit = |export: &str, large: usize| {
        let mut command = place.command();
        command.env("LARGE", "x".repeat(large)).env("DEPLOY_TOKEN", "1");
        Ran::of(command.args(["submit", "--export", export, "--", "true"])).ends_with(0).stderr
    };
    assert_eq!(submit("all,DEPLOY_TOKEN", 1), "");
    let told = submit("all,DEPLOY_TOKEN,NOT_SET", 1);
    assert!(told.contains("NOT_SET") && !told.contains("DEPLOY_TOKEN"), "{told}");
    let told = submit("DEPLOY_TOKEN,LARGE", 65 << 10);
    assert!(told.contains("too large") && told.contains("LARGE"), "{told}");
}

#[test]
fn bytes_that_are_no_text_and_lines_without_end_cost_only_themselves() {
    let place = Place::new();
    let mut input = b"{\"command\":[\"\xFF\"]}\n".to_vec();
    input.extend(vec![b'x'; 9 << 20]);
    input.extend_from_slice(b"\n{\"command\":[\"true\"]}\n");
    let ran = with_input(&place, &["submit", "--from", "-"], &input).ends_with(3);
    assert!(ran.stderr.contains("line 1: it is not UTF-8 from byte 14 on"), "{}", ran.stderr);
    assert!(ran.stderr.contains("line 2: it is longer than 8.0 MiB"), "{}", ran.stderr);
    assert_eq!(ids(&place), [ran.stdout.trim_end()]);
}

#[test]
fn an_empty_input_is_no_failure_and_a_missing_one_is() {
    let place = Place::new();
    let report = with_input(&place, &["submit", "--from", "-", "--json"], b"\n\n").ends_with(0).json();
    assert_eq!((&report["total"], &report["submitted"]), (&json!(0), &json!([])));
    for file in ["missing.jsonl", "."] {
        let error = place.run(["submit", "--json", "--from", file]).ends_with(1).error();
        assert_eq!(error["code"], "input", "{file}");
    }
}

#[test]
fn many_lines_go_in_by_batches_in_their_order() {
    let place = Place::new();
    let count = 25_000;
    let input = "{\"command\":[\"true\"]}\n".repeat(count);
    let ran = with_input(&place, &["submit", "--from", "-"], input.as_bytes()).ends_with(0);
    let printed: Vec<&str> = ran.stdout.lines().collect();
    assert_eq!(printed.iter().collect::<BTreeSet<_>>().len(), count);
    assert_eq!(ids(&place), printed);
}

/// Syncs that a command makes; none where strace is not there or may not trace.
fn syncs(place: &Place, arguments: &[&str]) -> Option<usize> {
    let trace = place.path("trace");
    let plain = place.command();
    let mut traced = Command::new("strace");
    traced.args(["-f", "-e", "trace=fsync,fdatasync,sync_file_range,msync,sync", "-o"]).arg(&trace);
    traced.arg(plain.get_program()).args(arguments).current_dir(place.path("."));
    for (name, value) in plain.get_envs() {
        traced.env(name, value.unwrap());
    }
    let ran = traced.output().ok().filter(|o| o.status.success())?;
    assert!(!ran.stdout.is_empty());
    let trace = fs::read_to_string(trace).unwrap();
    Some(trace.lines().filter(|l| l.contains("sync") && l.contains('(')).count())
}

#[test]
fn a_submission_costs_one_sync_and_a_batch_as_well() {
    let place = Place::new();
    place.run(["submit", "--", "true"]).ends_with(0);
    let Some(one) = syncs(&place, &["submit", "--", "true"]) else {
        common::skipped("strace is not there or may not trace; syncs were not counted");
        return;
    };
    assert_eq!(one, 1);
    let file = place.write("jobs.jsonl", &"{\"command\":[\"true\"]}\n".repeat(500));
    assert_eq!(syncs(&place, &["submit", "--from", file.to_str().unwrap()]), Some(1));
    // A name is reserved by its folder, whose name is synced too.
    assert_eq!(syncs(&place, &["submit", "--id", "named", "--", "true"]), Some(2));
}
