//! `webhooks discard`: deliveries that nobody wants any more.

use clap::Args;
use recovery::queue::Actor;
use recovery::report::webhooks::DiscardReport;
use recovery::webhooks::record::Operation;
use recovery::webhooks::{DeliveryId, DeliveryLogState};

use crate::command::webhooks::choose::{Choice, choose, describe, ending};
use crate::context::Context;
use crate::error::{CliError, Ending};
use crate::output::WithError;

/// Give deliveries up for good: their receivers are never told
#[derive(Debug, Args)]
pub(crate) struct DiscardArgs {
    /// Which, by their ids
    #[arg(value_name = "DELIVERY_ID", required_unless_present = "all_parked")]
    deliveries: Vec<String>,
    /// All that are parked
    #[arg(long, conflicts_with = "deliveries")]
    all_parked: bool,
}

pub(crate) fn discard(context: &mut Context, args: &DiscardArgs) -> Result<Ending, CliError> {
    if args.all_parked && !context.is_dry_run() {
        context.confirm("give all parked deliveries up?")?;
    }
    let choice = Choice {
        ids: &args.deliveries,
        all_parked: args.all_parked,
        action: "discard",
        check: DeliveryLogState::check_discard,
        operation: |deliveries: Vec<DeliveryId>, _, Actor { by, why }: Actor| Operation::Discard {
            deliveries,
            by,
            why,
        },
    };
    let (discarded, refused) = choose(context, &choice)?;
    let dry_run = context.is_dry_run();
    let ending = ending(context, &discarded, &refused);
    let answer = WithError::new(DiscardReport { discarded, refused, dry_run }, &ending);
    let report = &answer.report;
    let done = if dry_run { "would be given up" } else { "is given up" };
    context.output.report(&answer, |text| describe(text, done, &report.discarded, &report.refused));
    ending
}
