//! Verdicts about jobs, row by row of the decision table, on state directories as a crash, a reboot or
//! another machine leaves them, with real processes; and what is recorded about each.
#![allow(clippy::disallowed_methods, clippy::unwrap_used)]

mod adopted;
mod elsewhere;
mod gone;
mod held;
mod living;
mod recorded;

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, SystemTime};

use recovery::durable::{Disk, FileLock};
use recovery::jobs::{
    ExitRecord, FreshnessLimits, JudgeContext, Judgement, ProcessTable, Reconciled, RecoverSettings,
    Sentinel, Verdict, judge, marks, reattach,
};
use recovery::queue::{Actor, AttemptOutcome, Job, JobId, JobSpec, Operation, Queue, Submission, append};
use recovery::state::{Clock, JobPaths, StateDir, Timestamp};
use recovery::system::{Host, ProcessIdentity};

pub(super) const NOW: i64 = 1_900_000_000_000;

pub(super) struct World {
    _folder: tempfile::TempDir,
    pub(super) dir: StateDir,
    pub(super) clock: Clock,
    pub(super) queue: Queue,
}

impl World {
    pub(super) fn new() -> World {
        let folder = tempfile::tempdir().unwrap();
        let clock = Clock::fixed(Timestamp::from_millis(NOW));
        let dir =
            StateDir::open_or_create(&folder.path().join("state"), Disk::real(), clock.clone()).unwrap();
        let queue = Queue::open(&dir).unwrap();
        World { _folder: folder, dir, clock, queue }
    }

    pub(super) fn submit(&mut self, id: &str, spec: JobSpec) {
        let submission = Submission { job: id.parse().unwrap(), priority: 0, repository: None, spec };
        append(&self.dir, &actor(), &[Operation::Submit(submission)]).unwrap();
    }

    /// A job that was claimed and not heard of since.
    pub(super) fn claimed(&mut self, id: &str) -> Job {
        self.claimed_with(id, JobSpec { command: vec!["true".into()], ..JobSpec::default() })
    }

    pub(super) fn claimed_with(&mut self, id: &str, spec: JobSpec) -> Job {
        self.submit(id, spec);
        self.claim(id)
    }

    pub(super) fn claim(&mut self, id: &str) -> Job {
        let job: JobId = id.parse().unwrap();
        self.queue.refresh().unwrap();
        let attempt = self.queue.state().get(&job).unwrap().attempt;
        self.queue
            .transact(&actor(), |_| (vec![Operation::Claim { job: job.clone(), attempt, host: None }], ()))
            .unwrap();
        self.job(id)
    }

    pub(super) fn job(&self, id: &str) -> Job {
        self.queue.state().get(&id.parse().unwrap()).unwrap().clone()
    }

    pub(super) fn paths(&self, job: &Job) -> JobPaths {
        let paths = self.dir.paths.job(&job.id.to_string()).unwrap();
        self.dir.disk.ensure_dir(&paths.workspace).unwrap();
        self.dir.disk.ensure_dir(&paths.attempts).unwrap();
        paths
    }

    /// A sentinel as this process would have written it, changed by `change`, with a fresh heartbeat.
    pub(super) fn sentinel(&self, job: &Job, change: impl FnOnce(&mut Sentinel)) -> JobPaths {
        let paths = self.paths(job);
        let claim = job.run_state().claim.unwrap();
        let mut sentinel = Sentinel::of_this_process(job, claim, vec!["true".into()], None, self.clock.now());
        sentinel.supervisor = gone();
        change(&mut sentinel);
        sentinel.write(&self.dir.disk, &paths.sentinel()).unwrap();
        self.heartbeat(&paths, 0);
        paths
    }

    pub(super) fn heartbeat(&self, paths: &JobPaths, age_ms: i64) {
        let at = u64::try_from(NOW - age_ms).unwrap();
        let file = std::fs::File::options().write(true).open(paths.sentinel()).unwrap();
        file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_millis(at)).unwrap();
    }

    pub(super) fn lock(&self, job: &Job) -> FileLock {
        FileLock::try_acquire(&self.dir.disk, &self.paths(job).sentinel_lock()).unwrap()
    }

    pub(super) fn judge(&self, job: &Job) -> Judgement {
        let (host, table) = (Host::this(), ProcessTable::new());
        judge(
            &JudgeContext { dir: &self.dir, host: &host, table: &table, limits: FreshnessLimits::default() },
            job,
        )
    }

    pub(super) fn reattach(&mut self) -> Vec<Reconciled> {
        reattach(&self.dir, &mut self.queue, &settings(), &mut |_, _| true).unwrap().jobs
    }

    pub(super) fn exit(&self, job: &Job, exit_code: i32, tree_empty: bool) -> ExitRecord {
        ExitRecord {
            version: 1,
            job_id: job.id.clone(),
            attempt: job.attempt,
            claim: job.run_state().claim.unwrap(),
            outcome: AttemptOutcome::Exited,
            exit_code: Some(exit_code),
            signal: None,
            reason: None,
            ended_by: None,
            by_itself: false,
            started_at: Timestamp::from_millis(NOW - 2_000),
            finished_at: Timestamp::from_millis(NOW - 1_000),
            tree_empty,
            leftovers_ended: 0,
            cpu_ms: None,
            state: None,
            resources: None,
        }
    }
}

pub(super) fn actor() -> Actor {
    Actor { by: "test".into(), why: None }
}

pub(super) fn settings() -> RecoverSettings {
    RecoverSettings { kill_grace: Duration::from_secs(5), ..RecoverSettings::new(actor()) }
}

/// An identity that no process has any more.
pub(super) fn gone() -> ProcessIdentity {
    let mut child = Command::new("true").spawn().unwrap();
    let identity = ProcessIdentity::of(child.id());
    child.wait().unwrap();
    identity.unwrap_or(ProcessIdentity { pid: u32::MAX / 4, start_time: 1 })
}

/// A process that is ended with the test.
pub(super) struct Living(pub(super) Child);

impl Living {
    pub(super) fn start(command: &mut Command) -> Living {
        Living(command.stdin(Stdio::null()).stdout(Stdio::null()).spawn().unwrap())
    }

    pub(super) fn marked(job: &Job, root: &Path) -> Living {
        let mut command = Command::new("sleep");
        command.arg("60").env(marks::JOB_ID, job.id.to_string()).env(marks::STATE_DIR, root);
        Living::start(&mut command)
    }

    pub(super) fn unmarked() -> Living {
        Living::start(Command::new("sleep").arg("60"))
    }

    pub(super) fn identity(&self) -> ProcessIdentity {
        ProcessIdentity::of(self.0.id()).unwrap()
    }
}

impl Drop for Living {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub(super) fn is_orphan_of(verdict: &Verdict, process: ProcessIdentity) -> bool {
    matches!(verdict, Verdict::OrphanedProcess { processes } if processes.contains(&process))
}

pub(super) fn said(judgement: &Judgement, words: &str) -> bool {
    judgement.evidence.iter().any(|e| e.detail.contains(words))
}
