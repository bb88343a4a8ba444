//! A supervisor from its start to its exit.

use rustix::io::Errno;
use tracing::debug;

use super::attempt::RunningAttempt;
use super::claim::{ClaimStatus, Decisions, claimed_job};
use super::repository::{HeldRepository, RepositoryRequest};
use super::settings::{SuperviseError, SuperviseSettings, Supervised, SupervisorHooks, SystemContext};
use super::signals::Signals;
use super::stage::{AttemptPlan, clear_away, make_workspace};
use super::unclaim::give_back;
use crate::durable::{FileLock, LockError, is_not_regular};
use crate::jobs::cgroup_name;
use crate::jobs::layout_2::move_attempts_of;
use crate::jobs::recover::put_away_what_is_no_lock;
use crate::logging::events;
use crate::queue::Job;
use crate::state::{JobPaths, StateDir};
use crate::system::Cgroup;

/// How often a lock is made whose folder another process keeps removing.
const LOCK_TRIES: u32 = 10;

/// Supervises one attempt of a job from its claim to its end. The calling process must have been made for this:
/// it gets a session of its own, and every child that it has is reaped and ended.
///
/// # Errors
/// See [`SuperviseError`]. An end of an attempt that cannot be recorded is tried again for ever.
pub fn supervise(
    dir: &StateDir,
    settings: &SuperviseSettings,
    hooks: &SupervisorHooks<'_>,
) -> Result<Supervised, SuperviseError> {
    // This comes first: a signal between here and the sentinel must not kill a half-begun attempt.
    let signals = Signals::catch().system_context("catch signals")?;
    detach()?;
    let mut paths = dir.paths.job(&settings.job.to_string())?;
    if paths.is_of_layout_2() {
        move_attempts_of(dir, &settings.job)?;
        paths = dir.paths.job(&settings.job.to_string())?;
    }
    // The lock is taken before the claim is verified: a process that finds the lock free may then record that
    // this claim never started, and this supervisor will see that record.
    let lock = take_lock(dir, &paths, settings)?;
    let mut decisions =
        Decisions::follow(dir, &settings.job, settings.claim, settings.log_position, settings.watch_log)?;
    match decisions.standing() {
        ClaimStatus::Lost(why) => return Ok(Supervised::ClaimLost { why: why.clone() }),
        ClaimStatus::Cancelled(_) => return give_back(dir, settings, "cancelled before it started", None),
        ClaimStatus::Current => {}
    }
    let Some(job) = claimed_job(dir, &settings.job, settings.claim)? else {
        return Ok(Supervised::ClaimLost { why: "the job is not in the queue by this claim".to_owned() });
    };
    // The repository comes before any file of the attempt: without it, no file may suggest that the attempt was
    // begun.
    let repository = match take_repository(dir, settings, hooks, &job) {
        Ok(repository) => repository,
        Err(why) => {
            let pause = i64::try_from(settings.repository_pause.as_millis()).unwrap_or(i64::MAX);
            return give_back(dir, settings, &why, Some(dir.clock.now().plus_millis(pause)));
        }
    };
    // The previous attempt's files are moved before the sentinel of this one appears, so that they cannot be
    // taken for this attempt's.
    clear_away(&dir.disk, &paths, &job, settings.claim)?;
    make_workspace(&dir.disk, &paths)?;
    let plan = AttemptPlan::of(&job, &paths)?;
    let group = make_group(dir, settings);
    let plan = AttemptPlan { cgroup: group.as_ref().map(|g| g.path().to_owned()), ..plan };
    let signals = &signals;
    let attempt = RunningAttempt { dir, settings, hooks, paths: &paths, job: &job, plan, signals, group };
    let outcome = attempt.run(lock, repository, &mut decisions)?;
    Ok(outcome)
}

/// Makes a control group for the attempt. Where none can be made, sessions and marks have to suffice.
fn make_group(dir: &StateDir, settings: &SuperviseSettings) -> Option<Cgroup> {
    let made = settings.cgroup.then(|| Cgroup::create(&cgroup_name::name(dir, settings.claim)))?;
    made.inspect_err(|e| debug!(event = events::TROUBLE, "no control group for the attempt: {e}")).ok()
}

/// Gives this process a session of its own, so that nothing sent to the starter's group or terminal arrives here,
/// and makes it the parent of all orphans among its descendants.
fn detach() -> Result<(), SuperviseError> {
    let own = rustix::process::getpid();
    match rustix::process::setsid() {
        Err(Errno::PERM) if crate::system::leads_a_session() => (),
        opened => {
            opened.system_context("open a session (a supervisor must not lead a group)")?;
        }
    }
    // The call takes any PID for "on".
    rustix::process::set_child_subreaper(Some(own)).system_context("become the reaper of the job's processes")
}

/// Takes the job's lock. For a first attempt it is published locked, so that it is never seen unlocked while its
/// supervisor lives.
fn take_lock(
    dir: &StateDir,
    paths: &JobPaths,
    settings: &SuperviseSettings,
) -> Result<FileLock, SuperviseError> {
    let (disk, path) = (&dir.disk, paths.sentinel_lock());
    let mut tries = 0;
    loop {
        disk.ensure_dir_for_this_boot(&paths.attempts)?;
        if path.symlink_metadata().is_err()
            && let Some(lock) = FileLock::publish(disk, &path)?
        {
            return Ok(lock);
        }
        tries += 1;
        match FileLock::acquire(disk, &path, settings.lock_wait) {
            Ok(lock) => return Ok(lock),
            // A process that had locked the job has removed the folder that this one made.
            Err(LockError::Disk(e)) if e.is_not_found() && tries < LOCK_TRIES => {}
            Err(LockError::Disk(e)) if is_not_regular(&e.source) && tries < LOCK_TRIES => {
                put_away_what_is_no_lock(dir, paths)?;
            }
            Err(LockError::Disk(e)) => return Err(SuperviseError::Disk(e)),
            Err(held) => return Err(SuperviseError::Lock(held)),
        }
    }
}

fn take_repository(
    dir: &StateDir,
    settings: &SuperviseSettings,
    hooks: &SupervisorHooks<'_>,
    job: &Job,
) -> Result<Option<Box<dyn HeldRepository>>, String> {
    let Some(repository) = job.repository.as_deref() else { return Ok(None) };
    let request = RepositoryRequest {
        repository,
        job: &job.id,
        attempt: job.attempt,
        claim: settings.claim,
        wait: settings.repository_wait,
    };
    hooks.gate.take(dir, &request).map(Some).map_err(|e| e.to_string())
}
