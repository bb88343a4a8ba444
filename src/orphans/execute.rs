//! Executes a plan: every check is made again right before each removal; the plan only shrinks.

use std::collections::HashSet;
use std::path::Path;

use super::candidate::{Candidate, Check, OrphanKind, OrphanPlan, OrphanTarget};
use super::folders::SeenFolder;
use super::log::{LogEntry, OrphanLog};
use super::saved::{PLAN_LASTS_MS, plan, save};
use super::scan::alone;
use super::scan_context::{OrphanSettings, ScanContext};
use super::trash::{self, TrashError};
use crate::durable::log::LogError;
use crate::durable::tree::{TakeError, TreeIdentity, TreeSize, measure_tree};
use crate::durable::{Abandoned, DiskError, LockError, remove_abandoned};
use crate::jobs::{JobLockGuard, lock_job_files};
use crate::locks::{self, JobLivenessOf, LockOutcome};
use crate::queue::{JobId, Queue, QueueError};
use crate::state::StateDir;
use crate::state::names::decode;
use crate::system::docker::{DockerObject, Engines, Removal};
use crate::system::end_process;

/// How many candidates are judged and locked at a time; each takes a descriptor.
const BATCH: usize = 64;
/// How long a killed process may take to end, in milliseconds.
const KILL_WAIT_MS: u64 = 5000;

/// Which part of a plan to execute.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// The id of the plan; `None` for the saved one.
    pub plan_id: Option<String>,
    /// Only these candidates; all when empty.
    pub ids: Vec<String>,
    /// Only these kinds; all when empty.
    pub kinds: Vec<OrphanKind>,
    /// Whether only to say what would be done.
    pub dry_run: bool,
}

