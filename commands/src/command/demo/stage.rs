//! The temporary directory, the processes in it, and waiting for what they do.
//!
//! Every process that is started here, and every process that one of them starts, bears a mark in its
//! environment; whatever bears it is ended when the stage goes, however the demonstration ends.

use std::ffi::OsString;
use std::fs;
use std::io::{self, Write as _};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use recovery::daemon::running_daemon;
use recovery::durable::{Disk, replace};
use recovery::queue::Queue;
use recovery::state::{Clock, StateDir};
use recovery::system::{ProcessIdentity, end_process, marked_processes};
use rustix::process::Signal;
use tempfile::TempDir;

use super::cast::{COUNT_TO, COUNTED_BEFORE, LOCK_HOLDER, LOCKED_REPOSITORY, Role, WORKERS};
use crate::configuration::our_variables;
use crate::error::{CliError, ErrorKind};
use crate::internal::own_program;
use crate::interruption::Interruption;

/// How long the demonstration waits for something before it gives up.
const PATIENCE: Duration = Duration::from_secs(60);
/// The pause between two looks at something that is awaited.
const TURN: Duration = Duration::from_millis(10);
/// The variable in the environment of everything that runs on the stage.
const MARK: &str = "RECOVERY_DEMO_STAGE";

const SCRIPT: &[u8] = include_bytes!("job.sh");
/// Snapshots come soon, so that there is one to damage. What the daemon starts bears its mark.
const SNAPSHOTS_SOON: &[u8] = b"[jobs]\nenvironment = [\"RECOVERY_DEMO_STAGE\"]\n\
    [queue]\ncheckpoint_records = 8\ncheckpoint_interval = \"200ms\"\n";

const NO_SNAPSHOTS: &[u8] = b"[jobs]\nenvironment = [\"RECOVERY_DEMO_STAGE\"]\n\
    [queue]\ncheckpoint_records = 100000\ncheckpoint_interval = \"1h\"\n";

/// See the module.
pub(super) struct Stage {
    folder: Option<TempDir>,
    root: PathBuf,
    pub(super) dir: StateDir,
    interruption: Interruption,
    begun: Instant,
    daemon: Option<Child>,
    lock_holder: Option<Child>,
}

impl Stage {
    /// An empty state directory, a script, a configuration.
    pub(super) fn set(interruption: &Interruption) -> Result<Stage, CliError> {
        let folder = tempfile::Builder::new().prefix("recoveryctl-demo-").tempdir();
        let folder = folder.map_err(|e| failed("make a temporary folder", &e))?;
        let root = fs::canonicalize(folder.path()).map_err(|e| failed("find the temporary folder", &e))?;
        let dir = StateDir::open_or_create(&root.join("state"), Disk::real(), Clock::system())?;
        replace(&dir.disk, &root.join("job.sh"), SCRIPT)?;
        replace(&dir.disk, &root.join("config.toml"), SNAPSHOTS_SOON)?;
        let (interruption, begun) = (interruption.clone(), Instant::now());
        Ok(Stage { folder: Some(folder), root, dir, interruption, begun, daemon: None, lock_holder: None })
    }

    /// Returns the milliseconds since the stage was set.
    pub(super) fn elapsed_ms(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Keeps the folder; returns its path.
    pub(super) fn keep(&mut self) -> PathBuf {
        if let Some(folder) = self.folder.take() {
            let _ = folder.keep(); // Its path is `root`.
        }
        self.root.clone()
    }

    /// Returns a command of this program on this stage, without the user's configuration.
    fn program(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(own_program());
        for (name, _) in our_variables() {
            command.env_remove(name);
        }
        command.env(MARK, &self.root).current_dir(&self.root).stdin(Stdio::null());
        command.arg("--config").arg(self.root.join("config.toml"));
        command.arg("--state-dir").arg(self.dir.paths.root()).args(arguments);
        command
    }

    /// Configures the next daemon to take no snapshot, which would remove the records that show who was
    /// started when.
    pub(super) fn keep_the_log(&self) -> Result<(), CliError> {
        Ok(replace(&self.dir.disk, &self.root.join("config.toml"), NO_SNAPSHOTS)?)
    }

    /// The command line of a job, or of the lock's holder.
    fn script(&self, name: &str, exit_code: i32, kind: &str) -> Vec<OsString> {
        let mut words: Vec<OsString> = vec!["sh".into(), self.root.join("job.sh").into()];
        words.push(self.root.clone().into());
        words.extend([name, &exit_code.to_string(), kind].map(OsString::from));
        words.extend([COUNT_TO, COUNTED_BEFORE].map(|n| OsString::from(n.to_string())));
        words
    }

    /// Starts a daemon and waits until it takes jobs.
    pub(super) fn start_daemon(&mut self) -> Result<u32, CliError> {
        let log = || self.dir.disk.open_append(&self.root.join("daemon.log"));
        let workers = WORKERS.to_string();
        let mut command = self.program(&["daemon", "--workers", &workers]);
        // The process group is separate: Ctrl-C on the terminal is for the demonstration, which ends the
        // daemon itself.
        command.stdout(log()?).stderr(log()?).process_group(0);
        let child = command.spawn().map_err(|e| failed("start a daemon", &e))?;
        let pid = child.id();
        self.daemon = Some(child);
        self.wait_until("the daemon is ready", |stage| {
            Ok(running_daemon(&stage.dir)?.filter(|d| d.pid == pid).map(|_| ()))
        })?;
        Ok(pid)
    }

    /// Kills the daemon with SIGKILL.
    pub(super) fn kill_daemon(&mut self) -> Result<(), CliError> {
        let Some(mut daemon) = self.daemon.take() else { return Ok(()) };
        daemon.kill().and_then(|()| daemon.wait()).map_err(|e| failed("kill the daemon", &e))?;
        Ok(())
    }

    /// Ends the daemon with SIGTERM, as a service manager does.
    pub(super) fn stop_daemon(&mut self) -> Result<(), CliError> {
        let Some(mut daemon) = self.daemon.take() else { return Ok(()) };
        let pid = rustix::process::Pid::from_child(&daemon);
        let asked = rustix::process::kill_process(pid, Signal::TERM).map_err(io::Error::from);
        asked.and_then(|()| daemon.wait()).map_err(|e| failed("end the daemon", &e))?;
        Ok(())
    }

    /// Takes the lock of a repository as a script of an operator does: `lock REPO -- CMD`.
    pub(super) fn start_lock_holder(&mut self) -> Result<(), CliError> {
        let mut command = self.program(&["lock", LOCKED_REPOSITORY, "--"]);
        command.args(self.script(LOCK_HOLDER, 0, "gated"));
        command.stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
        self.lock_holder = Some(command.spawn().map_err(|e| failed("take a lock", &e))?);
        self.wait_until("the lock is taken", |stage| Ok(stage.has_begun(LOCK_HOLDER).then_some(())))
    }

    /// Lets the lock's holder come to its end.
    pub(super) fn end_lock_holder(&mut self) -> Result<(), CliError> {
        self.open_gate(LOCK_HOLDER)?;
        let Some(mut holder) = self.lock_holder.take() else { return Ok(()) };
        self.wait_until("the lock is given back", |_| {
            holder.try_wait().map_err(|e| failed("wait for the lock's holder", &e))
        })?;
        Ok(())
    }

    /// Submits a job by the command line; returns the id that was printed.
    pub(super) fn submit(&self, role: &Role) -> Result<String, CliError> {
        let priority = format!("--priority={}", role.priority);
        let mut arguments = vec!["submit", "--id", role.name, &priority, "--on-crash", role.on_crash()];
        arguments.extend(role.repository.iter().flat_map(|r| ["--repo", r]));
        arguments.push("--");
        let kind = match role {
            Role { counts: true, .. } => "counting",
            _ if role.runs_at_the_crash() => "gated",
            _ => "plain",
        };
        let mut command = self.program(&arguments);
        command.args(self.script(role.name, role.exit_code, kind));
        let output = command.output().map_err(|e| failed("submit a job", &e))?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            let message = format!("the job {} was refused: {said}", role.name);
            return Err(CliError::new(ErrorKind::Failed, message).code("demo-stage"));
        }
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }

