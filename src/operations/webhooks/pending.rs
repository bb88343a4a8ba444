//! `webhooks pending`: what is undelivered, and how each endpoint does.

use super::survey;
use crate::durable::is_held;
use crate::operations::arguments::word_of;
use crate::operations::prelude::*;
use crate::report::webhooks::{DeliveryStatus, PendingDeliveries};

/// Show what is undelivered, parked deliveries included, and how each endpoint does
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema, clap::Args)]
pub struct PendingRequest {
    /// Only those of this status
    #[arg(long, value_name = "STATUS", value_parser = word_of::<Undelivered>(Undelivered::WORDS))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<Undelivered>,
    /// Which part of the list
    #[command(flatten)]
    #[serde(flatten)]
    pub page: PageRequest,
}

/// The status of a delivery that is not over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)] // As `DeliveryStatus`.
pub enum Undelivered {
    Pending,
    InFlight,
    Waiting,
    Parked,
}

impl Undelivered {
    const WORDS: [&str; 4] = ["pending", "in_flight", "waiting", "parked"];

    const fn status(self) -> DeliveryStatus {
        match self {
            Undelivered::Pending => DeliveryStatus::Pending,
            Undelivered::InFlight => DeliveryStatus::InFlight,
            Undelivered::Waiting => DeliveryStatus::Waiting,
            Undelivered::Parked => DeliveryStatus::Parked,
        }
    }
}

impl Operation for PendingRequest {
    type Report = PendingDeliveries;

    const ENTRY: Entry = Entry::get(
        &["webhooks", "pending"],
        "/api/admin/webhooks/pending",
        "What is undelivered, and how each endpoint does",
    );

    fn run(&self, context: &mut Context<'_>) -> Result<Done<PendingDeliveries>, OperationError> {
        let dir = context.state_dir()?;
        let survey = survey(context, &dir)?;
        let only = self.status.map(Undelivered::status);
        let is_delivering = is_held(&dir.paths.deliver_lock()).unwrap_or(false);
        Ok(Done::all(PendingDeliveries::new(&survey, only, is_delivering, &self.page.page())?))
    }
}
