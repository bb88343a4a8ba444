//! Phase `startup`: notices a startup that died, and cleans up what it left half made.

use super::sequence::Shared;
use crate::recovery::{DegradedResource, PhaseContext, PhaseError, PhaseOutcome};
use crate::report::{Finding, catalogue};
use crate::startup::{Cleanup, Detection, Startup, clean_up};

pub(super) fn run(shared: &Shared, context: &PhaseContext) -> Result<PhaseOutcome, PhaseError> {
    let dir = &shared.dir;
    for folder in dir.paths.folders() {
        dir.disk.ensure_dir(&folder).map_err(|e| PhaseError::failed("make the folders", e))?;
    }
    let mut slot = Shared::lock(&shared.startup);
    match slot.as_ref() {
        // Tried again.
        Some(startup) => {
            startup.enter("startup").map_err(|e| PhaseError::failed("write the startup's marker", e))?;
        }
        None => {
            let (startup, detection) = Startup::begin_in(dir, shared.settings.by, Some("startup"))
                .map_err(|e| PhaseError::failed("begin the startup", e))?;
            report_aborted(context, &detection);
            *slot = Some(startup);
        }
    }
    let Some(startup) = slot.as_ref() else { return Ok(PhaseOutcome::default()) };
    context.checkpoint()?;
    // Which workspaces belong to nobody is the orphan scan's to say, when the queue is known.
    let cleaned = clean_up(startup, &|_| true, &mut |done, total| {
        context.total(total as u64);
        if done > 0 {
            context.advance(1);
        }
    });
    let mut outcome = match cleaned {
        Ok(cleanup) => outcome(&cleanup),
        Err(e) if e.is_refused_change() => {
            let mut outcome = PhaseOutcome::default();
            unrecorded(&mut outcome, format!("what was cleaned up is not in its log: {e}: {}", e.source));
            outcome
        }
        Err(e) => return Err(PhaseError::failed("clean up what a crash left half made", e)),
    };
    if let Some(why) = startup.unrecorded() {
        unrecorded(&mut outcome, format!("a crash during this startup would not be noticed: {why}"));
    }
    Ok(outcome)
}

fn unrecorded(outcome: &mut PhaseOutcome, why: String) {
    outcome.degraded.push(DegradedResource { object: "disk".to_owned(), why: why.clone() });
    outcome.findings.push(Finding::new(&catalogue::DISK_NOT_WRITABLE, "disk", why));
}

fn report_aborted(context: &PhaseContext, detection: &Detection) {
    let Detection::Aborted { previous, damage } = detection else { return };
    let phase = previous.phase.as_deref().unwrap_or("no phase yet");
    let when = previous.started_at.map_or_else(|| "before".to_owned(), |t| format!("of {t}"));
    let mut sentence = format!("the startup {when} died in phase {phase}");
    if let Some(damage) = damage {
        sentence = format!("{sentence}; its marker was damaged: {damage}");
    }
    let object = format!("startup:{}", previous.startup_id);
    context.finding(Finding::new(&catalogue::STARTUP_ABORTED, object, sentence));
}

fn outcome(cleanup: &Cleanup) -> PhaseOutcome {
    let mut outcome = PhaseOutcome::default();
    // An empty one may be a living process's, made this very moment and not yet locked (our own progress
    // writer's, say): that process makes another, and there is nothing to tell anybody.
    if cleanup.bytes_freed > 0 {
        let (files, bytes) = (cleanup.removed.len(), cleanup.bytes_freed);
        let sentence = format!("{files} temporary files of dead processes were removed ({bytes} bytes)");
        outcome.findings.push(Finding::new(&catalogue::TEMPORARY_FILES_REMOVED, "state", sentence.clone()));
        outcome.message = Some(sentence);
    }
    outcome
}
