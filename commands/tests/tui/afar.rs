//! The dashboard of a daemon elsewhere: over `--url` and `--socket` it shows the same as over the directory,
//! and the daemon may die and come back meanwhile.

use serde_json::json;

use super::tmux::Terminal;
use super::{json, leave_a_stale_lock, status_of, with_a_failed_job};
use crate::common::{Background, Place, until};

/// A daemon that listens, at the address that it was given or at a free one.
pub fn daemon(place: &Place, address: &str) -> (Background, String) {
    let told = place.state().join("daemon/daemon.json");
    let mut command = place.command();
    let daemon = Background::start(command.args(["daemon", "--listen", address]));
    let mut address = None;
    until("the daemon listens", || {
        let text = std::fs::read_to_string(&told).unwrap_or_default();
        let told: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
        address = told["address"].as_str().filter(|_| told["pid"] == daemon.pid()).map(str::to_owned);
        address.is_some()
    });
    (daemon, address.unwrap())
}

/// The options that name the daemon, with this token.
pub fn over_tcp(place: &Place, address: &str, role: &str) -> String {
    format!("--url http://{address} --token-file {}/daemon/{role}.token", place.state().display())
}

fn over_the_socket(place: &Place) -> String {
    format!("--socket {}/daemon/admin.sock", place.state().display())
}

