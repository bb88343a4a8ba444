//! What is the matter now, and what the last recovery found that still is.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use super::degraded::is_settled;
use super::{DAEMON, DaemonStatus, METADATA_DAMAGED, STARTS, Sources};
use crate::jobs::StartsHeld;
use crate::queue::{Job, JobStatus, Queue};
use crate::recovery::{HistoryError, RecoveryOutcome};
use crate::report::finding::{Finding, Severity};
use crate::report::{catalogue, job_findings};
use crate::startup::SafeMode;
use crate::state::{Distrust, StateDir};
use crate::system::process_stat;

/// A loop that has not turned for so long hangs.
const HANGS_AFTER: Duration = Duration::from_secs(60);

/// How many crashed jobs are named one by one.
const NAMED: usize = 20;

/// All of it, the worst first.
pub(super) fn findings(sources: &Sources<'_>) -> Vec<Finding> {
    let mut found = damage(sources.queue);
    if sources.dir.is_copy() {
        // What runs and what waits is the original's, and for that one to tell.
        found.extend(crate::report::state::findings(sources.dir));
        return found;
    }
    found.extend(sources.daemon.iter().flat_map(of_daemon));
    found.extend(sources.daemon.iter().flat_map(|_| of_tokens(sources.dir)));
    found.extend(crate::report::state::findings(sources.dir));
    found
        .extend(hanging(sources).map(|(pid, why)| {
            Finding::new(&catalogue::DAEMON_HANGS, DAEMON, format!("process {pid} {why}"))
        }));
    found.extend(crate::report::queue::not_writable(sources.queue));
    found.extend(sources.starts_held.map(starts_held_finding));
    found.extend(
        sources.hanging_starts.iter().map(|(job, since)| {
            Finding::new(&catalogue::JOB_START_HANGS, format!("job:{job}"), hangs(*since))
        }),
    );
    found.extend(sources.safe_mode.map(safe_mode_finding));
    found.extend(sources.startups_unreadable.map(|e| {
        let sentence = format!("{e}: {}; whether startups died cannot be told", e.source);
        Finding::new(&catalogue::STARTUP_LOG_DAMAGED, format!("file:{}", e.path.display()), sentence)
    }));
    found.extend(job_findings::of_running(sources.dir, sources.queue.state(), sources.limits));
    found.extend(job_findings::of_other_incarnations(sources.dir, sources.queue.state()));
    found.extend(job_findings::of_failed_starts(sources.queue.state()));
    found.extend(job_findings::of_clock(sources.queue.state(), sources.dir.clock.now()));
    let is_crashed = |j: &&Job| j.status == JobStatus::Crashed && !job_findings::is_not_started(j);
    let crashed = || sources.queue.state().jobs().filter(is_crashed);
    found.extend(crashed().take(NAMED).map(crashed_finding));
    let more = crashed().count().saturating_sub(NAMED);
    if more > 0 {
        found.push(Finding::new(&catalogue::JOB_CRASHED, "jobs", format!("{more} more jobs crashed")));
    }
    for resource in sources.unavailable {
        let finding =
            Finding::new(&catalogue::LOCK_UNAVAILABLE, resource.object.clone(), resource.why.clone());
        let is_damaged = resource.why == METADATA_DAMAGED;
        found.push(if is_damaged { finding.with_next("recoveryctl repair locks") } else { finding });
    }
    if let Some(survey) = sources.webhooks {
        found.extend(crate::report::webhooks::findings(survey, sources.daemon.is_some()));
    }
    let worth = |f: &&Finding| f.severity >= Severity::Warning;
    found.extend(sources.cleanups.into_iter().flatten().filter(worth).cloned());
    found.extend(sources.unreadable.iter().map(|e| unreadable(e)));
    if let Some(last) = sources.last {
        let fresh = |f: &&Finding| !f.code.starts_with("webhook-") && !is_settled(sources, &f.object);
        let known: BTreeSet<(String, String)> =
            found.iter().map(|f| (f.code.to_string(), f.object.clone())).collect();
        let is_new = |f: &&Finding| !known.contains(&(f.code.to_string(), f.object.clone()));
        let is_past = |f: &&Finding| !job_findings::is_of_the_moment(f);
        let all = last.snapshot.all_findings().filter(worth).filter(fresh);
        found.extend(all.filter(is_new).filter(is_past).cloned());
    }
    let kept = sources.dir.quarantine().notes().len();
    if kept > 0 {
        let sentence = format!("{kept} unreadable pieces are kept in quarantine");
        found.push(Finding::new(&catalogue::QUARANTINE_NOT_EMPTY, "quarantine", sentence));
    }
    found.sort_by_key(|f| std::cmp::Reverse(f.severity));
    found
}

