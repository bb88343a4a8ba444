//! Runs the built binary, cut off from the user's files and variables.
#![allow(dead_code, unreachable_pub)] // Each test file takes what it needs.
#![allow(clippy::disallowed_methods)] // Tests write their own files.

mod next_steps;

use std::ffi::OsStr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

/// A place of its own: a home, and below it a path for the state directory.
pub struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    /// An empty one.
    pub fn new() -> Place {
        Place { folder: tempfile::tempdir().unwrap() }
    }

    /// A path below it.
    pub fn path(&self, relative: &str) -> PathBuf {
        self.folder.path().join(relative)
    }

    /// The state directory that every command of this place gets.
    pub fn state(&self) -> PathBuf {
        self.path("state")
    }

    /// Writes a file below it and says where.
    pub fn write(&self, relative: &str, text: &str) -> PathBuf {
        let path = self.path(relative);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        path
    }

    /// The binary with a cleared environment and no arguments yet.
    pub fn bare_command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_recoveryctl"));
        command.env_clear().env("PATH", "/usr/bin:/bin").env("HOME", self.folder.path());
        command.current_dir(self.folder.path()).stdin(Stdio::null());
        command
    }

    /// The binary with this place's state directory, and no file of the machine read.
    pub fn command(&self) -> Command {
        let mut command = self.bare_command();
        let config = self.path("config.toml");
        if !config.exists() {
            self.write("config.toml", "");
        }
        command.env("RECOVERYCTL_STATE_DIR", self.state()).env("RECOVERYCTL_CONFIG", config);
        // Tests use no engine of the machine.
        command.env("RECOVERYCTL_DOCKER_HOST", "none");
        command
    }

    /// A copy of the binary that every user may run; where it was built, only some may.
    pub fn program_for_all(&self) -> PathBuf {
        let program = self.path("recoveryctl");
        if !program.exists() {
            copy_program(env!("CARGO_BIN_EXE_recoveryctl"), &program);
        }
        let for_all = || std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(&program, for_all()).unwrap();
        std::fs::set_permissions(self.folder.path(), for_all()).unwrap();
        program
    }

    /// Runs to the end.
    pub fn run<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Ran {
        Ran::of(self.command().args(arguments))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // A supervisor that was killed does not remove its job's control group. When the state directory is
        // gone nobody does, and every recovery would look through all groups.
        for entry in std::fs::read_dir(self.folder.path()).into_iter().flatten().flatten() {
            let text = std::fs::read_to_string(entry.path().join("state.json")).unwrap_or_default();
            let identity = serde_json::from_str::<Value>(&text).unwrap_or_default();
            if let Some(id) = identity["state_id"].as_str() {
                for group in recovery::system::Cgroup::named(&format!("recoveryctl-{id}-")) {
                    end_group(&group);
                }
            }
        }
    }
}

