//! Recovery itself, of a state directory with something of everything to recover.

use recovery::jobs::record;
use recovery::locks::acquire_for_job;
use recovery::queue::{CrashPolicy, Queue};
use recovery::recovery::{RecoveryOutcome, request_skip};
use recovery::startup::{StartOptions, StartedBy, Startup};

use super::queue::damage_oldest;
use super::supervisor::{endless, kill_at_work, run_job};
use super::{Operation, Stage};
use crate::Error;
use crate::facts::Fact;
use crate::recovering::sequence;

/// Running jobs whose processes are gone, with each policy; one that had ended; waiting ones; a dead
/// holder's lock; an aborted startup; a torn end of the log; temporary files.
pub(super) const RECOVER: Operation = Operation { name: "recover", prepare: crashed, run: recover };

fn crashed(stage: &Stage) -> Result<(), Error> {
    let dir = stage.dir()?;
    stage.submit(Some("ended"), |request| request.command = vec!["true".into()])?;
    let claim = stage.claim("ended")?;
    run_job(stage, "ended", claim)?;
    let policies =
        [("hold", CrashPolicy::Hold), ("again", CrashPolicy::Requeue), ("fail", CrashPolicy::Fail)];
    for (id, policy) in policies {
        stage.submit(Some(id), |request| {
            request.on_crash = Some(policy);
            request.command = endless();
        })?;
        let claim = stage.claim(id)?;
        kill_at_work(stage, id, claim)?;
        if id == "hold" {
            let grant = acquire_for_job(&dir, "web", &id.parse()?, 1, claim, std::time::Duration::ZERO)?;
            std::mem::forget(grant);
        }
    }
    stage.submit(Some("claimed"), |_| {})?;
    stage.claim("claimed")?;
    for id in ["waits-1", "waits-2"] {
        stage.submit(Some(id), |_| {})?;
    }
    std::mem::forget(Startup::begin_in(&dir, StartedBy::Recover, beginning())?);
    std::fs::write(dir.paths.jobs().join(".tmp-aB3dE9"), "half a record")?;
    tear_the_log(stage)
}

/// Half a record at the end, as a killed writer leaves it.
fn tear_the_log(stage: &Stage) -> Result<(), Error> {
    use std::os::unix::fs::FileExt;
    let dir = stage.dir()?;
    let queue = Queue::open(&dir)?;
    let end = queue.log()?.end();
    let segment = dir.paths.queue_log().join(format!("{:020}.log", end.segment));
    let file = std::fs::OpenOptions::new().write(true).open(segment)?;
    file.write_all_at(b"0f0f0f0f 00000099 0000000000000099 {\"at\":\"2026-", end.offset)?;
    // The hint is from another boot: records behind its end are found by reading.
    let page = std::fs::OpenOptions::new().write(true).open(dir.paths.queue_log().join("commit.page"))?;
    page.write_all_at(&[0x33; 8], 8)?;
    Ok(())
}

fn acknowledge(stage: &Stage) -> Result<(), Error> {
    let facts = [
        Fact::job("ended", 1, &["succeeded"]),
        Fact::Exit { id: "ended".into(), code: 0 },
        Fact::job("hold", 1, &["crashed"]),
        Fact::job("again", 2, &["queued"]),
        Fact::job("fail", 1, &["failed"]),
        Fact::job("claimed", 1, &["queued"]),
        Fact::MayHaveBegun { id: "claimed".to_owned() },
        Fact::job("waits-1", 1, &["queued"]),
        Fact::job("waits-2", 1, &["queued"]),
        Fact::Order { ids: ["claimed", "waits-1", "waits-2"].map(str::to_owned).to_vec() },
    ];
    facts.into_iter().for_each(|fact| stage.acknowledge(fact));
    if let Ok(text) = std::fs::read(stage.world().join("state/startup/marker.json")) {
        let marker: serde_json::Value = serde_json::from_slice(&text)?;
        let id = marker["startup_id"].as_str().ok_or("the marker names no startup")?.to_owned();
        stage.acknowledge(Fact::Startup { id });
    }
    Ok(())
}

fn recover(stage: &Stage) -> Result<(), Error> {
    // Every disk from here on is recovered to this state, however often the recovery was begun.
    acknowledge(stage)?;
    let dir = stage.dir()?;
    let (record, _) = sequence(&dir)?;
    if record.snapshot.outcome != RecoveryOutcome::Completed {
        return Err(format!("recovery is {:?}", record.snapshot.outcome).into());
    }
    stage.acknowledge(Fact::Recovery { id: record.snapshot.recovery_id.to_string() });
    Ok(())
}

/// Runs a recovery and accepts any outcome.
pub(super) fn recover_whatever_is_there(stage: &Stage) -> Result<(), Error> {
    let (record, _) = sequence(&stage.dir()?)?;
    stage.acknowledge(Fact::Recovery { id: record.snapshot.recovery_id.to_string() });
    Ok(())
}

/// A phase is skipped on request; the request is used up.
pub(super) const RECOVER_SKIPPING: Operation =
    Operation { name: "recover-skipping", prepare: asked_to_skip, run: recover_skipping };

fn asked_to_skip(stage: &Stage) -> Result<(), Error> {
    stage.submit(Some("a"), |_| {})?;
    request_skip(&stage.dir()?, &["locks"], "locks", "ana", None)?;
    Ok(())
}

fn recover_skipping(stage: &Stage) -> Result<(), Error> {
    stage.acknowledge(Fact::job("a", 1, &["queued"]));
    recover_whatever_is_there(stage)
}

