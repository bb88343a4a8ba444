//! A state directory whose jobs are started under supervisors of this program.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use recovery::durable::Disk;
use recovery::jobs::{
    CommandRecord, ExitRecord, FreshnessLimits, JudgeContext, Judgement, Output, ProcessTable,
    RecoverSettings, judge, record,
};
use recovery::queue::{Actor, Claim, Job, JobSpec, JobStatus, Operation, Queue, Submission, append};
use recovery::state::{Clock, JobPaths, StateDir};
use recovery::system::{Host, ProcessIdentity};

pub(super) struct World {
    folder: tempfile::TempDir,
    pub(super) dir: StateDir,
    pub(super) queue: Queue,
}

impl World {
    pub(super) fn new() -> World {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("state");
        let dir = StateDir::open_or_create(&root, Disk::real(), Clock::system()).unwrap();
        let queue = Queue::open(&dir).unwrap();
        World { folder, dir, queue }
    }

    pub(super) fn submit(&self, id: &str, spec: JobSpec, repository: Option<&str>) {
        let repository = repository.map(str::to_owned);
        let submission = Submission { job: id.parse().unwrap(), priority: 0, repository, spec };
        append(&self.dir, &actor(), &[Operation::Submit(submission)]).unwrap();
    }

    /// Claims the next attempt as a scheduler does; the claim.
    pub(super) fn claim(&mut self, id: &str) -> Claim {
        let job = self.job(id);
        let claim = Operation::Claim { job: job.id, attempt: job.attempt, host: None };
        let claim = Claim::of_record(self.queue.transact(&actor(), |_| (vec![claim], ())).unwrap().0[0]);
        let job = self.job(id);
        record::write(&self.dir, &job).unwrap();
        claim
    }

    pub(super) fn start(&self, id: &str, claim: Claim) -> Supervisor {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.arg("supervise").arg(self.dir.paths.root()).arg(id).arg(claim.to_string());
        Supervisor(command.stdin(Stdio::null()).spawn().unwrap())
    }

    /// Submits, claims and starts a shell script.
    pub(super) fn begin(&mut self, id: &str, script: &str) -> Supervisor {
        self.submit(id, shell(script), None);
        let claim = self.claim(id);
        self.start(id, claim)
    }

    pub(super) fn job(&mut self, id: &str) -> Job {
        self.queue.refresh().unwrap();
        self.queue.state().get(&id.parse().unwrap()).unwrap().clone()
    }

    pub(super) fn status(&mut self, id: &str) -> JobStatus {
        self.job(id).status
    }

    pub(super) fn paths(&self, id: &str) -> JobPaths {
        self.dir.paths.job(id).unwrap()
    }

    pub(super) fn output(&mut self, id: &str) -> String {
        let job = self.job(id);
        Output::of(&self.dir, &job, None).unwrap().tail(10_000).unwrap()
    }

    pub(super) fn exit(&self, id: &str) -> ExitRecord {
        ExitRecord::read(&self.paths(id).exit()).unwrap().whole().unwrap().clone()
    }

    pub(super) fn judge(&mut self, id: &str) -> Judgement {
        let job = self.job(id);
        let (host, table) = (Host::this(), ProcessTable::new());
        judge(
            &JudgeContext { dir: &self.dir, host: &host, table: &table, limits: FreshnessLimits::default() },
            &job,
        )
    }

    pub(super) fn command(&self, id: &str) -> ProcessIdentity {
        let path = self.paths(id).command();
        wait_until("the command is recorded", || CommandRecord::read(&path).unwrap().whole().is_some());
        CommandRecord::read(&path).unwrap().whole().unwrap().command
    }

    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

/// A supervisor that is ended with the test, if it has not ended by itself.
pub(super) struct Supervisor(pub(super) Child);

impl Supervisor {
    pub(super) fn code(&mut self) -> i32 {
        self.0.wait().unwrap().code().unwrap()
    }

    pub(super) fn kill(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub(super) fn actor() -> Actor {
    Actor { by: "test".into(), why: None }
}

pub(super) fn settings() -> RecoverSettings {
    RecoverSettings { kill_grace: Duration::from_millis(300), ..RecoverSettings::new(actor()) }
}

pub(super) fn shell(script: &str) -> JobSpec {
    JobSpec { command: vec!["sh".into(), "-c".into(), script.into()], ..JobSpec::default() }
}

pub(super) fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < Duration::from_secs(20), "in vain waited until {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

pub(super) fn pid_in(path: &Path) -> ProcessIdentity {
    let read = || std::fs::read_to_string(path).unwrap_or_default();
    wait_until("a process wrote its PID", || read().ends_with('\n'));
    let pid = read().trim().parse().unwrap();
    ProcessIdentity::of(pid).unwrap_or(ProcessIdentity { pid, start_time: 0 })
}
