//! `locks …`: who has which repository.

pub(crate) mod lock;
pub(crate) mod release;
pub(crate) mod show;
mod stale;

use clap::{Args, Subcommand};

use recovery::operations::locks::{
    ActiveLocksRequest, DetectStaleLocks, InspectLocks, RecoveredLocksRequest,
};

use crate::context::Context;
use crate::error::{CliError, Ending};
use crate::operate::operate;

/// Show repository locks: who has them, who waits, what the last recovery did
#[derive(Debug, Args)]
pub(crate) struct LocksArgs {
    #[command(subcommand)]
    word: LocksWord,
}

#[derive(Debug, Subcommand)]
enum LocksWord {
    Active(ActiveLocksRequest),
    Recovered(RecoveredLocksRequest),
    Inspect(InspectLocks),
    DetectStale(DetectStaleLocks),
}

pub(crate) fn cmd_locks(context: &mut Context, args: &LocksArgs) -> Result<Ending, CliError> {
    match &args.word {
        LocksWord::Active(request) => operate(context, request),
        LocksWord::Recovered(request) => operate(context, request),
        LocksWord::Inspect(request) => operate(context, request),
        LocksWord::DetectStale(request) => operate(context, request),
    }
}
