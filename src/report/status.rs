//! The report on one screen: state, what is the matter, what to do.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::catalogue;
use super::finding::{Finding, Severity};
use super::job_findings;
use crate::archive;
use crate::durable::DiskError;
use crate::jobs::{FreshnessLimits, StartsHeld, hanging_starts, starts_held};
use crate::locks::{Availability, JobLiveness, availability, inspect, lock_names};
use crate::queue::{Counts, Job, JobId, JobStatus, Queue};
use crate::recovery::{
    DegradedResource, HistoryEntry, HistoryError, RecoveryOutcome, RecoveryRecord, Snapshot, read_current,
    read_history, read_last,
};
use crate::startup::{SafeMode, last_turn, safe_mode};
use crate::state::{StateDir, Timestamp};
use crate::system::process_stat;

/// How the whole stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "WholeState")]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// All well.
    Healthy,
    /// Up, but named resources cannot be used.
    Degraded,
    /// A recovery is under way.
    Recovering,
    /// Something cannot be read; `recover` mends it.
    Damaged,
    /// Several startups in a row died: no job is started until somebody acts.
    SafeMode,
}

/// Health on one screen.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs)] // The members are the published form; see docs.
pub struct Status {
    pub state: State,
    pub status: String,
    pub action: Option<String>,
    pub state_dir: String,
    pub daemon: Option<DaemonStatus>,
    pub recovery: Option<RecoveryStatus>,
    pub degraded_resources: Vec<DegradedResource>,
    pub counts: Counts,
    pub webhooks: Option<super::webhooks::DeliveryCounts>,
    /// Git work that was kept of workspaces that went; null when it cannot be told.
    #[serde(default)]
    pub archives: Option<archive::Totals>,
    pub findings: Vec<Finding>,
}

/// The daemon that lives.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs)]
pub struct DaemonStatus {
    pub pid: u32,
    pub started_at: Timestamp,
    /// Whether it has not recovered and starts no job.
    pub safe_mode: bool,
    /// Where it listens.
    pub address: Option<String>,
    pub socket: Option<PathBuf>,
    /// How often its loop broke off and was begun again.
    pub loop_restarts: u32,
}

/// The recovery that runs, or ran last.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs)]
pub struct RecoveryStatus {
    pub recovery_id: String,
    pub outcome: RecoveryOutcome,
    pub purpose: String,
    pub started_at: Timestamp,
    pub duration_ms: u64,
    pub phases_done: u32,
    pub phases_total: u32,
}

impl From<&Snapshot> for RecoveryStatus {
    fn from(s: &Snapshot) -> RecoveryStatus {
        RecoveryStatus {
            recovery_id: s.recovery_id.to_string(),
            outcome: s.outcome,
            purpose: s.purpose.clone(),
            started_at: s.started_at,
            duration_ms: s.duration_ms,
            phases_done: s.phases_done,
            phases_total: s.phases_total,
        }
    }
}

/// What a status is made of.
pub struct Sources<'a> {
    /// The state directory.
    pub dir: &'a StateDir,
    /// The queue.
    pub queue: &'a Queue,
    /// The recovery that runs, or ran last.
    pub current: Option<&'a Snapshot>,
    /// The last recovery that came to its end.
    pub last: Option<&'a RecoveryRecord>,
    /// Why what past recoveries left could not be read.
    pub unreadable: &'a [&'a HistoryError],
    /// The daemon that lives.
    pub daemon: Option<DaemonStatus>,
    /// What is undelivered; `None` when that cannot be read.
    pub webhooks: Option<&'a crate::webhooks::Survey>,
    /// When a heartbeat is old.
    pub limits: FreshnessLimits,
    /// Repositories that cannot be used now, with the reason.
    pub unavailable: &'a [DegradedResource],
    /// What is to be known of the open cleanups; `None` when they cannot be listed.
    pub cleanups: Option<&'a [Finding]>,
    /// Those of them that cannot keep git work.
    pub at_risk: &'a BTreeSet<String>,
    /// The crash loop that keeps jobs from being started.
    pub safe_mode: Option<&'a SafeMode>,
    /// Why that cannot be told.
    pub startups_unreadable: Option<&'a DiskError>,
    /// Why a scheduler that lives starts no job.
    pub starts_held: Option<&'a StartsHeld>,
    /// How long ago the daemon's loop turned last.
    pub last_turn: Option<Duration>,
    /// Jobs that were claimed and are not begun, with the milliseconds since.
    pub hanging_starts: &'a [(JobId, i64)],
}

