//! Changes of jobs other than running them: cancel, resume, checkpoints.

use recovery::jobs::{RecoverSettings, cancel, resume};
use recovery::queue::{Queue, SnapshotFile};

use super::stage::actor;
use super::supervisor::{endless, kill_supervisor, run_job};
use super::{Operation, Stage};
use crate::Error;
use crate::facts::Fact;

/// A queued job is cancelled.
pub(super) const CANCEL: Operation = Operation { name: "cancel", prepare: two_jobs, run: cancel_one };

fn two_jobs(stage: &Stage) -> Result<(), Error> {
    stage.submit(Some("a"), |_| {})?;
    stage.submit(Some("b"), |_| {})?;
    Ok(())
}

fn cancel_one(stage: &Stage) -> Result<(), Error> {
    stage.acknowledge(Fact::job("b", 1, &["queued"]));
    let mut queue = Queue::open(&stage.dir()?)?;
    cancel(&stage.dir()?, &mut queue, &["a".parse()?], &RecoverSettings::new(actor()))?;
    stage.acknowledge(Fact::job("a", 1, &["cancelled"]));
    Ok(())
}

/// A running job without a supervisor is cancelled: its claim was never taken up.
pub(super) const CANCEL_RUNNING: Operation =
    Operation { name: "cancel-running", prepare: a_lost_claim, run: cancel_claimed };

fn a_lost_claim(stage: &Stage) -> Result<(), Error> {
    stage.submit(Some("a"), |_| {})?;
    stage.claim("a").map(drop)
}

fn cancel_claimed(stage: &Stage) -> Result<(), Error> {
    let mut queue = Queue::open(&stage.dir()?)?;
    cancel(&stage.dir()?, &mut queue, &["a".parse()?], &RecoverSettings::new(actor()))?;
    stage.acknowledge(Fact::job("a", 1, &["cancelled"]));
    Ok(())
}

/// An unsupervised job, whose command goes on after its supervisor was killed, is cancelled.
pub(super) const CANCEL_ORPHAN: Operation =
    Operation { name: "cancel-orphan", prepare: two_jobs, run: cancel_orphan };

fn cancel_orphan(stage: &Stage) -> Result<(), Error> {
    let request = stage.submit(Some("c"), |request| request.command = endless())?;
    stage.acknowledge(Fact::job("c", 1, &["queued", "crashed"]));
    let claim = stage.claim("c")?;
    kill_supervisor(stage, "c", claim)?;
    stage.acknowledge(Fact::job("c", 1, &["crashed", "cancelled"]));
    let mut queue = Queue::open(&stage.dir()?)?;
    cancel(&stage.dir()?, &mut queue, &[request.job], &RecoverSettings::new(actor()))?;
    stage.acknowledge(Fact::job("c", 1, &["cancelled"]));
    Ok(())
}

/// A failed job is resumed, and its next attempt runs: the first attempt's files are moved away.
pub(super) const RESUME: Operation = Operation { name: "resume", prepare: a_failed_job, run: resume_it };

fn a_failed_job(stage: &Stage) -> Result<(), Error> {
    stage.submit(Some("a"), |request| {
        let script = "echo $RECOVERYCTL_ATTEMPT; echo step > $RECOVERYCTL_CHECKPOINT; exit 4";
        request.command = ["sh", "-c", script].map(str::to_owned).to_vec();
    })?;
    let claim = stage.claim("a")?;
    run_job(stage, "a", claim)?;
    // A file is in the place where the first attempt's output is to be kept.
    let kept = stage.dir()?.paths.job("a")?.attempt(1);
    std::fs::create_dir_all(&kept)?;
    Ok(std::fs::write(kept.join("output.log"), "older")?)
}

fn resume_it(stage: &Stage) -> Result<(), Error> {
    let (dir, settings) = (stage.dir()?, RecoverSettings::new(actor()));
    let ids = ["a".parse()?];
    // When this runs again after a kill, a later attempt may have begun.
    if Queue::open(&dir)?.state().get(&ids[0]).is_some_and(|job| job.attempt == 1) {
        stage.acknowledge(Fact::job("a", 1, &["failed", "queued"]));
    }
    for (attempt, fresh) in [(2, false), (3, true)] {
        let mut queue = Queue::open(&dir)?;
        let report = resume(&dir, &mut queue, &ids, fresh, &settings)?;
        if report.resumed.len() != 1 {
            return Err(format!("refused: {:?}", report.refused).into());
        }
        stage.acknowledge(Fact::job("a", attempt, &["queued", "crashed", "failed"]));
        let claim = stage.claim("a")?;
        run_job(stage, "a", claim)?;
        stage.acknowledge(Fact::job("a", attempt, &["failed", "queued"]));
    }
    Ok(())
}

/// Checkpoints between submissions: segments fill, snapshots come, old ones go.
pub(super) const CHECKPOINT: Operation =
    Operation { name: "checkpoint", prepare: two_jobs, run: checkpoints };

fn checkpoints(stage: &Stage) -> Result<(), Error> {
    let mut queue = Queue::open(&stage.dir()?)?;
    let mut ids = vec!["a".to_owned(), "b".to_owned()];
    for round in 0..4 {
        for number in 0..2 {
            let id = format!("job-{round}-{number}");
            stage.submit(Some(&id), |_| {})?;
            stage.acknowledge(Fact::DoneToQueue { what: format!("submit job:{id}") });
            ids.push(id);
            stage.acknowledge(Fact::Order { ids: ids.clone() });
        }
        queue.checkpoint()?;
    }
    Ok(())
}

/// A checkpoint of a queue with a damaged record in an old segment and a damaged older snapshot, both of
/// which it removes.
pub(super) const CHECKPOINT_DAMAGED: Operation =
    Operation { name: "checkpoint-damaged", prepare: damage, run: checkpoint_twice };

fn damage(stage: &Stage) -> Result<(), Error> {
    two_jobs(stage)?;
    checkpoints(stage)?;
    damage_oldest(stage)
}

/// One bit in the oldest segment and in the older snapshot.
pub(super) fn damage_oldest(stage: &Stage) -> Result<(), Error> {
    let dir = stage.dir()?;
    let mut segments: Vec<_> = std::fs::read_dir(dir.paths.queue_log())?
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|e| e == "log"))
        .collect();
    segments.sort();
    let oldest = segments.first().ok_or("there is no segment")?;
    let mut bytes = std::fs::read(oldest)?;
    let at = bytes.iter().position(|&b| b == b'\n').ok_or("there is no header")? + 60;
    bytes[at] ^= 0x10;
    std::fs::write(oldest, bytes)?;
    let snapshots = SnapshotFile::list(&dir.paths.queue())?;
    let older = snapshots.last().ok_or("there is no snapshot")?;
    let mut bytes = std::fs::read(&older.path)?;
    let at = bytes.len() - 30;
    bytes[at] ^= 0x10;
    Ok(std::fs::write(&older.path, bytes)?)
}

fn checkpoint_twice(stage: &Stage) -> Result<(), Error> {
    let mut queue = Queue::open(&stage.dir()?)?;
    for id in ["c", "d", "e"] {
        stage.submit(Some(id), |_| {})?;
        queue.checkpoint()?;
    }
    Ok(())
}
