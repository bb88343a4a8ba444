//! Reports about jobs: the list and one job.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::attempts::AttemptReport;
use super::page::{BadCursor, Page, cut};
use super::waiting::waiting_for;
use crate::jobs::findings::{ConditionReport, conditions_of};
use crate::jobs::{FreshnessLimits, JudgeContext, ProcessTable, judge};
use crate::queue::{Callback, CrashPolicy, EndedBy, Job, JobSpec, JobStatus, QueueState, Transition};
use crate::state::Word;
use crate::state::{StateDir, Timestamp};
use crate::system::Host;

/// A line of the list.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs)] // The members are the published form; see docs.
pub struct JobSummary {
    pub job_id: String,
    pub status: JobStatus,
    pub attempt: u32,
    pub repository: Option<String>,
    pub priority: i32,
    pub position: Option<u64>,
    pub waiting_for: Option<String>,
    pub not_before: Option<Timestamp>,
    pub submitted_at: Timestamp,
    pub started_at: Option<Timestamp>,
    pub finished_at: Option<Timestamp>,
    pub exit_code: Option<i32>,
    pub signal: Option<i32>,
    pub reason: Option<String>,
    pub title: Option<String>,
}

/// A list of jobs.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs)]
pub struct JobList {
    pub jobs: Vec<JobSummary>,
    pub total: u64,
    pub next_cursor: Option<String>,
}

/// Selects jobs.
#[derive(Debug, Clone, Default)]
pub(crate) struct JobFilter {
    /// Only jobs with this status.
    pub status: Option<JobStatus>,
    /// Only jobs on this repository.
    pub repository: Option<String>,
}

impl JobList {
    /// Returns the jobs; those that entered last come first.
    pub(crate) fn new(
        state: &QueueState,
        held: &BTreeSet<String>,
        filter: &JobFilter,
        page: &Page,
    ) -> Result<JobList, BadCursor> {
        let wanted: Vec<&Job> = state
            .jobs()
            .filter(|j| filter.status.is_none_or(|s| j.status == s))
            .filter(|j| filter.repository.as_deref().is_none_or(|r| j.repository.as_deref() == Some(r)))
            .collect();
        let total = wanted.len() as u64;
        let (part, next_cursor) = cut(wanted, &page.newest_first(), |j| j.place)?;
        let positions = state.positions(part.iter().copied());
        let numbered =
            |j: &Job| JobSummary { position: positions.get(&j.id).copied(), ..summary(state, held, j) };
        Ok(JobList { jobs: part.into_iter().map(numbered).collect(), total, next_cursor })
    }
}

/// Returns a summary of a job for one line.
pub(crate) fn summary(state: &QueueState, held: &BTreeSet<String>, job: &Job) -> JobSummary {
    let run = job.run_state();
    let queued = job.status == JobStatus::Queued;
    // An attempt that has not begun has nothing to report yet; the previous one is among the attempts.
    let has_begun = job.status == JobStatus::Running
        || !queued && run.attempts.last().is_none_or(|last| last.attempt == job.attempt);
    let (started_at, finished_at) = (run.started_at.filter(|_| has_begun), run.finished_at);
    let (exit_code, signal) = (run.exit_code.filter(|_| has_begun), run.signal.filter(|_| has_begun));
    JobSummary {
        job_id: job.id.to_string(),
        status: job.status,
        attempt: job.attempt,
        repository: job.repository.as_deref().map(str::to_owned),
        priority: job.priority,
        position: None,
        waiting_for: if queued { waiting_for(state, held, job) } else { None },
        not_before: job.not_before,
        submitted_at: job.submitted_at,
        started_at,
        finished_at: finished_at.filter(|_| !queued),
        exit_code,
        signal,
        reason: run.reason.clone(),
        title: job.spec().ok().and_then(|s| s.title),
    }
}

