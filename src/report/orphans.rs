//! Reports on orphans: the plan of a scan, the result of executing it, and the log.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::page::{BadCursor, Page, cut_counted};
use crate::durable::DiskError;
use crate::findings::catalogue;
use crate::findings::{Finding, Object, Severity};
use crate::orphans::{
    Candidate, Check, Executed, LogEntry, OrphanKind, OrphanPlan, Trashed, entries, plan, trashed,
};
use crate::state::{StateDir, Timestamp, human};

/// `scan`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs)]
pub struct ScanReport {
    /// Null in a rehearsal: no plan was saved that could be carried out.
    pub plan_id: Option<String>,
    pub taken_at: Timestamp,
    /// How many things of each kind were looked at.
    pub scanned: BTreeMap<OrphanKind, u64>,
    pub candidates_total: u64,
    /// Disk space of what is safe to remove.
    pub bytes_total: u64,
    /// Candidates that a check protects.
    pub protected_total: u64,
    /// The candidates by kind.
    pub kinds: BTreeMap<OrphanKind, KindTotals>,
    /// All that is found, by severity.
    pub severities: BTreeMap<Severity, u64>,
    /// With `--only-changes`: those that the scan before did not tell. What a daemon or a recovery found meanwhile was
    /// told to nobody.
    pub findings: Vec<Finding>,
    pub dry_run: bool,
}

impl ScanReport {
    /// Makes the report of a plan. With `before`, the findings that were reported already are left out. In a
    /// `dry_run`, the plan was not saved.
    pub(crate) fn new(
        plan: &OrphanPlan,
        before: Option<&BTreeSet<(String, Object)>>,
        dry_run: bool,
    ) -> ScanReport {
        let mut findings = plan.findings();
        let mut severities: BTreeMap<Severity, u64> = Severity::ALL.into_iter().map(|s| (s, 0)).collect();
        for finding in &findings {
            *severities.entry(finding.severity).or_default() += 1;
        }
        if let Some(before) = before {
            findings.retain(|f| !before.contains(&(f.code.to_string(), f.object.clone())));
        }
        ScanReport {
            plan_id: (!dry_run).then(|| plan.plan_id.clone()),
            taken_at: plan.taken_at,
            scanned: plan.scanned.clone(),
            candidates_total: plan.candidates.len() as u64,
            bytes_total: plan.bytes_total(),
            protected_total: plan.protected_total(),
            kinds: KindTotals::of(plan),
            severities,
            findings,
            dry_run,
        }
    }
}

/// The candidates of a kind.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs)]
pub struct KindTotals {
    /// Those that can be removed.
    pub removable: u64,
    /// Those that a check protects.
    pub protected: u64,
    /// Disk space of those that can be removed.
    pub bytes: u64,
}

impl KindTotals {
    fn of(plan: &OrphanPlan) -> BTreeMap<OrphanKind, KindTotals> {
        let mut kinds: BTreeMap<OrphanKind, KindTotals> =
            plan.scanned.keys().map(|kind| (*kind, KindTotals::default())).collect();
        for candidate in &plan.candidates {
            let totals = kinds.entry(candidate.kind).or_default();
            if candidate.safe {
                totals.removable += 1;
                totals.bytes += candidate.bytes;
            } else {
                totals.protected += 1;
            }
        }
        kinds
    }
}

/// One candidate.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs)]
pub struct CandidateEntry {
    pub id: String,
    pub kind: OrphanKind,
    pub object: String,
    /// For people: of a container its name.
    pub name: Option<String>,
    pub job_id: Option<String>,
    pub path: Option<PathBuf>,
    pub bytes: u64,
    pub age_ms: Option<i64>,
    pub safe: bool,
    pub checks: Vec<Check>,
}

impl CandidateEntry {
    pub(super) fn of(candidate: &Candidate) -> CandidateEntry {
        use crate::orphans::OrphanTarget;
        let (name, job_id) = match &candidate.what {
            OrphanTarget::Docker { object } => (Some(object.name.clone()), object.job.clone()),
            OrphanTarget::Tree { job, .. } => (None, job.as_ref().map(ToString::to_string)),
            OrphanTarget::Process { job, .. } => (None, Some(job.clone())),
            OrphanTarget::Lock { .. } | OrphanTarget::Temporary => (None, None),
        };
        CandidateEntry {
            id: candidate.id.clone(),
            kind: candidate.kind,
            object: candidate.object.clone(),
            name,
            job_id,
            path: candidate.path.clone(),
            bytes: candidate.bytes,
            age_ms: candidate.age_ms,
            safe: candidate.safe,
            checks: candidate.checks.clone(),
        }
    }
}

/// `orphans candidates`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs)]
pub struct CandidatesReport {
    /// Null when nobody has scanned.
    pub plan_id: Option<String>,
    pub taken_at: Option<Timestamp>,
    pub candidates: Vec<CandidateEntry>,
    pub total: u64,
    pub bytes_total: u64,
    pub protected_total: u64,
    pub next_cursor: Option<String>,
    /// What can be restored.
    pub trash: Vec<Trashed>,
}

impl CandidatesReport {
    /// Makes the report from a saved plan and the trash.
    pub(crate) fn new(
        plan: Option<&OrphanPlan>,
        kinds: &[OrphanKind],
        trash: Vec<Trashed>,
        page: &Page,
    ) -> Result<CandidatesReport, BadCursor> {
        let all = plan.map(|p| p.candidates.as_slice()).unwrap_or_default();
        let wanted = all.iter().filter(|c| kinds.is_empty() || kinds.contains(&c.kind));
        let candidates: Vec<CandidateEntry> = wanted.map(CandidateEntry::of).collect();
        let total = candidates.len() as u64;
        let (candidates, next_cursor) = cut_counted(candidates, page)?;
        Ok(CandidatesReport {
            plan_id: plan.map(|p| p.plan_id.clone()),
            taken_at: plan.map(|p| p.taken_at),
            candidates,
            total,
            bytes_total: plan.map_or(0, OrphanPlan::bytes_total),
            protected_total: plan.map_or(0, OrphanPlan::protected_total),
            next_cursor,
            trash,
        })
    }
}

