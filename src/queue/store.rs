//! The queue on disk: following it, changing it, checkpointing it.

use std::sync::Arc;
use std::time::Duration;

use super::id::JobId;
use super::open::{Replayed, replay};
use super::record::{Actor, Operation, Record};
use super::snapshot::{SnapshotError, SnapshotFile};
use super::state::QueueState;
use crate::durable::log::{Log, LogError, LogOptions, Position, ReadRequest, read};
use crate::durable::{DiskError, FileLock, LockError};
use crate::state::StateDir;

/// Why the queue could not be read or changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum QueueError {
    /// The log.
    #[error(transparent)]
    Log(#[from] LogError),
    /// Another file.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// A lock that somebody keeps.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// An operation that cannot be written as JSON.
    #[error("cannot write an operation as JSON")]
    Json(#[from] serde_json::Error),
}

/// Opens the queue's log.
///
/// # Errors
/// What the system says.
pub fn open_log(dir: &StateDir) -> Result<Log, QueueError> {
    // What a snapshot has covered must not be numbered again, even if the log was cut behind its back.
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
    dir.disk.ensure_dir(&options.folder)?;
    Ok(Log::open(&dir.disk, options)?)
}

/// Appends operations durably without reading the queue: the cost does not depend on its length.
/// Returns the first one's sequence number; they are consecutive.
///
/// # Errors
/// Nothing is acknowledged then.
pub fn append(dir: &StateDir, actor: &Actor, operations: &[Operation]) -> Result<Vec<u64>, QueueError> {
    let log = open_log(dir)?;
    let first = log.append(&lines(dir, actor, operations)?)?;
    Ok((first..).take(operations.len()).collect())
}

fn lines(dir: &StateDir, actor: &Actor, operations: &[Operation]) -> Result<Vec<Vec<u8>>, QueueError> {
    let at = dir.clock.now();
    let record = |operation: &Operation| Record { at, actor: actor.clone(), operation: operation.clone() };
    Ok(operations.iter().map(|o| record(o).to_line()).collect::<Result<_, _>>()?)
}

/// The records about one job from a sequence number on, synced. Reads the log from there, not the queue.
///
/// # Errors
/// What the system says.
pub fn records_since(dir: &StateDir, seq: u64, job: &JobId) -> Result<Vec<(u64, Record)>, QueueError> {
    let log = open_log(dir)?;
    let until = log.end();
    log.commit(until.last_seq)?;
    let folder = dir.paths.queue_log();
    let state_id = dir.identity.state_id.to_string();
    let from = Position { last_seq: seq.saturating_sub(1), ..Position::default() };
    let request = ReadRequest { folder: &folder, state_id: Some(&state_id), from, until: Some(until) };
    // As it is written: a name may hold quotation marks.
    let needle = serde_json::to_string(job)?;
    let finder = memchr::memmem::Finder::new(&needle);
    let mut found = Vec::new();
    read(request, |seq, payload| {
        if finder.find(payload).is_some()
            && let Ok(record) = Record::from_line(payload)
            && record.operation.concerns(job)
        {
            found.push((seq, record));
        }
    })?;
    Ok(found)
}

impl Operation {
    /// Whether it is about a job.
    #[must_use]
    pub fn concerns(&self, id: &JobId) -> bool {
        match self {
            Operation::Submit(s) => s.job == *id,
            Operation::SubmitBatch { jobs } => jobs.iter().any(|s| s.job == *id),
            Operation::Claim { job, .. }
            | Operation::Found { job, .. }
            | Operation::Unclaim { job, .. }
            | Operation::Cancel { job }
            | Operation::Resume { job, .. } => job == id,
            Operation::End(end) => end.job == *id,
            Operation::Restore { document } => document.job_id == *id,
            Operation::Remove { jobs } => jobs.contains(id),
        }
    }
}

/// The queue and a place in its log, which a long-lived process follows.
#[derive(Debug)]
pub struct Queue {
    dir: StateDir,
    log: Log,
    replayed: Replayed,
    snapshot: Option<SnapshotFile>,
}

/// Applies what the log has between the place reached and `until`; false when some of it is missing.
fn follow(dir: &StateDir, replayed: &mut Replayed, until: Position) -> Result<bool, QueueError> {
    if until == replayed.log.position {
        return Ok(true);
    }
    let folder = dir.paths.queue_log();
    let state_id = dir.identity.state_id.to_string();
    // Never twice, even if the snapshot knew more than `until`, or reading broke off half way.
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

/// Reads everything anew. Checkpoints of others may remove segments that an older snapshot needs while
/// we read: then there is a newer snapshot by now.
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

/// Left behind by two checkpoints, the segments that were needed are gone: a snapshot has it all.
fn catch_up(
    dir: &StateDir,
    replayed: &mut Replayed,
    snapshot: &mut Option<SnapshotFile>,
    until: Position,
) -> Result<(), QueueError> {
    if follow(dir, replayed, until)? { Ok(()) } else { reload(dir, replayed, snapshot, until) }
}

/// What a checkpoint did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// The snapshot that was written.
    pub snapshot: SnapshotFile,
    /// Old segments that were removed.
    pub segments_removed: usize,
}

impl Queue {
    /// Reads the queue. Everything that is shown afterwards was synced before.
    ///
    /// # Errors
    /// What the system says. Damage is no error; see [`Queue::replayed`].
    pub fn open(dir: &StateDir) -> Result<Queue, QueueError> {
        let log = open_log(dir)?;
        let until = log.end();
        log.commit(until.last_seq)?;
        let mut queue = Queue { dir: dir.clone(), log, replayed: Replayed::default(), snapshot: None };
        reload(dir, &mut queue.replayed, &mut queue.snapshot, until)?;
        Ok(queue)
    }

    /// The jobs.
    #[must_use]
    pub fn state(&self) -> &QueueState {
        &self.replayed.state
    }

    /// See [`QueueState::take_turned`].
    pub fn take_turned(&mut self) -> Option<Vec<JobId>> {
        self.replayed.state.take_turned()
    }

    /// How it was read, and what was wrong.
    #[must_use]
    pub fn replayed(&self) -> &Replayed {
        &self.replayed
    }

    /// The log behind it.
    #[must_use]
    pub fn log(&self) -> &Log {
        &self.log
    }

    /// The newest snapshot that was read or taken; 0 for none.
    #[must_use]
    pub fn snapshot_seq(&self) -> u64 {
        self.snapshot.as_ref().map_or(0, |s| s.seq)
    }

    /// Records since the newest snapshot.
    #[must_use]
    pub fn records_since_checkpoint(&self) -> u64 {
        self.replayed.state.last_seq().saturating_sub(self.snapshot_seq())
    }

    /// Follows the log; true when something was new.
    ///
    /// # Errors
    /// What the system says.
    pub fn refresh(&mut self) -> Result<bool, QueueError> {
        let until = self.log.end();
        self.log.commit(until.last_seq)?;
        if until == self.replayed.log.position {
            return Ok(false);
        }
        let Queue { dir, replayed, snapshot, .. } = self;
        catch_up(dir, replayed, snapshot, until)?;
        Ok(true)
    }

    /// Decides under the append lock, after following the log: nobody can change the queue meanwhile.
    /// The operations are appended, synced and applied. Returns their sequence numbers and what `decide`
    /// said.
    ///
    /// # Errors
    /// Nothing is acknowledged then; open the queue again before going on.
    pub fn transact<T>(
        &mut self,
        actor: &Actor,
        decide: impl FnOnce(&QueueState) -> (Vec<Operation>, T),
    ) -> Result<(Vec<u64>, T), QueueError> {
        let Queue { dir, log, replayed, snapshot } = self;
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
        self.log.commit(self.replayed.state.last_seq())?;
        Ok((numbers, value))
    }

    /// Writes a snapshot, begins a new segment, and removes what the snapshot before it does not need
    /// either. Nothing is removed before the new snapshot is synced. `None` when another process is at it.
    ///
    /// # Errors
    /// What the system says; nothing is lost then.
    pub fn checkpoint(&mut self) -> Result<Option<Checkpoint>, QueueError> {
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
        let snapshot = SnapshotFile::write(&self.dir.disk, &folder, &state_id, self.state(), now)?;
        self.log.rotate()?;
        let segments_removed = self.remove_superseded(&snapshot)?;
        self.snapshot = Some(snapshot.clone());
        Ok(Some(Checkpoint { snapshot, segments_removed }))
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
        let Some(previous) = older.find(usable) else { return Ok(0) };
        let mut removed = false;
        for old in older {
            self.dir.disk.remove_file(&old.path)?;
            removed = true;
        }
        if removed {
            self.dir.disk.sync_dir(&folder)?;
        }
        Ok(self.log.remove_until(previous.seq)?)
    }

    /// Looks at the snapshots that were not needed: a fallback that would fail is to be known before it
    /// is needed. What is wrong with them is in [`Queue::replayed`] afterwards.
    ///
    /// # Errors
    /// What the system says.
    pub fn check_older_snapshots(&mut self) -> Result<(), QueueError> {
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
    pub fn wait(&self, timeout: Duration) {
        self.log.wait_for_change(self.replayed.log.position, timeout);
    }
}
