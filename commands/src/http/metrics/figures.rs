//! Figures of the reports: each with its name, its unit and what it says.

use std::collections::BTreeMap;

use recovery::report::status::State;
use recovery::state::{StateDir, Timestamp};
use recovery::system::room_on;
use serde_json::{Value, json};

use super::text::{Kind, Text};

/// A member of a report: a number, or an object of numbers whose names are the values of a label.
struct Figure {
    member: &'static str,
    name: &'static str,
    label: &'static str,
    help: &'static str,
}

const fn total(member: &'static str, name: &'static str, help: &'static str) -> Figure {
    Figure { member, name, label: "", help }
}

const fn by(label: &'static str, member: &'static str, name: &'static str, help: &'static str) -> Figure {
    Figure { member, name, label, help }
}

/// Counters of `queue metrics`.
const QUEUE: &[Figure] = &[
    total("enqueued_total", "queue_enqueued_total", "Jobs that entered the queue since it was made"),
    total("started_total", "queue_started_total", "Attempts that were begun"),
    by("outcome", "finished_total", "queue_finished_total", "Attempts that ended, by outcome"),
    total("requeued_total", "queue_requeued_total", "Crashed jobs that were queued again by their policy"),
    total("resumed_total", "queue_resumed_total", "Jobs that an operator resumed"),
    total(
        "restored_total",
        "queue_restored_total",
        "Jobs that were brought back from other files than the log",
    ),
    total(
        "recoveries_total",
        "queue_recoveries_total",
        "Recoveries of the queue, of the last hundred recoveries",
    ),
    total("records_replayed_total", "queue_records_replayed_total", "Records that those recoveries replayed"),
    total(
        "records_damaged_total",
        "queue_records_damaged_total",
        "Damaged records that those recoveries met",
    ),
    total("checkpoints_total", "queue_checkpoints_total", "Checkpoints of the queue"),
];

/// Counters of `jobs metrics`.
const JOBS: &[Figure] = &[
    total("found_total", "jobs_found_total", "Running jobs that recoveries found"),
    total("reattached_total", "jobs_reattached_total", "Running jobs that recoveries took up again"),
    total(
        "finished_while_away_total",
        "jobs_finished_while_away_total",
        "Jobs that had ended while no daemon ran",
    ),
    total("crashed_total", "jobs_crashed_total", "Jobs whose processes had vanished"),
    total(
        "died_after_reattach_total",
        "jobs_died_after_reattach_total",
        "Jobs that vanished after they were taken up",
    ),
    total("resumed_total", "jobs_resumed_total", "Jobs that were resumed"),
];

/// Counters of `recovery metrics`.
const RECOVERY: &[Figure] = &[
    by("outcome", "recoveries_total", "recoveries_total", "Recoveries by outcome, of the last hundred"),
    total("degraded_total", "recovery_degraded_total", "Resources that were unusable after recoveries"),
    total("skipped_total", "recovery_skipped_total", "Phases that were passed over"),
    total("retried_total", "recovery_retried_total", "Tries of phases beyond the first"),
];

