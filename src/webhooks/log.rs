//! The delivery log on disk: `webhooks/log/`, a log of the same kind as the queue's.
//!
//! Reading starts at the newest whole compaction, or at the first record. A compaction writes everything
//! still needed at the end of the log, in one piece, syncs it, and only then removes the segments before it;
//! after a kill in between, both are there and give the same state.
//!
//! Records are appended without waiting for the disk: a killed process loses none, and a power loss loses
//! only that something was tried, so it is tried again. [`DeliveryLog::commit`] makes them durable; that
//! happens before an operator is answered.

use std::path::PathBuf;
use std::sync::Arc;

use super::DeliveryId;
use super::attempt_retention::{AttemptCounts, AttemptRetention, PastAttempt, attempts_in};
use super::record::{DELIVERY_LOG_VERSION, Operation, Record};
use super::state::{DeliveryLogState, DeliveryRefusal};
use crate::durable::log::{
    Damage, DamageKind, Log, LogError, LogOptions, Position, ReadRequest, ReadSummary, read,
};
use crate::durable::{DiskError, LockError};
use crate::findings::Object;
use crate::losses::{self, Found, LossesError};
use crate::state::{StateDir, Timestamp, human};
use crate::system::Host;

const SEGMENT_BYTES: u64 = 4 << 20;

/// Why the delivery log could not be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DeliveryLogError {
    #[error(transparent)]
    Log(#[from] LogError),
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// Another process delivers.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// An operation that cannot be written as JSON.
    #[error("cannot write what was tried as JSON")]
    Json(#[from] serde_json::Error),
}

impl From<LossesError> for DeliveryLogError {
    fn from(error: LossesError) -> DeliveryLogError {
        match error {
            LossesError::Lock(e) => DeliveryLogError::Lock(e),
            LossesError::Disk(e) => DeliveryLogError::Disk(e),
        }
    }
}

impl DeliveryLogError {
    /// Whether the error is that the disk refuses changes: the log can still be read.
    fn is_refused_change(&self) -> bool {
        match self {
            DeliveryLogError::Log(LogError::Disk(e) | LogError::Lock(LockError::Disk(e)))
            | DeliveryLogError::Lock(LockError::Disk(e))
            | DeliveryLogError::Disk(e) => e.is_refused_change(),
            _ => false,
        }
    }
}

/// The damage of the log.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Problems {
    /// Bytes that are no record, without a half-written end.
    pub damage: Vec<Damage>,
    /// Sequence numbers that no file has and that no compaction made superfluous.
    pub missing: Vec<(u64, u64)>,
    /// Records that are whole but did not fit the state before them, with the reason.
    pub refused: Vec<(u64, DeliveryRefusal)>,
    /// Whole records that this version does not understand.
    pub unknown: Vec<u64>,
}

impl Problems {
    /// Whether something that was tried may be unknown now, so that it is tried again.
    pub fn is_damaged(&self) -> bool {
        !self.damage.is_empty() || !self.missing.is_empty()
    }

    /// The losses of the log.
    pub(crate) fn losses(&self) -> impl Iterator<Item = Found> {
        let lost = |object, sentence| Found {
            code: "webhook-log-damaged".to_owned(),
            object,
            sentence,
            stays: false,
            gap: None,
        };
        let of_damage = self.damage.iter().map(move |d| {
            let sentence = format!("{} bytes at offset {} are no record", d.len, d.offset);
            lost(Object::file(&d.path), sentence)
        });
        let of_gaps = self.missing.iter().map(move |(first, last)| {
            let sentence = format!("{} in no file that can be read", human::numbers("record", *first, *last));
            lost(Object::Webhooks, sentence)
        });
        of_damage.chain(of_gaps)
    }
}

/// The log, and the position up to which it was read.
#[derive(Debug)]
pub struct DeliveryLog {
    dir: StateDir,
    log: Arc<Log>,
    folder: PathBuf,
    pass: Pass,
    position: Position,
}

/// The state of the log at one moment, for a report.
#[derive(Debug)]
pub(crate) struct DeliveryView(Pass);

impl DeliveryView {
    fn read(dir: &StateDir) -> Result<DeliveryView, DeliveryLogError> {
        let (folder, state_id) = (dir.paths.webhooks_log(), dir.identity.state_id.to_string());
        let request = ReadRequest {
            folder: &folder,
            state_id: Some(&state_id),
            from: Position::default(),
            until: None,
        };
        let mut pass = Pass::default();
        let summary = read(request, |seq, payload| drop(pass.record(seq, payload)))?;
        pass.note(summary);
        Ok(DeliveryView(pass))
    }

    /// Returns the state.
    pub(crate) fn state(&self) -> &DeliveryLogState {
        &self.0.state
    }

    /// Returns the damage.
    pub(crate) fn problems(&self) -> &Problems {
        &self.0.problems
    }
}

/// A pass over the records.
#[derive(Debug, Default)]
struct Pass {
    state: DeliveryLogState,
    problems: Problems,
    /// Where the newest whole compaction begins.
    compacted: u64,
    begun: u64,
    records: u64,
    counts: AttemptCounts,
    /// The counts of attempts in a compaction that is being read.
    kept: AttemptCounts,
}

