//! An operator steers a daemon elsewhere: every command goes to that daemon, and its result is shown.

use recovery::durable::{Disk, FileLock};
use recovery::state::{Clock, StateDir};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use super::afar::{daemon, over_tcp};
use super::steers::make_slow;
use super::tmux::Terminal;
use super::{json, with_a_failed_job};
use crate::common::{Background, Place, until};

/// The newest entry of the daemon's trail about an action; it names who asked, over HTTP.
#[track_caller]
fn assert_in_the_trail(place: &Place, action: &str, object: &str) {
    let trail = json(place, &["audit", "--action", action]);
    let entry = trail["entries"].as_array().unwrap().last().unwrap_or_else(|| panic!("no entry: {trail}"));
    assert_eq!(entry["object"], json!(object), "{trail}");
    assert!(entry["by"].as_str().unwrap().contains("http 127.0.0.1"), "{entry}");
}

#[test]
fn a_recovery_is_watched_and_a_phase_of_it_that_hangs_is_skipped() {
    let place = with_a_failed_job();
    let (mut first, _) = daemon(&place, "127.0.0.1:0");
    first.kill();
    // Another process holds the lock of the deliveries' log, as with a disk that does not answer.
    let dir = StateDir::open(&place.state(), Disk::real(), Clock::system()).unwrap();
    let log = dir.paths.webhooks_log().join("append.lock");
    let held = FileLock::try_acquire(&dir.disk, &log).unwrap();
    let (second, address) = daemon(&place, "127.0.0.1:0");
    let Some(terminal) = Terminal::open(&place) else { return };
    terminal.start(&format!("tui {}", over_tcp(&place, &address, "admin")));
    terminal.wait_for("RECOVERING");
    // The screen shows what is done and what hangs; the phase that hangs is selected.
    terminal.wait_for("webhooks    running");
    let seen = terminal.wait_for("jobs          succeeded");
    assert!(seen.contains("a on a phase: skip it") && seen.contains("a recovery is running"), "{seen}");
    terminal.press(&["a"]);
    terminal.wait_for("Skip phase webhooks");
    terminal.press(&["Enter"]);
    let asked = terminal.wait_for("phase webhooks would be passed over");
    assert!(asked.contains("skip webhooks") && asked.contains("--url"), "{asked}");
    terminal.press(&["Tab", "Enter"]);
    terminal.wait_for("phase webhooks will be passed over");
    terminal.wait_for("webhooks    skipped");
    let over = terminal.wait_for_no("RECOVERING");
    assert!(over.contains(&format!("daemon {}", second.pid())), "{over}");
    drop(held);
    assert_in_the_trail(&place, "skip", "phase:webhooks");
    // It is tried again, because the disk answers: that is the next step.
    terminal.wait_for("recoveryctl retry phase webhooks   (press x)");
    terminal.press(&["x"]);
    terminal.wait_for("Try phase webhooks again");
    terminal.press(&["Tab", "Enter"]);
    terminal.wait_for("webhooks    succeeded");
}

/// When the reports wait for the same disk, the progress of the recovery is shown all the same.
#[test]
fn a_phase_is_skipped_while_no_report_can_be_read() {
    let place = with_a_failed_job();
    make_slow(&place);
    let (_daemon, address) = daemon(&place, "127.0.0.1:0");
    let Some(terminal) = Terminal::open(&place) else { return };
    let options = over_tcp(&place, &address, "admin");
    terminal.enter(&format!("{} {options} tui; echo ended with $?", env!("CARGO_BIN_EXE_recoveryctl")));
    terminal.wait_for("RECOVERING");
    terminal.wait_for("locks       running");
    terminal.press(&["a"]);
    terminal.wait_for("Skip phase locks");
    terminal.press(&["Enter"]);
    terminal.wait_for("phase locks would be passed over");
    terminal.press(&["Tab", "Enter"]);
    terminal.wait_for("phase locks will be passed over");
    // Now the disk answers, and the reports come again.
    std::fs::remove_file(place.state().join("locks/slow.lock.json")).unwrap();
    until("the recovery is over", || json(&place, &["status"])["recovery"]["outcome"] != "running");
    let locks =
        |phases: Value| phases["phases"].as_array().unwrap().iter().find(|p| p["phase"] == "locks").cloned();
    assert_eq!(locks(json(&place, &["recovery", "phases"])).unwrap()["status"], "skipped");
    terminal.press(&["q"]);
    terminal.wait_for("ended with 0");
    terminal.assert_given_back();
}

