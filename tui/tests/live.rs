//! The live view on a real terminal (a pseudo terminal that `script` of util-linux makes).
//!
//! The program on that terminal is this test program itself, told by its environment what to play.
#![allow(clippy::disallowed_methods)]

use std::io::Write;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::Duration;

use recovery::durable::Disk;
use recovery::recovery::{Cancel, Phase, PhaseGraph, PhaseOutcome, RunOptions, run};
use recovery::state::{Clock, StateDir};
use recovery_tui::{Ask, LiveEnd, LiveOptions, run_live};

const PLAY: &str = "RECOVERYCTL_TEST_LIVE_VIEW";

/// Not a test of its own: what happens on the terminal. Without the variable it has nothing to do.
#[test]
fn on_the_terminal() {
    let Some(play) = std::env::var(PLAY).ok() else { return };
    let folder = tempfile::tempdir().unwrap();
    let dir = StateDir::open_or_create(&folder.path().join("state"), Disk::real(), Clock::system()).unwrap();
    let cancel = Cancel::new();
    let (sender, receiver) = channel();
    let options = RunOptions {
        pauses: vec![Duration::from_millis(1)],
        cancel: cancel.clone(),
        observer: Some(Arc::new(move |s: &recovery::recovery::Snapshot| drop(sender.send(s.clone())))),
        ..RunOptions::default()
    };
    let waits = play != "completes";
    let jobs = Phase::new("jobs", "jobs", move |context| {
        assert!(waits, "a phase fell over");
        loop {
            context.checkpoint()?;
            std::thread::yield_now();
        }
    });
    let queue = Phase::new("queue", "records", |_| Ok(PhaseOutcome::with_message("17 records")));
    let graph = PhaseGraph::new(vec![queue, jobs.after(&["queue"])]).unwrap();
    std::thread::scope(|scope| {
        // The options go with the run: the view sees the sender leave.
        let cancels = cancel.clone();
        scope.spawn(move || run(&dir, &graph, &options).unwrap());
        // A recovery that nobody sees must not keep the test program, also when the view panics.
        let _end = CancelAtTheEnd(&cancel);
        let end = run_live(std::io::stderr(), &receiver, LiveOptions { colors: true }, |ask| {
            assert!(play != "panics", "the view fell over");
            if *ask == Ask::Cancel {
                cancels.cancel();
            }
            Some("asked".into())
        });
        assert!(matches!(end.unwrap(), LiveEnd::Over(_)));
    });
}

struct CancelAtTheEnd<'a>(&'a Cancel);

impl Drop for CancelAtTheEnd<'_> {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

/// Plays on a terminal, with these keys pressed; what the terminal got, and whether it ended well.
fn play(name: &str, keys: &str) -> (String, bool) {
    let exe = std::env::current_exe().unwrap();
    // The state of the terminal is shown at the end: raw mode must be gone.
    let command =
        format!("{} on_the_terminal --exact --nocapture; code=$?; stty -a; exit $code", exe.display());
    let mut script = Command::new("script")
        .args(["-qec", &command, "/dev/null"])
        .env(PLAY, name)
        .env("TERM", "xterm")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = script.stdin.take().unwrap();
    stdin.write_all(keys.as_bytes()).unwrap();
    let output = script.wait_with_output().unwrap();
    drop(stdin);
    (String::from_utf8_lossy(&output.stdout).into_owned(), output.status.success())
}

fn assert_given_back(screen: &str) {
    let left = screen.rfind("\x1b[?1049l").expect("the alternate screen was left");
    assert!(screen.find("\x1b[?1049h").expect("the alternate screen was entered") < left);
    assert!(screen.contains("\x1b[?25h"), "the cursor is back");
    let modes = &screen[screen.find("speed").expect("stty's answer")..];
    assert!(modes.contains(" icanon") && modes.contains(" echo "), "{modes}");
}

#[test]
fn the_last_picture_stays_and_panics_of_phases_are_told_after_it() {
    let (screen, ended_well) = play("completes", "");
    assert!(ended_well, "{screen}");
    assert_given_back(&screen);
    let normal = &screen[screen.rfind("\x1b[?1049l").unwrap()..];
    assert!(normal.contains("✓ queue"), "{normal}");
    assert!(normal.contains("✗ jobs"), "{normal}");
    let told = normal.find("panicked at").expect("the panic is told");
    assert!(told > normal.find("✗ jobs").unwrap(), "{normal}");
}

#[test]
fn q_ends_the_recovery() {
    let (screen, ended_well) = play("waits", "q");
    assert!(ended_well, "{screen}");
    assert_given_back(&screen);
    assert!(screen.contains("cancelled"), "{screen}");
}

#[test]
fn a_panic_of_the_view_gives_the_terminal_back() {
    let (screen, ended_well) = play("panics", "q");
    assert!(!ended_well, "{screen}");
    assert_given_back(&screen);
    let normal = &screen[screen.find("\x1b[?1049l").unwrap()..];
    assert!(normal.contains("the view fell over"), "{normal}");
}
