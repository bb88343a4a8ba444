//! Restarts the daemon's loops after a panic, with growing pauses, and counts the restarts in the daemon's
//! file, by which others see them (`daemon-loop-restarted`).

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use super::info::DaemonInfo;
use crate::logging::{Repeats, events};
use crate::state::StateDir;
use tracing::error;

/// The longest pause before a loop that panicked is begun again.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// How often a loop panicked.
pub(super) struct Restarts<'a> {
    dir: &'a StateDir,
    info: RefCell<DaemonInfo>,
    /// How often loops panicked since the number was last written; loops in other threads count here too.
    pub(super) beside: Arc<AtomicU32>,
    trouble: Repeats,
}

impl<'a> Restarts<'a> {
    pub(super) fn new(dir: &'a StateDir, info: DaemonInfo) -> Restarts<'a> {
        let trouble = Repeats::new("it cannot be written down that a loop broke off");
        Restarts { dir, info: RefCell::new(info), beside: Arc::default(), trouble }
    }

    /// Counts a panic of the main loop, and waits.
    pub(super) fn one_more(&self, stop: &dyn Fn() -> bool) {
        error!(
            event = events::LOOP_RESTARTED,
            "the loop that starts jobs broke off by a fault, and is begun again"
        );
        self.beside.fetch_add(1, Ordering::SeqCst);
        self.write_down();
        pause(self.info.borrow().loop_restarts, stop);
    }

    /// Writes the number, when it has changed.
    pub(super) fn write_down(&self) {
        let new = self.beside.swap(0, Ordering::SeqCst);
        if new > 0 {
            let mut info = self.info.borrow_mut();
            info.loop_restarts += new;
            // The disk may refuse; jobs are started all the same.
            self.trouble.note(info.write(self.dir));
        }
    }
}

/// Runs a loop that has a thread to itself until the loop ends, and again after each panic.
pub(super) fn kept_going(broke_off: &AtomicU32, stop: &dyn Fn() -> bool, run: &mut dyn FnMut()) {
    let mut times = 0;
    while catch_unwind(AssertUnwindSafe(&mut *run)).is_err() && !stop() {
        times += 1;
        let thread = std::thread::current().name().unwrap_or("a thread").to_owned();
        error!(
            event = events::LOOP_RESTARTED,
            thread, times, "the loop of '{thread}' broke off by a fault, and is begun again"
        );
        broke_off.fetch_add(1, Ordering::SeqCst);
        pause(times, stop);
    }
}

fn pause(times: u32, stop: &dyn Fn() -> bool) {
    let pause = Duration::from_millis(100) * 2u32.saturating_pow(times.min(10));
    let until = Instant::now() + pause.min(LONGEST_PAUSE);
    while Instant::now() < until && !stop() {
        std::thread::park_timeout(Duration::from_millis(50));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn panicked_loop_is_restarted_and_counted() {
        let (broke_off, mut runs) = (AtomicU32::new(0), 0);
        kept_going(&broke_off, &|| false, &mut || {
            runs += 1;
            assert!(runs > 2, "as a fault would");
        });
        assert_eq!((runs, broke_off.load(Ordering::SeqCst)), (3, 2));
        // It is not begun again when it is to stop.
        kept_going(&broke_off, &|| true, &mut || panic!("as a fault would"));
        assert_eq!(broke_off.load(Ordering::SeqCst), 2);
    }
}
