//! `recover --tui` and `demo --tui`: the recovery of this process in the dashboard, which ends with it.

use rustix::process::{Pid, Signal, kill_process};

use super::steers::make_slow;
use super::tmux::Terminal;
use super::{json, with_a_failed_job};
use crate::common::Place;

/// A terminal on which a recovery has come to the phase that hangs.
fn hanging(place: &Place) -> Option<Terminal> {
    make_slow(place);
    let terminal = Terminal::open(place)?;
    let program = env!("CARGO_BIN_EXE_recoveryctl");
    terminal.enter(&format!("{program} recover --tui --skip orphans; echo ended with $?"));
    terminal.wait_for("RECOVERING");
    let seen = terminal.wait_for("locks       running");
    assert!(seen.contains("✓   └ jobs") && seen.contains("succeeded"), "what is done is seen: {seen}");
    Some(terminal)
}

#[test]
fn a_phase_that_hangs_is_skipped_and_the_recovery_ends() {
    let place = with_a_failed_job();
    let Some(terminal) = hanging(&place) else { return };
    terminal.press(&["a"]);
    terminal.wait_for("Skip phase locks");
    terminal.press(&["Enter"]);
    terminal.wait_for("phase locks would be passed over");
    terminal.press(&["Tab", "Enter"]);
    // The dashboard ends with the recovery; what it came to stays on the normal screen.
    let screen = terminal.wait_for("ended with 0");
    assert!(screen.contains("locks") && screen.contains("skipped"), "{screen}");
    assert!(screen.contains("recovery completed in"), "{screen}");
    terminal.assert_given_back();
}

#[test]
fn leaving_asks_the_recovery_to_end() {
    let place = with_a_failed_job();
    let Some(terminal) = hanging(&place) else { return };
    terminal.press(&["q"]);
    terminal.wait_for("ended with 1");
    terminal.assert_given_back();
    assert_eq!(json(&place, &["recovery", "history"])["recoveries"][0]["outcome"], "cancelled");
}

#[test]
fn a_signal_gives_the_terminal_back() {
    let place = with_a_failed_job();
    let Some(terminal) = hanging(&place) else { return };
    let pid = Pid::from_raw(i32::try_from(terminal.foreground()).unwrap()).unwrap();
    kill_process(pid, Signal::TERM).unwrap();
    terminal.wait_for("ended with 143");
    terminal.assert_given_back();
}

#[test]
fn without_a_terminal_it_is_told_in_lines() {
    let place = with_a_failed_job();
    let ran = place.run(["recover", "--tui"]).ends_with(0);
    assert!(ran.stdout.contains("recovery completed in"), "{}", ran.stdout);
    assert!(!ran.stdout.contains('\x1b') && !ran.stderr.contains('\x1b'), "{}{}", ran.stdout, ran.stderr);
}

#[test]
fn the_demonstration_shows_its_recovery_and_goes_on() {
    let place = Place::new();
    let Some(terminal) = Terminal::open(&place) else { return };
    terminal.resize(120, 90);
    terminal.enter(&format!("{} demo --tui; echo ended with $?", env!("CARGO_BIN_EXE_recoveryctl")));
    // The picture of the recovery stays above what the demonstration came to.
    let screen = terminal.wait_for("ended with 0");
    let (picture, rest) = screen.split_once("a new daemon lets everything finish").unwrap();
    for wanted in ["recovery  completed by demo", "✓   └ jobs", "└ webhooks", "job:migrate-db"] {
        assert!(picture.contains(wanted), "{wanted} is missing:\n{screen}");
    }
    assert!(rest.contains("ALL HELD"), "{screen}");
    terminal.assert_given_back();
}
