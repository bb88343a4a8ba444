//! The progress that all threads of a run share.
//!
//! Values that change for every item (`done`, `total`) are atomic and cost a phase only nanoseconds; one
//! mutex protects the others. Followers (the file's writer, the progress bar) are woken by a change of status
//! and read the counters at their own pace.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde_json::Value;
use uuid::Uuid;

use super::phase_outcome::DegradedResource;
use super::snapshot::{PhaseProgress, PhaseStatus, RecoveryOutcome, Snapshot};
use crate::findings::{Finding, Severity};
use crate::state::Clock;
use crate::system::{Host, ProcessIdentity};

/// The total of a phase when it is not known.
const UNKNOWN: u64 = u64::MAX;

/// How many of a phase's findings a snapshot of a running recovery carries: it is written four times a
/// second and must stay small. The last one has all.
const FINDINGS_SHOWN: usize = 50;

#[derive(Default)]
struct Counter {
    done: AtomicU64,
    total: AtomicU64,
}

struct Shared {
    /// The snapshot without its phases.
    head: Snapshot,
    phases: Vec<PhaseProgress>,
    /// When each phase began, by the clock that does not jump; `None` before and after.
    begun: Vec<Option<Instant>>,
    /// When the present try of each phase began.
    try_begun: Vec<Option<Instant>>,
    details: BTreeMap<String, Value>,
    counts: BTreeMap<String, u64>,
    statuses_changed: u64,
    closed: bool,
}

pub(super) struct Tracker {
    shared: Mutex<Shared>,
    counters: Vec<Counter>,
    items_moved: AtomicU64,
    bell: Condvar,
    begun: Instant,
    clock: Clock,
}

/// What a follower has already seen.
#[derive(Default)]
pub(super) struct Seen {
    statuses_changed: u64,
    items_moved: u64,
}

impl Tracker {
    /// Makes a tracker for phases that have not begun.
    pub(super) fn new(clock: &Clock, purpose: &str, only: &[String], phases: Vec<PhaseProgress>) -> Tracker {
        let process = ProcessIdentity::this();
        let head = Snapshot {
            recovery_id: Uuid::now_v7(),
            outcome: RecoveryOutcome::Running,
            purpose: purpose.to_owned(),
            started_at: clock.now(),
            ended_at: None,
            duration_ms: 0,
            phases_done: 0,
            phases_total: u32::try_from(phases.len()).unwrap_or(u32::MAX),
            pid: process.pid,
            process_start_time: process.start_time,
            host: Host::this(),
            phases: Vec::new(),
            findings: Vec::new(),
            only: only.to_vec(),
        };
        let count = phases.len();
        let counter = || Counter { done: AtomicU64::new(0), total: AtomicU64::new(UNKNOWN) };
        Tracker {
            counters: (0..count).map(|_| counter()).collect(),
            shared: Mutex::new(Shared {
                head,
                phases,
                begun: vec![None; count],
                try_begun: vec![None; count],
                details: BTreeMap::new(),
                counts: BTreeMap::new(),
                // The counter is one ahead of a new follower, so that its first look is never empty.
                statuses_changed: 1,
                closed: false,
            }),
            items_moved: AtomicU64::new(0),
            bell: Condvar::new(),
            begun: Instant::now(),
            clock: clock.clone(),
        }
    }

    /// Locks the shared state. A panic of a phase is caught elsewhere, and every change here leaves the data
    /// whole.
    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn set_total(&self, phase: usize, total: u64) {
        if let Some(counter) = self.counters.get(phase) {
            counter.total.store(total.min(UNKNOWN - 1), Ordering::Relaxed);
            self.items_moved.fetch_add(1, Ordering::Release);
        }
    }

    pub(super) fn advance(&self, phase: usize, items: u64) {
        if let Some(counter) = self.counters.get(phase) {
            counter.done.fetch_add(items, Ordering::Relaxed);
            self.items_moved.fetch_add(1, Ordering::Release);
        }
    }

    /// Changes a phase without waking followers; they see the change at their next look. A change of a phase
    /// that is over is ignored: the phase was abandoned.
    fn quietly(&self, phase: usize, change: impl FnOnce(&mut PhaseProgress)) {
        if let Some(progress) = self.lock().phases.get_mut(phase).filter(|p| !p.status.is_over()) {
            change(progress);
            self.items_moved.fetch_add(1, Ordering::Release);
        }
    }

