//! `demo`: the whole demonstration, run by the program itself.
#![allow(clippy::disallowed_methods)] // Tests write their own files.

use crate::common::{Place, Ran};

/// Folders that demonstrations have left in the place's own temporary folder.
fn left(place: &Place) -> Vec<String> {
    let entries = std::fs::read_dir(place.path("tmp")).unwrap();
    entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect()
}

fn demo(place: &Place, arguments: &[&str]) -> Ran {
    place.write("tmp/.here", "");
    std::fs::remove_file(place.path("tmp/.here")).unwrap();
    Ran::of(place.bare_command().env("TMPDIR", place.path("tmp")).arg("demo").args(arguments))
}

#[test]
fn a_real_crash_loses_nothing_and_leaves_nothing() {
    let place = Place::new();
    let ran = demo(&place, &["--json"]).ends_with(0);
    let report = ran.json();
    assert_eq!(report["ok"], true, "{report}");
    let checks = report["checks"].as_array().unwrap();
    assert_eq!(checks.len(), 11);
    assert!(checks.iter().all(|c| c["held"] == true && c["failures"] == serde_json::json!([])));
    assert_eq!(report["acknowledged"].as_array().unwrap().len(), 15);
    assert_eq!(report["state_dir"], serde_json::Value::Null);
    let status = |list: &str, name: &str| {
        let jobs = report[list].as_array().unwrap();
        jobs.iter().find(|j| j["job_id"] == name).unwrap()["status"].as_str().unwrap().to_owned()
    };
    assert_eq!(status("before", "migrate-db"), "running");
    assert_eq!(status("recovered", "migrate-db"), "crashed");
    assert_eq!(status("recovered", "build-web"), "running");
    assert_eq!(status("end", "build-web"), "succeeded");
    assert_eq!(left(&place), Vec::<String>::new());
    assert!(!place.path(".local").exists(), "the user's own state directory was touched");
}

#[test]
fn the_report_fits_a_screen_and_the_directory_can_be_kept() {
    let place = Place::new();
    let ran = demo(&place, &["--keep"]).ends_with(0);
    let lines: Vec<&str> = ran.stdout.lines().collect();
    assert!(lines.len() <= 60, "{} lines:\n{}", lines.len(), ran.stdout);
    assert!(lines.iter().all(|l| l.chars().count() <= 110), "{}", ran.stdout);
    assert!(ran.stdout.contains("ALL HELD"), "{}", ran.stdout);
    assert!(!ran.stdout.contains('\x1b') && !ran.stderr.contains('\x1b'));
    let kept = left(&place);
    assert_eq!(kept.len(), 1, "{kept:?}");
    let state = place.path("tmp").join(&kept[0]).join("state");
    assert!(ran.stdout.contains(state.to_str().unwrap()), "{}", ran.stdout);
    let mut jobs = place.bare_command();
    jobs.args(["jobs", "list", "--json", "--state-dir"]).arg(&state);
    assert_eq!(Ran::of(&mut jobs).json()["total"], 15);
}

#[test]
fn an_interrupt_ends_it_and_everything_that_it_started() {
    let place = Place::new();
    place.write("tmp/.here", "");
    let mut command = place.bare_command();
    command.env("TMPDIR", place.path("tmp")).arg("demo");
    command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
    let mut child = command.spawn().unwrap();
    // A witness file shows that jobs run.
    let witness = loop {
        let folder = std::fs::read_dir(place.path("tmp")).unwrap().flatten().find(|e| e.path().is_dir());
        if let Some(folder) = folder.filter(|f| f.path().join("witness").exists()) {
            break folder.path();
        }
        assert!(child.try_wait().unwrap().is_none(), "it ended before it could be interrupted");
        std::thread::yield_now();
    };
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert!(!witness.exists());
    let mark = format!("RECOVERY_DEMO_STAGE={}", std::fs::canonicalize(place.path("tmp")).unwrap().display());
    let bears = |pid: u32| {
        let environment = recovery::system::environment_of(pid).unwrap_or_default();
        environment.iter().any(|entry| entry.starts_with(mark.as_bytes()))
    };
    let left: Vec<u32> =
        recovery::system::process_table().iter().map(|p| p.identity.pid).filter(|&p| bears(p)).collect();
    assert_eq!(left, Vec::<u32>::new());
}
