//! The life of a state directory as a folder: a backup in its place, files of an earlier time found in it.

use std::process::Command;

use super::{Operation, Stage};
use crate::Error;
use crate::facts::Fact;

/// Another folder with the same content takes the place of the directory: a new incarnation begins.
pub(super) const RESTORED: Operation = Operation { name: "restored", prepare: with_a_job, run: restored };

fn with_a_job(stage: &Stage) -> Result<(), Error> {
    stage.submit(Some("a"), |_| ())?;
    Ok(())
}

fn restored(stage: &Stage) -> Result<(), Error> {
    let state = stage.world().join("state");
    // As the operator does it: not by the seam, and without a change of what is in it.
    stage.dir()?;
    let aside = stage.world().join("aside");
    std::fs::rename(&state, &aside)?;
    let copied = Command::new("cp").arg("-a").args([&aside, &state]).status()?;
    std::fs::remove_dir_all(&aside)?;
    if !copied.success() {
        return Err("the folder cannot be copied".into());
    }
    stage.acknowledge(Fact::job("a", 0, &["queued"]));
    let dir = stage.dir()?;
    if dir.identity.incarnation < 2 {
        return Err("no incarnation has begun".into());
    }
    stage.acknowledge(Fact::StateId { id: dir.identity.state_id.to_string() });
    Ok(())
}

/// What lives shows that the files went back in time.
pub(super) const NOTICED: Operation =
    Operation { name: "restore-noticed", prepare: with_a_job, run: noticed };

fn noticed(stage: &Stage) -> Result<(), Error> {
    let mut dir = stage.dir()?;
    stage.acknowledge(Fact::job("a", 0, &["queued"]));
    dir.note_restored("a supervisor lives that the log does not know")?;
    dir.note_told(false)?;
    stage.acknowledge(Fact::StateId { id: dir.identity.state_id.to_string() });
    Ok(())
}