    /// Lets a gated job come to its end.
    pub(super) fn open_gate(&self, name: &str) -> Result<(), CliError> {
        Ok(replace(&self.dir.disk, &self.root.join(format!("gate-{name}")), b"")?)
    }

    /// What is in a file of the stage; nothing when there is none yet.
    pub(super) fn read(&self, name: &str) -> String {
        recovery::durable::plain::read_text(self.root.join(name)).unwrap_or_default()
    }

    /// The number that the counting job has saved.
    pub(super) fn checkpoint_of(&self, name: &str) -> Option<u32> {
        let path = self.dir.paths.job(name).ok()?.checkpoint();
        recovery::durable::plain::read_text(path).ok()?.trim().parse().ok()
    }

    /// Adds a line to the witness file, as the jobs do.
    pub(super) fn witness(&self, line: &str) -> Result<(), CliError> {
        let mut file = self.dir.disk.open_append(&self.root.join("witness"))?;
        file.write_all(format!("{line}\n").as_bytes()).map_err(|e| failed("write to the witness file", &e))
    }

    /// Whether the first attempt of a job has written its start.
    pub(super) fn has_begun(&self, name: &str) -> bool {
        self.read("witness").lines().any(|line| line == format!("start {name} 1"))
    }

    /// Follows the queue until it is as wanted.
    pub(super) fn wait_for_queue(
        &self,
        what: &str,
        wanted: impl Fn(&Queue) -> bool,
    ) -> Result<Queue, CliError> {
        let mut queue = Queue::open(&self.dir)?;
        self.wait_until(what, |_| {
            queue.refresh()?;
            Ok(wanted(&queue).then_some(()))
        })?;
        Ok(queue)
    }

    /// Waits until `look` finds something.
    pub(super) fn wait_until<T>(
        &self,
        what: &str,
        mut look: impl FnMut(&Stage) -> Result<Option<T>, CliError>,
    ) -> Result<T, CliError> {
        loop {
            if let Some(found) = look(self)? {
                return Ok(found);
            }
            if let Some(interrupted) = self.interruption.requested() {
                return Err(interrupted);
            }
            if self.begun.elapsed() > PATIENCE {
                let message = format!("gave up waiting until {what}; {} s have passed", PATIENCE.as_secs());
                let error = CliError::new(ErrorKind::Failed, message).code("demo-gave-up");
                return Err(error.hint("run it with --keep and look into daemon.log"));
            }
            std::thread::sleep(TURN);
        }
    }

    /// Ends every process that bears the stage's mark, until there is none.
    fn clear(&mut self) {
        let mark = format!("{MARK}={}", self.root.display());
        for _ in 0..50 {
            let (found, _) = marked_processes(&[&mark], None);
            if found.is_empty() {
                break;
            }
            found.into_iter().for_each(end);
        }
        for child in [&mut self.daemon, &mut self.lock_holder].into_iter().filter_map(Option::as_mut) {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.clear();
    }
}

/// Ends a process. An error has no receiver.
fn end(process: ProcessIdentity) {
    let _ = end_process(process, 2_000);
}

/// An error of the stage itself.
pub(super) fn failed(what: &str, error: &dyn std::fmt::Display) -> CliError {
    CliError::new(ErrorKind::Failed, format!("cannot {what}: {error}")).code("demo-stage")
}
