//! The two threads that follow a run: one writes `recovery/current.json`, one calls the observer.
//!
//! They are separate because a write costs two syncs, during which a progress bar must not stop; the phases
//! wait for neither. Changes of status that come faster than the disk can sync share a write.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::options::Observer;
use super::progress::{Seen, Tracker};
use super::snapshot::Snapshot;
use crate::durable::replace;
use crate::findings::{Finding, Object, catalogue};
use crate::state::StateDir;

/// How often `current.json` is written while items move.
const WRITE_EVERY: Duration = Duration::from_millis(250);

/// How often the observer is called while items move.
const SHOW_EVERY: Duration = Duration::from_millis(50);

/// The file `current.json` of one run.
pub(super) struct CurrentFile<'a> {
    dir: &'a StateDir,
    tracker: &'a Tracker,
    /// Held while writing: after [`CurrentFile::stop`], no older snapshot can replace the last one.
    stopped: Mutex<bool>,
}

impl<'a> CurrentFile<'a> {
    pub(super) fn new(dir: &'a StateDir, tracker: &'a Tracker) -> CurrentFile<'a> {
        CurrentFile { dir, tracker, stopped: Mutex::new(false) }
    }

    /// Writes every change until the run is closed.
    pub(super) fn follow(&self) {
        follow(self.tracker, WRITE_EVERY, |snapshot| {
            let stopped = self.stopped.lock().unwrap_or_else(PoisonError::into_inner);
            if !*stopped {
                self.write(snapshot);
            }
        });
    }

    /// Stops the follower: from here on, only [`CurrentFile::write`] writes.
    pub(super) fn stop(&self) {
        *self.stopped.lock().unwrap_or_else(PoisonError::into_inner) = true;
    }

    /// Writes a snapshot. A failure does not stop the recovery: it becomes a finding.
    pub(super) fn write(&self, snapshot: &Snapshot) {
        let mut text = serde_json::to_vec(snapshot).unwrap_or_default();
        text.push(b'\n');
        if let Err(e) = replace(&self.dir.disk, &self.dir.paths.recovery_current(), &text) {
            self.tracker.add_run_finding(not_written(&format!("{e}: {}", e.source)));
        }
    }
}

/// Returns the finding that other processes cannot see the progress.
pub(super) fn not_written(why: &str) -> Finding {
    let sentence = format!("Progress cannot be shown to other processes: {why}.");
    Finding::new(&catalogue::PROGRESS_NOT_WRITTEN, Object::Recovery, sentence)
}

/// Calls the observer until the run is closed; its last call has the last snapshot.
pub(super) fn show(observer: &Observer, tracker: &Tracker) {
    follow(tracker, SHOW_EVERY, |snapshot| observer(snapshot));
}

fn follow(tracker: &Tracker, every: Duration, mut act: impl FnMut(&Snapshot)) {
    let mut seen = Seen::default();
    let mut last = Instant::now();
    while let Some(snapshot) = tracker.wait(&mut seen, last, every) {
        act(&snapshot);
        last = Instant::now();
    }
}
