//! `retry …`: tries again what failed.

mod cleanup;
mod phase;
mod webhook;

use clap::{Args, Subcommand};
use recovery::operations::cleanup::RetryCleanup;
use recovery::operations::webhooks::RetryDeliveries;

use crate::command::retry::phase::{PhaseArgs, retry_phase};
use crate::context::Context;
use crate::error::{CliError, Ending};
use crate::operate::operate;

/// Try again what failed
#[derive(Debug, Args)]
pub(crate) struct RetryArgs {
    #[command(subcommand)]
    word: RetryWord,
}

#[derive(Debug, Subcommand)]
enum RetryWord {
    Cleanup(RetryCleanup),
    Phase(PhaseArgs),
    Webhook(RetryDeliveries),
}

pub(crate) fn cmd_retry(context: &mut Context, args: &RetryArgs) -> Result<Ending, CliError> {
    match &args.word {
        RetryWord::Cleanup(request) => operate(context, request),
        RetryWord::Phase(args) => retry_phase(context, args),
        RetryWord::Webhook(request) => operate(context, request),
    }
}
