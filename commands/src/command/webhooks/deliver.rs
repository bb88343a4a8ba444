//! `webhooks deliver --once`: delivers without a daemon, from cron.

use recovery::operations::webhooks::{DeliverWebhooks, WebhooksDelivered};

use crate::operate::Show;
use crate::text::Text;

impl Show for DeliverWebhooks {
    fn show(&self, report: &WebhooksDelivered, text: &mut Text) {
        text.line(format!(
            "{} delivered, {} to be repeated, {} parked, {} left",
            report.delivered, report.retried, report.parked, report.left
        ));
    }
}
