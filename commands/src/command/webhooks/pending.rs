//! `webhooks pending` and `webhooks recovered`.

use recovery::operations::webhooks::{PendingRequest, RecoveredRequest};
use recovery::report::webhooks::{DeliveryStatus, PendingDeliveries, RecoveredDeliveries};
use recovery::state::{Clock, human};

use crate::operate::Show;
use crate::output::Output;
use crate::paint::Tone;
use crate::table::{Cell, Table};
use crate::text::Text;

impl Show for PendingRequest {
    fn show(&self, report: &PendingDeliveries, text: &mut Text) {
        let now = Clock::system().now();
        let mut table = Table::new(&["DELIVERY", "JOB", "STATUS", ">TRIED", "NEXT", "TO", "BECAUSE"]);
        for d in &report.deliveries {
            table.row([
                Cell::from(d.delivery_id.to_string()),
                Cell::from(d.job_id.as_deref().unwrap_or(d.event.as_str())),
                Cell::toned(d.status.as_str(), tone_of(d.status)),
                Cell::from(d.attempts.to_string()),
                Cell::from(d.next_try_at.map_or_else(String::new, |at| human::ago(now, at))),
                Cell::from(&d.url),
                Cell::toned(d.last_error.as_deref().unwrap_or_default(), Tone::Faint),
            ]);
        }
        text.table(&table);
        if !report.findings.is_empty() {
            text.gap();
            text.findings(&report.findings);
        }
    }

    fn remark(&self, report: &PendingDeliveries, output: &mut Output) {
        if report.total == 0 {
            output.note("nothing is undelivered");
        }
    }
}

fn tone_of(status: DeliveryStatus) -> Tone {
    match status {
        DeliveryStatus::Delivered => Tone::Good,
        DeliveryStatus::Parked => Tone::Bad,
        DeliveryStatus::Waiting => Tone::Warning,
        DeliveryStatus::Pending | DeliveryStatus::InFlight | DeliveryStatus::Discarded => Tone::Plain,
    }
}

impl Show for RecoveredRequest {
    fn show(&self, report: &RecoveredDeliveries, text: &mut Text) {
        let mut table = Table::new(&["DELIVERY", "JOB", "WAS", "NOW", ">TRIED", "TO"]);
        for d in &report.deliveries {
            let was = serde_json::to_value(d.was).unwrap_or_default();
            table.row([
                Cell::from(d.delivery_id.to_string()),
                Cell::from(d.job_id.as_deref().unwrap_or(d.event.as_str())),
                Cell::from(was.as_str().unwrap_or_default()),
                Cell::toned(d.status.as_str(), tone_of(d.status)),
                Cell::from(d.attempts.to_string()),
                Cell::from(&d.url),
            ]);
        }
        text.table(&table);
    }

    fn remark(&self, report: &RecoveredDeliveries, output: &mut Output) {
        match (&report.recovery_id, report.found_total) {
            (None, _) => output.note("there was no recovery yet"),
            (_, 0) => output.note("the last recovery found nothing undelivered"),
            _ => {}
        }
    }
}
