//! Rules for every command: flags, usage errors, streams, colours.
#![allow(clippy::disallowed_methods)]

use crate::common::{Place, Ran};

#[test]
fn globals_work_before_and_after_the_word() {
    let place = Place::new();
    let other = place.path("other");
    let other = other.to_str().unwrap();
    for arguments in [
        ["--json", "--state-dir", other, "init", "--dry-run"],
        ["init", "--state-dir", other, "--json", "--dry-run"],
        ["--dry-run", "--state-dir", other, "init", "--json"],
    ] {
        let ran = place.run(arguments).ends_with(0);
        assert_eq!(ran.json()["state_dir"], other, "{arguments:?}");
        assert_eq!(ran.json()["dry_run"], true);
        assert_eq!(ran.stderr, "");
    }
}

#[test]
fn wrong_usage_ends_with_2_and_says_why() {
    let place = Place::new();
    for (arguments, part) in [
        (&["--bogus", "init"][..], "--bogus"),
        (&["init", "surplus"], "surplus"),
        (&["inti"], "inti"),
        (&["--color", "pink", "init"], "pink"),
        (&["init", "--lock-wait", "soon"], "'soon' is no duration"),
        (&["completions"], "<SHELL>"),
        (&["config"], "command"),
        (&["--state-dir", "", "init"], "--state-dir <DIR>"),
    ] {
        let ran = place.run(arguments).ends_with(2);
        assert_eq!(ran.stdout, "", "{arguments:?}");
        assert!(!ran.stderr.is_empty(), "{arguments:?}");
        let error = place.run(arguments.iter().chain([&"--json"])).ends_with(2).error();
        assert!(error["message"].as_str().unwrap().contains(part), "{error}");
    }
    let error = place.run(["--json"]).ends_with(2).error();
    assert_eq!(error["code"], "usage");
    place.run::<&str>([]).ends_with(2);
}

#[test]
fn a_slip_in_a_word_gets_a_hint() {
    let error = Place::new().run(["inti", "--json"]).error();
    assert!(error["hint"].as_str().unwrap().contains("'init'"), "{error}");
}

#[test]
fn help_and_version_are_results() {
    let place = Place::new();
    let help = place.run(["--help"]).ends_with(0);
    for status in ["11  held by a live owner", "130  ended by SIGINT"] {
        assert!(help.stdout.contains(status), "{}", help.stdout);
    }
    assert!(place.run(["--version"]).ends_with(0).stdout.starts_with("recoveryctl "));
    let document = place.run(["--version", "--json"]).ends_with(0).json();
    assert!(document["text"].as_str().unwrap().starts_with("recoveryctl "));
}

#[test]
fn a_reader_that_leaves_is_no_failure() {
    let place = Place::new();
    for arguments in [&["explain"][..], &["explain", "--json"], &["completions", "bash"], &["--help"]] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let ran = Ran::of(place.command().args(arguments).stdout(writer));
        assert_eq!((ran.status, ran.stderr.contains("rror")), (0, false), "{arguments:?}: {}", ran.stderr);
    }
}

#[test]
fn an_unknown_code_is_no_success_because_nobody_reads_it() {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let place = Place::new();
    assert_eq!(Ran::of(place.command().args(["explain", "nope", "--json"]).stdout(writer)).status, 5);
}

#[test]
fn a_full_disk_below_stdout_is_told() {
    let place = Place::new();
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let ran = Ran::of(place.command().arg("explain").stdout(full)).ends_with(1);
    assert!(ran.stderr.contains("cannot write to stdout"), "{}", ran.stderr);
}

#[test]
fn colours_are_for_terminals_unless_asked_for() {
    let place = Place::new();
    let escapes = |ran: &Ran| ran.stdout.contains('\x1b') || ran.stderr.contains('\x1b');
    for arguments in [&["explain"][..], &["explain", "nope"], &["--bogus"], &["--help"]] {
        assert!(!escapes(&place.run(arguments)), "{arguments:?}");
        let always: Vec<&str> = ["--color", "always"].iter().chain(arguments).copied().collect();
        assert!(escapes(&place.run(&always)), "{always:?}");
        assert!(escapes(&Ran::of(place.command().args(&always).env("NO_COLOR", "1"))), "{always:?}");
        let never: Vec<&str> = ["--color=never"].iter().chain(arguments).copied().collect();
        assert!(!escapes(&place.run(&never)), "{never:?}");
    }
    assert!(!escapes(&Ran::of(place.command().arg("explain").env("NO_COLOR", "1"))));
}

#[test]
fn quiet_says_results_and_errors_only() {
    let place = Place::new();
    assert!(place.run(["explain"]).stderr.contains("hint:"));
    let quiet = place.run(["explain", "-q"]).ends_with(0);
    assert_eq!(quiet.stderr, "");
    assert!(quiet.stdout.contains("lock-kept"));
    assert!(place.run(["-q", "explain", "nope"]).ends_with(5).stderr.contains("error: there is no code"));
}

#[test]
fn what_cannot_be_rehearsed_refuses_a_dry_run_before_it_acts() {
    let place = Place::new();
    let words = [&["daemon"][..], &["work", "--once"], &["run", "a"]];
    let refused = |word: &[&str]| {
        let error = place.run(word.iter().chain(&["--dry-run", "--json"])).ends_with(2).error();
        assert_eq!(error["code"], "no-dry-run", "{word:?}");
    };
    words.iter().for_each(|word| refused(word));
    assert!(!place.state().exists());
    place.run(["submit", "--id", "a", "--", "true"]).ends_with(0);
    words.iter().for_each(|word| refused(word));
    let job = place.run(["jobs", "show", "a", "--json"]).ends_with(0).json();
    assert_eq!(job["status"], "queued");
    assert!(!place.state().join("recovery/current.json").exists());
}
