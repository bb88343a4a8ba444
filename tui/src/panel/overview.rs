//! The overview: the state, the phases of the recovery, unusable resources, findings.
//!
//! As a list it has a line for each phase, then one for each finding; `view::overview` draws them in its own
//! way.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::sync::Arc;

use recovery::findings::{self, Finding, Severity};
use recovery::recovery::{DegradedResource, PhaseProgress, PhaseStatus, RecoveryOutcome, Snapshot};
use recovery::report::cleanup::CleanupCounts;
use recovery::report::dashboard::Dashboard;
use recovery::report::status::{State, Status};
use recovery::state::{Timestamp, human};

use super::finding::{document, why};
use crate::action::{Action, Meant, meant};
use crate::listing::{Cell, Column, DocumentLine, Listing, Object, Open, Text, Tone, has};

/// How far a recovery is.
#[derive(Debug, Clone)]
pub struct Progress {
    /// Its outcome so far.
    pub outcome: Option<RecoveryOutcome>,
    /// The command that runs it.
    pub purpose: String,
    /// When it began.
    pub started_at: Option<Timestamp>,
    /// How long it had taken when it was read, in milliseconds.
    pub duration_ms: u64,
    /// When it was read.
    pub read_at: Timestamp,
    /// The phases, in their order.
    pub phases: Vec<PhaseProgress>,
    /// Findings about the run itself.
    pub findings: Vec<Finding>,
}

impl Progress {
    /// Makes the progress from a snapshot.
    pub fn of(snapshot: &Snapshot, read_at: Timestamp) -> Progress {
        Progress {
            outcome: Some(snapshot.outcome),
            purpose: snapshot.purpose.clone(),
            started_at: Some(snapshot.started_at),
            duration_ms: snapshot.duration_ms,
            read_at,
            phases: snapshot.phases.clone(),
            findings: snapshot.findings.clone(),
        }
    }

    /// Whether it runs.
    pub fn is_running(&self) -> bool {
        self.outcome == Some(RecoveryOutcome::Running)
    }

    /// How long it has taken until now, milliseconds.
    pub fn elapsed_ms(&self, now: Timestamp) -> u64 {
        let told = self.duration_ms.saturating_add(self.since_read(now));
        told.max(self.started_at.filter(|_| self.is_running()).map_or(0, |at| since(now, at)))
    }

    /// How long ago this was read, while it runs.
    pub fn since_read(&self, now: Timestamp) -> u64 {
        if self.is_running() { since(now, self.read_at) } else { 0 }
    }

    /// The time that a phase has taken so far, in milliseconds, also for a phase that hangs and reports
    /// nothing.
    pub fn elapsed_of(&self, phase: &PhaseProgress, now: Timestamp) -> u64 {
        if phase.status != PhaseStatus::Running || !self.is_running() {
            return phase.duration_ms;
        }
        let told = phase.duration_ms.saturating_add(self.since_read(now));
        told.max(phase.started_at.map_or(0, |at| since(now, at)))
    }
}

fn since(now: Timestamp, at: Timestamp) -> u64 {
    u64::try_from(now.millis_since(at)).unwrap_or(0)
}

/// A line of the overview.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Line {
    Phase(usize),
    Degraded(usize),
    Finding(usize),
}

/// Figures of everything except the queue.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Besides {
    /// Cleanups.
    pub cleanups: CleanupCounts,
    /// Candidates of the last scan, and how much of them is safe to remove, in bytes; `None` without a scan.
    pub orphans: Option<(u64, u64)>,
}

pub struct Overview {
    /// `None` when it was not read yet, or cannot be read: where a disk does not answer, the recovery's
    /// progress may be all that can be read.
    dashboard: Option<Arc<Dashboard>>,
    besides: Besides,
    progress: Arc<Progress>,
    /// The unusable resources that no finding names.
    degraded: Vec<DegradedResource>,
    /// Findings, the worst first; while a recovery runs, its findings.
    findings: Vec<Finding>,
    lines: Vec<Line>,
}

