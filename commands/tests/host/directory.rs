//! A state directory that is renamed, removed, or emptied and filled anew below a daemon that works in it.

use std::io::Read;
use std::path::Path;
use std::process::{Command, Stdio};

use super::hang_the_loop;
use crate::common::{Place, until};
use crate::crash::scene::{Daemon, Scene, wait_for};

/// Starts a daemon whose last output can be read.
fn daemon(place: &Place) -> Daemon {
    let mut command = place.command();
    command.args(["daemon", "--listen", "none"]).stdout(Stdio::null()).stderr(Stdio::piped());
    Daemon { child: command.spawn().unwrap() }.ready_in(&place.state())
}

/// Waits for it to end by itself: its exit status, and what it said.
fn ended(mut daemon: Daemon) -> (Option<i32>, String) {
    let mut status = None;
    wait_for("the daemon to end by itself", || {
        status = daemon.child.try_wait().unwrap();
        status.is_some()
    });
    let mut said = String::new();
    daemon.child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    (status.unwrap().code(), said)
}

fn remove_all_in(folder: &Path) {
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        let removed = match entry.file_type().unwrap().is_dir() {
            true => std::fs::remove_dir_all(entry.path()),
            false => std::fs::remove_file(entry.path()),
        };
        removed.unwrap();
    }
}

#[test]
fn daemon_of_a_directory_that_was_renamed_ends_and_the_next_one_goes_on() {
    let scene = Scene::new();
    let (state, moved) = (scene.place.state(), scene.place.path("moved"));
    scene.submit("before", &[], "touch \"$W/runs\"; until [ -e \"$W/go\" ]; do sleep 0.05; done");
    let first = daemon(&scene.place);
    // The job that is about to start when the directory goes finds nothing to start in.
    wait_for("the job's command to run", || scene.witness("runs").exists());
    std::fs::rename(&state, &moved).unwrap();
    let (status, said) = ended(first);
    assert_eq!(status, Some(12), "{said}");
    assert!(said.contains("it was moved or removed"), "{said}");
    assert!(!state.exists());
    // Its job stays with its supervisor, and the next process that works in the directory runs the others.
    std::fs::rename(&moved, &state).unwrap();
    scene.open_gate("go");
    scene.submit("after", &[], "true");
    let _second = daemon(&scene.place);
    for job in ["before", "after"] {
        scene.wait_for_status(job, recovery::queue::JobStatus::Succeeded);
    }
}

#[test]
fn end_of_a_job_is_recorded_where_its_directory_was_moved() {
    let scene = Scene::new();
    let (state, moved) = (scene.place.state(), scene.place.path("moved"));
    let script = "touch \"$W/runs\"; until [ -e \"$W/go\" ]; do sleep 0.05; done; exit 3";
    scene.submit("runs", &[], script);
    let first = daemon(&scene.place);
    wait_for("the job's command to run", || scene.witness("runs").exists());
    std::fs::rename(&state, &moved).unwrap();
    assert_eq!(ended(first).0, Some(12));
    scene.open_gate("go");
    let moved = moved.to_str().unwrap();
    wait_for("its end to be recorded", || {
        let shown = scene.place.run(["--state-dir", moved, "--json", "jobs", "show", "runs"]);
        let shown: serde_json::Value = serde_json::from_str(&shown.stdout).unwrap_or_default();
        shown["status"] == "failed" && shown["exit_code"] == 3
    });
    assert!(!state.exists());
}

#[test]
fn daemon_of_a_directory_that_was_removed_ends() {
    let place = Place::new();
    place.run(["init"]).ends_with(0);
    let daemon = daemon(&place);
    // The daemon may write there meanwhile, and see first that one of its files is gone.
    until("the directory to be gone", || {
        std::fs::remove_dir_all(place.state()).is_ok() || !place.state().exists()
    });
    let (status, said) = ended(daemon);
    assert_eq!(status, Some(12), "{said}");
    let tells = ["it was moved or removed", "were removed or replaced"];
    assert!(tells.iter().any(|told| said.contains(told)), "{said}");
    assert!(!place.state().exists());
}

