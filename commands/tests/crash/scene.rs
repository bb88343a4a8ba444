//! A state directory of its own with daemons that can be killed, and ways to wait for what they do.

use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

use recovery::durable::Disk;
use recovery::queue::{Job, JobStatus, Queue};
use recovery::state::{Clock, StateDir};
use recovery::system::{ProcessIdentity, end_process, marked_processes, process_table, signal_process};
use rustix::process::Signal;
use serde_json::Value;

use crate::common::{Place, Ran};

/// A state directory and a folder for what its jobs witness. Dropped, it ends every process that
/// works on it.
pub struct Scene {
    pub place: Place,
}

impl Scene {
    pub fn new() -> Scene {
        let scene = Scene { place: Place::new() };
        scene.run(&["init"]).ends_with(0);
        std::fs::create_dir(scene.place.path("witness")).unwrap();
        scene
    }

    pub fn run(&self, arguments: &[&str]) -> Ran {
        self.place.run(arguments)
    }

    /// Runs with `--json` and gives the document; the exit status must be the one given.
    #[track_caller]
    pub fn json(&self, arguments: &[&str], status: i32) -> Value {
        let with_json: Vec<&str> = ["--json"].iter().chain(arguments).copied().collect();
        self.place.run(with_json).ends_with(status).json()
    }

    pub fn dir(&self) -> StateDir {
        StateDir::open(&self.place.state(), Disk::real(), Clock::system()).unwrap()
    }

    pub fn queue(&self) -> Queue {
        Queue::open(&self.dir()).unwrap()
    }

    /// The job as the queue has it now.
    #[track_caller]
    pub fn job(&self, id: &str) -> Job {
        self.queue().state().get(&id.parse().unwrap()).unwrap_or_else(|| panic!("no job {id}")).clone()
    }

    pub fn status(&self, id: &str) -> JobStatus {
        self.job(id).status
    }

    /// A file in a job's workspace, or beside it.
    pub fn job_file(&self, id: &str, name: &str) -> PathBuf {
        let of_attempts = ["sentinel.", "command.json", "exit.json", "output.log", "1/", "2/"];
        let is_kept_apart = of_attempts.iter().any(|start| name.starts_with(start));
        let folder = if is_kept_apart { "attempts" } else { "jobs" };
        self.place.state().join(folder).join(id).join(name)
    }

    /// Submits `sh -c SCRIPT`; in it `$W` is the witness folder.
    #[track_caller]
    pub fn submit(&self, id: &str, options: &[&str], script: &str) {
        let witness = format!("W={}", self.place.path("witness").display());
        let mut arguments = vec!["submit", "--id", id, "--env", &witness];
        arguments.extend(options);
        arguments.extend(["--", "/bin/sh", "-c", script]);
        let ran = self.run(&arguments).ends_with(0);
        assert_eq!(ran.stdout.trim(), id);
    }

    pub fn witness(&self, name: &str) -> PathBuf {
        self.place.path("witness").join(name)
    }

