//! Lists the present problems, and those that the last recovery found and that still exist.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use super::degraded::{is_settled, still_unusable};
use super::ladder::{Raised, State};
use super::sources::{DaemonStatus, METADATA_DAMAGED, Sources};
use crate::durable::is_held;
use crate::findings::catalogue;
use crate::findings::catalogue::{Entry, is_loss};
use crate::findings::{Finding, Object, Severity};
use crate::jobs::StartsHeld;
use crate::jobs::findings as job_findings;
use crate::locks::of_other_incarnations;
use crate::losses;
use crate::queue::{CrashPolicy, Job, JobStatus, Queue};
use crate::recovery::{HistoryError, PhaseProgress, PhaseStatus, RecoveryOutcome, Snapshot};
use crate::startup::{SafeMode, StartupLog, origin};
use crate::state::{Distrust, StateDir, human};
use crate::system::process_stat;
use crate::webhooks;

/// A daemon's loop that has run no round for this long hangs.
const HANGS_AFTER: Duration = Duration::from_secs(60);

/// A daemon's loop that is stopped counts as hanging after this time.
const STOPPED_FOR: Duration = Duration::from_secs(3);

/// A daemon whose loop runs no rounds.
pub(super) struct Hanging {
    pid: u32,
    why: String,
    is_stopped: bool,
}

/// How many crashed jobs are named one by one.
const NAMED: usize = 20;

/// Returns all findings, the worst first.
pub(super) fn findings(sources: &Sources<'_>) -> Vec<Raised> {
    let mut raised: Vec<Raised> = damage(sources);
    if sources.dir.is_copy() {
        // What runs and waits belongs to the original, which reports on it.
        raised.extend(origin::findings(sources.dir).into_iter().map(Raised::by_kind));
        return raised;
    }
    let now = of_now(sources);
    let known: BTreeSet<(String, Object)> = now
        .iter()
        .chain(raised.iter().map(|r| &r.finding))
        .map(|f| (f.code.to_string(), f.object.clone()))
        .collect();
    raised.extend(now.into_iter().map(Raised::by_kind));
    raised.extend(of_the_last_recovery(sources, &known));
    raised.extend(unusable(sources, &raised).into_iter().map(Raised::by_kind));
    let at = sources.dir.clock.now();
    for Raised { state, finding } in &mut raised {
        way_out(sources, finding);
        // Losses and damage cannot wait, so they are not muted.
        if *state < State::DataLoss {
            let mute = sources.losses.mute_of(&finding.code, &finding.object, at);
            finding.muted_until = mute.map(|mute| mute.until);
        }
    }
    // Of findings of the same rank, one about a job comes first: people know their jobs.
    raised.sort_by_key(|r| {
        std::cmp::Reverse((r.state, r.finding.severity, matches!(r.finding.object, Object::Job(_))))
    });
    raised
}

/// Returns the findings about damage of the queue's files. In a copy, the damage is the original's, or was
/// left by an adoption.
fn damage(sources: &Sources<'_>) -> Vec<Raised> {
    let adopt = catalogue::STATE_DIRECTORY_COPIED.next.filter(|_| sources.dir.is_copy());
    let found = crate::report::queue::findings(sources.queue.replayed()).into_iter();
    let found = found.map(|finding| match adopt {
        Some(adopt) => finding.with_next(adopt),
        None => finding,
    });
    found.map(|finding| Raised { state: State::Damaged, finding }).collect()
}

