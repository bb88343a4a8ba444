//! A state directory with many jobs, the process that holds those that run, and the daemon.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, SystemTime};

use recovery::durable::{Disk, FileLock};
use recovery::jobs::{CommandRecord, Sentinel};
use recovery::locks::{LockGrant, acquire_for_job};
use recovery::queue::{
    AttemptOutcome, Claim, End, Job, JobId, JobSpec, Operation, Queue, Submission, append,
};
use recovery::state::{Clock, StateDir};
use recovery::system::ProcessIdentity;
use serde_json::Value;
use tempfile::TempDir;

use crate::load::Wrk;
use crate::support::{in_role, library, workplace};

const JOBS: usize = 10_000;
const RUNNING: usize = 1_000;
const OVER: usize = 8_500;
/// So many of the running ones hold a repository; the queued ones wait for that of the first.
const HOLDING: usize = 200;
const BEAT_EVERY: Duration = Duration::from_secs(5);

pub struct Served {
    daemon: Child,
    holder: Child,
    place: TempDir,
    address: String,
    token: String,
}

fn id(n: usize) -> JobId {
    format!("job-{n:05}").parse().expect("an id")
}

fn repository(n: usize) -> Option<String> {
    match n {
        n if n < HOLDING => Some(format!("repository-{n}")),
        n if n < RUNNING + OVER => None,
        _ => Some("repository-0".to_owned()),
    }
}

/// Running, over and queued jobs in the log, with a snapshot.
fn fill(root: &Path) {
    let dir = StateDir::open_or_create(root, Disk::real(), Clock::system()).expect("a state directory");
    let spec = JobSpec { command: vec!["/bin/sleep".into(), "600".into()], ..JobSpec::default() };
    let submit = |n| {
        Operation::Submit(Submission {
            job: id(n),
            priority: 0,
            repository: repository(n),
            spec: spec.clone(),
        })
    };
    let all = |operations: Vec<Operation>| append(&dir, &library::actor(), &operations).expect("records");
    all((0..JOBS).map(submit).collect());
    let claims =
        all((0..RUNNING + OVER).map(|n| Operation::Claim { job: id(n), attempt: 1, host: None }).collect());
    let end = |n: usize| {
        Operation::End(End {
            job: id(n),
            attempt: 1,
            claim: Claim::of_record(claims[n]),
            outcome: AttemptOutcome::Exited,
            exit_code: Some(0),
            signal: None,
            ended_at: None,
            reason: None,
            after_crash: None,
            started_at: None,
            ended_by: None,
            evidence: Vec::new(),
            by_itself: false,
        })
    };
    all((RUNNING..RUNNING + OVER).map(end).collect());
    Queue::open(&dir).expect("a queue").checkpoint().expect("a checkpoint");
}

/// The role: holds the jobs that run, and their repositories, and beats for them, until its input ends.
pub fn hold(root: &str) {
    let dir = library::open_dir(Path::new(root));
    let queue = Queue::open(&dir).expect("a queue");
    let held: Vec<(FileLock, Option<LockGrant>)> =
        queue.state().running().map(|job| take(&dir, job)).collect();
    let sentinels: Vec<PathBuf> = queue.state().running().map(|job| sentinel(&dir, job)).collect();
    println!("{}", held.len());
    std::thread::spawn(move || {
        loop {
            let now = SystemTime::now();
            for path in &sentinels {
                let file = std::fs::File::options().append(true).open(path).expect("a sentinel");
                file.set_modified(now).expect("a beat");
            }
            std::thread::sleep(BEAT_EVERY);
        }
    });
    let _ = std::io::stdin().read(&mut [0]);
}

fn sentinel(dir: &StateDir, job: &Job) -> PathBuf {
    dir.paths.job(&job.id.to_string()).expect("paths").sentinel()
}

/// Writes what a supervisor and its command would have, and takes its locks.
fn take(dir: &StateDir, job: &Job) -> (FileLock, Option<LockGrant>) {
    let paths = dir.paths.job(&job.id.to_string()).expect("paths");
    std::fs::create_dir_all(&paths.workspace).expect("a workspace");
    let (own, claim) = (ProcessIdentity::this(), job.run_state().claim.expect("a claim"));
    let words = vec!["/bin/sleep".to_owned(), "600".to_owned()];
    let sentinel = Sentinel {
        interrupted: None,
        cannot_end: Vec::new(),
        command: Some(own),
        ..Sentinel::of_this_process(job, claim, words, None, dir.clock.now())
    };
    let record = CommandRecord { command: own, ..CommandRecord::of_this_process(job.id.clone(), 1, claim) };
    std::fs::write(paths.sentinel(), serde_json::to_vec(&sentinel).expect("json")).expect("a sentinel");
    std::fs::write(paths.command(), serde_json::to_vec(&record).expect("json")).expect("a record");
    let lock =
        FileLock::acquire(&dir.disk, &paths.sentinel_lock(), Duration::from_secs(1)).expect("the lock");
    let grant = job.repository.as_deref().map(|repository| {
        acquire_for_job(dir, repository, &job.id, 1, claim, Duration::from_secs(1)).expect("the repository")
    });
    (lock, grant)
}

