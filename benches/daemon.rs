//! The built program on a queue of 10,000 jobs: how soon the daemon takes jobs, its memory then, and how
//! long `status` takes.
//!
//! The program is the one that `RECOVERYCTL` names, else the release build (`cargo build --release`).
//! All jobs want one repository, whose lock this benchmark holds: the daemon looks at them all and can
//! start none, so that nothing but the queue is measured. Absolute times: they mean something on a quiet
//! machine only.
#![allow(clippy::disallowed_methods, clippy::print_stdout)]

mod support;

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use recovery::locks::{JobLiveness, LockGrant, LockHolder, LockRequest, try_acquire};
use recovery::state::StateDir;
use support::floor::timed;
use support::table::{Target, heading, not_measured, row};
use support::{library, median, megabytes, memory, time};

const JOBS: usize = 10_000;
const STARTS: usize = 11;
const LOOKS: usize = 51;
/// A daemon that is not ready by then is broken.
const PATIENCE: Duration = Duration::from_secs(30);

fn main() {
    heading("10,000 queued jobs, the whole program");
    let binary = match support::binary() {
        Ok(binary) => binary,
        Err(why) => return not_measured("daemon ready, its memory, status", &why),
    };
    let place = support::workplace();
    let dir = library::queue_of(&place.path().join("state"), JOBS);
    let lock = hold_repository(&dir);
    measure("first start, the log alone", &binary, &dir);
    take_snapshot(&dir);
    measure("with a snapshot", &binary, &dir);
    lock.release().expect("the lock is given back");
}

fn hold_repository(dir: &StateDir) -> LockGrant {
    let request = LockRequest {
        holder: LockHolder::Process,
        operation: "benchmark".to_owned(),
        job_liveness: &|_, _| JobLiveness::Unknown,
        queue: None,
        waiting: &|_| (),
    };
    try_acquire(dir, library::REPOSITORY, &request).expect("the lock of the repository")
}

fn take_snapshot(dir: &StateDir) {
    let mut queue = recovery::queue::Queue::open(dir).expect("a queue");
    queue.checkpoint().expect("a checkpoint").expect("nobody else takes one");
}

fn measure(how: &str, binary: &Path, dir: &StateDir) {
    let (mut ready, mut memories, mut looks) = (Vec::new(), Vec::new(), Vec::new());
    for start in 0..STARTS {
        let daemon = Daemon::start(binary, dir);
        ready.push(daemon.ready);
        memories.push(memory(daemon.process.id(), "VmRSS").expect("its memory"));
        if start + 1 == STARTS {
            looks.extend((0..LOOKS).map(|_| timed(|| status(binary, dir.paths.root()))));
        }
    }
    let (ready, memory, look) = (median(&ready), median(&memories), median(&looks));
    let seconds = |what: &str, took: Duration, target: f64| {
        row(&format!("{what}, {how} (s)"), &time(took), "", took.as_secs_f64(), Target::AtMost(target));
    };
    seconds("daemon ready", ready, 0.10);
    seconds("status while it runs", look, 0.03);
    let what = format!("memory of the daemon, {how} (MB)");
    row(&what, &megabytes(memory), "", memory as f64 / 1e6, Target::AtMost(30.0));
}

fn status(binary: &Path, root: &Path) {
    let mut command = Command::new(binary);
    command.arg("--state-dir").arg(root).arg("status").stdin(Stdio::null());
    // 3: degraded or with findings; what is measured is that it answers.
    let output = command.output().expect("the binary starts");
    assert!(matches!(output.status.code(), Some(0 | 3)), "status ended with {output:?}");
}

/// A daemon that takes jobs; ended, as an operator does, when dropped.
struct Daemon {
    process: Child,
    ready: Duration,
    info: PathBuf,
}

impl Daemon {
    /// From the spawn until `daemon.json` is there, looked for every millisecond.
    fn start(binary: &Path, dir: &StateDir) -> Daemon {
        let mut command = Command::new(binary);
        command.arg("--state-dir").arg(dir.paths.root()).arg("daemon");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let begun = Instant::now();
        let process = command.spawn().expect("the daemon starts");
        let mut daemon = Daemon { process, ready: Duration::ZERO, info: dir.paths.daemon_info() };
        while !daemon.info.exists() {
            let ended = daemon.process.try_wait().expect("its state");
            assert!(ended.is_none() && begun.elapsed() < PATIENCE, "the daemon is not ready: {ended:?}");
            std::thread::sleep(Duration::from_millis(1));
        }
        daemon.ready = begun.elapsed();
        daemon
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let pid = rustix::process::Pid::from_child(&self.process);
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        let _ = self.process.wait();
    }
}
