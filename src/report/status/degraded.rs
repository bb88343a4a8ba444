//! Lists what cannot be used: what the last recovery named and still is unusable, and what is unusable now.

use std::collections::BTreeSet;

use super::ladder::{Raised, State};
use super::sources::Sources;
use crate::findings::Object;
use crate::findings::catalogue::{self, is_loss};
use crate::locks::{JobLiveness, inspect};
use crate::queue::JobStatus;
use crate::recovery::{DegradedResource, RecoveryRecord};
use crate::state::StateDir;

/// Returns what cannot be used, by the findings that say so, each resource once.
pub(super) fn degraded(raised: &[Raised]) -> Vec<DegradedResource> {
    let mut seen = BTreeSet::new();
    // How a recovery ended concerns no resource, nor does what could not be delivered.
    let is_resource = |r: &&Raised| {
        r.finding.code != catalogue::RECOVERY_UNFINISHED.code
            && !matches!(r.finding.object, Object::Webhook(_))
    };
    let is_unusable = |r: &&Raised| {
        r.state == State::Degraded || r.finding.object == Object::Daemon && r.state > State::Degraded
    };
    let unusable = raised.iter().filter(is_resource).filter(is_unusable).map(|r| &r.finding);
    unusable
        .filter(|f| seen.insert(f.object.clone()))
        .map(|f| DegradedResource { object: f.object.clone(), why: f.sentence.clone() })
        .collect()
}

/// Returns what the last recovery named as unusable and may still be so. Other findings report on jobs,
/// cleanups, the disk and losses.
pub(super) fn still_unusable<'a>(sources: &'a Sources<'_>) -> impl Iterator<Item = &'a DegradedResource> {
    let lost: BTreeSet<&Object> = sources
        .last
        .into_iter()
        .flat_map(|last| last.snapshot.all_findings())
        .filter(|f| is_loss(&f.code))
        .map(|f| &f.object)
        .collect();
    let last = sources.last.into_iter().flat_map(|r| r.snapshot.degraded_resources());
    let of_another = |object: &Object| matches!(object, Object::Disk | Object::Job(_) | Object::Cleanup(_));
    last.filter(move |r| {
        !lost.contains(&r.object) && !of_another(&r.object) && !is_settled(sources, &r.object)
    })
}

/// Whether the cause is over: the job is not running or crashed any more, nothing is left to report of the
/// cleanup, the lock was given back.
pub(super) fn is_settled(sources: &Sources<'_>, object: &Object) -> bool {
    match (object, sources.cleanups, sources.last) {
        (Object::Cleanup(_), Some(now), _) => !now.iter().any(|f| f.object == *object),
        (Object::Lock(repository), _, Some(last)) => !is_still_taken(sources.dir, repository, last),
        (Object::Job(id), ..) => {
            let job = sources.queue.state().get(id);
            job.is_none_or(|j| !matches!(j.status, JobStatus::Running | JobStatus::Crashed))
        }
        _ => false,
    }
}

/// Whether a lock that the last recovery could not judge is still as it found it: with the same grant, which
/// was not given back.
fn is_still_taken(dir: &StateDir, repository: &str, last: &RecoveryRecord) -> bool {
    let Ok(Some(lock)) = inspect(dir, repository, &|_, _| JobLiveness::Unknown) else { return false };
    let ended = last.snapshot.ended_at.unwrap_or_else(|| dir.clock.now());
    lock.is_active() && lock.acquired_at.is_some_and(|at| at <= ended)
}
