//! Files that a recovery writes when records, files of ended jobs or the whole queue are lost.

use super::supervisor::run_job;
use super::{Operation, Stage};
use crate::Error;
use crate::facts::Fact;
use crate::recovering::sequence;

/// Records that are damaged or gone, and damaged files of an ended job.
pub(super) const RECORDS: Operation =
    Operation { name: "rebuild-records", prepare: damaged_records, run: recovered };

/// The queue and the records are gone: jobs are reconstructed from the files of their attempts.
pub(super) const WORKSPACES: Operation =
    Operation { name: "rebuild-jobs", prepare: only_workspaces, run: recovered };

fn jobs(stage: &Stage) -> Result<(), Error> {
    for id in ["a", "b"] {
        stage.submit(Some(id), |request| {
            let script = "echo out; echo half > \"$RECOVERYCTL_CHECKPOINT\"; exit 3";
            request.command = ["sh", "-c", script].map(str::to_owned).to_vec();
        })?;
        let claim = stage.claim(id)?;
        run_job(stage, id, claim)?;
    }
    // The sequence writes the records.
    sequence(&stage.dir()?).map(drop).map_err(Into::into)
}

#[allow(clippy::disallowed_methods)] // Damage is done behind the library's back.
fn damaged_records(stage: &Stage) -> Result<(), Error> {
    jobs(stage)?;
    let folder = stage.dir()?.paths.jobs();
    std::fs::write(folder.join("a.job.json"), "{\"version\":2,")?;
    std::fs::remove_file(folder.join("b.job.json"))?;
    std::fs::write(stage.dir()?.paths.job("b")?.exit(), "{ no exit")?;
    Ok(())
}

#[allow(clippy::disallowed_methods)]
fn only_workspaces(stage: &Stage) -> Result<(), Error> {
    jobs(stage)?;
    let paths = stage.dir()?.paths;
    std::fs::remove_dir_all(paths.queue())?;
    for id in ["a", "b"] {
        std::fs::remove_file(paths.jobs().join(format!("{id}.job.json")))?;
    }
    Ok(())
}

fn recovered(stage: &Stage) -> Result<(), Error> {
    let acknowledge = || {
        for id in ["a", "b"] {
            stage.acknowledge(Fact::job(id, 1, &["failed"]));
            stage.acknowledge(Fact::Exit { id: id.to_owned(), code: 3 });
        }
    };
    // A recovery that is cut short is followed by another one, which finds the same.
    acknowledge();
    sequence(&stage.dir()?)?;
    acknowledge();
    Ok(())
}
