//! Figures about re-attachment, over all recoveries that came to their end.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::queue::{EndedAttempt, JobStatus, QueueState};
use crate::recovery::{HistoryEntry, PhaseStatus, RecoveryRecord};

/// The figures.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs)] // The members are the published form; see docs.
pub struct JobMetrics {
    pub found_total: u64,
    pub reattached_total: u64,
    pub finished_while_away_total: u64,
    pub crashed_total: u64,
    pub unknown_total: u64,
    /// Attempts that a recovery had re-attached and that died later: by a signal that nobody had asked for, or
    /// without an exit status. Of the jobs that the queue still has, and the recoveries that the history still
    /// has.
    pub died_after_reattach_total: u64,
    pub resumed_total: u64,
    /// Found alive or properly ended, of those found; `null` when none was found.
    pub success_rate: Option<f64>,
    pub reattach_ms: Spread,
}

/// Milliseconds, over the recoveries that the history still has; `null` without any.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs)]
pub struct Spread {
    pub mean: Option<u64>,
    pub max: Option<u64>,
}

impl JobMetrics {
    /// Makes the figures from the counters of the last recovery, the history and the queue.
    pub(crate) fn new(
        state: &QueueState,
        last: Option<&RecoveryRecord>,
        history: &[HistoryEntry],
    ) -> JobMetrics {
        let total = |name: &str| last.and_then(|l| l.totals.get(name)).copied().unwrap_or(0);
        let found_total = total("jobs.found");
        let (reattached_total, away) = (total("jobs.reattached"), total("jobs.finished_while_away"));
        #[allow(clippy::cast_precision_loss)] // A rate, for people.
        let rate = (found_total > 0).then(|| (reattached_total + away) as f64 / found_total as f64);
        JobMetrics {
            found_total,
            reattached_total,
            finished_while_away_total: away,
            crashed_total: total("jobs.crashed"),
            unknown_total: total("jobs.unknown"),
            died_after_reattach_total: died_after_reattach(state, history),
            resumed_total: state.totals().resumed,
            success_rate: rate,
            reattach_ms: Spread::of(&durations(history)),
        }
    }
}

impl Spread {
    fn of(values: &[u64]) -> Spread {
        let mean = (!values.is_empty()).then(|| values.iter().sum::<u64>() / values.len() as u64);
        Spread { mean, max: values.iter().max().copied() }
    }
}

fn durations(history: &[HistoryEntry]) -> Vec<u64> {
    let phases = history.iter().flat_map(|entry| &entry.phases).filter(|phase| phase.phase == "jobs");
    let over = phases.filter(|p| matches!(p.status, PhaseStatus::Succeeded | PhaseStatus::Degraded));
    over.map(|phase| phase.duration_ms).collect()
}

fn died_after_reattach(state: &QueueState, history: &[HistoryEntry]) -> u64 {
    let attempts = state.jobs().flat_map(|job| &job.run_state().attempts);
    attempts.filter(|a| has_died(a) && was_reattached(a, history)).count() as u64
}

/// Whether the attempt neither ended by itself nor was ended on request or because of its time limit.
fn has_died(attempt: &EndedAttempt) -> bool {
    match attempt.status {
        JobStatus::Crashed => true,
        JobStatus::Failed => attempt.exit_code.is_none(),
        _ => false,
    }
}

/// Whether a recovery judged the attempt while it ran, and found that it had not ended.
fn was_reattached(attempt: &EndedAttempt, history: &[HistoryEntry]) -> bool {
    let Some(started) = attempt.started_at else { return false };
    history.iter().any(|recovery| {
        let judged = recovery
            .phases
            .iter()
            .any(|p| p.phase == "jobs" && matches!(p.status, PhaseStatus::Succeeded | PhaseStatus::Degraded));
        // An end that this recovery itself recorded is earlier than the recovery's own end.
        let ended = recovery.ended_at.filter(|_| judged);
        started < recovery.started_at && ended.is_some_and(|ended| attempt.finished_at > ended)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_without_values() {
        assert_eq!(Spread::of(&[]), Spread::default());
        assert_eq!(Spread::of(&[1, 2, 6]), Spread { mean: Some(3), max: Some(6) });
    }
}
