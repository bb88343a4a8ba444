//! The files of an attempt.

use crate::durable::DiskError;
use crate::jobs::command_record::CommandRecord;
use crate::jobs::exit_record::ExitRecord;
use crate::jobs::judgement::JudgeContext;
use crate::jobs::sentinel::{Heartbeat, Sentinel};
use crate::jobs::stored::{Stored, read_stored_with_time};
use crate::jobs::verdict::LockFact;
use crate::queue::Job;
use crate::state::JobPaths;

pub(super) struct Files {
    pub(super) sentinel: Stored<Sentinel>,
    pub(super) command: Stored<CommandRecord>,
    pub(super) exit: Stored<ExitRecord>,
    pub(super) heartbeat: Option<Heartbeat>,
}

impl Files {
    /// Reads them. While a supervisor holds the lock, and its sentinel names the command, the other files add
    /// nothing and are not read.
    pub(super) fn read(
        look: &JudgeContext<'_>,
        job: &Job,
        paths: &JobPaths,
        lock: &LockFact,
    ) -> Result<Files, DiskError> {
        let (sentinel, beaten) = read_stored_with_time::<Sentinel>(&paths.sentinel())?;
        // Until the supervisor of this attempt writes its sentinel, the previous attempt's sentinel is there.
        let is_of_another_attempt = sentinel.whole().is_some_and(|s| Some(s.claim) != job.run_state().claim);
        let beaten = beaten.filter(|_| !is_of_another_attempt);
        let heartbeat = beaten.map(|at| Heartbeat::at(at.into(), look.dir.clock.now()));
        let is_told = *lock == LockFact::Held && sentinel.whole().is_some_and(|s| s.command.is_some());
        if is_told {
            return Ok(Files { sentinel, command: Stored::Missing, exit: Stored::Missing, heartbeat });
        }
        let (command, exit) = (CommandRecord::read(&paths.command())?, ExitRecord::read(&paths.exit())?);
        Ok(Files { sentinel, command, exit, heartbeat })
    }

    pub(super) fn damaged(&self) -> Vec<&'static str> {
        let found = [
            ("sentinel.json", self.sentinel.is_damaged()),
            ("command.json", self.command.is_damaged()),
            ("exit.json", self.exit.is_damaged()),
        ];
        found.into_iter().filter(|(_, damaged)| *damaged).map(|(name, _)| name).collect()
    }
}