/// Ends what a test has left in a group, and removes the group: a killed process is in it for a moment
/// longer.
fn end_group(group: &recovery::system::Cgroup) {
    let begun = std::time::Instant::now();
    let _ = group.kill();
    while group.remove().is_err() && begun.elapsed().as_secs() < 5 {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
}

/// Prints, past the test harness's capture, that this test cannot run here. Where everything that tests need
/// is installed (`.ci/run`, which sets `RECOVERYCTL_TESTS_MUST_RUN`), that is a failure.
///
/// # Panics
/// As above.
#[track_caller]
pub fn skipped(why: &str) {
    let must_run = std::env::var_os("RECOVERYCTL_TESTS_MUST_RUN").is_some_and(|set| !set.is_empty());
    assert!(!must_run, "RECOVERYCTL_TESTS_MUST_RUN is set, and this test cannot run: {why}");
    skipped_by_the_machine(why);
}

/// The same for what no installation provides: a kernel, a file system, a privilege on this machine.
pub fn skipped_by_the_machine(why: &str) {
    let test = std::thread::current().name().unwrap_or("a test").to_owned();
    told(&format!("SKIPPED {test}: {why}"));
}

/// Prints a measured figure, past the test harness's capture.
pub fn told(what: &str) {
    use std::io::Write;
    let _ = writeln!(std::io::stderr(), "{what}");
}

/// The result of a run.
#[derive(Debug)]
pub struct Ran {
    pub stdout: String,
    pub stderr: String,
    pub status: i32,
}

impl Ran {
    /// Runs a command to the end.
    pub fn of(command: &mut Command) -> Ran {
        let output = command.output().unwrap();
        Ran {
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
            status: output.status.code().unwrap_or(-1),
        }
    }

    /// Asserts the exit status.
    #[track_caller]
    pub fn ends_with(self, status: i32) -> Ran {
        assert_eq!(self.status, status, "stdout: {}\nstderr: {}", self.stdout, self.stderr);
        self
    }

    /// Stdout, which must be exactly one JSON document.
    #[track_caller]
    pub fn json(&self) -> Value {
        match serde_json::from_str(&self.stdout) {
            Ok(document) => {
                next_steps::check(&document);
                document
            }
            Err(e) => panic!("stdout is not one JSON document ({e}): {}", self.stdout),
        }
    }

    /// The error document of a failed run; its exit status must be the run's own.
    #[track_caller]
    pub fn error(&self) -> Value {
        let error = self.json()["error"].clone();
        assert_eq!(error["exit"], self.status, "{error}");
        assert!(error["code"].is_string() && error["message"].is_string(), "{error}");
        error
    }
}

/// Whether a folder holds nothing, or is not there.
pub fn is_untouched(folder: &Path) -> bool {
    std::fs::read_dir(folder).map_or(true, |mut names| names.next().is_none())
}

/// How long a test waits for a condition before it fails. This is far longer than anything takes, also on a
/// machine whose processors are all busy: a correct test never waits so long.
pub const PATIENCE: std::time::Duration = std::time::Duration::from_secs(180);

/// Copies a program that is to be run. The copy is not made in this process: another thread that starts a
/// process meanwhile would pass it the copy open for writing, and until that process has called exec nobody
/// could run the copy ("Text file busy").
#[track_caller]
pub fn copy_program(from: impl AsRef<OsStr>, to: &Path) {
    assert!(Command::new("cp").arg(from).arg(to).status().unwrap().success(), "{}", to.display());
}

/// Waits until a condition holds. A check that takes long is made less often: it would take the processors
/// from the processes that are awaited.
#[track_caller]
pub fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = std::time::Instant::now();
    loop {
        let asked = std::time::Instant::now();
        if is_so() {
            return;
        }
        assert!(begun.elapsed() < PATIENCE, "waited too long for {what}");
        rest_after(asked);
    }
}

/// Rests before a check is repeated that was last made at that time.
pub fn rest_after(asked: std::time::Instant) {
    let (least, most) = (std::time::Duration::from_millis(10), std::time::Duration::from_millis(300));
    std::thread::sleep((asked.elapsed() * 3).clamp(least, most));
}

/// A process in the background; killed when it goes out of scope.
#[derive(Debug)]
pub struct Background {
    child: std::process::Child,
}

impl Background {
    /// Starts it, with its output thrown away.
    pub fn start(command: &mut Command) -> Background {
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        Background { child }
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// `kill -9`, and waits until it is gone.
    pub fn kill(&mut self) {
        let _ = self.child.kill(); // Gone already.
        self.child.wait().unwrap();
    }

    /// Waits for its end: its exit status.
    pub fn wait(mut self) -> i32 {
        self.child.wait().unwrap().code().unwrap_or(-1)
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A process that a test did not start itself; killed when it goes out of scope.
#[derive(Debug)]
pub struct Foreign(recovery::system::ProcessIdentity);

impl Foreign {
    /// The process that has this PID now.
    #[track_caller]
    pub fn of(pid: u64) -> Foreign {
        let pid = u32::try_from(pid).unwrap();
        Foreign(recovery::system::ProcessIdentity::of(pid).unwrap_or_else(|| panic!("no process {pid}")))
    }

    /// `kill -9`, and waits until it is gone.
    pub fn kill(&self) {
        assert!(recovery::system::end_process(self.0, 10_000).unwrap(), "{:?} stays", self.0);
    }
}

impl Drop for Foreign {
    fn drop(&mut self) {
        let _ = recovery::system::end_process(self.0, 10_000);
    }
}
