//! Reports the attempts of a job: how each ended, what it used, how much it printed.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::jobs::{ExitRecord, Output};
use crate::queue::{EndedAttempt, EndedBy, Job, JobStatus};
use crate::state::{StateDir, Timestamp};

/// An attempt, the present one included.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs)] // The members are the published form; see docs.
pub struct AttemptReport {
    pub attempt: u32,
    pub status: JobStatus,
    pub started_at: Option<Timestamp>,
    pub finished_at: Option<Timestamp>,
    pub duration_ms: Option<i64>,
    pub exit_code: Option<i32>,
    pub signal: Option<i32>,
    pub reason: Option<String>,
    /// What ended it from outside.
    #[serde(default)]
    pub ended_by: Option<EndedBy>,
    /// Where nobody saw it end: what proved it, as it was seen then.
    #[serde(default)]
    pub evidence: Vec<String>,
    /// As its exit file tells; an attempt without one (crashed, taken over) has none of these.
    pub cpu_ms: Option<u64>,
    pub cpu_user_ms: Option<u64>,
    pub cpu_system_ms: Option<u64>,
    pub memory_peak_bytes: Option<u64>,
    /// Processes that outlived the command and were ended.
    pub leftovers_ended: Option<u32>,
    /// What it printed; `null` when there is no file.
    pub output_bytes: Option<u64>,
    /// The file, which `jobs output ID --attempt N` prints.
    pub output: Option<String>,
}

impl AttemptReport {
    /// Returns all attempts of a job that have begun, the first one first.
    pub(crate) fn all(dir: &StateDir, job: &Job) -> Vec<AttemptReport> {
        let run = job.run_state();
        let mut all: Vec<AttemptReport> = run.attempts.iter().map(|a| ended(dir, job, a)).collect();
        if job.status == JobStatus::Running {
            all.push(AttemptReport {
                status: job.status,
                started_at: run.started_at,
                ..blank(dir, job, job.attempt)
            });
        }
        all
    }
}

fn ended(dir: &StateDir, job: &Job, attempt: &EndedAttempt) -> AttemptReport {
    let exit = exit_of(dir, job, attempt.attempt);
    let resources = exit.as_ref().and_then(|e| e.resources);
    AttemptReport {
        status: attempt.status,
        started_at: attempt.started_at,
        finished_at: Some(attempt.finished_at),
        duration_ms: ran_for(attempt.started_at, Some(attempt.finished_at)),
        exit_code: attempt.exit_code,
        signal: attempt.signal,
        reason: attempt.reason.clone(),
        ended_by: attempt.ended_by.clone(),
        evidence: attempt.evidence.clone(),
        cpu_ms: exit.as_ref().and_then(|e| e.cpu_ms),
        cpu_user_ms: resources.map(|r| r.cpu_user_ms),
        cpu_system_ms: resources.map(|r| r.cpu_system_ms),
        memory_peak_bytes: resources.and_then(|r| r.memory_peak_bytes),
        leftovers_ended: exit.as_ref().map(|e| e.leftovers_ended),
        ..blank(dir, job, attempt.attempt)
    }
}

fn blank(dir: &StateDir, job: &Job, attempt: u32) -> AttemptReport {
    let output = Output::of(dir, job, Some(attempt)).ok();
    let output_bytes = output.as_ref().and_then(|o| o.len().ok());
    AttemptReport {
        attempt,
        status: job.status,
        started_at: None,
        finished_at: None,
        duration_ms: None,
        exit_code: None,
        signal: None,
        reason: None,
        ended_by: None,
        evidence: Vec::new(),
        cpu_ms: None,
        cpu_user_ms: None,
        cpu_system_ms: None,
        memory_peak_bytes: None,
        leftovers_ended: None,
        output_bytes,
        output: output.filter(|_| output_bytes.is_some()).map(|o| o.path.display().to_string()),
    }
}

/// Returns the exit file of an attempt: it was moved when the next attempt began, or else is where it was
/// written.
fn exit_of(dir: &StateDir, job: &Job, attempt: u32) -> Option<ExitRecord> {
    let paths = dir.paths.job(&job.id.to_string()).ok()?;
    let moved = paths.attempt(attempt).join("exit.json");
    let read = |path: &std::path::Path| ExitRecord::read(path).ok()?.whole().cloned();
    let found = read(&moved).or_else(|| read(&paths.exit()));
    found.filter(|exit| exit.job_id == job.id && exit.attempt == attempt)
}

/// Returns how long an attempt ran, in milliseconds, by its times; `None` when a clock that was set back
/// meanwhile makes it end before it began.
pub fn ran_for(started: Option<Timestamp>, finished: Option<Timestamp>) -> Option<i64> {
    Some(finished?.millis_since(started?)).filter(|ran| *ran >= 0)
}
