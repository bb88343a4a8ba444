//! The scan: examines every kind in one picture and makes one plan.

use std::collections::BTreeMap;

use super::candidate::{Candidate, OrphanKind, OrphanPlan};
use super::saved::PLAN_LASTS_MS;
use super::saved::{plan, save};
use super::scan_context::ScanContext;
use crate::durable::{DiskError, FileLock, LockError};
use crate::findings::Finding;
use crate::locks::JobLivenessOf;
use crate::state::StateDir;

/// Why there is no plan.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ScanError {
    /// Another scan, or a cleanup of orphans, is under way.
    #[error(transparent)]
    Lock(#[from] LockError),
    #[error(transparent)]
    Disk(#[from] DiskError),
}

/// The results of a scan so far.
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

/// Takes the lock by which only one scan or removal of orphans runs at a time.
pub(super) fn alone(dir: &StateDir) -> Result<FileLock, LockError> {
    dir.disk.ensure_dir(&dir.paths.orphans())?;
    FileLock::acquire(&dir.disk, &dir.paths.orphans_lock(), dir.lock_wait)
}

/// Looks for orphans of these kinds (all when none is named), and saves the plan. Changes nothing else.
/// `damage` holds other findings, to be kept with it.
///
/// # Errors
/// [`ScanError`]; the previous plan is then still there.
pub fn scan(
    world: &ScanContext<'_>,
    job_liveness: &JobLivenessOf<'_>,
    kinds: &[OrphanKind],
    damage: Vec<Finding>,
) -> Result<OrphanPlan, ScanError> {
    let _alone = alone(world.dir)?;
    let plan = look(world, job_liveness, kinds, damage)?;
    save(world.dir, &plan)?;
    Ok(plan)
}

/// As [`scan`], without saving the plan.
pub(crate) fn rehearse(
    world: &ScanContext<'_>,
    job_liveness: &JobLivenessOf<'_>,
    kinds: &[OrphanKind],
    damage: Vec<Finding>,
) -> Result<OrphanPlan, ScanError> {
    look(world, job_liveness, kinds, damage)
}

/// [`scan`] of all kinds, which keeps the saved plan when it says the same and is new enough: a recovery that
/// finds nothing new changes nothing. Its findings count as not reported.
pub(crate) fn rescan(
    world: &ScanContext<'_>,
    job_liveness: &JobLivenessOf<'_>,
) -> Result<OrphanPlan, ScanError> {
    let _alone = alone(world.dir)?;
    let found = look(world, job_liveness, &[], Vec::new())?;
    let saved = plan(world.dir)?;
    let lasts = |saved: &OrphanPlan| {
        let age = world.now.millis_since(saved.taken_at);
        (0..PLAN_LASTS_MS / 2).contains(&age) && saved.says_the_same(&found)
    };
    let told = saved.as_ref().map(OrphanPlan::told).unwrap_or_default();
    if let Some(saved) = saved.filter(lasts) {
        return Ok(saved);
    }
    let found = OrphanPlan { told: Some(told), ..found };
    save(world.dir, &found)?;
    Ok(found)
}

fn look(
    world: &ScanContext<'_>,
    job_liveness: &JobLivenessOf<'_>,
    kinds: &[OrphanKind],
    damage: Vec<Finding>,
) -> Result<OrphanPlan, ScanError> {
    let wanted = |kind| kinds.is_empty() || kinds.contains(&kind);
    let mut scanned = Scanned { findings: damage, ..Scanned::default() };
    for kind in OrphanKind::ALL.iter().copied().filter(|k| wanted(*k)) {
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
    let Scanned { counts, mut candidates, findings } = scanned;
    candidates.sort_by(|a, b| (b.bytes, &a.object).cmp(&(a.bytes, &b.object)));
    Ok(OrphanPlan {
        plan_id: uuid::Uuid::now_v7().to_string(),
        taken_at: world.now,
        scanned: counts,
        candidates,
        damage: findings,
        told: None,
    })
}
