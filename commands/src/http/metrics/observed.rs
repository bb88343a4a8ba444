//! What happened since the daemon started, for the histograms: ends of jobs as the log of the queue tells them, phases of
//! recoveries and attempts of deliveries as their reports do.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, PoisonError};

use recovery::queue::{JobId, Operation, Record};
use recovery::state::Timestamp;
use serde_json::Value;

use super::histogram::{ByLabel, Histogram};
use super::text::{Kind, Text};

/// So many jobs are remembered until they begin.
const WAITING: usize = 100_000;

/// The counters since the daemon started; see the module.
#[derive(Debug, Default)]
pub(in crate::http) struct Observed(Mutex<Seen>);

#[derive(Debug, Default)]
struct Seen {
    /// When jobs entered the queue that have not begun.
    entered: HashMap<JobId, Timestamp>,
    waits: Histogram,
    runs: ByLabel,
    phases: ByLabel,
    recoveries: BTreeSet<String>,
    deliveries: ByLabel,
    /// The last attempt that was counted.
    delivered_until: String,
    /// Whether counting has begun: what existed when the daemon started is not counted.
    has_begun: bool,
}

impl Observed {
    /// A record of the queue's log; one that is older than this daemon only tells since when a job waits.
    pub(in crate::http) fn record(&self, record: &Record, is_new: bool) {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match &record.operation {
            Operation::Submit(submission) => seen.enters(&submission.job, record.at),
            Operation::SubmitBatch { jobs } => jobs.iter().for_each(|s| seen.enters(&s.job, record.at)),
            Operation::Claim { job, .. } => {
                let entered = seen.entered.remove(job);
                if let Some(entered) = entered.filter(|_| is_new) {
                    seen.waits.observe_ms(record.at.millis_since(entered));
                }
            }
            Operation::End(end) if is_new => {
                if let (Some(started), Some(ended)) = (end.started_at, end.ended_at) {
                    let outcome = serde_json::to_value(end.outcome).ok();
                    let outcome = outcome.as_ref().and_then(Value::as_str).unwrap_or("unknown").to_owned();
                    seen.runs.entry(outcome).or_default().observe_ms(ended.millis_since(started));
                }
            }
            _ => {}
        }
    }

    /// Recoveries and attempts of deliveries that were not there at the last look, out of their reports.
    pub(super) fn look(&self, recoveries: Option<&Value>, attempts: Option<&Value>) {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let counts = std::mem::replace(&mut seen.has_begun, true);
        let list = |report: Option<&Value>, name: &str| -> Vec<Value> {
            report.and_then(|r| r[name].as_array().cloned()).unwrap_or_default()
        };
        for recovery in list(recoveries, "recoveries") {
            let id = recovery["recovery_id"].as_str().unwrap_or_default().to_owned();
            if seen.recoveries.insert(id) && counts {
                for phase in recovery["phases"].as_array().into_iter().flatten() {
                    let name = phase["phase"].as_str().unwrap_or_default().to_owned();
                    let ms = phase["duration_ms"].as_i64().unwrap_or_default();
                    seen.phases.entry(name).or_default().observe_ms(ms);
                }
            }
        }
        let until = seen.delivered_until.clone();
        for attempt in list(attempts, "entries") {
            let at = attempt["at"].as_str().unwrap_or_default().to_owned();
            if at <= until {
                continue;
            }
            if counts {
                let outcome = attempt["outcome"].as_str().unwrap_or_default().to_owned();
                let ms = attempt["duration_ms"].as_i64().unwrap_or_default();
                seen.deliveries.entry(outcome).or_default().observe_ms(ms);
            }
            seen.delivered_until = at.max(std::mem::take(&mut seen.delivered_until));
        }
    }

    pub(super) fn write(&self, text: &mut Text) {
        let seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let name = "job_wait_seconds";
        text.metric(
            name,
            Kind::Histogram,
            "From a job's entry into the queue to the claim of its first attempt",
        );
        text.histogram(name, &[], &seen.waits);
        for (name, help, label, of) in [
            ("job_run_seconds", "From the start of a job's command to its end", "outcome", &seen.runs),
            ("recovery_phase_seconds", "From a phase's first try to its end", "phase", &seen.phases),
            (
                "webhook_attempt_seconds",
                "Attempts of deliveries, from begin to end",
                "outcome",
                &seen.deliveries,
            ),
        ] {
            text.metric(name, Kind::Histogram, help);
            for (value, histogram) in of {
                text.histogram(name, &[(label, value.as_str())], histogram);
            }
        }
    }
}

impl Seen {
    fn enters(&mut self, job: &JobId, at: Timestamp) {
        if self.entered.len() < WAITING {
            self.entered.insert(job.clone(), at);
        }
    }
}