impl Pass {
    fn record(&mut self, seq: u64, payload: &[u8]) -> Option<Operation> {
        let record = match serde_json::from_slice::<Record>(payload) {
            Ok(record) if record.v <= DELIVERY_LOG_VERSION => record,
            _ => {
                self.problems.unknown.push(seq);
                return None;
            }
        };
        let operation = record.operation.clone();
        self.apply(seq, record).then_some(operation)
    }

    /// Applies a record; true when it fitted the state.
    fn apply(&mut self, seq: u64, record: Record) -> bool {
        self.records += 1;
        let at = record.at;
        match &record.operation {
            Operation::CompactionBegin => (self.begun, self.kept) = (seq, AttemptCounts::default()),
            Operation::KeptAttempt { ended_at, .. } => self.kept.has(*ended_at),
            Operation::Attempted(_) => self.counts.gets(at),
            _ => {}
        }
        let is_end = matches!(record.operation, Operation::CompactionEnd { .. });
        match self.state.apply(record) {
            Ok(()) if is_end => {
                self.compacted = self.begun;
                self.records = 0;
                self.counts = self.kept.compacted(at);
                self.problems.refused.clear();
                true
            }
            Ok(()) => true,
            Err(refusal) => {
                self.problems.refused.push((seq, refusal));
                false
            }
        }
    }

    fn note(&mut self, summary: ReadSummary) {
        self.problems.damage.extend(summary.damage);
        self.problems.damage.retain(|d| d.kind != DamageKind::TornTail);
        self.problems.missing.extend(summary.missing);
        let compacted = self.compacted;
        self.problems.missing.retain(|(_, last)| *last >= compacted);
    }
}

/// Returns the attempts that a compaction writes: those that are shown, and those with a `Retry-After` that
/// still holds.
fn kept_attempts(
    past: Vec<PastAttempt>,
    shown: Vec<PastAttempt>,
    state: &DeliveryLogState,
    now: Timestamp,
) -> impl Iterator<Item = Operation> {
    let counts = move |a: &PastAttempt| {
        let wish = a.attempted.retry_after();
        wish.is_some_and(|(endpoint, until)| {
            until > now && state.retry_after().get(&endpoint) == Some(&until)
        })
    };
    past.into_iter().filter(counts).chain(shown).map(move |mut a| {
        // A `Retry-After` that an operator has overridden, or that a later one replaced, must not come back.
        a.attempted.not_before = a.attempted.not_before.filter(|_| counts(&a));
        Operation::KeptAttempt { ended_at: a.ended_at, attempted: a.attempted }
    })
}

fn open_log(dir: &StateDir) -> Result<Log, DeliveryLogError> {
    let options = LogOptions {
        preallocate: true,
        ..dir.log_options(dir.paths.webhooks_log(), "webhooks", Host::this().boot_id, SEGMENT_BYTES)
    };
    dir.disk.ensure_dir(&dir.paths.webhooks())?;
    dir.disk.ensure_dir(&options.folder)?;
    Ok(Log::open(&dir.disk, options)?)
}

impl DeliveryLog {
    /// Reads the log. Everything that is shown afterwards is synced before this returns.
    ///
    /// # Errors
    /// The system's error. Damage is no error; see [`DeliveryLog::problems`].
    pub fn open(dir: &StateDir) -> Result<DeliveryLog, DeliveryLogError> {
        let log = Arc::new(open_log(dir)?);
        let until = log.end();
        log.commit(until.last_seq)?;
        let folder = dir.paths.webhooks_log();
        let mut opened = DeliveryLog {
            dir: dir.clone(),
            log,
            folder,
            pass: Pass::default(),
            position: Position::default(),
        };
        opened.read_until(until, &mut |_| {})?;
        Ok(opened)
    }

    /// Returns the state for a report; `None`, without creating anything, when there never was a delivery.
    /// When the disk cannot be written, the files are read as they are, perhaps with records that were never
    /// synced.
    pub(crate) fn open_if_any(dir: &StateDir) -> Result<Option<DeliveryView>, DeliveryLogError> {
        if !dir.paths.webhooks_log().join("append.lock").exists() {
            return Ok(None);
        }
        match DeliveryLog::open(dir) {
            Ok(log) => Ok(Some(DeliveryView(log.pass))),
            Err(e) if e.is_refused_change() => DeliveryView::read(dir).map(Some),
            Err(e) => Err(e),
        }
    }

    fn read_until(
        &mut self,
        until: Position,
        seen: &mut dyn FnMut(&Operation),
    ) -> Result<(), DeliveryLogError> {
        if until == self.position {
            return Ok(());
        }
        let state_id = self.dir.identity.state_id.to_string();
        let request = ReadRequest {
            folder: &self.folder,
            state_id: Some(&state_id),
            from: self.position,
            until: Some(until),
        };
        let pass = &mut self.pass;
        let summary = read(request, |seq, payload| {
            if let Some(operation) = pass.record(seq, payload) {
                seen(&operation);
            }
        })?;
        pass.note(summary);
        self.position = until;
        Ok(())
    }

