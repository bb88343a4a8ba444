//! Phase `locks`: every repository lock is kept when its holder lives, given back when the holder is gone, or
//! else made unavailable.

use std::collections::HashMap;

use super::shared::Shared;
use crate::audit::{AuditError, Entry, Trail};
use crate::findings::{Finding, Object, catalogue};
use crate::jobs::{JudgeContext, Liveness, ProcessTable, judge};
use crate::locks::{JobLiveness, LockOutcome, LocksRecovered, RecoveredLock, recover_all};
use crate::queue::{Claim, Job, JobId};
use crate::recovery::{DegradedResource, PhaseContext, PhaseError, PhaseOutcome};
use crate::system::Host;

pub(super) fn run(shared: &Shared, context: &PhaseContext) -> Result<PhaseOutcome, PhaseError> {
    context.check_interrupted()?;
    let running: Vec<Job> = shared.with_queue(|queue| {
        queue.refresh().map_err(|e| PhaseError::failed("read the queue", e))?;
        Ok(queue.state().running().cloned().collect())
    })?;
    let (host, table) = (Host::this(), ProcessTable::new());
    let look =
        JudgeContext { dir: &shared.dir, host: &host, table: &table, limits: shared.settings.jobs.limits };
    // By id: there may be as many locks as jobs.
    let by_id: HashMap<&JobId, &Job> = running.iter().map(|job| (&job.id, job)).collect();
    let liveness = |id: &JobId, claim: Claim| {
        let job = by_id.get(id).map_or(&[][..], |job| std::slice::from_ref(*job));
        liveness_of(&look, job, id, claim)
    };
    let mut safe_point = Ok(());
    let recovered = recover_all(&shared.dir, &liveness, &mut |done, total| {
        context.total(total as u64);
        context.advance(u64::from(done > 0));
        safe_point = context.check_interrupted();
        safe_point.is_ok()
    })
    .map_err(|e| PhaseError::failed("list the locks", e))?;
    // The values are kept after an interruption, too: locks that were given back stay so.
    context.detail("locks", serde_json::to_value(&recovered).unwrap_or_default());
    let entered = enter(shared, &recovered);
    safe_point?;
    let mut outcome = outcome(&recovered);
    if let (Err(e), Some(message)) = (entered, outcome.message.as_mut()) {
        // The locks are free all the same.
        message.push_str(&format!("; the audit trail does not tell of it: {e}"));
    }
    Ok(outcome)
}

/// Enters the locks that were given back, with the evidence, into the audit trail: the lock's own file keeps
/// it only until the next grant.
fn enter(shared: &Shared, recovered: &LocksRecovered) -> Result<(), AuditError> {
    let (now, actor) = (shared.dir.clock.now(), &shared.settings.jobs.actor);
    let given_back = recovered.locks.iter().filter(|lock| lock.outcome == LockOutcome::Released);
    let entry = |lock: &RecoveredLock| {
        let detail = lock.lock_id.as_ref().map_or_else(String::new, |id| format!("lock id {id}"));
        Entry::done(now, actor, "release", object(lock), detail).with_evidence(lock.evidence.clone())
    };
    let entries: Vec<Entry> = given_back.map(entry).collect();
    if entries.is_empty() {
        return Ok(());
    }
    Trail::open(&shared.dir)?.record_all(&entries)
}

/// Returns whether the holder of a lock lives. A lock belongs to an attempt: when that is not the job's
/// present one, the holder is gone.
pub(crate) fn liveness_of(look: &JudgeContext<'_>, running: &[Job], id: &JobId, claim: Claim) -> JobLiveness {
    match running.iter().find(|j| j.id == *id && j.run_state().claim == Some(claim)) {
        None => JobLiveness::Over,
        Some(job) => match judge(look, job).liveness() {
            Liveness::Alive => JobLiveness::Alive,
            Liveness::Dead => JobLiveness::Over,
            Liveness::Unknown => JobLiveness::Unknown,
        },
    }
}

fn outcome(recovered: &LocksRecovered) -> PhaseOutcome {
    let (kept, released, unavailable) = (recovered.kept, recovered.released, recovered.unavailable);
    let message = format!("{kept} kept, {released} given back, {unavailable} unavailable");
    let lost = recovered.locks.iter().filter(|l| l.outcome == LockOutcome::Unavailable);
    PhaseOutcome {
        degraded: lost.map(|l| DegradedResource { object: object(l), why: l.evidence.join("; ") }).collect(),
        findings: recovered.locks.iter().map(finding).collect(),
        message: Some(message),
    }
}

fn object(lock: &RecoveredLock) -> Object {
    Object::lock(&lock.repository)
}

fn finding(lock: &RecoveredLock) -> Finding {
    let holder = lock.holder.as_deref().unwrap_or("an unknown holder");
    let evidence = lock.evidence.join("; ");
    let (entry, sentence) = match lock.outcome {
        LockOutcome::Kept => (&catalogue::LOCK_KEPT, format!("{holder} lives and keeps it: {evidence}")),
        LockOutcome::Released => {
            (&catalogue::LOCK_HOLDER_GONE, format!("{holder} is gone; it was given back: {evidence}"))
        }
        LockOutcome::Unavailable => {
            (&catalogue::LOCK_UNAVAILABLE, format!("it cannot be judged: {evidence}"))
        }
    };
    let finding = Finding::new(entry, object(lock), sentence);
    // The status makes the same distinction: metadata without a readable grant is damaged, and can be
    // rewritten.
    match lock.outcome == LockOutcome::Unavailable && lock.lock_id.is_none() {
        true => finding.with_next("recoveryctl repair locks"),
        false => finding,
    }
}
