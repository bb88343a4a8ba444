//! Phase `queue`: snapshot, the one before, whole log, job records, in this order; what could not be
//! read is kept in quarantine, and what is left reads clean.

use super::sequence::Shared;
use crate::durable::log::DamageKind;
use crate::jobs::record;
use crate::queue::{self, JobDocument, JobId, Method, Operation, QueueState, Repaired};
use crate::recovery::{PhaseContext, PhaseError, PhaseOutcome};
use crate::report::{Finding, catalogue};

pub(super) fn run(shared: &Shared, context: &PhaseContext) -> Result<PhaseOutcome, PhaseError> {
    let dir = &shared.dir;
    let mut repaired = queue::recover(dir).map_err(|e| PhaseError::failed("read the queue", e))?;
    context.total(repaired.recovered.records_replayed);
    context.advance(repaired.recovered.records_replayed);
    let mut findings = findings(&repaired);
    context.checkpoint()?;
    if repaired.may_lack_jobs {
        findings.extend(restore_from_records(shared, &mut repaired)?);
    }
    let needed_mending = repaired.needs_mending();
    queue::mend(dir, &mut repaired).map_err(|e| PhaseError::failed("mend the queue's files", e))?;
    // Twice, so that the one before is whole again too.
    if needed_mending {
        repaired.queue.checkpoint().map_err(|e| PhaseError::failed("take a snapshot", e))?;
    }
    let jobs = repaired.queue.state().jobs().len();
    let message = format!("{jobs} jobs, from {}", method_in_words(repaired.recovered.method));
    context.detail("queue", serde_json::to_value(&repaired.recovered).unwrap_or_default());
    *Shared::lock(&shared.queue) = Some(repaired.queue);
    Ok(PhaseOutcome { findings, message: Some(message), ..PhaseOutcome::default() })
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

fn findings(repaired: &Repaired) -> Vec<Finding> {
    let mut found = Vec::new();
    for place in &repaired.damage {
        let file = format!("file:{}", place.path.display());
        let (at, bytes) = (place.offset, place.len);
        found.push(match place.kind {
            DamageKind::TornTail => Finding::new(
                &catalogue::LOG_TORN_TAIL,
                file,
                format!(
                    "{bytes} bytes at offset {at} were half written when the writer was killed; they were cut"
                ),
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
        found.push(Finding::new(&catalogue::LOG_TORN_TAIL, "queue", sentence));
    }
    for (first, last) in &repaired.missing {
        let sentence = format!("records {first} to {last} are in no file that can be read");
        found.push(Finding::new(&catalogue::LOG_RECORDS_MISSING, "queue", sentence));
    }
    for (file, why) in &repaired.damaged_snapshots {
        let object = format!("file:{}", file.path.display());
        found.push(Finding::new(&catalogue::SNAPSHOT_DAMAGED, object, why.clone()));
    }
    for (seq, why) in &repaired.refused {
        let sentence = format!("record {seq} changed nothing: {why}");
        found.push(Finding::new(&catalogue::LOG_RECORD_REFUSED, format!("record:{seq}"), sentence));
    }
    found
}

/// Jobs that only their own records tell of enter the queue again, in their old order.
fn restore_from_records(shared: &Shared, repaired: &mut Repaired) -> Result<Vec<Finding>, PhaseError> {
    let (mut documents, damaged) =
        record::read_all(&shared.dir).map_err(|e| PhaseError::failed("read the jobs' own records", e))?;
    let mut findings = Vec::new();
    for path in damaged {
        let at = shared.dir.clock.now().to_string();
        let kept = shared.dir.quarantine().keep_file(&path, "not a job's record", &at);
        kept.map_err(|e| PhaseError::failed("keep a damaged job record", e))?;
        let sentence = "it cannot be understood; a copy is in quarantine".to_owned();
        findings.push(Finding::new(
            &catalogue::JOB_RECORD_DAMAGED,
            format!("file:{}", path.display()),
            sentence,
        ));
    }
    documents.sort_by_key(|d| d.place);
    let unknown = |state: &QueueState, d: &JobDocument| state.get(&d.job_id).is_none();
    documents.retain(|d| unknown(repaired.queue.state(), d));
    if documents.is_empty() {
        return Ok(findings);
    }
    let decide = |state: &QueueState| {
        let lost = documents.into_iter().filter(|d| unknown(state, d)).map(reconstructed);
        let operations: Vec<Operation> = lost.map(|d| Operation::Restore { document: Box::new(d) }).collect();
        let ids: Vec<JobId> = operations.iter().filter_map(restored_id).collect();
        (operations, ids)
    };
    let (_, ids) = repaired
        .queue
        .transact(&shared.settings.jobs.actor, decide)
        .map_err(|e| PhaseError::failed("restore jobs from their own records", e))?;
    repaired.recovered.method = Method::JobRecords;
    findings.extend(ids.iter().map(|id| {
        let sentence = "the queue had lost it; it was rebuilt from its own record".to_owned();
        Finding::new(&catalogue::QUEUE_REBUILT_FROM_JOB_RECORDS, format!("job:{id}"), sentence)
    }));
    Ok(findings)
}

fn reconstructed(mut document: JobDocument) -> JobDocument {
    let course = document.course.get_or_insert_with(Box::default);
    course.reconstructed = Some(vec!["job record".to_owned()]);
    document
}

fn restored_id(operation: &Operation) -> Option<JobId> {
    match operation {
        Operation::Restore { document } => Some(document.job_id.clone()),
        _ => None,
    }
}
