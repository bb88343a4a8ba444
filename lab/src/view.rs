//! The view of a state directory, without times and generated names.

use std::collections::{BTreeMap, BTreeSet};

use recovery::audit::{self, Entry};
use recovery::cleanup::{completed, list};
use recovery::durable::DiskError;
use recovery::locks::{FencingNumber, LockState, MetadataRead, read_metadata};
use recovery::losses::{Loss, Losses};
use recovery::queue::{Queue, entries_of, is_by_operator, operator_records};
use recovery::recovery::read_history;
use recovery::startup::history;
use recovery::state::StateDir;
use recovery::state::names::decode;
use recovery::webhooks::{DeliveryProgress, DeliveryState, Survey};

use crate::recovering::with_causes;

/// A job.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct SeenJob {
    pub(crate) id: String,
    pub(crate) status: String,
    pub(crate) attempt: u32,
    pub(crate) place: (u64, u32),
    pub(crate) exit_code: Option<i32>,
}

/// A lock.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct SeenLock {
    pub(crate) repository: String,
    pub(crate) lock_id: String,
    pub(crate) token: FencingNumber,
    pub(crate) is_held: bool,
}

/// A state directory, as its readers see it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct View {
    pub(crate) state_id: String,
    pub(crate) jobs: Vec<SeenJob>,
    /// The ids of the jobs that wait, in the order in which they would be started.
    pub(crate) line: Vec<String>,
    pub(crate) locks: Vec<SeenLock>,
    /// The objects of the audit trail's entries, except those about the queue's records.
    pub(crate) audit: Vec<String>,
    /// Operators' changes of the queue, each record once, by its number: from the queue's log, and from the
    /// trail, to which a checkpoint copies them before it drops a segment. Any recovery may find that a
    /// checkpoint is due, so it does not matter which of the two has it.
    pub(crate) done_to_queue: Vec<String>,
    /// The cleanups that are under way or over.
    pub(crate) cleanups: BTreeSet<String>,
    pub(crate) startups: Vec<String>,
    pub(crate) recoveries: Vec<String>,
    /// The objects that recovery could not restore, with the reason.
    pub(crate) degraded: Vec<(String, String)>,
    /// The list of losses.
    pub(crate) losses: Vec<Loss>,
    /// The state of each job's delivery.
    pub(crate) deliveries: Vec<(String, String)>,
}

impl View {
    /// Reads the state directory.
    pub(crate) fn of(dir: &StateDir, queue: &Queue) -> Result<View, String> {
        let state = queue.state();
        let jobs = state.jobs().map(|job| SeenJob {
            id: job.id.to_string(),
            status: job.status.as_str().to_owned(),
            attempt: job.attempt,
            place: (job.place.seq, job.place.index),
            exit_code: job.run_state().exit_code,
        });
        let mut jobs: Vec<SeenJob> = jobs.collect();
        jobs.sort();
        let (audit, done_to_queue) = acts(dir)?;
        Ok(View {
            state_id: dir.identity.state_id.to_string(),
            line: state.queued().map(|job| job.id.to_string()).collect(),
            jobs,
            locks: locks(dir),
            degraded: Vec::new(),
            losses: losses(dir)?,
            audit,
            done_to_queue,
            cleanups: cleanups(dir).map_err(|e| with_causes(&e))?,
            startups: history(dir).map_err(|e| with_causes(&e))?.into_iter().map(|e| e.startup_id).collect(),
            deliveries: deliveries(dir, queue)?,
            recoveries: read_history(dir)
                .map_err(|e| with_causes(&e))?
                .into_iter()
                .map(|e| e.recovery_id.to_string())
                .collect(),
        })
    }

    /// Each object, with its state.
    pub(crate) fn objects(&self) -> BTreeMap<String, String> {
        let jobs = self.jobs.iter().map(|j| {
            (
                format!("job {}", j.id),
                format!("{} in attempt {}, exit status {:?}", j.status, j.attempt, j.exit_code),
            )
        });
        let held = self.locks.iter().filter(|l| l.is_held);
        let locks = held.map(|l| (format!("lock of {}", l.repository), format!("held by {}", l.lock_id)));
        let audit = self.audit.iter().map(|object| (format!("audit of {object}"), "there".to_owned()));
        jobs.chain(locks).chain(audit).collect()
    }