/// All that reports on the whole are made of, read once: what is made of one of these is consistent.
pub struct Gathered {
    /// The state directory.
    pub dir: StateDir,
    /// The queue.
    pub queue: Queue,
    /// The recovery that runs, or ran last.
    pub current: Option<Snapshot>,
    /// The last recovery that came to its end, and why it cannot be told.
    pub last: Result<Option<RecoveryRecord>, HistoryError>,
    /// The recoveries that were, and why they cannot be told.
    pub history: Result<Vec<HistoryEntry>, HistoryError>,
    /// The crash loop that keeps jobs from being started, and why it cannot be told.
    pub safe_mode: Result<Option<SafeMode>, DiskError>,
    unavailable: Vec<DegradedResource>,
    cleanups: Option<Vec<Finding>>,
    at_risk: BTreeSet<String>,
    webhooks: Option<crate::webhooks::Survey>,
    starts_held: Option<StartsHeld>,
}

impl Gathered {
    /// The same, with what is undelivered.
    #[must_use]
    pub fn with_webhooks(mut self, webhooks: Option<crate::webhooks::Survey>) -> Gathered {
        self.webhooks = webhooks;
        self
    }

    /// Reads it. A damaged file of the recovery costs at most itself: it becomes a finding. The queue is
    /// opened by the caller, who can tell that it can only be looked at.
    #[must_use]
    pub fn read(dir: &StateDir, queue: Queue) -> Gathered {
        let cleanups = super::cleanup::open(dir).ok();
        Gathered {
            dir: dir.clone(),
            current: read_current(dir),
            last: read_last(dir),
            history: read_history(dir),
            safe_mode: safe_mode(dir),
            unavailable: unavailable_repositories(dir),
            at_risk: cleanups.as_deref().map(super::cleanup::at_risk).unwrap_or_default(),
            cleanups: cleanups.and_then(|c| super::cleanup::findings(dir, &c).ok()),
            webhooks: None,
            starts_held: starts_held(dir),
            queue,
        }
    }

    /// What is undelivered, if it was looked at and can be told.
    #[must_use]
    pub fn survey(&self) -> Option<&crate::webhooks::Survey> {
        self.webhooks.as_ref()
    }

    /// The last recovery that came to its end, if that can be told.
    #[must_use]
    pub fn last(&self) -> Option<&RecoveryRecord> {
        self.last.as_ref().ok()?.as_ref()
    }

    /// Health on one screen.
    #[must_use]
    pub fn status(&self, daemon: Option<DaemonStatus>, limits: FreshnessLimits) -> Status {
        let unreadable: Vec<_> =
            self.last.as_ref().err().into_iter().chain(self.history.as_ref().err()).collect();
        let last_turn = daemon.as_ref().and_then(|daemon| last_turn(&self.dir, daemon.pid));
        Status::new(&Sources {
            dir: &self.dir,
            queue: &self.queue,
            current: self.current.as_ref(),
            last: self.last(),
            unreadable: &unreadable,
            daemon,
            webhooks: self.webhooks.as_ref(),
            limits,
            unavailable: &self.unavailable,
            cleanups: self.cleanups.as_deref(),
            at_risk: &self.at_risk,
            safe_mode: self.safe_mode.as_ref().ok().and_then(Option::as_ref),
            startups_unreadable: self.safe_mode.as_ref().err(),
            starts_held: self.starts_held.as_ref(),
            last_turn,
            hanging_starts: &hanging_starts(&self.dir, self.queue.state()),
        })
    }
}

fn unavailable_repositories(dir: &StateDir) -> Vec<DegradedResource> {
    let unusable = lock_names(dir).filter(|name| availability(dir, name) == Availability::Unavailable);
    let why = "its lock's metadata cannot be understood, so nobody can say who holds it";
    let mut found: Vec<DegradedResource> = unusable
        .map(|name| DegradedResource { object: format!("lock:{name}"), why: why.to_owned() })
        .collect();
    found.sort_by(|a, b| a.object.cmp(&b.object));
    found
}

/// The object of findings about a disk that cannot be written.
const DISK: &str = "disk";

