//! The report on one screen: state, what is the matter, what to do.

mod degraded;
mod findings;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use self::degraded::degraded;
use self::findings::findings;
use super::catalogue;
use super::finding::{Finding, Severity};
use crate::archive;
use crate::durable::DiskError;
use crate::jobs::{FreshnessLimits, StartsHeld, hanging_starts, starts_held};
use crate::locks::{Availability, availability, lock_names, undecided};
use crate::queue::{Counts, JobId, Queue};
use crate::recovery::{
    DegradedResource, HistoryEntry, HistoryError, RecoveryOutcome, RecoveryRecord, Snapshot, read_current,
    read_history, read_last,
};
use crate::startup::{SafeMode, last_turn, safe_mode};
use crate::state::{StateDir, Timestamp};

pub use findings::{damage, safe_mode_finding};

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
    pub webhooks: Option<crate::report::webhooks::DeliveryCounts>,
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
        let cleanups = crate::report::cleanup::open(dir).ok();
        Gathered {
            dir: dir.clone(),
            current: read_current(dir),
            last: read_last(dir),
            history: read_history(dir),
            safe_mode: safe_mode(dir),
            unavailable: unavailable_repositories(dir),
            at_risk: cleanups.as_deref().map(crate::report::cleanup::at_risk).unwrap_or_default(),
            cleanups: cleanups.and_then(|c| crate::report::cleanup::findings(dir, &c).ok()),
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
    let mut found: Vec<DegradedResource> = unusable
        .map(|name| DegradedResource { object: format!("lock:{name}"), why: METADATA_DAMAGED.to_owned() })
        .collect();
    // Where they cannot be listed, the names above were not to be had either.
    let undecided = undecided(dir).unwrap_or_default();
    found.extend(undecided.into_iter().map(|(name, why)| DegradedResource {
        object: format!("lock:{name}"),
        why: format!("whether its holder lives cannot be said: {why}"),
    }));
    found.sort_by(|a, b| a.object.cmp(&b.object));
    found
}

/// Why a repository is unavailable that `repair locks` opens.
const METADATA_DAMAGED: &str = "its lock's metadata cannot be understood, so nobody can say who holds it";

/// The object of findings about a disk that cannot be written.
const DISK: &str = "disk";

/// The object of findings about the daemon.
const DAEMON: &str = "daemon";

/// The object of findings about a host that cannot start anything.
const STARTS: &str = "starts";

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
            webhooks: sources.webhooks.map(crate::report::webhooks::DeliveryCounts::of),
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

/// The command that leaves safe mode by proving that the phase works again.
fn way_out(safe: &SafeMode) -> String {
    safe.phase().map_or_else(
        || "recoveryctl startup clear".to_owned(),
        |phase| format!("recoveryctl retry phase {phase}"),
    )
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
        // A copy is not recovered, and an adoption that was cut short looks like damage.
        State::Damaged if sources.dir.is_copy() => catalogue::STATE_DIRECTORY_COPIED.next.map(str::to_owned),
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
    sources.webhooks.map_or(0, |survey| crate::report::webhooks::DeliveryCounts::of(survey).parked)
}

fn parked_cleanups(sources: &Sources<'_>) -> u64 {
    let of_now = sources.cleanups.into_iter().flatten();
    of_now.filter(|f| f.code == catalogue::CLEANUP_PARKED.code).count() as u64
}

fn wait(number: u64, what: &str) -> String {
    if number == 1 { format!("1 {what} waits") } else { format!("{number} {what}s wait") }
}
