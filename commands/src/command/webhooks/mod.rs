//! `webhooks …`: the commands and their dispatch.

pub(crate) mod choose;
mod deliver;
pub(crate) mod discard;
mod log;
pub(crate) mod pending;
mod trial;

use clap::{Args, Subcommand};
use recovery::operations::webhooks::{
    DeliverWebhooks, DeliveryLogRequest, DiscardDeliveries, PendingRequest, RecoveredRequest, TestWebhook,
};

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
    Test(TestWebhook),
    Deliver(DeliverWebhooks),
    Discard(DiscardDeliveries),
}

pub(crate) fn cmd_webhooks(context: &mut Context, args: &WebhooksArgs) -> Result<Ending, CliError> {
    match &args.word {
        WebhooksWord::Pending(request) => operate(context, request),
        WebhooksWord::Recovered(request) => operate(context, request),
        WebhooksWord::Log(request) => operate(context, request),
        WebhooksWord::Test(request) => operate(context, request),
        WebhooksWord::Deliver(request) => operate(context, request),
        WebhooksWord::Discard(request) => operate(context, request),
    }
}