/// The object of findings about the daemon.
const DAEMON: &str = "daemon";

/// A loop that has not turned for so long hangs.
const HANGS_AFTER: Duration = Duration::from_secs(60);

/// The object of findings about a host that cannot start anything.
const STARTS: &str = "starts";

/// How many crashed jobs are named one by one.
const NAMED: usize = 20;

impl Status {
    /// Puts it together.
    #[must_use]
    pub fn new(sources: &Sources<'_>) -> Status {
        let findings = findings(sources);
        let degraded_resources = degraded(sources, &findings);
        let running = sources.current.is_some_and(|s| s.outcome == RecoveryOutcome::Running);
        let unfinished = unfinished(sources.current).is_some();
        let damaged = !sources.queue.replayed().is_clean();
        let state = match () {
            () if running => State::Recovering,
            () if sources.safe_mode.is_some() => State::SafeMode,
            () if damaged => State::Damaged,
            () if unfinished || !degraded_resources.is_empty() => State::Degraded,
            () => State::Healthy,
        };
        let counts = sources.queue.state().counts();
        Status {
            state,
            status: sentence(state, sources, counts, &degraded_resources),
            action: action(state, sources, &findings),
            state_dir: sources.dir.paths.root().display().to_string(),
            daemon: sources.daemon.clone(),
            recovery: sources.current.map(RecoveryStatus::from),
            degraded_resources,
            counts,
            webhooks: sources.webhooks.map(super::webhooks::DeliveryCounts::of),
            archives: archive::totals(sources.dir).ok(),
            findings,
        }
    }
}

/// How the last recovery ended, when it did not do all it was to do.
fn unfinished(current: Option<&Snapshot>) -> Option<&'static str> {
    match current?.outcome {
        RecoveryOutcome::Failed => Some("the last recovery failed"),
        RecoveryOutcome::Cancelled => Some("the last recovery was cancelled"),
        RecoveryOutcome::Aborted => Some("the last recovery was aborted: its process is gone"),
        RecoveryOutcome::Running | RecoveryOutcome::Completed | RecoveryOutcome::Degraded => None,
    }
}

/// Findings by which something is unusable until somebody acts: a job that cannot end keeps its repository, a
/// cleanup that cannot keep git work goes nowhere, whether it tries again by itself or not, and a job that nobody knows
/// keeps others from starting.
fn stops_something(sources: &Sources<'_>, finding: &Finding) -> bool {
    let stops = [catalogue::JOB_CANNOT_END.code, catalogue::UNKNOWN_JOB_LIVES.code];
    stops.contains(&finding.code.as_ref()) || sources.at_risk.contains(&finding.object)
}

