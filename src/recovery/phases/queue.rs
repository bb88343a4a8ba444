//! Phase `queue`: reads the newest snapshot, else the one before, else the whole log, else job records.
//! Unreadable parts go to quarantine, so that the remaining files can be read without errors.

use super::losses::{lost_end, noted_end, record_losses};
use super::lost_jobs::was_never_written;
use super::shared::Shared;
use crate::durable::log::DamageKind;
use crate::findings::{Finding, Object, catalogue};
use crate::jobs::RecoverSettings;
use crate::queue::{self, JobId, Method, Queue, QueueError, Repaired};
use crate::recovery::{DegradedResource, PhaseContext, PhaseError, PhaseOutcome};
use crate::startup::{CleanupEntry, remove_half_made};
use crate::state::{StateDir, human};

pub(super) fn run(shared: &Shared, context: &PhaseContext) -> Result<PhaseOutcome, PhaseError> {
    let dir = &shared.dir;
    let mut repaired = queue::recover(dir).map_err(|e| PhaseError::failed("read the queue", e))?;
    context.total(repaired.recovered.records_replayed);
    context.advance(repaired.recovered.records_replayed);
    context.check_interrupted()?;
    let mut findings = bring_back(dir, &shared.settings.jobs, &mut repaired)?;
    let needed_repair = repaired.needs_repair();
    let mut degraded = Vec::new();
    if let Err(e) = repair_files(dir, &mut repaired, needed_repair) {
        // The queue was read and is right. Its files stay damaged until a later recovery.
        let Some(refused) = e.refused_change() else {
            return Err(PhaseError::failed("repair the queue's files", e));
        };
        let why = format!("the queue's files stay as damaged as they are: {refused}: {}", refused.source);
        degraded.push(DegradedResource { object: Object::Disk, why: why.clone() });
        findings.push(Finding::new(&catalogue::DISK_NOT_WRITABLE, Object::Disk, why));
    }
    clean_up(shared, &mut repaired, &mut findings);
    let jobs = repaired.queue.state().jobs().len();
    let message =
        format!("{}, from {}", human::count(jobs, "job"), method_in_words(repaired.recovered.method));
    context.detail("queue", serde_json::to_value(&repaired.recovered).unwrap_or_default());
    shared.keep_queue(repaired.queue);
    Ok(PhaseOutcome { findings, degraded, message: Some(message) })
}

/// Reports the damage of the queue's files, after jobs are restored from other files. Losses are on their
/// list before the evidence of them leaves its place.
fn bring_back(
    dir: &StateDir,
    settings: &RecoverSettings,
    repaired: &mut Repaired,
) -> Result<Vec<Finding>, PhaseError> {
    let is_torn = is_torn(dir, repaired)?;
    let mut findings = findings(repaired, is_torn);
    // This comes before jobs return to the queue, which adds records.
    findings.extend(lost_end(dir, repaired.queue.state().last_seq())?);
    let (restored, damaged) = super::job_records::restore(dir, settings, repaired)?;
    findings.extend(restored);
    findings.extend(super::lost_jobs::find(dir, settings, repaired, &damaged, is_torn)?);
    let is_back = |id: &&JobId| repaired.queue.state().get(id).is_some();
    findings.extend(damaged.iter().filter(is_back).map(|id| {
        let sentence =
            "its record could not be understood and is in quarantine; the job was rebuilt without it";
        Finding::new(&catalogue::JOB_RECORD_DAMAGED, Object::job(id), sentence.to_owned())
    }));
    record_losses(dir, &settings.actor.by, &findings, Some(repaired.queue.state().last_seq()))?;
    Ok(findings)
}

fn repair_files(dir: &StateDir, repaired: &mut Repaired, needed_repair: bool) -> Result<(), QueueError> {
    queue::repair_files(dir, repaired)?;
    // Two snapshots are written, so that the older one is whole again too.
    if needed_repair {
        repaired.queue.checkpoint()?;
    }
    Ok(())
}

/// Logs the files that were cut or moved to quarantine as acts of cleaning, and removes the folders of jobs
/// that never entered the queue.
fn clean_up(shared: &Shared, repaired: &mut Repaired, findings: &mut Vec<Finding>) {
    let Some(startup) = shared.startup() else { return };
    let mut acts: Vec<CleanupEntry> = repaired
        .damage
        .iter()
        .map(|place| {
            let action =
                if place.kind == DamageKind::TornTail { "cut_torn_tail" } else { "drop_damaged_record" };
            let detail = format!("{} bytes at offset {}; a copy is in quarantine", place.len, place.offset);
            startup.act(action, startup.relative(&place.path), "done", detail)
        })
        .collect();
    let torn = repaired.recovered.torn_bytes;
    if torn > 0 && repaired.damage.iter().all(|place| place.kind != DamageKind::TornTail) {
        let detail = format!("{torn} bytes; a copy is in quarantine");
        acts.push(startup.act("cut_torn_tail", "queue/log", "done", detail));
    }
    for (file, why) in &repaired.damaged_snapshots {
        let detail = format!("{why}; a copy is in quarantine");
        acts.push(startup.act("drop_damaged_snapshot", startup.relative(&file.path), "done", detail));
    }
    let queue = &mut repaired.queue;
    let mut unknown = |ids: Vec<JobId>| {
        // A job that may be known counts as known.
        let is_read = queue.refresh().is_ok();
        ids.into_iter().filter(|id| is_read && queue.state().get(id).is_none()).collect()
    };
    let removed = startup.log(&acts).and_then(|()| remove_half_made(&startup, &mut unknown));
    if let Err(e) = removed {
        let object = Object::file(&shared.dir.paths.jobs());
        findings.push(Finding::new(&catalogue::LEFTOVERS_NOT_REMOVED, object, e.to_string()));
    }
}

