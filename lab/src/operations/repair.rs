//! Waiting in line, giving back stale locks, and repairing.

use std::time::Duration;

use recovery::audit;
use recovery::jobs::RecoverSettings;
use recovery::locks::{
    JobLiveness, JobWitness, LockGrant, LockHolder, LockRequest, acquire, detect_stale, plan_repair,
    release_stale, repair,
};
use recovery::queue::{Claim, JobId, Queue};
use recovery::repair::{Part, RepairSettings};
use recovery::state::StateDir;

use super::small::another;
use super::stage::actor;
use super::{Operation, Stage, nothing};
use crate::Error;
use crate::facts::Fact;

fn over(_: &JobId, _: Claim) -> JobLiveness {
    JobLiveness::Over
}

/// A lock for this process, acknowledged.
pub(super) fn grant(stage: &Stage, dir: &StateDir, repository: &str) -> Result<LockGrant, Error> {
    let request = LockRequest {
        holder: LockHolder::Process,
        operation: "deploy".to_owned(),
        job_liveness: &over,
        queue: None,
        waiting: &|_| {},
    };
    let grant = acquire(dir, repository, &request, Duration::ZERO)?;
    stage.acknowledge(Fact::Fencing { repository: repository.to_owned(), token: grant.token });
    Ok(grant)
}

fn grant_and_give_back(stage: &Stage, repository: &str) -> Result<(), Error> {
    let grant = grant(stage, &stage.dir()?, repository)?;
    let lock_id = grant.lock_id.clone();
    grant.release()?;
    stage.acknowledge(Fact::GivenBack { repository: repository.to_owned(), lock_id });
    Ok(())
}

/// Waiting in line, behind a ticket and a temporary file that the dead have left.
pub(super) const TICKET: Operation = Operation { name: "lock-ticket", prepare: a_dead_ticket, run: in_line };

fn a_dead_ticket(stage: &Stage) -> Result<(), Error> {
    let line = stage.dir()?.paths.lock("web")?.line;
    std::fs::create_dir_all(&line)?;
    std::fs::write(line.join("000000000007.ticket"), "{}")?;
    Ok(std::fs::write(line.join(".tmp-dead00"), "{")?)
}

fn in_line(stage: &Stage) -> Result<(), Error> {
    grant_and_give_back(stage, "web")?;
    grant_and_give_back(stage, "web")
}

/// Several locks whose holders are gone are given back on an operator's request.
pub(super) const STALE: Operation =
    Operation { name: "locks-detect-stale", prepare: dead_holders, run: give_back_stale };

fn dead_holders(stage: &Stage) -> Result<(), Error> {
    // The locks are never given back: the process ends with them.
    let dir = stage.dir()?;
    ["api", "web"].iter().try_for_each(|name| grant(stage, &dir, name).map(std::mem::forget))
}

fn give_back_stale(stage: &Stage) -> Result<(), Error> {
    let dir = stage.dir()?;
    let mut found = detect_stale(&dir, &over)?;
    if found.stale.len() != 2 {
        return Err(format!("two should be stale: {found:?}").into());
    }
    release_stale(&dir, &over, &mut found, &actor(), &mut |lock| -> Result<(), Error> {
        let (repository, lock_id) = (lock.repository.clone(), lock.lock_id.clone().unwrap_or_default());
        stage.acknowledge(Fact::GivenBack { repository, lock_id });
        let object = format!("lock:{}", lock.repository);
        let entry = audit::Entry::done(dir.clock.now(), &actor(), "release", object.clone(), String::new());
        audit::record(&dir, &entry)?;
        stage.acknowledge(Fact::Audit { object });
        Ok(())
    })
}

/// Damaged metadata and a damaged number are repaired, one lock after the other.
pub(super) const LOCKS: Operation =
    Operation { name: "repair-locks", prepare: damaged_locks, run: repair_locks };

