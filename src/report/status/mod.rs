//! The report on one screen: the state, what is wrong, what to do.

mod degraded;
mod findings;
mod ladder;
mod sources;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use self::degraded::degraded;
use self::findings::findings;
use self::ladder::reasons;
use self::sources::METADATA_DAMAGED;
use super::webhooks::DeliveryCounts;
use crate::durable::DiskError;
use crate::findings::{Finding, Object, catalogue};
use crate::jobs::{FreshnessLimits, StartsHeld, hanging_starts, starts_held};
use crate::locks::{Availability, availability, lock_names, undecided};
use crate::losses::{LossCheck, Losses};
use crate::queue::{Counts, QueueView};
use crate::recovery::{
    DegradedResource, HistoryEntry, HistoryError, RecoveryOutcome, RecoveryRecord, Snapshot, read_current,
    read_history, read_last,
};
use crate::startup::{SafeMode, last_turn, safe_mode};
use crate::state::{StateDir, Timestamp};
use crate::{archive, cleanup};

pub use ladder::{Reason, State};
pub use sources::{DaemonStatus, Sources};

/// Health on one screen.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs)] // The members are the published form; see docs.
pub struct Status {
    pub state: State,
    pub status: String,
    pub action: Option<String>,
    /// Why it is in this state, the worst first.
    #[serde(default)]
    pub reasons: Vec<Reason>,
    pub state_dir: String,
    pub daemon: Option<DaemonStatus>,
    pub recovery: Option<RecoveryStatus>,
    pub degraded_resources: Vec<DegradedResource>,
    pub counts: Counts,
    pub webhooks: Option<DeliveryCounts>,
    /// Git work that was kept of workspaces that went; null when it cannot be told.
    #[serde(default)]
    pub archives: Option<archive::Totals>,
    pub findings: Vec<Finding>,
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

/// The input of all reports on the whole, read once: reports made from one of these are consistent.
pub struct Gathered {
    /// The state directory.
    pub dir: StateDir,
    /// The queue.
    pub queue: QueueView,
    /// The recovery that runs, or ran last.
    pub current: Option<Snapshot>,
    /// The last recovery that came to its end, or why it cannot be read.
    pub last: Result<Option<RecoveryRecord>, HistoryError>,
    /// The past recoveries, or why they cannot be read.
    pub history: Result<Vec<HistoryEntry>, HistoryError>,
    /// The crash loop that keeps jobs from being started, or why that cannot be read.
    pub safe_mode: Result<Option<SafeMode>, DiskError>,
    unavailable: Vec<DegradedResource>,
    cleanups: Option<Vec<Finding>>,
    webhooks: Option<crate::webhooks::Survey>,
    starts_held: Option<StartsHeld>,
    losses: Losses,
    look: LossCheck,
}

impl Gathered {
    /// Adds the undelivered deliveries.
    pub(crate) fn with_webhooks(mut self, webhooks: Option<crate::webhooks::Survey>) -> Gathered {
        self.webhooks = webhooks;
        self
    }

    /// Reads it. A damaged file of the recovery costs at most itself: it becomes a finding. The caller opens
    /// the queue, because only the caller can decide that it may only be read.
    pub fn read(dir: &StateDir, queue: impl Into<QueueView>) -> Gathered {
        let queue = queue.into();
        let cleanups = cleanup::list(dir).ok();
        // An unreadable list of losses affects only itself.
        let losses = Losses::read(dir)
            .unwrap_or_else(|e| Losses { damaged: Some(format!("{e}: {}", e.source)), ..Losses::default() });
        Gathered {
            look: LossCheck::take(dir, &losses).at_queue(dir, &losses, queue.state().last_seq()),
            losses,
            dir: dir.clone(),
            current: read_current(dir),
            last: read_last(dir),
            history: read_history(dir),
            safe_mode: safe_mode(dir),
            unavailable: unavailable_repositories(dir),
            cleanups: cleanups.and_then(|c| cleanup::findings(dir, &c, cleanup::is_running(dir)).ok()),
            webhooks: None,
            starts_held: starts_held(dir),
            queue,
        }
    }

    /// Returns the undelivered deliveries, if they were read.
    pub(crate) fn survey(&self) -> Option<&crate::webhooks::Survey> {
        self.webhooks.as_ref()
    }

    /// Returns the last recovery that came to its end, if it could be read.
    pub(crate) fn last(&self) -> Option<&RecoveryRecord> {
        self.last.as_ref().ok()?.as_ref()
    }

