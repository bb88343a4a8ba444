//! The scan: every kind, one picture, one plan.

use std::collections::BTreeMap;

use super::candidate::{Candidate, OrphanKind, Plan};
use super::execute::PLAN_LASTS_MS;
use super::world::World;
use crate::durable::{DiskError, FileLock, LockError, read_optional, replace};
use crate::locks::JobLivenessOf;
use crate::report::{Finding, catalogue};
use crate::state::StateDir;

pub(super) const FORMAT: u32 = 1;

/// Why there is no plan.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ScanError {
    /// Another scan, or a cleanup of orphans, is under way.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// The disk.
    #[error(transparent)]
    Disk(#[from] DiskError),
}

/// What a scan gathers.
#[derive(Default)]
pub(super) struct Scanned {
    pub(super) counts: BTreeMap<OrphanKind, u64>,
    pub(super) candidates: Vec<Candidate>,
    pub(super) findings: Vec<Finding>,
}

impl Scanned {
    pub(super) fn count(&mut self, kind: OrphanKind, n: u64) {
        *self.counts.entry(kind).or_default() += n;
    }
}

/// Takes the lock that keeps scans and removals of orphans one at a time.
pub(super) fn alone(dir: &StateDir) -> Result<FileLock, LockError> {
    dir.disk.ensure_dir(&dir.paths.orphans())?;
    FileLock::acquire(&dir.disk, &dir.paths.orphans_lock(), dir.lock_wait)
}

/// Looks for orphans of these kinds, all when none is named, and saves the plan. Changes nothing else.
/// `damage` is what else was found, to be kept with it.
///
/// # Errors
/// [`ScanError`]; the plan before is then still there.
pub fn scan(
    world: &World<'_>,
    job_liveness: &JobLivenessOf<'_>,
    kinds: &[OrphanKind],
    damage: Vec<Finding>,
) -> Result<Plan, ScanError> {
    let _alone = alone(world.dir)?;
    // A large plan takes as long to read as to make: both at once.
    let (before, plan) = std::thread::scope(|scope| {
        let before = scope.spawn(|| plan_before(world.dir));
        let plan = look(world, job_liveness, kinds, damage);
        (before.join().unwrap_or_else(|e| std::panic::resume_unwind(e)), plan)
    });
    let (before, plan) = (before?, plan?);
    save(world.dir, &plan, before)?;
    Ok(plan)
}

/// [`scan`] as a rehearsal: what it would find. The saved plan stays as it is.
///
/// # Errors
/// [`ScanError`].
pub fn rehearse(
    world: &World<'_>,
    job_liveness: &JobLivenessOf<'_>,
    kinds: &[OrphanKind],
    damage: Vec<Finding>,
) -> Result<Plan, ScanError> {
    look(world, job_liveness, kinds, damage)
}

/// [`scan`] of all kinds, which leaves the saved plan alone when it says the same and is new enough: a
/// recovery that finds nothing new changes nothing. What it finds counts as told to nobody.
///
/// # Errors
/// See [`scan`].
pub fn rescan(world: &World<'_>, job_liveness: &JobLivenessOf<'_>) -> Result<Plan, ScanError> {
    let _alone = alone(world.dir)?;
    let found = look(world, job_liveness, &[], Vec::new())?;
    let saved = plan(world.dir)?;
    let lasts = |saved: &Plan| {
        let age = world.now.millis_since(saved.taken_at);
        (0..PLAN_LASTS_MS / 2).contains(&age) && saved.says_the_same(&found)
    };
    let told = saved.as_ref().map(Plan::told).unwrap_or_default();
    if let Some(saved) = saved.filter(lasts) {
        return Ok(saved);
    }
    let found = Plan { told: Some(told), ..found };
    save(world.dir, &found, plan_before(world.dir)?)?;
    Ok(found)
}

