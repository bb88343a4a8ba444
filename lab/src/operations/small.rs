//! What is done in one or two files: a new state directory, the audit trail, requests to a recovery.

use recovery::audit;
use recovery::recovery::{request_retry, request_skip};
use recovery::state::{Clock, StateDir};

use super::stage::actor;
use super::{Operation, Stage, nothing};
use crate::Error;
use crate::facts::Fact;

/// A state directory is made where there is none.
pub(super) const INIT: Operation = Operation { name: "init", prepare: nothing, run: init };

fn init(stage: &Stage) -> Result<(), Error> {
    let dir = stage.dir()?;
    stage.acknowledge(Fact::StateId { id: dir.identity.state_id.to_string() });
    Ok(())
}

/// As above, in folders that are not there either.
pub(super) const INIT_DEEP: Operation = Operation { name: "init-deep", prepare: nothing, run: init_deep };

fn init_deep(stage: &Stage) -> Result<(), Error> {
    let root = stage.world().join("a/b/other");
    StateDir::open_or_create(&root, stage.disk().clone(), Clock::system())?;
    let text = std::fs::read_to_string(root.join("state.json"))?;
    stage.acknowledge(Fact::Content { path: "../a/b/other/state.json".into(), any_of: vec![text] });
    Ok(())
}

/// Entries in the audit trail.
pub(super) const AUDIT: Operation = Operation { name: "audit", prepare: nothing, run: entries };

fn entries(stage: &Stage) -> Result<(), Error> {
    let dir = stage.dir()?;
    for number in 0..4 {
        // Done again, they are other entries.
        let object = format!("lock:{}-{number}", std::process::id());
        let entry =
            audit::Entry::done(dir.clock.now(), &actor(), "release", object.clone(), "by hand".to_owned());
        audit::record(&dir, &entry)?;
        stage.acknowledge(Fact::Audit { object });
    }
    Ok(())
}

/// Requests to the next recovery: a phase that it is to pass over.
pub(super) const REQUEST: Operation = Operation { name: "request", prepare: nothing, run: requests };

fn requests(stage: &Stage) -> Result<(), Error> {
    let dir = stage.dir()?;
    let known = ["startup", "queue", "jobs", "locks"];
    let answer = request_skip(&dir, &known, "locks", "ana", Some("it hangs"))?;
    let asked = request_retry(&dir, &known, "jobs", "ana", None)?;
    if !answer.accepted || asked.accepted {
        return Err("a request was answered wrongly".into());
    }
    Ok(())
}
