//! The next attempt of a job that is over: the previous one's files are kept apart, the checkpoint stays.

use recovery::jobs::{RecoverSettings, resume};
use recovery::queue::Queue;

use super::stage::actor;
use super::supervisor::run_job;
use super::{Operation, Stage};
use crate::Error;
use crate::facts::Fact;

/// Resumed from its checkpoint, then resumed without it.
pub(super) const ATTEMPTS: Operation = Operation { name: "attempts", prepare: a_failed_job, run: resumed };

fn a_failed_job(stage: &Stage) -> Result<(), Error> {
    stage.submit(Some("a"), |request| {
        let script = "echo $RECOVERYCTL_ATTEMPT; echo half > \"$RECOVERYCTL_CHECKPOINT\"; exit 3";
        request.command = ["sh", "-c", script].map(str::to_owned).to_vec();
    })?;
    let claim = stage.claim("a")?;
    run_job(stage, "a", claim)
}

fn resumed(stage: &Stage) -> Result<(), Error> {
    let dir = stage.dir()?;
    let settings = RecoverSettings::new(actor());
    for (attempt, fresh) in [(2, false), (3, true)] {
        let mut queue = Queue::open(&dir)?;
        // The earlier state may still hold, and the next one may already.
        stage.acknowledge(Fact::job("a", attempt - 1, &["failed", "queued", "crashed"]));
        let answer = resume(&dir, &mut queue, &["a".parse()?], fresh, &settings)?;
        if answer.resumed.len() != 1 {
            return Err(format!("it is not resumed: {answer:?}").into());
        }
        stage.acknowledge(Fact::job("a", attempt, &["queued", "crashed", "failed"]));
        let claim = stage.claim("a")?;
        run_job(stage, "a", claim)?;
        stage.acknowledge(Fact::job("a", attempt, &["failed", "queued", "crashed"]));
        if attempt == 3 {
            stage.acknowledge(Fact::Exit { id: "a".into(), code: 3 });
        }
    }
    Ok(())
}
