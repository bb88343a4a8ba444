//! Removes jobs, a batch at a time.

use std::collections::HashSet;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::retention::{JobRetention, ended_at};
use super::trash::{TrashEmptied, delete_slots, slots, slots_without_job};
use crate::durable::{DiskError, FileLock};
use crate::in_use::{InUse, JobsAtWork};
use crate::jobs::trash_slots::slot_names;
use crate::jobs::{
    JudgeContext, Liveness, ProcessTable, RecoverSettings, Verdict, judge, judge_locked, lock_job,
};
use crate::queue::{Job, JobId, JobStatus, Operation, Queue, QueueError, QueueState};
use crate::state::names::BadName;
use crate::state::{StateDir, Timestamp, Word};
use crate::system::Host;

/// How many jobs one transaction removes: each keeps a lock, and no process can append during the
/// transaction.
const AT_ONCE: usize = 64;

/// The code of a job whose workspace is in use.
const IN_USE: &str = "job-in-use";

/// Whether something still refers to a job: a code and the reason in words.
type StillNeeded<'a> = dyn Fn(&Job) -> Option<(&'static str, String)> + 'a;

/// A job that is gone, or would go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Pruned {
    pub job_id: String,
    /// How it had ended.
    pub status: JobStatus,
    pub finished_at: Timestamp,
}

/// A job that is old enough to go and stays.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct KeptJob {
    pub job_id: String,
    /// `job-resumable`, `job-still-alive`, `job-liveness-unknown`, `job-in-use`, `job-not-movable`, or the
    /// caller's code for something that still refers to it.
    pub code: Word,
    pub detail: String,
}

/// The result of a prune.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct PruneReport {
    /// The jobs that are gone.
    pub removed: Vec<Pruned>,
    /// Those that stay although they are old enough.
    pub kept: Vec<KeptJob>,
    /// The deletion of what they, and earlier ones, had left.
    #[serde(flatten)]
    pub trash: TrashEmptied,
}

/// Why a prune could not go on. Earlier removals stand.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PruneError {
    /// The queue could not be read or changed.
    #[error(transparent)]
    Queue(#[from] QueueError),
    /// The system's error.
    #[error(transparent)]
    Disk(#[from] DiskError),
}

/// Removes every job that no rule keeps and nothing refers to, and deletes its files.
///
/// # Errors
/// See [`PruneError`]; the next prune goes on.
pub fn prune(
    dir: &StateDir,
    queue: &mut Queue,
    retention: &JobRetention,
    needed: &StillNeeded<'_>,
    settings: &RecoverSettings,
) -> Result<PruneReport, PruneError> {
    let mut report = PruneReport::default();
    finish_removals(dir, queue, settings)?;
    let outlived = retention.outlived(queue.state(), dir.clock.now());
    for some in outlived.chunks(AT_ONCE) {
        prune_some(dir, queue, some, retention, needed, settings, &mut report)?;
    }
    let listed = slots(dir)?;
    queue.refresh()?;
    report.trash = delete_slots(dir, &slots_without_job(listed, queue.state()), &settings.keep)?;
    Ok(report)
}

/// Returns the jobs that [`prune`] would remove and keep now. Changes nothing.
pub fn would_prune(
    dir: &StateDir,
    queue: &Queue,
    retention: &JobRetention,
    needed: &StillNeeded<'_>,
    settings: &RecoverSettings,
) -> PruneReport {
    let outlived = retention.outlived(queue.state(), dir.clock.now());
    let jobs = outlived.iter().filter_map(|id| queue.state().get(id));
    would_prune_these(dir, jobs, JobsAtWork::of(dir, queue.state()), retention, needed, settings)
}

/// Does the same for some jobs, with the jobs of the whole queue that are to work somewhere.
pub(crate) fn would_prune_these<'a>(
    dir: &StateDir,
    jobs: impl Iterator<Item = &'a Job>,
    at_work: JobsAtWork,
    retention: &JobRetention,
    needed: &StillNeeded<'_>,
    settings: &RecoverSettings,
) -> PruneReport {
    let (host, table) = (Host::this(), ProcessTable::new());
    let look = JudgeContext { dir, host: &host, table: &table, limits: settings.limits };
    let in_use = InUse::with_jobs(dir, at_work);
    let mut report = PruneReport::default();
    for job in jobs {
        match check(&look, &in_use, job, retention, needed) {
            Ok(()) => report.removed.push(pruned(job)),
            Err(kept) => report.kept.push(kept),
        }
    }
    report
}

