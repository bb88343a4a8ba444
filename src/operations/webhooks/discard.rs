//! `webhooks discard`: deliveries that nobody wants any more.

use super::choose::{Choice, choose, judge};
use crate::operations::Method;
use crate::operations::prelude::*;
use crate::queue::Actor;
use crate::report::webhooks::DiscardReport;
use crate::webhooks::record::Operation as Record;
use crate::webhooks::{DeliveryId, DeliveryLogState};

/// Give deliveries up for good: their receivers are never told
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema, clap::Args)]
pub struct DiscardDeliveries {
    /// Which, by their ids
    #[arg(value_name = "DELIVERY_ID", required_unless_present = "all_parked")]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub delivery_ids: Vec<String>,
    /// All that are parked
    #[arg(long, conflicts_with = "delivery_ids")]
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub all_parked: bool,
}

impl Operation for DiscardDeliveries {
    type Report = DiscardReport;

    const ENTRY: Entry = Entry::local(Method::Post, &["webhooks", "discard"]);

    fn run(&self, context: &mut Context<'_>) -> Result<Done<DiscardReport>, OperationError> {
        if self.all_parked && !context.is_dry_run() {
            context.confirm("give all parked deliveries up?")?;
        }
        let choice = Choice {
            ids: &self.delivery_ids,
            all_parked: self.all_parked,
            action: "discard",
            check: DeliveryLogState::check_discard,
            operation: |deliveries: Vec<DeliveryId>, _, Actor { by, why }: Actor| Record::Discard {
                deliveries,
                by,
                why,
            },
        };
        let (discarded, refused) = choose(context, &choice)?;
        let judged = judge(context, &discarded, &refused);
        let report = DiscardReport { discarded, refused, dry_run: context.is_dry_run() };
        match judged {
            Ok(is_whole) => Ok(Done::complete_if(is_whole, report)),
            Err(error) => Err(error.with_report(report)),
        }
    }
}