/// One of each file that can be damaged is.
pub(super) const RECOVER_DAMAGED: Operation =
    Operation { name: "recover-damaged", prepare: damaged, run: recover_damaged };

fn damaged(stage: &Stage) -> Result<(), Error> {
    let dir = stage.dir()?;
    let mut queue = Queue::open(&dir)?;
    for round in 0..3 {
        for number in 0..4 {
            stage.submit(Some(&format!("job-{round}-{number}")), |_| {})?;
        }
        queue.checkpoint()?;
    }
    sequence(&dir)?;
    for id in ["hold", "other"] {
        stage.submit(Some(id), |request| request.command = endless())?;
        let claim = stage.claim(id)?;
        kill_at_work(stage, id, claim)?;
    }
    queue.refresh()?;
    for job in queue.state().jobs() {
        record::write(&dir, job)?;
    }
    std::mem::forget(Startup::begin_in(&dir, StartedBy::Recover, beginning())?);
    damage_oldest(stage)?;
    let paths = &dir.paths;
    let cut = [
        paths.startup_marker(),
        paths.recovery_history(),
        paths.recovery_last(),
        paths.job("job-0-0")?.record,
        paths.job("hold")?.record,
        paths.job("hold")?.sentinel(),
        paths.identity(),
    ];
    for path in cut {
        cut_in_half(&path)?;
    }
    std::fs::write(paths.lock("web")?.metadata, "{\"version\": 1, \"lock_")?;
    std::fs::write(paths.job("nobody")?.record, "{\"job_id\": \"nobody\"")?;
    Ok(())
}

fn cut_in_half(path: &std::path::Path) -> Result<(), Error> {
    let bytes = std::fs::read(path)?;
    Ok(std::fs::write(path, &bytes[..bytes.len() / 2])?)
}

fn recover_damaged(stage: &Stage) -> Result<(), Error> {
    stage.acknowledge(Fact::MayBeDegraded { object: "lock:web".into() });
    for id in ["hold", "other"] {
        stage.acknowledge(Fact::job(id, 1, &["crashed"]));
    }
    for round in 0..3 {
        for number in 0..4 {
            stage.acknowledge(Fact::job(&format!("job-{round}-{number}"), 1, &["queued"]));
        }
    }
    let dir = stage.dir()?;
    let (record, _) = sequence(&dir)?;
    stage.acknowledge(Fact::Recovery { id: record.snapshot.recovery_id.to_string() });
    Ok(())
}

/// The log has lost a submission and a claim in its middle, and has a foreign segment: the jobs' own files
/// restore the queue.
pub(super) const RECOVER_LOST: Operation =
    Operation { name: "recover-lost-records", prepare: lost_records, run: recover_lost };

fn lost_records(stage: &Stage) -> Result<(), Error> {
    let dir = stage.dir()?;
    for id in ["first", "lost"] {
        stage.submit(Some(id), |_| {})?;
    }
    stage.submit(Some("claimed"), |request| request.command = endless())?;
    let claim = stage.claim("claimed")?;
    kill_at_work(stage, "claimed", claim)?;
    let queue = Queue::open(&dir)?;
    for job in queue.state().jobs() {
        record::write(&dir, job)?;
    }
    // No record holds the claim's effect either.
    std::fs::remove_file(dir.paths.job("claimed")?.record)?;
    stage.submit(Some("last"), |_| {})?;
    let segment = dir.paths.queue_log().join(format!("{:020}.log", queue.log()?.end().segment));
    let mut bytes = std::fs::read(&segment)?;
    for damaged in [2, claim.seq()] {
        let number = format!(" {damaged:016} ");
        let at = memchr::memmem::find(&bytes, number.as_bytes()).ok_or("the record is not there")?;
        bytes[at + 40] ^= 0x01;
    }
    std::fs::write(&segment, bytes)?;
    let foreign = String::from_utf8_lossy(&std::fs::read(&segment)?).into_owned();
    let foreign = foreign.replace(&dir.identity.state_id.to_string(), &"0".repeat(36));
    Ok(std::fs::write(dir.paths.queue_log().join("00000000000000000900.log"), foreign)?)
}

fn recover_lost(stage: &Stage) -> Result<(), Error> {
    for id in ["first", "lost", "last"] {
        stage.acknowledge(Fact::job(id, 1, &["queued"]));
    }
    stage.acknowledge(Fact::job("claimed", 1, &["crashed"]));
    recover_whatever_is_there(stage)
}

/// The PID in a job's files is another process's by now.
pub(super) const RECOVER_REUSED: Operation =
    Operation { name: "recover-reused-pid", prepare: reused_pid, run: recover_reused };

fn reused_pid(stage: &Stage) -> Result<(), Error> {
    stage.submit(Some("a"), |request| request.command = endless())?;
    let claim = stage.claim("a")?;
    kill_at_work(stage, "a", claim)?;
    let paths = stage.dir()?.paths.job("a")?;
    for path in [paths.sentinel(), paths.command()] {
        let mut document: serde_json::Value = serde_json::from_slice(&std::fs::read(&path)?)?;
        for process in ["supervisor", "command"] {
            if document[process].is_object() {
                document[process]["pid"] = 1.into(); // It lives, and started before.
            }
        }
        std::fs::write(&path, document.to_string())?;
    }
    Ok(())
}

fn recover_reused(stage: &Stage) -> Result<(), Error> {
    stage.acknowledge(Fact::job("a", 1, &["crashed"]));
    sequence(&stage.dir()?)?;
    Ok(())
}

/// Returns the phase in which the startup dies.
fn beginning() -> StartOptions<'static> {
    StartOptions { phase: Some("jobs"), ..StartOptions::default() }
}
