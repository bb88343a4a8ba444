//! `retry webhook`: deliveries that wait for an operator, or for their next try, go out now.

use clap::Args;
use recovery::queue::Actor;
use recovery::report::webhooks::RetryReport;
use recovery::webhooks::record::Operation;
use recovery::webhooks::{DeliveryId, DeliveryLogState};

use crate::command::webhooks::choose::{Choice, choose, describe, ending};
use crate::context::Context;
use crate::error::{CliError, Ending};
use crate::output::WithError;

/// Try deliveries again: parked ones, and ones that wait for their next try
#[derive(Debug, Args)]
pub(crate) struct WebhookArgs {
    /// Which, by their ids
    #[arg(value_name = "DELIVERY_ID", required_unless_present = "all_parked")]
    deliveries: Vec<String>,
    /// All that are parked
    #[arg(long, visible_alias = "all", conflicts_with = "deliveries")]
    all_parked: bool,
}

pub(crate) fn retry_webhook(context: &mut Context, args: &WebhookArgs) -> Result<Ending, CliError> {
    let choice = Choice {
        ids: &args.deliveries,
        all_parked: args.all_parked,
        action: "retry",
        check: DeliveryLogState::check_retry,
        operation: |deliveries: Vec<DeliveryId>, endpoints, Actor { by, why }: Actor| Operation::Retry {
            deliveries,
            endpoints,
            by,
            why,
        },
    };
    let (retried, refused) = choose(context, &choice)?;
    let dry_run = context.is_dry_run();
    let ending = ending(context, &retried, &refused);
    let answer = WithError::new(RetryReport { retried, refused, dry_run }, &ending);
    let report = &answer.report;
    let done = if dry_run { "would be tried again" } else { "is tried again" };
    context.output.report(&answer, |text| describe(text, done, &report.retried, &report.refused));
    ending
}