/// Everything about one job.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs)]
pub struct JobDetail {
    #[serde(flatten)]
    pub summary: JobSummary,
    pub command: Vec<String>,
    pub resume_command: Option<Vec<String>>,
    /// Names only: values may be secrets.
    pub env: BTreeMap<String, Word>,
    pub cwd: Option<String>,
    pub timeout_ms: Option<u64>,
    pub on_crash: CrashPolicy,
    pub max_attempts: u32,
    pub auto_cleanup: bool,
    pub resumable: bool,
    pub cancel_requested: bool,
    /// Who asked for its end, and when.
    #[serde(default)]
    pub cancel: Option<EndedBy>,
    /// What ended the last attempt from outside: who cancelled it, or what interrupted it.
    #[serde(default)]
    pub ended_by: Option<EndedBy>,
    /// What is not as it should be, while it runs.
    #[serde(default)]
    pub conditions: Vec<ConditionReport>,
    pub history: Vec<Transition>,
    pub attempts: Vec<AttemptReport>,
    pub reconstructed: Option<Vec<String>>,
    pub source: Option<String>,
    #[schemars(with = "Option<super::locks::InspectedLock>")]
    pub lock: Value,
    pub callbacks: Vec<Callback>,
    pub checkpoint: Option<CheckpointFile>,
    pub workspace: String,
}

/// The file in which a job saves its progress.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs)]
pub struct CheckpointFile {
    pub path: String,
    pub bytes: u64,
    pub modified_at: Timestamp,
}

impl CheckpointFile {
    /// Returns the job's checkpoint file, if it has one.
    pub(crate) fn of(dir: &StateDir, job: &Job) -> Option<CheckpointFile> {
        let path = dir.paths.job(&job.id.to_string()).ok()?.checkpoint();
        let metadata = path.symlink_metadata().ok().filter(std::fs::Metadata::is_file)?;
        let modified_at = metadata.modified().ok()?.into();
        Some(CheckpointFile { path: path.display().to_string(), bytes: metadata.len(), modified_at })
    }
}

impl JobDetail {
    /// Reports on one job; `lock` is what is known of its repository's lock while the job has it, else
    /// `null`.
    pub(crate) fn new(
        dir: &StateDir,
        state: &QueueState,
        held: &BTreeSet<String>,
        job: &Job,
        lock: Value,
    ) -> JobDetail {
        let spec: JobSpec = job.spec().unwrap_or_default();
        let run = job.run_state();
        let mut summary = summary(state, held, job);
        summary.position = state.positions(std::iter::once(job)).get(&job.id).copied();
        JobDetail {
            summary,
            resume_command: spec.resume_command,
            env: spec.env.into_keys().map(|name| (name, "***".into())).collect(),
            cwd: spec.cwd.map(|c| c.display().to_string()),
            timeout_ms: spec.timeout_ms,
            on_crash: spec.on_crash,
            max_attempts: spec.max_attempts,
            auto_cleanup: spec.auto_cleanup,
            resumable: job.status.is_resumable(),
            cancel_requested: run.cancel_requested,
            cancel: run.cancel.clone(),
            ended_by: run.ended_by.clone(),
            conditions: conditions(dir, job),
            history: history(job),
            attempts: AttemptReport::all(dir, job),
            reconstructed: run.reconstructed.clone(),
            source: run.source.clone(),
            lock,
            callbacks: spec.callbacks.iter().map(Callback::masked).collect(),
            checkpoint: CheckpointFile::of(dir, job),
            workspace: dir
                .paths
                .job(&job.id.to_string())
                .map_or_else(|_| String::new(), |p| p.workspace.display().to_string()),
            command: spec.command,
        }
    }
}

fn conditions(dir: &StateDir, job: &Job) -> Vec<ConditionReport> {
    if job.status != JobStatus::Running {
        return Vec::new();
    }
    let (host, table) = (Host::this(), ProcessTable::new());
    conditions_of(&judge(
        &JudgeContext { dir, host: &host, table: &table, limits: FreshnessLimits::default() },
        job,
    ))
}

/// Returns every change of status, the submission first.
fn history(job: &Job) -> Vec<Transition> {
    let entered =
        Transition { at: job.submitted_at, status: JobStatus::Queued, attempt: 1, reason: None, by: None };
    std::iter::once(entered).chain(job.run_state().history.iter().cloned()).collect()
}