/// Returns the findings about the present state.
fn of_now(sources: &Sources<'_>) -> Vec<Finding> {
    let mut found: Vec<Finding> = sources.daemon.iter().flat_map(of_daemon).collect();
    found.extend(sources.daemon.iter().flat_map(|_| of_tokens(sources.dir)));
    found.extend(origin::findings(sources.dir));
    found.extend(hanging(sources).map(hanging_finding));
    found.extend(crate::report::queue::not_writable(sources.queue));
    found.extend(sources.starts_held.map(starts_held_finding));
    found.extend(
        sources
            .hanging_starts
            .iter()
            .map(|(job, since)| Finding::new(&catalogue::JOB_START_HANGS, Object::job(job), hangs(*since))),
    );
    found.extend(sources.safe_mode.map(safe_mode_finding));
    found.extend(sources.startups_unreadable.map(|e| {
        let sentence = format!("{e}: {}; whether startups died cannot be told", e.source);
        let finding = Finding::new(&catalogue::STARTUP_LOG_DAMAGED, Object::file(&e.path), sentence);
        // The file could not be read; a recovery finds out whether something of it is lost.
        finding.with_severity(Severity::Error).with_next("recoveryctl recover")
    }));
    found.extend(of_startups(sources));
    found.extend(unfinished_finding(sources));
    let of_jobs = job_findings::of_running(sources.dir, sources.queue.state(), sources.limits);
    // A working daemon settles a job as soon as its processes are gone.
    let is_watched = sources.daemon.is_some() && hanging(sources).is_none();
    let is_settled_soon = |f: &Finding| is_watched && f.code == catalogue::JOB_PROCESSES_GONE.code;
    let of_jobs: Vec<Finding> = of_jobs.into_iter().filter(|f| !is_settled_soon(f)).collect();
    found.extend(unwatched(sources, &of_jobs));
    found.extend(of_jobs);
    found.extend(of_other_incarnations(sources.dir, sources.queue.state()));
    found.extend(job_findings::of_failed_starts(sources.queue.state()));
    found.extend(job_findings::of_clock(sources.queue.state(), sources.dir.clock.now()));
    found.extend(crashed(sources.queue));
    for resource in sources.unavailable {
        let finding =
            Finding::new(&catalogue::LOCK_UNAVAILABLE, resource.object.clone(), resource.why.clone());
        let is_damaged = resource.why == METADATA_DAMAGED;
        found.push(if is_damaged { finding.with_next("recoveryctl repair locks") } else { finding });
    }
    if let Some(survey) = sources.webhooks {
        found.extend(webhooks::findings::findings(survey, sources.daemon.is_some()));
    }
    let worth = |f: &&Finding| f.severity >= Severity::Warning;
    found.extend(sources.cleanups.into_iter().flatten().filter(worth).cloned());
    found.extend(crate::report::orphans::standing(sources.dir));
    found.extend(sources.unreadable.iter().map(|e| unreadable(e)));
    let kept = sources.dir.quarantine().notes().len();
    if kept > 0 {
        let sentence = match kept {
            1 => "1 unreadable piece is kept in quarantine".to_owned(),
            _ => format!("{kept} unreadable pieces are kept in quarantine"),
        };
        found.push(Finding::new(&catalogue::QUARANTINE_NOT_EMPTY, Object::Quarantine, sentence));
    }
    let mut all = losses::open(sources.losses, sources.look);
    all.extend(found.into_iter().filter(|f| !losses::is_known(sources.losses, f)));
    all
}

/// Findings of the last recovery that nothing else reports. Such a finding is a reason for the state when
/// only another recovery can have changed its cause; findings about mere events of that recovery are none.
const STILL_SO: [&Entry; 10] = [
    &catalogue::PHASE_FAILED,
    &catalogue::PHASE_SKIPPED,
    &catalogue::LEFTOVERS_NOT_REMOVED,
    &catalogue::DOCKER_UNREACHABLE,
    &catalogue::ATTEMPTS_NOT_MOVED,
    &catalogue::JOB_RECORD_NOT_WRITTEN,
    &catalogue::RECOVERY_REQUESTS_UNREADABLE,
    &catalogue::RECOVERY_NOT_RECORDED,
    &catalogue::PROGRESS_NOT_WRITTEN,
    &catalogue::NO_STATE_FILE,
];

/// Findings that every scan makes anew; the saved plan has them.
const OF_SCANS: [&Entry; 3] =
    [&catalogue::ORPHAN_FOUND, &catalogue::ORPHAN_UNKNOWN, &catalogue::MOUNT_IN_WORKSPACE];

