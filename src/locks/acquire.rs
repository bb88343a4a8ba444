//! Acquires a lock: a process goes through the waiting line; a job goes straight to the lock, because the
//! queue was its line.

use std::time::{Duration, Instant};

use tracing::info;

use super::availability::{Availability, availability};
use super::grant::{Granting, LockGrant};
use super::held_by::HeldBy;
use super::inspector::LockInspector;
use super::line::{Ticket, TicketNote};
use super::metadata::LockHolder;
use super::probe::{LockProbe, PROBE_WAIT, probe};
use super::request::{LockRefused, LockRequest, QueuedJobs};
use super::verdict::{JobLiveness, LockVerdict};
use crate::durable::{Backoff, LockError};
use crate::logging::events;
use crate::queue::{Claim, JobId};
use crate::state::{LockPaths, StateDir};
use crate::system::ProcessIdentity;

/// The longest pause between two tries.
const LONGEST_PAUSE: Duration = Duration::from_millis(100);

/// Takes a repository's lock if it is free now and nothing waits for it.
pub fn try_acquire(
    dir: &StateDir,
    repository: &str,
    request: &LockRequest<'_>,
) -> Result<LockGrant, LockRefused> {
    acquire(dir, repository, request, Duration::ZERO)
}

/// Takes a repository's lock, waiting at most `wait` for earlier tickets and jobs, and for a living holder.
///
/// # Errors
/// [`LockRefused::Held`] with the holder after the wait; [`LockRefused::Unavailable`] at once.
pub fn acquire(
    dir: &StateDir,
    repository: &str,
    request: &LockRequest<'_>,
    wait: Duration,
) -> Result<LockGrant, LockRefused> {
    let paths = dir.paths.lock(repository)?;
    if !dir.paths.locks().is_dir() {
        dir.disk.ensure_dir(&dir.paths.locks())?;
    }
    let asking = Asking { dir, repository, paths: &paths, request };
    // Draw a ticket before the first try: a process that comes later must find this one in line.
    let place = match request.holder {
        LockHolder::Process => asking.draw_ticket()?,
        LockHolder::Job { .. } => None,
    };
    let mut backoff = Backoff::new(Duration::from_millis(2), LONGEST_PAUSE);
    let (begun, mut told) = (Instant::now(), false);
    loop {
        let by = match asking.before_us(place.as_ref())? {
            Some(by) => by,
            None => match asking.attempt(place.as_ref())? {
                Attempt::Granted(grant) => {
                    tell_grant(&grant, request, begun.elapsed());
                    return Ok(*grant);
                }
                Attempt::Held(by) => by,
            },
        };
        let waited = begun.elapsed();
        if waited >= wait {
            info!(
                event = events::LOCK_REFUSED,
                repository,
                job_id = request.holder.job_id().map(display),
                held_by = %by,
                "the lock of repository {repository} is not granted: it is held by {by}"
            );
            return Err(LockRefused::Held { by: Box::new(by), waited });
        }
        if !told {
            (request.waiting)(&by);
            told = true;
        }
        std::thread::sleep(backoff.pause().min(wait - waited));
    }
}

fn tell_grant(grant: &LockGrant, request: &LockRequest<'_>, waited: Duration) {
    let (repository, token) = (grant.repository(), grant.token);
    info!(
        event = events::LOCK_GRANTED,
        repository,
        lock_id = grant.lock_id,
        token = token.get(),
        job_id = request.holder.job_id().map(display),
        operation = request.operation,
        waited_ms = u64::try_from(waited.as_millis()).unwrap_or(u64::MAX),
        "the lock of repository {repository} is granted, number {token}"
    );
}