/// Completes removals that were cut short: jobs whose workspace is in the trash leave the queue.
pub(crate) fn finish_removals(
    dir: &StateDir,
    queue: &mut Queue,
    settings: &RecoverSettings,
) -> Result<Vec<JobId>, PruneError> {
    // The trash is listed first: a process that removes a job now holds the append lock until the job is
    // gone.
    let begun: HashSet<String> =
        slots(dir)?.iter().filter_map(|slot| Some(slot.file_name()?.to_str()?.to_owned())).collect();
    queue.refresh()?;
    if begun.is_empty() {
        return Ok(Vec::new());
    }
    let (_, removed) = queue.transact(&settings.actor, |state| {
        let is_begun =
            |job: &&Job| job.status.is_over() && slot_names(job).iter().any(|name| begun.contains(name));
        let jobs: Vec<JobId> = state.jobs().filter(is_begun).map(|job| job.id.clone()).collect();
        match end_moves(dir, state, &jobs).and_then(|()| remove_records(dir, &jobs)) {
            Ok(()) => (removal(&jobs), Ok(jobs)),
            Err(e) => (Vec::new(), Err(e)),
        }
    })?;
    Ok(removed?)
}

/// Removes some jobs in one transaction.
pub(crate) fn prune_some(
    dir: &StateDir,
    queue: &mut Queue,
    ids: &[JobId],
    retention: &JobRetention,
    needed: &StillNeeded<'_>,
    settings: &RecoverSettings,
    report: &mut PruneReport,
) -> Result<(), PruneError> {
    let jobs: Vec<Job> = ids.iter().filter_map(|id| queue.state().get(id)).cloned().collect();
    let host = Host::this();
    let first_table = ProcessTable::new();
    let first = JudgeContext { dir, host: &host, table: &first_table, limits: settings.limits };
    let in_use = InUse::look(dir, queue.state());
    let mut leaving = Vec::new();
    for job in jobs {
        match check(&first, &in_use, &job, retention, needed).and_then(|()| lock_attempts(&first, &job)) {
            Ok(lock) => leaving.push((job, lock)),
            Err(kept) => report.kept.push(kept),
        }
    }
    if leaving.is_empty() {
        return Ok(());
    }
    // Before anything moves: syncing `jobs/` later would make the moves durable too, but not their targets.
    dir.disk.ensure_dir(&dir.paths.trash())?;
    // This is the second look, with the locks held and a new picture of all processes.
    let table = ProcessTable::new();
    let look = JudgeContext { dir, host: &host, table: &table, limits: settings.limits };
    let in_use = InUse::look(dir, queue.state()).looked();
    // Under the append lock no process can resume or claim one of these jobs while its folders move.
    let (_, result) = queue.transact(&settings.actor, |state| {
        let mut moved = Vec::new();
        // Jobs that were submitted since the look.
        let new = (!in_use.jobs().is_of(state)).then(|| JobsAtWork::of(dir, state));
        for (job, lock) in &leaving {
            // Another process has removed the job.
            let Some(now) = state.get(&job.id) else { continue };
            let is_unchanged = now.status == job.status && now.attempt == job.attempt;
            let checked = if is_unchanged {
                recheck(&look, job, lock.is_some())
                    .and_then(|()| check_unused(&in_use, new.as_ref(), dir, job))
                    .and_then(|()| move_away(dir, job))
            } else {
                Err(kept(job, "job-not-over", "it was changed since".to_owned()))
            };
            match checked {
                Ok(()) => moved.push(job.id.clone()),
                Err(kept) => report.kept.push(kept),
            }
        }
        // The order of the syncs matters: the folders are in the trash before the records go, and the records
        // go before the jobs do, because a record without a job brings the job back.
        match sync_moves(dir, &moved).and_then(|()| remove_records(dir, &moved)) {
            Ok(()) => (removal(&moved), Ok(moved)),
            // The next prune finds them in the trash and continues.
            Err(e) => (Vec::new(), Err(e)),
        }
    })?;
    let moved = result?;
    let gone = leaving.iter().filter(|(job, _)| moved.contains(&job.id));
    report.removed.extend(gone.map(|(job, _)| pruned(job)));
    Ok(())
}

