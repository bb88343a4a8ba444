//! Reconstructs jobs that neither the queue nor a record knows any more, from the files of their attempts.
//!
//! Removing a job begins with moving its folders away (`prune`), so a folder that has files of this server but no
//! job is one whose record was lost. A job with a trace of its claim comes back as running, and is then judged
//! like every running job. A job without such a trace comes back as crashed and on hold, once none of its
//! processes lives. Its command is known only from the sentinel; a job whose command is unknown is never started
//! again.

use std::path::Path;

use super::reconcile::RecoverSettings;
use crate::archive::{KeepRules, git_states};
use crate::durable::tree::shown;
use crate::durable::{DiskError, IoContext};
use crate::jobs::command_record::CommandRecord;
use crate::jobs::evidence::judge;
use crate::jobs::exit_record::ExitRecord;
use crate::jobs::judgement::JudgeContext;
use crate::jobs::process_table::ProcessTable;
use crate::jobs::sentinel::Sentinel;
use crate::jobs::stored::Stored;
use crate::jobs::verdict::Liveness;
use crate::queue::{
    AttemptOutcome, Claim, CrashPolicy, EndedAttempt, Job, JobDocument, JobId, JobSpec, JobStatus,
    QueuePosition, QueueState, RunState, Transition,
};
use crate::state::names::decode;
use crate::state::{JobPaths, StateDir, Timestamp};
use crate::system::Host;

/// What can be reconstructed from a folder without a job.
#[derive(Debug)]
#[allow(clippy::large_enum_variant)] // There are few, and they are short-lived.
pub(crate) enum ReconstructedJob {
    /// The job as far as it is known; `run_state.reconstructed` names the sources.
    Rebuilt(JobDocument),
    /// A process of it lives, and its attempt is unknown: try again later.
    Alive {
        job: JobId,
        /// The processes.
        detail: String,
    },
}

/// Reconstructs every job that has files and that `state` does not know.
pub(crate) fn reconstruct(
    dir: &StateDir,
    state: &QueueState,
    settings: &RecoverSettings,
) -> Result<Vec<ReconstructedJob>, DiskError> {
    let ids: Vec<JobId> = jobs_with_files(dir)?.into_iter().filter(|id| state.get(id).is_none()).collect();
    let table = ProcessTable::new();
    let look = JudgeContext { dir, host: &Host::this(), table: &table, limits: settings.limits };
    let mut found: Vec<ReconstructedJob> =
        ids.iter().filter_map(|id| of_workspace(&look, id, &settings.keep)).collect();
    // In the order in which they were begun, which is all that is left of their order in the line.
    found.sort_by_key(|r| match r {
        ReconstructedJob::Rebuilt(document) => document.submitted_at,
        ReconstructedJob::Alive { .. } => Timestamp::default(),
    });
    Ok(found)
}

/// The jobs that have a workspace, or a folder for their attempts, whatever the queue says of them; in order.
pub(crate) fn jobs_with_files(dir: &StateDir) -> Result<Vec<JobId>, DiskError> {
    let mut ids: Vec<JobId> = Vec::new();
    for folder in [dir.paths.jobs(), dir.paths.attempts()] {
        let entries = match std::fs::read_dir(&folder) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => continue,
            entries => entries.context("list", &folder)?,
        };
        let folders = entries.flatten().filter(|e| e.file_type().is_ok_and(|t| t.is_dir()));
        ids.extend(folders.filter_map(|e| decode(e.file_name().to_str()?)?.parse::<JobId>().ok()));
    }
    ids.sort();
    ids.dedup();
    Ok(ids)
}

/// The files of one job. A file that may not be read counts as damaged.
struct Files {
    sentinel: Stored<Sentinel>,
    command: Stored<CommandRecord>,
    exit: Stored<ExitRecord>,
    /// The exit records of earlier attempts.
    earlier: Vec<ExitRecord>,
    from: Vec<String>,
}

fn of_workspace(look: &JudgeContext<'_>, id: &JobId, rules: &KeepRules) -> Option<ReconstructedJob> {
    let paths = look.dir.paths.job(&id.to_string()).ok()?;
    let files = Files::read(look.dir, &paths, id, rules);
    if files.from.is_empty() {
        return None;
    }
    let document = files.document(&paths, id, look.dir.clock.now());
    if document.status == JobStatus::Running {
        return Some(ReconstructedJob::Rebuilt(document));
    }
    let judgement = judge(look, &Job::from(document.clone()));
    if judgement.liveness() == Liveness::Alive {
        let seen = judgement.evidence.into_iter().filter(|e| matches!(&*e.kind, "lock" | "processes"));
        let detail = seen.map(|e| e.detail).collect::<Vec<_>>().join("; ");
        return Some(ReconstructedJob::Alive { job: id.clone(), detail });
    }
    Some(ReconstructedJob::Rebuilt(document))
}

impl Files {
    fn read(dir: &StateDir, paths: &JobPaths, id: &JobId, rules: &KeepRules) -> Files {
        let mut from = Vec::new();
        let sentinel = of_job(Sentinel::read(&paths.sentinel()), id, |s| &s.job_id);
        let command = of_job(CommandRecord::read(&paths.command()), id, |c| &c.job_id);
        let exit = of_job(ExitRecord::read(&paths.exit()), id, |e| &e.job_id);
        note(&mut from, "sentinel", &sentinel);
        note(&mut from, "command record", &command);
        note(&mut from, "exit file", &exit);
        for (file, name) in [(paths.output(), "output"), (paths.checkpoint(), "checkpoint")] {
            if std::fs::symlink_metadata(&file).is_ok_and(|m| m.is_file()) {
                from.push(name.to_owned());
            }
        }
        let earlier = earlier_ends(paths, id);
        if !earlier.is_empty() {
            from.push("exit files of earlier attempts".to_owned());
        }
        for (inside, state) in git_states(dir, &paths.workspace, rules) {
            let is_top = inside.as_os_str().is_empty();
            let name = if is_top { String::new() } else { format!(" {}", shown(&inside)) };
            let state = state.map_or_else(|why| why, |state| state.to_string());
            from.push(format!("git repository{name}: {state}"));
        }
        Files { sentinel, command, exit, earlier, from }
    }

