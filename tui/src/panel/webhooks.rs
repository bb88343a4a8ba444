//! Deliveries that have not been delivered yet, and those that wait for an operator.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::sync::Arc;

use recovery::report::webhooks::{
    Circuit, DeliveryLogEntry, DeliveryLogReport, DeliveryStatus, EndpointLine, PendingDeliveries,
    PendingDelivery,
};
use recovery::state::{Timestamp, human};

use crate::action::Action;
use crate::listing::{Cell, Column, DocumentLine, Listing, Object, Open, Text, Tone};

const COLUMNS: &[Column] = &[
    Column::new("STATUS", 9, 0),
    Column::new("JOB", 14, 0).growing(1),
    Column::new("EVENT", 14, 4),
    Column::number("TRIES", 5, 2),
    Column::number("NEXT TRY", 11, 2),
    Column::new("TO", 20, 1).growing(2),
    Column::new("LAST ERROR", 16, 3).growing(2),
];

/// The undelivered deliveries.
pub struct Webhooks {
    pending: PendingDeliveries,
    log: DeliveryLogReport,
    ids: Vec<String>,
}

impl Webhooks {
    /// Makes the list from the reports.
    pub fn new(pending: PendingDeliveries, log: DeliveryLogReport) -> Webhooks {
        let ids = pending.deliveries.iter().map(|d| d.delivery_id.to_string()).collect();
        Webhooks { pending, log, ids }
    }

    fn delivery(&self, row: usize) -> &PendingDelivery {
        &self.pending.deliveries[row]
    }
}

fn tone_of(status: DeliveryStatus) -> Tone {
    match status {
        DeliveryStatus::Pending | DeliveryStatus::Discarded => Tone::Plain,
        DeliveryStatus::InFlight => Tone::Busy,
        DeliveryStatus::Waiting => Tone::Warning,
        DeliveryStatus::Parked => Tone::Bad,
        DeliveryStatus::Delivered => Tone::Good,
    }
}

fn job_of(delivery: &PendingDelivery) -> &str {
    delivery.job_id.as_deref().unwrap_or("(none)")
}

