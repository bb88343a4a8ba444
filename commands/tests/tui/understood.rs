//! The command line, and a daemon, understand every action of the dashboard.

use recovery::operations::TABLE;
use recovery_tui::action::Action;

use super::afar::{daemon, over_tcp};
use super::with_a_failed_job;
use crate::common::Place;

/// The exit status of words that are not understood.
const USAGE: i32 = 2;

fn everything() -> Vec<Action> {
    let names = |names: &[&str]| names.iter().map(|&n| n.to_owned()).collect::<Vec<_>>();
    let (jobs, delivery) = (names(&["broken", "-x"]), names(&["00000000-0000-8000-8000-000000000001"]));
    vec![
        Action::skip_phase("orphans"),
        Action::retry_phase("locks"),
        Action::clear_startup(),
        Action::resume(&jobs),
        Action::resume_fresh(&jobs),
        Action::cancel(&jobs),
        Action::release("web", Some("0195-1"), false),
        Action::release("web", None, true),
        offered(&["cleanup", "start"], &names(&["broken"])),
        Action::retry_cleanup("broken.1"),
        Action::skip_cleanup("broken.1", "docker"),
        Action::run_cleanups(),
        Action::scan(),
        Action::remove_orphans("0195a000", &names(&["o1", "o2"]), "1 KiB"),
        Action::retry_webhooks(&delivery),
        Action::retry_all_webhooks(),
        Action::discard_webhooks(&delivery),
    ]
}

/// Rehearses each action that can be rehearsed, and runs each.
fn try_all(place: &Place, actions: &[Action], options: &str) {
    for action in actions {
        let before = [&["--dry-run"][..], &["--yes", "--reason", "because"]];
        for before in before.iter().skip(usize::from(!action.can_rehearse)) {
            let words = before.iter().copied().chain(action.words.iter().map(String::as_str));
            let ran = place.run(options.split_whitespace().chain(words));
            assert_ne!(ran.status, USAGE, "{options} {:?}: {}", action.words, ran.stderr);
            assert!((0..100).contains(&ran.status), "{:?}: {}", action.words, ran.stderr);
        }
    }
}

#[test]
fn by_the_command_line() {
    let place = with_a_failed_job();
    try_all(&place, &everything(), "");
    // Only without a daemon: one that runs has recovered.
    try_all(&place, &[Action::recover()], "");
}

#[test]
fn by_a_daemon() {
    let place = with_a_failed_job();
    let (_daemon, address) = daemon(&place, "127.0.0.1:0");
    try_all(&place, &everything(), &over_tcp(&place, &address, "admin"));
}

/// What an operation offers to do with jobs.
fn offered(words: &[&str], jobs: &[String]) -> Action {
    let row = TABLE.iter().find(|row| row.entry.words == words).unwrap();
    Action::offered(&row.entry, row.entry.offer.unwrap(), jobs)
}