/// The daemon that lives and whose loop does not turn, and how that is known. While it recovers, the recovery's own
/// progress tells.
pub(super) fn hanging(sources: &Sources<'_>) -> Option<(u32, String)> {
    let daemon = sources.daemon.as_ref()?;
    let is_recovering = sources.current.is_some_and(|s| s.outcome == RecoveryOutcome::Running);
    let silent = sources.last_turn.filter(|silent| *silent >= HANGS_AFTER && !is_recovering)?;
    let stopped = process_stat(daemon.pid).is_ok_and(|stat| stat.is_stopped);
    let how = if stopped { "is stopped" } else { "hangs" };
    Some((daemon.pid, format!("{how}: its loop has not turned for {} s", silent.as_secs())))
}

/// What is to be known of the daemon that runs.
fn of_daemon(daemon: &DaemonStatus) -> Vec<Finding> {
    let mut found = Vec::new();
    let is_exposed = |a: &&String| a.parse::<SocketAddr>().is_ok_and(|a| !a.ip().is_loopback());
    if let Some(address) = daemon.address.as_ref().filter(is_exposed) {
        let sentence = format!("it listens on {address}, which other machines can reach, without encryption");
        found.push(Finding::new(&catalogue::DAEMON_EXPOSED, "daemon", sentence));
    }
    if daemon.loop_restarts > 0 {
        let sentence = format!("since its start its loop broke off {} times", daemon.loop_restarts);
        found.push(Finding::new(&catalogue::DAEMON_LOOP_RESTARTED, "daemon", sentence));
    }
    found
}

/// The tokens by which nobody is admitted to the daemon that runs.
fn of_tokens(dir: &StateDir) -> Vec<Finding> {
    let files = [("admin", dir.paths.admin_token()), ("viewer", dir.paths.viewer_token())];
    let found = files.into_iter().filter_map(|(role, file)| {
        let finding = |why: String| {
            let sentence = format!("nobody is admitted by {}: {why}", file.display());
            Finding::new(&catalogue::TOKEN_NOT_BELIEVED, format!("token:{role}"), sentence)
        };
        match dir.token_in(&file) {
            Ok(Ok(_)) => None,
            Ok(Err(Distrust::Folder(exposed))) => {
                Some(finding(exposed.to_string()).with_next(exposed.remedy()))
            }
            Ok(Err(distrust)) => Some(finding(distrust.to_string())),
            Err(e) => Some(finding(format!("{e}: {}", e.source))),
        }
    });
    found.collect()
}

pub(super) fn hangs(since_ms: i64) -> String {
    format!("it was claimed {} s ago, and its attempt has not begun", since_ms / 1000)
}

fn starts_held_finding(held: &StartsHeld) -> Finding {
    let sentence = format!("no job is started since {}: {}", held.since, held.reason);
    Finding::new(&catalogue::HOST_CANNOT_START, STARTS, sentence)
}

/// What keeps jobs from being started, and how to leave.
#[must_use]
pub fn safe_mode_finding(safe: &SafeMode) -> Finding {
    let sentence =
        format!("{}; no job is started until it is cleared or the phase is tried again", safe.sentence());
    Finding::new(&catalogue::SAFE_MODE, "startup", sentence)
}

/// Nothing but memory is lost: what past recoveries found is not shown.
fn unreadable(error: &HistoryError) -> Finding {
    let path = match error {
        HistoryError::Damaged { path, .. } | HistoryError::Newer { path, .. } => path,
        HistoryError::Disk(e) => &e.path,
    };
    let sentence = format!("{error}; what it told of past recoveries is not shown");
    let object = format!("file:{}", path.display());
    Finding::new(&catalogue::RECOVERY_HISTORY_DAMAGED, object, sentence).with_next("recoveryctl recover")
}

fn crashed_finding(job: &Job) -> Finding {
    let reason = job.course().reason.as_deref().unwrap_or("its process vanished without an exit record");
    Finding::new(
        &catalogue::JOB_CRASHED,
        format!("job:{}", job.id),
        format!("attempt {}: {reason}", job.attempt),
    )
}

/// What an open queue says is wrong with its files.
#[must_use]
pub fn damage(queue: &Queue) -> Vec<Finding> {
    let replayed = queue.replayed();
    let mut found: Vec<Finding> = replayed
        .log
        .damage
        .iter()
        .map(|place| {
            let sentence = format!("{} bytes at offset {} are no record", place.len, place.offset);
            Finding::new(&catalogue::LOG_RECORD_DAMAGED, format!("file:{}", place.path.display()), sentence)
        })
        .collect();
    for (first, last) in &replayed.log.missing {
        let sentence = format!("records {first} to {last} are in no file that can be read");
        found.push(Finding::new(&catalogue::LOG_RECORDS_MISSING, "queue", sentence));
    }
    for (file, why) in &replayed.damaged_snapshots {
        found.push(Finding::new(
            &catalogue::SNAPSHOT_DAMAGED,
            format!("file:{}", file.path.display()),
            why.clone(),
        ));
    }
    for (seq, why) in &replayed.refused {
        let sentence = format!("record {seq} changed nothing: {why}");
        found.push(Finding::new(&catalogue::LOG_RECORD_REFUSED, format!("record:{seq}"), sentence));
    }
    found
}
