//! `retry …`: tries again what failed.

mod cleanup;
mod phase;
mod webhook;

use clap::{Args, Subcommand};
use recovery::operations::cleanup::RetryCleanup;
use recovery::operations::recovery::RetryPhase;
use recovery::operations::webhooks::RetryDeliveries;

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
    Phase(RetryPhase),
    Webhook(RetryDeliveries),
}

pub(crate) fn cmd_retry(context: &mut Context, args: &RetryArgs) -> Result<Ending, CliError> {
    match &args.word {
        RetryWord::Cleanup(request) => operate(context, request),
        RetryWord::Phase(request) => operate(context, request),
        RetryWord::Webhook(request) => operate(context, request),
    }
}
