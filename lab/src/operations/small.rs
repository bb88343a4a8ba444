//! Operations on one or two files: a new state directory, the audit trail, requests to a recovery.

use std::sync::atomic::{AtomicU32, Ordering};

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
    let dir = StateDir::open_or_create(&stage.world().join("state"), stage.disk().clone(), Clock::system())?;
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
    for _ in 0..4 {
        let object = another("lock");
        let entry =
            audit::Entry::done(dir.clock.now(), &actor(), "release", object.clone(), "by hand".to_owned());
        audit::record(&dir, &entry)?;
        stage.acknowledge(Fact::Audit { object });
    }
    Ok(())
}

/// A unique object for an entry: written again, by this process after a failed sync or by another, it is
/// another entry.
pub(super) fn another(what: &str) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("{what}:{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
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
