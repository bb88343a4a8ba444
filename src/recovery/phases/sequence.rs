//! Assembles the phases, runs them, and reports the result.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock};

use tracing::{error, info, warn};

use super::losses::record_losses;
use super::shared::{Cleaning, Settings, Shared};
use crate::cleanup::CleanupSettings;
use crate::durable::{DiskError, error_chain};
use crate::findings::{Finding, Object, Severity, catalogue};
use crate::logging::events;
use crate::orphans::OrphanSettings;
use crate::queue::Queue;
use crate::recovery::{
    GraphError, Phase, PhaseContext, PhaseError, PhaseGraph, PhaseOutcome, RecoveryOutcome, RecoveryRecord,
    RunError, RunOptions, run,
};
use crate::startup::{StartupError, StartupOutcome, put_misplaced_away};
use crate::state::{StateDir, human};

/// A recovery of one state directory.
pub struct Recovery {
    shared: Arc<Shared>,
    graph: PhaseGraph,
}

type Act = fn(&Shared, &PhaseContext) -> Result<PhaseOutcome, PhaseError>;

impl Recovery {
    /// Makes the sequence for a state directory.
    pub fn new(dir: &StateDir, settings: Settings) -> Result<Recovery, GraphError> {
        let shared = Arc::new(Shared {
            dir: dir.clone(),
            settings,
            startup: Mutex::default(),
            retried: OnceLock::new(),
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
            phase("webhooks", "deliveries", super::webhooks::run).after(&["jobs"]),
            phase("cleanup", "cleanups", super::cleanup::run).after(&["locks", "jobs"]),
            phase("orphans", "kinds", super::orphans::run).after(&["cleanup"]),
        ])?;
        Ok(Recovery { shared, graph })
    }

    /// Makes the recovery work on its cleanups, with one try each.
    pub(crate) fn cleaning_now(self, settings: &CleanupSettings) -> Recovery {
        *Shared::lock(&self.shared.cleaning) = Cleaning::Now(Box::new(settings.clone()));
        self
    }

    /// Makes the recovery search for orphans with these settings.
    pub(crate) fn scanning(self, settings: &OrphanSettings) -> Recovery {
        *Shared::lock(&self.shared.scanning) = Some(settings.clone());
        self
    }

    /// Returns the phases and their dependencies.
    pub(crate) fn graph(&self) -> &PhaseGraph {
        &self.graph
    }

    /// Returns the names of the phases, in the order in which they were declared.
    pub(crate) fn phases(&self) -> Vec<&'static str> {
        self.graph.names()
    }

    /// Runs the sequence. Returns the queue, so that it need not be read again.
    ///
    /// # Errors
    /// When nothing was run; see [`RunError`].
    pub fn run(self, options: &RunOptions) -> Result<(RecoveryRecord, Option<Queue>), RunError> {
        // The value is set only once: a recovery runs once.
        let _ = self.shared.retried.set(options.only.clone());
        info!(
            event = events::RECOVERY_BEGAN,
            purpose = options.purpose,
            "a recovery begins, for {}",
            options.purpose
        );
        // This comes before anything is read: the first file may be one of them.
        let misplaced = put_misplaced_away(&self.shared.dir);
        let mut record = run(&self.shared.dir, &self.graph, options)?;
        record.snapshot.findings.extend(told(misplaced));
        let findings: Vec<Finding> = record.snapshot.all_findings().cloned().collect();
        let by = &self.shared.settings.jobs.actor.by;
        // An abandoned phase may still hold it.
        let queue = self.shared.queue.try_lock().ok();
        let end = queue.as_ref().and_then(|queue| Some(queue.as_ref()?.state().last_seq()));
        drop(queue);
        if let Err(e) = record_losses(&self.shared.dir, by, &findings, end) {
            record.snapshot.findings.push(not_recorded(&e));
        }
        if let Some(startup) = Shared::lock(&self.shared.startup).take() {
            let findings = record.snapshot.all_findings().count() as u64;
            if let Err(e) = startup.finish(startup_outcome(record.snapshot.outcome), findings) {
                // Everything is done, and an end that cannot be recorded does not undo it.
                record.snapshot.findings.push(not_ended(&e));
            }
        }
        let queue = self.shared.queue.try_lock().ok().and_then(|mut queue| queue.take());
        tell(&record);
        Ok((record, queue))
    }
}

