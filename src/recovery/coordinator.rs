//! The coordinator starts each phase as soon as all its dependencies are over, checks for requests, and
//! decides the outcome of the run.
//!
//! The dependents of a failed phase that is not critical run all the same, and so do those of a skipped one:
//! each phase examines the state itself, and one broken part must not keep the rest down. Only the failure of
//! a critical phase ends the sequence: phases at work complete without further tries, and those not begun are
//! blocked.
//!
//! A phase that is told to stop (skipped, or the whole is cancelled) stops at its next safe point. A phase
//! that does not reach a safe point, because its disk does not answer, is abandoned after
//! [`RunOptions::patience`]: its thread goes on, its messages are ignored, and it ends at its next safe
//! point. All that phases do is safe beside another process, so it is also safe beside such a thread.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::Builder;
use std::time::Instant;

use super::control::{Control, LOOK_EVERY};
use super::graph::PhaseGraph;
use super::history::read_last;
use super::options::RunOptions;
use super::phase_outcome::DegradedResource;
use super::progress::{PhaseEnd, Tracker};
use super::requests::{self, Request, Wish};
use super::snapshot::{PhaseProgress, PhaseStatus, RecoveryOutcome, Snapshot};
use super::tries::{Attempting, Named, cancelled, object, skipped};
use crate::durable::DiskError;
use crate::findings::{Finding, Object, Severity, catalogue};
use crate::logging::events;
use crate::state::StateDir;
use tracing::{debug, info, warn};

type Ended = (usize, PhaseEnd);

pub(super) struct Coordinator<'a> {
    dir: &'a StateDir,
    graph: &'a PhaseGraph,
    options: &'a RunOptions,
    tracker: &'a Arc<Tracker>,
    control: &'a Arc<Control>,
    /// Which phases were started or skipped.
    begun: Vec<bool>,
    /// Phases whose skip request was seen.
    asked: BTreeSet<usize>,
    /// Phases at work, each with the time since which it is known to have been asked to stop.
    at_work: BTreeMap<usize, Option<Instant>>,
}

