//! Gathers the facts about one attempt, and puts each into words.

mod files;
mod inspection;
mod lock;

use std::fs::{File, Metadata};
use std::time::Duration;

use self::files::Files;
use self::inspection::Inspection;
use self::lock::state_of_lock;
use super::judgement::{Evidence, JudgeContext, Judgement, blank};
use super::verdict::{LockFact, Verdict};
use crate::durable::{FileLock, Taken};
use crate::queue::Job;
use crate::state::{DirectoryOrigin, JobPaths};
use crate::system::LocalDevice;

/// Judges the job's present attempt. Takes the lock for a moment at most, and changes nothing.
pub fn judge(look: &JudgeContext<'_>, job: &Job) -> Judgement {
    match at_first_sight(look, job) {
        FirstSight::Judged(judgement) => *judgement,
        FirstSight::Free { paths, how } => inspect(look, job, paths, LockFact::Free, how),
    }
}

/// As [`judge`], for a caller that holds `sentinel.lock` exclusively.
pub(crate) fn judge_locked(look: &JudgeContext<'_>, job: &Job) -> Judgement {
    if let Some(judgement) = of_a_copy(look, job) {
        return judgement;
    }
    if job.run_state().adopted.is_some() {
        return super::adopted::judge_adopted(look, job);
    }
    match look.dir.paths.job(&job.id.to_string()) {
        Err(e) => unknown(job, format!("its id cannot be a file name: {e}")),
        Ok(paths) => {
            let how = "sentinel.lock was free and is held for this look".to_owned();
            inspect(look, job, paths, LockFact::Free, how)
        }
    }
}

/// The verdict from the lock alone.
pub(crate) enum FirstSight {
    /// The lock was enough for a verdict.
    Judged(Box<Judgement>),
    /// The lock is free: a process that wants to act takes it, and then gathers the other evidence.
    Free { paths: JobPaths, how: String },
}

/// Examines the lock. Only when that is held, or of no use, are the other facts gathered too.
pub(crate) fn at_first_sight(look: &JudgeContext<'_>, job: &Job) -> FirstSight {
    let judged = |judgement| FirstSight::Judged(Box::new(judgement));
    if let Some(judgement) = of_a_copy(look, job) {
        return judged(judgement);
    }
    if job.run_state().adopted.is_some() {
        return judged(super::adopted::judge_adopted(look, job));
    }
    let paths = match look.dir.paths.job(&job.id.to_string()) {
        Err(e) => return judged(unknown(job, format!("its id cannot be a file name: {e}"))),
        Ok(paths) => paths,
    };
    match state_of_lock(look, &paths) {
        (LockFact::Free, how) => FirstSight::Free { paths, how },
        (lock, how) => judged(inspect(look, job, paths, lock, how)),
    }
}

/// As [`at_first_sight`], for a process that wants to act: a free lock is taken at once, if possible.
pub(crate) fn take_or_judge(
    look: &JudgeContext<'_>,
    job: &Job,
    local: &LocalDevice,
    grace: Duration,
) -> (FirstSight, Option<FileLock>) {
    let paths = look.dir.paths.job(&job.id.to_string()).ok().filter(|_| job.run_state().adopted.is_none());
    let Some(paths) = paths else { return (at_first_sight(look, job), None) };
    // Check this before any flock: on some network file systems a flock blocks for ever.
    let is_local = |file: &File, metadata: &Metadata| local.has(file, metadata);
    match FileLock::take_if_free(&look.dir.disk, &paths.sentinel_lock(), grace, is_local) {
        Ok(Taken::Ours(lock)) => (FirstSight::Free { paths, how: String::new() }, Some(lock)),
        Ok(Taken::Held) => {
            let judgement = inspect(look, job, paths, LockFact::Held, "sentinel.lock is held".to_owned());
            (FirstSight::Judged(Box::new(judgement)), None)
        }
        // There is no lock file, it could not be opened, or it is on a network file system.
        Ok(Taken::NotTried) | Err(_) => (at_first_sight(look, job), None),
    }
}

fn inspect(look: &JudgeContext<'_>, job: &Job, paths: JobPaths, lock: LockFact, how: String) -> Judgement {
    match Files::read(look, job, &paths, &lock) {
        Err(e) => unknown(job, format!("{e}: {}", e.source)),
        Ok(files) => Inspection::new(look, job, paths, files).conclude(lock, how),
    }
}

/// In a copy of a state directory all processes belong to the original, which judges them.
fn of_a_copy(look: &JudgeContext<'_>, job: &Job) -> Option<Judgement> {
    let DirectoryOrigin::Copied { of, .. } = &look.dir.origin else { return None };
    let why = format!("this state directory is a copy: what runs belongs to the original, {}", of.display());
    Some(unknown(job, why))
}

fn unknown(job: &Job, why: String) -> Judgement {
    let evidence = vec![Evidence { kind: "verdict".into(), detail: why.clone() }];
    Judgement { evidence, ..blank(job, Verdict::Unknown { why }) }
}
