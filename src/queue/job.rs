//! One job as the queue knows it, and its one written form.
//!
//! [`JobDocument`] is a line of a snapshot, the body of a `restore` record and the file `jobs/<id>.job.json`:
//! three uses, one shape. In memory a queued job, the common case, is small ([`Job`]); members of started
//! jobs are in a box of their own.

use std::path::PathBuf;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use strum::VariantArray;

use super::claim::Claim;
use super::ended_by::EndedBy;
use super::spec::JobSpec;
use crate::state::JobId;
use crate::state::Timestamp;
use crate::system::Host;

/// How far clocks are corrected in normal operation, in milliseconds: a pause that seems too long by no more than
/// this neither ends early nor is reported.
const CLOCK_TOLERANCE_MS: i64 = 5_000;

/// Where a job stands.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema, VariantArray,
)]
#[serde(rename_all = "snake_case")]
pub enum JobStatus {
    /// Waits for its turn, its time (`not_before`) or its repository.
    Queued,
    /// An attempt was begun and has not ended as far as is known.
    Running,
    /// Ended with exit status 0.
    Succeeded,
    /// Ended with another exit status, or by a signal.
    Failed,
    /// Ended because its time was over.
    TimedOut,
    /// Its process vanished without an exit record, or its server crashed before it could start.
    Crashed,
    /// Ended on request.
    Cancelled,
}

impl JobStatus {
    /// Those that an attempt ends with.
    pub const OVER: &[JobStatus] = &[
        JobStatus::Succeeded,
        JobStatus::Failed,
        JobStatus::TimedOut,
        JobStatus::Crashed,
        JobStatus::Cancelled,
    ];

    /// All of them, in the order in which reports list them.
    pub const ALL: &[JobStatus] = <JobStatus as VariantArray>::VARIANTS;

    /// The phrase after "it" in a sentence about the job: `has already succeeded`.
    pub const fn said(self) -> &'static str {
        match self {
            JobStatus::Queued => "is waiting",
            JobStatus::Running => "is running",
            JobStatus::Succeeded => "has already succeeded",
            JobStatus::Failed => "has already failed",
            JobStatus::TimedOut => "has already timed out",
            JobStatus::Crashed => "has already crashed",
            JobStatus::Cancelled => "has already been cancelled",
        }
    }

    pub const fn as_str(self) -> &'static str {
        match self {
            JobStatus::Queued => "queued",
            JobStatus::Running => "running",
            JobStatus::Succeeded => "succeeded",
            JobStatus::Failed => "failed",
            JobStatus::TimedOut => "timed_out",
            JobStatus::Crashed => "crashed",
            JobStatus::Cancelled => "cancelled",
        }
    }

    /// Whether no attempt is under way or waiting.
    pub const fn is_over(self) -> bool {
        !matches!(self, JobStatus::Queued | JobStatus::Running)
    }

    /// Whether `resume` may start the next attempt.
    pub const fn is_resumable(self) -> bool {
        matches!(self, JobStatus::Crashed | JobStatus::Failed | JobStatus::TimedOut | JobStatus::Cancelled)
    }
}

impl std::fmt::Display for JobStatus {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}

/// The position in the line: by the submission's sequence number and the index in that record, within a
/// priority. A job keeps it over all attempts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct QueuePosition {
    /// Sequence number of the submission.
    pub seq: u64,
    /// Place in that record.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub index: u32,
}

fn is_zero(n: &u32) -> bool {
    *n == 0
}

/// A change of status, with its time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "JobTransition")]
pub struct Transition {
    /// When.
    pub at: Timestamp,
    /// To what.
    pub status: JobStatus,
    /// In which attempt.
    pub attempt: u32,
    /// Why, if there is more to say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Who asked for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
}

/// An attempt that has ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndedAttempt {
    /// The number of the attempt, from 1.
    pub attempt: u32,
    /// How it ended.
    pub status: JobStatus,
    /// When it was begun.
    pub started_at: Option<Timestamp>,
    /// When it ended, as far as is known.
    pub finished_at: Timestamp,
    pub exit_code: Option<i32>,
    /// The signal that ended it.
    pub signal: Option<i32>,
    /// More about the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The cancel or signal that ended it from outside.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_by: Option<EndedBy>,
    /// The evidence that proved its end, when no supervisor saw it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub evidence: Vec<String>,
}

