//! Phase `cleanup`: enters the cleanups that the queue asks for, names those that a crash interrupted, and
//! works on them once, unless a daemon does that when it is ready.

use super::shared::{Cleaning, Shared};
use crate::cleanup::{Cleaner, CleanupError, CleanupRecord, Derived, findings, is_running, list};
use crate::findings::{Finding, Object, catalogue};
use crate::queue::Queue;
use crate::recovery::{DegradedResource, PhaseContext, PhaseError, PhaseOutcome};

pub(super) fn run(shared: &Shared, context: &PhaseContext) -> Result<PhaseOutcome, PhaseError> {
    context.check_interrupted()?;
    let dir = &shared.dir;
    let failed = |what: &'static str| move |e| PhaseError::failed(what, e);
    let by = shared.settings.jobs.actor.by.clone();
    let derived = shared.with_queue(|queue| {
        queue.refresh().map_err(|e| PhaseError::failed("read the queue", e))?;
        let entered = Derived::default().enter_missing(dir, queue.state(), &by);
        entered.map_err(|e| PhaseError::failed("enter the cleanups that the queue asks for", e))
    })?;
    let open = list(dir).map_err(failed("list the cleanups"))?;
    context.total(open.len() as u64);
    if !is_running(dir) {
        open.iter().filter_map(resumed).for_each(|finding| context.finding(finding));
    }
    let cleaning = Shared::lock(&shared.cleaning).clone();
    let mut completed = 0;
    if let (Cleaning::Now(settings), false) = (cleaning, open.is_empty()) {
        let queue = Queue::open(dir).map_err(|e| PhaseError::failed("read the queue", e))?;
        let stop = || context.check_interrupted().is_err();
        let mut cleaner = Cleaner::new(dir.clone(), queue, *settings, &stop);
        match cleaner.pass(true, &|_: &CleanupRecord| ()) {
            Ok(pass) => {
                completed = pass.worked_on.iter().filter(|r| r.is_over()).count();
                context.advance(completed as u64);
            }
            // A daemon works on them.
            Err(CleanupError::Busy { .. }) => {}
            Err(e) => return Err(PhaseError::failed("work on the cleanups", e)),
        }
        context.check_interrupted()?;
    }
    let left = list(dir).map_err(failed("list the cleanups"))?;
    let findings = findings(dir, &left, is_running(dir)).map_err(failed("list the cleanups"))?;
    let parked = findings.iter().filter(|f| f.code == catalogue::CLEANUP_PARKED.code);
    Ok(PhaseOutcome {
        degraded: parked
            .map(|f| DegradedResource { object: f.object.clone(), why: f.sentence.clone() })
            .collect(),
        message: Some(format!("{derived} new, {completed} completed, {} left", left.len())),
        findings,
    })
}

fn resumed(record: &CleanupRecord) -> Option<Finding> {
    let from = record.open_step().filter(|_| record.under_way)?;
    let sentence =
        format!("it was interrupted and goes on at {} in phase {}", from.step, from.phase.as_str());
    Some(Finding::new(&catalogue::CLEANUP_RESUMED, Object::Cleanup(record.cleanup_id.to_string()), sentence))
}
