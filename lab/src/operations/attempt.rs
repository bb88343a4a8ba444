//! A job's attempt: claimed, started by a supervisor of its own process, beating, ended, with and without
//! a repository.

use super::supervisor::run_job;
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
