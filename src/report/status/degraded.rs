//! What cannot be used: what the last recovery called so and still is, and what is so now.

use std::collections::BTreeSet;

use super::findings::{hanging, hangs};
use super::{DAEMON, DISK, STARTS, Sources};
use crate::locks::{JobLiveness, inspect};
use crate::queue::JobStatus;
use crate::recovery::{DegradedResource, RecoveryRecord};
use crate::report::catalogue;
use crate::report::finding::Finding;
use crate::state::StateDir;

/// Findings by which something is unusable until somebody acts: a job that cannot end keeps its repository, a
/// cleanup that cannot keep git work goes nowhere, whether it tries again by itself or not, and a job that nobody knows
/// keeps others from starting.
fn stops_something(sources: &Sources<'_>, finding: &Finding) -> bool {
    let stops = [catalogue::JOB_CANNOT_END.code, catalogue::UNKNOWN_JOB_LIVES.code];
    stops.contains(&finding.code.as_ref()) || sources.at_risk.contains(&finding.object)
}

/// What the last recovery called unusable and still is, and what is unusable now.
pub(super) fn degraded(sources: &Sources<'_>, findings: &[Finding]) -> Vec<DegradedResource> {
    let copied = crate::report::state::findings(sources.dir).into_iter().filter(|_| sources.dir.is_copy());
    let copied: Vec<_> =
        copied.map(|finding| DegradedResource { object: finding.object, why: finding.sentence }).collect();
    if !copied.is_empty() {
        return copied;
    }
    let mut seen = BTreeSet::new();
    let last = sources.last.into_iter().flat_map(|r| r.snapshot.degraded_resources());
    let still = last.filter(|r| !is_settled(sources, &r.object));
    let disk = crate::report::queue::not_writable(sources.queue)
        .map(|f| DegradedResource { object: DISK.to_owned(), why: f.sentence });
    // Whether it can be written is known now, whatever the last recovery said.
    let startups = sources.startups_unreadable.map(|e| DegradedResource {
        object: format!("file:{}", e.path.display()),
        why: format!("{e}: {}", e.source),
    });
    let starts = sources
        .starts_held
        .map(|held| DegradedResource { object: STARTS.to_owned(), why: held.reason.clone() });
    let claimed = sources.hanging_starts.iter();
    let claimed: Vec<_> = claimed
        .map(|(job, since)| DegradedResource { object: format!("job:{job}"), why: hangs(*since) })
        .collect();
    let stopped = findings.iter().filter(|finding| stops_something(sources, finding));
    let stopped: Vec<_> =
        stopped.map(|f| DegradedResource { object: f.object.clone(), why: f.sentence.clone() }).collect();
    let daemon = hanging(sources).map(|(_, why)| DegradedResource { object: DAEMON.to_owned(), why });
    let still = still
        .filter(|r| r.object != DISK)
        .chain(&disk)
        .chain(&startups)
        .chain(&starts)
        .chain(&daemon)
        .chain(&claimed)
        .chain(&stopped);
    let still = still.cloned().collect::<Vec<_>>();
    still.iter().chain(sources.unavailable).filter(|r| seen.insert(r.object.clone())).cloned().collect()
}

/// Whether it is about something that is no longer so: a job that is running or crashed no more, a cleanup of which
/// nothing is to be told, a lock that was given back.
pub(super) fn is_settled(sources: &Sources<'_>, object: &str) -> bool {
    if let (true, Some(now)) = (object.starts_with("cleanup:"), sources.cleanups) {
        return !now.iter().any(|f| f.object == object);
    }
    if let (Some(repository), Some(last)) = (object.strip_prefix("lock:"), sources.last) {
        return !is_still_taken(sources.dir, repository, last);
    }
    let Some(id) = object.strip_prefix("job:").and_then(|id| id.parse().ok()) else { return false };
    let job = sources.queue.state().get(&id);
    job.is_none_or(|j| !matches!(j.status, JobStatus::Running | JobStatus::Crashed))
}

/// Whether a lock that the last recovery could not judge is as it found it: the grant of then, not given back.
fn is_still_taken(dir: &StateDir, repository: &str, last: &RecoveryRecord) -> bool {
    let Ok(Some(lock)) = inspect(dir, repository, &|_, _| JobLiveness::Unknown) else { return false };
    let ended = last.snapshot.ended_at.unwrap_or_else(|| dir.clock.now());
    lock.is_active() && lock.acquired_at.is_some_and(|at| at <= ended)
}
