//! Re-attachment: judges every running job, and records the ends that no process saw.

use std::time::Instant;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::cancel::carry_out;
use super::lost::find_lost_claims;
use super::reconcile::{Reconciled, Reconciliation, RecoverError, RecoverSettings, reconcile};
use crate::queue::{Job, JobId, Queue};
use crate::state::StateDir;

/// The result of a re-attachment.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Reattachment {
    /// Jobs that were running as far as the queue knew.
    pub found: u64,
    /// Those that live.
    pub reattached: u64,
    /// Those that had ended.
    pub finished_while_away: u64,
    /// Those that vanished.
    pub crashed: u64,
    /// Those that had never started, and wait again.
    pub given_back: u64,
    /// Those that could not be started, as often as that was tried.
    pub not_started: u64,
    /// Those of which neither life nor death can be proven.
    pub unknown: u64,
    /// Queued jobs whose attempt was found although the log had lost its claim.
    pub claims_found: u64,
    /// How long it took, in milliseconds.
    pub duration_ms: u64,
    /// Job by job.
    #[serde(skip)]
    pub jobs: Vec<Reconciled>,
}

/// Judges every running job and records the result. `progress` is called with the number judged and in all, and
/// says whether to go on; earlier results stay recorded. Cancels of living jobs are carried out, because the
/// process that recorded them may have been killed before it told the supervisor.
pub fn reattach(
    dir: &StateDir,
    queue: &mut Queue,
    settings: &RecoverSettings,
    progress: &mut dyn FnMut(u64, u64) -> bool,
) -> Result<Reattachment, RecoverError> {
    let begun = Instant::now();
    queue.refresh()?;
    let running: Vec<JobId> = queue.state().running().map(|job| job.id.clone()).collect();
    let (first, mut goes_on) = (running.len() as u64, progress(0, running.len() as u64));
    let mut jobs = Vec::new();
    if goes_on {
        jobs = reconcile(dir, queue, &running, settings, &mut |done, total| {
            goes_on = progress(done, total);
            goes_on
        })?;
    }
    // After the running jobs are reconciled: a job whose end was also lost would still have the repository of a
    // later job.
    let found = if goes_on { find_lost_claims(dir, queue, settings)? } else { Vec::new() };
    if !found.is_empty() {
        let total = first + found.len() as u64;
        jobs.extend(reconcile(dir, queue, &found, settings, &mut |done, _| progress(first + done, total))?);
    }
    let is_owed = |s: &&Reconciled| matches!(s.reconciliation, Reconciliation::Reattached);
    let attached = jobs.iter().filter(is_owed).filter_map(|s| queue.state().get(&s.job_id));
    let owed: Vec<Job> = attached.filter(|job| job.run_state().cancel_requested).cloned().collect();
    carry_out(dir, &owed, settings);
    let mut summary = Reattachment { claims_found: found.len() as u64, ..Reattachment::default() };
    for job in &jobs {
        *summary.count_of(&job.reconciliation) += 1;
    }
    // Overtaken: another process recorded and counted it.
    summary.found = summary.reattached
        + summary.finished_while_away
        + summary.crashed
        + summary.given_back
        + summary.not_started
        + summary.unknown;
    summary.jobs = jobs;
    summary.duration_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
    Ok(summary)
}

impl Reattachment {
    fn count_of(&mut self, reconciliation: &Reconciliation) -> &mut u64 {
        match reconciliation {
            Reconciliation::Reattached => &mut self.reattached,
            Reconciliation::FinishedWhileAway { .. } => &mut self.finished_while_away,
            Reconciliation::Crashed { .. } => &mut self.crashed,
            Reconciliation::GivenBack => &mut self.given_back,
            Reconciliation::NotStarted => &mut self.not_started,
            Reconciliation::Unknown { .. } => &mut self.unknown,
            Reconciliation::Overtaken => &mut self.found,
        }
    }
}
