//! A verdict about one attempt, with its evidence, and the input of a judgement.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::conditions::Condition;
use super::process_table::ProcessTable;
use super::sentinel::{Freshness, FreshnessLimits, Heartbeat, Sentinel};
use super::stored::Stored;
use super::verdict::{Liveness, Verdict};
use crate::queue::{Claim, Job, JobId};
use crate::state::{StateDir, Word};
use crate::system::{Host, ProcessIdentity};

/// One piece of evidence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Evidence {
    /// The kind: `lock`, `sentinel`, `heartbeat`, `supervisor`, `command`, `exit`, `host`, `processes`,
    /// `cgroup`, `output`, `verdict`.
    pub kind: Word,
    /// The observation.
    pub detail: String,
}

/// A verdict about an attempt, with its evidence.
#[derive(Debug, Clone)]
pub struct Judgement {
    pub job_id: JobId,
    pub attempt: u32,
    /// The claim that began it; `None` when the queue names none.
    pub claim: Option<Claim>,
    /// What became of it.
    pub verdict: Verdict,
    /// The evidence, in the order in which it was gathered.
    pub evidence: Vec<Evidence>,
    /// Whether a supervisor holds the lock.
    pub lock_held: bool,
    /// The sentinel as it was found, of whichever claim.
    pub sentinel: Stored<Sentinel>,
    /// The command's process, as far as it was recorded for this attempt.
    pub command: Option<ProcessIdentity>,
    /// The last heartbeat.
    pub heartbeat: Option<Heartbeat>,
    /// How old that is; `None` without one.
    pub freshness: Option<Freshness>,
    /// Problems of the attempt, while it lives.
    pub conditions: Vec<Condition>,
    /// Files of the attempt that cannot be understood and are to go to quarantine.
    pub damaged: Vec<&'static str>,
}

impl Judgement {
    /// Whether it lives.
    pub fn liveness(&self) -> Liveness {
        self.verdict.liveness()
    }
}

/// The input of a judgement.
#[derive(Debug)]
pub struct JudgeContext<'a> {
    /// The state directory.
    pub dir: &'a StateDir,
    /// This machine.
    pub host: &'a Host,
    /// All processes; scanned when the lock is free and the verdict needs them.
    pub table: &'a ProcessTable,
    /// The ages from which on a heartbeat is old.
    pub limits: FreshnessLimits,
}

/// A judgement without files.
pub(crate) fn blank(job: &Job, verdict: Verdict) -> Judgement {
    Judgement {
        job_id: job.id.clone(),
        attempt: job.attempt,
        claim: job.run_state().claim,
        verdict,
        evidence: Vec::new(),
        lock_held: false,
        sentinel: Stored::Missing,
        command: None,
        heartbeat: None,
        freshness: None,
        conditions: Vec::new(),
        damaged: Vec::new(),
    }
}