impl<'a> Coordinator<'a> {
    pub(super) fn new(
        dir: &'a StateDir,
        graph: &'a PhaseGraph,
        options: &'a RunOptions,
        tracker: &'a Arc<Tracker>,
        control: &'a Arc<Control>,
    ) -> Coordinator<'a> {
        let by = format!("{} (asked at the start)", options.by);
        for index in options.skip.iter().filter_map(|name| graph.index_of(name)) {
            control.skip(index, by.clone());
        }
        // Phases that are over before the run begins are carried over from the previous recovery.
        let begun = tracker.statuses().iter().map(|status| status.is_over()).collect();
        let (asked, at_work) = (BTreeSet::new(), BTreeMap::new());
        Coordinator { dir, graph, options, tracker, control, begun, asked, at_work }
    }

    /// Runs all phases; returns when no phase is at work and none can begin.
    pub(super) fn drive(&mut self) -> RecoveryOutcome {
        let (sender, receiver) = channel();
        loop {
            self.look_for_requests();
            while let Some(index) = self.next_ready() {
                self.begun[index] = true;
                self.begin(index, &sender);
            }
            if self.at_work.is_empty() {
                break;
            }
            self.take_end(&receiver);
            self.leave_behind();
        }
        self.block_the_rest();
        self.outcome()
    }

    fn next_ready(&self) -> Option<usize> {
        if self.control.is_cancelled() || self.control.is_stopped() {
            return None;
        }
        let statuses = self.tracker.statuses();
        let is_ready = |i: &usize| {
            let has_room =
                self.at_work.len() < self.options.side_by_side.max(1) || self.control.is_skipped(*i);
            !self.begun[*i] && has_room && self.graph.waits_for(*i).iter().all(|&d| statuses[d].is_over())
        };
        self.graph.order().iter().copied().find(is_ready)
    }

    /// Starts a phase on a thread.
    fn begin(&mut self, index: usize, sender: &Sender<Ended>) {
        let phase = self.named(index);
        if self.control.is_skipped(index) {
            self.end(index, skipped(phase, self.control.asked(index)));
            return;
        }
        let attempting = self.attempting(index);
        let sender = sender.clone();
        // The receiver is gone when the phase was abandoned.
        let work = move || drop(sender.send((index, attempting.to_the_end())));
        match Builder::new().name(format!("phase-{}", phase.name)).spawn(work) {
            Ok(_) => drop(self.at_work.insert(index, None)),
            Err(e) => {
                // No thread is available: the phase runs here, because doing the work matters more than doing
                // it in parallel.
                debug!(event = events::TROUBLE, phase = phase.name, "no thread for a phase: {e}");
                let end = self.attempting(index).to_the_end();
                self.end(index, end);
            }
        }
    }

    fn attempting(&self, index: usize) -> Attempting {
        Attempting {
            phase: self.named(index),
            run: Arc::clone(&self.graph.phases()[index].run),
            index,
            tracker: Arc::clone(self.tracker),
            control: Arc::clone(self.control),
            pauses: self.options.pauses.clone(),
        }
    }

    fn named(&self, index: usize) -> Named {
        let phase = &self.graph.phases()[index];
        Named { name: phase.name, critical: phase.critical }
    }

    /// Waits a moment for a phase to end.
    fn take_end(&mut self, receiver: &Receiver<Ended>) {
        let Ok((index, end)) = receiver.recv_timeout(LOOK_EVERY) else { return };
        if self.at_work.remove(&index).is_some() {
            self.end(index, end);
        }
    }

    /// Abandons the phases that were asked to stop and do not reach a safe point.
    fn leave_behind(&mut self) {
        let (mut late, control) = (Vec::new(), self.control);
        for (&index, since) in &mut self.at_work {
            if control.is_cancelled() || control.is_skipped(index) {
                let since = *since.get_or_insert_with(Instant::now);
                if since.elapsed() >= self.options.patience {
                    late.push(index);
                }
            }
        }
        for index in late {
            self.at_work.remove(&index);
            let stuck = "it hangs and was left behind: it did not come to a safe point";
            let end = if self.control.is_cancelled() {
                cancelled(&format!("cancelled; {stuck}"))
            } else {
                let mut end = skipped(self.named(index), self.control.asked(index));
                end.message = end.message.map(|message| format!("{message}; {stuck}"));
                end
            };
            self.end(index, end);
        }
    }

    fn end(&mut self, index: usize, mut end: PhaseEnd) {
        if end.status == PhaseStatus::Skipped {
            end.degraded.extend(self.left_by_the_last(index));
        }
        tell_end(self.graph.phases()[index].name, &end);
        let failed = end.status == PhaseStatus::Failed && !self.control.is_cancelled();
        let fatal = failed && self.graph.phases()[index].critical;
        self.tracker.end_phase(index, end);
        if fatal {
            self.control.stop();
        }
    }

    /// Returns the resources that a skipped phase named as unusable the last time: nothing has checked
    /// whether they were repaired.
    fn left_by_the_last(&self, index: usize) -> Vec<DegradedResource> {
        let phase = &self.graph.phases()[index];
        let last = read_last(self.dir).ok().flatten();
        let before = last.as_ref().and_then(|last| last.snapshot.phase(phase.name));
        let its_own = |r: &&DegradedResource| r.object != object(phase.name);
        before.map_or_else(Vec::new, |p| p.degraded_resources.iter().filter(its_own).cloned().collect())
    }

    fn block_the_rest(&mut self) {
        let why =
            if self.control.is_stopped() { "a critical phase failed" } else { "the recovery was cancelled" };
        for index in (0..self.begun.len()).filter(|&i| !self.begun[i]) {
            let message = Some(format!("not begun: {why}"));
            let (status, findings, degraded) = (PhaseStatus::Blocked, Vec::new(), Vec::new());
            let end = PhaseEnd { status, message, findings, degraded };
            tell_end(self.graph.phases()[index].name, &end);
            self.tracker.end_phase(index, end);
        }
    }

    fn outcome(&self) -> RecoveryOutcome {
        let snapshot = self.tracker.snapshot();
        // A phase that failed names itself as degraded; a cancelled one does not.
        let cut_short = |p: &PhaseProgress| match p.status {
            PhaseStatus::Blocked => true,
            PhaseStatus::Failed => p.degraded_resources.is_empty(),
            _ => false,
        };
        if self.control.is_stopped() {
            RecoveryOutcome::Failed
        } else if self.control.is_cancelled() && snapshot.phases.iter().any(cut_short) {
            RecoveryOutcome::Cancelled
        } else if snapshot.phases.iter().any(|p| p.status == PhaseStatus::Blocked) {
            // The phase was carried over from a recovery that failed, and is not among the phases that were
            // tried again.
            RecoveryOutcome::Failed
        } else if is_degraded(&snapshot) {
            RecoveryOutcome::Degraded
        } else {
            RecoveryOutcome::Completed
        }
    }

    fn look_for_requests(&mut self) {
        let looked = requests::any(self.dir).and_then(|any| if any { self.take_requests() } else { Ok(()) });
        if let Err(e) = looked {
            self.tracker.add_run_finding(unreadable(&e));
        }
    }

    fn take_requests(&mut self) -> Result<(), DiskError> {
        for (index, phase) in self.graph.phases().iter().enumerate() {
            if requests::find(self.dir, Wish::Retry, phase.name)?.is_some() {
                self.control.try_at_once(index);
                requests::consume(self.dir, Wish::Retry, phase.name)?;
            }
            if self.asked.contains(&index) {
                continue;
            }
            if let Some(request) = requests::find(self.dir, Wish::Skip, phase.name)? {
                self.asked.insert(index);
                self.skip(index, &request);
            }
        }
        Ok(())
    }

    fn skip(&self, index: usize, request: &Request) {
        let name = self.graph.phases()[index].name;
        let why = request.why.as_ref().map_or_else(String::new, |why| format!(": {why}"));
        let asked = format!("{}{why}", request.by);
        match self.tracker.status(index) {
            status if status.is_over() => self.tracker.add_run_finding(too_late(name, status, &asked)),
            PhaseStatus::Pending => {
                self.tracker.set_message(index, format!("will be skipped by {asked}"));
                self.control.skip(index, asked);
            }
            _ => self.control.skip(index, asked),
        }
    }

    /// Removes the skip requests that this run has handled. It is called only after the end was recorded: if
    /// the run is killed before, the requests count for the next run.
    pub(super) fn consume_requests(&self) {
        for &index in &self.asked {
            let name = self.graph.phases()[index].name;
            if let Err(e) = requests::consume(self.dir, Wish::Skip, name) {
                self.tracker.add_run_finding(unreadable(&e));
            }
        }
    }
}

