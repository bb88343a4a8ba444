//! Losses: entered when they are found, reported until they are acknowledged.

use recovery::losses::{Found, Losses, Mute, acknowledge, mute, record, unmute};

use super::recover::recover_whatever_is_there;
use super::{Operation, Stage, nothing};
use crate::Error;
use crate::facts::Fact;

/// A damaged record was all that told of a job: recovery names the job before it repairs the log.
pub(super) const LOST_JOB: Operation = Operation { name: "lost-job", prepare: lost_job, run: found };

fn lost_job(stage: &Stage) -> Result<(), Error> {
    for id in ["first", "payroll", "last"] {
        stage.submit(Some(id), |_| {})?;
    }
    let dir = stage.dir()?;
    let segment = dir.paths.queue_log().join(format!("{:020}.log", 1));
    let mut bytes = std::fs::read(&segment)?;
    let at = memchr::memmem::find(&bytes, b"\"job\":\"payroll\"").ok_or("the record is not there")?;
    // This offset lies behind the name.
    bytes[at + 20] ^= 0x01;
    Ok(std::fs::write(&segment, bytes)?)
}

fn found(stage: &Stage) -> Result<(), Error> {
    for id in ["first", "last"] {
        stage.acknowledge(Fact::job(id, 1, &["queued"]));
    }
    // On every disk there is evidence of the loss: the record, or the list.
    stage.acknowledge(Fact::Lost { object: "job:payroll".to_owned(), acknowledged: Some(false) });
    let segment = stage.dir()?.paths.queue_log().join(format!("{:020}.log", 1));
    for object in ["job:payroll".to_owned(), "queue".to_owned(), format!("file:{}", segment.display())] {
        stage.acknowledge(Fact::MayBeDegraded { object });
    }
    recover_whatever_is_there(stage)
}

/// The list cannot be understood: it goes to quarantine, and another one is begun.
pub(super) const LIST_DAMAGED: Operation =
    Operation { name: "losses-damaged", prepare: list_damaged, run: begun_anew };

fn list_damaged(stage: &Stage) -> Result<(), Error> {
    let path = stage.dir()?.paths.losses();
    Ok(std::fs::write(path, "{\"version\":2,\"checksum\":\"00000000\",\"losses\":[]}")?)
}

fn begun_anew(stage: &Stage) -> Result<(), Error> {
    let loss = Found {
        code: "job-lost".to_owned(),
        object: "job:a".into(),
        sentence: "nothing tells of it".to_owned(),
        stays: true,
        gap: None,
    };
    record(&stage.dir()?, "test", &[loss], &[])?;
    stage.acknowledge(Fact::Lost { object: "job:a".to_owned(), acknowledged: Some(false) });
    Ok(())
}

/// Losses are entered and acknowledged, and findings muted, beside one another.
pub(super) const LOSSES: Operation = Operation { name: "losses", prepare: nothing, run: losses };

fn losses(stage: &Stage) -> Result<(), Error> {
    let dir = stage.dir()?;
    let loss = |object: &str| Found {
        code: "job-lost".to_owned(),
        object: object.into(),
        sentence: "nothing tells of it".to_owned(),
        stays: true,
        gap: None,
    };
    let lost = |object: &str, acknowledged| Fact::Lost { object: object.into(), acknowledged };
    for object in ["job:a", "job:b"] {
        record(&dir, "test", &[loss(object)], &[("webhooks", 7)])?;
        // When this runs again after a kill, the loss may be acknowledged already.
        let known = Losses::read(&dir)?;
        let is_acknowledged = known.known(&loss(object)).is_some_and(|l| l.acknowledged.is_some());
        stage.acknowledge(lost(object, Some(is_acknowledged)));
    }
    let known = Losses::read(&dir)?;
    let ids: Vec<String> = known.known(&loss("job:a")).map(|l| l.id.clone()).into_iter().collect();
    stage.acknowledge(lost("job:a", None));
    acknowledge(&dir, &ids, &[], &[], ("ana", "seen"))?;
    stage.acknowledge(lost("job:a", Some(true)));
    let meant = ("job-crashed".to_owned(), None);
    let (code, object, by) = (meant.0.clone(), None, "ana".to_owned());
    let until = dir.clock.now().plus_millis(3_600_000);
    mute(&dir, &[Mute { code, object, until, by, reason: None }])?;
    unmute(&dir, "ana", &[meant])?;
    Ok(())
}
