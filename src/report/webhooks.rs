//! Reports on deliveries.

use std::collections::{BTreeMap, HashMap};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::page::{BadCursor, Page, cut_counted};
use crate::findings::Finding;
use crate::queue::masked_url;
use crate::recovery::RecoveryRecord;
use crate::state::{Timestamp, Word};
use crate::webhooks::findings::{findings, problem_findings};
use crate::webhooks::{
    Delivery, DeliveryId, DeliveryLogRecovery, DeliveryLogState, DeliveryOutcome, DeliveryRefusal,
    DeliveryState, Event, FoundDelivery, PastAttempt, Problems, Survey, Undelivered, Was,
};

/// Where a delivery stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)] // The members are the published form; see docs/webhooks.md.
pub enum DeliveryStatus {
    Pending,
    InFlight,
    Waiting,
    Parked,
    Delivered,
    Discarded,
}

impl DeliveryStatus {
    /// Returns its word.
    pub const fn as_str(self) -> &'static str {
        match self {
            DeliveryStatus::Pending => "pending",
            DeliveryStatus::InFlight => "in_flight",
            DeliveryStatus::Waiting => "waiting",
            DeliveryStatus::Parked => "parked",
            DeliveryStatus::Delivered => "delivered",
            DeliveryStatus::Discarded => "discarded",
        }
    }

    fn of(standing: Option<DeliveryState>) -> DeliveryStatus {
        match standing {
            None => DeliveryStatus::Pending,
            Some(DeliveryState::InFlight { .. }) => DeliveryStatus::InFlight,
            Some(DeliveryState::Waiting { .. }) => DeliveryStatus::Waiting,
            Some(DeliveryState::Parked { .. }) => DeliveryStatus::Parked,
        }
    }
}

/// Deliveries by where they stand.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs)]
pub struct DeliveryCounts {
    pub pending: u64,
    pub in_flight: u64,
    pub waiting: u64,
    pub parked: u64,
}

impl DeliveryCounts {
    fn count(&mut self, status: DeliveryStatus) {
        match status {
            DeliveryStatus::Pending => self.pending += 1,
            DeliveryStatus::InFlight => self.in_flight += 1,
            DeliveryStatus::Waiting => self.waiting += 1,
            DeliveryStatus::Parked => self.parked += 1,
            DeliveryStatus::Delivered | DeliveryStatus::Discarded => {}
        }
    }

    /// Returns their sum.
    pub fn total(&self) -> u64 {
        self.pending + self.in_flight + self.waiting + self.parked
    }

    /// Counts the deliveries of a survey.
    pub(crate) fn of(survey: &Survey) -> DeliveryCounts {
        let mut counts = DeliveryCounts::default();
        survey.undelivered.iter().for_each(|u| counts.count(status_of(u)));
        counts
    }
}

/// What is undelivered, in figures.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs)]
pub struct DeliveryTotals {
    #[serde(flatten)]
    pub counts: DeliveryCounts,
    pub total: u64,
    /// When the oldest of them came about.
    pub oldest_at: Option<Timestamp>,
}

impl DeliveryTotals {
    /// Counts the deliveries of a survey.
    pub(crate) fn of(survey: &Survey) -> DeliveryTotals {
        let counts = DeliveryCounts::of(survey);
        let oldest_at = survey.undelivered.iter().map(|u| u.delivery.at).min();
        DeliveryTotals { counts, total: counts.total(), oldest_at }
    }
}

fn status_of(u: &Undelivered) -> DeliveryStatus {
    DeliveryStatus::of(u.progress.as_ref().map(|c| c.standing))
}

/// An undelivered delivery.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs)]
pub struct PendingDelivery {
    pub delivery_id: DeliveryId,
    pub job_id: Option<String>,
    pub event: Event,
    /// Without passwords and tokens.
    pub url: String,
    /// The configured endpoint that it is for; `null` for a job's callback.
    pub endpoint: Option<String>,
    pub at: Timestamp,
    pub attempts: u32,
    pub status: DeliveryStatus,
    /// Not before; its endpoint may be busy, or its circuit open, even then.
    pub next_try_at: Option<Timestamp>,
    pub last_error: Option<String>,
}