    /// Returns the state.
    pub fn state(&self) -> &DeliveryLogState {
        &self.pass.state
    }

    /// Returns the damage.
    pub fn problems(&self) -> &Problems {
        &self.pass.problems
    }

    /// Returns the number of records since the newest compaction.
    pub fn records_since_compaction(&self) -> u64 {
        self.pass.records
    }

    /// Whether the log holds so many attempts that are not shown any more that a compaction is worth its
    /// cost.
    pub(crate) fn is_worth_shortening(&self, retention: AttemptRetention, now: Timestamp) -> bool {
        let settled = self.pass.state.settled().len() as u64;
        self.pass.problems.unknown.is_empty() && retention.is_exceeded(&self.pass.counts, settled, now)
    }

    /// Returns the log behind it.
    pub fn log(&self) -> &Arc<Log> {
        &self.log
    }

    /// Whether others have appended since the last look. Costs one read of memory.
    pub(crate) fn is_behind(&self) -> bool {
        self.log.end() != self.position
    }

    /// Follows the log; calls `seen` with the records of other processes.
    pub(crate) fn refresh(&mut self, seen: &mut dyn FnMut(&Operation)) -> Result<(), DeliveryLogError> {
        let until = self.log.end();
        self.log.commit(until.last_seq)?;
        self.read_until(until, seen)
    }

    /// Appends operations and applies them; they are not synced yet. Calls `seen` with earlier records of
    /// other processes.
    ///
    /// # Errors
    /// Nothing was appended then, as far as is known.
    pub fn append(
        &mut self,
        operations: &[Operation],
        seen: &mut dyn FnMut(&Operation),
    ) -> Result<(), DeliveryLogError> {
        self.decide(seen, |_, _| (operations.to_vec(), ()))
    }

    /// Decides what to append while no other process can append, then appends and applies it; it is not
    /// synced yet.
    ///
    /// # Errors
    /// Nothing was appended then, as far as is known.
    pub(crate) fn decide<T>(
        &mut self,
        seen: &mut dyn FnMut(&Operation),
        decide: impl FnOnce(&DeliveryLogState, Timestamp) -> (Vec<Operation>, T),
    ) -> Result<T, DeliveryLogError> {
        let log = self.log.clone();
        log.locked(|locked| {
            self.read_until(locked.end(), seen)?;
            let at = self.dir.clock.now();
            let (operations, value) = decide(&self.pass.state, at);
            let lines: Vec<Vec<u8>> =
                operations.iter().map(|o| Record::line(at, o)).collect::<Result<_, _>>()?;
            if lines.is_empty() {
                return Ok(value);
            }
            let first = locked.append(&lines)?;
            for (seq, operation) in (first..).zip(operations) {
                self.pass.apply(seq, Record { v: DELIVERY_LOG_VERSION, at, operation });
            }
            self.position = locked.end();
            Ok(value)
        })
    }

    /// Waits until everything read and appended so far is synced.
    pub fn commit(&self) -> Result<(), DeliveryLogError> {
        Ok(self.log.commit(self.position.last_seq)?)
    }

    /// Writes everything still needed at the end and removes the segments before that. Only for the process
    /// that delivers. Undelivered deliveries are always kept; of settled ones, those that `is_wanted` names;
    /// of the attempts, those that are still to be shown.
    ///
    /// # Errors
    /// The system's error; nothing is lost then.
    pub fn compact(
        &mut self,
        is_wanted: &dyn Fn(DeliveryId) -> bool,
        retention: AttemptRetention,
    ) -> Result<bool, DeliveryLogError> {
        self.refresh(&mut |_| {})?;
        // Records of a later version, which this one cannot parse, must not be dropped.
        if !self.pass.problems.unknown.is_empty() {
            return Ok(false);
        }
        // The losses are recorded before the evidence of them is removed.
        let lost: Vec<Found> = self.pass.problems.losses().collect();
        losses::record(&self.dir, "deliveries", &lost, &[])?;
        let (past, shown) = retention.split(attempts_in(&self.dir)?, self.dir.clock.now());
        if !self.pass.problems.damage.is_empty() {
            self.log.keep_damage(&self.pass.problems.damage)?;
        }
        self.log.rotate()?;
        let begin = self.decide(&mut |_| {}, |state, now| {
            let mut kept = state.kept(is_wanted);
            kept.extend(kept_attempts(past, shown, state, now));
            let end = Operation::CompactionEnd { records: kept.len() as u64 };
            let circuits = state.circuits().iter().map(|(endpoint, c)| Operation::Circuit {
                endpoint: endpoint.clone(),
                failures: c.failures,
                open_until: Some(c.open_until),
                error: c.error.clone(),
            });
            let all = std::iter::once(Operation::CompactionBegin).chain(kept).chain([end]).chain(circuits);
            (all.collect(), ())
        });
        begin?;
        self.commit()?;
        self.log.remove_until(self.pass.compacted.saturating_sub(1))?;
        self.pass.problems = Problems::default();
        Ok(true)
    }
}
