//! The queue on disk: follows it, changes it, writes its checkpoints.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use super::open::{Replayed, replay};
use super::record::{Operation, Record};
use super::snapshot::{SnapshotError, SnapshotFile};
use super::state::QueueState;
use crate::audit::Actor;
use crate::durable::log::{Log, LogError, LogOptions, Position, ReadRequest, read};
use crate::durable::seeded_bug::SeededBug;
use crate::durable::{DiskError, FileLock, LockError, error_chain};
use crate::logging::events;
use crate::state::JobId;
use crate::state::StateDir;
use tracing::warn;

/// Why the queue could not be read or changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum QueueError {
    #[error(transparent)]
    Log(#[from] LogError),
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// Another process holds a lock.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// An operation that cannot be written as JSON.
    #[error("cannot write an operation as JSON")]
    Json(#[from] serde_json::Error),
    /// The queue was opened for reading only, because its disk cannot be written.
    #[error("the queue can only be looked at: {why}")]
    LookOnly {
        /// What was tried, on which object, and the system's reason.
        why: String,
    },
}

impl QueueError {
    /// The disk's error, if that is the cause.
    pub fn disk(&self) -> Option<&DiskError> {
        match self {
            QueueError::Log(LogError::Disk(e) | LogError::Lock(LockError::Disk(e)))
            | QueueError::Disk(e)
            | QueueError::Lock(LockError::Disk(e)) => Some(e),
            _ => None,
        }
    }

    /// The disk's refusal behind the error, if it is one that leaves reading possible.
    pub(crate) fn refused_change(&self) -> Option<&DiskError> {
        self.disk().filter(|e| e.is_refused_change())
    }
}

/// Opens the queue's log.
pub fn open_log(dir: &StateDir) -> Result<Log, QueueError> {
    // Numbers that a snapshot covers must not be given again, even if the log was cut in the meantime.
    let newest = SnapshotFile::list(&dir.paths.queue())?.first().map_or(0, |s| s.seq);
    let clock = dir.clock.clone();
    let options = LogOptions {
        folder: dir.paths.queue_log(),
        name: "queue",
        state_id: dir.identity.state_id.to_string(),
        epoch: crate::system::Host::this().boot_id,
        segment_bytes: dir.segment_bytes,
        preallocate: true,
        min_next_seq: newest + 1,
        lock_wait: dir.lock_wait,
        quarantine: dir.quarantine(),
        stamp: Arc::new(move || clock.now().to_string()),
    };
    dir.sync_identity(&options.folder)?;
    // The folder's name is made durable when the log is verified, before anything in it counts.
    if !options.folder.is_dir() {
        dir.disk.ensure_dir(&options.folder)?;
    }
    Ok(Log::open(&dir.disk, options)?)
}

/// Appends operations durably without reading the queue: the cost does not depend on its length.
/// Returns the first one's sequence number; they are consecutive.
///
/// # Errors
/// Nothing is acknowledged then.
#[track_caller]
pub fn append(dir: &StateDir, actor: &Actor, operations: &[Operation]) -> Result<Vec<u64>, QueueError> {
    dir.disk.reached();
    append_to(dir, &open_log(dir)?, actor, operations)
}

/// As [`append`], to the open log of this state directory.
pub(super) fn append_to(
    dir: &StateDir,
    log: &Log,
    actor: &Actor,
    operations: &[Operation],
) -> Result<Vec<u64>, QueueError> {
    let first = log.append(&lines(dir, actor, operations)?)?;
    Ok((first..).take(operations.len()).collect())
}

fn lines(dir: &StateDir, actor: &Actor, operations: &[Operation]) -> Result<Vec<Vec<u8>>, QueueError> {
    let at = dir.clock.now();
    let record = |operation: &Operation| Record { at, actor: actor.clone(), operation: operation.clone() };
    Ok(operations.iter().map(|o| record(o).to_line()).collect::<Result<_, _>>()?)
}

/// Acts under the append lock, with the jobs that left the queue by a record after `seq`. A process that removes
/// jobs and their files holds that lock too, so every removal is either complete or begins after the act.
#[track_caller]
pub(crate) fn with_jobs_removed_since<T>(
    dir: &StateDir,
    seq: u64,
    act: impl FnOnce(&HashSet<JobId>) -> T,
) -> Result<T, QueueError> {
    let folder = dir.paths.queue_log();
    let state_id = dir.identity.state_id.to_string();
    let from = Position { last_seq: seq, ..Position::default() };
    open_log(dir)?.locked(|locked| {
        let until = Some(locked.end());
        let mut removed = HashSet::new();
        read(ReadRequest { folder: &folder, state_id: Some(&state_id), from, until }, |_, payload| {
            if memchr::memmem::find(payload, b"\"op\":\"remove\"").is_some()
                && let Ok(Record { operation: Operation::Remove { jobs }, .. }) = Record::from_line(payload)
            {
                removed.extend(jobs);
            }
        })?;
        Ok(act(&removed))
    })
}

impl Operation {
    /// Whether it is about a job.
    pub(crate) fn concerns(&self, id: &JobId) -> bool {
        match self {
            Operation::Submit(s) => s.job == *id,
            Operation::SubmitBatch { jobs } => jobs.iter().any(|s| s.job == *id),
            Operation::Claim { job, .. }
            | Operation::Found { job, .. }
            | Operation::Unclaim { job, .. }
            | Operation::Cancel { job }
            | Operation::Resume { job, .. }
            | Operation::Rebuilt { job, .. } => job == id,
            Operation::End(end) => end.job == *id,
            Operation::Restore { document, .. } => document.job_id == *id,
            Operation::Remove { jobs } => jobs.contains(id),
        }
    }
}

/// The queue and a place in its log, which a long-lived process follows.
#[derive(Debug)]
pub struct Queue {
    dir: StateDir,
    access: Access,
    replayed: Replayed,
    snapshot: Option<SnapshotFile>,
}

/// How the queue's files are accessed.
#[derive(Debug)]
enum Access {
    /// For reading and writing, as one of the writers.
    Log(Box<Log>),
    /// For reading only, because the disk cannot be written; the reason.
    Look(String),
}

impl Access {
    fn log(&self) -> Result<&Log, QueueError> {
        match self {
            Access::Log(log) => Ok(log),
            Access::Look(why) => Err(QueueError::LookOnly { why: why.clone() }),
        }
    }
}

/// Applies the records between the current position and `until`; false when some are missing.
fn follow(dir: &StateDir, replayed: &mut Replayed, until: Position) -> Result<bool, QueueError> {
    if until == replayed.log.position {
        return Ok(true);
    }
    let folder = dir.paths.queue_log();
    let state_id = dir.identity.state_id.to_string();
    // No record is applied twice, even if the snapshot knew more than `until`, or reading was cut short half way.
    let from = Position { last_seq: replayed.state.last_seq(), ..replayed.log.position };
    let request = ReadRequest { folder: &folder, state_id: Some(&state_id), from, until: Some(until) };
    let summary = read(request, |seq, payload| replayed.apply(seq, payload))?;
    let Replayed { state, log, .. } = replayed;
    let complete = summary.missing.is_empty() && summary.position.last_seq >= until.last_seq;
    log.records += summary.records;
    log.damage.extend(summary.damage);
    log.missing.extend(summary.missing);
    log.position = until;
    state.pass(until.last_seq);
    Ok(complete)
}

/// Reads everything anew. Checkpoints of other processes may meanwhile remove segments that an older snapshot
/// needs: then there is a newer snapshot by now.
fn reload(
    dir: &StateDir,
    replayed: &mut Replayed,
    snapshot: &mut Option<SnapshotFile>,
    until: Position,
) -> Result<(), QueueError> {
    loop {
        *replayed = replay(dir, Some(until))?;
        let Replayed { log, damaged_snapshots, snapshot_seq: used, .. } = replayed;
        if log.position.last_seq < until.last_seq {
            log.missing.push((log.position.last_seq + 1, until.last_seq));
        }
        let mut snapshots = SnapshotFile::list(&dir.paths.queue())?.into_iter();
        let usable = |s: &SnapshotFile| damaged_snapshots.iter().all(|(damaged, _)| damaged.seq != s.seq);
        if !log.missing.is_empty() && snapshots.as_slice().iter().any(|s| s.seq > *used && usable(s)) {
            continue;
        }
        *snapshot = snapshots.find(|s| s.seq == *used);
        log.position = until;
        replayed.state.pass(until.last_seq);
        return Ok(());
    }
}

/// Follows the log. After two checkpoints the needed segments are gone: then it starts again from a snapshot.
fn catch_up(
    dir: &StateDir,
    replayed: &mut Replayed,
    snapshot: &mut Option<SnapshotFile>,
    until: Position,
) -> Result<(), QueueError> {
    if follow(dir, replayed, until)? { Ok(()) } else { reload(dir, replayed, snapshot, until) }
}

/// Result of a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueCheckpoint {
    /// The snapshot that was written.
    pub snapshot: SnapshotFile,
    /// Old segments that were removed.
    pub segments_removed: usize,
}

