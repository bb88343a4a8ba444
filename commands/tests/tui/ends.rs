//! However the dashboard ends, the terminal is as it was.

use rustix::process::{Pid, Signal, kill_process};

use super::tmux::Terminal;
use super::with_a_failed_job;
use crate::common::{Place, until};

/// Whether a process has ended, even if nobody has reaped it: the first process of a container may reap none.
fn has_ended(pid: Pid) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(") ").next().is_none_or(|rest| rest.is_empty() || rest.starts_with(['Z', 'X']))
}

#[test]
fn quitting_and_signals_give_the_terminal_back() {
    let place = with_a_failed_job();
    let Some(terminal) = Terminal::open(&place) else { return };
    terminal.start("tui --mouse");
    terminal.press(&["q"]);
    terminal.wait_for("ended with 0");
    terminal.assert_given_back();
    for (signal, status) in [(Signal::TERM, 143), (Signal::HUP, 143), (Signal::QUIT, 143), (Signal::INT, 130)]
    {
        terminal.enter("clear");
        terminal.start("tui --view jobs");
        kill_process(Pid::from_raw(i32::try_from(terminal.foreground()).unwrap()).unwrap(), signal).unwrap();
        terminal.wait_for(&format!("ended with {status}"));
        terminal.assert_given_back();
    }
}

#[test]
fn a_terminal_that_is_gone_ends_it() {
    let place = with_a_failed_job();
    let Some(terminal) = Terminal::open(&place) else { return };
    // This also holds when no signal announces it: without SIGHUP.
    for before in ["", "trap '' HUP; "] {
        let terminal = if before.is_empty() { &terminal } else { &Terminal::open(&place).unwrap() };
        terminal.enter(&format!("{before}{} tui", env!("CARGO_BIN_EXE_recoveryctl")));
        terminal.wait_for("1Overview");
        let pid = Pid::from_raw(i32::try_from(terminal.foreground()).unwrap()).unwrap();
        terminal.close();
        until("the dashboard has ended", || has_ended(pid));
    }
}

#[test]
fn a_recovery_is_watched_to_its_end_and_what_it_came_to_stays() {
    let place = with_a_failed_job();
    let Some(terminal) = Terminal::open(&place) else { return };
    terminal.enter(&format!("{} recover --tui; echo ended with $?", env!("CARGO_BIN_EXE_recoveryctl")));
    let screen = terminal.wait_for("ended with 0");
    assert!(screen.contains("✓     └ webhooks") && screen.contains("recovery completed in"), "{screen}");
    terminal.assert_given_back();
}

#[test]
fn without_utf8_it_is_ascii() {
    let place: Place = with_a_failed_job();
    let Some(terminal) = Terminal::open(&place) else { return };
    terminal.enter("export LANG=C");
    terminal.start("tui --view jobs");
    terminal.press(&["Down", "a"]);
    let screen = terminal.wait_for("What can be done");
    assert!(screen.is_ascii() && screen.contains("+-"), "{screen}");
    terminal.press(&["Escape", "q"]);
    terminal.wait_for("ended with 0");
}