/// A job that was running in another server when it was adopted: no supervisor of this server watches it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Adopted {
    /// Its process.
    pub pid: u32,
    /// When that process started, in clock ticks since boot.
    pub start_time: u64,
    /// The id of the boot in which it runs.
    pub boot_id: String,
    /// When that boot's kernel started, in seconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub booted_at: Option<u64>,
    /// The file to which it writes its output, and at the end a line `Exit code: N`.
    pub output: PathBuf,
}

/// State of jobs that were started, ended or adopted from another server.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct RunState {
    /// When the present, or last, attempt was begun.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Timestamp>,
    /// When the job was over.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Timestamp>,
    /// Exit status of the last attempt that had one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    /// The signal that ended it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signal: Option<i32>,
    /// Why it has its present status.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Sequence number of the claim that began the present attempt; an end must name it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub claim: Option<Claim>,
    /// The boot in which the last attempt was claimed; see [`super::Operation::Claim`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub claimed_on: Option<Arc<Host>>,
    /// How many starts in a row have failed because no supervisor could be started for it.
    #[serde(skip_serializing_if = "is_zero")]
    pub failed_starts: u32,
    /// Whether an operator asked for its end while it ran.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub cancel_requested: bool,
    /// The operator's request, and its time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cancel: Option<EndedBy>,
    /// The cancel or signal that ended the last attempt from outside.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended_by: Option<EndedBy>,
    /// Whether the next attempt ignores the checkpoint.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub fresh: bool,
    /// The sources from which a lost record was reconstructed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reconstructed: Option<Vec<String>>,
    /// The kind of server that it was imported from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// The path of its output, when another server wrote it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output: Option<PathBuf>,
    /// Its process, when that runs without a supervisor of this server.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub adopted: Option<Adopted>,
    /// Every change of status after the submission.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub history: Vec<Transition>,
    /// The attempts that have ended.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub attempts: Vec<EndedAttempt>,
}

/// A job in memory.
#[derive(Debug, Clone)]
pub struct Job {
    pub id: JobId,
    /// Its position in the line.
    pub place: QueuePosition,
    /// A job with a higher priority goes first.
    pub priority: i32,
    /// The attempt that is next (queued), under way, or was last; the first is 1.
    pub attempt: u32,
    /// Where it stands.
    pub status: JobStatus,
    /// The repository it works on.
    pub repository: Option<Arc<str>>,
    /// When it was submitted.
    pub submitted_at: Timestamp,
    /// The earliest time at which it may be started.
    pub not_before: Option<Timestamp>,
    /// Present once the job was started or has ended.
    pub run_state: Option<Box<RunState>>,
    /// The submission's spec as JSON; see [`Job::spec`].
    pub(crate) raw_spec: Box<str>,
}

impl Job {
    /// A job that waits for its first attempt.
    pub(crate) fn new(id: JobId, place: QueuePosition, submitted_at: Timestamp, spec: &JobSpec) -> Job {
        let raw_spec = serde_json::to_string(spec).unwrap_or_default();
        Job::queued(id, place, submitted_at, raw_spec.into())
    }

    pub(super) fn queued(
        id: JobId,
        place: QueuePosition,
        submitted_at: Timestamp,
        raw_spec: Box<str>,
    ) -> Job {
        Job {
            id,
            place,
            priority: 0,
            attempt: 1,
            status: JobStatus::Queued,
            repository: None,
            submitted_at,
            not_before: None,
            run_state: None,
            raw_spec,
        }
    }

    /// The submission's spec.
    ///
    /// # Errors
    /// When it cannot be parsed: a later version wrote it.
    pub fn spec(&self) -> Result<JobSpec, serde_json::Error> {
        serde_json::from_str(&self.raw_spec)
    }

    /// The attempt that a resume would begin: the present one if it was not begun.
    pub fn next_attempt(&self) -> u32 {
        let run = self.run_state();
        // A job that was adopted from another server has begun and has no attempts. A job whose supervisor could
        // not be started has an attempt that was not begun.
        let is_present = run.attempts.last().is_none_or(|last| last.attempt >= self.attempt);
        let begun = run.started_at.is_some() && is_present;
        self.attempt.saturating_add(u32::from(begun))
    }