impl PendingDelivery {
    fn of(u: &Undelivered, survey: &Survey) -> PendingDelivery {
        let Undelivered { delivery, progress } = u;
        let not_before = survey.retry_after.get(&delivery.target.endpoint).copied();
        let next_try_at = match progress.as_ref().map(|c| c.standing) {
            None => not_before,
            Some(DeliveryState::Waiting { next_try_at }) => Some(next_try_at).max(not_before),
            Some(DeliveryState::InFlight { .. } | DeliveryState::Parked { .. }) => None,
        };
        PendingDelivery {
            delivery_id: delivery.id,
            job_id: delivery.job_id().map(ToString::to_string),
            event: delivery.event,
            url: delivery.target.shown(),
            endpoint: delivery.target.name.clone(),
            at: delivery.at,
            attempts: progress.as_ref().map_or(0, |c| c.attempts),
            status: status_of(u),
            next_try_at,
            last_error: progress.as_ref().and_then(|c| c.last_error.as_deref().map(str::to_owned)),
        }
    }
}

/// Whether an endpoint is sent anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Circuit {
    /// It is.
    #[default]
    Closed,
    /// Nothing is sent until `open_until`.
    Open,
}

/// What waits for one endpoint: scheme, host and port.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs)]
pub struct EndpointLine {
    pub endpoint: String,
    #[serde(flatten)]
    pub counts: DeliveryCounts,
    pub oldest_at: Option<Timestamp>,
    pub circuit: Circuit,
    pub open_until: Option<Timestamp>,
    pub failures: u32,
    pub last_error: Option<String>,
    /// It asked to be left alone until then (`Retry-After`).
    pub not_before: Option<Timestamp>,
}

/// What is undelivered.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs)]
pub struct PendingDeliveries {
    pub counts: DeliveryCounts,
    pub deliveries: Vec<PendingDelivery>,
    pub total: u64,
    pub next_cursor: Option<String>,
    pub by_endpoint: Vec<EndpointLine>,
    pub findings: Vec<Finding>,
}

impl PendingDeliveries {
    /// Reports on a survey; `only` selects one status.
    pub(crate) fn new(
        survey: &Survey,
        only: Option<DeliveryStatus>,
        is_delivering: bool,
        page: &Page,
    ) -> Result<PendingDeliveries, BadCursor> {
        let wanted = survey.undelivered.iter().filter(|u| only.is_none_or(|s| status_of(u) == s));
        let wanted: Vec<&Undelivered> = wanted.collect();
        let total = wanted.len() as u64;
        let (part, next_cursor) = cut_counted(wanted, page)?;
        Ok(PendingDeliveries {
            counts: DeliveryCounts::of(survey),
            deliveries: part.into_iter().map(|u| PendingDelivery::of(u, survey)).collect(),
            total,
            next_cursor,
            by_endpoint: by_endpoint(survey),
            findings: findings(survey, is_delivering),
        })
    }
}

fn by_endpoint(survey: &Survey) -> Vec<EndpointLine> {
    let mut lines: BTreeMap<&str, EndpointLine> = BTreeMap::new();
    for u in &survey.undelivered {
        let line = lines.entry(&u.delivery.target.endpoint).or_default();
        line.counts.count(status_of(u));
        let at = u.delivery.at;
        line.oldest_at = Some(line.oldest_at.map_or(at, |oldest| oldest.min(at)));
    }
    for (endpoint, circuit) in &survey.circuits {
        let line = lines.entry(endpoint).or_default();
        (line.open_until, line.failures) = (Some(circuit.open_until), circuit.failures);
        line.last_error.clone_from(&circuit.error);
    }
    let named = lines.into_iter().map(|(endpoint, line)| EndpointLine {
        endpoint: endpoint.to_owned(),
        not_before: survey.retry_after.get(endpoint).copied(),
        circuit: if line.open_until.is_some() { Circuit::Open } else { Circuit::Closed },
        ..line
    });
    named.collect()
}

