//! Reports on sentinels: what each says, and whether that is true.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::page::{BadCursor, Page, cut_counted};
use crate::durable::DiskError;
use crate::jobs::{
    Freshness, FreshnessLimits, JudgeContext, Judgement, Liveness, ProcessTable, Sentinel, jobs_with_files,
    judge,
};
use crate::queue::{Claim, Job, JobDocument, JobId, JobStatus, QueuePosition, QueueState};
use crate::state::{StateDir, Timestamp, Word};
use crate::system::Host;

/// One sentinel. What the file does not tell, because it is damaged, is `null`.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs)] // The members are the published form; see docs.
pub struct SentinelReport {
    pub job_id: String,
    /// Where the queue has the job; `null` when it knows none of that id.
    pub status: Option<JobStatus>,
    pub attempt: Option<u32>,
    pub claim: Option<Claim>,
    /// The command's process.
    pub pid: Option<u32>,
    /// In clock ticks since boot, as `/proc/PID/stat` has it.
    pub process_start_time: Option<u64>,
    pub supervisor_pid: Option<u32>,
    pub supervisor_start_time: Option<u64>,
    pub boot_id: Option<String>,
    pub host: Option<String>,
    pub repository: Option<String>,
    pub started_at: Option<Timestamp>,
    pub heartbeat_at: Option<Timestamp>,
    pub heartbeat_age_ms: Option<i64>,
    pub freshness: Option<Freshness>,
    pub lock_held: bool,
    pub liveness: Liveness,
    pub verdict: Word,
    pub evidence: Vec<String>,
    pub damaged: bool,
    pub path: String,
}

/// All sentinels: of known jobs as they entered the queue, then the others by name.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs)]
pub struct Sentinels {
    pub sentinels: Vec<SentinelReport>,
    pub total: u64,
    pub next_cursor: Option<String>,
}

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum SentinelsError {
    /// The jobs cannot be listed.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// The cursor is not valid.
    #[error(transparent)]
    Cursor(#[from] BadCursor),
}

impl Sentinels {
    /// Examines every sentinel of the page.
    pub(crate) fn new(
        dir: &StateDir,
        state: &QueueState,
        limits: FreshnessLimits,
        page: &Page,
    ) -> Result<Sentinels, SentinelsError> {
        let mut ids = with_sentinel(dir)?;
        ids.sort_by_cached_key(|id| {
            (state.get(id).map_or(QueuePosition { seq: u64::MAX, index: 0 }, |j| j.place), id.to_string())
        });
        let total = ids.len() as u64;
        let (part, next_cursor) = cut_counted(ids, page)?;
        let (host, table) = (Host::this(), ProcessTable::new());
        let look = JudgeContext { dir, host: &host, table: &table, limits };
        let sentinels = part.iter().map(|id| report(&look, state, id)).collect();
        Ok(Sentinels { sentinels, total, next_cursor })
    }
}

/// Returns the jobs that have a sentinel, or something in its place.
fn with_sentinel(dir: &StateDir) -> Result<Vec<JobId>, DiskError> {
    let mut ids = jobs_with_files(dir)?;
    let is_there = |path: PathBuf| path.symlink_metadata().is_ok();
    ids.retain(|id| dir.paths.job(&id.to_string()).is_ok_and(|paths| is_there(paths.sentinel())));
    Ok(ids)
}

fn report(look: &JudgeContext<'_>, state: &QueueState, id: &JobId) -> SentinelReport {
    let path = look.dir.paths.job(&id.to_string()).map(|paths| paths.sentinel());
    let said = path.as_ref().ok().and_then(|p| Sentinel::read(p).ok()?.whole().cloned());
    let judgement = judge(look, &attempt_of(state.get(id), id, said.as_ref()));
    of_judgement(
        &judgement,
        state.get(id).map(|job| job.status),
        path.map_or_else(|_| String::new(), |p| p.display().to_string()),
    )
}

/// Returns the attempt that the sentinel names, which need not be the job's present one.
fn attempt_of(job: Option<&Job>, id: &JobId, said: Option<&Sentinel>) -> Job {
    let mut job = job.cloned().unwrap_or_else(|| unknown_job(id, said));
    if let Some(said) = said.filter(|s| s.job_id == *id && job.run_state().adopted.is_none()) {
        job.attempt = said.attempt;
        job.run_state_mut().claim = Some(said.claim);
    }
    job
}

/// Makes a stand-in for a job that the queue does not know.
fn unknown_job(id: &JobId, said: Option<&Sentinel>) -> Job {
    Job::from(JobDocument {
        job_id: id.clone(),
        status: JobStatus::Running,
        attempt: said.map_or(1, |s| s.attempt),
        place: QueuePosition { seq: 0, index: 0 },
        priority: 0,
        repository: None,
        submitted_at: said.map_or_else(Timestamp::default, |s| s.started_at),
        not_before: None,
        run_state: None,
        spec: RawValue::NULL.to_owned(),
    })
}

fn of_judgement(judgement: &Judgement, status: Option<JobStatus>, path: String) -> SentinelReport {
    let said = judgement.sentinel.whole();
    let command = judgement.command.or_else(|| said?.command);
    SentinelReport {
        job_id: judgement.job_id.to_string(),
        status,
        attempt: said.map(|s| s.attempt),
        claim: said.map(|s| s.claim),
        pid: command.map(|c| c.pid),
        process_start_time: command.map(|c| c.start_time),
        supervisor_pid: said.map(|s| s.supervisor.pid),
        supervisor_start_time: said.map(|s| s.supervisor.start_time),
        boot_id: said.map(|s| s.host.boot_id.clone()),
        host: said.map(|s| s.host.host.clone()),
        repository: said.and_then(|s| s.repository.clone()),
        started_at: said.map(|s| s.started_at),
        heartbeat_at: judgement.heartbeat.map(|h| h.at),
        heartbeat_age_ms: judgement.heartbeat.map(|h| h.age_ms),
        freshness: judgement.freshness,
        lock_held: judgement.lock_held,
        liveness: judgement.liveness(),
        verdict: judgement.verdict.as_str().into(),
        evidence: judgement.evidence.iter().map(|e| e.detail.clone()).collect(),
        damaged: judgement.sentinel.is_damaged(),
        path,
    }
}
