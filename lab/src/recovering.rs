//! Runs the library's recovery on a folder, as `recover` does, within this process.

use std::path::Path;
use std::time::Duration;

use recovery::durable::Disk;
use recovery::findings::Object;
use recovery::jobs::RecoverSettings;
use recovery::queue::{Actor, Queue};
use recovery::recovery::{Recovery, RecoveryOutcome, RecoveryRecord, RunOptions, Settings};
use recovery::repair::adopt_as_new;
use recovery::startup::StartedBy;
use recovery::state::{Clock, StateDir, StateError};

use crate::view::View;

/// Size of a segment of the queue's log in the laboratory, bytes: small, so that a few records fill one.
pub const SEGMENT_BYTES: u64 = 2048;

/// Opens the state directory of a world.
pub(crate) fn open(world: &Path, disk: Disk) -> Result<StateDir, StateError> {
    let root = world.join("state");
    let opened = StateDir::open_for_repair(&root, disk.clone(), Clock::system());
    let mut dir = match opened {
        // Nothing was ever acknowledged there: its user makes it again.
        Err(StateError::Missing { .. }) => StateDir::open_or_create(&root, disk, Clock::system())?,
        other => other?.0,
    };
    dir.segment_bytes = SEGMENT_BYTES;
    dir.lock_wait = Duration::from_secs(2);
    Ok(dir)
}

/// Runs the whole sequence; its findings are in the record.
pub(crate) fn sequence(dir: &StateDir) -> Result<(RecoveryRecord, Option<Queue>), String> {
    let recovery = Recovery::new(dir, settings()).map_err(|e| e.to_string())?;
    let options = RunOptions { pauses: Vec::new(), ..RunOptions::default() };
    recovery.run(&options).map_err(|e| with_causes(&e))
}

/// Returns the same settings as `recover`.
pub(crate) fn settings() -> Settings {
    let jobs = RecoverSettings::new(Actor { by: "laboratory".into(), why: None });
    let webhooks = recovery::webhooks::Settings::default();
    Settings { by: StartedBy::Recover, jobs, write_records: true, webhooks }
}

/// Findings about losses of a disk, and their repair.
const DAMAGE: [&str; 6] = [
    "log-record-damaged",
    "log-records-missing",
    "queue-rebuilt-from-job-records",
    "job-reconstructed",
    "job-lost",
    "job-attempts-exhausted",
];

/// Recovers a world and returns its view.
///
/// # Errors
/// A sentence, when the recovery did not complete.
pub(crate) fn recover(world: &Path, disk: Disk) -> Result<View, String> {
    let mut dir = open(world, disk).map_err(|e| format!("it cannot be opened: {}", with_causes(&e)))?;
    if dir.is_copy() {
        // The operator runs it again.
        let actor = Actor { by: "laboratory".into(), why: None };
        dir = adopt_as_new(&dir, &[], &actor, false).map_err(|e| with_causes(&e))?.0;
    }
    let (record, queue) = sequence(&dir)?;
    let outcome = record.snapshot.outcome;
    if !matches!(outcome, RecoveryOutcome::Completed | RecoveryOutcome::Degraded) {
        let findings: Vec<String> =
            record.snapshot.all_findings().map(|f| serde_json::to_string(f).unwrap_or_default()).collect();
        return Err(format!("recovery is {outcome:?}: {}", findings.join("; ")));
    }
    let queue = match queue {
        Some(queue) => queue,
        None => Queue::open(&dir).map_err(|e| with_causes(&e))?,
    };
    // A damaged file is named as degraded too, until the next recovery finds it repaired; the facts say
    // whether anything acknowledged was lost with it.
    let is_told = |object: &Object| {
        record.snapshot.all_findings().any(|f| f.object == *object && DAMAGE.contains(&&*f.code))
    };
    let unusable = record.snapshot.degraded_resources().filter(|d| !is_told(&d.object));
    let degraded = unusable.map(|d| (d.object.to_string(), d.why.clone())).collect();
    Ok(View { degraded, ..View::of(&dir, &queue)? })
}

pub(crate) fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(e) = cause {
        text.push_str(&format!(": {e}"));
        cause = e.source();
    }
    text
}
