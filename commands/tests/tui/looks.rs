//! How it looks on a real terminal: colours, ASCII, the mouse, and what jobs print.

use super::tmux::Terminal;
use super::{status_of, with_a_failed_job};
use crate::common::{Place, until};

/// The colours that are asked for, by their numbers among the terminal's own sixteen.
fn colors(screen: &str) -> Vec<u32> {
    let behind = screen.split("\x1b[38;5;").chain(screen.split("\x1b[48;5;")).skip(1);
    let numbers = behind.map(|rest| rest.chars().take_while(char::is_ascii_digit).collect::<String>());
    numbers.filter_map(|number| number.parse().ok()).collect()
}

#[test]
fn colours_are_left_out_when_they_are_not_wanted() {
    let place = with_a_failed_job();
    let Some(terminal) = Terminal::open(&place) else { return };
    for (before, options, colored) in
        [("", "tui", true), ("NO_COLOR=1 ", "tui", false), ("", "tui --color never", false)]
    {
        let program = env!("CARGO_BIN_EXE_recoveryctl");
        terminal.enter("clear");
        terminal.enter(&format!("{before}{program} {options} --view jobs; echo ended with $?"));
        terminal.wait_for("1Overview");
        terminal.wait_for("1 job");
        let styled = terminal.styled_screen();
        let colors = colors(&styled);
        assert_eq!(!colors.is_empty(), colored, "{before}{options}: {styled:?}");
        assert!(colors.iter().all(|number| *number < 16), "{styled:?}");
        assert!(styled.contains("\x1b[7m"), "what is selected is reversed all the same: {styled:?}");
        assert!(terminal.screen().contains("failed"), "the state is a word");
        terminal.press(&["q"]);
        terminal.wait_for("ended with 0");
    }
}

#[test]
fn ascii_is_all_that_is_sent_when_it_is_wanted() {
    let place = with_a_failed_job();
    let Some(terminal) = Terminal::open(&place) else { return };
    terminal.start("tui --ascii");
    let screen = terminal.wait_for("succeeded");
    assert!(screen.is_ascii() && screen.contains("+ startup"), "{screen}");
    terminal.press(&["?"]);
    assert!(terminal.wait_for("this help").is_ascii());
}

#[test]
fn the_mouse_is_off_unless_it_is_wanted() {
    let place = with_a_failed_job();
    let Some(terminal) = Terminal::open(&place) else { return };
    let mouse = || terminal.knows("mouse_any_flag") == "1";
    terminal.start("tui");
    assert!(!mouse());
    terminal.press(&["m"]);
    until("m turns it on", mouse);
    terminal.press(&["m"]);
    until("m turns it off", || !mouse());
    terminal.press(&["q"]);
    terminal.wait_for("ended with 0");
    terminal.enter("clear");
    terminal.start("tui --mouse");
    assert!(mouse());
}

#[test]
fn output_is_followed_as_it_grows_and_the_terminal_obeys_none_of_it() {
    let place = Place::new();
    place.run(["init"]).ends_with(0);
    // Clears the screen, sets the title, and then goes on line by line, as the test lets it.
    let script = "printf '\\033[2Jcleared\\033]0;stolen title\\007\\n'; \
                  for n in 1 2; do until [ -e $0.$n ]; do sleep 0.02; done; echo step $n; done";
    let gate = place.path("gate");
    let gate = gate.to_str().unwrap();
    place.run(["submit", "--id", "noisy", "--", "sh", "-c", script, gate]);
    let mut work = place.command();
    let _work = crate::common::Background::start(work.args(["work", "--once"]));
    let Some(terminal) = Terminal::open(&place) else { return };
    terminal.start("tui --view jobs");
    terminal.wait_for("running");
    terminal.press(&["o"]);
    let screen = terminal.wait_for("cleared");
    assert!(screen.contains("␛[2Jcleared␛]0;stolen title␇"), "{screen}");
    assert!(screen.contains("1Overview"), "nothing was cleared: {screen}");
    assert_ne!(terminal.knows("pane_title"), "stolen title");
    for n in ["1", "2"] {
        place.write(&format!("gate.{n}"), "");
        terminal.wait_for(&format!("step {n}"));
    }
    until("it is over", || status_of(&place, "noisy") == "succeeded");
    terminal.wait_for("(succeeded, ");
}

/// Both come to the dashboard in one look at the terminal, often enough.
#[test]
fn a_key_that_comes_with_a_change_of_size_is_obeyed() {
    let place = with_a_failed_job();
    let Some(terminal) = Terminal::open(&place) else { return };
    terminal.start("tui");
    for columns in 80..92 {
        terminal.press_and_resize("?", columns, 30);
        terminal.wait_for("this help");
        terminal.press_and_resize("Escape", columns, 24);
        terminal.wait_for_no("this help");
    }
}
