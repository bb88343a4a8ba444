//! A state directory of layout 2, which kept the server's files about attempts in the workspaces.

use recovery::jobs::{RecoverSettings, resume};
use recovery::queue::Queue;

use super::stage::actor;
use super::supervisor::run_job;
use super::{Operation, Stage};
use crate::Error;
use crate::facts::Fact;
use crate::recovering::sequence;

/// It is brought to this version's layout: its files are moved, those of earlier attempts too.
pub(super) const MOVE_ATTEMPTS: Operation =
    Operation { name: "move-attempts", prepare: layout_2, run: recovered };

#[allow(clippy::disallowed_methods)] // As an earlier version left it.
fn layout_2(stage: &Stage) -> Result<(), Error> {
    for id in ["a", "b"] {
        stage.submit(Some(id), |request| {
            request.command = ["sh", "-c", "echo out; echo own > file; exit 3"].map(str::to_owned).to_vec();
        })?;
        let claim = stage.claim(id)?;
        run_job(stage, id, claim)?;
    }
    sequence(&stage.dir()?)?;
    let dir = stage.dir()?;
    for id in ["a", "b"] {
        let paths = dir.paths.job(id)?;
        for entry in std::fs::read_dir(&paths.attempts)? {
            let entry = entry?;
            let there = paths.workspace.join(entry.file_name());
            // The entry is a link to the workspace.
            let _ = std::fs::remove_file(&there);
            std::fs::rename(entry.path(), there)?;
        }
        std::fs::remove_dir(&paths.attempts)?;
    }
    let earlier = dir.paths.job("a")?.workspace.join("attempts/1");
    std::fs::create_dir_all(&earlier)?;
    std::fs::write(earlier.join("output.log"), "older")?;
    let text = std::fs::read_to_string(dir.paths.identity())?;
    Ok(std::fs::write(dir.paths.identity(), text.replace("\"layout\":3", "\"layout\":2"))?)
}

fn recovered(stage: &Stage) -> Result<(), Error> {
    let acknowledge = || {
        for id in ["a", "b"] {
            stage.acknowledge(Fact::job(id, 1, &["failed"]));
            stage.acknowledge(Fact::Exit { id: id.to_owned(), code: 3 });
        }
    };
    // The files existed before, so they must exist at every moment.
    acknowledge();
    sequence(&stage.dir()?)?;
    if stage.dir()?.identity.moving_attempts {
        return Err("not all was moved".into());
    }
    acknowledge();
    Ok(())
}

/// A job whose supervisor was of that time when the last startup came: its next attempt moves its files first.
pub(super) const MOVE_ATTEMPTS_LATE: Operation =
    Operation { name: "move-attempts-late", prepare: resumed_in_layout_2, run: next_attempt };

#[allow(clippy::disallowed_methods)] // As the last startup left it.
fn resumed_in_layout_2(stage: &Stage) -> Result<(), Error> {
    layout_2(stage)?;
    let dir = stage.dir()?;
    let text = std::fs::read_to_string(dir.paths.identity())?;
    let moving = text.replace("\"layout\":2", "\"moving_attempts\":true,\"layout\":3");
    std::fs::write(dir.paths.identity(), moving)?;
    let (dir, settings) = (stage.dir()?, RecoverSettings::new(actor()));
    let report = resume(&dir, &mut Queue::open(&dir)?, &["a".parse()?], false, &settings)?;
    if report.refused.is_empty() { Ok(()) } else { Err(format!("{:?}", report.refused).into()) }
}

fn next_attempt(stage: &Stage) -> Result<(), Error> {
    stage.acknowledge(Fact::job("b", 1, &["failed"]));
    stage.acknowledge(Fact::job("a", 2, &["queued", "crashed", "failed"]));
    let claim = stage.claim("a")?;
    run_job(stage, "a", claim)?;
    stage.acknowledge(Fact::job("a", 2, &["failed"]));
    stage.acknowledge(Fact::Exit { id: "a".to_owned(), code: 3 });
    Ok(())
}