/// How many orphans are named one by one.
const NAMED: usize = 20;

/// Returns the findings of the last scan, by any process, whose objects nobody has removed since.
pub(crate) fn standing(dir: &StateDir) -> Vec<Finding> {
    let Ok(Some(plan)) = plan(dir) else { return Vec::new() };
    let since = entries(dir).unwrap_or_default().into_iter().filter(|entry| entry.at >= plan.taken_at);
    let removed: HashSet<String> = since.filter(|e| e.result == "removed").map(|e| e.id).collect();
    let left = plan.candidates.iter().filter(|c| !removed.contains(&c.id));
    let carry_out = format!("recoveryctl orphans cleanup --plan {}", plan.plan_id);
    let mut found: Vec<Finding> = left.filter_map(Candidate::finding).collect();
    for finding in found.iter_mut().filter(|f| f.code == catalogue::ORPHAN_FOUND.code) {
        finding.next = Some(carry_out.clone());
    }
    let more = found.len().saturating_sub(NAMED);
    found.truncate(NAMED);
    if more > 0 {
        let sentence = format!("{} in the plan of the last scan", human::count(more, "more orphan"));
        let rest = Finding::new(&catalogue::ORPHAN_FOUND, Object::Orphans, sentence);
        found.push(rest.with_next("recoveryctl orphans candidates"));
    }
    found
}

/// The plan of the last scan in figures.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs)]
pub struct OrphanTotals {
    /// Null when nobody has scanned.
    pub plan_id: Option<String>,
    pub taken_at: Option<Timestamp>,
    /// Candidates.
    pub total: u64,
    /// Disk space of what is safe to remove.
    pub bytes_total: u64,
    /// Candidates that a check protects.
    pub protected_total: u64,
    /// What can be restored.
    pub trash_total: u64,
}

impl OrphanTotals {
    /// Reads the saved plan and lists the trash.
    pub(crate) fn read(dir: &StateDir) -> Result<OrphanTotals, DiskError> {
        let plan = plan(dir)?;
        let plan = plan.as_ref();
        Ok(OrphanTotals {
            plan_id: plan.map(|p| p.plan_id.clone()),
            taken_at: plan.map(|p| p.taken_at),
            total: plan.map_or(0, |p| p.candidates.len() as u64),
            bytes_total: plan.map_or(0, OrphanPlan::bytes_total),
            protected_total: plan.map_or(0, OrphanPlan::protected_total),
            trash_total: trashed(dir)?.len() as u64,
        })
    }
}

/// What is gone.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs)]
pub struct RemovedEntry {
    pub id: String,
    pub kind: OrphanKind,
    pub object: String,
    pub bytes_freed: u64,
    /// `removed`, `in_trash`, `already_gone`, …
    pub how: String,
}

/// What a check protects.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs)]
pub struct RefusedEntry {
    pub id: String,
    pub object: String,
    pub check: String,
    pub detail: String,
}

/// What could not be removed.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs)]
pub struct FailedEntry {
    pub id: String,
    pub object: String,
    pub error: String,
}

/// `orphans cleanup`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs)]
pub struct OrphansCleanup {
    pub plan_id: String,
    pub removed: Vec<RemovedEntry>,
    pub refused: Vec<RefusedEntry>,
    pub failed: Vec<FailedEntry>,
    /// Folders in the trash count: they give their space back when it is emptied.
    pub bytes_freed: u64,
    pub dry_run: bool,
}

impl OrphansCleanup {
    /// Reports what was executed.
    pub(crate) fn new(executed: &Executed) -> OrphansCleanup {
        let removed = executed.removed.iter().map(|(c, bytes, how)| RemovedEntry {
            id: c.id.clone(),
            kind: c.kind,
            object: c.object.clone(),
            bytes_freed: *bytes,
            how: how.clone(),
        });
        let refused = executed.refused.iter().map(|r| RefusedEntry {
            id: r.candidate.id.clone(),
            object: r.candidate.object.clone(),
            check: r.check.check.to_string(),
            detail: r.check.evidence.to_string(),
        });
        let failed = executed.failed.iter().map(|f| FailedEntry {
            id: f.candidate.id.clone(),
            object: f.candidate.object.clone(),
            error: f.error.clone(),
        });
        OrphansCleanup {
            plan_id: executed.plan_id.clone(),
            removed: removed.collect(),
            refused: refused.collect(),
            failed: failed.collect(),
            bytes_freed: executed.removed.iter().map(|(_, bytes, _)| bytes).sum(),
            dry_run: executed.dry_run,
        }
    }
}

/// `orphans cleanup-log`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs)]
pub struct OrphansLog {
    /// The newest first.
    pub entries: Vec<LogEntry>,
    pub total: u64,
    pub next_cursor: Option<String>,
}

impl OrphansLog {
    /// Returns a page of the log, without the intents, which their results follow.
    pub(crate) fn new(entries: Vec<LogEntry>, page: &Page) -> Result<OrphansLog, BadCursor> {
        let settled: Vec<LogEntry> = entries.into_iter().filter(|e| e.result != "intent").collect();
        let total = settled.len() as u64;
        let (entries, next_cursor) = cut_counted(settled, &page.newest_first())?;
        Ok(OrphansLog { entries, total, next_cursor })
    }
}
