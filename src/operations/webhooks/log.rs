//! `webhooks log`: what was tried and how it ended.

use crate::operations::prelude::*;
use crate::report::webhooks::DeliveryLogReport;
use crate::webhooks::{AttemptRetention, DeliveryLog, attempts_in};

/// Show the attempts of deliveries, the newest first
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema, clap::Args)]
pub struct DeliveryLogRequest {
    /// Only those about this job
    #[arg(long = "job", value_name = "JOB_ID")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job_id: Option<String>,
    /// Only those of this delivery
    #[arg(long = "delivery", value_name = "DELIVERY_ID")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delivery_id: Option<String>,
    /// Which part of the list
    #[command(flatten)]
    #[serde(flatten)]
    pub page: PageRequest,
}

impl Operation for DeliveryLogRequest {
    type Report = DeliveryLogReport;

    const ENTRY: Entry = Entry::get(
        &["webhooks", "log"],
        "/api/admin/webhooks/delivery-log",
        "Every attempt, the newest first",
    );

    fn run(&self, context: &mut Context<'_>) -> Result<Done<DeliveryLogReport>, OperationError> {
        let dir = context.state_dir()?;
        // Opening it syncs: what is shown stays.
        let opened = DeliveryLog::open_if_any(&dir)?;
        // What is past its time may still be in the log: it goes with the next compaction.
        let configured = &context.settings().webhooks;
        let retention = AttemptRetention { keep: configured.keep, entries: configured.keep_entries };
        let mut attempts = retention.of(attempts_in(&dir)?, dir.clock.now());
        attempts.retain(|a| {
            let job = self.job_id.as_ref().is_none_or(|job| a.attempted.job_id.as_ref() == Some(job));
            job && self.delivery_id.as_ref().is_none_or(|id| a.attempted.delivery.to_string() == *id)
        });
        let problems = opened.map(|l| l.problems().clone()).unwrap_or_default();
        Ok(Done::all(DeliveryLogReport::new(attempts, &problems, &self.page.page())?))
    }
}
