//! Turns a copy into a state directory of its own.
//!
//! The process may be killed after any step: until the identity is written, the directory is a copy, is only
//! read, and can be adopted again. First, everything that the original continues is ended here: its running
//! jobs are crashed, its locks are given back, its undelivered callbacks wait for an operator. Then the logs
//! and the snapshots get the new id, and last the identity does. Before all that, a copy that consists of
//! hard links gets files of its own: what is written in place would change in the original, too.
//!
//! The new id is made from the old one and the folder, so that a second try makes the same id. It is noted in
//! `place.json` first: files that an interrupted try gave the new id get the old one back before the next try
//! begins.

use std::collections::BTreeSet;
use std::path::PathBuf;

use uuid::Uuid;

use crate::durable::log::{LogError, reassign};
use crate::durable::{DiskError, IoContext};
use crate::locks::{self, JobLiveness, LockState, lock_names, read_metadata};
use crate::queue::{Actor, AfterCrash, AttemptOutcome, Claim, End, Job, JobId, Operation, Queue, QueueError};
use crate::recovery::recovery_ends;
use crate::state::{StateDir, StateError};
use crate::webhooks::{DeliveryLogError, Endpoint, hold_for_another};

/// The reason of the end of a job that ran in the original.
const COPIED: &str = "copied: it runs, or ran, in the state directory that this one was a copy of";

/// Why a copy was not adopted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AdoptError {
    /// The directory is not a copy.
    #[error("{} is no copy: it is the state directory that is recorded in it", path.display())]
    NotACopy { path: PathBuf },
    /// The identity could not be written.
    #[error(transparent)]
    State(#[from] StateError),
    #[error(transparent)]
    Queue(#[from] QueueError),
    /// The delivery log could not be used.
    #[error(transparent)]
    Deliveries(#[from] DeliveryLogError),
    /// Another log could not be used.
    #[error(transparent)]
    Log(#[from] LogError),
    #[error(transparent)]
    Disk(#[from] DiskError),
}

/// What was done.
#[derive(Debug, Clone, Default)]
pub struct Adoption {
    /// Jobs that ran in the original, and are crashed here.
    pub crashed: Vec<JobId>,
    /// Repositories whose locks were given back here; holders of the original hold them there.
    pub released: Vec<String>,
    /// Deliveries that wait for an operator.
    pub held: usize,
}

/// Adopts a copy, which is a state directory of its own afterwards. With `dry_run` it only says what would be
/// done.
///
/// # Errors
/// [`AdoptError::NotACopy`], or the system's error; after the latter it can be tried again.
pub fn adopt_as_new(
    copy: &StateDir,
    endpoints: &[Endpoint],
    actor: &Actor,
    dry_run: bool,
) -> Result<(StateDir, Adoption), AdoptError> {
    let Some(mut dir) = copy.to_be_adopted() else {
        return Err(AdoptError::NotACopy { path: copy.paths.root().to_owned() });
    };
    if dry_run {
        let queue = Queue::open_to_look(copy)?;
        let crashed = queue.state().running().map(|job| job.id.clone()).collect();
        let released = held(copy).into_iter().collect();
        return Ok((copy.clone(), Adoption { crashed, released, held: 0 }));
    }
    let _adopting = dir.lock_identity()?;
    // Another process may have adopted the copy while this one waited: its logs then have another id.
    if !dir.is_unchanged()? {
        return Err(AdoptError::NotACopy { path: copy.paths.root().to_owned() });
    }
    dir.unshare_files()?;
    let (id, tried) = dir.begin_adoption()?;
    let original = dir.identity.state_id;
    for before in tried {
        reassign_all(&dir, before, original)?;
    }
    let mut queue = Queue::open(&dir)?;
    let crashed = end_running(&mut queue, actor)?;
    let released = release(&dir, actor);
    let held = hold_for_another(&dir, id, queue.state(), endpoints, &recovery_ends(&dir))?;
    drop(queue);
    reassign_all(&dir, original, id)?;
    dir.become_another(id)?;
    Ok((dir, Adoption { crashed, released, held }))
}

fn end_running(queue: &mut Queue, actor: &Actor) -> Result<Vec<JobId>, QueueError> {
    let (_, crashed) = queue.transact(actor, |state| {
        let running: Vec<&Job> = state.running().collect();
        let ends = running.iter().map(|job| Operation::End(copied(job))).collect();
        (ends, running.iter().map(|job| job.id.clone()).collect())
    })?;
    Ok(crashed)
}

fn copied(job: &Job) -> End {
    End {
        job: job.id.clone(),
        attempt: job.attempt,
        claim: job.run_state().claim.unwrap_or_default(),
        outcome: AttemptOutcome::Crashed,
        exit_code: None,
        signal: None,
        ended_at: None,
        reason: Some(COPIED.to_owned()),
        after_crash: Some(AfterCrash::Hold),
        started_at: None,
        ended_by: None,
        by_itself: false,
        evidence: Vec::new(),
    }
}

/// Returns the repositories whose metadata says that somebody has the lock.
fn held(dir: &StateDir) -> BTreeSet<String> {
    let is_held = |name: &String| {
        let metadata = dir.paths.lock(name).ok().map(|paths| read_metadata(&paths.metadata, name));
        metadata.as_ref().and_then(|m| m.whole()).is_some_and(|m| m.state != LockState::Released)
    };
    lock_names(dir).filter(is_held).collect()
}

/// Gives the locks back: their holders hold them in the original. Damaged metadata is left to `repair locks`.
fn release(dir: &StateDir, actor: &Actor) -> Vec<String> {
    let actor = Actor { why: Some("it is held in the original".to_owned()), ..actor.clone() };
    let over = |_: &JobId, _: Claim| JobLiveness::Over;
    let given_back =
        held(dir).into_iter().filter(|name| locks::release(dir, name, None, true, &actor, &over).is_ok());
    given_back.collect()
}

/// Changes the id in the segments of all logs, and in the snapshots.
fn reassign_all(dir: &StateDir, from: Uuid, to: Uuid) -> Result<(), DiskError> {
    let paths = &dir.paths;
    let folders = std::iter::once(paths.queue()).chain(paths.logs());
    let (from, to) = (from.to_string(), to.to_string());
    for folder in folders {
        let entries = match std::fs::read_dir(&folder) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => continue,
            entries => entries.and_then(Iterator::collect::<Result<Vec<_>, _>>).context("list", &folder)?,
        };
        for path in entries.iter().map(std::fs::DirEntry::path) {
            if path.extension().is_some_and(|e| e == "log") && path.is_file() {
                reassign(&dir.disk, &path, &from, &to)?;
            }
        }
    }
    Ok(())
}