/// Takes a repository's lock in the name of a job's attempt. The caller is the attempt's supervisor: it holds the
/// job's sentinel lock and has verified its claim, so every earlier attempt of the same job is over and its lock
/// may be taken over. The caller knows nothing of other jobs: a lock that a dead supervisor of another job left
/// is refused as unavailable, for a recovery to judge.
pub fn acquire_for_job(
    dir: &StateDir,
    repository: &str,
    job_id: &JobId,
    attempt: u32,
    claim: Claim,
    wait: Duration,
) -> Result<LockGrant, LockRefused> {
    let job_liveness = |other: &JobId, other_claim: Claim| match other == job_id && other_claim <= claim {
        true => JobLiveness::Over,
        false => JobLiveness::Unknown,
    };
    let request = LockRequest {
        holder: LockHolder::Job { job_id: job_id.clone(), attempt, claim },
        operation: "job".to_owned(),
        job_liveness: &job_liveness,
        queue: None,
        waiting: &|_| {},
    };
    acquire(dir, repository, &request, wait)
}

enum Attempt {
    Granted(Box<LockGrant>),
    Held(HeldBy),
}

/// A ticket, and the record after which it was drawn.
struct Drawn {
    ticket: Ticket,
    behind: u64,
}

struct Asking<'a> {
    dir: &'a StateDir,
    repository: &'a str,
    paths: &'a LockPaths,
    request: &'a LockRequest<'a>,
}

impl Asking<'_> {
    /// Draws no ticket on a network file system: there a flock may block, and no lock is granted.
    fn draw_ticket(&self) -> Result<Option<Drawn>, LockRefused> {
        if LockInspector::new(self.dir, self.request.job_liveness).is_on_network() {
            return Ok(None);
        }
        let behind = self.request.queue.map_or(0, QueuedJobs::end);
        let note = TicketNote {
            process: ProcessIdentity::this(),
            operation: self.request.operation.clone(),
            since: self.dir.clock.now(),
            behind,
        };
        match Ticket::draw(self.dir, self.paths, &note) {
            Ok(ticket) => Ok(Some(Drawn { ticket, behind })),
            Err(LockError::Disk(e)) => Err(e.into()),
            Err(e) => Err(self.unavailable(e.to_string(), Vec::new())),
        }
    }

    /// The job or ticket that gets the lock before this one.
    fn before_us(&self, place: Option<&Drawn>) -> Result<Option<HeldBy>, LockRefused> {
        let Some(Drawn { ticket, .. }) = place else { return Ok(None) };
        if let Some(waiter) = ticket.predecessor()? {
            return Ok(Some(HeldBy::before_in_line(self.repository, &waiter)));
        }
        // Report the lock's holder, or its damage, rather than the next in line.
        match availability(self.dir, self.repository) {
            Availability::Held | Availability::Unavailable => Ok(None),
            Availability::Free | Availability::LeftByJob => Ok(self.job_before_us(place)),
        }
    }

    fn job_before_us(&self, place: Option<&Drawn>) -> Option<HeldBy> {
        let job = self.request.queue?.ahead(self.repository, place?.behind)?;
        Some(HeldBy::job_before_in_line(self.repository, &job))
    }

    fn attempt(&self, place: Option<&Drawn>) -> Result<Attempt, LockRefused> {
        let look = LockInspector::new(self.dir, self.request.job_liveness);
        let LockProbe { flock, metadata, judgement } =
            probe(self.dir, &look, self.repository, self.paths, PROBE_WAIT)?;
        match (judgement.verdict, flock) {
            (LockVerdict::Unknown { why }, _) => Err(self.unavailable(why, judgement.evidence)),
            (verdict @ (LockVerdict::Free | LockVerdict::Stale), Some(flock)) => {
                if let Some(by) = self.job_before_us(place) {
                    return Ok(Attempt::Held(by));
                }
                let taken_over = verdict == LockVerdict::Stale;
                let Asking { dir, repository, paths, request } = *self;
                let granting = Granting { dir, repository, paths, request };
                granting.write(flock, &metadata, taken_over).map(|g| Attempt::Granted(Box::new(g)))
            }
            _ => Ok(Attempt::Held(HeldBy::new(self.repository, &metadata, judgement.evidence))),
        }
    }

    fn unavailable(&self, why: String, evidence: Vec<String>) -> LockRefused {
        LockRefused::Unavailable { repository: self.repository.to_owned(), why, evidence }
    }
}
