//! An operator steers a local state directory.

use std::path::Path;

use serde_json::json;

use super::tmux::Terminal;
use super::{json, leave_a_stale_lock, status_of, with_a_failed_job};
use crate::common::{Background, Place, until};
use crate::crash::scene::Scene;

#[test]
fn a_job_is_resumed_with_a_reason_and_its_output_is_watched() {
    let place = with_a_failed_job();
    let Some(terminal) = Terminal::open(&place) else { return };
    terminal.start("tui --view jobs");
    terminal.wait_for("broken");
    terminal.press(&["o"]);
    terminal.wait_for("it broke");
    terminal.press(&["Escape", "a"]);
    terminal.wait_for("Resume job broken");
    terminal.press(&["Enter"]);
    let asked = terminal.wait_for("queued again, attempt 2");
    assert!(asked.contains("recoveryctl resume broken") && asked.contains("[ Cancel ]"), "{asked}");
    // The harmless answer has the keys.
    terminal.press(&["Enter"]);
    terminal.wait_for_no("[ Cancel ]");
    assert_eq!(status_of(&place, "broken"), "failed");
    terminal.press(&["a", "Enter", "BTab"]);
    terminal.type_text("disk is back");
    terminal.press(&["Tab", "Tab", "Enter"]);
    terminal.wait_for("broken: queued again, attempt 2");
    assert_eq!(status_of(&place, "broken"), "queued");
    let trail = json(&place, &["audit", "--object", "job:broken"]);
    let entry = &trail["entries"][0];
    assert_eq!((&entry["reason"], &entry["action"]), (&json!("disk is back"), &json!("resume")), "{trail}");
    assert!(entry["terminal"].as_str().unwrap().starts_with("pts/"), "{entry}");
}

#[test]
fn a_lock_whose_holder_is_gone_is_released() {
    let place = Place::new();
    place.run(["init"]).ends_with(0);
    leave_a_stale_lock(&place, "web");
    let Some(terminal) = Terminal::open(&place) else { return };
    terminal.start("tui");
    terminal.press(&["4"]);
    terminal.wait_for("1 whose holder is gone");
    terminal.press(&["Enter"]);
    terminal.wait_for("Evidence");
    terminal.press(&["a", "Enter"]);
    terminal.wait_for("would give back the lock of 'web'");
    terminal.press(&["Tab", "Enter"]);
    terminal.wait_for("gave back the lock of 'web'");
    terminal.press(&["Escape"]);
    terminal.wait_for("1 free");
    assert_eq!(json(&place, &["locks", "active"])["total"], 0);
}

#[test]
fn an_orphan_is_found_and_removed() {
    let place = Place::new();
    place.write("config.toml", "[orphans]\ngrace = \"0s\"\n");
    place.run(["init"]).ends_with(0);
    let ghost = place.state().join("jobs/ghost");
    std::fs::create_dir(&ghost).unwrap();
    std::fs::write(ghost.join("left"), "over").unwrap();
    let Some(terminal) = Terminal::open(&place) else { return };
    terminal.start("tui --view orphans");
    terminal.wait_for("No scan yet");
    terminal.press(&["a", "Enter", "Tab", "Enter"]);
    // In the list; the line that tells how the scan went has the name before it.
    terminal.wait_for("yes     job_directory");
    terminal.press(&["Enter"]);
    terminal.wait_for("Checks, made again");
    terminal.press(&["Escape", "w"]);
    let why = terminal.wait_for("Checks, made just now");
    assert!(why.contains("job_directory:ghost: orphan"), "{why}");
    terminal.press(&["Escape", "Space", "a", "Enter"]);
    terminal.wait_for("recoveryctl orphans cleanup --plan");
    assert!(ghost.exists());
    terminal.press(&["Tab", "Enter"]);
    until("the orphan is gone", || !ghost.exists());
}

#[test]
fn a_delivery_is_replayed_and_what_its_job_left_is_cleaned_up() {
    let place = Place::new();
    // No process listens there.
    let submit = ["submit", "--id", "told", "--callback", "http://127.0.0.1:1/", "--", "true"];
    place.run(submit).ends_with(0);
    place.run(["work", "--once"]).ends_with(0);
    place.run(["webhooks", "deliver", "--once"]);
    let Some(terminal) = Terminal::open(&place) else { return };
    terminal.start("tui --view webhooks");
    terminal.wait_for("waiting");
    terminal.press(&["a"]);
    terminal.wait_for("Replay delivery");
    terminal.press(&["Enter"]);
    terminal.wait_for("would be tried again");
    terminal.press(&["Tab", "Enter"]);
    terminal.wait_for("of job told to http://127.0.0.1:1/ is");
    let trail = json(&place, &["audit", "--action", "retry"]);
    let object = trail["entries"][0]["object"].as_str().unwrap();
    assert!(object.starts_with("webhook:"), "{trail}");
    terminal.press(&["3"]);
    terminal.wait_for("succeeded");
    terminal.press(&["a"]);
    terminal.wait_for("Clean up job told");
    terminal.press(&["Enter", "Tab", "Enter"]);
    terminal.wait_for("cleanup told.1 entered");
    assert!(place.state().join("jobs/told").exists());
    terminal.press(&["5"]);
    terminal.wait_for("pending   cidx");
    terminal.press(&["a", "G", "Enter"]);
    terminal.wait_for("recoveryctl cleanup run");
    terminal.press(&["Tab", "Enter"]);
    terminal.wait_for("1 completed");
    until("its workspace is gone", || !place.state().join("jobs/told").exists());
}