fn damaged_locks(stage: &Stage) -> Result<(), Error> {
    for name in ["metadata", "number"] {
        grant_and_give_back(stage, name)?;
    }
    let paths = &stage.dir()?.paths;
    std::fs::write(paths.lock("metadata")?.metadata, "{\"version\":2,\"repo")?;
    Ok(std::fs::write(paths.lock("number")?.flock, [b'x'; 64])?)
}

fn repair_locks(stage: &Stage) -> Result<(), Error> {
    // Until it is repaired, recovery reports it; opening the directory also writes already.
    stage.acknowledge(Fact::MayBeDegraded { object: "lock:metadata".into() });
    let dir = stage.dir()?;
    let witness = JobWitness { liveness: &over, running: &|_| None };
    for plan in plan_repair(&dir, witness)? {
        let done = repair(&dir, &plan.repository, witness, &actor())?.ok_or("it was there a moment ago")?;
        if !done.done {
            return Err(format!("it was not repaired: {done:?}").into());
        }
    }
    if !plan_repair(&dir, witness)?.is_empty() {
        return Err("a second repair would find something".into());
    }
    in_both(stage)
}

fn in_both(stage: &Stage) -> Result<(), Error> {
    ["metadata", "number"].iter().try_for_each(|name| grant_and_give_back(stage, name))
}

/// The queue's files are repaired, without a recovery around it.
pub(super) const QUEUE: Operation =
    Operation { name: "repair-queue", prepare: a_damaged_log, run: repair_queue };

fn a_damaged_log(stage: &Stage) -> Result<(), Error> {
    for id in ["a", "b", "c"] {
        stage.submit(Some(id), |_| {})?;
    }
    let folder = stage.dir()?.paths.queue_log();
    let logs = std::fs::read_dir(folder)?.flatten().map(|e| e.path());
    let log = logs.filter(|p| p.extension().is_some_and(|e| e == "log")).max().ok_or("there is no log")?;
    let mut content = std::fs::read(&log)?;
    let at = content.windows(10).position(|w| w == b"\"job\":\"b\",").ok_or("job b is not in the log")?;
    content[at + 2] ^= 1;
    Ok(std::fs::write(log, content)?)
}

fn repair_queue(stage: &Stage) -> Result<(), Error> {
    let settings = |dry_run| RepairSettings {
        parts: [Part::Queue].into(),
        dry_run,
        jobs: RecoverSettings::new(actor()),
        webhooks: recovery::webhooks::Settings::default(),
    };
    let dir = stage.dir()?;
    for id in ["a", "c"] {
        stage.acknowledge(Fact::job(id, 1, &["queued"]));
    }
    let report = recovery::repair::repair(&dir, &settings(false))?;
    if report.actions.is_empty() || report.is_incomplete() {
        return Err(format!("it was not repaired: {report:?}").into());
    }
    Ok(())
}

/// Checkpoints cut the log; operators' changes are copied to the audit trail before.
pub(super) const AUDIT_KEPT: Operation =
    Operation { name: "audit-kept", prepare: nothing, run: keep_what_operators_did };

fn keep_what_operators_did(stage: &Stage) -> Result<(), Error> {
    for round in 0..4 {
        stage.submit(Some(&format!("job-{round}")), |_| {})?;
        stage.acknowledge(Fact::DoneToQueue { what: format!("submit job:job-{round}") });
        Queue::open(&stage.dir()?)?.checkpoint()?;
    }
    Ok(())
}

/// Things in place of the trail's files are moved away.
pub(super) const AUDIT_IN_THE_WAY: Operation =
    Operation { name: "audit-in-the-way", prepare: strangers, run: enter_all_the_same };

fn strangers(stage: &Stage) -> Result<(), Error> {
    let page = stage.dir()?.paths.audit_log().join("commit.page");
    Ok(std::fs::create_dir_all(page)?)
}

fn enter_all_the_same(stage: &Stage) -> Result<(), Error> {
    let dir = stage.dir()?;
    let object = another("phase");
    let entry = audit::Entry::done(dir.clock.now(), &actor(), "skip", object.clone(), String::new());
    audit::record(&dir, &entry)?;
    stage.acknowledge(Fact::Audit { object });
    Ok(())
}