#[test]
fn daemon_below_which_a_backup_was_put_back_in_place_ends_and_leaves_its_files_alone() {
    let place = Place::new();
    place.run(["init"]).ends_with(0);
    let copy = |from: &str, to: &str| {
        let copied = Command::new("cp").args(["-a", from, to]).current_dir(place.path("")).status().unwrap();
        assert!(copied.success());
    };
    let first = daemon(&place);
    copy("state", "backup");
    // As if another daemon had come up on what was put back.
    let told = "{\"pid\":1,\"address\":null,\"socket\":null,\"started_at\":\"2026-01-01T00:00:00Z\"}";
    std::fs::write(place.path("backup/daemon/daemon.json"), told).unwrap();
    remove_all_in(&place.state());
    copy("backup/.", "state");
    let (status, said) = ended(first);
    assert_eq!(status, Some(12), "{said}");
    assert!(said.contains("is not the file that this process has locked"), "{said}");
    assert_eq!(std::fs::read_to_string(place.state().join("daemon/daemon.json")).unwrap(), told);
    // The next daemon is the only one.
    drop(daemon(&place));
}

#[test]
fn request_to_a_daemon_whose_directory_is_gone_makes_no_new_one() {
    let scene = Scene::new();
    let (state, moved) = (scene.place.state(), scene.place.path("moved"));
    let daemon = scene.daemon(1);
    // The loop of the daemon runs no rounds, so it does not see that.
    let _writer = hang_the_loop(&scene);
    std::fs::rename(&state, &moved).unwrap();
    let socket = moved.join("daemon/admin.sock");
    let asked = scene.place.run([
        std::ffi::OsStr::new("--json"),
        "--socket".as_ref(),
        socket.as_ref(),
        "submit".as_ref(),
        "--".as_ref(),
        "true".as_ref(),
    ]);
    assert_eq!(asked.error()["code"], "state-directory-gone", "{asked:?}");
    assert!(!state.exists());
    daemon.kill();
}

#[test]
fn job_that_submits_another_one_makes_no_new_directory_where_its_own_was() {
    let place = Place::new();
    let (state, moved) = (place.state(), place.path("moved"));
    let program = env!("CARGO_BIN_EXE_recoveryctl");
    let (go, said) = (place.path("go"), place.path("said"));
    let script = "until [ -e \"$1\" ]; do sleep 0.05; done; for words in 'submit -- true' 'lock web -- true' \
                  'daemon --listen none'; do \"$0\" $words; echo \"$?\"; done > \"$2\" 2>&1; \
                  RECOVERYCTL_STATE_DIR=\"$3\" \"$0\" submit --id own -- true >> \"$2\" 2>&1";
    let words = ["submit", "--id", "parent", "--", "sh", "-c", script, program];
    let own = place.path("own");
    let paths = [&go, &said, &own].map(|path| path.to_str().unwrap().to_owned());
    place.run(words.into_iter().map(str::to_owned).chain(paths)).ends_with(0);
    let daemon = daemon(&place);
    wait_for("the job to run", || state.join("attempts/parent/command.json").exists());
    std::fs::rename(&state, &moved).unwrap();
    ended(daemon);
    std::fs::write(&go, "").unwrap();
    let read = || std::fs::read_to_string(&said).unwrap_or_default();
    wait_for("a job in another directory, which was named", || read().lines().any(|line| line == "own"));
    let said = read();
    assert!(own.join("state.json").exists(), "{said}");
    assert!(!state.exists(), "{said}");
    assert_eq!(said.lines().filter(|line| *line == "10").count(), 3, "{said}");
    let now = format!("recoveryctl --state-dir {}", moved.display());
    let anew = format!("recoveryctl --state-dir {} init", state.display());
    assert_eq!((said.matches(&now).count(), said.matches(&anew).count()), (3, 3), "{said}");
}
