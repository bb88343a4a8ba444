//! The daemon's scans for orphans, at intervals: a new plan, and the limits of trash and archives. Nothing
//! outside of the trash is removed.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::config::DaemonConfig;
use crate::archive;
use crate::durable::error_chain;
use crate::jobs::FreshnessLimits;
use crate::logging::{Repeats, events};
use crate::orphans::{OrphanSettings, ScanContext, empty_trash, rescan};
use crate::queue::Queue;
use crate::recovery::JobHolders;
use crate::state::StateDir;
use crate::system::ClockWatch;
use tracing::debug;

/// How long it may take until new settings are seen.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// The settings of the scans, which may change.
pub(super) struct Scanning(Mutex<(OrphanSettings, FreshnessLimits)>);

impl Scanning {
    pub(super) fn new(config: &DaemonConfig) -> Scanning {
        Scanning(Mutex::new((config.orphans.clone(), config.recovery.jobs.limits)))
    }

    /// Uses other settings from the next scan on.
    pub(super) fn take_over(&self, config: &DaemonConfig) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) =
            (config.orphans.clone(), config.recovery.jobs.limits);
    }
}

/// Scans until `over`, first one interval after the recovery, which has scanned. A failure (the disk, another
/// scan at work) is tried again at the next time. After the clock was set forward ages are uncertain: then it
/// does not scan for a day, unless the clock is set back.
pub(super) fn scan_at_intervals(dir: &StateDir, scanning: &Scanning, over: &AtomicBool) {
    let (mut last, mut clock) = (Instant::now(), ClockWatch::default());
    let trouble = Repeats::new("orphans cannot be looked for");
    while !over.load(Ordering::Relaxed) {
        let (settings, limits) = scanning.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let every = settings.scan_every;
        let is_jumped = clock.ahead(&dir.clock).is_some();
        if !every.is_zero() && last.elapsed() >= every && !is_jumped {
            match look(dir, &settings, limits) {
                Ok(()) => {
                    trouble.worked();
                    debug!(event = events::ORPHANS_SCANNED, "orphans were looked for");
                }
                Err(e) => trouble.failed(&error_chain(&*e)),
            }
            last = Instant::now();
        }
        std::thread::park_timeout(LOOK_EVERY);
    }
}

fn look(
    dir: &StateDir,
    settings: &OrphanSettings,
    limits: FreshnessLimits,
) -> Result<(), Box<dyn std::error::Error>> {
    let queue = Queue::open_to_look(dir)?;
    let holders = JobHolders::new(dir, limits);
    let world = ScanContext::look(dir, settings, &queue)?;
    rescan(&world, &|id, claim| holders.liveness(id, claim))?;
    empty_trash(dir, settings, &[])?;
    archive::prune(dir, settings.archives, &settings.actor)?;
    Ok(())
}