    /// Makes the status for one screen.
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
            losses: &self.losses,
            look: &self.look,
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
        .map(|name| DegradedResource { object: Object::lock(&name), why: METADATA_DAMAGED.to_owned() })
        .collect();
    // When they cannot be listed, the names above could not be read either.
    let undecided = undecided(dir).unwrap_or_default();
    found.extend(undecided.into_iter().map(|(name, why)| DegradedResource {
        object: Object::lock(&name),
        why: format!("whether its holder lives cannot be said: {why}"),
    }));
    found.sort_by(|a, b| a.object.cmp(&b.object));
    found
}

impl Status {
    /// Assembles the status.
    pub(crate) fn new(sources: &Sources<'_>) -> Status {
        let raised = findings(sources);
        let mut reasons = reasons(&raised);
        if sources.current.is_some_and(|s| s.outcome == RecoveryOutcome::Running) {
            let under_way = Finding::new(&catalogue::RECOVERY_UNDER_WAY, Object::Recovery, progress(sources));
            let place = reasons.partition_point(|reason| reason.state > State::Recovering);
            reasons.insert(place, Reason::of(State::Recovering, &under_way));
        }
        let state = reasons.first().map_or(State::Healthy, |reason| reason.state);
        let degraded_resources = degraded(&raised);
        let of_state = reasons.iter().take_while(|reason| reason.state == state);
        Status {
            state,
            status: sentence(state, sources, &degraded_resources, &of_state.clone().collect::<Vec<_>>()),
            action: of_state.clone().find_map(|reason| reason.next.clone()),
            state_dir: sources.dir.paths.root().display().to_string(),
            daemon: sources.daemon.clone(),
            recovery: sources.current.map(RecoveryStatus::from),
            degraded_resources,
            counts: sources.queue.state().counts(),
            webhooks: sources.webhooks.map(DeliveryCounts::of),
            archives: archive::totals(sources.dir).ok(),
            reasons,
            findings: raised.into_iter().map(|r| r.finding).collect(),
        }
    }
}

fn progress(sources: &Sources<'_>) -> String {
    let done = sources.current.map_or((0, 0), |s| (s.phases_done, s.phases_total));
    format!("a recovery is running: {} of {} phases are done", done.0, done.1)
}

/// Describes the state in one sentence, by the reasons for it.
fn sentence(
    state: State,
    sources: &Sources<'_>,
    degraded: &[DegradedResource],
    reasons: &[&Reason],
) -> String {
    let objects = || {
        let mut objects: Vec<&Object> = reasons.iter().map(|reason| &reason.object).collect();
        objects.dedup();
        // Jobs come first, because people know them; the files from which they were lost follow.
        objects.sort_by_key(|object| !matches!(object, Object::Job(_)));
        listed(&objects)
    };
    match state {
        State::Healthy => "all is well".to_owned(),
        State::Recovering => progress(sources),
        State::SafeMode => sources.safe_mode.map_or_else(String::new, |safe| {
            let who = match &sources.daemon {
                Some(daemon) => format!("the daemon (process {}) is up and starts no job", daemon.pid),
                None => "the next daemon will start no job".to_owned(),
            };
            let out = match safe.phase() {
                Some(phase) => format!("recoveryctl retry phase {phase}, or recoveryctl startup clear"),
                None => "recoveryctl startup clear".to_owned(),
            };
            format!("{}; {who}; to leave: {out}", safe.sentence())
        }),
        State::Damaged => "files of the queue are damaged; what could be read is shown".to_owned(),
        State::DataLoss => format!("lost, and not acknowledged: {}", objects()),
        State::Unwatched => {
            let sentences: Vec<&str> = reasons.iter().map(|reason| &*reason.sentence).collect();
            sentences.join("; ")
        }
        State::Degraded => {
            let unfinished = reasons.iter().find(|r| r.code == catalogue::RECOVERY_UNFINISHED.code);
            let held = sources.starts_held.map(|held| format!("no job is started: {}", held.reason));
            let is_parked = |r: &&Reason| r.code == catalogue::CLEANUP_PARKED.code;
            let cleanups: Vec<&Object> =
                reasons.iter().copied().filter(is_parked).map(|r| &r.object).collect();
            let webhooks = sources.webhooks.map_or(0, |s| DeliveryCounts::of(s).parked);
            let named = |object: &&Object| **object != Object::Starts && !cleanups.contains(object);
            let names: Vec<&Object> = degraded.iter().map(|r| &r.object).filter(named).collect();
            let unusable = (!names.is_empty()).then(|| format!("cannot be used: {}", listed(&names)));
            let parts = unfinished.map(|r| r.sentence.clone()).into_iter().chain(held).chain(unusable);
            let parts = parts.chain(waiting(webhooks, "parked webhook"));
            let parts = parts.chain(waiting(cleanups.len() as u64, "parked cleanup"));
            parts.collect::<Vec<_>>().join("; ")
        }
        State::Attention => attention(sources, reasons),
    }
}

/// Says how many crashed jobs wait, if any do; else the worst finding.
fn attention(sources: &Sources<'_>, reasons: &[&Reason]) -> String {
    let worst = || reasons.first().map_or_else(String::new, |r| format!("{}: {}", r.object, r.sentence));
    waiting(sources.queue.state().counts().crashed, "crashed job").unwrap_or_else(worst)
}

fn waiting(number: u64, what: &str) -> Option<String> {
    match number {
        0 => None,
        1 => Some(format!("1 {what} waits for an operator")),
        _ => Some(format!("{number} {what}s wait for an operator")),
    }
}

/// How many objects a sentence names.
const NAMED: usize = 5;

fn listed(objects: &[&Object]) -> String {
    let more = objects.len().saturating_sub(NAMED);
    let named: Vec<String> = objects.iter().take(NAMED).map(ToString::to_string).collect();
    let named = named.join(", ");
    if more > 0 { format!("{named} and {more} more") } else { named }
}
