//! Assembles the phases around what they hand on to one another.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::cleanup::CleanupSettings;
use crate::jobs::RecoverSettings;
use crate::orphans::OrphanSettings;
use crate::queue::Queue;
use crate::recovery::{
    GraphError, Phase, PhaseContext, PhaseError, PhaseGraph, PhaseOutcome, RecoveryOutcome, RecoveryRecord,
    RunError, RunOptions, run,
};
use crate::report::{Finding, catalogue};
use crate::startup::{StartedBy, Startup, StartupOutcome, put_misplaced_away};
use crate::state::StateDir;

/// How a state directory is to be recovered.
#[derive(Debug, Clone)]
pub struct Settings {
    /// What starts: a daemon, `recover`, `work`.
    pub by: StartedBy,
    /// Who appears in the queue's records, and by which limits jobs are judged.
    pub jobs: RecoverSettings,
    /// Whether job records are written while recovering; a daemon does that once it is ready.
    pub write_records: bool,
}

/// What the phases hand on to one another.
pub(super) struct Shared {
    pub(super) dir: StateDir,
    pub(super) settings: Settings,
    pub(super) startup: Mutex<Option<Startup>>,
    pub(super) queue: Mutex<Option<Queue>>,
    pub(super) cleaning: Mutex<Cleaning>,
    /// How orphans are looked for; without an engine when nobody says.
    pub(super) scanning: Mutex<Option<OrphanSettings>>,
}

/// What the phase `cleanup` does.
#[derive(Debug, Clone, Default)]
pub(super) enum Cleaning {
    /// Cleanups are entered, for somebody else to work on: a daemon does when it is ready.
    #[default]
    Later,
    /// Cleanups are done, once each.
    Now(CleanupSettings),
}

impl Shared {
    pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
        mutex.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The queue that the phase `queue` has opened.
    pub(super) fn with_queue<T>(
        &self,
        act: impl FnOnce(&mut Queue) -> Result<T, PhaseError>,
    ) -> Result<T, PhaseError> {
        match Shared::lock(&self.queue).as_mut() {
            Some(queue) => act(queue),
            None => {
                // The phase was skipped: read it all the same, for the others rest on it.
                let mut queue =
                    Queue::open(&self.dir).map_err(|e| PhaseError::failed("read the queue", e))?;
                act(&mut queue)
            }
        }
    }
}

/// A recovery of one state directory.
pub struct Recovery {
    shared: Arc<Shared>,
    graph: PhaseGraph,
}

type Act = fn(&Shared, &PhaseContext) -> Result<PhaseOutcome, PhaseError>;

impl Recovery {
    /// The sequence for a state directory.
    ///
    /// # Errors
    /// When the declared dependencies make no order.
    pub fn new(dir: &StateDir, settings: Settings) -> Result<Recovery, GraphError> {
        let shared = Arc::new(Shared {
            dir: dir.clone(),
            settings,
            startup: Mutex::default(),
            queue: Mutex::default(),
            cleaning: Mutex::default(),
            scanning: Mutex::default(),
        });
        let phase = |name, unit, act: Act| {
            let shared = shared.clone();
            Phase::new(name, unit, move |context| named(&shared, name, context, act))
        };
        let graph = PhaseGraph::new(vec![
            phase("startup", "folders", super::startup::run),
            phase("queue", "records", super::queue::run).after(&["startup"]).critical(),
            phase("jobs", "jobs", super::jobs::run).after(&["queue"]).critical(),
            phase("locks", "locks", super::locks::run).after(&["queue", "jobs"]),
            phase("cleanup", "cleanups", super::cleanup::run).after(&["locks", "jobs"]),
            phase("orphans", "kinds", super::orphans::run).after(&["cleanup"]),
        ])?;
        Ok(Recovery { shared, graph })
    }

    /// The same; its cleanups are worked on once, one try each.
    #[must_use]
    pub fn cleaning_now(self, settings: &CleanupSettings) -> Recovery {
        *Shared::lock(&self.shared.cleaning) = Cleaning::Now(settings.clone());
        self
    }