/// Without the first line, which names what is asked, and without figures that grow with time.
fn content(place: &Place, options: &str, view: &str) -> String {
    let words = options.split_whitespace().chain(["tui", "--once", "--size", "120x40", "--view", view]);
    let picture = place.run(words).ends_with(0).stdout;
    let (_, rest) = picture.split_once('\n').unwrap();
    let rest: String = rest.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    rest.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn every_view_is_as_it_is_over_the_directory() {
    let place = Place::new();
    place.write("config.toml", "[orphans]\ngrace = \"0s\"\n");
    place.run(["submit", "--id", "broken", "--", "sh", "-c", "echo it broke; exit 3"]).ends_with(0);
    place.run(["work", "--once"]).ends_with(0);
    leave_a_stale_lock(&place, "web");
    let (_daemon, address) = daemon(&place, "127.0.0.1:0");
    place.run(["submit", "--id", "long", "--repo", "api", "--", "sleep", "600"]).ends_with(0);
    place.run(["submit", "--id", "next", "--repo", "api", "--", "true"]).ends_with(0);
    until("the job runs", || status_of(&place, "long") == "running");
    let ghost = place.state().join("jobs/ghost");
    std::fs::create_dir(&ghost).unwrap();
    std::fs::write(ghost.join("left"), "over").unwrap();
    place.run(["scan"]).ends_with(0);
    place.run(["cleanup", "start", "broken"]).ends_with(0);
    let viewer = over_tcp(&place, &address, "viewer");
    let socket = over_the_socket(&place);
    for (view, wanted) in [
        ("overview", "0 running"),
        ("queue", "next"),
        ("jobs", "broken"),
        ("locks", "web"),
        ("cleanup", "broken"),
        ("orphans", "ghost"),
        ("startup", "daemon"),
        ("webhooks", ""),
        ("audit", "submit"),
    ] {
        for options in [&viewer, &socket] {
            // What goes on between the two looks may differ once.
            let (mut here, mut there) = (String::new(), String::new());
            until(&format!("the same is shown of {view} over {options}"), || {
                (here, there) = (content(&place, "", view), content(&place, options, view));
                here == there
            });
            assert!(there.contains(wanted), "{there}");
            assert!(!there.contains("not read"), "{there}");
        }
    }
    place.run(["jobs", "cancel", "long", "--yes"]);
}

#[test]
fn a_job_is_resumed_over_url() {
    let place = with_a_failed_job();
    let (_daemon, address) = daemon(&place, "127.0.0.1:0");
    let options = over_tcp(&place, &address, "admin");
    let Some(terminal) = Terminal::open(&place) else { return };
    terminal.start(&format!("tui {options} --view jobs"));
    terminal.wait_for("broken");
    terminal.press(&["o"]);
    terminal.wait_for("it broke");
    terminal.press(&["Escape", "w"]);
    terminal.wait_for("its command ended with exit status 3");
    terminal.press(&["Escape", "a", "Enter"]);
    let asked = terminal.wait_for("queued again, attempt 2");
    let whole: String = asked.chars().filter(|c| !c.is_whitespace() && *c != '│').collect();
    let shown: String = format!("recoveryctl {options} resume broken").split_whitespace().collect();
    assert!(whole.contains(&shown) && asked.contains("[ Cancel ]"), "the whole command is shown: {asked}");
    terminal.press(&["BTab"]);
    terminal.type_text("disk is back");
    terminal.press(&["Tab", "Tab", "Enter"]);
    terminal.wait_for("broken: queued again, attempt 2");
    until("it ran again", || json(&place, &["jobs", "show", "broken"])["attempt"] == 2);
    let trail = json(&place, &["audit", "--object", "job:broken", "--action", "resume"]);
    let entry = trail["entries"].as_array().unwrap().last().unwrap();
    assert_eq!(entry["reason"], json!("disk is back"), "{trail}");
    assert!(entry["by"].as_str().unwrap().contains("http 127.0.0.1"), "{entry}");
    terminal.press(&["q"]);
    terminal.wait_for("ended with 0");
    terminal.assert_given_back();
}

#[test]
fn with_the_viewers_token_it_only_looks() {
    let place = with_a_failed_job();
    let (_daemon, address) = daemon(&place, "127.0.0.1:0");
    let Some(terminal) = Terminal::open(&place) else { return };
    terminal.start(&format!("tui {} --view jobs", over_tcp(&place, &address, "viewer")));
    terminal.wait_for("broken");
    // Beside what is told of the job, and in the place of its output.
    terminal.press(&["Enter"]);
    terminal.wait_for("daemon.viewer_output");
    terminal.press(&["Escape", "o"]);
    terminal.wait_for("daemon.viewer_output");
    terminal.press(&["Escape", "a", "Enter"]);
    terminal.wait_for("the viewer's token is for looking");
    terminal.press(&["Tab", "Enter"]);
    let refused = terminal.wait_for("It ended with status 17");
    assert!(refused.contains("daemon/admin.token"), "{refused}");
    assert_eq!(status_of(&place, "broken"), "failed");
}

#[test]
fn the_daemon_is_killed_and_comes_back() {
    let place = with_a_failed_job();
    let (mut first, address) = daemon(&place, "127.0.0.1:0");
    for options in [over_tcp(&place, &address, "admin"), over_the_socket(&place)] {
        let Some(terminal) = Terminal::open(&place) else { return };
        terminal.start(&format!("tui {options} --view jobs"));
        terminal.wait_for(&format!("daemon {}", first.pid()));
        terminal.wait_for("broken");
        first.kill();
        let lost = terminal.wait_for("NO ANSWER  since ");
        assert!(lost.contains(" UTC, ") && lost.contains("all below is old"), "{lost}");
        assert!(lost.contains("old  ") && lost.contains("broken"), "what was known stays: {lost}");
        // A key that is pressed now is refused: no daemon answers.
        terminal.press(&["a", "Enter"]);
        terminal.wait_for("error: the daemon at ");
        terminal.press(&["Escape", "1"]);
        terminal.wait_for("old       the daemon at ");
        (first, _) = daemon(&place, &address);
        terminal.wait_for(&format!("daemon {}", first.pid()));
        let back = terminal.wait_for_no("NO ANSWER");
        assert!(!back.contains("old  "), "{back}");
        terminal.press(&["q"]);
        terminal.wait_for("ended with 0");
    }
}

#[test]
fn a_daemon_that_is_not_there_yet_is_waited_for_and_gives_no_picture() {
    let place = with_a_failed_job();
    let socket = over_the_socket(&place);
    let once = format!("{socket} tui --once");
    let ran = place.run(once.split_whitespace()).ends_with(14);
    assert!(ran.stderr.contains("cannot be asked"), "{}", ran.stderr);
    let Some(terminal) = Terminal::open(&place) else { return };
    terminal.enter(&format!("{} {socket} tui; echo ended with $?", env!("CARGO_BIN_EXE_recoveryctl")));
    let waiting = terminal.wait_for("NO ANSWER");
    assert!(waiting.contains("asked again every second"), "{waiting}");
    let (daemon, _) = daemon(&place, "127.0.0.1:0");
    terminal.wait_for(&format!("daemon {}", daemon.pid()));
}

#[test]
fn what_names_no_daemon_is_refused_before_anything_is_drawn() {
    let place = with_a_failed_job();
    let once = |options: &str| place.run(options.split_whitespace().chain(["tui", "--once"]));
    assert!(once("--url http://127.0.0.1:1").ends_with(2).stderr.contains("--token-file"));
    once("--url http://127.0.0.1:1 --token-file none").ends_with(17);
    once("--url ftp://127.0.0.1 --token-file none").ends_with(2);
}
