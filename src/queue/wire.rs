//! Records as they are written: one flat JSON object, the same members in every operation.
//!
//! ```json
//! {"at":"2026-03-01T09:30:00.000Z","op":"submit","by":"uid:0 root submit","job":"0192…","repository":"web","spec":{…}}
//! {"at":"…","op":"claim","by":"daemon","job":"0192…","attempt":1,"host":{…}}
//! {"at":"…","op":"end","by":"supervisor","job":"0192…","attempt":1,"claim":7,"outcome":"exited","exit_code":0}
//! ```
//!
//! Replay parses a submission, the most common line, in a faster way: see `raw_submission`.

use std::borrow::Cow;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::claim::Claim;
use super::ended_by::EndedBy;
use super::job::JobDocument;
use super::record::{AfterCrash, AttemptOutcome, End, Operation, Record, Submission};
use crate::audit::Actor;
use crate::state::JobId;
use crate::state::Timestamp;
use crate::system::Host;

/// A line of the queue log.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Line<'a> {
    at: Timestamp,
    #[serde(borrow)]
    op: Cow<'a, str>,
    #[serde(borrow, default)]
    by: Cow<'a, str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    why: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    job: Option<JobId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    priority: Option<i32>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    repository: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    attempt: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    claim: Option<Claim>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    host: Option<Arc<Host>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    outcome: Option<AttemptOutcome>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    exit_code: Option<i32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    signal: Option<i32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ended_at: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    after_crash: Option<AfterCrash>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    started_at: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ended_by: Option<EndedBy>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    by_itself: bool,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    evidence: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    not_before: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    failed_start: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    fresh: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    jobs: Option<Vec<JobId>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    batch: Option<Vec<Submission>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    from: Option<Vec<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    keeps_place: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    document: Option<Box<JobDocument>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    spec: Option<Box<RawValue>>,
}

/// Why a line could not be understood.
#[derive(Debug, thiserror::Error)]
pub enum BadRecord {
    /// No JSON, or a member of the wrong kind.
    #[error("it is no record: {0}")]
    Json(#[from] serde_json::Error),
    /// A member that the operation needs is not there.
    #[error("'{op}' without '{member}'")]
    Missing {
        op: String,
        /// The missing member.
        member: &'static str,
    },
    /// Written by a later version.
    #[error("unknown operation '{0}'")]
    Unknown(String),
}

impl Record {
    /// The line of the log.
    pub fn to_line(&self) -> Result<Vec<u8>, serde_json::Error> {
        let mut line = Line {
            at: self.at,
            by: Cow::Borrowed(&self.actor.by),
            why: self.actor.why.clone(),
            ..Line::default()
        };
        match &self.operation {
            Operation::Submit(s) => {
                line.op = "submit".into();
                line.job = Some(s.job.clone());
                line.priority = (s.priority != 0).then_some(s.priority);
                line.repository = s.repository.as_deref().map(Cow::Borrowed);
                line.spec = Some(serde_json::value::to_raw_value(&s.spec)?);
            }
            Operation::SubmitBatch { jobs } => {
                line.op = "submit_batch".into();
                line.batch = Some(jobs.clone());
            }
            Operation::Claim { job, attempt, host } => {
                line.op = "claim".into();
                line.job = Some(job.clone());
                line.attempt = Some(*attempt);
                line.host.clone_from(host);
            }
            Operation::Found { job, attempt, claim } => {
                line.op = "found".into();
                line.job = Some(job.clone());
                line.attempt = Some(*attempt);
                line.claim = Some(*claim);
            }
            Operation::Unclaim { job, claim, reason, not_before, failed_start } => {
                line.op = "unclaim".into();
                line.job = Some(job.clone());
                line.claim = Some(*claim);
                line.reason = Some(reason.clone());
                line.not_before = *not_before;
                line.failed_start = failed_start.then_some(true);
            }
            Operation::End(end) => end_line(&mut line, end),
            Operation::Cancel { job } => {
                line.op = "cancel".into();
                line.job = Some(job.clone());
            }
            Operation::Resume { job, fresh, attempt } => {
                line.op = "resume".into();
                line.job = Some(job.clone());
                line.fresh = fresh.then_some(true);
                line.attempt = *attempt;
            }
            Operation::Restore { document, keeps_place } => {
                line.op = "restore".into();
                line.keeps_place = keeps_place.then_some(true);
                line.document = Some(document.clone());
            }
            Operation::Rebuilt { job, from } => {
                line.op = "rebuilt".into();
                line.job = Some(job.clone());
                line.from = Some(from.clone());
            }
            Operation::Remove { jobs } => {
                line.op = "remove".into();
                line.jobs = Some(jobs.clone());
            }
        }
        serde_json::to_vec(&line)
    }

