//! A state directory of layout 2, which kept what the server knows about attempts in the workspaces.

use super::supervisor::run_job;
use super::{Operation, Stage};
use crate::Error;
use crate::facts::Fact;
use crate::recovering::sequence;

/// It is brought to this version's layout: its files are moved, those of earlier attempts too.
pub(super) const MOVE_ATTEMPTS: Operation =
    Operation { name: "move-attempts", prepare: layout_2, run: recovered };

#[allow(clippy::disallowed_methods)] // What an earlier version did.
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
            // The link to it.
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
    // They were there before: at every moment they must be.
    acknowledge();
    sequence(&stage.dir()?)?;
    if stage.dir()?.identity.moving_attempts {
        return Err("not all was moved".into());
    }
    acknowledge();
    Ok(())
}
