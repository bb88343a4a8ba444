//! The files in a workspace that tell of an attempt.

use crate::durable::DiskError;
use crate::jobs::command_record::CommandRecord;
use crate::jobs::evidence::Look;
use crate::jobs::exit_record::ExitRecord;
use crate::jobs::sentinel::{Heartbeat, Sentinel};
use crate::jobs::stored::Stored;
use crate::state::JobPaths;

pub(super) struct Files {
    pub(super) sentinel: Stored<Sentinel>,
    pub(super) command: Stored<CommandRecord>,
    pub(super) exit: Stored<ExitRecord>,
    pub(super) heartbeat: Option<Heartbeat>,
}

impl Files {
    pub(super) fn read(look: &Look<'_>, paths: &JobPaths) -> Result<Files, DiskError> {
        Ok(Files {
            sentinel: Sentinel::read(&paths.sentinel())?,
            command: CommandRecord::read(&paths.command())?,
            exit: ExitRecord::read(&paths.exit())?,
            heartbeat: Heartbeat::read(&paths.sentinel(), look.dir.clock.now()),
        })
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