/// All of them, out of the reports that `report` makes of words.
pub(super) fn write(text: &mut Text, dir: &StateDir, report: &dyn Fn(&[&str], Value) -> Option<Value>) {
    let board = report(&["recovery", "dashboard"], json!({})).unwrap_or_default();
    of_status(text, &board["status"]);
    for (words, figures) in
        [(["queue", "metrics"], QUEUE), (["jobs", "metrics"], JOBS), (["recovery", "metrics"], RECOVERY)]
    {
        if let Some(report) = report(&words, json!({})) {
            figures.iter().for_each(|figure| counter(text, figure, &report[figure.member]));
        }
    }
    let oldest = report(&["jobs", "list"], json!({ "status": "queued", "reverse": true, "limit": 1 }));
    let now = dir.clock.now();
    let age =
        |at: &Value| at.as_str().and_then(|at| at.parse::<Timestamp>().ok()).map(|at| now.millis_since(at));
    let first = oldest.as_ref().map(|list| &list["jobs"][0]["submitted_at"]);
    let cleanup = |c: &Value| age(&c["created_at"]);
    let ages = |list: &Value, of: &dyn Fn(&Value) -> Option<i64>| {
        list.as_array().into_iter().flatten().filter_map(of).max()
    };
    for (name, help, ms) in [
        ("queue_oldest_waiting_seconds", "How long the oldest waiting job waits", first.and_then(age)),
        (
            "webhooks_oldest_seconds",
            "Age of the oldest delivery that has not arrived",
            age(&board["webhooks"]["oldest_at"]),
        ),
        (
            "locks_oldest_held_seconds",
            "How long the oldest lock is held",
            ages(&board["locks"]["locks"], &|l| l["age_ms"].as_i64()),
        ),
        (
            "cleanups_oldest_open_seconds",
            "Age of the oldest cleanup that is not over",
            ages(&board["cleanup"]["cleanups"], &cleanup),
        ),
    ] {
        // Nothing waits: nothing is old.
        text.single(name, Kind::Gauge, help, &seconds(ms.unwrap_or(0)));
    }
    // What was never done has no age.
    if let Some(ms) = age(&board["orphans"]["taken_at"]) {
        let help = "How long ago orphans were looked for";
        text.single("orphans_scan_age_seconds", Kind::Gauge, help, &seconds(ms));
    }
    let held = board["locks"]["total"].as_u64().unwrap_or(0).to_string();
    text.single("locks_held", Kind::Gauge, "Repository locks that are held", &held);
    by_status(
        text,
        "webhooks_undelivered",
        "Deliveries that have not arrived, by where they stand",
        &board["webhooks"],
    );
    by_status(text, "cleanups", "Cleanups by where they stand", &board["cleanup"]["counts"]);
    if let Some(room) = room_on(dir.paths.root()) {
        let free = "Room on the disk of the state directory";
        text.single("disk_free_bytes", Kind::Gauge, free, &room.free.to_string());
        text.single(
            "disk_size_bytes",
            Kind::Gauge,
            "Size of the disk of the state directory",
            &room.size.to_string(),
        );
    }
}

fn of_status(text: &mut Text, status: &Value) {
    text.metric("state", Kind::Gauge, "1 for the state that the whole is in, 0 for the others");
    for state in State::ALL.map(State::as_str) {
        let is_it = if status["state"] == state { "1" } else { "0" };
        text.sample("state", &[("state", state)], is_it);
    }
    by_status(text, "jobs", "Jobs by status", &status["counts"]);
    text.metric("findings", Kind::Gauge, "Findings by code and severity");
    let mut findings: BTreeMap<(&str, &str), u64> = BTreeMap::new();
    for finding in status["findings"].as_array().into_iter().flatten() {
        let word = |name: &str| finding[name].as_str().unwrap_or_default();
        *findings.entry((word("code"), word("severity"))).or_default() += 1;
    }
    for ((code, severity), number) in findings {
        text.sample("findings", &[("code", code), ("severity", severity)], &number.to_string());
    }
    let degraded = status["degraded_resources"].as_array().map_or(0, Vec::len).to_string();
    text.single("degraded_resources", Kind::Gauge, "Resources that cannot be used", &degraded);
}

fn counter(text: &mut Text, figure: &Figure, value: &Value) {
    text.metric(figure.name, Kind::Counter, figure.help);
    match value {
        Value::Object(members) => {
            for (of, number) in members.iter().filter(|(_, v)| v.is_number()) {
                text.sample(figure.name, &[(figure.label, of)], &number.to_string());
            }
        }
        Value::Number(number) => text.sample(figure.name, &[], &number.to_string()),
        _ => {}
    }
}

/// The numbers of an object, by their names.
fn by_status(text: &mut Text, name: &str, help: &str, counts: &Value) {
    text.metric(name, Kind::Gauge, help);
    let numbers = counts.as_object().into_iter().flatten().filter(|(of, v)| v.is_number() && *of != "total");
    for (status, number) in numbers {
        text.sample(name, &[("status", status)], &number.to_string());
    }
}

fn seconds(ms: i64) -> String {
    #[allow(clippy::cast_precision_loss)] // Milliseconds of 285,000 years are exact.
    let seconds = ms.max(0) as f64 / 1000.0;
    seconds.to_string()
}
