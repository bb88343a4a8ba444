//! Finds jobs with neither log nor record: they are reconstructed from their attempts' files, or at least
//! named.

use std::collections::BTreeMap;
use std::os::unix::fs::FileExt;

use super::losses::record_losses;
use crate::durable::log::{Damage, DamageKind};
use crate::findings::{Finding, Object, catalogue};
use crate::jobs::{ReconstructedJob, RecoverSettings, reconstruct, record};
use crate::queue::{JobDocument, JobId, Operation, Repaired};
use crate::recovery::PhaseError;
use crate::state::StateDir;

/// The text before a job's id in every record.
const ID_MEMBER: &[u8] = b"\"job\":\"";
/// The longest damaged place that is searched for ids, in bytes.
const SEARCHED: u64 = 64 << 20;

/// Reconstructs the jobs that left files, and names those that left none. `damaged` are jobs whose own
/// records cannot be parsed.
pub(super) fn find(
    dir: &StateDir,
    settings: &RecoverSettings,
    repaired: &mut Repaired,
    damaged: &[JobId],
    is_torn: bool,
) -> Result<Vec<Finding>, PhaseError> {
    let mut findings = rebuild(dir, settings, repaired)?;
    // Bytes that were never acknowledged name no lost job.
    let places = repaired.damage.iter().filter(|_| !is_torn);
    let named: BTreeMap<JobId, String> = places.flat_map(jobs_in).collect();
    let of_log = |known: &String| {
        format!(
            "a damaged record of the log was about it, and nothing else tells of it; the record is in \
             quarantine{known}"
        )
    };
    let of_record = "its own record cannot be understood and is in quarantine, and nothing else tells of it";
    let named = named.iter().map(|(id, known)| (id, of_log(known)));
    let named = named.chain(damaged.iter().map(|id| (id, of_record.to_owned())));
    let lost: BTreeMap<&JobId, String> =
        named.filter(|(id, _)| repaired.queue.state().get(id).is_none()).collect();
    let lost = lost.into_iter();
    findings.extend(lost.map(|(id, told)| Finding::new(&catalogue::JOB_LOST, Object::job(id), told)));
    Ok(findings)
}

fn rebuild(
    dir: &StateDir,
    settings: &RecoverSettings,
    repaired: &mut Repaired,
) -> Result<Vec<Finding>, PhaseError> {
    let found = reconstruct(dir, repaired.queue.state(), settings)
        .map_err(|e| PhaseError::failed("look at workspaces without a job", e))?;
    let (mut findings, mut documents) = (Vec::new(), Vec::new());
    for one in found {
        match one {
            ReconstructedJob::Rebuilt(document) => documents.push(document),
            ReconstructedJob::Alive { job, detail } => {
                let sentence = format!("its record is lost and something of it lives: {detail}");
                let object = Object::job(&job);
                findings.push(Finding::new(&catalogue::JOB_ORPHANED_PROCESS, object, sentence));
            }
        }
    }
    if documents.is_empty() {
        return Ok(findings);
    }
    findings.extend(documents.iter().map(reconstructed));
    // This comes first: a job that is back does not show that part of it is lost.
    record_losses(dir, &settings.actor.by, &findings, None)?;
    let (_, rebuilt) = repaired
        .queue
        .transact(&settings.actor, |state| {
            documents.retain(|d| state.get(&d.job_id).is_none());
            let restore =
                |d: &JobDocument| Operation::Restore { document: Box::new(d.clone()), keeps_place: false };
            (documents.iter().map(restore).collect(), documents)
        })
        .map_err(|e| PhaseError::failed("record what workspaces tell", e))?;
    // The records are written at once, so that a record that is missing later was lost again.
    for job in rebuilt.iter().filter_map(|d| repaired.queue.state().get(&d.job_id)) {
        record::write(dir, job).map_err(|e| PhaseError::failed("write a job's own record", e))?;
    }
    Ok(findings)
}

fn reconstructed(document: &JobDocument) -> Finding {
    let from = document.run_state.as_ref().and_then(|c| c.reconstructed.as_ref());
    let from = from.map_or_else(String::new, |from| from.join("; "));
    let knows_command = from.split("; ").any(|piece| piece == "sentinel");
    let lost = match knows_command {
        true => "its variables, limits, policy and callbacks are lost",
        false => "what it ran is lost too, so it cannot be resumed",
    };
    let sentence = format!("queue and record had lost it; it was rebuilt from {from}; {lost}");
    Finding::new(&catalogue::JOB_RECONSTRUCTED, Object::job(&document.job_id), sentence)
}

/// Whether a damaged place consists of bytes that never reached the disk: they read as zeros, which no record
/// contains. A power loss causes that when the parts of an unsynced write reached the disk out of order.
/// Acknowledged records were synced, so no such place held one.
pub(super) fn was_never_written(place: &Damage) -> bool {
    place.kind == DamageKind::Record && bytes_of(place).is_some_and(|bytes| bytes.contains(&0))
}

fn bytes_of(place: &Damage) -> Option<Vec<u8>> {
    let mut bytes = vec![0; usize::try_from(place.len.min(SEARCHED)).unwrap_or(0)];
    let file = crate::durable::plain::open(&place.path).ok()?;
    file.read_exact_at(&mut bytes, place.offset).ok()?;
    Some(bytes)
}

/// Returns the jobs that a damaged place names, as far as it can be read, with its other readable parts. A
/// torn end was never acknowledged.
fn jobs_in(place: &Damage) -> Vec<(JobId, String)> {
    if place.kind != DamageKind::Record {
        return Vec::new();
    }
    // The place itself is reported.
    let bytes = bytes_of(place).unwrap_or_default();
    let mut found = Vec::new();
    for line in bytes.split(|byte| *byte == b'\n') {
        let after = memchr::memmem::find_iter(line, ID_MEMBER).map(|at| &line[at + ID_MEMBER.len()..]);
        let text = after.filter_map(|rest| std::str::from_utf8(&rest[..memchr::memchr(b'"', rest)?]).ok());
        let known = known_of(line);
        found.extend(text.filter_map(|id| Some((id.parse().ok()?, known.clone()))));
    }
    found
}

/// Returns the readable parts of a damaged submission: one flipped bit leaves most of it readable, though
/// none of it is trusted.
fn known_of(line: &[u8]) -> String {
    let begin = memchr::memchr(b'{', line).unwrap_or(line.len());
    let mut values = serde_json::Deserializer::from_slice(&line[begin..]).into_iter::<serde_json::Value>();
    let Some(Ok(record)) = values.next() else { return String::new() };
    if record["op"] != "submit" {
        return String::new();
    }
    let of = |name: &str, value: &serde_json::Value| value.as_str().map(|text| format!("{name} {text:?}"));
    let title = of("title", &record["spec"]["title"]);
    let repository = of("repository", &record["repository"]);
    let at = record["at"].as_str().map(|at| format!("submitted {at}"));
    let known: Vec<String> = [title, repository, at].into_iter().flatten().collect();
    if known.is_empty() { String::new() } else { format!("; it says: {}", known.join(", ")) }
}
