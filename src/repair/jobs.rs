//! Repairs the jobs: running ones that are over, claims that nobody started, and the jobs' own records.

use super::action::{JobsCondition, Left, RepairAction};
use super::error::RepairError;
use super::settings::RepairSettings;
use crate::findings::Object;
use crate::findings::shell_word;
use crate::jobs::{Liveness, Reconciled, Reconciliation, reattach, record, would_reconcile};
use crate::queue::Queue;
use crate::state::StateDir;

pub(super) fn look(
    dir: &StateDir,
    settings: &RepairSettings,
) -> Result<(JobsCondition, Vec<RepairAction>, Vec<Left>), RepairError> {
    let queue = Queue::open(dir)?;
    let mut condition = JobsCondition::default();
    let (mut actions, mut left) = (Vec::new(), Vec::new());
    for job in would_reconcile(dir, queue.state(), &settings.jobs) {
        condition.running += 1;
        match job.judgement.liveness() {
            Liveness::Alive => condition.alive += 1,
            Liveness::Dead => condition.over += 1,
            Liveness::Unknown => condition.unknown += 1,
        }
        actions.extend(of_reconciliation(&job));
        left.extend(of_unknown(&job));
    }
    let outdated = record::outdated(dir, queue.state());
    condition.outdated_records = outdated.len() as u64;
    actions.extend(outdated.into_iter().map(|(id, why)| {
        RepairAction::new(
            "write-job-record",
            Object::job(&id),
            format!("its own record {why}"),
            "write it anew from the queue; what cannot be understood is kept in quarantine".to_owned(),
        )
    }));
    Ok((condition, actions, left))
}

/// Does all of it, also what the look could not see: attempts whose claim the log has lost.
pub(super) fn act(dir: &StateDir, settings: &RepairSettings) -> Result<(), RepairError> {
    let mut queue = Queue::open(dir)?;
    reattach(dir, &mut queue, &settings.jobs, &mut |_, _| true)?;
    record::rebuild(dir, queue.state(), &mut |_, _| {})?;
    Ok(())
}

fn of_reconciliation(job: &Reconciled) -> Option<RepairAction> {
    let evidence = job.judgement.evidence.iter().map(|e| e.detail.clone()).collect::<Vec<_>>().join("; ");
    let (action, detail) = match &job.reconciliation {
        Reconciliation::FinishedWhileAway { exit_code, signal } => {
            let how = exit_code
                .map(|code| format!("exit status {code}"))
                .or_else(|| signal.map(|signal| format!("signal {signal}")));
            ("record-end", format!("record how it ended: {}", how.unwrap_or_else(|| "unknown".to_owned())))
        }
        Reconciliation::Crashed { .. } => {
            ("record-crash", "record that it crashed; its policy says what follows".to_owned())
        }
        Reconciliation::NotStarted => ("record-crash", "record that it could not be started".to_owned()),
        Reconciliation::GivenBack => {
            ("give-claim-back", "put back in its place: it never started".to_owned())
        }
        Reconciliation::Reattached | Reconciliation::Unknown { .. } | Reconciliation::Overtaken => {
            return None;
        }
    };
    let mut action = RepairAction::new(action, Object::job(&job.job_id), evidence, detail);
    action.is_in_queue_log = true;
    Some(action)
}

fn of_unknown(job: &Reconciled) -> Option<Left> {
    let Reconciliation::Unknown { why } = &job.reconciliation else { return None };
    let id = shell_word(&job.job_id.to_string());
    Some(Left {
        object: Object::job(&job.job_id),
        reason: why.clone(),
        evidence: job.judgement.evidence.iter().map(|e| e.detail.clone()).collect(),
        next: format!("recoveryctl repair jobs --assume-dead {id} --reason …"),
    })
}
