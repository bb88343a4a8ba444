//! Findings about the open cleanups.

use std::collections::BTreeMap;

use super::record::{CleanupPhase, CleanupPhaseStatus, CleanupRecord, CleanupStatus};
use super::store::damaged;
use crate::durable::DiskError;
use crate::findings::{Finding, Object, Severity, catalogue};
use crate::state::StateDir;

/// Returns the findings about some cleanups; `runs` tells whether a process works on cleanups.
pub(crate) fn findings(
    dir: &StateDir,
    cleanups: &[CleanupRecord],
    runs: bool,
) -> Result<Vec<Finding>, DiskError> {
    let mut findings: Vec<Finding> = cleanups.iter().filter_map(|c| finding(c, runs)).collect();
    findings.extend(damaged(dir)?.into_iter().map(|path| {
        let sentence = "it cannot be understood; it was left as it is".to_owned();
        Finding::new(&catalogue::CLEANUP_DAMAGED, Object::file(&path), sentence)
    }));
    Ok(findings)
}

/// Whether the cleanup has git work that it cannot prove to be kept elsewhere. Nothing is removed until
/// somebody acts, whether the cleanup is tried again by itself or not.
fn is_at_risk(cleanup: &CleanupRecord) -> bool {
    let is_stuck = |phase: &CleanupPhase| {
        matches!(phase.status, CleanupPhaseStatus::Parked | CleanupPhaseStatus::Failed)
    };
    cleanup.phases.iter().any(|phase| phase.is_work_at_risk && is_stuck(phase))
}

fn finding(cleanup: &CleanupRecord, runs: bool) -> Option<Finding> {
    let stuck: BTreeMap<&str, &str> = cleanup
        .phases
        .iter()
        .filter(|p| matches!(p.status, CleanupPhaseStatus::Parked | CleanupPhaseStatus::Failed))
        .filter_map(|p| Some((p.phase.as_str(), p.error.as_deref()?)))
        .collect();
    let said: Vec<String> = stuck.iter().map(|(phase, error)| format!("{phase}: {error}")).collect();
    let entry = match cleanup.status(runs) {
        CleanupStatus::Parked => &catalogue::CLEANUP_PARKED,
        CleanupStatus::Waiting if !said.is_empty() => &catalogue::CLEANUP_WAITING,
        _ => return None,
    };
    let mut finding = Finding::new(entry, Object::Cleanup(cleanup.cleanup_id.clone()), said.join("; "));
    // A full disk does not become empty by waiting.
    if is_at_risk(cleanup) {
        finding.severity = finding.severity.max(Severity::Error);
    }
    Some(finding)
}