fn of_the_last_recovery(sources: &Sources<'_>, known: &BTreeSet<(String, Object)>) -> Vec<Raised> {
    let Some(last) = sources.last else { return Vec::new() };
    let is_told_anew = |f: &Finding| {
        f.code.starts_with("webhook-")
            || OF_SCANS.iter().any(|entry| entry.code == f.code)
            || is_loss(&f.code)
            || job_findings::is_of_the_moment(f)
            || known.contains(&(f.code.to_string(), f.object.clone()))
    };
    let worth = |f: &&Finding| f.severity >= Severity::Warning && !is_told_anew(f);
    let all = last.snapshot.all_findings().filter(worth).filter(|f| !is_settled(sources, &f.object));
    let is_still_so = |f: &Finding| STILL_SO.iter().any(|entry| entry.code == f.code);
    let raised = all.cloned().map(|f| if is_still_so(&f) { Raised::by_kind(f) } else { Raised::past(f) });
    raised.collect()
}

/// Returns findings for what the last recovery named as unusable, that is still so, and that has no finding
/// of its own.
fn unusable(sources: &Sources<'_>, raised: &[Raised]) -> Vec<Finding> {
    let is_told =
        |object: &Object| raised.iter().any(|r| r.finding.object == *object && r.state >= State::Degraded);
    let left = still_unusable(sources).filter(|resource| !is_told(&resource.object));
    left.map(|r| Finding::new(&catalogue::RESOURCE_UNUSABLE, r.object.clone(), r.why.clone())).collect()
}

/// Returns the finding that jobs wait or run and no process starts or watches them.
fn unwatched(sources: &Sources<'_>, of_jobs: &[Finding]) -> Option<Finding> {
    let counts = sources.queue.state().counts();
    let is_gone = |f: &&Finding| f.code == catalogue::JOB_PROCESSES_GONE.code;
    let gone = of_jobs.iter().filter(is_gone).map(|f| &f.object).collect::<BTreeSet<_>>().len() as u64;
    let alive = counts.running.saturating_sub(gone);
    let (waits, runs) = (counts.queued > 0, alive > 0 || gone > 0);
    let starts_jobs = || is_held(&sources.dir.paths.scheduling_lock()).unwrap_or(false);
    if !(waits || runs) || sources.daemon.is_some() || starts_jobs() {
        return None;
    }
    let number = |n: u64, one: &str, many: &str| match n {
        1 => format!("1 job {one}"),
        n => format!("{n} jobs {many}"),
    };
    let waiting = waits.then(|| format!("{} and no daemon runs", number(counts.queued, "waits", "wait")));
    let running = (alive > 0).then(|| {
        let them = if alive == 1 { "it" } else { "them" };
        format!("{} and no daemon watches {them}", number(alive, "runs", "run"))
    });
    let ended = (gone > 0).then(|| {
        let has = number(gone, "that was running has", "that were running have");
        format!("{has} no process any more, and no daemon settles that")
    });
    let sentence = ended.into_iter().chain(waiting).chain(running).collect::<Vec<_>>().join("; ");
    let finding = Finding::new(&catalogue::JOBS_UNWATCHED, Object::Jobs, sentence);
    // Jobs that only wait lose nothing by it.
    let is_idle = alive == 0 && gone == 0;
    let finding = if is_idle { finding.with_severity(Severity::Warning) } else { finding };
    Some(if gone > 0 { finding.with_next("recoveryctl recover") } else { finding })
}

/// Returns findings for crashed jobs; the first of them are named.
fn crashed(queue: &Queue) -> Vec<Finding> {
    let is_crashed = |j: &&Job| j.status == JobStatus::Crashed && !job_findings::is_not_started(j);
    let crashed = || queue.state().jobs().filter(is_crashed);
    let mut found: Vec<Finding> = crashed().take(NAMED).map(crashed_finding).collect();
    let more = crashed().count().saturating_sub(NAMED);
    if more > 0 {
        let rest = Finding::new(
            &catalogue::JOB_CRASHED,
            Object::Jobs,
            format!("{} crashed", human::count(more, "more job")),
        );
        found.push(rest.with_next("recoveryctl jobs list --status crashed"));
    }
    found
}

