//! Refuses every effect of every operation once, and every effect from one on, with each error that a disk
//! gives. The errors are injected at the seam, so that each effect is hit exactly.

use std::collections::BTreeMap;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use recovery::durable::{Disk, Effect, Observer};
use recovery::locks;
use recovery::queue::{
    Actor, CheckedRequest, CrashPolicy, JobRequest, Operation, Queue, RequestDefaults, Submitter,
};
use recovery::state::{Clock, StateDir};

use crate::kill;
use crate::recovering::{sequence, with_causes};
use crate::{Sandbox, Seed, Tally};

/// Errors of a disk: EIO, ENOSPC, EROFS, EMFILE, EACCES.
const ERRORS: [i32; 5] = [5, 28, 30, 24, 13];

/// The effects that are refused.
#[derive(Debug, Clone, Copy)]
struct Refusal {
    errno: i32,
    number: u64,
    /// Whether all effects that follow are refused too: the disk is gone.
    for_good: bool,
}

struct Refusing {
    refusal: Option<Refusal>,
    seen: AtomicU64,
}

impl Observer for Refusing {
    fn before(&self, effect: &Effect<'_>) -> io::Result<()> {
        let number = self.seen.fetch_add(1, Ordering::SeqCst);
        let Some(refusal) = self.refusal else { return Ok(()) };
        if number != refusal.number && !(refusal.for_good && number > refusal.number) {
            return Ok(());
        }
        if let Effect::Write { path, offset, bytes } = effect {
            // Half of the write succeeds, as on a disk that fills up.
            let file = std::fs::OpenOptions::new().write(true).open(path)?;
            file.write_all_at(&bytes[..bytes.len() / 2], *offset)?;
        }
        Err(io::Error::from_raw_os_error(refusal.errno))
    }

