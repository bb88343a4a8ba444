//! `webhooks test`: checks whether a receiver can be reached, now and from here.

use recovery::operations::webhooks::{TestWebhook, WebhookTest};
use recovery::state::human;

use crate::operate::Show;
use crate::text::Text;

impl Show for TestWebhook {
    fn show(&self, report: &WebhookTest, text: &mut Text) {
        let took = human::duration(report.duration_ms);
        text.line(match (&report.error, report.status_code) {
            _ if report.dry_run => format!("would send a test to {}", report.url),
            (None, Some(code)) => format!("{} answered {code} in {took}", report.url),
            (error, _) => format!("{}: {} ({took})", report.url, error.as_deref().unwrap_or("no answer")),
        });
        let was_sent = report.outcome != "refused";
        text.fields(&[("signed", was_sent.then(|| if report.signed { "yes" } else { "no" }.to_owned()))]);
    }
}
