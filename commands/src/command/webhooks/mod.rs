//! `webhooks …`: the commands and their dispatch.

pub(crate) mod choose;
mod deliver;
pub(crate) mod discard;
mod log;
pub(crate) mod pending;
mod trial;

use clap::{Args, Subcommand};
use recovery::operations::webhooks::{
    DeliveryLogRequest, DiscardDeliveries, PendingRequest, RecoveredRequest,
};

use crate::command::webhooks::deliver::{DeliverArgs, deliver};
use crate::command::webhooks::trial::{TestArgs, test};
use crate::context::Context;
use crate::error::{CliError, Ending};
use crate::operate::operate;

/// Show, send, test and give up deliveries of webhooks
#[derive(Debug, Args)]
pub(crate) struct WebhooksArgs {
    #[command(subcommand)]
    word: WebhooksWord,
}

#[derive(Debug, Subcommand)]
enum WebhooksWord {
    Pending(PendingRequest),
    Recovered(RecoveredRequest),
    Log(DeliveryLogRequest),
    Test(TestArgs),
    Deliver(DeliverArgs),
    Discard(DiscardDeliveries),
}

impl WebhooksArgs {
    /// Whether it may change something.
    pub(crate) fn changes(&self) -> bool {
        !matches!(self.word, WebhooksWord::Pending(_) | WebhooksWord::Recovered(_) | WebhooksWord::Log(_))
    }
}

pub(crate) fn cmd_webhooks(context: &mut Context, args: &WebhooksArgs) -> Result<Ending, CliError> {
    match &args.word {
        WebhooksWord::Pending(request) => operate(context, request),
        WebhooksWord::Recovered(request) => operate(context, request),
        WebhooksWord::Log(request) => operate(context, request),
        WebhooksWord::Test(args) => test(context, args),
        WebhooksWord::Deliver(args) => deliver(context, args),
        WebhooksWord::Discard(request) => operate(context, request),
    }
}
