//! Reports on recoveries: the phases of the present one, figures about all, and the past ones.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::page::{BadCursor, Page, cut_counted};
use crate::findings::Finding;
use crate::recovery::{
    HistoryEntry, PhaseGraph, PhaseProgress, PhaseStatus, RecoveryOutcome, RecoveryRecord, Snapshot, counter,
};
use crate::state::Word;

/// The phases of the recovery that runs, or ran last.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs)] // The members are the published form; see docs.
pub struct Phases {
    /// `null` when there was no recovery yet.
    pub recovery_id: Option<Uuid>,
    pub outcome: Option<RecoveryOutcome>,
    pub phases: Vec<PhaseProgress>,
    /// Found about the run itself, not by a phase.
    pub findings: Vec<Finding>,
}

impl Phases {
    /// Reports on the phases of a recovery; before the first one, on the phases that it will have.
    pub(crate) fn new(current: Option<&Snapshot>, declared: &PhaseGraph) -> Phases {
        match current {
            Some(s) => Phases {
                recovery_id: Some(s.recovery_id),
                outcome: Some(s.outcome),
                phases: s.phases.clone(),
                findings: s.findings.clone(),
            },
            None => Phases {
                recovery_id: None,
                outcome: None,
                phases: declared.phases().iter().map(PhaseProgress::not_begun).collect(),
                findings: Vec::new(),
            },
        }
    }
}

/// Figures about all recoveries. Totals count since the state directory was made (by versions before these
/// counters: what the history still knows); durations are of the last hundred.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs)]
pub struct RecoveryMetrics {
    /// By outcome.
    pub recoveries_total: BTreeMap<Word, u64>,
    pub last_duration_ms: Option<u64>,
    pub mean_duration_ms: Option<u64>,
    pub phase_duration_ms: BTreeMap<String, PhaseDuration>,
    /// Resources that were unusable after a recovery, each time counted.
    pub degraded_total: u64,
    /// Phases that were passed over.
    pub skipped_total: u64,
    /// Tries beyond each phase's first, and phases that somebody had tried again.
    pub retried_total: u64,
}

/// How long a phase took.
#[derive(Debug, Serialize, Deserialize, Default, PartialEq, Eq, JsonSchema)]
#[allow(missing_docs)]
pub struct PhaseDuration {
    pub last: u64,
    pub mean: u64,
    pub max: u64,
}

const OUTCOMES: [RecoveryOutcome; 5] = [
    RecoveryOutcome::Completed,
    RecoveryOutcome::Degraded,
    RecoveryOutcome::Failed,
    RecoveryOutcome::Cancelled,
    RecoveryOutcome::Aborted,
];

impl RecoveryMetrics {
    /// Makes the metrics from the records of recoveries.
    pub(crate) fn new(history: &[HistoryEntry], last: Option<&RecoveryRecord>) -> RecoveryMetrics {
        let total = |name: &str, remembered: u64| {
            last.and_then(|last| last.totals.get(name)).copied().unwrap_or_default().max(remembered)
        };
        let ended = |outcome| history.iter().filter(|e| e.outcome == outcome).count() as u64;
        let by_outcome = OUTCOMES.map(|o| (Word::from(o.word()), total(&counter(o), ended(o))));
        // A recovery that was cut short has no known duration.
        let whole: Vec<&HistoryEntry> = history.iter().filter(|e| e.ended_at.is_some()).collect();
        let sum = |of: fn(&HistoryEntry) -> u64| history.iter().map(of).sum();
        let durations: Vec<u64> = whole.iter().map(|e| e.duration_ms).collect();
        RecoveryMetrics {
            recoveries_total: by_outcome.into_iter().collect(),
            last_duration_ms: durations.last().copied(),
            mean_duration_ms: mean(&durations),
            phase_duration_ms: phase_durations(&whole),
            degraded_total: total("recoveries.degraded_resources", sum(|e| e.degraded)),
            skipped_total: total("recoveries.skipped_phases", sum(|e| e.skipped)),
            retried_total: total("recoveries.retried_phases", sum(|e| e.retried + e.only.len() as u64)),
        }
    }
}