impl Overview {
    /// Makes the overview from a report.
    pub fn new(dashboard: Dashboard, besides: Besides) -> Overview {
        let recovery = dashboard.status.recovery.as_ref();
        let progress = Progress {
            outcome: recovery.map(|r| r.outcome),
            purpose: recovery.map(|r| r.purpose.clone()).unwrap_or_default(),
            started_at: recovery.map(|r| r.started_at),
            duration_ms: recovery.map_or(0, |r| r.duration_ms),
            read_at: dashboard.at,
            phases: dashboard.phases.phases.clone(),
            findings: dashboard.phases.findings.clone(),
        };
        Overview::with(Some(Arc::new(dashboard)), besides, progress)
    }

    /// The same, with newer progress of the recovery.
    pub fn gone_on(&self, progress: Progress) -> Overview {
        Overview::with(self.dashboard.clone(), self.besides, progress)
    }

    /// Makes an overview that only has the progress of the recovery.
    pub fn of_progress(progress: Progress) -> Overview {
        Overview::with(None, Besides::default(), progress)
    }

    fn with(dashboard: Option<Arc<Dashboard>>, besides: Besides, progress: Progress) -> Overview {
        let status = dashboard.as_ref().map(|dashboard| &dashboard.status);
        // A status from before the end of the recovery does not have its result.
        let of_its_end = |status: &&Status| {
            let told = status.recovery.as_ref().map(|r| (r.started_at, r.outcome));
            !progress.is_running() && told == progress.started_at.zip(progress.outcome)
        };
        let (findings, unusable): (_, Vec<&DegradedResource>) = match status.filter(of_its_end) {
            Some(status) => (status.findings.clone(), status.degraded_resources.iter().collect()),
            None => {
                let unusable = progress.phases.iter().flat_map(|p| &p.degraded_resources);
                (newest_first(&progress), unusable.collect())
            }
        };
        let is_named = |r: &&DegradedResource| findings.iter().any(|f| f.object == r.object);
        let degraded: Vec<_> = unusable.into_iter().filter(|r| !is_named(r)).cloned().collect();
        let lines = tree(&progress.phases).into_iter().map(Line::Phase);
        let lines = lines.chain((0..degraded.len()).map(Line::Degraded));
        let lines = lines.chain((0..findings.len()).map(Line::Finding)).collect();
        Overview { dashboard, besides, progress: Arc::new(progress), degraded, findings, lines }
    }

    /// The whole report.
    pub fn dashboard(&self) -> Option<&Dashboard> {
        self.dashboard.as_deref()
    }

    /// Figures of everything except the queue.
    pub fn besides(&self) -> Besides {
        self.besides
    }

    /// Health on one screen.
    pub fn status(&self) -> Option<&Status> {
        self.dashboard().map(|dashboard| &dashboard.status)
    }

    pub fn progress(&self) -> &Progress {
        &self.progress
    }

    /// The word for the state, and its look.
    pub fn state(&self) -> (&'static str, Tone) {
        if self.progress.is_running() {
            return ("RECOVERING", Tone::Busy);
        }
        let Some(status) = self.status() else { return ("READING …", Tone::Quiet) };
        let tone = match status.state {
            State::Healthy => Tone::Good,
            State::Recovering => Tone::Busy,
            State::Attention | State::Degraded | State::Unwatched => Tone::Warning,
            State::SafeMode | State::DataLoss | State::Damaged => Tone::Bad,
        };
        (status.state.headline(), tone)
    }

    /// The next step, as a command.
    pub fn next(&self) -> Option<&str> {
        match self.progress.is_running() {
            true => None,
            false => self.status()?.action.as_deref(),
        }
    }

    pub(crate) fn line(&self, row: usize) -> Line {
        self.lines[row]
    }

    pub(crate) fn phase(&self, index: usize) -> &PhaseProgress {
        &self.progress.phases[index]
    }

    pub(crate) fn degraded(&self, index: usize) -> &DegradedResource {
        &self.degraded[index]
    }

    pub(crate) fn finding(&self, index: usize) -> &Finding {
        &self.findings[index]
    }

