//! `webhooks deliver --once`: delivers without a daemon, from cron.

use crate::operations::prelude::*;
use crate::operations::settings::delivering;
use crate::queue::Queue;
use crate::recovery::recovery_ends;
use crate::webhooks::{Deriver, Engine};

/// Deliver what is due now, without a daemon; what waits for its next try is left
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema, clap::Args)]
pub struct DeliverWebhooks {
    /// Deliver what is due, and end
    #[arg(long, required = true)]
    pub once: bool,
}

/// What became of the deliveries.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs)] // The members are the published form.
pub struct WebhooksDelivered {
    /// Attempts that arrived.
    pub delivered: u64,
    /// Attempts that are to be repeated.
    pub retried: u64,
    /// Attempts after which an operator has to act.
    pub parked: u64,
    /// Deliveries that wait for their next try.
    pub left: u64,
}

impl Operation for DeliverWebhooks {
    type Report = WebhooksDelivered;

    const ENTRY: Entry = Entry::local(Method::Post, &["webhooks", "deliver"]);

    fn run(&self, context: &mut Context<'_>) -> Result<Done<WebhooksDelivered>, OperationError> {
        context.refuse_dry_run(&Self::ENTRY.name())?;
        let dir = context.state_dir()?;
        let settings = delivering(context.settings())?;
        let endpoints = settings.endpoints.clone();
        let (engine, feed) = Engine::start(&dir, settings, "webhooks deliver")?;
        let since = engine.endpoints_since();
        let queue = Queue::open(&dir)?;
        let mut deriver = Deriver::new(dir.identity.state_id, &endpoints, &since);
        for job in queue.state().jobs() {
            feed.offer(deriver.of_job(job));
        }
        feed.offer(recovery_ends(&dir).iter().flat_map(|end| deriver.of_recovery(end)).collect());
        drop((queue, deriver));
        let interrupt = context.front().catch();
        let stop = || interrupt.requested().is_some();
        let done = engine.run(self.once, &stop, &mut |line| context.warn(line))?;
        let report = WebhooksDelivered {
            delivered: done.delivered,
            retried: done.retried,
            parked: done.parked,
            left: done.left,
        };
        Ok(Done::complete_if(report.retried + report.parked + report.left == 0, report))
    }
}
