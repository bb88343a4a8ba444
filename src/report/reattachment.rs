//! Reports on running jobs, and on what the last recovery did with those that it found running.

use std::collections::{BTreeSet, HashMap};

use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::page::{BadCursor, Page, cut};
use crate::findings::Finding;
use crate::jobs::findings::of_look;
use crate::jobs::{
    Freshness, FreshnessLimits, JudgeContext, Judgement, Liveness, ProcessTable, Reattachment, ReconciledJob,
    judge,
};
use crate::queue::{Job, JobId, JobStatus, QueueState};
use crate::recovery::RecoveryRecord;
use crate::state::Word;
use crate::state::{StateDir, Timestamp};
use crate::system::{Host, ProcessIdentity, Usage, usage_of};

/// Running jobs, and those that the last recovery judged.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs)] // The members are the published form; see docs.
pub struct JobsStatus {
    pub reattachment: LastReattachment,
    pub jobs: Vec<JobStanding>,
    /// What is the matter with the jobs of this page.
    pub findings: Vec<Finding>,
    pub total: u64,
    pub next_cursor: Option<String>,
}

/// What the last recovery found; zeros and no id when there was none, or it did not get so far.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs)]
pub struct LastReattachment {
    pub recovery_id: Option<String>,
    pub at: Option<Timestamp>,
    #[serde(flatten)]
    pub counts: Reattachment,
}

/// How one job stands.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs)]
pub struct JobStanding {
    pub job_id: String,
    pub status: JobStatus,
    pub attempt: u32,
    pub liveness: Liveness,
    pub verdict: Word,
    pub freshness: Option<Freshness>,
    pub heartbeat_at: Option<Timestamp>,
    pub heartbeat_age_ms: Option<i64>,
    /// Of the command, unless it is dead.
    pub pid: Option<u32>,
    pub supervisor_pid: Option<u32>,
    pub repository: Option<String>,
    pub started_at: Option<Timestamp>,
    /// Whether the present attempt was alive when the last recovery judged it.
    pub reattached: bool,
    /// What the last recovery made of the job: `reattached`, `finished_while_away`, `crashed`,
    /// `given_back`, `unknown`; `null` when it was not running then.
    pub recovered: Option<String>,
    /// Of the command's process while it lives.
    pub memory_bytes: Option<u64>,
    pub cpu_ms: Option<u64>,
}

impl LastReattachment {
    fn of(last: Option<&RecoveryRecord>) -> LastReattachment {
        let Some((record, counts)) = last.and_then(|l| Some((l, detail::<Reattachment>(l, "jobs")?))) else {
            return LastReattachment::default();
        };
        LastReattachment {
            recovery_id: Some(record.snapshot.recovery_id.to_string()),
            at: record.snapshot.ended_at,
            counts,
        }
    }
}

fn detail<T: DeserializeOwned>(record: &RecoveryRecord, name: &str) -> Option<T> {
    serde_json::from_value(record.details.get(name)?.clone()).ok()
}

impl JobsStatus {
    /// Judges the jobs of the page.
    pub(crate) fn new(
        dir: &StateDir,
        state: &QueueState,
        last: Option<&RecoveryRecord>,
        limits: FreshnessLimits,
        page: &Page,
    ) -> Result<JobsStatus, BadCursor> {
        let reconciled: Vec<ReconciledJob> = last.and_then(|l| detail(l, "jobs_settled")).unwrap_or_default();
        let reconciled: HashMap<&JobId, &ReconciledJob> = reconciled.iter().map(|s| (&s.job_id, s)).collect();
        let running: BTreeSet<&JobId> = state.running().map(|job| &job.id).collect();
        let ids =
            running.iter().copied().chain(reconciled.keys().copied().filter(|id| !running.contains(id)));
        let mut jobs: Vec<&Job> = ids.filter_map(|id| state.get(id)).collect();
        jobs.sort_by_key(|job| job.place);
        let total = jobs.len() as u64;
        let (part, next_cursor) = cut(jobs, page, |job| job.place)?;
        let (host, table) = (Host::this(), ProcessTable::new());
        let look = JudgeContext { dir, host: &host, table: &table, limits };
        let judged: Vec<(&Job, Judgement)> = part.into_iter().map(|job| (job, judge(&look, job))).collect();
        let usage = usage_of(&judged.iter().filter_map(|(_, j)| living_command(j)).collect::<Vec<_>>());
        let jobs = judged
            .iter()
            .map(|(job, judgement)| {
                let usage = living_command(judgement).and_then(|command| usage.get(&command.pid));
                standing(job, judgement, reconciled.get(&job.id).copied(), usage)
            })
            .collect();
        let running = judged.iter().filter(|(job, _)| job.status == JobStatus::Running);
        let findings = running.flat_map(|(_, judgement)| of_look(judgement)).collect();
        Ok(JobsStatus { reattachment: LastReattachment::of(last), jobs, findings, total, next_cursor })
    }
}

fn living_command(judgement: &Judgement) -> Option<ProcessIdentity> {
    judgement.command.filter(|_| judgement.liveness() == Liveness::Alive)
}

fn standing(
    job: &Job,
    judgement: &Judgement,
    reconciled: Option<&ReconciledJob>,
    usage: Option<&Usage>,
) -> JobStanding {
    let supervisor = judgement.sentinel.whole().filter(|s| s.attempt == job.attempt).map(|s| s.supervisor);
    let is_dead = judgement.liveness() == Liveness::Dead;
    JobStanding {
        job_id: job.id.to_string(),
        status: job.status,
        attempt: job.attempt,
        liveness: judgement.liveness(),
        verdict: judgement.verdict.as_str().into(),
        freshness: judgement.freshness,
        heartbeat_at: judgement.heartbeat.map(|h| h.at),
        heartbeat_age_ms: judgement.heartbeat.map(|h| h.age_ms),
        pid: judgement.command.filter(|_| !is_dead).map(|c| c.pid),
        supervisor_pid: supervisor.filter(|_| !is_dead).map(|s| s.pid),
        repository: job.repository.as_deref().map(str::to_owned),
        started_at: job.run_state().started_at,
        reattached: reconciled.is_some_and(|s| s.outcome == "reattached" && s.attempt == job.attempt),
        recovered: reconciled.map(|s| s.outcome.clone()),
        memory_bytes: usage.map(|u| u.memory_bytes),
        cpu_ms: usage.map(|u| u.cpu_ms),
    }
}
