//! Work that can be cancelled, while the front end is asked whether it is to be.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::Thread;
use std::time::Duration;

use super::context::Interrupt;
use crate::recovery::Cancel;

/// How often the front end is asked.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Runs `act` while a thread hands a request to end on to `cancel`.
pub fn cancellable<T>(interrupt: &dyn Interrupt, cancel: &Cancel, act: impl FnOnce() -> T) -> T {
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        // Without a thread a recovery cannot be cancelled; all else looks for the signal itself.
        let watching = std::thread::Builder::new().spawn_scoped(scope, || {
            while !over.load(Ordering::Acquire) {
                if interrupt.requested().is_some() || interrupt.is_in_vain() {
                    cancel.cancel();
                }
                std::thread::park_timeout(LOOK_EVERY);
            }
        });
        // Also when `act` panics: the scope waits for the thread.
        let _over = RaiseAtTheEnd(&over, watching.ok().map(|watching| watching.thread().clone()));
        act()
    })
}

struct RaiseAtTheEnd<'a>(&'a AtomicBool, Option<Thread>);

impl Drop for RaiseAtTheEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
        self.1.iter().for_each(Thread::unpark);
    }
}
