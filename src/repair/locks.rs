//! Repairs the repository locks.

use super::action::{Left, LocksCondition, RepairAction};
use super::error::RepairError;
use crate::findings::Object;
use crate::findings::shell_word;
use crate::jobs::{RecoverSettings, Sentinel, Stored, marks};
use crate::locks::{
    FencingNumber, JobLiveness, JobWitness, LockInfo, LockRepair, LockVerdict, RunningHolder, list, plan_one,
    plan_repair, repair,
};
use crate::queue::{Claim, JobId};
use crate::recovery::JobHolders;
use crate::state::StateDir;
use crate::system::{Presence, environment_of, presence};

pub(super) fn look(
    dir: &StateDir,
    settings: &RecoverSettings,
) -> Result<(LocksCondition, Vec<RepairAction>, Vec<Left>), RepairError> {
    with_witness(dir, settings, |jobs| {
        let mut condition = LocksCondition::default();
        for LockInfo { verdict, .. } in list(dir, jobs.liveness)? {
            *match verdict {
                LockVerdict::Live | LockVerdict::LiveUnidentified => &mut condition.live,
                LockVerdict::Free => &mut condition.free,
                LockVerdict::Stale => &mut condition.stale,
                LockVerdict::Unknown { .. } => &mut condition.unavailable,
            } += 1;
        }
        let (mut actions, mut left) = (Vec::new(), Vec::new());
        for plan in plan_repair(dir, jobs)? {
            match action_of(&plan) {
                Some(action) => actions.push(action),
                None => left.push(left_of(plan)),
            }
        }
        Ok((condition, actions, left))
    })
}

/// Repairs one lock after the other, and notes the reason for each that was not repaired.
pub(super) fn act(
    dir: &StateDir,
    settings: &RecoverSettings,
    actions: &mut [RepairAction],
) -> Result<(), RepairError> {
    with_witness(dir, settings, |jobs| {
        for action in actions {
            let Object::Lock(repository) = &action.object else { continue };
            let Some(repaired) = repair(dir, repository, jobs, &settings.actor)? else { continue };
            // The lock is judged once more while it is held: a process that cannot be examined may have come.
            let not_done = || (!repaired.done).then(|| format!("looked at again, {}", repaired.reason));
            action.error = repaired.error.clone().or_else(not_done);
        }
        Ok(())
    })
}

/// Returns what a repair would do about the lock of one repository; `None` when there is nothing to do.
pub(crate) fn would_repair_lock(
    dir: &StateDir,
    settings: &RecoverSettings,
    repository: &str,
) -> Result<Option<LockRepair>, RepairError> {
    with_witness(dir, settings, |jobs| Ok(plan_one(dir, repository, jobs)))
}

fn with_witness<T>(
    dir: &StateDir,
    settings: &RecoverSettings,
    act: impl FnOnce(JobWitness<'_>) -> Result<T, RepairError>,
) -> Result<T, RepairError> {
    let holders = JobHolders::new(dir, settings.limits);
    let liveness = |id: &JobId, claim: Claim| -> JobLiveness { holders.liveness(id, claim) };
    let running = |repository: &str| running_on(dir, &holders, repository);
    act(JobWitness { liveness: &liveness, running: &running })
}

fn running_on(dir: &StateDir, holders: &JobHolders, repository: &str) -> Option<RunningHolder> {
    let job = holders.with_queue(|state| state.holder_of(repository).cloned())??;
    let claim = job.run_state().claim?;
    let paths = dir.paths.job(&job.id.to_string()).ok()?;
    let sentinel = match Sentinel::read(&paths.sentinel()) {
        Ok(Stored::Whole(sentinel)) if sentinel.claim == claim => Some(sentinel),
        _ => None,
    };
    Some(RunningHolder {
        job_id: job.id.clone(),
        attempt: job.attempt,
        claim,
        token: sentinel.as_ref().and_then(token_of),
        lock_id: sentinel.as_ref().and_then(|s| s.lock_id.clone()),
        supervisor: sentinel.map(|s| (s.supervisor, s.host)),
    })
}

/// Returns the fencing number in the command's environment, if it belongs to the lock that the sentinel
/// names.
fn token_of(sentinel: &Sentinel) -> Option<FencingNumber> {
    let command = sentinel.command.filter(|c| presence(*c) == Presence::Alive)?;
    let environment = environment_of(command.pid).ok()?;
    let value = |name: &str| {
        let prefix = format!("{name}=");
        let found = environment.iter().find_map(|entry| entry.strip_prefix(prefix.as_bytes()))?;
        std::str::from_utf8(found).ok().map(str::to_owned)
    };
    if value(marks::LOCK_ID) != sentinel.lock_id {
        return None;
    }
    value(marks::LOCK_TOKEN)?.parse().ok().map(FencingNumber::new)
}

fn action_of(plan: &LockRepair) -> Option<RepairAction> {
    let object = Object::lock(&plan.repository);
    Some(RepairAction::new(plan.act?.as_str(), object, plan.reason.clone(), plan.evidence.join("; ")))
}

fn left_of(plan: LockRepair) -> Left {
    let name = shell_word(&plan.repository);
    Left {
        object: Object::lock(&plan.repository),
        reason: plan.reason,
        evidence: plan.evidence,
        next: format!("recoveryctl release {name} --force"),
    }
}