    fn after(&self, _effect: &Effect<'_>) {}
}

/// An operation; returns the acknowledged jobs and their status.
type Act = fn(&StateDir) -> Result<Vec<(String, &'static str)>, String>;

const OPERATIONS: &[(&str, Act)] = &[
    ("submit", submit_one),
    ("submit --id", submit_named),
    ("submit --from", submit_many),
    ("jobs cancel", cancel),
    ("checkpoint", checkpoint),
    ("lock, release", lock),
    ("recover", recover),
];

/// Tries all refusals; with a `stride`, one out of this many, chosen by the seed.
pub fn try_effects(binary: &Path, seed: u64, stride: usize) -> io::Result<Vec<Tally>> {
    let place = Sandbox::new(binary)?;
    kill::base_with_everything(&place)?;
    let mut seed = Seed::new(seed);
    let mut rows = Vec::new();
    for (name, act) in OPERATIONS {
        let mut tally = Tally::new(format!("faults: {name}"));
        let whole = run(&place, None, *act)?;
        tally.effects = whole.effects;
        tally.note("undisturbed", check(&place, &whole, true));
        for number in 0..whole.effects {
            for errno in ERRORS {
                for for_good in [false, true] {
                    if !seed.once_in(stride) {
                        continue;
                    }
                    let refusal = Refusal { errno, number, for_good };
                    let met = run(&place, Some(refusal), *act)?;
                    tally.faults += 1;
                    tally.note(&format!("{refusal:?}"), check(&place, &met, false));
                }
            }
        }
        rows.push(tally);
    }
    Ok(rows)
}

/// How an operation ended that met a refusal.
struct Met {
    effects: u64,
    outcome: Result<Vec<(String, &'static str)>, String>,
}

fn run(place: &Sandbox, refusal: Option<Refusal>, act: Act) -> io::Result<Met> {
    place.back_to_base()?;
    let refusing = Arc::new(Refusing { refusal, seen: AtomicU64::new(0) });
    let disk = Disk::observed(refusing.clone());
    let outcome = match StateDir::open(&place.state(), disk, Clock::system()) {
        Ok(mut dir) => {
            dir.segment_bytes = crate::SEGMENT_BYTES;
            act(&dir)
        }
        Err(e) => Err(with_causes(&e)),
    };
    Ok(Met { effects: refusing.seen.load(Ordering::SeqCst), outcome })
}

fn check(place: &Sandbox, met: &Met, undisturbed: bool) -> Result<(), String> {
    let acknowledged = match &met.outcome {
        Ok(acknowledged) => acknowledged.clone(),
        Err(why) if undisturbed => return Err(why.clone()),
        // The error names the operation, the object and the system's reason.
        Err(why) if why.contains("/state") && why.contains("os error") => Vec::new(),
        Err(why) => return Err(format!("the error names no object: {why}")),
    };
    let dir = StateDir::open(&place.state(), Disk::real(), Clock::system()).map_err(|e| with_causes(&e))?;
    let (record, queue) = sequence(&dir)?;
    let outcome = record.snapshot.outcome;
    if outcome != recovery::recovery::RecoveryOutcome::Completed {
        let found: Vec<_> = record.snapshot.all_findings().map(|f| f.sentence.clone()).collect();
        return Err(format!("recovery with the fault gone is {outcome:?}: {found:?}"));
    }
    let queue = queue.ok_or("there is no queue")?;
    let status = |id: &str| {
        let job = queue.state().jobs().find(|j| j.id.to_string() == id);
        job.map(|j| j.status.to_string())
    };
    for (id, wanted) in acknowledged {
        let found = status(&id);
        if found.as_deref() != Some(wanted) {
            return Err(format!("{id} was acknowledged as {wanted}, and is {found:?}"));
        }
    }
    for id in ["done", "held", "lost", "first", "second"] {
        status(id).ok_or_else(|| format!("{id} is lost"))?;
    }
    Ok(())
}

fn request(id: Option<&str>) -> Result<CheckedRequest, String> {
    let request =
        JobRequest { command: vec!["true".to_owned()], id: id.map(str::to_owned), ..JobRequest::default() };
    let defaults =
        RequestDefaults { on_crash: CrashPolicy::Hold, max_attempts: 3, base: None, env: BTreeMap::new() };
    request.check(&defaults).map_err(|e| with_causes(&e))
}

fn enter(dir: &StateDir, requests: Vec<CheckedRequest>) -> Result<Vec<(String, &'static str)>, String> {
    let actor = Actor::default();
    let answers = Submitter::new(dir, &actor).enter(requests).map_err(|e| with_causes(&e))?;
    Ok(answers.into_iter().flatten().map(|entered| (entered.job.to_string(), "queued")).collect())
}

fn submit_one(dir: &StateDir) -> Result<Vec<(String, &'static str)>, String> {
    enter(dir, vec![request(None)?])
}

fn submit_named(dir: &StateDir) -> Result<Vec<(String, &'static str)>, String> {
    enter(dir, vec![request(Some("named"))?])
}

fn submit_many(dir: &StateDir) -> Result<Vec<(String, &'static str)>, String> {
    let requests: Result<Vec<_>, String> = (0..20).map(|_| request(None)).collect();
    enter(dir, requests?)
}

fn cancel(dir: &StateDir) -> Result<Vec<(String, &'static str)>, String> {
    let mut queue = Queue::open(dir).map_err(|e| with_causes(&e))?;
    let id = "first".parse().map_err(|_| "no id".to_owned())?;
    queue
        .transact(&Actor::default(), |_| (vec![Operation::Cancel { job: id }], ()))
        .map_err(|e| with_causes(&e))?;
    Ok(vec![("first".to_owned(), "cancelled")])
}

fn checkpoint(dir: &StateDir) -> Result<Vec<(String, &'static str)>, String> {
    let mut queue = Queue::open(dir).map_err(|e| with_causes(&e))?;
    for _ in 0..2 {
        queue.checkpoint().map_err(|e| with_causes(&e))?;
    }
    Ok(Vec::new())
}

fn lock(dir: &StateDir) -> Result<Vec<(String, &'static str)>, String> {
    let request = locks::LockRequest {
        holder: locks::LockHolder::Process,
        operation: "try".to_owned(),
        job_liveness: &|_, _| locks::JobLiveness::Over,
        queue: None,
        waiting: &|_| (),
    };
    let grant = locks::try_acquire(dir, "other", &request).map_err(|e| with_causes(&e))?;
    grant.release().map_err(|e| with_causes(&e))?;
    Ok(Vec::new())
}

fn recover(dir: &StateDir) -> Result<Vec<(String, &'static str)>, String> {
    // The record names the parts that failed: a partly done recovery is no failure.
    sequence(dir).map(|_| Vec::new())
}