fn tell_end(phase: &str, end: &PhaseEnd) {
    let (status, message) = (end.status.word(), end.message.as_deref());
    let more = message.map_or_else(String::new, |message| format!(": {message}"));
    match end.status {
        PhaseStatus::Succeeded => {
            info!(event = events::PHASE_ENDED, phase, status, "phase {phase} {status}{more}");
        }
        _ => warn!(event = events::PHASE_ENDED, phase, status, "phase {phase} {status}{more}"),
    }
}

/// Whether something cannot be used, or the run itself found an error, or something acknowledged may be lost.
fn is_degraded(snapshot: &Snapshot) -> bool {
    snapshot.degraded_resources().next().is_some()
        || snapshot.findings.iter().any(|f| f.severity >= Severity::Error)
        || snapshot.all_findings().any(|f| f.severity >= Severity::Critical)
}

fn unreadable(error: &DiskError) -> Finding {
    let sentence = format!("Requests of other processes cannot be taken: {error}: {}.", error.source);
    Finding::new(&catalogue::RECOVERY_REQUESTS_UNREADABLE, Object::Recovery, sentence)
}

fn too_late(phase: &str, status: PhaseStatus, asked: &str) -> Finding {
    let sentence = format!("Phase {phase} was {} already when {asked} asked to skip it.", status.word());
    Finding::new(&catalogue::SKIP_TOO_LATE, Object::phase(phase), sentence)
}
