//! What the benchmarks share: the table they print, medians, a folder on the disk that is measured, and
//! running the benchmark's own program again in another role.
//!
//! A noisy machine changes its speed within minutes (a sync took 0.1 ms and 4 ms in the same hour), so
//! nothing here is an absolute time: ours and the floor alternate within one run, and medians are
//! compared. Counts (syncs a record) are exact.
#![allow(dead_code, unreachable_pub)] // A part of each benchmark, which uses a part of it.

pub mod floor;
pub mod library;
pub mod table;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

/// The arguments behind a role word, when this program was started again in that role.
pub fn role() -> Option<(String, Vec<String>)> {
    let mut arguments = std::env::args().skip(1);
    let role = arguments.next()?.strip_prefix("role:")?.to_owned();
    Some((role, arguments.collect()))
}

/// This program in another role, its output caught.
pub fn in_role(role: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(own_program());
    command.arg(format!("role:{role}")).args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped());
    command
}

/// Where this program is.
pub fn own_program() -> PathBuf {
    std::env::current_exe().expect("this program has a path")
}

/// What a program in a role printed, as numbers.
pub fn numbers(command: &mut Command) -> Vec<u64> {
    let output = command.output().expect("the role can be started");
    assert!(output.status.success(), "{command:?} ended with {}", output.status);
    parse_numbers(&String::from_utf8_lossy(&output.stdout))
}

/// The numbers in a text.
pub fn parse_numbers(text: &str) -> Vec<u64> {
    text.split_whitespace().map(|n| n.parse().expect("a number")).collect()
}

/// An empty folder on the disk that the build lies on (`/tmp` may be memory), removed when dropped.
pub fn workplace() -> tempfile::TempDir {
    tempfile::Builder::new().prefix("bench-").tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder")
}

/// The middle value.
pub fn median<T: Copy + PartialOrd>(values: &[T]) -> T {
    let mut sorted = values.to_vec();
    sorted.sort_by(|a, b| a.partial_cmp(b).expect("comparable"));
    sorted[sorted.len() / 2]
}

/// A time for the table.
pub fn time(duration: Duration) -> String {
    let micros = duration.as_secs_f64() * 1e6;
    match micros {
        m if m < 1e3 => format!("{m:.0} µs"),
        m if m < 1e6 => format!("{:.2} ms", m / 1e3),
        m => format!("{:.2} s", m / 1e6),
    }
}

/// Megabytes for the table.
pub fn megabytes(bytes: u64) -> String {
    format!("{:.1} MB", bytes as f64 / 1e6)
}

/// A member of `/proc/<pid>/status`, in bytes: `VmHWM`, `VmRSS`.
pub fn memory(pid: u32, member: &str) -> Option<u64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = text.lines().find(|l| l.starts_with(member))?;
    Some(line.split_whitespace().nth(1)?.parse::<u64>().ok()? * 1024)
}

/// Whether a program is installed.
pub fn is_installed(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let paths = std::env::split_paths(&path).map(|p| p.join(program));
    paths.chain([Path::new("/usr/sbin").join(program)]).any(|p| p.exists())
}

/// The built program: the one that `RECOVERYCTL` names, else the release build beside this benchmark.
/// Says why when there is none that answers.
pub fn binary() -> Result<PathBuf, String> {
    let own = own_program();
    let beside = own.ancestors().nth(2).map(|release| release.join("recoveryctl"));
    let named = std::env::var_os("RECOVERYCTL").map(PathBuf::from);
    let Some(path) = named.or(beside).filter(|p| p.exists()) else {
        return Err("no binary (cargo build --release)".to_owned());
    };
    let mut version = Command::new(&path);
    version.args(["submit", "--help"]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    match version.status() {
        Ok(status) if status.success() => Ok(path),
        _ => Err(format!("{} does not know `submit`", path.display())),
    }
}