    /// The lines that a job has written to a witness file; none when there is no file.
    pub fn witnessed(&self, name: &str) -> Vec<String> {
        let text = std::fs::read_to_string(self.witness(name)).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    /// Lets the jobs go on that wait for this file.
    pub fn open_gate(&self, name: &str) {
        std::fs::write(self.witness(name), "").unwrap();
    }

    #[track_caller]
    pub fn wait_for_status(&self, id: &str, wanted: JobStatus) {
        wait_for(&format!("job {id} to be {wanted}"), || self.status(id) == wanted);
    }

    #[track_caller]
    pub fn wait_for_witness(&self, name: &str) {
        wait_for(&format!("witness {name}"), || !self.witnessed(name).is_empty());
    }

    /// Starts a daemon in a process group of its own and waits until it takes jobs.
    #[track_caller]
    pub fn daemon(&self, workers: usize) -> Daemon {
        self.start_daemon(workers).ready_in(&self.place.state())
    }

    /// Starts a daemon, which may be killed before it takes jobs.
    pub fn start_daemon(&self, workers: usize) -> Daemon {
        let mut command = self.place.command();
        command.args(["daemon", "--workers", &workers.to_string()]);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        Daemon { child: command.spawn().unwrap() }
    }

    /// `recover --json`; it must end with 0 or 3, and without a panic.
    #[track_caller]
    pub fn recover(&self) -> Recovered {
        let ran = self.place.run(["--json", "recover"]);
        assert!(!ran.stderr.contains("panicked"), "{}", ran.stderr);
        assert!(matches!(ran.status, 0 | 3), "status {}: {}\n{}", ran.status, ran.stdout, ran.stderr);
        Recovered { status: ran.status, document: ran.json() }
    }

    /// Runs what is queued to its end, without a daemon.
    #[track_caller]
    pub fn work(&self) -> Value {
        self.json(&["work", "--once"], 0)
    }

    /// Returns what is in quarantine: the bytes of every file except the notes.
    pub fn quarantined(&self) -> Vec<Vec<u8>> {
        let folder = self.place.state().join("quarantine");
        let entries = std::fs::read_dir(folder).map_or_else(|_| Vec::new(), |e| e.flatten().collect());
        let paths = entries.iter().map(std::fs::DirEntry::path);
        paths.filter(|p| p.is_file()).map(|p| std::fs::read(p).unwrap()).collect()
    }

    /// Damages one byte of the record of this operation about a job, in the newest segment of the log.
    #[track_caller]
    pub fn flip_record(&self, operation: &str, job: &str) {
        let entries = std::fs::read_dir(self.dir().paths.queue_log()).unwrap().map(|e| e.unwrap().path());
        let segment = entries.filter(|p| p.extension().is_some_and(|e| e == "log")).max().unwrap();
        let mut content = std::fs::read(&segment).unwrap();
        let words = [format!("\"op\":\"{operation}\""), format!("\"job\":\"{job}\"")];
        let mut end = 0;
        let found = content.split_inclusive(|b| *b == b'\n').find(|line| {
            end += line.len();
            words.iter().all(|w| String::from_utf8_lossy(line).contains(w))
        });
        assert!(found.is_some(), "no record with {words:?}");
        content[end - 5] ^= 0x04;
        std::fs::write(&segment, &content).unwrap();
    }

    /// Kills all of a running job: its supervisor first, then the command and what that has started.
    #[track_caller]
    pub fn kill_all_of(&self, id: &str) {
        let command = self.command_of(id);
        kill(self.supervisor_of(id));
        let group = rustix::process::Pid::from_raw(i32::try_from(command.pid).unwrap()).unwrap();
        rustix::process::kill_process_group(group, Signal::KILL).unwrap();
        let mark = format!("RECOVERYCTL_WORKSPACE={}", self.job_file(id, "").display());
        let mark = mark.trim_end_matches('/');
        wait_for("a killed job to be gone", || {
            ProcessIdentity::of(command.pid) != Some(command) && marked_processes(&[mark], None).0.is_empty()
        });
    }

    /// The supervisor of a running job, as its sentinel names it.
    #[track_caller]
    pub fn supervisor_of(&self, id: &str) -> ProcessIdentity {
        process_in(&read_json(&self.job_file(id, "sentinel.json"))["supervisor"])
    }

    /// The command's process of a running job.
    #[track_caller]
    pub fn command_of(&self, id: &str) -> ProcessIdentity {
        process_in(&read_json(&self.job_file(id, "command.json"))["command"])
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        let root = self.place.state().into_os_string().into_encoded_bytes();
        let belongs = |pid: u32| {
            let names_it = |file: &str| {
                let bytes = std::fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default();
                bytes.windows(root.len()).any(|w| w == root)
            };
            pid != std::process::id() && (names_it("cmdline") || names_it("environ"))
        };
        // A supervisor that is killed leaves its command, so the loop runs until no process is left.
        for _ in 0..50 {
            let all = process_table();
            let left: Vec<_> = all.iter().map(|p| p.identity).filter(|p| belongs(p.pid)).collect();
            if left.is_empty() {
                return;
            }
            for process in left {
                let _ = signal_process(process, Signal::KILL);
            }
            std::thread::yield_now();
        }
    }
}

fn process_in(value: &Value) -> ProcessIdentity {
    serde_json::from_value(value.clone()).unwrap()
}

#[track_caller]
pub fn read_json(path: &Path) -> Value {
    let text = std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    serde_json::from_str(&text).unwrap_or_else(|e| panic!("{}: {e}: {text}", path.display()))
}

/// A daemon that this test started.
pub struct Daemon {
    pub child: Child,
}

impl Daemon {
    /// When it takes the jobs of this state directory.
    #[track_caller]
    pub fn ready_in(mut self, state: &Path) -> Daemon {
        let info = state.join("daemon/daemon.json");
        wait_for("the daemon to take jobs", || {
            assert!(self.child.try_wait().unwrap().is_none(), "the daemon has ended");
            let text = std::fs::read_to_string(&info).unwrap_or_default();
            let info = serde_json::from_str::<Value>(&text).unwrap_or_default();
            info["pid"] == self.child.id() && info["ready"] == true
        });
        self
    }

    /// Kills the daemon with SIGKILL, as a crash does.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Ends the daemon in order with SIGTERM; returns its exit status.
    #[allow(dead_code)] // Not every test that shares this scene ends a daemon in order.
    pub fn terminate(mut self) -> Option<i32> {
        rustix::process::kill_process(rustix::process::Pid::from_child(&self.child), Signal::TERM).unwrap();
        self.child.wait().unwrap().code()
    }

    /// Sends it a signal; it goes on.
    pub fn signal(&self, signal: Signal) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, signal).unwrap();
    }

    /// A signal to its whole process group; waits for its end.
    pub fn signal_group(mut self, signal: Signal) {
        let group = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process_group(group, signal).unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// What a recovery said.
#[derive(Debug)]
pub struct Recovered {
    pub status: i32,
    pub document: Value,
}

impl Recovered {
    /// The codes of all findings.
    pub fn codes(&self) -> Vec<String> {
        let mut codes = Vec::new();
        collect_codes(&self.document, &mut codes);
        codes
    }

    #[track_caller]
    pub fn names(&self, code: &str) -> &Recovered {
        assert!(self.codes().iter().any(|c| c == code), "{code} is missing: {:#}", self.document);
        self
    }

    /// What the phase `jobs` counted.
    pub fn reattachment(&self) -> &Value {
        &self.document["details"]["jobs"]
    }
}

fn collect_codes(value: &Value, codes: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            if let Some(found) = members.get("findings").and_then(Value::as_array) {
                codes.extend(found.iter().filter_map(|f| Some(f["code"].as_str()?.to_owned())));
            }
            members.values().for_each(|v| collect_codes(v, codes));
        }
        Value::Array(items) => items.iter().for_each(|v| collect_codes(v, codes)),
        _ => {}
    }
}

/// Kills a process and waits until it is gone.
#[track_caller]
pub fn kill(process: ProcessIdentity) {
    assert!(end_process(process, 20_000).unwrap(), "process {} does not go", process.pid);
}

/// Waits for a condition, with the patience of a test.
#[track_caller]
pub fn wait_for(what: &str, condition: impl FnMut() -> bool) {
    crate::common::until(what, condition);
}
