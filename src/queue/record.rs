//! The operations in the queue log, as they are written.
//!
//! One JSON object a record: `at`, `op`, `by`, then the operation's own members. `spec`, if present, is last,
//! so that replay can take it unparsed.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::claim::Claim;
use super::ended_by::EndedBy;
use super::job::JobDocument;
use super::spec::JobSpec;
use crate::audit::Actor;
use crate::state::{JobId, Timestamp};
use crate::system::Host;

/// A submission: the members that order the line, and the rest as `spec`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Submission {
    pub job: JobId,
    /// Higher goes first.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub priority: i32,
    /// The repository it works on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repository: Option<String>,
    /// What was asked for.
    pub spec: JobSpec,
}

fn is_zero(n: &i32) -> bool {
    *n == 0
}

/// How an attempt ended, from its end record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AttemptOutcome {
    /// The command ended by itself, with an exit status.
    Exited,
    /// A signal ended the command.
    Signaled,
    /// Its supervisor ended it because its time limit was reached.
    TimedOut,
    /// Its processes vanished without an exit record.
    Crashed,
    /// No supervisor could be started for it, as often as that is tried.
    NotStarted,
    /// Its processes were ended from outside without a recorded request: a shutdown, a logout, a signal sent
    /// by hand. It is followed by the crash policy, whatever the exit status.
    Interrupted,
}

/// The reason of a job whose last attempt was interrupted.
pub(crate) const INTERRUPTED: &str = "interrupted";

/// What follows a crash. It is decided when the crash is recorded, so that replay need not decide again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "then")]
pub enum AfterCrash {
    /// Stays crashed.
    Hold,
    /// Next attempt, not before this time.
    Requeue {
        /// The earliest time; the pause grows with each attempt.
        not_before: Timestamp,
    },
    /// Counts as failed.
    Fail,
}

/// The end of an attempt. The job's callbacks and its cleanup are derived from this one record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct End {
    pub job: JobId,
    pub attempt: u32,
    /// The claim that began it.
    pub claim: Claim,
    pub outcome: AttemptOutcome,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    /// The signal that ended it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signal: Option<i32>,
    /// When it ended, if that was not the time of the record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Timestamp>,
    /// More about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What follows a crash or an interruption.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after_crash: Option<AfterCrash>,
    /// When its command was started; when this is not known, the attempt counts from the claim.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Timestamp>,
    /// The cancel or signal that ended it from outside.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_by: Option<EndedBy>,
    /// Whether the command ended by itself, so that a cancel recorded by then came too late.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub by_itself: bool,
    /// The evidence that proved its end, when no supervisor saw it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub evidence: Vec<String>,
}

/// An operation on the queue.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Operation {
    /// A job enters the queue.
    Submit(Submission),
    /// Several enter together or not at all.
    SubmitBatch {
        /// In this order.
        jobs: Vec<Submission>,
    },
    /// An attempt begins; written before anything is started. The record's sequence number is the claim.
    Claim {
        job: JobId,
        attempt: u32,
        /// The boot in which it begins: after a power loss, files of an attempt that were never synced may be
        /// missing, and the claim of an earlier boot then does not say that nothing was started. `None` in logs
        /// that are older than this member, whose attempts synced their files.
        host: Option<Arc<Host>>,
    },
    /// An attempt, under way or ended, was found whose claim the log has lost.
    Found {
        job: JobId,
        attempt: u32,
        /// The lost claim.
        claim: Claim,
    },
    /// A claim is given back: nothing was started.
    Unclaim {
        job: JobId,
        claim: Claim,
        reason: String,
        /// The earliest time at which it may be claimed again.
        not_before: Option<Timestamp>,
        /// Whether its supervisor could not be started.
        failed_start: bool,
    },
    /// An attempt has ended.
    End(End),
    /// A cancel: a queued job is over, a running one is to be ended.
    Cancel { job: JobId },
    /// The next attempt of a job that is over.
    Resume {
        job: JobId,
        /// Whether it ignores its checkpoint.
        fresh: bool,
        /// The number of the next attempt. `None` in logs that are older than this member: then it is the number
        /// after the present one if the job was ever begun.
        attempt: Option<u32>,
    },
    /// A job enters with a state: adopted from another server, or reconstructed after its record was lost.
    Restore {
        document: Box<JobDocument>,
        /// Whether it keeps the document's position; otherwise this record's number is its position.
        keeps_place: bool,
    },
    /// A job's own record was lost or damaged and was written anew.
    Rebuilt { job: JobId, from: Vec<String> },
    /// Jobs that are over leave the queue for good.
    Remove { jobs: Vec<JobId> },
}

/// A whole record.
#[derive(Debug, Clone)]
pub struct Record {
    pub at: Timestamp,
    /// Who did it, and why.
    pub actor: Actor,
    pub operation: Operation,
}
