//! The life of a state directory as a folder: a backup in its place, files of an earlier time in it.

use std::process::Command;

use recovery::queue::{self, JobId, Queue, Submitter};
use recovery::repair::adopt_as_new;

use super::{Operation, Stage};
use crate::Error;
use crate::facts::Fact;

/// Another folder with the same content replaces the directory: a new incarnation begins.
pub(super) const RESTORED: Operation = Operation { name: "restored", prepare: with_a_job, run: restored };

fn with_a_job(stage: &Stage) -> Result<(), Error> {
    stage.submit(Some("a"), |_| ())?;
    Ok(())
}

/// Puts another folder with the same content in the directory's place, as an operator would: not through the
/// seam.
fn swap(stage: &Stage) -> Result<(), Error> {
    let state = stage.world().join("state");
    let aside = stage.world().join("aside");
    std::fs::rename(&state, &aside)?;
    let copied = Command::new("cp").arg("-a").args([&aside, &state]).status()?;
    std::fs::remove_dir_all(&aside)?;
    if copied.success() { Ok(()) } else { Err("the folder cannot be copied".into()) }
}

fn restored(stage: &Stage) -> Result<(), Error> {
    stage.dir()?;
    swap(stage)?;
    stage.acknowledge(Fact::job("a", 0, &["queued"]));
    let dir = stage.dir()?;
    if dir.identity.incarnation < 2 {
        return Err("no incarnation has begun".into());
    }
    stage.acknowledge(Fact::StateId { id: dir.identity.state_id.to_string() });
    Ok(())
}

/// Living processes show that the files went back in time.
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

/// A process goes on while another folder replaces the directory: none of its effects reaches the new folder.
pub(super) const SWAPPED: Operation = Operation { name: "swapped", prepare: with_a_job, run: swapped };

fn swapped(stage: &Stage) -> Result<(), Error> {
    let before = stage.dir()?;
    let mut queue = Queue::open(&before)?;
    let id: JobId = "a".parse()?;
    swap(stage)?;
    let actor = super::stage::actor();
    let cancel = |job: &JobId| (vec![queue::Operation::Cancel { job: job.clone() }], ());
    let refused = [
        queue.transact(&actor, |_| cancel(&id)).is_err(),
        queue.checkpoint().is_err(),
        Submitter::new(&before, &actor).enter(vec![stage.request(Some("b"), |_| ())?]).is_err(),
    ];
    if refused != [true; 3] {
        return Err(format!("it wrote into a folder that is not its own: {refused:?}").into());
    }
    stage.acknowledge(Fact::job("a", 0, &["queued"]));
    let dir = stage.dir()?;
    stage.acknowledge(Fact::StateId { id: dir.identity.state_id.to_string() });
    Ok(())
}

/// A copy is made a directory of its own.
pub(super) const ADOPTED: Operation = Operation { name: "adopted", prepare: to_be_copied, run: adopted };

fn to_be_copied(stage: &Stage) -> Result<(), Error> {
    stage.submit(Some("waits"), |_| ())?;
    stage.submit(Some("runs"), |_| ())?;
    stage.claim("runs")?;
    Queue::open(&stage.dir()?)?.checkpoint()?;
    stage.submit(Some("later"), |_| ())?;
    // The lock is never given back: the original has it.
    std::mem::forget(super::lock::grant(stage)?);
    crate::copy::make(stage.world())?;
    // The copy shares a lock with the original, like a copy made of hard links.
    let lock = stage.dir()?.paths.names_lock();
    std::fs::hard_link(&lock, stage.world().join("original/names.lock"))?;
    Ok(())
}

fn adopted(stage: &Stage) -> Result<(), Error> {
    for job in ["waits", "later"] {
        stage.acknowledge(Fact::job(job, 1, &["queued"]));
    }
    let copy = stage.dir()?;
    let (dir, adoption) = adopt_as_new(&copy, &[], &super::stage::actor(), false)?;
    if dir.identity.state_id == copy.identity.state_id || adoption.crashed.len() != 1 {
        return Err(format!("it was not adopted: {adoption:?}").into());
    }
    stage.acknowledge(Fact::job("runs", 1, &["crashed"]));
    stage.acknowledge(Fact::StateId { id: dir.identity.state_id.to_string() });
    Ok(())
}