/// A delivery that the last recovery found undelivered.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs)]
pub struct RecoveredDelivery {
    pub delivery_id: DeliveryId,
    pub job_id: Option<String>,
    pub event: Event,
    pub url: String,
    pub attempts: u32,
    /// Where it stood when it was found.
    pub was: Was,
    /// What has become of it.
    pub status: DeliveryStatus,
    pub last_error: Option<String>,
}

/// What the last recovery found undelivered.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs)]
pub struct RecoveredDeliveries {
    /// `null` when there was no recovery.
    pub recovery_id: Option<String>,
    pub at: Option<Timestamp>,
    pub found: DeliveryCounts,
    /// All that were found; the oldest thousand are listed.
    pub found_total: u64,
    pub deliveries: Vec<RecoveredDelivery>,
    pub total: u64,
    pub next_cursor: Option<String>,
}

impl RecoveredDeliveries {
    /// Makes the report from the record of the last recovery and the present delivery log. Of deliveries that
    /// have arrived, the log only has the attempts in `tried`.
    pub(crate) fn new(
        last: Option<&RecoveryRecord>,
        now: &DeliveryLogState,
        tried: &[PastAttempt],
        page: &Page,
    ) -> Result<RecoveredDeliveries, BadCursor> {
        let detail = last.and_then(|l| l.details.get("webhooks"));
        let found: Option<DeliveryLogRecovery> = detail.and_then(|d| serde_json::from_value(d.clone()).ok());
        let found = found.unwrap_or_default();
        let total = found.deliveries.len() as u64;
        let (part, next_cursor) = cut_counted(found.deliveries, page)?;
        let mut attempts: HashMap<DeliveryId, u32> = HashMap::new();
        for PastAttempt { attempted, .. } in tried {
            let most = attempts.entry(attempted.delivery).or_default();
            *most = attempted.attempt.max(*most);
        }
        let (recovery_id, at) =
            last.map(|l| (l.snapshot.recovery_id.to_string(), l.snapshot.ended_at)).unzip();
        Ok(RecoveredDeliveries {
            recovery_id,
            at: at.flatten(),
            found: DeliveryCounts {
                pending: found.pending,
                in_flight: found.in_flight,
                waiting: found.waiting,
                parked: found.parked,
            },
            found_total: found.total,
            deliveries: part.into_iter().map(|d| recovered(d, now, &attempts)).collect(),
            total,
            next_cursor,
        })
    }
}

fn recovered(
    found: FoundDelivery,
    now: &DeliveryLogState,
    attempts: &HashMap<DeliveryId, u32>,
) -> RecoveredDelivery {
    let progress = now.progress(found.delivery_id);
    let status = if now.is_discarded(found.delivery_id) {
        DeliveryStatus::Discarded
    } else if now.is_settled(found.delivery_id) {
        DeliveryStatus::Delivered
    } else {
        DeliveryStatus::of(progress.map(|c| c.standing))
    };
    // A delivery cannot have arrived without an attempt, whatever the log still has.
    let least = found.attempts.max(u32::from(status == DeliveryStatus::Delivered));
    let known = progress.map(|c| c.attempts).or_else(|| attempts.get(&found.delivery_id).copied());
    RecoveredDelivery {
        delivery_id: found.delivery_id,
        job_id: found.job_id,
        event: found.event,
        // Records of earlier versions hold more of the address.
        url: masked_url(&found.url),
        attempts: known.unwrap_or(0).max(least),
        was: found.was,
        status,
        last_error: progress.and_then(|c| c.last_error.as_deref().map(str::to_owned)),
    }
}