/// Returns findings for unreadable parts of the startup log, until a recovery has entered them into the list
/// of losses.
fn of_startups(sources: &Sources<'_>) -> Vec<Finding> {
    let Ok(log) = StartupLog::read(sources.dir) else { return Vec::new() };
    let places = log.damage.iter().map(|d| {
        (d.path.display().to_string(), format!("{} bytes at offset {} are no record", d.len, d.offset))
    });
    let files = log.damaged_files.iter().map(|(path, why)| (path.display().to_string(), why.clone()));
    let found = places.chain(files).map(|(path, sentence)| {
        let finding = Finding::new(&catalogue::STARTUP_LOG_DAMAGED, Object::File(path.to_string()), sentence);
        finding.with_severity(Severity::Warning).with_next("recoveryctl recover")
    });
    let is_listed =
        |f: &Finding| sources.losses.losses.iter().any(|loss| loss.code == f.code && loss.object == f.object);
    found.filter(|f| !is_listed(f)).collect()
}

/// Returns the finding that the last recovery did not do everything that it should.
fn unfinished_finding(sources: &Sources<'_>) -> Option<Finding> {
    let sentence = match sources.current?.outcome {
        RecoveryOutcome::Failed => "the last recovery failed",
        RecoveryOutcome::Cancelled => "the last recovery was cancelled",
        RecoveryOutcome::Aborted => "the last recovery was aborted: its process is gone",
        RecoveryOutcome::Running | RecoveryOutcome::Completed | RecoveryOutcome::Degraded => return None,
    };
    Some(Finding::new(&catalogue::RECOVERY_UNFINISHED, Object::Recovery, sentence))
}

/// What the phase `jobs` repairs.
const OF_JOBS: [&Entry; 3] =
    [&catalogue::JOB_RECORD_NOT_WRITTEN, &catalogue::JOB_PROCESSES_GONE, &catalogue::JOBS_UNWATCHED];
/// What the phase `startup` repairs.
const OF_STARTUP: [&Entry; 4] = [
    &catalogue::RECOVERY_HISTORY_DAMAGED,
    &catalogue::STARTUP_LOG_DAMAGED,
    &catalogue::ATTEMPTS_NOT_MOVED,
    &catalogue::LOSSES_DAMAGED,
];

/// Adds the way out: beside a daemon no other recovery can run, so the daemon is asked to try the phase again
/// that repairs the cause.
fn way_out(sources: &Sources<'_>, finding: &mut Finding) {
    if sources.daemon.is_none() || finding.next.as_deref() != Some("recoveryctl recover") {
        return;
    }
    let is_not_done = |p: &&PhaseProgress| matches!(p.status, PhaseStatus::Failed | PhaseStatus::Blocked);
    let of_recovery = |s: &Snapshot| s.phases.iter().find(is_not_done).map(|p| p.phase.clone());
    let is_one_of = |entries: &[&Entry]| entries.iter().any(|entry| entry.code == finding.code);
    let phase = match () {
        () if is_one_of(&[&catalogue::RECOVERY_UNFINISHED]) => sources.current.and_then(of_recovery),
        () if is_one_of(&[&catalogue::RESOURCE_UNUSABLE]) => match &finding.object {
            Object::Phase(phase) => Some(phase.clone()),
            _ => None,
        },
        () if is_one_of(&OF_JOBS) => Some("jobs".to_owned()),
        () if is_one_of(&OF_STARTUP) => Some("startup".to_owned()),
        () => None,
    };
    let phase = phase.unwrap_or_else(|| "queue".to_owned());
    finding.next = Some(format!("recoveryctl retry phase {phase}"));
}

/// Returns the living daemon whose loop runs no rounds, and how that is known. While it recovers, the
/// recovery's own progress shows its life.
pub(super) fn hanging(sources: &Sources<'_>) -> Option<Hanging> {
    let daemon = sources.daemon.as_ref()?;
    let is_recovering = sources.current.is_some_and(|s| s.outcome == RecoveryOutcome::Running);
    let is_stopped = process_stat(daemon.pid).is_ok_and(|stat| stat.is_stopped);
    let limit = if is_stopped { STOPPED_FOR } else { HANGS_AFTER };
    let silent = sources.last_turn.filter(|silent| *silent >= limit && !is_recovering)?;
    let how = if is_stopped { "is stopped" } else { "hangs" };
    let why = format!("{how}: its loop has not turned for {}", human::span(silent));
    Some(Hanging { pid: daemon.pid, why, is_stopped })
}