fn pruned(job: &Job) -> Pruned {
    Pruned { job_id: job.id.to_string(), status: job.status, finished_at: ended_at(job) }
}

fn kept(job: &Job, code: &'static str, detail: String) -> KeptJob {
    KeptJob { job_id: job.id.to_string(), code: code.into(), detail }
}

fn removal(jobs: &[JobId]) -> Vec<Operation> {
    if jobs.is_empty() { Vec::new() } else { vec![Operation::Remove { jobs: jobs.to_vec() }] }
}

/// Checks whether a job may be removed. References to it are checked last: they do not matter for a job that
/// lives, or may be resumed.
fn check(
    look: &JudgeContext<'_>,
    in_use: &InUse,
    job: &Job,
    retention: &JobRetention,
    needed: &StillNeeded<'_>,
) -> Result<(), KeptJob> {
    retention.allows(job).map_err(|why| kept(job, "job-resumable", why.to_owned()))?;
    check_gone(look, job)?;
    check_unused(in_use, None, look.dir, job)?;
    needed(job).map_or(Ok(()), |(code, detail)| Err(kept(job, code, detail)))
}

fn check_gone(look: &JudgeContext<'_>, job: &Job) -> Result<(), KeptJob> {
    of_judgement(job, judge(look, job))
}

/// Checks that the job's workspace is not in use. `new` holds the jobs at work, when there are later ones
/// than `in_use` knows.
fn check_unused(in_use: &InUse, new: Option<&JobsAtWork>, dir: &StateDir, job: &Job) -> Result<(), KeptJob> {
    let Ok(paths) = dir.paths.job(&job.id.to_string()) else { return Ok(()) };
    let new = new.and_then(|jobs| jobs.in_folder(&paths.workspace, Some(&job.id)));
    match new.or_else(|| in_use.first(&paths.workspace, Some(&job.id))) {
        Some(used) => Err(kept(job, IN_USE, format!("its workspace is in use: {used}"))),
        None => Ok(()),
    }
}

/// Takes the lock of a job without living processes; returns none for a job that never had an attempt.
fn lock_attempts(look: &JudgeContext<'_>, job: &Job) -> Result<Option<FileLock>, KeptJob> {
    let has_attempts = look.dir.paths.job(&job.id.to_string()).is_ok_and(|paths| paths.attempts.exists());
    if !has_attempts {
        return Ok(None);
    }
    let locked = lock_job(look.dir, &job.id);
    locked.map(Some).map_err(|e| kept(job, "job-still-alive", e.to_string()))
}

fn recheck(look: &JudgeContext<'_>, job: &Job, is_locked: bool) -> Result<(), KeptJob> {
    let judgement = if is_locked { judge_locked(look, job) } else { judge(look, job) };
    of_judgement(job, judgement)
}