#[test]
fn a_lock_whose_holder_lives_is_released_when_its_name_is_typed() {
    let place = Place::new();
    place.run(["init"]).ends_with(0);
    let (_daemon, address) = daemon(&place, "127.0.0.1:0");
    let mut holder = place.command();
    let _holder = Background::start(holder.args(["lock", "web", "--", "sleep", "600"]));
    let verdict = || json(&place, &["locks", "inspect", "web"])["locks"][0]["verdict"].clone();
    until("the lock is held", || verdict() == "live");
    let Some(terminal) = Terminal::open(&place) else { return };
    terminal.start(&format!("tui {} --view locks", over_tcp(&place, &address, "admin")));
    terminal.wait_for("1 held");
    terminal.press(&["Enter"]);
    terminal.wait_for("Evidence");
    terminal.press(&["a", "Enter"]);
    let asked = terminal.wait_for("Type “web”");
    assert!(asked.contains("two may work on it at once"), "{asked}");
    // Neither Enter alone nor the button runs it while the name is not typed.
    terminal.press(&["Tab", "Enter"]);
    terminal.wait_for("type the name first");
    assert_eq!(verdict(), "live");
    terminal.press(&["Tab"]);
    terminal.type_text("web");
    terminal.press(&["Tab", "Tab", "Tab", "Enter"]);
    terminal.wait_for("gave back the lock of 'web'");
    let lock = json(&place, &["locks", "inspect", "web"])["locks"][0].clone();
    let by = lock["released_by"]["by"].as_str().unwrap_or_default();
    assert!(by.contains("http 127.0.0.1"), "{lock}");
    assert_in_the_trail(&place, "release", "lock:web");
}

#[test]
fn an_orphan_is_found_and_removed() {
    let place = Place::new();
    place.write("config.toml", "[orphans]\ngrace = \"0s\"\n");
    place.run(["init"]).ends_with(0);
    let (_daemon, address) = daemon(&place, "127.0.0.1:0");
    // Otherwise the recovery's own scan may find it first.
    until("the recovery is over", || json(&place, &["status"])["recovery"]["outcome"] == "completed");
    let ghost = place.state().join("jobs/ghost");
    std::fs::create_dir(&ghost).unwrap();
    std::fs::write(ghost.join("left"), "over").unwrap();
    let Some(terminal) = Terminal::open(&place) else { return };
    terminal.start(&format!("tui {} --view orphans", over_tcp(&place, &address, "admin")));
    terminal.press(&["a", "Enter", "Tab", "Enter"]);
    // In the list; the line that tells how the scan went has the name before it.
    terminal.wait_for("yes     job_directory");
    terminal.press(&["w"]);
    let why = terminal.wait_for("Checks, made just now");
    assert!(why.contains("job_directory:ghost: orphan"), "{why}");
    terminal.press(&["Escape", "Space", "a", "Enter"]);
    terminal.wait_for("orphans cleanup --plan");
    assert!(ghost.exists());
    terminal.press(&["Tab", "Enter"]);
    until("the orphan is gone", || !ghost.exists());
    terminal.wait_for("removed");
}

#[test]
fn filter_help_any_size_and_a_signal() {
    let place = with_a_failed_job();
    let (_daemon, address) = daemon(&place, "127.0.0.1:0");
    place.run(["submit", "--id", "whole", "--", "true"]).ends_with(0);
    let Some(terminal) = Terminal::open(&place) else { return };
    terminal.start(&format!("tui {} --view jobs", over_tcp(&place, &address, "admin")));
    terminal.wait_for("whole");
    terminal.press(&["/"]);
    terminal.type_text("brok");
    let found = terminal.wait_for("“brok”: 1");
    assert!(found.contains("broken") && !found.contains("whole"), "{found}");
    terminal.press(&["Enter", "?"]);
    terminal.wait_for("one level back; never quits");
    terminal.press(&["Escape"]);
    for (columns, rows) in [(40, 10), (120, 40), (80, 24)] {
        terminal.resize(columns, rows);
        terminal.wait_for("broken");
    }
    terminal.press(&["Escape"]);
    terminal.wait_for("whole");
    let pid = Pid::from_raw(i32::try_from(terminal.foreground()).unwrap()).unwrap();
    kill_process(pid, Signal::TERM).unwrap();
    terminal.wait_for("ended with 143");
    terminal.assert_given_back();
}
