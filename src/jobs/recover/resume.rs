//! Resuming: the next attempt of a job that is over, once no process of the last one lives.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::reconcile::{RecoverError, RecoverSettings};
use crate::jobs::evidence::judge;
use crate::jobs::judgement::{JudgeContext, Judgement};
use crate::jobs::process_table::ProcessTable;
use crate::jobs::trash_slots::is_in_trash;
use crate::jobs::verdict::{Liveness, Verdict};
use crate::queue::{Job, JobId, Operation, Queue};
use crate::state::{StateDir, Word};
use crate::system::Host;

/// How long a supervisor that has recorded the end may take to exit.
const LEAVING: Duration = Duration::from_secs(2);

/// A job that goes on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "ResumedJob")]
pub struct Resumed {
    /// Which job.
    pub job_id: JobId,
    /// The attempt that is next.
    pub attempt: u32,
    /// Whether it continues from a checkpoint.
    pub from_checkpoint: bool,
}

/// A job that does not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResumeRefused {
    pub job_id: JobId,
    /// `no-such-job`, `job-not-resumable`, `job-being-removed`, `job-command-unknown`, `job-still-alive` or
    /// `job-liveness-unknown`.
    pub code: Word,
    pub detail: String,
}

/// The result of a resume.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ResumeReport {
    /// Queued again.
    pub resumed: Vec<Resumed>,
    /// Left as they are.
    pub refused: Vec<ResumeRefused>,
}

/// Queues the next attempt of jobs that are crashed, failed, timed out or cancelled, from their checkpoint or,
/// with `fresh`, without it.
pub fn resume(
    dir: &StateDir,
    queue: &mut Queue,
    ids: &[JobId],
    fresh: bool,
    settings: &RecoverSettings,
) -> Result<ResumeReport, RecoverError> {
    queue.refresh()?;
    let alive = survivors(dir, queue, ids, settings);
    let (_, answers) = queue.transact(&settings.actor, |state| {
        let mut operations = Vec::new();
        let mut answer = |id: &JobId| {
            let attempt = check(dir, state.get(id), id, &alive)?.next_attempt();
            operations.push(Operation::Resume { job: id.clone(), fresh, attempt: Some(attempt) });
            Ok(id.clone())
        };
        let answers: Vec<Result<JobId, ResumeRefused>> = each_once(ids).map(&mut answer).collect();
        (operations, answers)
    })?;
    let mut report = ResumeReport::default();
    for answer in answers {
        match answer {
            Ok(id) => {
                let attempt = queue.state().get(&id).map_or(0, |job| job.attempt);
                report.resumed.push(resumed(dir, id, attempt, fresh));
            }
            Err(refused) => report.refused.push(refused),
        }
    }
    Ok(report)
}

/// The result that [`resume`] would have now; changes nothing.
pub(crate) fn would_resume(
    dir: &StateDir,
    queue: &mut Queue,
    ids: &[JobId],
    fresh: bool,
    settings: &RecoverSettings,
) -> Result<ResumeReport, RecoverError> {
    queue.refresh()?;
    let alive = survivors(dir, queue, ids, settings);
    let mut report = ResumeReport::default();
    for id in each_once(ids) {
        let job = queue.state().get(id);
        match check(dir, job, id, &alive) {
            Ok(job) => report.resumed.push(resumed(dir, id.clone(), job.next_attempt(), fresh)),
            Err(refused) => report.refused.push(refused),
        }
    }
    Ok(report)
}

fn each_once(ids: &[JobId]) -> impl Iterator<Item = &JobId> {
    let mut seen = std::collections::HashSet::new();
    ids.iter().filter(move |id| seen.insert(*id))
}

/// Why some of the jobs may not be resumed: one of their processes lives, or may live.
fn survivors(
    dir: &StateDir,
    queue: &Queue,
    ids: &[JobId],
    settings: &RecoverSettings,
) -> HashMap<JobId, ResumeRefused> {
    let (host, table) = (Host::this(), ProcessTable::new());
    let look = JudgeContext { dir, host: &host, table: &table, limits: settings.limits };
    let over = ids.iter().filter_map(|id| queue.state().get(id)).filter(|job| job.status.is_resumable());
    let judged = over.map(|job| (job.id.clone(), judge_when_left(&look, job)));
    judged.filter_map(|(id, judgement)| Some((id, refusal_of(&judgement)?))).collect()
}

/// Judges a job, after waiting for a supervisor that has recorded the end and is about to exit.
fn judge_when_left(look: &JudgeContext<'_>, job: &Job) -> Judgement {
    let begun = Instant::now();
    loop {
        let judgement = judge(look, job);
        if !judgement.lock_held || begun.elapsed() >= LEAVING {
            return judgement;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn refusal_of(judgement: &Judgement) -> Option<ResumeRefused> {
    let refused = |code, detail: String| {
        Some(ResumeRefused { job_id: judgement.job_id.clone(), code: Word::from(code), detail })
    };
    match (&judgement.verdict, judgement.liveness()) {
        (_, Liveness::Dead) => None,
        (Verdict::Unknown { why }, _) => refused("job-liveness-unknown", why.clone()),
        (Verdict::OrphanedProcess { processes }, _) => {
            let pids: Vec<String> = processes.iter().map(|p| p.pid.to_string()).collect();
            let which = if pids.is_empty() { "in its control group".to_owned() } else { pids.join(", ") };
            refused("job-still-alive", format!("processes of its last attempt live: {which}"))
        }
        _ => refused("job-still-alive", "its supervisor lives".to_owned()),
    }
}

fn check<'a>(
    dir: &StateDir,
    job: Option<&'a Job>,
    id: &JobId,
    alive: &HashMap<JobId, ResumeRefused>,
) -> Result<&'a Job, ResumeRefused> {
    let refused = |code, detail: &str| ResumeRefused {
        job_id: id.clone(),
        code: Word::from(code),
        detail: detail.to_owned(),
    };
    let Some(job) = job else { return Err(refused("no-such-job", "there is no such job")) };
    if !job.status.is_resumable() {
        return Err(refused("job-not-resumable", &format!("it {}", job.status.said())));
    }
    if is_in_trash(dir, job) {
        return Err(refused("job-being-removed", "its removal has begun; recoveryctl recover completes it"));
    }
    if job.spec().is_ok_and(|spec| spec.command.is_empty()) {
        let why = "what it ran was lost with its record; submit it again";
        return Err(refused("job-command-unknown", why));
    }
    alive.get(id).cloned().map_or(Ok(job), Err)
}

fn resumed(dir: &StateDir, id: JobId, attempt: u32, fresh: bool) -> Resumed {
    let checkpoint = dir.paths.job(&id.to_string()).is_ok_and(|paths| paths.has_checkpoint());
    Resumed { job_id: id, attempt, from_checkpoint: checkpoint && !fresh && attempt > 1 }
}