impl Served {
    pub fn new(binary: &Path) -> Served {
        let place = workplace();
        let root = place.path().join("state");
        fill(&root);
        let mut holder = in_role("holder", &[root.to_str().expect("a path")]).spawn().expect("a holder");
        holder.stdout.as_mut().expect("its output").read_exact(&mut [0; 5]).expect("it is ready");
        let configuration = place.path().join("config.toml");
        std::fs::write(&configuration, "[daemon]\nlisten = \"127.0.0.1:0\"\n").expect("a configuration");
        let mut command = Command::new(binary);
        command.args(["daemon", "--workers", &(RUNNING + 4).to_string()]);
        command.env("RECOVERYCTL_STATE_DIR", &root).env("RECOVERYCTL_CONFIG", &configuration);
        let daemon = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let daemon = daemon.spawn().expect("a daemon");
        let info = root.join("daemon/daemon.json");
        let address = loop {
            let text = std::fs::read_to_string(&info).unwrap_or_default();
            let info = serde_json::from_str::<Value>(&text).unwrap_or_default();
            if info["ready"] == true {
                break info["address"].as_str().expect("an address").to_owned();
            }
            std::thread::sleep(Duration::from_millis(20));
        };
        let token = std::fs::read_to_string(root.join("daemon/admin.token")).expect("a token");
        Served { daemon, holder, place, address, token: token.trim().to_owned() }
    }

    pub fn pid(&self) -> u32 {
        self.daemon.id()
    }

    pub fn load(&self, path: &str, connections: u32) -> Wrk {
        let url = format!("http://{}{path}", self.address);
        Wrk { url, token: Some(self.token.clone()), connections, seconds: 5 }
    }

    pub fn connect(&self) -> TcpStream {
        TcpStream::connect(&self.address).expect("a connection")
    }

    pub fn head(&self, method: &str, path: &str, length: usize) -> String {
        let Served { address, token, .. } = self;
        format!(
            "{method} {path} HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {token}\r\n\
             Content-Length: {length}\r\nConnection: close\r\n\r\n"
        )
    }

    fn ask(&self, method: &str, path: &str, body: &str) -> Vec<u8> {
        let mut stream = self.connect();
        stream.write_all((self.head(method, path, body.len()) + body).as_bytes()).expect("a request");
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).expect("an answer");
        assert!(bytes.starts_with(b"HTTP/1.1 20"), "{}", String::from_utf8_lossy(&bytes));
        let end = bytes.windows(4).position(|w| w == b"\r\n\r\n").expect("a head") + 4;
        bytes.split_off(end)
    }

    pub fn get(&self, path: &str) -> Vec<u8> {
        self.ask("GET", path, "")
    }

    fn submit(&self, body: &str) -> String {
        let made: Value = serde_json::from_slice(&self.ask("POST", "/api/jobs", body)).expect("json");
        made["job_id"].as_str().expect("an id").to_owned()
    }

    /// Submits a job that waits with the others.
    pub fn submit_waiting(&self) -> String {
        self.submit(r#"{"command":["true"],"repository":"repository-0"}"#)
    }

    /// Runs a job to its end.
    pub fn run_a_job(&self) {
        let id = self.submit(r#"{"command":["true"]}"#);
        while self.job(&id)["status"] != "succeeded" {
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// A job that runs until it is cancelled.
    pub fn start_a_job(&self) -> String {
        let id = self.submit(r#"{"command":["sleep","600"]}"#);
        while self.job(&id)["status"] != "running" {
            std::thread::sleep(Duration::from_millis(2));
        }
        id
    }

    pub fn cancel(&self, id: &str) {
        self.ask("POST", &format!("/api/jobs/{id}/cancel"), "");
    }

    fn job(&self, id: &str) -> Value {
        serde_json::from_slice(&self.get(&format!("/api/jobs/{id}"))).expect("json")
    }

    /// Since when its supervisor has not beaten.
    pub fn heartbeat_age(&self, id: &str) -> Duration {
        let sentinel = self.place.path().join("state/attempts").join(id).join("sentinel.json");
        let beaten = std::fs::metadata(sentinel).and_then(|m| m.modified());
        beaten.ok().and_then(|at| at.elapsed().ok()).unwrap_or_default()
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        for child in [&mut self.daemon, &mut self.holder] {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