fn look(
    world: &World<'_>,
    job_liveness: &JobLivenessOf<'_>,
    kinds: &[OrphanKind],
    damage: Vec<Finding>,
) -> Result<Plan, ScanError> {
    let wanted = |kind| kinds.is_empty() || kinds.contains(&kind);
    let mut scanned = Scanned { findings: damage, ..Scanned::default() };
    for kind in OrphanKind::ALL.into_iter().filter(|k| wanted(*k)) {
        scanned.count(kind, 0);
    }
    let folders =
        [OrphanKind::JobDirectory, OrphanKind::StagingDirectory, OrphanKind::Index, OrphanKind::Sentinel];
    if folders.into_iter().any(wanted) {
        world.scan_folders(&wanted, &mut scanned)?;
    }
    if [OrphanKind::Container, OrphanKind::Network, OrphanKind::Volume].into_iter().any(wanted) {
        world.scan_docker(&wanted, &mut scanned);
    }
    if wanted(OrphanKind::Lock) {
        world.scan_locks(job_liveness, &mut scanned)?;
    }
    if wanted(OrphanKind::TemporaryFile) {
        world.scan_temporary_files(&mut scanned);
    }
    if wanted(OrphanKind::Process) {
        world.scan_processes(&mut scanned);
    }
    scanned.counts.retain(|kind, _| wanted(*kind));
    let Scanned { counts, mut candidates, mut findings } = scanned;
    candidates.sort_by(|a, b| (b.bytes, &a.object).cmp(&(a.bytes, &b.object)));
    findings.extend(candidates.iter().filter_map(finding));
    Ok(Plan {
        format: FORMAT,
        plan_id: uuid::Uuid::now_v7().to_string(),
        taken_at: world.now,
        scanned: counts,
        candidates,
        findings,
        told: None,
    })
}

/// A safe candidate is to be looked at; a protected one only when somebody has to find out why.
fn finding(candidate: &Candidate) -> Option<Finding> {
    let object = format!("orphan:{}", candidate.id);
    let name = &candidate.object;
    match candidate.objection() {
        None => {
            let bytes = candidate.bytes;
            let sentence = format!("{name} belongs to no job any more ({bytes} bytes)");
            Some(Finding::new(&catalogue::ORPHAN_FOUND, object, sentence))
        }
        Some(check) if check.passed.is_none() => {
            let sentence = format!("{name}: {} cannot be told: {}", check.check, check.evidence);
            Some(Finding::new(&catalogue::ORPHAN_UNKNOWN, object, sentence))
        }
        Some(check) if check.check == "no-mount" => {
            let sentence = format!("{name}: {}", check.evidence);
            Some(Finding::new(&catalogue::MOUNT_IN_WORKSPACE, object, sentence).with_next("recoveryctl scan"))
        }
        Some(_) => None,
    }
}

/// What the file of the saved plan is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Before {
    /// None, or one that a new one may replace.
    Known,
    /// Damaged, or of a later version: it is kept in quarantine.
    Strange,
}

fn plan_before(dir: &StateDir) -> Result<Before, DiskError> {
    let bytes = read_optional(&dir.paths.orphans_plan())?;
    let is_strange = bytes.is_some_and(|bytes| understood(&bytes).is_none());
    Ok(if is_strange { Before::Strange } else { Before::Known })
}

pub(super) fn save(dir: &StateDir, plan: &Plan, before: Before) -> Result<(), DiskError> {
    let path = dir.paths.orphans_plan();
    if before == Before::Strange {
        let why = "it is no plan that this version understands";
        dir.quarantine().keep_file(&path, why, &dir.clock.now().to_string())?;
    }
    let text = serde_json::to_vec(plan).unwrap_or_default();
    replace(&dir.disk, &path, &text)
}

/// The saved plan; `None` when there is none, or it is of a later version or damaged: then it is made anew.
///
/// # Errors
/// What the system says.
pub fn plan(dir: &StateDir) -> Result<Option<Plan>, DiskError> {
    let bytes = read_optional(&dir.paths.orphans_plan())?;
    Ok(bytes.and_then(|bytes| understood(&bytes)))
}

fn understood(bytes: &[u8]) -> Option<Plan> {
    serde_json::from_slice(bytes).ok().filter(|plan: &Plan| plan.format <= FORMAT)
}
