//! Who runs when: starts each phase as soon as all that it waits for is over, keeps looking for
//! requests, and decides how the whole ended.
//!
//! What waits for a phase that failed and is not critical runs all the same, and so does what waits for
//! a skipped one: each phase looks at the state itself, and one broken part must not keep the rest down.
//! Only the failure of a critical phase ends the sequence: what is at work comes to its end without
//! further tries, what has not begun is blocked.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{Builder, Scope};

use super::control::{Control, LOOK_EVERY};
use super::graph::PhaseGraph;
use super::progress::{PhaseEnd, Tracker};
use super::requests::{self, Request, Wish};
use super::run::RunOptions;
use super::snapshot::{PhaseProgress, PhaseStatus, RecoveryOutcome};
use super::tries::{Attempting, skipped};
use crate::durable::DiskError;
use crate::report::{Finding, Severity, catalogue};
use crate::state::StateDir;

type Ended = (usize, PhaseEnd);

/// See the module.
pub(super) struct Coordinator<'a> {
    dir: &'a StateDir,
    graph: &'a PhaseGraph,
    options: &'a RunOptions,
    tracker: &'a Arc<Tracker>,
    control: &'a Arc<Control>,
    /// Phases that were started or passed over.
    begun: Vec<bool>,
    /// Phases whose skip request was seen.
    asked: BTreeSet<usize>,
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
        let begun = vec![false; graph.phases().len()];
        Coordinator { dir, graph, options, tracker, control, begun, asked: BTreeSet::new() }
    }

    /// Runs all phases; returns when none is at work any more and none can begin.
    pub(super) fn drive(&mut self) -> RecoveryOutcome {
        let (sender, receiver) = channel();
        std::thread::scope(|scope| {
            let mut at_work = 0;
            loop {
                self.look_for_requests();
                while let Some(index) = self.next_ready(at_work) {
                    self.begun[index] = true;
                    at_work += usize::from(self.begin(scope, index, &sender));
                }
                if at_work == 0 {
                    break;
                }
                at_work -= usize::from(self.take_end(&receiver));
            }
        });
        self.block_the_rest();
        self.outcome()
    }

    fn next_ready(&self, at_work: usize) -> Option<usize> {
        if self.control.is_cancelled() || self.control.is_stopped() {
            return None;
        }
        let statuses = self.tracker.statuses();
        let is_ready = |i: &usize| {
            let has_room = at_work < self.options.side_by_side.max(1) || self.control.is_skipped(*i);
            !self.begun[*i] && has_room && self.graph.waits_for(*i).iter().all(|&d| statuses[d].is_over())
        };
        self.graph.order().iter().copied().find(is_ready)
    }

    /// Starts a phase on a thread; false when it is over already.
    fn begin<'scope>(
        &mut self,
        scope: &'scope Scope<'scope, 'a>,
        index: usize,
        sender: &Sender<Ended>,
    ) -> bool {
        let phase = &self.graph.phases()[index];
        if self.control.is_skipped(index) {
            self.end(index, skipped(phase, self.control.asked(index)));
            return false;
        }
        let (tracker, control, pauses) = (self.tracker, self.control, &self.options.pauses);
        let attempting = Attempting { phase, index, tracker, control, pauses };
        let sender = sender.clone();
        // The receiver outlives the threads; if it did not, nobody would be left to tell.
        let work = move || drop(sender.send((index, attempting.to_the_end())));
        match Builder::new().name(format!("phase-{}", phase.name)).spawn_scoped(scope, work) {
            Ok(_) => true,
            Err(_) => {
                // No thread to be had: the work is more important than doing it side by side.
                let attempting = Attempting { phase, index, tracker, control, pauses };
                self.end(index, attempting.to_the_end());
                false
            }
        }
    }

    /// Waits a moment for a phase to end; true when one did.
    fn take_end(&mut self, receiver: &Receiver<Ended>) -> bool {
        let Ok((index, end)) = receiver.recv_timeout(LOOK_EVERY) else { return false };
        self.end(index, end);
        true
    }

    fn end(&mut self, index: usize, end: PhaseEnd) {
        let failed = end.status == PhaseStatus::Failed && !self.control.is_cancelled();
        let fatal = failed && self.graph.phases()[index].critical;
        self.tracker.end_phase(index, end);
        if fatal {
            self.control.stop();
        }
    }

    fn block_the_rest(&mut self) {
        let why =
            if self.control.is_stopped() { "a critical phase failed" } else { "the recovery was cancelled" };
        for index in (0..self.begun.len()).filter(|&i| !self.begun[i]) {
            let message = Some(format!("not begun: {why}"));
            let (status, findings, degraded) = (PhaseStatus::Blocked, Vec::new(), Vec::new());
            self.tracker.end_phase(index, PhaseEnd { status, message, findings, degraded });
        }
    }

    fn outcome(&self) -> RecoveryOutcome {
        let snapshot = self.tracker.snapshot();
        // What failed by itself names itself as degraded; what was cancelled does not.
        let cut_short = |p: &PhaseProgress| match p.status {
            PhaseStatus::Blocked => true,
            PhaseStatus::Failed => p.degraded_resources.is_empty(),
            _ => false,
        };
        if self.control.is_stopped() {
            RecoveryOutcome::Failed
        } else if self.control.is_cancelled() && snapshot.phases.iter().any(cut_short) {
            RecoveryOutcome::Cancelled
        } else if snapshot.degraded_resources().next().is_some() || lost_something(&snapshot) {
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

    /// Removes the skip requests that this run has dealt with. Only after its end was recorded: if it is
    /// killed before, they count for the next run.
    pub(super) fn consume_requests(&self) {
        for &index in &self.asked {
            let name = self.graph.phases()[index].name;
            if let Err(e) = requests::consume(self.dir, Wish::Skip, name) {
                self.tracker.add_run_finding(unreadable(&e));
            }
        }
    }
}

/// A recovery that has to say that something acknowledged may be lost is not simply completed.
fn lost_something(snapshot: &super::snapshot::Snapshot) -> bool {
    snapshot.all_findings().any(|f| f.severity >= Severity::Critical)
}

fn unreadable(error: &DiskError) -> Finding {
    let sentence = format!("Requests of other processes cannot be taken: {error}: {}.", error.source);
    Finding::new(&catalogue::RECOVERY_REQUESTS_UNREADABLE, "recovery", sentence)
}

fn too_late(phase: &str, status: PhaseStatus, asked: &str) -> Finding {
    let sentence = format!("Phase {phase} was {} already when {asked} asked to skip it.", status.word());
    Finding::new(&catalogue::SKIP_TOO_LATE, format!("phase:{phase}"), sentence)
}
