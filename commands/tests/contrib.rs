//! The files for systemd and cron: units that systemd accepts, and a daemon that reports to it what it needs.
#![allow(clippy::disallowed_methods)] // Tests write their own files.

use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::common;

#[allow(dead_code, unreachable_pub)] // Shared with the scenes of crashes.
use crate::common::{Background, Place, until};
use rustix::process::{Pid, Signal, kill_process};

fn contrib() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../contrib")
}

#[test]
fn systemd_takes_the_units() {
    if Command::new("systemd-analyze").arg("--version").output().is_err() {
        return common::skipped("systemd-analyze is not installed");
    }
    let place = Place::new();
    for name in ["recoveryctl.service", "recoveryctl-scan.service", "recoveryctl-scan.timer"] {
        let text = std::fs::read_to_string(contrib().join("systemd").join(name)).unwrap();
        // The program is where this test has it.
        let text = text.replace("/usr/bin/recoveryctl", env!("CARGO_BIN_EXE_recoveryctl"));
        place.write(name, &text);
    }
    for name in ["recoveryctl.service", "recoveryctl-scan.timer"] {
        let output =
            Command::new("systemd-analyze").arg("verify").arg("--man=no").arg(place.path(name)).output();
        let output = output.unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let ours: Vec<&str> = said.lines().filter(|line| line.contains("recoveryctl")).collect();
        assert!(output.status.success() && ours.is_empty(), "{name}: {said}");
    }
}

#[test]
fn the_units_and_the_cron_line_call_commands_that_exist() {
    let place = Place::new();
    let mut calls = 0;
    for file in ["systemd/recoveryctl.service", "systemd/recoveryctl-scan.service", "cron/recoveryctl"] {
        let text = std::fs::read_to_string(contrib().join(file)).unwrap();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let Some((_, words)) = line.split_once("/usr/bin/recoveryctl ") else { continue };
            place.run(words.split(' ').chain(["--help"])).ends_with(0);
            calls += 1;
        }
    }
    assert_eq!(calls, 3);
}

#[test]
fn systemd_is_told_what_it_needs() {
    let place = Place::new();
    place.write("config.toml", "[daemon]\nlisten = \"none\"\n");
    let socket = place.path("notify");
    let listener = UnixDatagram::bind(&socket).unwrap();
    listener.set_read_timeout(Some(crate::common::PATIENCE)).unwrap();
    // systemd does the same: it knows the process before it runs the program.
    let mut command = std::process::Command::new("/bin/sh");
    command.args(["-c", "WATCHDOG_PID=$$ exec \"$0\" daemon", env!("CARGO_BIN_EXE_recoveryctl")]);
    command.envs(place.command().get_envs().filter_map(|(name, value)| Some((name, value?))));
    command.env("NOTIFY_SOCKET", &socket).env("WATCHDOG_USEC", "400000");
    let daemon = Background::start(&mut command);
    let (mut told, mut pings) = (String::new(), 0);
    let hear = |told: &mut String| {
        let mut bytes = [0; 4096];
        let n = listener.recv(&mut bytes).unwrap();
        told.push_str(&String::from_utf8_lossy(&bytes[..n]));
        told.push('\n');
    };
    while !told.contains("READY=1") {
        hear(&mut told);
    }
    assert!(told.contains("EXTEND_TIMEOUT_USEC=") && told.contains("STATUS=recovering"), "{told}");
    told.clear();
    // The main loop sends this again and again.
    while pings < 3 {
        hear(&mut told);
        pings = told.matches("WATCHDOG=1").count();
    }
    // The configuration is read anew, and a wrong one changes nothing.
    let pid = Pid::from_raw(i32::try_from(daemon.pid()).unwrap()).unwrap();
    place.write("config.toml", "[daemon]\nnonsense = 1\n");
    kill_process(pid, Signal::HUP).unwrap();
    told.clear();
    while told.matches("WATCHDOG=1").count() < 3 {
        hear(&mut told);
    }
    until("the daemon to be asked", || place.state().join("daemon/admin.sock").exists());
    kill_process(pid, Signal::TERM).unwrap();
    while !told.contains("STOPPING=1") {
        hear(&mut told);
    }
    assert_eq!(daemon.wait(), 0);
}