    /// Its parent phase in the tree.
    pub(crate) fn parent(&self, index: usize) -> Option<usize> {
        parent(&self.progress.phases, index)
    }

    fn object(&self, row: usize) -> Option<&findings::Object> {
        match self.line(row) {
            Line::Phase(_) => None,
            Line::Degraded(i) => Some(&self.degraded(i).object),
            Line::Finding(i) => Some(&self.finding(i).object),
        }
    }
}

/// Returns, of several phases that a phase waits for, the one that comes last.
fn parent(phases: &[PhaseProgress], index: usize) -> Option<usize> {
    let after = &phases[index].depends_on;
    (0..index).rev().find(|&before| after.contains(&phases[before].phase))
}

/// Orders the phases: each comes right below the one that it waits for, or below another that waits for the
/// same.
fn tree(phases: &[PhaseProgress]) -> Vec<usize> {
    let mut children: Vec<Vec<usize>> = vec![Vec::new(); phases.len()];
    let mut open: Vec<usize> = Vec::new();
    for index in 0..phases.len() {
        match parent(phases, index) {
            Some(parent) => children[parent].push(index),
            None => open.push(index),
        }
    }
    open.reverse();
    let mut order = Vec::new();
    while let Some(index) = open.pop() {
        order.push(index);
        open.extend(children[index].iter().rev());
    }
    order
}

/// Returns the findings, newest first: the phase that began last has the newest.
fn newest_first(progress: &Progress) -> Vec<Finding> {
    let mut phases: Vec<_> = progress.phases.iter().collect();
    phases.sort_by_key(|p| std::cmp::Reverse(p.started_at));
    let of_phases = phases.into_iter().flat_map(|p| p.findings.iter().rev());
    of_phases.chain(progress.findings.iter().rev()).cloned().collect()
}

impl Listing for Overview {
    fn columns(&self) -> &'static [Column] {
        &[]
    }

    fn len(&self) -> usize {
        self.lines.len()
    }

    fn key(&self, row: usize) -> Cow<'_, str> {
        match self.line(row) {
            Line::Phase(i) => format!("phase:{}", self.phase(i).phase).into(),
            Line::Degraded(i) => format!("degraded:{}", self.degraded(i).object).into(),
            Line::Finding(i) => {
                let finding = self.finding(i);
                format!("finding:{}:{}", finding.code, finding.object).into()
            }
        }
    }

    fn cell(&self, _row: usize, _column: usize, _now: Timestamp) -> Cell<'_> {
        Cell::plain("")
    }

    fn compare(&self, a: usize, b: usize, _column: usize) -> Ordering {
        a.cmp(&b)
    }

    fn matches(&self, row: usize, needle: &str) -> bool {
        match self.line(row) {
            Line::Phase(i) => has(&self.phase(i).phase, needle),
            Line::Degraded(i) => {
                has(&self.degraded(i).object.to_string(), needle) || has(&self.degraded(i).why, needle)
            }
            Line::Finding(i) => {
                let finding = self.finding(i);
                [&*finding.code, &finding.object.to_string(), &finding.sentence]
                    .iter()
                    .any(|text| has(text, needle))
            }
        }
    }

    fn summary(&self, _now: Timestamp) -> Vec<Cell<'_>> {
        let (word, tone) = self.state();
        vec![Cell::toned(word, tone)]
    }

    fn empty(&self) -> &'static str {
        "There was no recovery yet."
    }

    fn open(&self, row: usize) -> Option<Open> {
        Some(match self.line(row) {
            Line::Phase(i) => Open::Document(Arc::new(phase_document(self.phase(i)))),
            Line::Degraded(i) => match why(&self.degraded(i).object) {
                Some(object) => Open::Object(object),
                None => {
                    let DegradedResource { object, why } = self.degraded(i);
                    let lines = vec![DocumentLine::plain(why)];
                    Open::Document(Arc::new(Text { title: object.to_string(), lines, actions: Vec::new() }))
                }
            },
            Line::Finding(i) => Open::Document(Arc::new(document(self.finding(i)))),
        })
    }

    fn why(&self, row: usize) -> Option<Object> {
        why(self.object(row)?)
    }

    fn output(&self, row: usize) -> Option<Object> {
        let findings::Object::Job(id) = self.object(row)? else { return None };
        Some(Object::Output(id.to_string()))
    }

    fn actions(&self, rows: &[usize]) -> Vec<Action> {
        let mut actions: Vec<Action> = Vec::new();
        for &row in rows {
            match self.line(row) {
                Line::Phase(i) => actions.extend(phase_actions(self.phase(i))),
                Line::Degraded(_) => {}
                Line::Finding(i) => {
                    if let Meant::Action(action) = meant(self.finding(i).next.as_deref().unwrap_or_default())
                    {
                        actions.push(*action);
                    }
                }
            }
        }
        let has_daemon = self.status().is_none_or(|status| status.daemon.is_some());
        if !self.progress.is_running() && !has_daemon {
            actions.push(Action::recover());
        }
        if self.dashboard().is_some_and(|dashboard| dashboard.startup.safe_mode) {
            actions.push(Action::clear_startup());
        }
        let mut seen: Vec<Action> = Vec::new();
        actions.retain(|action| {
            !seen.contains(action) && {
                seen.push(action.clone());
                true
            }
        });
        actions
    }

    fn most_telling(&self) -> usize {
        let find = |is: &dyn Fn(Line) -> bool| self.lines.iter().position(|line| is(*line));
        let with = |status| find(&|line| matches!(line, Line::Phase(i) if self.phase(i).status == status));
        let found = match self.progress.is_running() {
            true => with(PhaseStatus::Running),
            false => find(&|line| match line {
                Line::Phase(_) => false,
                Line::Degraded(_) => true,
                Line::Finding(i) => self.finding(i).severity >= Severity::Warning,
            }),
        };
        found.or_else(|| with(PhaseStatus::Failed)).or_else(|| with(PhaseStatus::Degraded)).unwrap_or(0)
    }
}