    /// The same; orphans are looked for with these settings.
    #[must_use]
    pub fn scanning(self, settings: &OrphanSettings) -> Recovery {
        *Shared::lock(&self.shared.scanning) = Some(settings.clone());
        self
    }

    /// The names of the phases, in the order in which they were declared.
    #[must_use]
    pub fn phases(&self) -> Vec<&'static str> {
        self.graph.names()
    }

    /// Runs the sequence. The queue is handed on, so that nobody has to read it again.
    ///
    /// # Errors
    /// When nothing was run; see [`RunError`].
    pub fn run(self, options: &RunOptions) -> Result<(RecoveryRecord, Option<Queue>), RunError> {
        // Before anything is read: the first file may be one of them.
        let misplaced = put_misplaced_away(&self.shared.dir)?;
        let mut record = run(&self.shared.dir, &self.graph, options)?;
        record.snapshot.findings.extend(misplaced.iter().map(|path| {
            let sentence = "what had its name is no file, and is in quarantine now".to_owned();
            Finding::new(&catalogue::NO_STATE_FILE, format!("file:{}", path.display()), sentence)
        }));
        if let Some(startup) = Shared::lock(&self.shared.startup).take() {
            let findings = record.snapshot.all_findings().count() as u64;
            // All is done: that it cannot be written down does not undo it.
            if let Err(e) = startup.finish(startup_outcome(record.snapshot.outcome), findings) {
                let sentence = format!("the next startup will call this one aborted: {e}: {}", e.source);
                record.snapshot.findings.push(Finding::new(&catalogue::DISK_NOT_WRITABLE, "disk", sentence));
            }
        }
        let queue = Shared::lock(&self.shared.queue).take();
        Ok((record, queue))
    }
}

fn startup_outcome(outcome: RecoveryOutcome) -> StartupOutcome {
    match outcome {
        RecoveryOutcome::Completed => StartupOutcome::Completed,
        RecoveryOutcome::Degraded => StartupOutcome::Degraded,
        RecoveryOutcome::Aborted => StartupOutcome::Aborted,
        _ => StartupOutcome::Failed,
    }
}

/// Runs a phase between the two lines of the startup's marker that name it.
fn named(
    shared: &Shared,
    name: &'static str,
    context: &PhaseContext,
    act: Act,
) -> Result<PhaseOutcome, PhaseError> {
    let marked = |e| PhaseError::failed("write the startup's marker", e);
    if name != "startup"
        && let Some(startup) = Shared::lock(&shared.startup).as_ref()
    {
        startup.enter(name).map_err(marked)?;
    }
    let outcome = act(shared, context)?;
    if let Some(startup) = Shared::lock(&shared.startup).as_ref() {
        startup.done(name);
    }
    Ok(outcome)
}

/// What a recovery's record says of the queue; `None` when it says nothing.
#[must_use]
pub fn recover_queue_of(record: &RecoveryRecord) -> Option<crate::queue::Recovered> {
    serde_json::from_value(record.details.get("queue")?.clone()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::durable::Disk;
    use crate::queue::Actor;
    use crate::state::Clock;

    /// Side by side, the lock that `jobs` holds on a dead job's sentinel would pass for a supervisor's.
    #[test]
    fn locks_are_judged_when_the_jobs_are_settled() {
        let folder = tempfile::tempdir().unwrap();
        let dir =
            StateDir::open_or_create(&folder.path().join("state"), Disk::real(), Clock::system()).unwrap();
        let jobs = RecoverSettings::new(Actor::default());
        let settings = Settings { by: StartedBy::Recover, jobs, write_records: true };
        let (record, queue) = Recovery::new(&dir, settings).unwrap().run(&RunOptions::default()).unwrap();
        assert_eq!(record.snapshot.outcome, RecoveryOutcome::Completed);
        assert_eq!(record.snapshot.phase("locks").unwrap().depends_on, ["queue", "jobs"]);
        assert!(queue.is_some());
    }
}
