//! The end of a daemon: it starts no more jobs, gives running jobs the configured time, and leaves the rest
//! to their supervisors; where all processes end with the daemon, it interrupts them in order.

use std::time::{Duration, Instant};

use super::scheduler::{Scheduler, WorkError};

/// How a daemon ends.
pub struct Ending {
    /// Called while running jobs are waited for: whether to wait no longer.
    pub at_once: Box<dyn Fn() -> bool>,
    /// Called in every round while running jobs are waited for, with their number and the time that is left.
    pub waits: Box<dyn Fn(usize, Duration)>,
    /// Whether everything here ends with this process, or is ending: it is the first process of a container,
    /// or the machine goes down. Then running jobs are interrupted, and have time to save their progress.
    pub takes_all: Box<dyn Fn() -> bool>,
}

impl Default for Ending {
    fn default() -> Ending {
        Ending { at_once: Box::new(|| false), waits: Box::new(|_, _| ()), takes_all: Box::new(|| false) }
    }
}

/// The time for recording the ends, in addition to the time between SIGTERM and SIGKILL.
const RECORDING: Duration = Duration::from_secs(5);

/// Winds down: see the module.
pub(super) fn wind_down(
    scheduler: &mut Scheduler,
    drain_timeout: Duration,
    ending: &Ending,
) -> Result<(), WorkError> {
    scheduler.start_no_more();
    if scheduler.count_running() == 0 {
        return Ok(());
    }
    wait_for_jobs(scheduler, drain_timeout, ending)?;
    if scheduler.count_running() > 0 && (ending.takes_all)() {
        let grace = scheduler.interrupt_jobs();
        wait_for_jobs(scheduler, grace + RECORDING, ending)?;
    }
    Ok(())
}

fn wait_for_jobs(scheduler: &mut Scheduler, longest: Duration, ending: &Ending) -> Result<(), WorkError> {
    let begun = Instant::now();
    loop {
        let (running, left) = (scheduler.count_running(), longest.saturating_sub(begun.elapsed()));
        if running == 0 || left.is_zero() || (ending.at_once)() {
            return Ok(());
        }
        (ending.waits)(running, left);
        scheduler.round()?;
    }
}
