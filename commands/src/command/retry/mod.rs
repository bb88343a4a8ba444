//! `retry …`: tries again what failed.

pub(crate) mod cleanup;
mod phase;
mod webhook;

use clap::{Args, Subcommand};

use crate::command::retry::cleanup::{RetryCleanupArgs, retry_cleanup};
use crate::command::retry::phase::{PhaseArgs, retry_phase};
use crate::command::retry::webhook::{WebhookArgs, retry_webhook};
use crate::context::Context;
use crate::error::{CliError, Ending};

/// Try again what failed
#[derive(Debug, Args)]
pub(crate) struct RetryArgs {
    #[command(subcommand)]
    word: RetryWord,
}

#[derive(Debug, Subcommand)]
enum RetryWord {
    Cleanup(RetryCleanupArgs),
    Phase(PhaseArgs),
    Webhook(WebhookArgs),
}

pub(crate) fn cmd_retry(context: &mut Context, args: &RetryArgs) -> Result<Ending, CliError> {
    match &args.word {
        RetryWord::Cleanup(args) => retry_cleanup(context, args),
        RetryWord::Phase(args) => retry_phase(context, args),
        RetryWord::Webhook(args) => retry_webhook(context, args),
    }
}
