//! Jobs enter: one, many with one sync, many as one record, and with names of their own.

use recovery::queue::Submitter;

use super::stage::actor;
use super::{Operation, Stage, nothing};
use crate::Error;
use crate::facts::Fact;

/// The first job ever, then more, until the first segment is full.
pub(super) const ONE: Operation = Operation { name: "submit", prepare: nothing, run: one };

fn one(stage: &Stage) -> Result<(), Error> {
    let mut ids = Vec::new();
    for _ in 0..8 {
        ids.push(stage.submit(None, |_| {})?.job.to_string());
        stage.acknowledge(Fact::Order { ids: ids.clone() });
    }
    Ok(())
}

/// Many with one sync, then many as one record.
pub(super) const BATCH: Operation = Operation { name: "submit-batch", prepare: one_job, run: batch };

fn one_job(stage: &Stage) -> Result<(), Error> {
    stage.submit(Some("first"), |_| {}).map(drop)
}

fn batch(stage: &Stage) -> Result<(), Error> {
    let (dir, actor) = (stage.dir()?, actor());
    let requests = |from: usize| -> Result<Vec<_>, Error> {
        (from..from + 14).map(|n| stage.request(Some(&format!("batch-{n}")), |_| {})).collect()
    };
    let mut submitter = Submitter::new(&dir, &actor);
    let mut ids = vec!["first".to_owned()];
    for entered in submitter.enter(requests(0)?)? {
        ids.push(entered?.job.to_string());
    }
    acknowledge(stage, &ids);
    let together: Vec<String> = (14..28).map(|n| format!("batch-{n}")).collect();
    stage.acknowledge(Fact::Together { ids: together });
    let together = submitter.enter_together(requests(14)?)?.map_err(|taken| format!("{taken:?}"))?;
    ids.extend(together.into_iter().map(|entered| entered.job.to_string()));
    acknowledge(stage, &ids);
    Ok(())
}

fn acknowledge(stage: &Stage, ids: &[String]) {
    ids.iter().for_each(|id| stage.acknowledge(Fact::job(id, 1, &["queued"])));
    stage.acknowledge(Fact::Order { ids: ids.to_vec() });
}

/// Names that users gave, which are reserved before.
pub(super) const NAMED: Operation = Operation { name: "submit-named", prepare: nothing, run: named };

fn named(stage: &Stage) -> Result<(), Error> {
    for id in ["nightly-a", "nightly-b"] {
        stage.submit(Some(id), |request| request.repository = Some("web".into()))?;
    }
    Ok(())
}
