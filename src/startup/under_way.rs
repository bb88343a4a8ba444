//! The startup of this process.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::cleanup_log::{self, CleanupEntry};
use super::detect::{Detection, judge_left};
use super::history::{self, StartupEntry, StartupOutcome};
use super::marker::{Marker, MarkerRead, StartedBy, read};
use crate::durable::mutation::Mutation;
use crate::durable::{DiskError, FileLock, Holder, LockError};
use crate::state::StateDir;

/// Somebody who merely looks holds the lock for less than this.
const LOOK_GRACE: Duration = Duration::from_millis(50);

/// Why a startup could not begin or go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartupError {
    /// Another process is starting up, or recovering, in this state directory.
    #[error("another startup is under way: {0}")]
    Running(#[source] LockError),
    /// The system refused.
    #[error(transparent)]
    Disk(#[from] DiskError),
}

/// A startup that is under way. Dropped without [`Startup::finish`] it counts as aborted, as if this
/// process had died. Threads may enter and leave phases side by side.
#[derive(Debug)]
pub struct Startup {
    dir: StateDir,
    id: String,
    marker: Mutex<Marker>,
    /// Whether the history knows of the startup before, so that its marker may be overwritten.
    previous_is_settled: AtomicBool,
    unrecorded: Mutex<Option<DiskError>>,
    _lock: FileLock,
}

impl Startup {
    /// Begins a startup: puts one that was cut short into the history, then writes the marker.
    ///
    /// # Errors
    /// [`StartupError::Running`] while another process is at it.
    pub fn begin(dir: &StateDir, by: StartedBy) -> Result<(Startup, Detection), StartupError> {
        Startup::begin_in(dir, by, None)
    }

    /// As [`Startup::begin`], and enters its first phase with the same write of the marker.
    ///
    /// # Errors
    /// As [`Startup::begin`].
    pub fn begin_in(
        dir: &StateDir,
        by: StartedBy,
        phase: Option<&str>,
    ) -> Result<(Startup, Detection), StartupError> {
        dir.disk.ensure_dir(&dir.paths.startup())?;
        let lock = match FileLock::acquire(&dir.disk, &dir.paths.startup_lock(), LOOK_GRACE) {
            Ok(lock) => lock,
            Err(LockError::Disk(e)) => return Err(e.into()),
            Err(held) => return Err(StartupError::Running(held)),
        };
        let mut marker = Marker::new(by, dir.clock.now());
        if Mutation::MarkerBeforeHistory.is_on() {
            marker.write(dir)?;
        }
        // A full disk must not keep anybody from starting: cleaning up may be what makes room on it.
        let (detection, unsettled) = match settle_previous(dir) {
            Ok(detection) => (detection, None),
            Err(e) if e.is_refused_change() => {
                (judge_left(dir, &read(&dir.paths.startup_marker())?)?, Some(e))
            }
            Err(e) => return Err(e.into()),
        };
        marker.phases_entered.extend(phase.map(str::to_owned));
        let holder = Holder {
            pid: marker.process.pid,
            purpose: by.as_str().to_owned(),
            since: marker.started_at.to_string(),
        };
        // Who holds the lock is a hint for people.
        let _ = lock.describe(&holder);
        let startup = Startup {
            dir: dir.clone(),
            id: marker.startup_id.clone(),
            marker: Mutex::new(marker),
            previous_is_settled: AtomicBool::new(unsettled.is_none()),
            unrecorded: Mutex::new(unsettled),
            _lock: lock,
        };
        startup.change(|_| ())?;
        Ok((startup, detection))
    }

    /// Why this startup is not on disk as it is: killed now, nobody would know of it, or of how far it got.
    #[must_use]
    pub fn unrecorded(&self) -> Option<String> {
        let unrecorded = self.unrecorded.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        unrecorded.as_ref().map(|e| format!("{e}: {}", e.source))
    }

    /// Names this startup.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    pub(super) fn dir(&self) -> &StateDir {
        &self.dir
    }

    /// Says, durably, that a phase is about to begin. A disk that refuses to be written is noted, see
    /// [`Startup::unrecorded`], and keeps no phase from beginning.
    ///
    /// # Errors
    /// When the marker cannot be replaced for another reason; the phase must not begin then.
    pub fn enter(&self, phase: &str) -> Result<(), DiskError> {
        self.change(|marker| {
            marker.phases_done.retain(|p| p != phase); // Tried again.
            marker.phases_entered.retain(|p| p != phase);
            marker.phases_entered.push(phase.to_owned());
        })
    }

    /// Says that a phase is over. That is written with whatever the marker says next: killed before, the
    /// startup is taken to have died in this phase, at its very end, and every phase may be run again.
    pub fn done(&self, phase: &str) {
        let mut marker = self.marker.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        marker.phases_entered.retain(|p| p != phase);
        marker.phases_done.retain(|p| p != phase);
        marker.phases_done.push(phase.to_owned());
    }

    fn change(&self, change: impl FnOnce(&mut Marker)) -> Result<(), DiskError> {
        let mut marker = self.marker.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        change(&mut marker);
        let written = self.settle().and_then(|()| marker.write(&self.dir));
        let mut unrecorded = self.unrecorded.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        *unrecorded = match written {
            Err(e) if !e.is_refused_change() => return Err(e),
            other => other.err(),
        };
        Ok(())
    }

    fn settle(&self) -> Result<(), DiskError> {
        if !self.previous_is_settled.load(Ordering::Acquire) {
            settle_previous(&self.dir)?;
            self.previous_is_settled.store(true, Ordering::Release);
        }
        Ok(())
    }

    /// Adds acts to the cleanup log.
    ///
    /// # Errors
    /// When the log cannot be replaced.
    pub fn log(&self, acts: &[CleanupEntry]) -> Result<(), DiskError> {
        cleanup_log::add(&self.dir, acts)
    }

    /// Ends the startup: into the history first, then the marker goes.
    ///
    /// # Errors
    /// What the system says; the marker may then still be there.
    pub fn finish(self, outcome: StartupOutcome, findings_total: u64) -> Result<StartupEntry, DiskError> {
        self.settle()?;
        let marker = self.marker.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
        let now = self.dir.clock.now();
        let entry = StartupEntry {
            ended_at: Some(now),
            // A clock that went back tells no duration.
            duration_ms: Some(now.millis_since(marker.started_at).max(0)),
            findings_total,
            ..StartupEntry::of(&marker, outcome)
        };
        history::add(&self.dir, entry.clone())?;
        remove_marker(&self.dir)?;
        Ok(entry)
    }
}

/// The history learns of an aborted startup before its marker is overwritten; a crash in between repeats
/// that, and the startup's id keeps it from being counted twice.
fn settle_previous(dir: &StateDir) -> Result<Detection, DiskError> {
    let marker = read(&dir.paths.startup_marker())?;
    let detection = judge_left(dir, &marker)?;
    if let MarkerRead::Damaged { why, .. } = &marker {
        dir.quarantine().keep_file(&dir.paths.startup_marker(), why, &dir.clock.now().to_string())?;
    }
    if let Detection::Aborted { previous, .. } = &detection {
        history::add(dir, (**previous).clone())?;
    }
    Ok(detection)
}

fn remove_marker(dir: &StateDir) -> Result<(), DiskError> {
    match dir.disk.remove_file(&dir.paths.startup_marker()) {
        Err(e) if !e.is_not_found() => return Err(e),
        _ => {}
    }
    dir.disk.sync_dir(&dir.paths.startup())
}
