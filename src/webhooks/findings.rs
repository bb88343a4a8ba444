//! Findings about deliveries.

use std::collections::HashSet;

use super::log::Problems;
use super::record::DeliveryState;
use super::state::Circuit;
use super::survey::{Survey, Undelivered};
use crate::findings::{Finding, Object, catalogue};
use crate::losses::Found;
use crate::state::{Timestamp, human};

/// How many parked deliveries are named one by one.
const NAMED: usize = 20;

pub(crate) fn findings(survey: &Survey, is_delivering: bool) -> Vec<Finding> {
    let mut found = problem_findings(&survey.problems);
    let parked: Vec<&Undelivered> = survey.undelivered.iter().filter(|u| u.is_parked()).collect();
    found.extend(parked.iter().take(NAMED).map(|u| parked_finding(u)));
    if let Some(more) = parked.len().checked_sub(NAMED).filter(|n| *n > 0) {
        let sentence = format!("{} parked", human::count(more, "more delivery"));
        let finding = Finding::new(&catalogue::WEBHOOK_PARKED, Object::Webhooks, sentence);
        found.push(finding.with_next("recoveryctl retry webhook --all-parked"));
    }
    let due = survey.undelivered.iter().filter(|u| !u.is_parked());
    let due: HashSet<&str> = due.map(|u| u.delivery.target.endpoint.as_str()).collect();
    let circuits = survey.circuits.iter();
    found.extend(circuits.map(|(name, circuit)| circuit_finding(name, circuit, &due, survey.at)));
    let waiting = survey.undelivered.iter().filter(|u| u.is_due(survey)).count();
    if waiting > 0 && !is_delivering {
        let wait = if waiting == 1 { "is" } else { "are" };
        let sentence = format!("{} {wait} due, and no process delivers", human::count(waiting, "delivery"));
        found.push(Finding::new(&catalogue::WEBHOOK_NOBODY_DELIVERS, Object::Webhooks, sentence));
    }
    found
}

fn circuit_finding(endpoint: &str, circuit: &Circuit, due: &HashSet<&str>, now: Timestamp) -> Finding {
    let because = circuit.error.as_ref().map_or_else(String::new, |e| format!(": {e}"));
    let next = if !due.contains(endpoint) {
        "no delivery waits for it".to_owned()
    } else if circuit.open_until > now {
        format!("the next comes at {}", circuit.open_until)
    } else {
        "the next comes as soon as a process delivers and one is due".to_owned()
    };
    let sentence = format!("{} in a row failed{because}; {next}", human::count(circuit.failures, "attempt"));
    Finding::new(&catalogue::WEBHOOK_CIRCUIT_OPEN, Object::Endpoint(endpoint.to_string()), sentence)
}

fn parked_finding(u: &Undelivered) -> Finding {
    let said = u.progress.as_ref().and_then(|c| c.last_error.as_deref()).unwrap_or("no reason is known");
    let whom = u.delivery.target.shown();
    let object = Object::Webhook(u.delivery.id.to_string());
    match u.progress.as_ref().map(|c| c.standing) {
        Some(DeliveryState::Parked { refused: true }) => {
            Finding::new(&catalogue::WEBHOOK_REFUSED, object, format!("nothing was sent to {whom}: {said}"))
        }
        _ => Finding::new(&catalogue::WEBHOOK_PARKED, object, format!("{whom}: {said}")),
    }
}

/// Returns findings about damage of the delivery log.
pub(crate) fn problem_findings(problems: &Problems) -> Vec<Finding> {
    let of_loss = |loss: Found| {
        let finding = Finding::new(&catalogue::WEBHOOK_LOG_DAMAGED, loss.object, loss.sentence);
        finding.with_next("recoveryctl repair webhooks")
    };
    let mut found: Vec<Finding> = problems.losses().map(of_loss).collect();
    found.extend(problems.refused.iter().map(|(seq, why)| {
        let object = Object::WebhookRecord(seq.to_string());
        Finding::new(&catalogue::WEBHOOK_RECORD_REFUSED, object, format!("it changed nothing: {why}"))
    }));
    found.extend(problems.unknown.iter().map(|seq| {
        let sentence = "this version does not know what it says".to_owned();
        Finding::new(&catalogue::WEBHOOK_RECORD_REFUSED, Object::WebhookRecord(seq.to_string()), sentence)
    }));
    found
}