impl Queue {
    /// Reads the queue. Everything that it shows was synced before.
    ///
    /// # Errors
    /// The system's error. Damage is no error; see [`Queue::replayed`].
    pub fn open(dir: &StateDir) -> Result<Queue, QueueError> {
        let log = open_log(dir)?;
        let until = log.end();
        if !SeededBug::ShowBeforeSync.is_on() {
            log.commit(until.last_seq)?;
        }
        let access = Access::Log(Box::new(log));
        let mut queue = Queue { dir: dir.clone(), access, replayed: Replayed::default(), snapshot: None };
        reload(dir, &mut queue.replayed, &mut queue.snapshot, until)?;
        Ok(queue)
    }

    /// As [`Queue::open`]; where the disk cannot be written, the files are read as they are and left untouched,
    /// and [`Queue::unwritable`] says so. For reports: the result may include records that were never synced, so
    /// nothing may be started by it.
    pub fn open_to_look(dir: &StateDir) -> Result<Queue, QueueError> {
        let why = match Queue::open(dir) {
            Ok(queue) => return Ok(queue),
            Err(e) => match e.refused_change() {
                Some(refused) => format!("{refused}: {}", refused.source),
                None => return Err(e),
            },
        };
        let replayed = replay(dir, None)?;
        let mut snapshots = SnapshotFile::list(&dir.paths.queue())?.into_iter();
        let snapshot = snapshots.find(|s| s.seq == replayed.snapshot_seq);
        Ok(Queue { dir: dir.clone(), access: Access::Look(why), replayed, snapshot })
    }