/// Does the work of the phase `queue` without a recovery around it, for `repair queue`.
///
/// # Errors
/// The system's error; the next run repairs the rest.
pub(crate) fn repair_queue(dir: &StateDir, settings: &RecoverSettings) -> Result<Queue, PhaseError> {
    let mut repaired = queue::recover(dir).map_err(|e| PhaseError::failed("read the queue", e))?;
    bring_back(dir, settings, &mut repaired)?;
    let needed_repair = repaired.needs_repair();
    repair_files(dir, &mut repaired, needed_repair)
        .map_err(|e| PhaseError::failed("repair the queue's files", e))?;
    Ok(repaired.queue)
}

fn method_in_words(method: Method) -> &'static str {
    match method {
        Method::Snapshot => "the newest snapshot and the log after it",
        Method::PreviousSnapshot => "the snapshot before the newest and the log after it",
        Method::Log => "the whole log",
        Method::JobRecords => "the jobs' own records",
        Method::Fresh => "nothing: the queue is new",
    }
}

/// Whether everything that is damaged never reached the disk and belongs to records behind the last one that
/// a recovery noted: those that it noted were synced.
fn is_torn(dir: &StateDir, repaired: &Repaired) -> Result<bool, PhaseError> {
    let of_records = || repaired.damage.iter().filter(|place| place.kind == DamageKind::Record);
    if of_records().next().is_none() || !of_records().all(was_never_written) {
        return Ok(false);
    }
    let noted = noted_end(dir)?;
    Ok(repaired.missing.iter().all(|(first, _)| *first > noted))
}

fn findings(repaired: &Repaired, is_torn: bool) -> Vec<Finding> {
    let mut found = Vec::new();
    for place in &repaired.damage {
        let file = Object::file(&place.path);
        let (at, bytes) = (place.offset, place.len);
        found.push(match place.kind {
            DamageKind::TornTail => Finding::new(
                &catalogue::LOG_TORN_TAIL,
                file,
                format!(
                    "{bytes} bytes at offset {at} were half written when the writer was killed; they were cut"
                ),
            ),
            DamageKind::Record if is_torn => Finding::new(
                &catalogue::LOG_TORN_TAIL,
                file,
                format!("{bytes} bytes at offset {at} had not come to the disk when the power failed"),
            ),
            DamageKind::Record => Finding::new(
                &catalogue::LOG_RECORD_DAMAGED,
                file,
                format!("{bytes} bytes at offset {at} are no record; they were passed over"),
            ),
            DamageKind::Header => Finding::new(
                &catalogue::LOG_RECORD_DAMAGED,
                file,
                format!("the first line ({bytes} bytes) does not check out; the records after it were read"),
            ),
            DamageKind::Foreign => Finding::new(
                &catalogue::LOG_RECORD_DAMAGED,
                file,
                "the segment belongs to another state directory; it was left out".to_owned(),
            ),
        });
    }
    if repaired.damage.iter().all(|d| d.kind != DamageKind::TornTail) && repaired.recovered.torn_bytes > 0 {
        let bytes = repaired.recovered.torn_bytes;
        let sentence = format!("{bytes} bytes at the end of the log were half written; they were cut");
        found.push(Finding::new(&catalogue::LOG_TORN_TAIL, Object::Queue, sentence));
    }
    for (first, last) in &repaired.missing {
        found.push(if is_torn {
            let sentence =
                format!("records {first} to {last} had not come to the disk when the power failed");
            Finding::new(&catalogue::LOG_TORN_TAIL, Object::Queue, sentence)
        } else {
            let sentence = format!("{} in no file that can be read", human::numbers("record", *first, *last));
            Finding::new(&catalogue::LOG_RECORDS_MISSING, Object::Queue, sentence)
        });
    }
    for (file, why) in &repaired.damaged_snapshots {
        let object = Object::file(&file.path);
        found.push(Finding::new(&catalogue::SNAPSHOT_DAMAGED, object, why.clone()));
    }
    for (seq, why) in &repaired.refused {
        let sentence = format!("record {seq} changed nothing: {why}");
        found.push(Finding::new(&catalogue::LOG_RECORD_REFUSED, Object::Record(seq.to_string()), sentence));
    }
    found
}