    pub(super) fn set_message(&self, phase: usize, message: String) {
        self.quietly(phase, |p| p.message = Some(message));
    }

    pub(super) fn add_finding(&self, phase: usize, finding: Finding) {
        self.quietly(phase, |p| p.findings.push(finding));
    }

    pub(super) fn set_detail(&self, phase: usize, name: String, value: Value) {
        let mut shared = self.lock();
        if !shared.is_over(phase) {
            shared.details.insert(name, value);
        }
    }

    pub(super) fn add_count(&self, phase: usize, name: &str, n: u64) {
        let mut shared = self.lock();
        if !shared.is_over(phase) {
            *shared.counts.entry(name.to_owned()).or_default() += n;
        }
    }

    /// Adds a finding about the run itself; a repeated one is left out.
    pub(super) fn add_run_finding(&self, finding: Finding) {
        let mut shared = self.lock();
        if !shared.head.findings.contains(&finding) {
            shared.head.findings.push(finding);
        }
    }

    pub(super) fn status(&self, phase: usize) -> PhaseStatus {
        self.lock().phases[phase].status
    }

    pub(super) fn statuses(&self) -> Vec<PhaseStatus> {
        self.lock().phases.iter().map(|p| p.status).collect()
    }

    /// Begins a try: drops counters and findings of the previous one.
    pub(super) fn begin_try(&self, phase: usize) {
        self.counters[phase].done.store(0, Ordering::Relaxed);
        self.counters[phase].total.store(UNKNOWN, Ordering::Relaxed);
        let now = self.clock.now();
        let mut shared = self.lock();
        shared.begun[phase].get_or_insert_with(Instant::now);
        shared.try_begun[phase] = Some(Instant::now());
        let progress = &mut shared.phases[phase];
        progress.started_at.get_or_insert(now);
        progress.status = PhaseStatus::Running;
        progress.attempts += 1;
        progress.message = None;
        progress.findings.clear();
        self.ring(&mut shared);
    }

    /// Ends a phase.
    pub(super) fn end_phase(&self, phase: usize, end: PhaseEnd) {
        let mut shared = self.lock();
        if shared.is_over(phase) {
            return; // It was left behind, and comes to its end all the same.
        }
        let elapsed = shared.begun[phase].take().map_or(0, |b| millis(b.elapsed()));
        let total = self.counters[phase].total.load(Ordering::Relaxed);
        let progress = &mut shared.phases[phase];
        progress.done = self.counters[phase].done.load(Ordering::Relaxed);
        progress.total = (total != UNKNOWN).then_some(total);
        progress.status = end.status;
        progress.duration_ms = elapsed;
        progress.message = end.message.or_else(|| progress.message.take());
        progress.findings.extend(end.findings);
        progress.degraded_resources = end.degraded;
        name_what_is_broken(progress);
        self.ring(&mut shared);
    }

    /// Ends the run; followers see that when [`Tracker::close`] wakes them.
    pub(super) fn end_run(&self, outcome: RecoveryOutcome) {
        let mut shared = self.lock();
        shared.head.outcome = outcome;
        shared.head.ended_at = Some(self.clock.now());
        shared.head.duration_ms = millis(self.begun.elapsed());
    }

    /// Closes the run for changes: followers get the last snapshot and end.
    pub(super) fn close(&self) {
        let mut shared = self.lock();
        shared.closed = true;
        self.ring(&mut shared);
    }

    fn ring(&self, shared: &mut Shared) {
        shared.statuses_changed += 1;
        self.bell.notify_all();
    }

    /// The id of the run.
    pub(super) fn recovery_id(&self) -> Uuid {
        self.lock().head.recovery_id
    }

    /// Returns the values kept with [`Tracker::set_detail`].
    pub(super) fn details(&self) -> BTreeMap<String, Value> {
        self.lock().details.clone()
    }

    pub(super) fn counts(&self) -> BTreeMap<String, u64> {
        self.lock().counts.clone()
    }

    /// Returns the present progress.
    pub(super) fn snapshot(&self) -> Snapshot {
        self.compose(&self.lock())
    }