fn phase_actions(phase: &PhaseProgress) -> Vec<Action> {
    let (skip, retry) = (Action::skip_phase(&phase.phase), Action::retry_phase(&phase.phase));
    match phase.status {
        PhaseStatus::Pending => vec![skip],
        PhaseStatus::Running => vec![skip, retry],
        _ => vec![retry],
    }
}

fn phase_document(phase: &PhaseProgress) -> Text {
    let mut lines = vec![DocumentLine::field("status", phase.status.word())];
    let mut field = |name: &str, value: Option<String>| {
        lines.extend(value.map(|value| DocumentLine::field(name, value)));
    };
    let total = phase.total.map_or_else(String::new, |total| format!(" of {total}"));
    field("waits for", (!phase.depends_on.is_empty()).then(|| phase.depends_on.join(", ")));
    field("critical", phase.critical.then(|| "yes: when it fails the recovery stops".to_owned()));
    field("done", Some(format!("{}{total} {}", phase.done, phase.unit)));
    field("tries", Some(phase.attempts.to_string()));
    field("took", phase.started_at.map(|_| human::duration(phase.duration_ms)));
    field("rest", phase.remaining_ms.map(|ms| format!("about {}", human::about(ms))));
    field("says", phase.message.clone());
    if phase.carried_over {
        lines
            .push(DocumentLine::toned("Not run this time: so it ended in the recovery before.", Tone::Quiet));
    }
    for DegradedResource { object, why } in &phase.degraded_resources {
        lines.push(DocumentLine { tone: Tone::Warning, ..DocumentLine::field(&object.to_string(), why) });
    }
    lines.extend(phase.findings.iter().flat_map(super::finding::line_of));
    let shown = phase.findings.len() as u64;
    if phase.findings_total > shown {
        let text = format!("… and {}", human::count(phase.findings_total - shown, "more finding"));
        lines.push(DocumentLine::toned(text, Tone::Quiet));
    }
    Text { title: format!("Phase {}", phase.phase), lines, actions: phase_actions(phase) }
}