/// Keeps a recovery from getting past the locks: a file is a pipe that nobody writes to, as on a disk that
/// does not answer.
pub fn make_slow(place: &Place) {
    let pipe = place.path("slow");
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, rustix::fs::Mode::RWXU, 0)
        .unwrap();
    std::os::unix::fs::symlink(&pipe, place.state().join("locks/slow.lock.json")).unwrap();
}

#[test]
fn a_phase_that_hangs_is_seen_and_skipped() {
    let place = with_a_failed_job();
    make_slow(&place);
    let mut recover = place.command();
    let recover = Background::start(recover.args(["recover", "--skip", "orphans"]));
    let Some(terminal) = Terminal::open(&place) else { return };
    // Everything but the progress waits for the disk that does not answer.
    terminal.enter(&format!("{} tui; echo ended with $?", env!("CARGO_BIN_EXE_recoveryctl")));
    terminal.wait_for("RECOVERING");
    terminal.wait_for("locks       running");
    terminal.press(&["G", "g", "Down", "Down", "Down", "a"]);
    terminal.wait_for("Skip phase locks");
    terminal.press(&["Enter"]);
    terminal.wait_for("phase locks would be passed over");
    terminal.press(&["Tab", "Enter"]);
    terminal.wait_for("phase locks will be passed over");
    assert_eq!(recover.wait(), 0, "the recovery goes on without it");
    terminal.wait_for("skipped");
    // The dashboard can be left although its own reading hangs.
    terminal.press(&["q"]);
    terminal.wait_for("ended with 0");
    terminal.assert_given_back();
}

/// The first line's next step is run with its key; a step that only a shell can run says so.
#[test]
fn a_loss_is_acknowledged_with_the_key_of_the_next_step() {
    let scene = Scene::new();
    scene.place.write("config.toml", "[docker]\nhost = \"none\"\n");
    for id in ["payroll", "other"] {
        scene.submit(id, &[], "true");
    }
    scene.flip_record("submit", "payroll");
    scene.recover().names("job-lost");
    let Some(terminal) = Terminal::open(&scene.place) else { return };
    terminal.start("tui");
    let screen = terminal.wait_for("(press x)");
    assert!(screen.contains("DATA LOSS") && screen.contains("job:payroll"), "{screen}");
    terminal.press(&["x"]);
    let asked = terminal.wait_for("Acknowledge the loss");
    assert!(asked.contains("seen"), "{asked}");
    terminal.press(&["Tab", "Enter"]);
    let is_acknowledged = || {
        let listed = scene.json(&["findings", "--acknowledged"], 0);
        listed["findings"][0]["object"] == "job:payroll"
    };
    until("the loss is acknowledged", is_acknowledged);
    scene.run(&["findings", "ack", "--all", "--yes", "--reason", "seen"]).ends_with(0);
    terminal.wait_for("recoveryctl daemon   (in a shell)");
}

#[test]
fn the_daemon_may_die_and_come_back_under_it() {
    let place = with_a_failed_job();
    let Some(terminal) = Terminal::open(&place) else { return };
    let is_up = || place.state().join("daemon/daemon.json").exists();
    let mut daemon = Background::start(place.command().arg("daemon"));
    until("the daemon is up", is_up);
    terminal.start("tui");
    terminal.wait_for(&format!("daemon {}", daemon.pid()));
    place.run(["submit", "--id", "long", "--", "sleep", "600"]).ends_with(0);
    terminal.wait_for("1 running");
    daemon.kill();
    let screen = terminal.wait_for("no daemon");
    assert!(screen.contains("UNWATCHED") && screen.contains("recoveryctl daemon"), "{screen}");
    let daemon = Background::start(place.command().arg("daemon"));
    terminal.wait_for(&format!("daemon {}", daemon.pid()));
    // The job went on all the time.
    terminal.press(&["3", "/"]);
    terminal.type_text("long");
    terminal.press(&["Enter"]);
    // The row is chosen when the list has been read.
    terminal.wait_for("“long”: 1");
    terminal.press(&["a"]);
    terminal.wait_for("Cancel job long");
    terminal.press(&["Enter", "Tab", "Enter"]);
    until("the job is cancelled", || status_of(&place, "long") == "cancelled");
}

#[test]
fn filter_help_and_any_size() {
    let place = Place::new();
    let lines: String = (0..40).map(|n| format!("{{\"id\":\"job-{n}\",\"command\":[\"true\"]}}\n")).collect();
    let file = place.write("jobs.jsonl", &lines);
    place.run([Path::new("submit"), Path::new("--from"), &file]).ends_with(0);
    let Some(terminal) = Terminal::open(&place) else { return };
    terminal.start("tui --read-only");
    terminal.wait_for("40 queued");
    terminal.press(&["3"]);
    terminal.wait_for("40 jobs");
    terminal.press(&["/"]);
    terminal.type_text("-17");
    let found = terminal.wait_for("“-17”: 1");
    assert!(found.contains("job-17") && !found.contains("job-18"), "{found}");
    terminal.press(&["Enter", "a", "Enter"]);
    terminal.wait_for("read-only: nothing is changed");
    terminal.press(&["Escape"]);
    terminal.wait_for("job-38");
    terminal.press(&["?"]);
    terminal.wait_for("one level back; never quits");
    terminal.press(&["Escape", "Escape", "Escape"]);
    for (columns, rows) in [(40, 10), (200, 60), (10, 3), (25, 6), (80, 24)] {
        terminal.resize(columns, rows);
        if columns == 10 {
            terminal.wait_for("10×3: too");
        } else {
            terminal.wait_for("job-39");
        }
    }
    terminal.press(&["G"]);
    terminal.wait_for("job-0 ");
    terminal.press(&[":"]);
    terminal.type_text("audit");
    terminal.press(&["Enter"]);
    terminal.wait_for("submit");
    terminal.press(&["q"]);
    terminal.wait_for("ended with 0");
}
