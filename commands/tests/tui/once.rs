//! Without a terminal: one picture, or one line that says what to do.

use super::with_a_failed_job;
use crate::common::Place;

#[test]
fn without_a_terminal_one_line_says_what_to_do() {
    let place = Place::new();
    let ran = place.run(["tui"]).ends_with(2);
    assert_eq!((ran.stdout.as_str(), ran.stderr.lines().count()), ("", 1), "{}", ran.stderr);
    for wanted in ["ssh -t", "tui --once", "recoveryctl status"] {
        assert!(ran.stderr.contains(wanted), "{}", ran.stderr);
    }
    let ran = place.run(["tui", "--json"]).ends_with(2);
    assert_eq!(ran.error()["code"], "no-terminal");
    place.run(["tui", "--once"]).ends_with(10);
}

#[test]
fn one_picture_of_each_view() {
    let place = with_a_failed_job();
    let picture = place.run(["tui", "--once"]).ends_with(0).stdout;
    assert_eq!(picture.lines().count(), 24);
    assert!(picture.contains("HEALTHY") && picture.contains("1 failed"), "{picture}");
    assert!(picture.is_ascii(), "the locale here has no UTF-8: {picture}");
    for view in ["queue", "jobs", "locks", "cleanup", "orphans", "startup", "webhooks", "audit"] {
        let picture = place.run(["tui", "--once", "--view", view, "--size", "120x40"]).ends_with(0).stdout;
        assert_eq!(picture.lines().count(), 40, "{picture}");
        assert!(!picture.contains("not read") && !picture.contains("Reading"), "{view}: {picture}");
    }
    let document = place.run(["tui", "--once", "--json", "--size", "40x10"]).ends_with(0).json();
    assert_eq!((&document["columns"], &document["rows"]), (&40.into(), &10.into()));
    assert_eq!(document["text"].as_str().unwrap().lines().count(), 10);
    place.run(["tui", "--once", "--size", "0x0"]).ends_with(2);
    place.run(["tui", "--view", "nothing"]).ends_with(2);
}
