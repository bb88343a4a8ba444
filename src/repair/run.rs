//! Looks, acts and looks again.

use std::collections::BTreeSet;

use super::action::{Condition, Left, Part, RepairAction, RepairReport};
use super::error::RepairError;
use super::settings::RepairSettings;
use super::{jobs, locks, queue, webhooks};
use crate::durable::{FileLock, Holder, LockError, causes};
use crate::findings::Object;
use crate::recovery::repair_queue;
use crate::state::StateDir;

/// Repairs, or says what a repair would do.
pub fn repair(dir: &StateDir, settings: &RepairSettings) -> Result<RepairReport, RepairError> {
    let _lock = if settings.dry_run { None } else { Some(exclude_recoveries(dir, settings)?) };
    let kept_before: BTreeSet<String> = dir.quarantine().notes().into_iter().map(|n| n.kept_as).collect();
    let mut report = RepairReport {
        parts: settings.parts.iter().copied().collect(),
        dry_run: settings.dry_run,
        actions: Vec::new(),
        left: Vec::new(),
        quarantined: Vec::new(),
        before: Condition::default(),
        after: Condition::default(),
    };
    for part in &settings.parts {
        // Each part is looked at after those before it are repaired: a lock is judged by its job.
        match repair_part(dir, settings, *part, &mut report) {
            Ok(()) => {}
            // Without a queue nothing can be judged; an error in another part costs only that part.
            Err(e) if *part == Part::Queue || settings.parts.len() == 1 => return Err(e),
            Err(e) => {
                report.before.problems += 1;
                report.after.problems += 1;
                report.left.push(not_looked_at(*part, &e));
            }
        }
    }
    let kept = dir.quarantine().notes().into_iter().map(|n| n.kept_as).filter(|n| !kept_before.contains(n));
    report.quarantined = kept.map(|name| dir.paths.quarantine().join(name).display().to_string()).collect();
    Ok(report)
}

fn repair_part(
    dir: &StateDir,
    settings: &RepairSettings,
    part: Part,
    report: &mut RepairReport,
) -> Result<(), RepairError> {
    let Planned { mut actions, mut left } = look(dir, settings, part, &mut report.before)?;
    if settings.dry_run {
        // A dry run has the same state before and after: there is no second look.
        report.after = report.before.clone();
    } else if actions.is_empty() {
        look(dir, settings, part, &mut report.after)?;
    } else {
        act(dir, settings, part, &mut actions)?;
        let again = look(dir, settings, part, &mut report.after)?;
        for action in &mut actions {
            let is_still_needed = again.actions.iter().any(|a| a.is_same(action));
            if is_still_needed && action.error.is_none() {
                action.error = Some("it is needed as before: run the repair again".to_owned());
            }
            action.done = action.error.is_none();
        }
        left = again.left;
    }
    report.actions.extend(actions);
    report.left.extend(left);
    Ok(())
}

fn not_looked_at(part: Part, error: &RepairError) -> Left {
    let evidence = causes(error).skip(1).map(ToString::to_string).collect();
    Left {
        object: Object::from(part.as_str()),
        reason: format!("it could not be repaired: {error}"),
        evidence,
        next: format!("recoveryctl repair {}", part.as_str()),
    }
}

fn exclude_recoveries(dir: &StateDir, settings: &RepairSettings) -> Result<FileLock, RepairError> {
    match FileLock::acquire(&dir.disk, &dir.paths.recovery_lock(), dir.lock_wait) {
        Ok(lock) => {
            let purpose = format!("repair, {}", settings.jobs.actor.by);
            let since = dir.clock.now().to_string();
            // The holder in the lock is a hint for others; without it they are told less.
            let _ = lock.describe(&Holder { pid: std::process::id(), purpose, since });
            Ok(lock)
        }
        Err(LockError::Disk(e)) => Err(e.into()),
        Err(held) => Err(RepairError::Busy(held)),
    }
}

struct Planned {
    actions: Vec<RepairAction>,
    left: Vec<Left>,
}

fn look(
    dir: &StateDir,
    settings: &RepairSettings,
    part: Part,
    condition: &mut Condition,
) -> Result<Planned, RepairError> {
    let (actions, left) = match part {
        Part::Queue => {
            let (queue, actions) = queue::look(dir)?;
            condition.queue = Some(queue);
            (actions, Vec::new())
        }
        Part::Jobs => {
            let (jobs, actions, left) = jobs::look(dir, settings)?;
            condition.jobs = Some(jobs);
            (actions, left)
        }
        Part::Locks => {
            let (locks, actions, left) = locks::look(dir, &settings.jobs)?;
            condition.locks = Some(locks);
            (actions, left)
        }
        Part::Webhooks => {
            let (deliveries, actions, left) = webhooks::look(dir)?;
            condition.webhooks = Some(deliveries);
            (actions, left)
        }
    };
    condition.problems += (actions.len() + left.len()) as u64;
    Ok(Planned { actions, left })
}

fn act(
    dir: &StateDir,
    settings: &RepairSettings,
    part: Part,
    actions: &mut [RepairAction],
) -> Result<(), RepairError> {
    match part {
        Part::Queue => repair_queue(dir, &settings.jobs).map(drop)?,
        Part::Jobs => jobs::act(dir, settings)?,
        Part::Locks => locks::act(dir, &settings.jobs, actions)?,
        Part::Webhooks => webhooks::act(dir, settings)?,
    }
    Ok(())
}
