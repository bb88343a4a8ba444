//! `retry webhook`: deliveries that wait for an operator, or for their next try, go out now.

use super::choose::{Choice, choose, judge};
use crate::operations::prelude::*;
use crate::queue::Actor;
use crate::report::webhooks::RetryReport;
use crate::webhooks::record::Operation as Record;
use crate::webhooks::{DeliveryId, DeliveryLogState};

/// Try deliveries again: parked ones, and ones that wait for their next try
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema, clap::Args)]
pub struct RetryDeliveries {
    /// Which, by their ids
    #[arg(value_name = "DELIVERY_ID", required_unless_present = "all_parked")]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub delivery_ids: Vec<String>,
    /// All that are parked
    #[arg(long, visible_alias = "all", conflicts_with = "delivery_ids")]
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub all_parked: bool,
}

impl Operation for RetryDeliveries {
    type Report = RetryReport;

    const ENTRY: Entry = Entry::post(
        &["retry", "webhook"],
        "/api/admin/webhooks/retry",
        "Sends deliveries again that were not delivered",
    )
    .one_of(&["delivery_ids", "all_parked"]);

    fn run(&self, context: &mut Context<'_>) -> Result<Done<RetryReport>, OperationError> {
        let choice = Choice {
            ids: &self.delivery_ids,
            all_parked: self.all_parked,
            action: "retry",
            check: DeliveryLogState::check_retry,
            operation: |deliveries: Vec<DeliveryId>, endpoints, Actor { by, why }: Actor| Record::Retry {
                deliveries,
                endpoints,
                by,
                why,
            },
        };
        let (retried, refused) = choose(context, &choice)?;
        let judged = judge(context, &retried, &refused);
        let report = RetryReport { retried, refused, dry_run: context.is_dry_run() };
        match judged {
            Ok(is_whole) => Ok(Done::complete_if(is_whole, report)),
            Err(error) => Err(error.with_report(report)),
        }
    }
}
