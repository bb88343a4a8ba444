//! Controls a run: cancel, skip, retry now. Phases check flags, and waiting threads use a condition variable.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use super::phase_outcome::Interrupted;

/// How often flags are checked that come without a notification (those of a signal handler).
pub(super) const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Asks a recovery to end at its next safe point. Clones share one flag, which is never reset.
#[derive(Debug, Clone, Default)]
pub struct Cancel(Arc<AtomicBool>);

impl Cancel {
    /// Makes a flag that is not set.
    pub fn new() -> Cancel {
        Cancel::default()
    }

    /// Sets the flag.
    pub fn cancel(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    /// Whether the flag is set.
    pub(crate) fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

#[derive(Debug, Default)]
struct PhaseFlags {
    skip: AtomicBool,
    /// Who asked for the skip, and why; set before the flag.
    asked: OnceLock<String>,
    try_at_once: AtomicBool,
}

/// Why a wait for the next try ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Woken {
    /// The pause is over, or a retry was requested.
    TryAgain,
    /// The phase or the whole run is to end.
    Interrupted(Interrupted),
    /// A critical phase failed: there are no further tries.
    Stopped,
}

/// The flags of one run.
#[derive(Debug)]
pub(super) struct Control {
    cancel: Cancel,
    stop: AtomicBool,
    phases: Vec<PhaseFlags>,
    bell: Condvar,
    lock: Mutex<()>,
}

impl Control {
    pub(super) fn new(cancel: Cancel, phases: usize) -> Control {
        Control {
            cancel,
            stop: AtomicBool::new(false),
            phases: (0..phases).map(|_| PhaseFlags::default()).collect(),
            bell: Condvar::new(),
            lock: Mutex::new(()),
        }
    }

    pub(super) fn is_cancelled(&self) -> bool {
        self.cancel.is_cancelled()
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::SeqCst)
    }

    pub(super) fn is_skipped(&self, phase: usize) -> bool {
        self.phases[phase].skip.load(Ordering::SeqCst)
    }

    /// Asks to skip a phase. When several ask, the first is remembered.
    pub(super) fn skip(&self, phase: usize, asked: String) {
        // The first request stays.
        let _ = self.phases[phase].asked.set(asked);
        self.raise(&self.phases[phase].skip);
    }

    /// Returns who asked to skip a phase, and why.
    pub(super) fn asked(&self, phase: usize) -> Option<&str> {
        self.phases[phase].asked.get().map(String::as_str)
    }

    pub(super) fn try_at_once(&self, phase: usize) {
        self.raise(&self.phases[phase].try_at_once);
    }

    pub(super) fn stop(&self) {
        self.raise(&self.stop);
    }

    /// Sets a flag under the lock, so that no thread misses the notification between its check and falling
    /// asleep.
    fn raise(&self, flag: &AtomicBool) {
        let _guard = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        flag.store(true, Ordering::SeqCst);
        self.bell.notify_all();
    }

    /// The safe point of a phase: returns an error when the phase is to stop.
    pub(super) fn check(&self, phase: usize) -> Result<(), Interrupted> {
        if self.is_cancelled() {
            return Err(Interrupted::Cancelled);
        }
        if self.is_skipped(phase) {
            return Err(Interrupted::Skipped);
        }
        Ok(())
    }

    /// Waits for the next try of a phase.
    pub(super) fn pause(&self, phase: usize, pause: Duration) -> Woken {
        let until = Instant::now() + pause;
        let mut guard = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Err(why) = self.check(phase) {
                return Woken::Interrupted(why);
            }
            if self.is_stopped() {
                return Woken::Stopped;
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() || self.phases[phase].try_at_once.swap(false, Ordering::SeqCst) {
                return Woken::TryAgain;
            }
            let turn = self.bell.wait_timeout(guard, left.min(LOOK_EVERY));
            guard = turn.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}
