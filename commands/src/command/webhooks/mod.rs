//! `webhooks …`: the commands and their dispatch.

pub(crate) mod choose;
mod deliver;
pub(crate) mod discard;
mod log;
pub(crate) mod pending;
mod survey;
mod trial;

use clap::{Args, Subcommand};

use crate::command::page::PageArgs;
use crate::command::webhooks::deliver::{DeliverArgs, deliver};
use crate::command::webhooks::discard::{DiscardArgs, discard};
use crate::command::webhooks::log::{LogArgs, log};
use crate::command::webhooks::pending::{PendingArgs, pending, recovered};
use crate::command::webhooks::trial::{TestArgs, test};
use crate::context::Context;
use crate::error::{CliError, Ending};

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
