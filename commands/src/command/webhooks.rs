//! `webhooks …`: what the words have in common.

use clap::{Args, Subcommand};
use recovery::recovery::recovery_ends;
use recovery::state::StateDir;
use recovery::webhooks::Survey;

use super::jobs::PageArgs;
use super::webhooks_deliver::{DeliverArgs, deliver};
use super::webhooks_discard::{DiscardArgs, discard};
use super::webhooks_log::{LogArgs, log};
use super::webhooks_pending::{PendingArgs, pending, recovered};
use super::webhooks_test::{TestArgs, test};
use crate::context::Context;
use crate::error::{CliError, Ending};
use crate::settings::delivering;

/// Show, send, test and give up deliveries of webhooks
#[derive(Debug, Args)]
pub(crate) struct WebhooksArgs {
    #[command(subcommand)]
    word: WebhooksWord,
}

#[derive(Debug, Subcommand)]
enum WebhooksWord {
    Pending(PendingArgs),
    /// Show what the last recovery found undelivered, and what became of it
    Recovered(PageArgs),
    Log(LogArgs),
    Test(TestArgs),
    Deliver(DeliverArgs),
    Discard(DiscardArgs),
}

impl WebhooksArgs {
    /// Whether it may change something.
    pub(crate) fn changes(&self) -> bool {
        !matches!(self.word, WebhooksWord::Pending(_) | WebhooksWord::Recovered(_) | WebhooksWord::Log(_))
    }
}

pub(crate) fn cmd_webhooks(context: &mut Context, args: &WebhooksArgs) -> Result<Ending, CliError> {
    match &args.word {
        WebhooksWord::Pending(args) => pending(context, args),
        WebhooksWord::Recovered(page) => recovered(context, page),
        WebhooksWord::Log(args) => log(context, args),
        WebhooksWord::Test(args) => test(context, args),
        WebhooksWord::Deliver(args) => deliver(context, args),
        WebhooksWord::Discard(args) => discard(context, args),
    }
}

/// What is undelivered now.
pub(super) fn survey(context: &mut Context, dir: &StateDir) -> Result<Survey, CliError> {
    let settings = delivering(context)?;
    let queue = context.queue_to_look(dir)?;
    Ok(Survey::take(dir, queue.state(), &settings.endpoints, &recovery_ends(dir))?)
}
