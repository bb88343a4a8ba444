//! Limits of the process itself: too few open files, files that may not grow.

use std::io;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::sandbox::{Ran, run};
use crate::{Sandbox, Tally};

/// Commands that are tried under each limit.
const COMMANDS: &[&[&str]] = &[
    &["submit", "--", "true"],
    &["submit", "--id", "named", "--repo", "web", "--", "true"],
    &["jobs", "cancel", "waits"],
    &["resume", "failed"],
    &["recover"],
    &["work", "--once"],
    &["status"],
];

/// Runs each command with 3 to 24 open files, and with a limited number of blocks of 512 bytes for each file.
pub fn try_limits(binary: &Path, step: usize) -> io::Result<Tally> {
    let mut tally = Tally::new("limits: open files, file size");
    let files = (3..24).step_by(step).map(|n| format!("ulimit -n {n}"));
    // When the signal is ignored, the write fails with EFBIG; otherwise the signal ends the process where it
    // writes.
    let sizes = [0, 1, 2, 3, 8]
        .into_iter()
        .flat_map(|blocks| [format!("trap '' XFSZ; ulimit -f {blocks}"), format!("ulimit -f {blocks}")]);
    let place = Sandbox::new(binary)?;
    prepare(&place)?;
    for limit in files.chain(sizes.step_by(step.min(2))) {
        for command in COMMANDS {
            place.end_all();
            place.back_to_base()?;
            let ran = limited(&place, &limit, command)?;
            tally.faults += 1;
            tally.note(&format!("{limit}: {command:?}"), check(&place, &ran, command));
        }
    }
    Ok(tally)
}

fn prepare(place: &Sandbox) -> io::Result<()> {
    let run = |arguments: &[&str]| place.run(arguments)?.expect(0).map_err(io::Error::other);
    run(&["init"])?;
    run(&["submit", "--id", "failed", "--", "false"])?;
    run(&["work", "--once"])?;
    run(&["submit", "--id", "waits", "--", "true"])?;
    place.keep_as_base()
}

fn limited(place: &Sandbox, limit: &str, arguments: &[&str]) -> io::Result<Ran> {
    let mut shell = Command::new("/bin/sh");
    place.surround(&mut shell);
    // The output goes through pipes, so the limit does not apply to it.
    let script = format!("({limit}; exec \"$@\") 2>&1 >&3 3>&- | cat >&2");
    shell
        .args(["-c", &format!("exec 3>&1; {{ {script}; }} | cat"), "sh"])
        .arg(place.binary())
        .args(arguments);
    run(&mut shell, Duration::from_secs(60))
}

fn check(place: &Sandbox, ran: &Ran, command: &[&str]) -> Result<(), String> {
    if ran.stderr.contains("panicked") || ran.stderr.contains("overflow") {
        return Err(format!("{ran:?}"));
    }
    place.wait_until_nobody_works()?;
    let (recovered, code) = place.json(&["recover"])?;
    if !matches!(code, 0 | 3) {
        return Err(format!("recover ended with {code} afterwards: {recovered}"));
    }
    let (list, _) = place.json(&["jobs", "list", "--reverse"])?;
    let jobs = list["jobs"].as_array().cloned().unwrap_or_default();
    let find = |id: &str| jobs.iter().find(|j| j["job_id"] == id);
    for base in ["failed", "waits"] {
        find(base).ok_or_else(|| format!("{base} is lost: {list}"))?;
    }
    if command[0] == "submit" {
        for id in ran.stdout.lines() {
            find(id).ok_or_else(|| format!("{id} was acknowledged, and is lost: {ran:?} {list}"))?;
        }
        // Nothing acknowledged may be half there, and everything present must be complete.
        if let Some(bad) = jobs.iter().find(|j| j["status"].as_str().is_none()) {
            return Err(format!("half a job: {bad}"));
        }
    }
    let (worked, code) = place.json(&["work", "--once"])?;
    if code == 0 { Ok(()) } else { Err(format!("work ended with {code} afterwards: {worked}")) }
}
