//! Jobs that have lost their supervisor: watched until they end, or ended, by policy.
//!
//! Nobody but the dead supervisor enforced a job's time limit and its cancellation; whoever adopts the
//! job does. Ending one takes as long as it may take to end by itself, so that is done by a thread.

use std::collections::HashMap;
use std::thread::JoinHandle;
use std::time::Duration;

use crate::jobs::{OnOrphan, OrphanEnd, RecoverSettings, end_orphan};
use crate::queue::{Job, JobId, Queue};
use crate::state::StateDir;

/// The orphans that are being ended.
#[derive(Debug, Default)]
pub(super) struct Orphans {
    ending: HashMap<JobId, JoinHandle<()>>,
}

impl Orphans {
    /// Ends the job if policy, time limit or a cancellation ask for that.
    pub(super) fn see_to(&mut self, dir: &StateDir, job: &Job, settings: &RecoverSettings) {
        self.ending.retain(|_, thread| !thread.is_finished());
        let Some(why) = reason_to_end(dir, job, settings) else { return };
        if self.ending.contains_key(&job.id) {
            return;
        }
        let (dir, own, settings) = (dir.clone(), job.clone(), settings.clone());
        let thread = std::thread::Builder::new().name("end-orphan".to_owned()).spawn(move || {
            // What could not be ended, or recorded, is seen at the next look.
            if let Ok(mut queue) = Queue::open(&dir) {
                let _ = end_orphan(&dir, &mut queue, &own, why, &settings);
            }
        });
        if let Ok(thread) = thread {
            self.ending.insert(job.id.clone(), thread);
        }
    }
}

fn reason_to_end(dir: &StateDir, job: &Job, settings: &RecoverSettings) -> Option<OrphanEnd> {
    match () {
        () if job.course().cancel_requested => Some(OrphanEnd::Cancelled),
        () if time_left(dir, job).is_some_and(|left| left.is_zero()) => Some(OrphanEnd::TimedOut),
        () if settings.on_orphan == OnOrphan::End => Some(OrphanEnd::Policy),
        () => None,
    }
}

/// What is left of the job's time limit, by the time of its claim; `None` when it has none.
pub(super) fn time_left(dir: &StateDir, job: &Job) -> Option<Duration> {
    let limit = i64::try_from(job.spec().ok()?.timeout_ms?).ok()?;
    let used = dir.clock.now().millis_since(job.course().started_at?);
    Some(Duration::from_millis(u64::try_from(limit - used).unwrap_or(0)))
}
