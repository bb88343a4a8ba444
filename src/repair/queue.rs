//! Repairs the queue: damaged records, half-written ends, gaps and damaged snapshots.

use super::action::{QueueCondition, RepairAction};
use super::error::RepairError;
use crate::durable::log::{Damage, DamageKind};
use crate::findings::Object;
use crate::jobs::record;
use crate::queue::{Examined, examine};
use crate::state::{StateDir, human};

pub(super) fn look(dir: &StateDir) -> Result<(QueueCondition, Vec<RepairAction>), RepairError> {
    let found = examine(dir)?;
    let (lost, strange) = record::read_those(dir, |id| found.state.get(id).is_none())?;
    let count = |n: usize| n as u64;
    let condition = QueueCondition {
        jobs: count(found.state.jobs().len()),
        last_seq: found.state.last_seq(),
        damaged_records: count(found.damage.iter().filter(|d| d.kind != DamageKind::TornTail).count()),
        torn_bytes: found.torn_bytes(),
        missing_records: found.missing.iter().map(|(first, last)| last - first + 1).sum(),
        refused_records: count(found.refused.len()),
        damaged_snapshots: count(found.damaged_snapshots.len()),
        lost_jobs: count(lost.len()),
    };
    let mut actions = of_files(&found);
    actions.extend(lost.iter().map(|document| {
        let reason = "the queue has lost it, its own record tells of it".to_owned();
        let mut action = RepairAction::new(
            "restore-job",
            Object::job(&document.job_id),
            reason,
            format!("enter it again as it was: {}", document.status),
        );
        action.is_in_queue_log = true;
        action
    }));
    actions.extend(strange.iter().map(|path| {
        RepairAction::new(
            "quarantine-job-record",
            Object::file(path),
            "it cannot be understood, and the queue knows no such job".to_owned(),
            "move it into quarantine".to_owned(),
        )
    }));
    Ok((condition, actions))
}

fn of_files(found: &Examined) -> Vec<RepairAction> {
    let damage = found.damage.iter().map(of_damage);
    let missing = found.missing.iter().map(|(first, last)| {
        RepairAction::new(
            "cover-gap",
            Object::Queue,
            format!("{} in no file that can be read", human::numbers("record", *first, *last)),
            "write a snapshot of all that is known, so that replay begins behind the gap".to_owned(),
        )
    });
    let snapshots = found.damaged_snapshots.iter().map(|(file, why)| {
        RepairAction::new(
            "replace-snapshot",
            Object::file(&file.path),
            format!("the snapshot cannot be used: {why}"),
            "keep it in quarantine and write a new one".to_owned(),
        )
    });
    let refused = found.refused.iter().map(|(seq, why)| {
        RepairAction::new(
            "pass-over-record",
            Object::Record(seq.to_string()),
            format!("it changes nothing: {why}"),
            "write a snapshot behind it".to_owned(),
        )
    });
    damage.chain(missing).chain(snapshots).chain(refused).collect()
}

fn of_damage(place: &Damage) -> RepairAction {
    let object = Object::file(&place.path);
    let (at, bytes) = (place.offset, place.len);
    match place.kind {
        DamageKind::TornTail => RepairAction::new(
            "cut-torn-end",
            object,
            "a writer was killed in the middle of a record".to_owned(),
            format!("cut {bytes} bytes at offset {at}, and keep them in quarantine"),
        ),
        DamageKind::Record | DamageKind::Header => RepairAction::new(
            "drop-damaged-record",
            object,
            "its checksum does not fit".to_owned(),
            format!("keep {bytes} bytes at offset {at} in quarantine, and write the segment without them"),
        ),
        DamageKind::Foreign => RepairAction::new(
            "take-foreign-segment",
            object,
            "it belongs to another state directory".to_owned(),
            "move it into quarantine".to_owned(),
        ),
    }
}