impl Listing for Webhooks {
    fn columns(&self) -> &'static [Column] {
        COLUMNS
    }

    fn len(&self) -> usize {
        self.ids.len()
    }

    fn key(&self, row: usize) -> Cow<'_, str> {
        (&*self.ids[row]).into()
    }

    fn cell(&self, row: usize, column: usize, now: Timestamp) -> Cell<'_> {
        let delivery = self.delivery(row);
        match column {
            0 => Cell::toned(delivery.status.as_str(), tone_of(delivery.status)),
            1 => Cell::plain(job_of(delivery)),
            2 => Cell::plain(delivery.event.as_str()),
            3 => Cell::plain(delivery.attempts.to_string()),
            4 => Cell::plain(delivery.next_try_at.map_or_else(String::new, |at| human::ago(now, at))),
            5 => Cell::plain(&*delivery.url),
            6 => Cell::toned(delivery.last_error.as_deref().unwrap_or_default(), Tone::Quiet),
            _ => Cell::plain(""),
        }
    }

    fn compare(&self, a: usize, b: usize, column: usize) -> Ordering {
        let (a, b) = (self.delivery(a), self.delivery(b));
        match column {
            0 => a.status.as_str().cmp(b.status.as_str()),
            1 => job_of(a).cmp(job_of(b)),
            2 => a.event.as_str().cmp(b.event.as_str()),
            3 => b.attempts.cmp(&a.attempts),
            4 => a.next_try_at.cmp(&b.next_try_at),
            5 => a.url.cmp(&b.url),
            _ => a.last_error.cmp(&b.last_error),
        }
    }

    fn summary(&self, _now: Timestamp) -> Vec<Cell<'_>> {
        let c = self.pending.counts;
        let counted = |n: u64, status: DeliveryStatus| {
            let tone = if n > 0 { tone_of(status) } else { Tone::Quiet };
            Cell::toned(format!("{n} {}", status.as_str().replace('_', " ")), tone)
        };
        let mut cells = vec![
            counted(c.parked, DeliveryStatus::Parked),
            counted(c.waiting, DeliveryStatus::Waiting),
            counted(c.in_flight, DeliveryStatus::InFlight),
            counted(c.pending, DeliveryStatus::Pending),
        ];
        let open = self.pending.by_endpoint.iter().filter(|e| e.circuit == Circuit::Open).count();
        if open > 0 {
            cells.push(Cell::toned(format!("{} paused", human::count(open, "endpoint")), Tone::Warning));
        }
        cells
    }

    fn empty(&self) -> &'static str {
        "Everything was delivered."
    }

    fn open(&self, row: usize) -> Option<Open> {
        let delivery = self.delivery(row);
        let status = delivery.status.as_str();
        let mut lines =
            vec![DocumentLine { tone: tone_of(delivery.status), ..DocumentLine::field("status", status) }];
        let mut field = |name: &str, value: Option<String>| {
            lines.extend(value.map(|value| DocumentLine::field(name, value)));
        };
        field("to", Some(delivery.url.clone()));
        field("endpoint", delivery.endpoint.clone());
        field("event", Some(format!("{} ({})", delivery.event, delivery.at)));
        field("job", delivery.job_id.clone());
        field("tries", Some(delivery.attempts.to_string()));
        field("next try", delivery.next_try_at.map(|at| at.to_string()));
        field("last error", delivery.last_error.clone());
        let rests = self.pending.by_endpoint.iter().filter(|e| e.circuit == Circuit::Open);
        lines.extend(rests.filter(|e| delivery.url.starts_with(&e.endpoint)).map(rest));
        lines.push(DocumentLine::toned("Tries", Tone::Strong));
        let tries = self.log.entries.iter().rev().filter(|e| e.delivery_id == delivery.delivery_id);
        lines.extend(tries.map(line_of));
        let title = format!("Delivery {}", self.ids[row]);
        Some(Open::Document(Arc::new(Text { title, lines, actions: self.actions(&[row]) })))
    }

    fn why(&self, row: usize) -> Option<Object> {
        Some(Object::Why(format!("job:{}", self.delivery(row).job_id.as_deref()?)))
    }

    fn output(&self, row: usize) -> Option<Object> {
        Some(Object::Output(self.delivery(row).job_id.clone()?))
    }

    fn actions(&self, rows: &[usize]) -> Vec<Action> {
        let tried = |status| matches!(status, DeliveryStatus::Parked | DeliveryStatus::Waiting);
        let chosen = rows.iter().filter(|&&row| tried(self.delivery(row).status));
        let ids: Vec<String> = chosen.map(|&row| self.ids[row].clone()).collect();
        let mut actions = Vec::new();
        if !ids.is_empty() {
            actions.push(Action::retry_webhooks(&ids));
        }
        if self.pending.counts.parked > 0 {
            actions.push(Action::retry_all_webhooks());
        }
        if !ids.is_empty() {
            actions.push(Action::discard_webhooks(&ids));
        }
        actions
    }
}

fn rest(endpoint: &EndpointLine) -> DocumentLine {
    let until = endpoint.open_until.map_or_else(String::new, |at| format!(" until {at}"));
    let text =
        format!("{} is given a rest{until}: {} tries in a row failed", endpoint.endpoint, endpoint.failures);
    DocumentLine { text, tone: Tone::Warning, indent: 2 }
}

fn line_of(entry: &DeliveryLogEntry) -> DocumentLine {
    let code = entry.status_code.map_or_else(String::new, |code| format!(" {code}"));
    let error = entry.error.as_ref().map_or_else(String::new, |error| format!(": {error}"));
    let took = human::duration(entry.duration_ms);
    let text = format!("  {:>3} {} {}{code} in {took}{error}", entry.attempt, entry.at, entry.outcome);
    DocumentLine { text, tone: Tone::Plain, indent: 6 }
}
