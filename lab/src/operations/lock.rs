//! Repository locks: granted and given back, taken over from the dead, released by an operator.

use std::time::Duration;

use recovery::durable::{Disk, FileLock};
use recovery::locks::{JobLiveness, LockHolder, LockRequest, acquire, release, run_under};

use super::stage::actor;
use super::{Operation, Stage, nothing};
use crate::Error;
use crate::facts::Fact;

pub(super) fn grant(stage: &Stage) -> Result<recovery::locks::LockGrant, Error> {
    let request = LockRequest {
        holder: LockHolder::Process,
        operation: "deploy".to_owned(),
        job_liveness: &|_, _| JobLiveness::Over,
        queue: None,
        waiting: &|_| {},
    };
    let grant = acquire(&stage.dir()?, "web", &request, Duration::ZERO)?;
    stage.acknowledge(Fact::Fencing { repository: "web".into(), token: grant.token });
    Ok(grant)
}

/// Granted and given back, three times: each number is higher.
pub(super) const GRANT: Operation = Operation { name: "lock", prepare: nothing, run: grants };

fn grants(stage: &Stage) -> Result<(), Error> {
    for _ in 0..3 {
        let grant = grant(stage)?;
        let lock_id = grant.lock_id.clone();
        grant.release()?;
        stage.acknowledge(Fact::GivenBack { repository: "web".into(), lock_id });
    }
    Ok(())
}

/// A command under the lock, which its metadata names.
pub(super) const COMMAND: Operation = Operation { name: "lock-command", prepare: nothing, run: command };

fn command(stage: &Stage) -> Result<(), Error> {
    let dir = stage.dir()?;
    let over = |_: &_, _| JobLiveness::Over;
    let ran = run_under(&dir, "web", &["true".into()], Duration::ZERO, &over, &|_| {})?;
    ran.given_back?;
    stage.acknowledge(Fact::Fencing { repository: "web".into(), token: ran.token });
    stage.acknowledge(Fact::GivenBack { repository: "web".into(), lock_id: ran.lock_id });
    Ok(())
}

/// The holder died: the next one takes the lock over.
pub(super) const TAKE_OVER: Operation =
    Operation { name: "lock-taken-over", prepare: a_dead_holder, run: grants };

fn a_dead_holder(stage: &Stage) -> Result<(), Error> {
    // The lock is never given back: the process ends with it.
    std::mem::forget(grant(stage)?);
    Ok(())
}

/// An operator releases the lock of a holder that is gone.
pub(super) const RELEASE: Operation =
    Operation { name: "release", prepare: a_dead_holder, run: release_stale };

fn release_stale(stage: &Stage) -> Result<(), Error> {
    let dir = stage.dir()?;
    let released = release(&dir, "web", None, false, &actor(), &|_, _| JobLiveness::Over)?;
    let lock_id = released.lock_id.ok_or("the lock has no id")?;
    stage.acknowledge(Fact::GivenBack { repository: "web".into(), lock_id });
    Ok(())
}

/// An operator forces a lock whose metadata cannot be read.
pub(super) const RELEASE_DAMAGED: Operation =
    Operation { name: "release-damaged", prepare: damaged_metadata, run: release_by_force };

fn damaged_metadata(stage: &Stage) -> Result<(), Error> {
    a_dead_holder(stage)?;
    Ok(std::fs::write(stage.dir()?.paths.lock("web")?.metadata, "{\"version\": 1, \"lock_")?)
}

fn release_by_force(stage: &Stage) -> Result<(), Error> {
    stage.acknowledge(Fact::MayBeDegraded { object: "lock:web".into() });
    let dir = stage.dir()?;
    // An unknown process holds the flock at this moment.
    let flock = FileLock::acquire(&Disk::real(), &dir.paths.lock("web")?.flock, Duration::ZERO)?;
    release(&dir, "web", None, true, &actor(), &|_, _| JobLiveness::Over)?;
    drop(flock);
    // The lock can be taken again, with a higher number.
    grant(stage)?.release()?;
    Ok(())
}

/// The number in the lock file was damaged, and is longer than it should be.
pub(super) const NUMBER_DAMAGED: Operation =
    Operation { name: "lock-number-damaged", prepare: damaged_number, run: grants };

fn damaged_number(stage: &Stage) -> Result<(), Error> {
    grants(stage)?;
    Ok(std::fs::write(stage.dir()?.paths.lock("web")?.flock, [b'x'; 64])?)
}