    /// The latest attempt that any file names, with its claim.
    fn claimed(&self) -> Option<(u32, Claim)> {
        let sentinel = self.sentinel.whole().map(|s| (s.attempt, s.claim));
        let command = self.command.whole().map(|c| (c.attempt, c.claim));
        let exit = self.exit.whole().map(|e| (e.attempt, e.claim));
        [sentinel, command, exit].into_iter().flatten().max()
    }

    fn started_at(&self) -> Option<Timestamp> {
        self.sentinel.whole().map(|s| s.started_at).or_else(|| Some(self.exit.whole()?.started_at))
    }

    fn document(self, paths: &JobPaths, id: &JobId, now: Timestamp) -> JobDocument {
        let claimed = self.claimed();
        let last_ended = self.earlier.iter().map(|e| e.attempt).max().unwrap_or(0);
        let attempt = claimed.map_or(last_ended + 1, |(attempt, _)| attempt);
        let started_at = self.started_at();
        let first = self.earlier.first().map(|e| e.started_at).or(started_at);
        let submitted_at = first.or_else(|| oldest_file(&paths.workspace)).unwrap_or(now);
        let attempts: Vec<EndedAttempt> = self.earlier.iter().map(attempt_of).collect();
        let sentinel = self.sentinel.whole();
        let spec = JobSpec {
            command: sentinel.map(|s| s.command_line.clone()).unwrap_or_default(),
            on_crash: CrashPolicy::Hold,
            ..JobSpec::default()
        };
        let mut job = Job::new(id.clone(), QueuePosition { seq: 0, index: 0 }, submitted_at, &spec);
        job.attempt = attempt;
        job.repository = sentinel.and_then(|s| s.repository.as_deref()).map(Into::into);
        job.run_state = Some(Box::new(RunState {
            started_at: started_at.or(Some(submitted_at)),
            claim: claimed.map(|(_, claim)| claim),
            reconstructed: Some(self.from.clone()),
            attempts,
            ..RunState::default()
        }));
        job.status = JobStatus::Running;
        if claimed.is_none() {
            crash(&mut job, now);
        }
        job.to_document()
    }
}

/// Makes a job crashed whose claim is unknown, so that its end can never be recorded.
fn crash(job: &mut Job, now: Timestamp) {
    let (attempt, status) = (job.attempt, JobStatus::Crashed);
    let reason = Some("its record was lost, and nothing tells how it ended".to_owned());
    let run = job.run_state.get_or_insert_with(Box::default);
    run.finished_at = Some(now);
    run.reason.clone_from(&reason);
    run.attempts.push(EndedAttempt {
        attempt,
        status,
        started_at: run.started_at,
        finished_at: now,
        exit_code: None,
        signal: None,
        reason: reason.clone(),
        ended_by: None,
        evidence: Vec::new(),
    });
    run.history.push(Transition { at: now, status, attempt, reason, by: None });
    job.status = status;
}

fn of_job<T>(read: Result<Stored<T>, DiskError>, id: &JobId, job_of: fn(&T) -> &JobId) -> Stored<T> {
    match read {
        Ok(Stored::Whole(document)) if job_of(&document) != id => {
            Stored::Damaged { reason: "it is of another job".to_owned() }
        }
        Ok(stored) => stored,
        Err(e) => Stored::Damaged { reason: format!("{e}: {}", e.source) },
    }
}

fn note<T>(from: &mut Vec<String>, name: &str, stored: &Stored<T>) {
    match stored {
        Stored::Whole(_) => from.push(name.to_owned()),
        Stored::Damaged { .. } => from.push(format!("{name} (damaged)")),
        Stored::Missing => {}
    }
}

/// The exit records of the attempts before the present one, the first one first.
fn earlier_ends(paths: &JobPaths, id: &JobId) -> Vec<ExitRecord> {
    let read = |at: &Path| ExitRecord::read(&at.join("exit.json")).ok()?.whole().cloned();
    let mut ends: Vec<ExitRecord> = paths.earlier_attempts().iter().filter_map(|at| read(at)).collect();
    ends.retain(|e| e.job_id == *id);
    ends.sort_by_key(|e| e.attempt);
    ends
}

fn attempt_of(end: &ExitRecord) -> EndedAttempt {
    let status = match end.outcome {
        AttemptOutcome::Exited if end.exit_code == Some(0) => JobStatus::Succeeded,
        AttemptOutcome::Exited | AttemptOutcome::Signaled => JobStatus::Failed,
        AttemptOutcome::TimedOut => JobStatus::TimedOut,
        AttemptOutcome::Crashed | AttemptOutcome::NotStarted | AttemptOutcome::Interrupted => {
            JobStatus::Crashed
        }
    };
    EndedAttempt {
        attempt: end.attempt,
        status,
        started_at: Some(end.started_at),
        finished_at: end.finished_at,
        exit_code: end.exit_code,
        signal: end.signal,
        reason: end.reason.clone(),
        ended_by: end.ended_by.clone(),
        evidence: Vec::new(),
    }
}

fn oldest_file(workspace: &Path) -> Option<Timestamp> {
    let entries = std::fs::read_dir(workspace).ok()?.flatten();
    entries.filter_map(|e| e.metadata().ok()?.modified().ok()).min().map(Timestamp::from)
}
