//! `locks …`: who has which repository.

pub(crate) mod holders;
pub(crate) mod lock;
pub(crate) mod release;
pub(crate) mod show;
mod stale;

use clap::{Args, Subcommand};

use crate::command::locks::show::{InspectArgs, active, inspected, recovered};
use crate::command::locks::stale::{StaleArgs, detect_stale};
use crate::command::page::PageArgs;
use crate::context::Context;
use crate::error::{CliError, Ending};

/// Show repository locks: who has them, who waits, what the last recovery did
#[derive(Debug, Args)]
pub(crate) struct LocksArgs {
    #[command(subcommand)]
    word: LocksWord,
}

#[derive(Debug, Subcommand)]
enum LocksWord {
    /// List the locks that are not free
    Active(PageArgs),
    /// List what the last recovery did with the locks that it found held
    Recovered(PageArgs),
    Inspect(InspectArgs),
    DetectStale(StaleArgs),
}

impl LocksArgs {
    /// Whether it may change something.
    pub(crate) fn changes(&self) -> bool {
        matches!(self.word, LocksWord::DetectStale(_))
    }
}

pub(crate) fn cmd_locks(context: &mut Context, args: &LocksArgs) -> Result<Ending, CliError> {
    match &args.word {
        LocksWord::Active(page) => active(context, page),
        LocksWord::Recovered(page) => recovered(context, page),
        LocksWord::Inspect(args) => inspected(context, args),
        LocksWord::DetectStale(args) => detect_stale(context, args),
    }
}
