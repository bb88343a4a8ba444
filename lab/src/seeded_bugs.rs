//! Faults of the library that are switched on to see whether the laboratory notices them.
//!
//! A fault is on in a whole process. A played process has one for its whole life; the laboratory's own
//! process, in which several threads recover disks, takes turns.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use recovery::durable::seeded_bug::{self, SeededBug};

use crate::Error;

/// Turns a fault on for the life of this process; an empty name means none.
pub(crate) fn switch_on(name: &str) -> Result<(), Error> {
    seeded_bug::switch_on(find(name)?);
    Ok(())
}

fn find(name: &str) -> Result<Option<SeededBug>, Error> {
    if name.is_empty() {
        return Ok(None);
    }
    if cfg!(not(debug_assertions)) {
        return Err(
            "a laboratory that is built for release has no seeded bugs: run it without --release".into()
        );
    }
    let found = SeededBug::ALL.iter().copied().find(|m| m.name() == name);
    Ok(Some(found.ok_or_else(|| format!("no such seeded bug: {name}"))?))
}

/// The present fault in this process, and the threads working with it.
struct Turns {
    fault: Option<SeededBug>,
    at_work: usize,
}

static TURNS: Mutex<Turns> = Mutex::new(Turns { fault: None, at_work: 0 });
static TURN_OVER: Condvar = Condvar::new();

fn turns() -> MutexGuard<'static, Turns> {
    TURNS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A turn in which a fault, or none, is on; it ends when this is dropped.
#[derive(Debug)]
#[must_use = "the fault is on for as long as this lives"]
pub(crate) struct Turn(());

impl Turn {
    /// Waits until no thread in this process works with another fault, and switches this one on; an empty
    /// name is for work without any.
    pub(crate) fn with(name: &str) -> Result<Turn, Error> {
        let fault = find(name)?;
        let is_others = |turns: &mut Turns| turns.at_work > 0 && turns.fault != fault;
        let mut turns = TURN_OVER.wait_while(turns(), is_others).unwrap_or_else(PoisonError::into_inner);
        turns.fault = fault;
        turns.at_work += 1;
        seeded_bug::switch_on(fault);
        Ok(Turn(()))
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut turns = turns();
        turns.at_work -= 1;
        if turns.at_work == 0 {
            seeded_bug::switch_on(None);
            TURN_OVER.notify_all();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;
    use std::time::Duration;

    use super::*;

    #[test]
    fn work_with_another_fault_waits_and_work_with_the_same_does_not() {
        let first = Turn::with("").unwrap();
        let second = Turn::with("").unwrap();
        let (sender, receiver) = channel();
        let other = std::thread::spawn(move || {
            let turn = Turn::with("KeepTornTail").unwrap();
            sender.send(()).unwrap();
            drop(turn);
        });
        drop(first);
        assert!(receiver.recv_timeout(Duration::from_millis(50)).is_err(), "it did not wait for the second");
        drop(second);
        receiver.recv_timeout(Duration::from_secs(60)).unwrap();
        other.join().unwrap();
        assert!(Turn::with("NoSuchFault").is_err());
    }
}