    /// The end of its pause; `None` when it may start. A pause lasts no longer than it was meant to: if more than
    /// that is left, the clock was ahead when the pause began, and the pause is over.
    pub fn pauses_until(&self, now: Timestamp) -> Option<Timestamp> {
        self.not_before.filter(|until| *until > now && self.clock_was_ahead(now).is_none())
    }

    /// How much longer than it was meant to the pause would last, in milliseconds, because the clock has been set
    /// back since; `None` when it is not longer, or by no more than [`CLOCK_TOLERANCE_MS`].
    pub(crate) fn clock_was_ahead(&self, now: Timestamp) -> Option<i64> {
        let until = self.not_before.filter(|_| self.status == JobStatus::Queued)?;
        // The time of the change and the end of the pause were taken from the same clock.
        let length = until.millis_since(self.run_state().history.last()?.at).max(0);
        let excess = until.millis_since(now) - length;
        (excess > CLOCK_TOLERANCE_MS).then_some(excess)
    }

    /// Whether a queued job is in the line for its repository. A job that pauses after a crash or a failed start
    /// lets others go first; a job that was sent back only because its repository was not free keeps its turn.
    pub fn keeps_its_turn(&self, now: Timestamp) -> bool {
        let run = self.run_state();
        let was_sent_back = run.started_at.is_none() && run.failed_starts == 0;
        was_sent_back || self.pauses_until(now).is_none()
    }

    /// The run state, empty for a job that has none yet.
    pub fn run_state(&self) -> &RunState {
        static NONE: RunState = RunState {
            started_at: None,
            finished_at: None,
            exit_code: None,
            signal: None,
            reason: None,
            claim: None,
            claimed_on: None,
            failed_starts: 0,
            cancel_requested: false,
            cancel: None,
            ended_by: None,
            fresh: false,
            reconstructed: None,
            source: None,
            output: None,
            adopted: None,
            history: Vec::new(),
            attempts: Vec::new(),
        };
        self.run_state.as_deref().unwrap_or(&NONE)
    }

    pub(crate) fn run_state_mut(&mut self) -> &mut RunState {
        self.run_state.get_or_insert_with(Box::default)
    }

    /// Its written form.
    pub fn to_document(&self) -> JobDocument {
        JobDocument {
            job_id: self.id.clone(),
            status: self.status,
            attempt: self.attempt,
            place: self.place,
            priority: self.priority,
            repository: self.repository.clone(),
            submitted_at: self.submitted_at,
            not_before: self.not_before,
            run_state: self.run_state.clone(),
            // The text was JSON when the record's checksum was made.
            spec: RawValue::from_string(self.raw_spec.to_string())
                .unwrap_or_else(|_| RawValue::NULL.to_owned()),
        }
    }
}

/// The written form of a job. `spec` is last, so that readers of a million lines can take it unparsed.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct JobDocument {
    pub job_id: JobId,
    /// Where it stands.
    pub status: JobStatus,
    /// The present attempt.
    pub attempt: u32,
    /// Its position in the line.
    pub place: QueuePosition,
    /// A job with a higher priority goes first.
    #[serde(default)]
    pub priority: i32,
    /// The repository it works on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repository: Option<Arc<str>>,
    /// When it was submitted.
    pub submitted_at: Timestamp,
    /// The earliest time at which it may be started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_before: Option<Timestamp>,
    /// Present once the job was started or has ended.
    #[serde(rename = "course", default, skip_serializing_if = "Option::is_none")]
    pub run_state: Option<Box<RunState>>,
    /// The submission's spec.
    pub spec: Box<RawValue>,
}

impl From<JobDocument> for Job {
    fn from(d: JobDocument) -> Job {
        Job {
            id: d.job_id,
            place: d.place,
            priority: d.priority,
            attempt: d.attempt,
            status: d.status,
            repository: d.repository,
            submitted_at: d.submitted_at,
            not_before: d.not_before,
            run_state: d.run_state,
            raw_spec: d.spec.into(),
        }
    }
}