    /// The part that is the same whether a crash was a kill or a power loss, and however often recovery ran.
    pub(crate) fn essence(&self) -> String {
        let held: Vec<_> = self.locks.iter().filter(|l| l.is_held).map(|l| &l.repository).collect();
        let (jobs, line, audit, done) = (&self.jobs, &self.line, &self.audit, &self.done_to_queue);
        format!("{jobs:?} {line:?} held {held:?} audit {audit:?} {done:?}")
    }
}

fn losses(dir: &StateDir) -> Result<Vec<Loss>, String> {
    let list = Losses::read(dir).map_err(|e| with_causes(&e))?;
    if let Some(why) = list.damaged {
        return Err(format!("the list of losses is damaged: {why}"));
    }
    Ok(list.losses)
}

fn cleanups(dir: &StateDir) -> Result<BTreeSet<String>, DiskError> {
    let under_way = list(dir)?.into_iter().map(|cleanup| cleanup.cleanup_id);
    Ok(under_way.chain(completed(dir)?.into_iter().map(|over| over.cleanup.cleanup_id)).collect())
}

/// Combines trail and log as `recoveryctl audit` does.
fn acts(dir: &StateDir) -> Result<(Vec<String>, Vec<String>), String> {
    let trail = audit::read(dir).map_err(|e| with_causes(&e))?;
    let log = operator_records(dir, is_by_operator).map_err(|e| with_causes(&e))?;
    let (of_queue, own): (Vec<Entry>, Vec<Entry>) =
        trail.entries.into_iter().map(|(_, entry)| entry).partition(|entry| entry.queue_seq.is_some());
    let of_log = log.iter().flat_map(|(seq, record)| entries_of(*seq, record));
    let once: BTreeSet<(Option<u64>, String)> = of_queue
        .into_iter()
        .chain(of_log)
        .map(|entry| (entry.queue_seq, format!("{} {}", entry.action, entry.object)))
        .collect();
    let done = once.into_iter().map(|(_, what)| what).collect();
    Ok((own.into_iter().map(|entry| entry.object.to_string()).collect(), done))
}

fn deliveries(dir: &StateDir, queue: &Queue) -> Result<Vec<(String, String)>, String> {
    let survey = Survey::take(dir, queue.state(), &[], &[]).map_err(|e| with_causes(&e))?;
    let standing = |progress: Option<&DeliveryProgress>| match progress.map(|c| c.standing) {
        None => "pending",
        Some(DeliveryState::InFlight { .. }) => "in_flight",
        Some(DeliveryState::Waiting { .. }) => "waiting",
        Some(DeliveryState::Parked { .. }) => "parked",
    };
    let with_callback = queue.state().jobs().filter(|j| j.spec().is_ok_and(|s| !s.callbacks.is_empty()));
    let stands = |id: &str| {
        let found =
            survey.undelivered.iter().find(|u| u.delivery.job_id().is_some_and(|j| j.to_string() == id));
        found.map_or("settled", |u| standing(u.progress.as_ref()))
    };
    Ok(with_callback
        .map(|job| job.id.to_string())
        .map(|id| (stands(&id).to_owned(), id))
        .map(|(s, id)| (id, s))
        .collect())
}

fn locks(dir: &StateDir) -> Vec<SeenLock> {
    let Ok(entries) = std::fs::read_dir(dir.paths.locks()) else { return Vec::new() };
    let mut found: Vec<SeenLock> = entries
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name();
            let repository = decode(name.to_str()?.strip_suffix(".lock.json")?)?;
            let MetadataRead::Whole(metadata) = read_metadata(&entry.path(), &repository) else {
                return None;
            };
            Some(SeenLock {
                is_held: metadata.state != LockState::Released,
                lock_id: metadata.lock_id,
                token: metadata.token,
                repository,
            })
        })
        .collect();
    found.sort();
    found
}
