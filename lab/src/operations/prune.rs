//! Jobs that are over are removed: workspace, output and record, or nothing of them.

use recovery::jobs::RecoverSettings;
use recovery::prune::{JobRetention, prune};
use recovery::queue::{Operation as Record, Queue, append};

use super::stage::actor;
use super::supervisor::run_job;
use super::{Operation, Stage};
use crate::Error;
use crate::facts::Fact;

/// Jobs with a workspace, one that never began, and one that stays.
pub(super) const PRUNE: Operation = Operation { name: "prune", prepare: jobs_that_are_over, run: pruned };

const GOING: [&str; 3] = ["a", "b", "never-began"];

fn jobs_that_are_over(stage: &Stage) -> Result<(), Error> {
    for id in ["a", "b"] {
        stage.submit(Some(id), |request| {
            let script = "mkdir -p deep/er; echo whole > deep/er/file; ln -s / link";
            request.command = ["sh", "-c", script].map(str::to_owned).to_vec();
        })?;
        let claim = stage.claim(id)?;
        run_job(stage, id, claim)?;
    }
    for id in ["never-began", "stays"] {
        stage.submit(Some(id), |_| {})?;
    }
    append(&stage.dir()?, &actor(), &[Record::Cancel { job: "never-began".parse()? }])?;
    Ok(())
}

fn pruned(stage: &Stage) -> Result<(), Error> {
    let dir = stage.dir()?;
    let file = |id: &str| (id != "never-began").then(|| "deep/er/file".into());
    let removal = |id: &str, is_done| Fact::Removal { id: id.to_owned(), file: file(id), is_done };
    GOING.iter().for_each(|id| stage.acknowledge(removal(id, false)));
    stage.acknowledge(Fact::job("stays", 1, &["queued"]));
    let everything = JobRetention { keep_days: None, keep_last: Some(0), crashed: true };
    let mut queue = Queue::open(&dir)?;
    let report = prune(&dir, &mut queue, &everything, &|_| None, &RecoverSettings::new(actor()))?;
    if report.removed.len() != GOING.len() {
        return Err(format!("not all are removed: {report:?}").into());
    }
    GOING.iter().for_each(|id| stage.acknowledge(removal(id, true)));
    // The name is free again, and the new job has nothing of the old one.
    stage.acknowledge(Fact::Together { ids: vec!["later".into()] });
    stage.submit(Some("later"), |_| {}).map(drop)
}