    /// The state directory that it is in.
    pub(crate) fn dir(&self) -> &StateDir {
        &self.dir
    }

    /// Why the queue can only be read; `None` when it can be changed.
    pub(crate) fn unwritable(&self) -> Option<&str> {
        match &self.access {
            Access::Log(_) => None,
            Access::Look(why) => Some(why),
        }
    }

    pub fn state(&self) -> &QueueState {
        &self.replayed.state
    }

    /// See [`QueueState::drain_changed`].
    pub(crate) fn drain_changed(&mut self) -> Option<Vec<JobId>> {
        self.replayed.state.drain_changed()
    }

    /// How the queue was read, with the damage found.
    pub fn replayed(&self) -> &Replayed {
        &self.replayed
    }

    /// The log behind it.
    ///
    /// # Errors
    /// [`QueueError::LookOnly`] when the disk cannot be written.
    pub fn log(&self) -> Result<&Log, QueueError> {
        self.access.log()
    }

    /// The end of the log as far as this process has read it.
    pub(crate) fn position(&self) -> Position {
        self.replayed.log.position
    }

    /// The newest snapshot that was read or taken; 0 for none.
    pub(crate) fn snapshot_seq(&self) -> u64 {
        self.snapshot.as_ref().map_or(0, |s| s.seq)
    }

    /// Records since the newest snapshot.
    pub(crate) fn records_since_checkpoint(&self) -> u64 {
        self.replayed.state.last_seq().saturating_sub(self.snapshot_seq())
    }

    /// Follows the log; true when there was something new.
    pub fn refresh(&mut self) -> Result<bool, QueueError> {
        let Ok(log) = self.access.log() else { return Ok(false) };
        let until = log.end();
        log.commit(until.last_seq)?;
        if until == self.replayed.log.position {
            return Ok(false);
        }
        let Queue { dir, replayed, snapshot, .. } = self;
        catch_up(dir, replayed, snapshot, until)?;
        Ok(true)
    }

    /// Decides under the append lock, after following the log, so that no other process can change the queue
    /// in between. The operations are appended, synced and applied. Returns their sequence numbers and the
    /// result of `decide`.
    ///
    /// # Errors
    /// Nothing is acknowledged then; open the queue again before going on.
    #[track_caller]
    pub fn transact<T>(
        &mut self,
        actor: &Actor,
        decide: impl FnOnce(&QueueState) -> (Vec<Operation>, T),
    ) -> Result<(Vec<u64>, T), QueueError> {
        let Queue { dir, access, replayed, snapshot } = self;
        let log = access.log()?;
        dir.disk.reached();
        let (numbers, value) = log.locked(|locked| -> Result<_, QueueError> {
            catch_up(dir, replayed, snapshot, locked.end())?;
            let (operations, value) = decide(&replayed.state);
            let payloads = lines(dir, actor, &operations)?;
            let first = locked.append(&payloads)?;
            for (seq, payload) in (first..).zip(&payloads) {
                replayed.apply(seq, payload);
            }
            replayed.log.records += payloads.len() as u64;
            replayed.log.position = locked.end();
            Ok(((first..).take(payloads.len()).collect::<Vec<u64>>(), value))
        })?;
        log.commit(replayed.state.last_seq())?;
        Ok((numbers, value))
    }