/// An attempt of the past.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs)]
pub struct DeliveryLogEntry {
    pub at: Timestamp,
    pub delivery_id: DeliveryId,
    pub job_id: Option<String>,
    pub event: Event,
    pub url: String,
    pub attempt: u32,
    pub outcome: DeliveryOutcome,
    pub status_code: Option<u16>,
    pub duration_ms: u64,
    pub error: Option<String>,
    pub next_try_at: Option<Timestamp>,
}

/// What was tried, the newest first.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs)]
pub struct DeliveryLogReport {
    pub entries: Vec<DeliveryLogEntry>,
    pub total: u64,
    pub next_cursor: Option<String>,
    pub findings: Vec<Finding>,
}

impl DeliveryLogReport {
    /// Reports these attempts.
    pub(crate) fn new(
        attempts: Vec<PastAttempt>,
        problems: &Problems,
        page: &Page,
    ) -> Result<DeliveryLogReport, BadCursor> {
        let total = attempts.len() as u64;
        let (part, next_cursor) = cut_counted(attempts, &page.newest_first())?;
        let entries = part.into_iter().map(|PastAttempt { ended_at, attempted: a }| DeliveryLogEntry {
            at: ended_at,
            delivery_id: a.delivery,
            job_id: a.job_id,
            event: a.event,
            url: masked_url(&a.url),
            attempt: a.attempt,
            outcome: a.outcome,
            status_code: a.status_code,
            duration_ms: a.duration_ms,
            error: a.error,
            next_try_at: a.next_try_at,
        });
        let findings = problem_findings(problems);
        Ok(DeliveryLogReport { entries: entries.collect(), total, next_cursor, findings })
    }
}

/// A delivery that is tried again, or given up.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs)]
pub struct ChosenDelivery {
    pub delivery_id: DeliveryId,
    pub job_id: Option<String>,
    pub url: String,
}

impl ChosenDelivery {
    /// Reports a chosen delivery.
    pub(crate) fn of(delivery: &Delivery) -> ChosenDelivery {
        ChosenDelivery {
            delivery_id: delivery.id,
            job_id: delivery.job_id().map(ToString::to_string),
            url: delivery.target.shown(),
        }
    }
}

/// One that is not.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs)]
pub struct RefusedDelivery {
    pub delivery_id: String,
    pub code: Word,
    pub detail: String,
}

impl RefusedDelivery {
    /// Refuses an id because no such delivery is known.
    pub(crate) fn unknown(id: &str) -> RefusedDelivery {
        RefusedDelivery {
            delivery_id: id.to_owned(),
            code: "no-such-delivery".into(),
            detail: "there is no such undelivered delivery".to_owned(),
        }
    }

    /// Refuses a delivery because of its state.
    pub(crate) fn because(id: DeliveryId, refusal: &DeliveryRefusal) -> RefusedDelivery {
        let code = match refusal {
            DeliveryRefusal::Settled(_) => "delivery-settled",
            DeliveryRefusal::InFlight(_) => "delivery-in-flight",
            DeliveryRefusal::NeverTried(_) => "delivery-due",
            DeliveryRefusal::Parked(_)
            | DeliveryRefusal::OtherAttempt { .. }
            | DeliveryRefusal::Compaction => "refused",
        };
        RefusedDelivery { delivery_id: id.to_string(), code: code.into(), detail: refusal.to_string() }
    }
}

/// What is tried again.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "WebhookRetry")]
#[allow(missing_docs)]
pub struct RetryReport {
    pub retried: Vec<ChosenDelivery>,
    pub refused: Vec<RefusedDelivery>,
    pub dry_run: bool,
}

/// What is given up.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs)]
pub struct DiscardReport {
    pub discarded: Vec<ChosenDelivery>,
    pub refused: Vec<RefusedDelivery>,
    pub dry_run: bool,
}
