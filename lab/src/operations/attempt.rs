//! A job's attempt: claimed, started by a supervisor in a process of its own, with heartbeats, ended; with
//! and without a repository.

use recovery::jobs::{RecoverSettings, cancel};
use recovery::queue::{CrashPolicy, Queue};

use super::stage::actor;
use super::supervisor::{endless, interrupt, run_job};
use super::{Operation, Stage};
use crate::Error;
use crate::facts::Fact;

/// All of an attempt that ends well.
pub(super) const ATTEMPT: Operation = Operation { name: "attempt", prepare: a_job, run: attempt };

fn a_job(stage: &Stage) -> Result<(), Error> {
    stage.submit(Some("a"), |request| {
        request.command = ["sh", "-c", "echo out; sleep 0.05; exit 3"].map(str::to_owned).to_vec();
        request.repository = Some("web".into());
    })?;
    Ok(())
}

fn attempt(stage: &Stage) -> Result<(), Error> {
    let claim = stage.claim("a")?;
    // Claimed and never started is queued again; started and lost is crashed.
    stage.acknowledge(Fact::job("a", 1, &["queued", "crashed", "failed"]));
    run_job(stage, "a", claim)?;
    stage.acknowledge(Fact::job("a", 1, &["failed"]));
    stage.acknowledge(Fact::Exit { id: "a".into(), code: 3 });
    Ok(())
}

/// A job that empties its workspace, one that replaces its output, and one whose program is missing.
pub(super) const ATTEMPT_ODD: Operation =
    Operation { name: "attempt-odd", prepare: odd_jobs, run: odd_attempts };

fn odd_jobs(stage: &Stage) -> Result<(), Error> {
    let empties = "echo out; cd /; rm -rf \"$RECOVERYCTL_WORKSPACE\" \"$RECOVERYCTL_STATE_DIR/attempts/$RECOVERYCTL_JOB_ID\"; \
                   sleep 0.2";
    let replaces = "cd \"$RECOVERYCTL_STATE_DIR/attempts/$RECOVERYCTL_JOB_ID\"; echo out; mv output.log theirs; \
                    echo theirs > output.log";
    for (id, script) in [("empties", empties), ("replaces", replaces)] {
        stage.submit(Some(id), |request| {
            request.command = ["sh", "-c", script].map(str::to_owned).to_vec();
        })?;
    }
    stage.submit(Some("missing"), |request| request.command = vec!["/no/such/program".into()])?;
    Ok(())
}

fn odd_attempts(stage: &Stage) -> Result<(), Error> {
    for (id, status, code) in
        [("missing", "failed", 127), ("empties", "succeeded", 0), ("replaces", "succeeded", 0)]
    {
        let claim = stage.claim(id)?;
        run_job(stage, id, claim)?;
        stage.acknowledge(Fact::job(id, 1, &[status]));
        stage.acknowledge(Fact::Exit { id: id.into(), code });
    }
    Ok(())
}

/// A claimed job is cancelled before its supervisor begins.
pub(super) const ATTEMPT_CANCELLED: Operation =
    Operation { name: "attempt-cancelled", prepare: a_job, run: cancelled };

fn cancelled(stage: &Stage) -> Result<(), Error> {
    let claim = stage.claim("a")?;
    let dir = stage.dir()?;
    // As `cancel` records it while no supervisor has taken up the claim.
    let wish = recovery::queue::Operation::Cancel { job: "a".parse()? };
    let mut queue = Queue::open(&dir)?;
    queue.transact(&actor(), |_| (vec![wish], ()))?;
    stage.acknowledge(Fact::job("a", 1, &["cancelled"]));
    run_job(stage, "a", claim)?;
    let again = cancel(&dir, &mut queue, &["a".parse()?], &RecoverSettings::new(actor()))?;
    if again.len() == 1 { Ok(()) } else { Err("the job is not there".into()) }
}

/// An attempt that is ended from outside, without a recorded wish.
pub(super) const ATTEMPT_INTERRUPTED: Operation =
    Operation { name: "attempt-interrupted", prepare: an_endless_job, run: interrupted };

fn an_endless_job(stage: &Stage) -> Result<(), Error> {
    stage.submit(Some("a"), |request| {
        request.command = endless();
        request.on_crash = Some(CrashPolicy::Requeue);
    })?;
    Ok(())
}

fn interrupted(stage: &Stage) -> Result<(), Error> {
    let claim = stage.claim("a")?;
    stage.acknowledge(Fact::job("a", 1, &["queued", "crashed"]));
    interrupt(stage, "a", claim)?;
    stage.acknowledge(Fact::job("a", 2, &["queued"]));
    Ok(())
}

/// An attempt that prints more than is kept, into a pipe whose name an earlier one has left.
pub(super) const LONG_OUTPUT: Operation =
    Operation { name: "long-output", prepare: a_talkative_job, run: long_output };

fn a_talkative_job(stage: &Stage) -> Result<(), Error> {
    stage.submit(Some("a"), |request| {
        request.command = ["sh", "-c", "seq 1 20000"].map(str::to_owned).to_vec();
    })?;
    // A supervisor was killed while its pipe had a name.
    let pipe = stage.dir()?.paths.job("a")?.output_pipe();
    std::fs::create_dir_all(pipe.parent().ok_or("it has no folder")?)?;
    Ok(std::fs::write(pipe, "")?)
}

fn long_output(stage: &Stage) -> Result<(), Error> {
    let claim = stage.claim("a")?;
    stage.acknowledge(Fact::job("a", 1, &["queued", "crashed", "succeeded"]));
    run_job(stage, "a", claim)?;
    stage.acknowledge(Fact::job("a", 1, &["succeeded"]));
    stage.acknowledge(Fact::Exit { id: "a".into(), code: 0 });
    Ok(())
}