    /// Writes a snapshot, begins a new segment, and removes the segments that the previous snapshot does not
    /// need either. Nothing is removed before the new snapshot is synced. `None` when another process is
    /// writing one.
    ///
    /// # Errors
    /// The system's error; nothing is lost then.
    #[track_caller]
    pub fn checkpoint(&mut self) -> Result<Option<QueueCheckpoint>, QueueError> {
        self.log()?;
        self.dir.disk.reached();
        // One process at a time: each of two would take the other's snapshot for the older one.
        let _lock = match FileLock::try_acquire(&self.dir.disk, &self.dir.paths.checkpoint_lock()) {
            Ok(lock) => lock,
            Err(LockError::Held { .. }) => return Ok(None),
            Err(e) => return Err(e.into()),
        };
        self.refresh()?;
        let folder = self.dir.paths.queue();
        let state_id = self.dir.identity.state_id.to_string();
        let now = self.dir.clock.now();
        self.replayed.state.count_checkpoint();
        if SeededBug::RemoveSegmentsBeforeSnapshot.is_on() {
            self.log()?.rotate()?;
            self.log()?.remove_until(self.replayed.state.last_seq())?;
        }
        // The snapshot is synced before anything that it replaces is removed: a kill from here on leaves both.
        let snapshot = SnapshotFile::write(&self.dir.disk, &folder, &state_id, self.state(), now)?;
        // Only finished segments can be removed, so the present one is finished first.
        self.log()?.rotate()?;
        let segments_removed = self.remove_superseded(&snapshot)?;
        self.snapshot = Some(snapshot.clone());
        Ok(Some(QueueCheckpoint { snapshot, segments_removed }))
    }

    /// Keeps the newest two snapshots that can be read, and the log after the older one.
    fn remove_superseded(&self, newest: &SnapshotFile) -> Result<usize, QueueError> {
        let folder = self.dir.paths.queue();
        let mut older = SnapshotFile::list(&folder)?.into_iter().filter(|s| s.seq < newest.seq);
        let state_id = self.dir.identity.state_id.to_string();
        let damaged = |s: &SnapshotFile| self.replayed.damaged_snapshots.iter().any(|(d, _)| d == s);
        let usable = |s: &SnapshotFile| {
            !damaged(s) && s.header().is_ok_and(|h| h.state_id == state_id && h.seq == s.seq)
        };
        // Without a second usable snapshot the log stays whole, because it is the only fallback.
        let Some(previous) = older.find(usable) else { return Ok(0) };
        let mut removed = false;
        for old in older {
            self.keep_if_damaged(&old)?;
            self.dir.disk.remove_file(&old.path)?;
            removed = true;
        }
        if removed {
            self.dir.disk.sync_dir(&folder)?;
        }
        // Operators' records must outlive the old segments; while they cannot be copied to the trail, the
        // segments stay.
        match super::operators::keep_operator_records(&self.dir, previous.seq) {
            Ok(()) => Ok(self.log()?.remove_until(previous.seq)?),
            Err(e) => {
                warn!(event = events::TROUBLE, "old segments of the queue's log stay: {}", error_chain(&e));
                Ok(0)
            }
        }
    }

    /// Nothing unreadable is removed before a copy of it is in quarantine.
    fn keep_if_damaged(&self, snapshot: &SnapshotFile) -> Result<(), QueueError> {
        match snapshot.check(&self.dir.identity.state_id.to_string()) {
            Err(SnapshotError::Damaged { why, .. }) => {
                let at = self.dir.clock.now().to_string();
                self.dir.quarantine().keep_file(&snapshot.path, &why, &at)?;
                Ok(())
            }
            Err(SnapshotError::Disk(e)) => Err(e.into()),
            Ok(()) => Ok(()),
        }
    }

    /// Checks the snapshots that were not read, so that a damaged fallback is known before it is needed.
    /// Afterwards the damage is in [`Queue::replayed`].
    pub(crate) fn check_older_snapshots(&mut self) -> Result<(), QueueError> {
        let state_id = self.dir.identity.state_id.to_string();
        let used = self.snapshot_seq();
        for file in SnapshotFile::list(&self.dir.paths.queue())?.into_iter().filter(|s| s.seq < used) {
            match file.check(&state_id) {
                Err(SnapshotError::Damaged { why, .. }) => {
                    self.replayed.damaged_snapshots.push((file, why));
                }
                // A checkpoint of another process has removed it.
                Err(SnapshotError::Disk(e)) if e.is_not_found() => {}
                Err(SnapshotError::Disk(e)) => return Err(e.into()),
                Ok(()) => {}
            }
        }
        Ok(())
    }

    /// Waits until the log changes, at most `timeout`.
    pub(crate) fn wait(&self, timeout: Duration) {
        match &self.access {
            Access::Log(log) => log.wait_for_change(self.replayed.log.position, timeout),
            // There is no log to wait for: the caller reads again after a moment.
            Access::Look(_) => std::thread::sleep(timeout),
        }
    }
}
