//! Phase `startup`: notices an aborted startup, migrates the layout, and cleans up half-made files.

use std::sync::Arc;

use super::shared::Shared;
use crate::durable::error_chain;
use crate::findings::{Finding, Object, catalogue};
use crate::jobs::{ProcessTable, move_attempts};
use crate::locks::OtherTimes;
use crate::logging::events;
use crate::recovery::{DegradedResource, PhaseContext, PhaseError, PhaseOutcome};
use crate::startup::origin;
use crate::startup::{Cleanup, Detection, Migrated, StartOptions, StartReport, Startup, clean_up};
use crate::state::{LAYOUT_VERSION, human};
use tracing::debug;

const PHASE: &str = "startup";

pub(super) fn run(shared: &Shared, context: &PhaseContext) -> Result<PhaseOutcome, PhaseError> {
    let dir = &shared.dir;
    dir.disk.ensure_dirs(&dir.paths.folders()).map_err(|e| PhaseError::failed("make the folders", e))?;
    let startup = begin(shared, context)?;
    context.check_interrupted()?;
    let not_moved = move_out_of_workspaces(shared, context, &startup)?;
    context.check_interrupted()?;
    let mut stopped = None;
    let cleaned = clean_up(&startup, &mut |done, total| {
        context.total(total as u64);
        context.advance(u64::from(done > 0));
        stopped = context.check_interrupted().err();
        stopped.is_none()
    });
    stopped.map_or(Ok(()), Err)?;
    tell_of_restore(shared, context);
    let mut outcome = match cleaned {
        Ok(cleanup) => outcome(&cleanup),
        Err(e) if e.refused_change().is_some() => {
            let mut outcome = PhaseOutcome::default();
            unrecorded(&mut outcome, format!("what was cleaned up is not in its log: {}", e.in_one_line()));
            outcome
        }
        Err(e) => return Err(PhaseError::failed("clean up what a crash left half made", e)),
    };
    if let Some(why) = not_moved {
        unrecorded(
            &mut outcome,
            format!("what is kept about attempts cannot be moved out of workspaces: {why}"),
        );
    }
    if let Some(why) = startup.unrecorded() {
        unrecorded(&mut outcome, format!("a crash during this startup would not be noticed: {why}"));
    }
    Ok(outcome)
}

/// Moves out the server's files that layout 2 kept in workspaces, where jobs could change them. Files that
/// cannot be moved are moved by a later startup; returns why the disk refuses writes.
fn move_out_of_workspaces(
    shared: &Shared,
    context: &PhaseContext,
    startup: &Startup,
) -> Result<Option<String>, PhaseError> {
    let moved = match move_attempts(&shared.dir, &mut || context.check_interrupted().is_ok()) {
        Ok(moved) => moved,
        Err(e) if e.is_refused_change() => return Ok(Some(format!("{e}: {}", e.source))),
        Err(e) => return Err(PhaseError::failed("move what is kept about attempts out of workspaces", e)),
    };
    let of_jobs = |number: usize, detail: &str| format!("{}: {detail}", human::count(number, "job"));
    let mut acts = Vec::new();
    if moved.moved > 0 {
        let detail = of_jobs(moved.moved, "their files were in their workspaces");
        acts.push(startup.act("move_attempts", "attempts", "done", detail));
    }
    for (job, why) in moved.left.iter().filter_map(|left| Some((&left.0, left.1.refused()?))) {
        let sentence = format!("what is kept about its attempts is still in its workspace: {why}");
        acts.push(startup.act("move_attempts", Object::job(job), "failed", why));
        context.finding(Finding::new(&catalogue::ATTEMPTS_NOT_MOVED, Object::job(job), sentence));
    }
    match startup.log(&acts) {
        Err(e) if e.refused_change().is_none() => {
            Err(PhaseError::failed("write what was moved into the log", e))
        }
        _ => Ok(None),
    }
}