/// Logs how the recovery ended, and a line for each finding.
fn tell(record: &RecoveryRecord) {
    for finding in record.snapshot.all_findings() {
        let (finding_code, object, sentence) =
            (&*finding.code, finding.object.to_string(), &finding.sentence);
        let job_id = match &finding.object {
            Object::Job(id) => Some(id.to_string()),
            _ => None,
        };
        match finding.severity {
            Severity::Info => {
                info!(
                    event = events::FINDING,
                    finding_code, object, job_id, "{finding_code}: {object}: {sentence}"
                );
            }
            Severity::Warning => {
                warn!(
                    event = events::FINDING,
                    finding_code, object, job_id, "{finding_code}: {object}: {sentence}"
                );
            }
            _ => error!(
                event = events::FINDING,
                finding_code, object, job_id, "{finding_code}: {object}: {sentence}"
            ),
        }
    }
    let outcome = record.snapshot.outcome.word();
    let findings = record.snapshot.all_findings().count();
    info!(
        event = events::RECOVERY_ENDED,
        outcome,
        findings,
        "the recovery {outcome}, with {}",
        human::count(findings, "finding")
    );
}

fn not_recorded(error: &PhaseError) -> Finding {
    Finding::new(&catalogue::RECOVERY_NOT_RECORDED, Object::Losses, error_chain(error))
}

/// Reports the files that were moved; a failure to move them does not prevent the recovery.
fn told(misplaced: Result<Vec<PathBuf>, DiskError>) -> Vec<Finding> {
    let file = |path: &Path| Object::file(path);
    match misplaced {
        Ok(moved) => {
            let sentence = "something else had its name, and is in quarantine now";
            moved.iter().map(|path| Finding::new(&catalogue::NO_STATE_FILE, file(path), sentence)).collect()
        }
        Err(e) => {
            let sentence = format!("{e}: {}", e.source);
            vec![Finding::new(&catalogue::LEFTOVERS_NOT_REMOVED, file(&e.path), sentence)]
        }
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
    if name != "startup" {
        shared
            .startup_in(name, context.recovery_id())
            .map_err(|e| PhaseError::failed("write the startup's marker", e))?;
    }
    let outcome = act(shared, context)?;
    if let Some(startup) = shared.startup() {
        startup.done(name);
    }
    Ok(outcome)
}

fn not_ended(error: &StartupError) -> Finding {
    let sentence = format!("the next startup will call this one aborted: {}", error.in_one_line());
    match error.refused_change() {
        Some(_) => Finding::new(&catalogue::DISK_NOT_WRITABLE, Object::Disk, sentence),
        None => Finding::new(&catalogue::RECOVERY_NOT_RECORDED, Object::Startups, sentence),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::durable::Disk;
    use crate::jobs::RecoverSettings;
    use crate::queue::Actor;
    use crate::startup::StartedBy;
    use crate::state::Clock;

    /// If both ran in parallel, the lock that `jobs` holds on a dead job's sentinel would be taken for a
    /// supervisor's.
    #[test]
    fn graph_locks_after_jobs() {
        let folder = tempfile::tempdir().unwrap();
        let dir =
            StateDir::open_or_create(&folder.path().join("state"), Disk::real(), Clock::system()).unwrap();
        let jobs = RecoverSettings::new(Actor::default());
        let settings = Settings {
            by: StartedBy::Recover,
            jobs,
            write_records: true,
            webhooks: crate::webhooks::Settings::default(),
        };
        let (record, queue) = Recovery::new(&dir, settings).unwrap().run(&RunOptions::default()).unwrap();
        assert_eq!(record.snapshot.outcome, RecoveryOutcome::Completed);
        assert_eq!(record.snapshot.phase("locks").unwrap().depends_on, ["queue", "jobs"]);
        assert!(queue.is_some());
    }
}
