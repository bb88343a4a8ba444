//! Where the state directory is, and what is in the way of its socket, makes no difference.

use std::process::{Command, Stdio};

use crate::common::{Place, Ran};
use crate::crash::scene::Daemon;

fn at(place: &Place, state: &std::path::Path) -> Command {
    let mut command = place.command();
    command.env("RECOVERYCTL_STATE_DIR", state);
    command
}

fn daemon(place: &Place, state: &std::path::Path) -> Daemon {
    let mut command = at(place, state);
    command.args(["daemon", "--listen", "none"]).stdout(Stdio::null()).stderr(Stdio::null());
    Daemon { child: command.spawn().unwrap() }.ready_in(state)
}

#[test]
fn daemon_in_a_folder_with_a_long_path_is_asked_over_its_socket() {
    for length in [100, 108, 250] {
        let place = Place::new();
        let state = place.path(&format!("{}/{}", "a".repeat(length / 2), "b".repeat(length / 2)));
        Ran::of(at(&place, &state).arg("init")).ends_with(0);
        let _daemon = daemon(&place, &state);
        let socket = state.join("daemon/admin.sock");
        let elsewhere = place.path("other");
        let asked = Ran::of(at(&place, &elsewhere).arg("--socket").arg(&socket).args(["--json", "status"]));
        assert!(asked.ends_with(0).json()["daemon"]["pid"].is_u64(), "{length}");
    }
}

#[test]
fn daemon_does_without_a_socket_that_cannot_be_made_unless_it_was_asked_for() {
    let place = Place::new();
    let state = place.state();
    place.run(["init"]).ends_with(0);
    let in_the_way = state.join("daemon/admin.sock");
    std::fs::create_dir(&in_the_way).unwrap();
    std::fs::write(in_the_way.join("file"), "").unwrap();
    let running = daemon(&place, &state);
    assert!(place.run(["--json", "status"]).ends_with(0).json()["daemon"]["socket"].is_null());
    assert_eq!(running.terminate(), Some(0));
    let asked_for = place.run(["daemon", "--listen", "none", "--socket", in_the_way.to_str().unwrap()]);
    assert_eq!(asked_for.status, 1, "{}", asked_for.stderr);
    assert!(asked_for.stderr.contains("admin.sock"), "{}", asked_for.stderr);
}