/// What the last recovery called unusable and still is, and what is unusable now.
fn degraded(sources: &Sources<'_>, findings: &[Finding]) -> Vec<DegradedResource> {
    let copied = super::state::findings(sources.dir).into_iter().filter(|_| sources.dir.is_copy());
    let copied: Vec<_> =
        copied.map(|finding| DegradedResource { object: finding.object, why: finding.sentence }).collect();
    if !copied.is_empty() {
        return copied;
    }
    let mut seen = BTreeSet::new();
    let last = sources.last.into_iter().flat_map(|r| r.snapshot.degraded_resources());
    let still = last.filter(|r| !is_settled(sources, &r.object));
    let disk = super::queue::not_writable(sources.queue)
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
fn is_settled(sources: &Sources<'_>, object: &str) -> bool {
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

/// The daemon that lives and whose loop does not turn, and how that is known. While it recovers, the recovery's own
/// progress tells.
fn hanging(sources: &Sources<'_>) -> Option<(u32, String)> {
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

fn findings(sources: &Sources<'_>) -> Vec<Finding> {
    let mut found = damage(sources.queue);
    if sources.dir.is_copy() {
        // What runs and what waits is the original's, and for that one to tell.
        found.extend(super::state::findings(sources.dir));
        return found;
    }
    found.extend(sources.daemon.iter().flat_map(of_daemon));
    found.extend(super::state::findings(sources.dir));
    found
        .extend(hanging(sources).map(|(pid, why)| {
            Finding::new(&catalogue::DAEMON_HANGS, DAEMON, format!("process {pid} {why}"))
        }));
    found.extend(super::queue::not_writable(sources.queue));
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
        found.push(finding.with_next("recoveryctl repair locks"));
    }
    if let Some(survey) = sources.webhooks {
        found.extend(super::webhooks::findings(survey, sources.daemon.is_some()));
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

fn hangs(since_ms: i64) -> String {
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

/// The command that leaves safe mode by proving that the phase works again.
fn way_out(safe: &SafeMode) -> String {
    safe.phase().map_or_else(
        || "recoveryctl startup clear".to_owned(),
        |phase| format!("recoveryctl retry phase {phase}"),
    )
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

fn sentence(state: State, sources: &Sources<'_>, counts: Counts, degraded: &[DegradedResource]) -> String {
    match state {
        State::Recovering => {
            let done = sources.current.map_or((0, 0), |s| (s.phases_done, s.phases_total));
            format!("a recovery is under way: {} of {} phases are done", done.0, done.1)
        }
        State::SafeMode => sources.safe_mode.map_or_else(String::new, |safe| {
            let who = match &sources.daemon {
                Some(daemon) => format!("the daemon (process {}) is up and starts no job", daemon.pid),
                None => "the next daemon will start no job".to_owned(),
            };
            let out = match safe.phase() {
                Some(phase) => format!("recoveryctl retry phase {phase}, or recoveryctl startup clear"),
                None => "recoveryctl startup clear".to_owned(),
            };
            format!("safe mode: {}; {who}; to leave: {out}", safe.sentence())
        }),
        State::Damaged => "files of the queue are damaged; what could be read is shown".to_owned(),
        State::Degraded => {
            let objects = degraded.iter().map(|r| r.object.as_str());
            let names: Vec<&str> = objects.filter(|object| *object != STARTS).collect();
            let unusable = (!names.is_empty()).then(|| format!("cannot be used: {}", names.join(", ")));
            let held = sources.starts_held.map(|held| format!("no job is started: {}", held.reason));
            let parts =
                unfinished(sources.current).map(str::to_owned).into_iter().chain(held).chain(unusable);
            parts.collect::<Vec<_>>().join("; ")
        }
        State::Healthy if counts.crashed > 0 => {
            format!("{} for an operator", wait(counts.crashed, "crashed job"))
        }
        State::Healthy if parked(sources) > 0 => {
            format!("{} for an operator", wait(parked(sources), "parked webhook"))
        }
        State::Healthy if parked_cleanups(sources) > 0 => {
            format!("{} for an operator", wait(parked_cleanups(sources), "parked cleanup"))
        }
        State::Healthy if sources.daemon.is_none() && counts.running > 0 => {
            let jobs = if counts.running == 1 {
                "1 job runs".to_owned()
            } else {
                format!("{} jobs run", counts.running)
            };
            format!("{jobs}, and no daemon watches; what became of them, recovery finds out")
        }
        State::Healthy if sources.daemon.is_none() && counts.queued > 0 => {
            format!("{}, and no daemon runs", wait(counts.queued, "job"))
        }
        State::Healthy => "all is well".to_owned(),
    }
}

fn action(state: State, sources: &Sources<'_>, findings: &[Finding]) -> Option<String> {
    let next = || findings.iter().filter(|f| f.severity >= Severity::Warning).find_map(|f| f.next.clone());
    match state {
        State::Damaged => Some("recoveryctl recover".to_owned()),
        State::Recovering => None,
        State::SafeMode => sources.safe_mode.map(way_out),
        State::Degraded if unfinished(sources.current).is_some() => Some("recoveryctl recover".to_owned()),
        State::Degraded => next(),
        State::Healthy => {
            let unwatched = sources.daemon.is_none() && sources.queue.state().counts().running > 0;
            next().or_else(|| unwatched.then(|| "recoveryctl recover".to_owned()))
        }
    }
}

fn parked(sources: &Sources<'_>) -> u64 {
    sources.webhooks.map_or(0, |survey| super::webhooks::DeliveryCounts::of(survey).parked)
}

fn parked_cleanups(sources: &Sources<'_>) -> u64 {
    let of_now = sources.cleanups.into_iter().flatten();
    of_now.filter(|f| f.code == catalogue::CLEANUP_PARKED.code).count() as u64
}

fn wait(number: u64, what: &str) -> String {
    if number == 1 { format!("1 {what} waits") } else { format!("{number} {what}s wait") }
}