fn phase_durations(whole: &[&HistoryEntry]) -> BTreeMap<String, PhaseDuration> {
    let mut by_phase: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    let ran = |status| !matches!(status, PhaseStatus::Skipped | PhaseStatus::Blocked | PhaseStatus::Pending);
    for phase in whole.iter().flat_map(|e| &e.phases).filter(|p| ran(p.status)) {
        by_phase.entry(phase.phase.clone()).or_default().push(phase.duration_ms);
    }
    let figures = |all: Vec<u64>| PhaseDuration {
        last: all.last().copied().unwrap_or_default(),
        mean: mean(&all).unwrap_or_default(),
        max: all.iter().copied().max().unwrap_or_default(),
    };
    by_phase.into_iter().map(|(phase, all)| (phase, figures(all))).collect()
}

fn mean(values: &[u64]) -> Option<u64> {
    let sum: u64 = values.iter().sum();
    sum.checked_div(values.len() as u64)
}

/// The recoveries that were, the newest first.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs)]
pub struct RecoveryHistory {
    pub recoveries: Vec<HistoryEntry>,
    pub total: u64,
    pub next_cursor: Option<String>,
}

impl RecoveryHistory {
    /// Returns a page of the history.
    pub(crate) fn new(history: &[HistoryEntry], page: &Page) -> Result<RecoveryHistory, BadCursor> {
        let total = history.len() as u64;
        let (recoveries, next_cursor) = cut_counted(history.to_vec(), &page.newest_first())?;
        Ok(RecoveryHistory { recoveries, total, next_cursor })
    }
}

/// What came of a phase that was tried again.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "PhaseRetry")]
#[allow(missing_docs)]
pub struct RetryReport {
    /// The phase.
    pub component: String,
    pub status: PhaseStatus,
    pub attempts: u32,
    pub duration_ms: u64,
    pub findings: Vec<Finding>,
    pub message: Option<String>,
    /// What ran after it because it waits for it, and how that ended.
    pub waited: Vec<Waited>,
    /// How the whole stands now; null where nothing was ever recovered.
    pub outcome: Option<RecoveryOutcome>,
    /// Who tried: `daemon`, or this process.
    pub by: Word,
    /// Whether nothing was tried, and this only says where the phase stands.
    pub dry_run: bool,
}

/// A phase behind the one that was tried again.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs)]
pub struct Waited {
    pub phase: String,
    pub status: PhaseStatus,
}

impl RetryReport {
    /// Makes the report from the record of the recovery that tried the phase again; `None` when it knows no
    /// such phase.
    pub(crate) fn new(snapshot: &Snapshot, component: &str, by: Word) -> Option<RetryReport> {
        let phase = snapshot.phase(component)?;
        let others = snapshot.phases.iter().filter(|p| !p.carried_over && p.phase != component);
        Some(RetryReport {
            component: component.to_owned(),
            status: phase.status,
            attempts: phase.attempts,
            duration_ms: phase.duration_ms,
            findings: phase.findings.clone(),
            message: phase.message.clone(),
            waited: others.map(|p| Waited { phase: p.phase.clone(), status: p.status }).collect(),
            outcome: Some(snapshot.outcome),
            by,
            dry_run: false,
        })
    }

    /// Reports the retry of a phase in a dry run where there was no recovery yet: the phase would run with
    /// all others, for the first time.
    pub(crate) fn of_the_first(component: &str) -> RetryReport {
        RetryReport {
            component: component.to_owned(),
            status: PhaseStatus::Pending,
            attempts: 0,
            duration_ms: 0,
            findings: Vec::new(),
            message: Some("there was no recovery yet: the whole sequence would run".to_owned()),
            waited: Vec::new(),
            outcome: None,
            by: "nobody".into(),
            dry_run: true,
        }
    }
}