fn hanging_finding(hanging: Hanging) -> Finding {
    let Hanging { pid, why, is_stopped } = hanging;
    let signal = if is_stopped { "CONT" } else { "TERM" };
    let finding = Finding::new(&catalogue::DAEMON_HANGS, Object::Daemon, format!("process {pid} {why}"));
    finding.with_next(format!("kill -{signal} {pid}"))
}

/// Returns the findings about the running daemon.
fn of_daemon(daemon: &DaemonStatus) -> Vec<Finding> {
    let mut found = Vec::new();
    let is_exposed = |a: &&String| a.parse::<SocketAddr>().is_ok_and(|a| !a.ip().is_loopback());
    if let Some(address) = daemon.address.as_ref().filter(is_exposed) {
        let sentence = format!("it listens on {address}, which other machines can reach, without encryption");
        found.push(Finding::new(&catalogue::DAEMON_EXPOSED, Object::Daemon, sentence));
    }
    if daemon.loop_restarts > 0 {
        let sentence =
            format!("since its start its loop broke off {}", human::count(daemon.loop_restarts, "time"));
        found.push(Finding::new(&catalogue::DAEMON_LOOP_RESTARTED, Object::Daemon, sentence));
    }
    found
}

/// Returns findings for tokens that admit nobody to the running daemon.
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
    format!("it was claimed {} ago, and its attempt has not begun", human::duration(since_ms.unsigned_abs()))
}

fn starts_held_finding(held: &StartsHeld) -> Finding {
    let sentence = format!("no job is started since {}: {}", held.since, held.reason);
    Finding::new(&catalogue::HOST_CANNOT_START, Object::Starts, sentence)
}

/// Returns the finding that safe mode keeps jobs from being started, and how to leave it.
fn safe_mode_finding(safe: &SafeMode) -> Finding {
    let sentence =
        format!("{}; no job is started until it is cleared or the phase is tried again", safe.sentence());
    let finding = Finding::new(&catalogue::SAFE_MODE, Object::Startups, sentence);
    // A completed retry of that phase proves that it works again.
    match safe.phase() {
        Some(phase) => finding.with_next(format!("recoveryctl retry phase {phase}")),
        None => finding,
    }
}

/// Returns the finding that the records of recoveries cannot be read. No job is lost: only what past
/// recoveries found is not shown.
fn unreadable(error: &HistoryError) -> Finding {
    let path = match error {
        HistoryError::Damaged { path, .. } | HistoryError::Newer { path, .. } => path,
        HistoryError::Disk(e) => &e.path,
    };
    let sentence = format!("{error}; what it told of past recoveries is not shown");
    let object = Object::file(path);
    let finding = Finding::new(&catalogue::RECOVERY_HISTORY_DAMAGED, object, sentence);
    match error {
        HistoryError::Damaged { .. } => finding,
        HistoryError::Newer { .. } | HistoryError::Disk(_) => finding.with_severity(Severity::Error),
    }
    .with_next("recoveryctl recover")
}

fn crashed_finding(job: &Job) -> Finding {
    let object = Object::job(&job.id);
    let spec = job.spec().ok();
    let is_to_be_tried = spec.as_ref().is_some_and(|spec| spec.on_crash == CrashPolicy::Requeue);
    if let Some(spec) = spec.filter(|spec| is_to_be_tried && job.attempt >= spec.max_attempts) {
        let sentence = format!("it crashed in the last of its {} attempts", spec.max_attempts);
        return Finding::new(&catalogue::JOB_ATTEMPTS_EXHAUSTED, object, sentence);
    }
    let reason = job.run_state().reason.as_deref().unwrap_or("its process vanished without an exit record");
    Finding::new(&catalogue::JOB_CRASHED, object, format!("attempt {}: {reason}", job.attempt))
}