fn of_judgement(job: &Job, judgement: crate::jobs::Judgement) -> Result<(), KeptJob> {
    match (judgement.liveness(), judgement.verdict) {
        (Liveness::Dead, _) => Ok(()),
        (Liveness::Alive, _) => {
            Err(kept(job, "job-still-alive", "something of its last attempt lives".to_owned()))
        }
        (Liveness::Unknown, Verdict::Unknown { why }) => Err(kept(job, "job-liveness-unknown", why)),
        (Liveness::Unknown, _) => {
            Err(kept(job, "job-liveness-unknown", "it cannot be told whether it lives".to_owned()))
        }
    }
}

/// Renames the workspace and the folder of attempts into the trash, as far as they exist. The first rename
/// begins the job's removal.
fn move_away(dir: &StateDir, job: &Job) -> Result<(), KeptJob> {
    let refused = |why: String| kept(job, "job-not-movable", why);
    let told = |e: DiskError| refused(format!("{e}: {}", e.source));
    let [workspace, attempts] = folders_of(dir, job).map_err(|e| refused(e.to_string()))?;
    let trash = dir.paths.trash();
    let take = |(folder, slot): &(PathBuf, String)| match std::fs::symlink_metadata(folder) {
        Ok(_) => dir.disk.rename(folder, &trash.join(slot), false),
        Err(_) => Ok(()),
    };
    // The server's files go first: if the rest is refused, the job has lost nothing of its own. In layout 2
    // both are one folder, the workspace.
    if attempts.0 != workspace.0 {
        take(&attempts).map_err(told)?;
    }
    take(&workspace).map_err(told)
}

/// Returns the folders of a job, each with the name of its slot in the trash.
fn folders_of(dir: &StateDir, job: &Job) -> Result<[(PathBuf, String); 2], BadName> {
    let paths = dir.paths.job(&job.id.to_string())?;
    let [workspace, attempts] = slot_names(job);
    Ok([(paths.workspace, workspace), (paths.attempts, attempts)])
}

/// Completes moves: a power loss between the two syncs of a rename can leave both names on some file systems,
/// so the old one is moved too. No attempt can have begun since, because a job is not resumed while it is in
/// the trash.
fn end_moves(dir: &StateDir, state: &QueueState, jobs: &[JobId]) -> Result<(), DiskError> {
    for job in jobs.iter().filter_map(|id| state.get(id)) {
        for (folder, name) in folders_of(dir, job).into_iter().flatten() {
            if std::fs::symlink_metadata(&folder).is_err() {
                continue;
            }
            let others = (2..).map(|n| format!("{name}-{n}"));
            let free = std::iter::once(name.clone()).chain(others).map(|name| dir.paths.trash().join(name));
            let slot = free.into_iter().find(|slot| std::fs::symlink_metadata(slot).is_err());
            if let Some(slot) = slot {
                dir.disk.rename(&folder, &slot, false)?;
            }
        }
    }
    // Earlier moves are synced too: the process that made them may have been killed, or may have failed,
    // before they were synced.
    sync_moves(dir, jobs)
}

fn sync_moves(dir: &StateDir, moved: &[JobId]) -> Result<(), DiskError> {
    let trash = dir.paths.trash();
    if moved.is_empty() || !trash.exists() {
        return Ok(());
    }
    dir.disk.sync_dir(&trash)?;
    if dir.paths.attempts().exists() {
        dir.disk.sync_dir(&dir.paths.attempts())?;
    }
    dir.disk.sync_dir(&dir.paths.jobs())
}

/// Removes the record files before the jobs are removed: a record without a job brings the job back.
fn remove_records(dir: &StateDir, jobs: &[JobId]) -> Result<(), DiskError> {
    for id in jobs {
        let Ok(paths) = dir.paths.job(&id.to_string()) else { continue };
        match dir.disk.remove_file(&paths.record) {
            Err(e) if e.is_not_found() => {}
            other => other?,
        }
    }
    if jobs.is_empty() { Ok(()) } else { dir.disk.sync_dir(&dir.paths.jobs()) }
}