/// Why nothing was executed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExecuteError {
    /// There was no scan, or the plan is not the saved one.
    #[error("plan {named} is out of date: {why}")]
    OutOfDate {
        /// The plan that was named.
        named: String,
        why: String,
    },
    /// The plan has no such candidate.
    #[error("plan {plan_id} has no candidate '{id}'")]
    NoSuchCandidate {
        /// The plan's id.
        plan_id: String,
        /// The requested id.
        id: String,
    },
    /// A lock could not be taken.
    #[error(transparent)]
    Lock(#[from] LockError),
    #[error(transparent)]
    Queue(#[from] QueueError),
    #[error(transparent)]
    Log(#[from] LogError),
    #[error(transparent)]
    Trash(#[from] TrashError),
    #[error(transparent)]
    Disk(#[from] DiskError),
}

/// A candidate that a check protects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedCandidate {
    pub candidate: Candidate,
    /// The check that did not pass.
    pub check: Check,
}

/// A candidate that could not be removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailedCandidate {
    pub candidate: Candidate,
    pub error: String,
}

/// The result of an execution.
#[derive(Debug, Clone, Default)]
pub struct Executed {
    pub plan_id: String,
    /// Candidates that were removed (or would be), each with the bytes freed or moved to the trash, and how
    /// it was removed.
    pub removed: Vec<(Candidate, u64, String)>,
    /// Candidates that a check protects.
    pub refused: Vec<RefusedCandidate>,
    /// Candidates that could not be removed.
    pub failed: Vec<FailedCandidate>,
    /// Whether nothing was done.
    pub dry_run: bool,
}

/// Returns the candidates of the saved plan that a request selects.
fn chosen(dir: &StateDir, request: &Request) -> Result<(OrphanPlan, Vec<Candidate>), ExecuteError> {
    let named = request.plan_id.clone().unwrap_or_else(|| "of the last scan".to_owned());
    let out_of_date = |why: &str| ExecuteError::OutOfDate { named: named.clone(), why: why.to_owned() };
    let plan = plan(dir)?.ok_or_else(|| out_of_date("there is no readable plan: scan first"))?;
    if request.plan_id.as_ref().is_some_and(|id| *id != plan.plan_id) {
        return Err(out_of_date(&format!("the newest plan is {}", plan.plan_id)));
    }
    let age = dir.clock.now().millis_since(plan.taken_at);
    if !(0..PLAN_LASTS_MS).contains(&age) {
        return Err(out_of_date("it was made more than a day ago, or in the future"));
    }
    let known: HashSet<&str> = plan.candidates.iter().map(|c| &*c.id).collect();
    if let Some(id) = request.ids.iter().find(|id| !known.contains(id.as_str())) {
        return Err(ExecuteError::NoSuchCandidate { plan_id: plan.plan_id, id: id.clone() });
    }
    let wanted: HashSet<&str> = request.ids.iter().map(|id| &**id).collect();
    let is_chosen = |c: &&Candidate| {
        (wanted.is_empty() || wanted.contains(&*c.id))
            && (request.kinds.is_empty() || request.kinds.contains(&c.kind))
            // A protected candidate is selected only by its id.
            && (c.safe || wanted.contains(&*c.id))
    };
    let mut chosen: Vec<Candidate> = plan.candidates.iter().filter(is_chosen).cloned().collect();
    chosen.sort_by_key(|c| c.kind.rank());
    Ok((plan, chosen))
}

/// Executes the selected part of the saved plan.
///
/// # Errors
/// [`ExecuteError`]. The log holds the removals made before.
pub fn execute(
    dir: &StateDir,
    queue: &mut Queue,
    settings: &OrphanSettings,
    job_liveness: &JobLivenessOf<'_>,
    request: &Request,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<Executed, ExecuteError> {
    let _alone = alone(dir)?;
    let (plan, chosen) = chosen(dir, request)?;
    let log = if request.dry_run { None } else { Some(OrphanLog::open(dir)?) };
    let (plan_id, dry_run) = (plan.plan_id.clone(), request.dry_run);
    let mut work = Work {
        dir,
        settings,
        plan_id: plan_id.clone(),
        log,
        executed: Executed { plan_id, dry_run, ..Executed::default() },
    };
    let total = chosen.len();
    let (objects, others): (Vec<_>, Vec<_>) =
        chosen.into_iter().partition(|c| matches!(c.what, OrphanTarget::Docker { .. }));
    let (processes, others): (Vec<_>, Vec<_>) =
        others.into_iter().partition(|c| c.kind == OrphanKind::Process);
    let mut done = processes.len();
    work.batch(processes, queue, job_liveness)?;
    progress(done, total);
    for kind in [OrphanKind::Container, OrphanKind::Network, OrphanKind::Volume] {
        let of_kind: Vec<Candidate> = objects.iter().filter(|c| c.kind == kind).cloned().collect();
        if !of_kind.is_empty() {
            done += of_kind.len();
            work.docker(of_kind, queue)?;
            progress(done, total);
        }
    }
    for batch in others.chunks(BATCH) {
        work.batch(batch.to_vec(), queue, job_liveness)?;
        done += batch.len();
        progress(done, total);
    }
    let executed = work.executed;
    if !dry_run {
        let gone: HashSet<&str> = executed.removed.iter().map(|(r, _, _)| &*r.id).collect();
        let mut left = plan;
        left.candidates.retain(|c| !gone.contains(&*c.id));
        save(dir, &left)?;
        trash::empty(dir, settings, &[])?;
    }
    Ok(executed)
}

struct Work<'a> {
    dir: &'a StateDir,
    settings: &'a OrphanSettings,
    plan_id: String,
    log: Option<OrphanLog>,
    executed: Executed,
}

impl Work<'_> {
    fn entry(&self, candidate: &Candidate, result: &str, bytes_freed: u64, detail: &str) -> LogEntry {
        LogEntry {
            at: self.dir.clock.now(),
            plan_id: self.plan_id.clone(),
            id: candidate.id.clone(),
            kind: candidate.kind,
            object: candidate.object.clone(),
            result: result.to_owned(),
            bytes_freed,
            detail: detail.to_owned(),
            evidence: Vec::new(),
            by: self.settings.actor.by.clone(),
            reason: self.settings.actor.why.clone(),
        }
    }

    fn enter(&self, entries: &[LogEntry]) -> Result<(), LogError> {
        self.log.as_ref().map_or(Ok(()), |log| log.enter(entries))
    }

    fn removed(&mut self, candidate: Candidate, bytes: u64, how: &str) -> Result<(), LogError> {
        let entry = self.entry(&candidate, "removed", bytes, how);
        // Another process has already removed it.
        let evidence = if how == "already_gone" { Vec::new() } else { candidate.evidence() };
        self.enter(&[LogEntry { evidence, ..entry }])?;
        self.executed.removed.push((candidate, bytes, how.to_owned()));
        Ok(())
    }

    fn refused(&mut self, candidate: Candidate, check: Check) -> Result<(), LogError> {
        let detail = format!("{}: {}", check.check, check.evidence);
        self.enter(&[self.entry(&candidate, "refused", 0, &detail)])?;
        self.executed.refused.push(RefusedCandidate { candidate, check });
        Ok(())
    }

    fn failed(&mut self, candidate: Candidate, error: String) -> Result<(), LogError> {
        self.enter(&[self.entry(&candidate, "failed", 0, &error)])?;
        self.executed.failed.push(FailedCandidate { candidate, error });
        Ok(())
    }

    /// Executes some candidates that are not objects of the engine. They are judged once; those that pass are
    /// judged again by a new picture, with the locks of their workspaces held.
    fn batch(
        &mut self,
        candidates: Vec<Candidate>,
        queue: &mut Queue,
        job_liveness: &JobLivenessOf<'_>,
    ) -> Result<(), ExecuteError> {
        if candidates.is_empty() {
            return Ok(());
        }
        queue.refresh()?;
        // The ages are taken before a lock file is made in a folder, which changes its age.
        let ages: Vec<Option<TreeSize>> = candidates.iter().map(size_of).collect();
        let first = self.judged(candidates.into_iter().zip(ages).collect(), queue, job_liveness, false)?;
        let (mut held, mut guards) = (Vec::new(), Vec::new());
        for (candidate, size) in first {
            match self.hold(&candidate, &mut guards) {
                Ok(()) => held.push((candidate, size)),
                Err(LockError::Held { .. }) => {
                    let check = Check::is("lock-free", false, "sentinel.lock is held: something lives there");
                    self.refused(candidate, check)?;
                }
                Err(LockError::Disk(e)) => self.failed(candidate, format!("{e}: {}", e.source))?,
            }
        }
        // While the locks are held, no supervisor can begin anything, so a verdict from here on stays true.
        queue.refresh()?;
        for (candidate, _) in self.judged(held, queue, job_liveness, true)? {
            if self.executed.dry_run {
                let bytes = candidate.bytes;
                self.removed(candidate, bytes, "would be removed")?;
                continue;
            }
            // The intent is logged first: an act without an entry could not be explained later.
            self.enter(&[self.entry(&candidate, "intent", 0, "")])?;
            match self.remove(&candidate, job_liveness) {
                Ok((bytes, how)) => self.removed(candidate, bytes, how)?,
                Err(why) => self.failed(candidate, why)?,
            }
        }
        Ok(())
    }

    /// Returns the candidates that pass every check in one new picture; reports the others.
    fn judged(
        &mut self,
        candidates: Vec<(Candidate, Option<TreeSize>)>,
        queue: &Queue,
        job_liveness: &JobLivenessOf<'_>,
        own: bool,
    ) -> Result<Vec<(Candidate, Option<TreeSize>)>, ExecuteError> {
        let world = ScanContext::look(self.dir, self.settings, queue)?;
        let mut passed = Vec::new();
        for (candidate, size) in candidates {
            match checks_again(&world, job_liveness, &candidate, size, own)? {
                None => self.removed(candidate, 0, "already_gone")?,
                Some(checks) => match checks.into_iter().find(|c| c.passed != Some(true)) {
                    Some(check) => self.refused(candidate, check)?,
                    None => passed.push((candidate, size)),
                },
            }
        }
        Ok(passed)
    }

    /// Takes the lock of the candidate's job while the candidate is judged and removed.
    fn hold(&self, candidate: &Candidate, guards: &mut Vec<(JobId, JobLockGuard)>) -> Result<(), LockError> {
        let OrphanTarget::Tree { job: Some(id), .. } = &candidate.what else { return Ok(()) };
        let is_there = self.dir.paths.job(&id.to_string()).is_ok_and(|paths| paths.sentinel_lock().exists());
        // A dry run makes no lock file.
        if guards.iter().any(|(held, _)| held == id) || !is_there && self.executed.dry_run {
            return Ok(());
        }
        guards.push((id.clone(), lock_job_files(self.dir, id)?));
        Ok(())
    }

    fn remove(
        &self,
        candidate: &Candidate,
        job_liveness: &JobLivenessOf<'_>,
    ) -> Result<(u64, &'static str), String> {
        match (&candidate.what, &candidate.path) {
            (OrphanTarget::Tree { identity, .. }, Some(path)) => self.remove_tree(candidate, path, *identity),
            (OrphanTarget::Temporary, Some(path)) => match remove_abandoned(&self.dir.disk, path) {
                Ok(Abandoned::Removed { .. }) => Ok((candidate.bytes, "removed")),
                Ok(Abandoned::Gone) => Ok((0, "already_gone")),
                Ok(Abandoned::InUse) => Err("a process is writing it".to_owned()),
                Err(e) => Err(format!("{e}: {}", e.source)),
            },
            (OrphanTarget::Lock { repository, .. }, _) => {
                match locks::recover_one(self.dir, repository, job_liveness) {
                    Ok(None) => Ok((0, "already_gone")),
                    Ok(Some(lock)) if lock.outcome == LockOutcome::Released => Ok((0, "given_back")),
                    Ok(Some(lock)) => Err(lock.evidence.join("; ")),
                    Err(e) => Err(e.to_string()),
                }
            }
            (OrphanTarget::Process { process, .. }, _) => match end_process(*process, KILL_WAIT_MS) {
                Ok(true) => Ok((0, "ended")),
                Ok(false) => Err("it was killed and does not end".to_owned()),
                Err(e) => Err(e.to_string()),
            },
            _ => Err("the plan does not say where it is".to_owned()),
        }
    }

    fn remove_tree(
        &self,
        candidate: &Candidate,
        path: &Path,
        identity: TreeIdentity,
    ) -> Result<(u64, &'static str), String> {
        let judged = trash::keep_work(self.dir, self.settings, candidate, path)
            .map_err(|why| format!("git work may be lost, so it stays: {why}"))?;
        match trash::take(self.dir, candidate, path, identity, &self.plan_id, &judged) {
            Ok(true) => Ok((candidate.bytes, "in_trash")),
            Ok(false) => Ok((0, "already_gone")),
            Err(TakeError::Disk(e)) => Err(format!("{e}: {}", e.source)),
            Err(other) => Err(other.to_string()),
        }
    }

    /// Executes objects of one kind together: they are checked in one picture that is a moment old, with the
    /// locks of their jobs held.
    fn docker(&mut self, candidates: Vec<Candidate>, queue: &mut Queue) -> Result<(), ExecuteError> {
        let guards = self.guards(&candidates);
        queue.refresh()?;
        let world = ScanContext::look(self.dir, self.settings, queue)?;
        let mut going: Vec<(Candidate, DockerObject)> = Vec::new();
        for candidate in candidates {
            let OrphanTarget::Docker { object } = &candidate.what else { continue };
            match world.object_again(object) {
                None => self.removed(candidate, 0, "already_gone")?,
                Some((now, checks)) => {
                    let job = job_of(&candidate);
                    let ours = |c: &Check| {
                        c.check == "lock-free" && guards.iter().any(|(id, _)| Some(id) == job.as_ref())
                    };
                    match checks.into_iter().find(|c| c.passed != Some(true) && !ours(c)) {
                        Some(check) => self.refused(candidate, check)?,
                        None if self.executed.dry_run => self.removed(candidate, 0, "would be removed")?,
                        None => going.push((candidate, now)),
                    }
                }
            }
        }
        let intents: Vec<LogEntry> = going.iter().map(|(c, _)| self.entry(c, "intent", 0, "")).collect();
        self.enter(&intents)?;
        if let Some(Ok((engine, _))) = &world.engine {
            self.remove_objects(engine, &going)?;
        }
        drop(guards);
        Ok(())
    }

    /// Takes the locks of the workspaces of jobs that are over: an attempt that is resumed now waits for this
    /// process.
    fn guards(&self, candidates: &[Candidate]) -> Vec<(JobId, JobLockGuard)> {
        let mut guards: Vec<(JobId, JobLockGuard)> = Vec::new();
        for candidate in candidates {
            let Some(id) = job_of(candidate) else { continue };
            let attempts = self.dir.paths.job(&id.to_string()).map(|paths| paths.attempts);
            // Without that folder nothing has begun, and none is made for this.
            if guards.iter().any(|(held, _)| *held == id) || !attempts.is_ok_and(|folder| folder.is_dir()) {
                continue;
            }
            guards.extend(lock_job_files(self.dir, &id).ok().map(|guard| (id, guard)));
        }
        guards
    }

    fn remove_objects(
        &mut self,
        engine: &Engines,
        going: &[(Candidate, DockerObject)],
    ) -> Result<(), ExecuteError> {
        let objects: Vec<DockerObject> = going.iter().map(|(_, object)| object.clone()).collect();
        let mut entered = Ok(());
        engine.remove_all(&objects, &mut |object, removal| {
            let Some((candidate, _)) = going.iter().find(|(_, o)| o.id == object.id) else { return };
            let result = match removal {
                Ok(Removal::Removed) => self.removed(candidate.clone(), candidate.bytes, "removed"),
                Ok(Removal::AlreadyGone) => self.removed(candidate.clone(), 0, "already_gone"),
                Err(error) => self.failed(candidate.clone(), error.to_string()),
            };
            if result.is_err() {
                entered = result;
            }
        });
        Ok(entered?)
    }
}

/// Returns the job that an object's label names, as it is or decoded.
fn job_of(candidate: &Candidate) -> Option<JobId> {
    let OrphanTarget::Docker { object } = &candidate.what else { return None };
    let label = object.job.as_deref()?;
    decode(label).and_then(|id| id.parse().ok()).or_else(|| label.parse().ok())
}

pub(super) fn size_of(candidate: &Candidate) -> Option<TreeSize> {
    let is_tree = matches!(candidate.what, OrphanTarget::Tree { .. });
    candidate.path.as_deref().filter(|_| is_tree).map(measure_tree)
}

/// Checks that the object is still the planned one.
pub(super) fn identity_check(is_same: bool, what: &str) -> Check {
    let seen = if is_same { "as in the plan" } else { "not as in the plan: another one has its name by now" };
    Check::is("identity", is_same, format!("{what}: {seen}"))
}

/// Returns the candidate as it is now, with its checks; `None` when it is gone.
pub(super) fn checks_again(
    world: &ScanContext<'_>,
    job_liveness: &JobLivenessOf<'_>,
    candidate: &Candidate,
    size: Option<TreeSize>,
    own: bool,
) -> Result<Option<Vec<Check>>, DiskError> {
    match (&candidate.what, &candidate.path) {
        (OrphanTarget::Tree { identity, job }, Some(path)) => {
            let Some(now) = TreeIdentity::of(path)? else { return Ok(None) };
            let same = identity_check(now == *identity, "device, inode and creation");
            let size = size.unwrap_or_default();
            let uses = world.in_use.of(path, job.as_ref());
            let (age_ms, has_mounts) = (world.age_of(size.newest_ms), size.has_mounts);
            let seen = SeenFolder { age_ms, has_mounts, uses: &uses, own };
            let rest = world.checks_of_folder(candidate.kind, path, job.as_ref(), &seen);
            Ok(Some(std::iter::once(same).chain(rest).collect()))
        }
        (OrphanTarget::Temporary, Some(path)) => match path.symlink_metadata() {
            Ok(found) => {
                use std::os::unix::fs::MetadataExt;
                let age = world.age_of(found.mtime() * 1000 + found.mtime_nsec() / 1_000_000);
                Ok(Some(world.checks_of_temporary_file(path, age)))
            }
            Err(_) => Ok(None), // It has gone.
        },
        (OrphanTarget::Lock { repository, lock_id }, _) => {
            let lock = locks::inspect(world.dir, repository, job_liveness).ok().flatten();
            Ok(lock.filter(locks::LockInfo::is_active).map(|l| {
                let same = identity_check(l.lock_id == *lock_id, "the grant");
                std::iter::once(same).chain(world.checks_of_lock(&l)).collect()
            }))
        }
        (OrphanTarget::Process { process, job }, _) => {
            if crate::system::presence(*process) == crate::system::Presence::Gone {
                return Ok(None);
            }
            let Ok(id) = job.parse() else { return Ok(None) };
            Ok(Some(world.checks_of_process(*process, &id)))
        }
        _ => Ok(Some(vec![Check::new("identity", None, "the plan does not say what it is")])),
    }
}
