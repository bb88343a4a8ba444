//! Where the state directory is, and what is in the way of its socket, makes no difference.

use std::process::{Command, Stdio};

use crate::common::{Place, Ran, skipped};
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
    assert_eq!(asked_for.status, 12, "{}", asked_for.stderr);
    assert!(asked_for.stderr.contains("admin.sock"), "{}", asked_for.stderr);
}

/// Runs with a mount in a namespace that ends with the command; `None`, with a printed reason, where there
/// can be none.
fn with_mount(place: &Place, at: &std::path::Path, words: &[&str]) -> Option<Ran> {
    let probe = Command::new("unshare").args(["--mount", "true"]).output();
    if !probe.is_ok_and(|output| output.status.success()) {
        skipped("it needs mount namespaces");
        return None;
    }
    let plain = place.command();
    let mut command = Command::new("unshare");
    command.args([
        "--mount",
        "sh",
        "-c",
        "mount -t tmpfs -o mode=700 none \"$1\" && shift && exec \"$@\"",
        "sh",
    ]);
    command.arg(at).arg(plain.get_program()).args(words);
    command.env_clear().envs(plain.get_envs().filter_map(|(name, value)| Some((name, value?))));
    Some(Ran::of(command.current_dir(place.path(""))))
}

#[test]
fn daemon_refuses_a_state_directory_that_lies_on_more_than_one_mount() {
    let place = Place::new();
    place.run(["init"]).ends_with(0);
    let jobs = place.state().join("jobs");
    let Some(ran) = with_mount(&place, &jobs, &["--json", "daemon", "--listen", "none"]) else { return };
    let error = ran.ends_with(12).error();
    assert_eq!(error["code"], "file-system-unfit");
    assert!(error["message"].as_str().unwrap().contains("jobs is a mount of its own"), "{error}");
}

#[test]
fn work_says_that_the_host_can_start_nothing() {
    let place = Place::new();
    place.run(["init"]).ends_with(0);
    place.run(["submit", "--id", "a", "--", "true"]).ends_with(0);
    let without = |words: &[&str]| with_mount(&place, "/dev".as_ref(), words);
    let Some(ran) = without(&["--json", "work", "--once"]) else { return };
    let report = ran.ends_with(3).json();
    assert!(
        report["host_cannot_start"].as_str().unwrap().contains("cannot start the supervisor"),
        "{report}"
    );
    assert_eq!((&report["started"], &report["left_queued"]), (&serde_json::json!([]), &serde_json::json!(1)));
    let report = without(&["--json", "run", "a"]).unwrap().ends_with(3).json();
    assert!(report["not_started"][0]["reason"].as_str().unwrap().contains("cannot start"), "{report}");
    place.run(["work", "--once"]).ends_with(0);
}

/// On a disk that is frozen for a snapshot, even making an existing folder waits.
#[test]
fn look_makes_no_folder() {
    if !Command::new("strace").arg("-V").output().is_ok_and(|o| o.status.success()) {
        return skipped("it needs strace");
    }
    let place = Place::new();
    place.run(["init"]).ends_with(0);
    for words in [&["status"][..], &["health"], &["jobs", "list"], &["findings"]] {
        let plain = place.command();
        let trace = place.path("trace");
        let mut command = Command::new("strace");
        command
            .args(["-f", "-qq", "-e", "trace=mkdir,mkdirat", "-o"])
            .arg(&trace)
            .arg(plain.get_program())
            .args(words);
        command.env_clear().envs(plain.get_envs().filter_map(|(name, value)| Some((name, value?))));
        Ran::of(command.current_dir(place.path(""))).ends_with(0);
        let made = std::fs::read_to_string(&trace).unwrap();
        assert!(!made.contains("mkdir"), "{words:?}: {made}");
    }
}

#[test]
fn state_directory_of_another_user_is_refused_with_the_way_to_act_as_that_user() {
    if !rustix::process::geteuid().is_root() {
        return skipped("it needs root");
    }
    let place = Place::new();
    place.run(["init"]).ends_with(0);
    std::os::unix::fs::chown(place.state(), Some(65534), Some(65534)).unwrap();
    let error = place.run(["--json", "status"]).ends_with(12).error();
    assert_eq!(error["code"], "state-directory-exposed");
    assert!(error["hint"].as_str().unwrap().contains("sudo -u '#65534'"), "{error}");
}
