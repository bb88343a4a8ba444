//! Completes the records of runs that were killed before all of them were written.

use super::current::{parse, without_writer};
use super::history::{HistoryEntry, HistoryError, add, damaged, read_history, read_last};
use super::snapshot::{RecoveryOutcome, Snapshot};
use crate::durable::read_optional;
use crate::findings::{Finding, Severity};
use crate::state::StateDir;

/// The records that were completed.
pub(super) struct MadeGood {
    /// Findings about files that could not be read.
    pub(super) findings: Vec<Finding>,
    /// How many runs that never ended were added to the history.
    pub(super) aborted: u64,
}

/// Completes the records of killed runs: a run that never ended, and one that was killed between writing its
/// end and its entry in the history. The caller holds the recovery lock, so no earlier run can still be at
/// work.
pub(super) fn complete(dir: &StateDir) -> Result<MadeGood, HistoryError> {
    let mut findings = Vec::new();
    for path in [dir.paths.recovery_history(), dir.paths.recovery_last()] {
        let readable = match path == dir.paths.recovery_history() {
            true => read_history(dir).map(drop),
            false => read_last(dir).map(drop),
        };
        match readable {
            Err(HistoryError::Damaged { path, source }) => {
                let reason = source.to_string();
                dir.quarantine().take_file(&path, &reason, &dir.clock.now().to_string())?;
                findings.push(damaged(&path.display().to_string(), &reason));
            }
            other => other?,
        }
    }
    findings.extend(keep_damaged_progress(dir)?);
    let left = parse(&dir.paths.recovery_current()).map(|current| without_writer(dir, current));
    let last = read_last(dir)?.map(|record| record.snapshot);
    let mut missed: Vec<HistoryEntry> = [last, left].iter().flatten().map(HistoryEntry::of).collect();
    missed.sort_by_key(|entry| entry.recovery_id);
    let known = read_history(dir)?;
    let is_new = |entry: &&HistoryEntry| known.iter().all(|k| k.recovery_id != entry.recovery_id);
    let aborted = missed.iter().filter(is_new).filter(|e| e.outcome == RecoveryOutcome::Aborted).count();
    add(dir, &missed)?;
    Ok(MadeGood { findings, aborted: aborted as u64 })
}

/// Keeps a copy of the previous run's progress if it cannot be parsed: this run overwrites it.
fn keep_damaged_progress(dir: &StateDir) -> Result<Option<Finding>, HistoryError> {
    let path = dir.paths.recovery_current();
    let Some(bytes) = read_optional(&path)? else { return Ok(None) };
    let Err(source) = serde_json::from_slice::<Snapshot>(&bytes) else { return Ok(None) };
    let reason = source.to_string();
    dir.quarantine().keep(&path, None, &bytes, &reason, &dir.clock.now().to_string())?;
    // The file only showed progress; the results are in the history.
    Ok(Some(damaged(&path.display().to_string(), &reason).with_severity(Severity::Warning)))
}