    fn compose(&self, shared: &Shared) -> Snapshot {
        let mut snapshot = shared.head.clone();
        let running = snapshot.outcome == RecoveryOutcome::Running;
        let most = if running { FINDINGS_SHOWN } else { usize::MAX };
        let phases = shared.phases.iter().enumerate();
        snapshot.phases =
            phases.map(|(i, p)| compose_phase(p, &self.counters[i], shared.times(i), most)).collect();
        let done = snapshot.phases.iter().filter(|p| p.status.is_over()).count();
        snapshot.phases_done = u32::try_from(done).unwrap_or(u32::MAX);
        if running {
            snapshot.duration_ms = millis(self.begun.elapsed());
        }
        snapshot
    }

    /// Waits until a status changed, or items moved and `every` has passed since `last`. `None` when the
    /// run is closed and everything was seen.
    pub(super) fn wait(&self, seen: &mut Seen, last: Instant, every: Duration) -> Option<Snapshot> {
        let mut shared = self.lock();
        loop {
            let moved = self.items_moved.load(Ordering::Acquire);
            let status_changed = shared.statuses_changed != seen.statuses_changed;
            let items_moved = moved != seen.items_moved && last.elapsed() >= every;
            if status_changed || items_moved {
                *seen = Seen { statuses_changed: shared.statuses_changed, items_moved: moved };
                return Some(self.compose(&shared));
            }
            if shared.closed {
                return None;
            }
            let turn = self.bell.wait_timeout(shared, every);
            shared = turn.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

/// How a phase ended.
#[derive(Debug)]
pub(super) struct PhaseEnd {
    pub(super) status: PhaseStatus,
    pub(super) message: Option<String>,
    pub(super) findings: Vec<Finding>,
    pub(super) degraded: Vec<DegradedResource>,
}

impl Shared {
    fn is_over(&self, phase: usize) -> bool {
        self.phases.get(phase).is_some_and(|p| p.status.is_over())
    }

    /// Returns how long a phase, and its present try, has been at work; `None` before it begins and after it
    /// ends.
    fn times(&self, phase: usize) -> Option<(Duration, Duration)> {
        let begun = self.begun[phase]?;
        Some((begun.elapsed(), self.try_begun[phase].unwrap_or(begun).elapsed()))
    }
}

/// Makes a phase that found an error or worse `degraded`, and names the finding's object: it cannot be relied
/// on until an operator acts (error), or something acknowledged may be lost (critical). This is the only
/// place that decides this.
fn name_what_is_broken(phase: &mut PhaseProgress) {
    if !matches!(phase.status, PhaseStatus::Succeeded | PhaseStatus::Degraded) {
        return;
    }
    for finding in phase.findings.iter().filter(|f| f.severity >= Severity::Error) {
        phase.status = PhaseStatus::Degraded;
        if phase.degraded_resources.iter().all(|r| r.object != finding.object) {
            let (object, why) = (finding.object.clone(), finding.sentence.clone());
            phase.degraded_resources.push(DegradedResource { object, why });
        }
    }
}

/// Estimates the time for the rest, if every item takes as long as the average of this try. A mean over the
/// whole try moves slowly, which suits phases whose items differ.
fn estimate(done: u64, total: u64, so_far: Duration) -> Option<u64> {
    let left = total.checked_sub(done).filter(|_| done > 0)?;
    let ms = so_far.as_secs_f64() * 1000.0 / done as f64 * left as f64;
    Some(ms as u64)
}

fn compose_phase(
    p: &PhaseProgress,
    counter: &Counter,
    times: Option<(Duration, Duration)>,
    most: usize,
) -> PhaseProgress {
    let mut composed = compose_over(p, most);
    if let Some((at_work, trying)) = times {
        let total = counter.total.load(Ordering::Relaxed);
        composed.done = counter.done.load(Ordering::Relaxed);
        composed.total = (total != UNKNOWN).then_some(total);
        composed.duration_ms = millis(at_work);
        composed.remaining_ms = composed.total.and_then(|total| estimate(composed.done, total, trying));
    }
    composed
}

fn compose_over(p: &PhaseProgress, most: usize) -> PhaseProgress {
    PhaseProgress {
        phase: p.phase.clone(),
        depends_on: p.depends_on.clone(),
        unit: p.unit.clone(),
        message: p.message.clone(),
        findings: p.findings[p.findings.len().saturating_sub(most)..].to_vec(),
        findings_total: p.findings.len() as u64,
        degraded_resources: p.degraded_resources.clone(),
        ..*p
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