/// Reports once that a backup was restored, with the processes that survived. Each recovery looks whether any
/// are left, of jobs or under locks: as long as one is, each start and each grant searches for it.
fn tell_of_restore(shared: &Shared, context: &PhaseContext) {
    let Some(restored) = &shared.dir.past.restored else { return };
    if !restored.is_told {
        origin::restored(&shared.dir).into_iter().for_each(|finding| context.finding(finding));
    }
    if restored.is_told && !restored.has_survivors {
        return;
    }
    let table = ProcessTable::new();
    let has_survivors = table.living_jobs(&shared.dir).values().any(|living| living.is_of_other_incarnation)
        || table.unnamed_survivors(&shared.dir).is_some()
        || OtherTimes::look(&shared.dir).is_any();
    // In a rehearsal's copy the report is not noted; when the note cannot be written, the restore is reported
    // again. All clones of this directory share the flag.
    if let Err(e) = shared.dir.clone().note_told(has_survivors) {
        debug!(event = events::TROUBLE, "it is not noted that the backup was told of: {}", error_chain(&e));
    }
}

fn unrecorded(outcome: &mut PhaseOutcome, why: String) {
    outcome.degraded.push(DegradedResource { object: Object::Disk, why: why.clone() });
    outcome.findings.push(Finding::new(&catalogue::DISK_NOT_WRITABLE, Object::Disk, why));
}

fn begin(shared: &Shared, context: &PhaseContext) -> Result<Arc<Startup>, PhaseError> {
    // The phase is tried again.
    if let Some(startup) = shared.startup() {
        startup.enter(PHASE).map_err(|e| PhaseError::failed("write the startup's marker", e))?;
        return Ok(startup);
    }
    let retried = shared.retried.get().map_or(&[][..], Vec::as_slice);
    let beginning = StartOptions { phase: Some(PHASE), recovery_id: Some(context.recovery_id()), retried };
    let (startup, met) = Startup::begin_in(&shared.dir, shared.settings.by, beginning)
        .map_err(|e| PhaseError::failed("begin the startup", e))?;
    report(context, &met);
    let startup = Arc::new(startup);
    *Shared::lock(&shared.startup) = Some(Arc::clone(&startup));
    Ok(startup)
}

fn report(context: &PhaseContext, met: &StartReport) {
    report_aborted(context, &met.detection);
    if let Some(Migrated { from, records }) = met.migrated {
        let sentence = format!(
            "the state directory was of layout {from} and is of layout {LAYOUT_VERSION} now; {records} records \
             of past startups were taken over"
        );
        context.finding(Finding::new(&catalogue::LAYOUT_MIGRATED, Object::State, sentence));
    }
    let damaged = met.damage.iter().map(|d| {
        (&d.path, format!("{} bytes at offset {} are no record; they are in quarantine", d.len, d.offset))
    });
    let files = met.damaged_files.iter().map(|(path, why)| (path, format!("{why}; it is in quarantine")));
    for (path, sentence) in damaged.chain(files) {
        let object = Object::file(path);
        context.finding(Finding::new(&catalogue::STARTUP_LOG_DAMAGED, object, sentence));
    }
}

fn report_aborted(context: &PhaseContext, detection: &Detection) {
    let Detection::Aborted { previous, damage } = detection else { return };
    let phase = previous.phase.as_deref().unwrap_or("no phase yet");
    let when = previous.started_at.map_or_else(|| "before".to_owned(), |t| format!("of {t}"));
    let mut sentence = format!("the startup {when} died in phase {phase}");
    if let Some(damage) = damage {
        sentence = format!("{sentence}; its marker was damaged: {damage}");
    }
    let object = Object::Startup(previous.startup_id.to_string());
    context.finding(Finding::new(&catalogue::STARTUP_ABORTED, object, sentence));
}

fn outcome(cleanup: &Cleanup) -> PhaseOutcome {
    let mut outcome = PhaseOutcome::default();
    // An empty file may belong to a living process that has just made it and not locked it yet (for example,
    // our own progress writer): that process makes another, and there is nothing to report.
    if cleanup.bytes_freed > 0 {
        let (files, bytes) = (cleanup.removed.len(), cleanup.bytes_freed);
        let sentence = format!("{files} temporary files of dead processes were removed ({bytes} bytes)");
        outcome.findings.push(Finding::new(
            &catalogue::TEMPORARY_FILES_REMOVED,
            Object::State,
            sentence.clone(),
        ));
        outcome.message = Some(sentence);
    }
    for (path, why) in &cleanup.failed {
        let object = Object::file(path);
        outcome.findings.push(Finding::new(&catalogue::LEFTOVERS_NOT_REMOVED, object, why.clone()));
    }
    outcome
}