    /// Parses a line of the log.
    ///
    /// # Errors
    /// [`BadRecord`] says what is wrong with it.
    pub fn from_line(payload: &[u8]) -> Result<Record, BadRecord> {
        let line: Line<'_> = serde_json::from_slice(payload)?;
        let actor = Actor { by: line.by.to_string(), why: line.why.clone() };
        Ok(Record { at: line.at, actor, operation: operation(line)? })
    }
}

fn end_line(line: &mut Line<'_>, end: &End) {
    line.op = "end".into();
    line.job = Some(end.job.clone());
    line.attempt = Some(end.attempt);
    line.claim = Some(end.claim);
    line.outcome = Some(end.outcome);
    line.exit_code = end.exit_code;
    line.signal = end.signal;
    line.ended_at = end.ended_at;
    line.reason.clone_from(&end.reason);
    line.after_crash = end.after_crash;
    line.started_at = end.started_at;
    line.ended_by.clone_from(&end.ended_by);
    line.by_itself = end.by_itself;
    line.evidence.clone_from(&end.evidence);
}

fn operation(line: Line<'_>) -> Result<Operation, BadRecord> {
    let op = line.op.into_owned();
    let missing = |member| BadRecord::Missing { op: op.clone(), member };
    let job = line.job.ok_or_else(|| missing("job"));
    Ok(match op.as_str() {
        "submit" => Operation::Submit(Submission {
            job: job?,
            priority: line.priority.unwrap_or(0),
            repository: line.repository.map(Cow::into_owned),
            spec: serde_json::from_str(line.spec.ok_or_else(|| missing("spec"))?.get())?,
        }),
        "submit_batch" => Operation::SubmitBatch { jobs: line.batch.ok_or_else(|| missing("batch"))? },
        "claim" => Operation::Claim {
            job: job?,
            attempt: line.attempt.ok_or_else(|| missing("attempt"))?,
            host: line.host,
        },
        "found" => Operation::Found {
            job: job?,
            attempt: line.attempt.ok_or_else(|| missing("attempt"))?,
            claim: line.claim.ok_or_else(|| missing("claim"))?,
        },
        "unclaim" => Operation::Unclaim {
            job: job?,
            claim: line.claim.ok_or_else(|| missing("claim"))?,
            reason: line.reason.unwrap_or_default(),
            not_before: line.not_before,
            failed_start: line.failed_start.unwrap_or(false),
        },
        "end" => Operation::End(End {
            job: job?,
            attempt: line.attempt.ok_or_else(|| missing("attempt"))?,
            claim: line.claim.ok_or_else(|| missing("claim"))?,
            outcome: line.outcome.ok_or_else(|| missing("outcome"))?,
            exit_code: line.exit_code,
            signal: line.signal,
            ended_at: line.ended_at,
            reason: line.reason,
            after_crash: line.after_crash,
            started_at: line.started_at,
            ended_by: line.ended_by,
            by_itself: line.by_itself,
            evidence: line.evidence,
        }),
        "cancel" => Operation::Cancel { job: job? },
        "resume" => {
            Operation::Resume { job: job?, fresh: line.fresh.unwrap_or(false), attempt: line.attempt }
        }
        "restore" => Operation::Restore {
            document: line.document.ok_or_else(|| missing("document"))?,
            keeps_place: line.keeps_place.unwrap_or(false),
        },
        "rebuilt" => Operation::Rebuilt { job: job?, from: line.from.unwrap_or_default() },
        "remove" => Operation::Remove { jobs: line.jobs.ok_or_else(|| missing("jobs"))? },
        _ => return Err(BadRecord::Unknown(op)),
    })
}

#[cfg(test)]
mod tests;
