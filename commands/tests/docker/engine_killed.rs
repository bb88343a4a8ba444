//! An engine that is killed in the middle, is away, or hangs.

use std::io::Read;
use std::os::unix::net::UnixListener;

use super::engine::{labels, with_engine};
use crate::common::{Background, Place, Ran, until};

#[test]
fn a_cleanup_goes_on_when_a_killed_engine_is_back() {
    with_engine(|engine| {
        let place = Place::new();
        engine.run(&place, &["init"]).ends_with(0);
        engine.run(&place, &["submit", "--id", "x", "--auto-cleanup", "--", "true"]).ends_with(0);
        engine.run(&place, &["work", "--once"]).ends_with(0);
        let ours = labels(&place, "x");
        for n in 0..12 {
            engine.container(&format!("x{n}"), &ours);
        }
        engine.container("other", &[]);
        let daemon = Background::start(engine.command(&place).arg("daemon"));
        until("the first container to be gone", || {
            let state = engine.json(&place, &["cleanup", "state"]);
            state["cleanups"][0]["phases"][1]["items_done"].as_u64().is_some_and(|n| n > 0)
                || state["counts"]["completed"] == 1
        });
        engine.word("kill");
        until("the cleanup to wait for the engine", || {
            let state = engine.json(&place, &["cleanup", "state"]);
            let phase = &state["cleanups"][0]["phases"][1];
            state["counts"]["completed"] == 1
                || phase["status"] == "failed" && !phase["next_try_at"].is_null()
        });
        // The files stay while the containers cannot be proven gone.
        let is_over = engine.json(&place, &["cleanup", "state"])["counts"]["completed"] == 1;
        assert!(is_over || place.state().join("jobs/x").exists());
        engine.word("again");
        until("the cleanup to be over", || engine.json(&place, &["cleanup", "completed"])["total"] == 1);
        drop(daemon);
        assert_eq!(engine.names("container"), ["other"]);
        assert!(!place.state().join("jobs/x").exists());
    });
}

/// An engine may be away, or accept a connection and say nothing.
#[test]
fn an_engine_that_is_away_or_silent_makes_the_files_wait_and_nothing_is_parked() {
    let place = Place::new();
    let run = |host: &str, arguments: &[&str]| {
        let mut command = place.command();
        command.env("RECOVERYCTL_DOCKER_HOST", host).env("RECOVERYCTL_DOCKER_TIMEOUT", "300ms");
        command.env("RECOVERYCTL_DOCKER_STOP_TIMEOUT", "0s").env("RECOVERYCTL_CLEANUP_TRIES", "2");
        Ran::of(command.arg("--json").args(arguments))
    };
    let away = format!("unix://{}", place.path("no.sock").display());
    run(&away, &["submit", "--id", "w", "--auto-cleanup", "--", "true"]).ends_with(0);
    run(&away, &["work", "--once"]).ends_with(0);
    for _ in 0..3 {
        let report = run(&away, &["cleanup", "run"]).ends_with(3).json();
        assert_eq!(report["waiting"], 1, "{report}");
        assert_eq!(report["findings"][0]["code"], "cleanup-waiting", "{report}");
    }
    let socket = place.path("silent.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    std::thread::spawn(move || {
        let mut open = Vec::new();
        for mut stream in listener.incoming().flatten() {
            let _ = stream.read(&mut [0; 16]);
            open.push(stream); // Neither answered nor closed.
        }
    });
    let silent = format!("unix://{}", socket.display());
    let report = run(&silent, &["cleanup", "run"]).ends_with(3).json();
    assert_eq!((&report["waiting"], &report["parked"]), (&1.into(), &0.into()), "{report}");
    let phases = &report["cleanups"][0]["phases"];
    assert_eq!(phases[1]["status"], "failed", "{phases}");
    assert!(phases[1]["error"].as_str().unwrap().contains("no answer within 0.3 s"), "{phases}");
    assert_eq!(phases[2]["status"], "pending", "{phases}");
    assert!(place.state().join("jobs/w").exists());
    let scan = run(&silent, &["scan"]).ends_with(0).json();
    let codes: Vec<_> = scan["findings"].as_array().unwrap().iter().map(|f| &f["code"]).collect();
    assert!(codes.contains(&&"docker-unreachable".into()), "{scan}");
    // An operator may pass the phase over; then the files go.
    run(&away, &["cleanup", "skip", "w.1", "docker", "--reason", "no engine any more"]).ends_with(0);
    run(&away, &["cleanup", "run"]).ends_with(0);
    assert!(!place.state().join("jobs/w").exists());
}
