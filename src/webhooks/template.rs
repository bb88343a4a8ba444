//! The body of a request: the usual document, or a callback's own template.
//!
//! A template's `{name}` is replaced by a value, escaped as inside a JSON text; everything else, braces
//! included, stays as it is. So the same template always gives the same bytes.

use serde::Serialize;

use super::delivery::{Delivery, Facts};

/// The document of Standard Webhooks.
#[derive(Serialize)]
struct Document<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    timestamp: String,
    data: &'a Facts,
}

/// Returns the body of a delivery; every attempt has the same bytes.
pub(super) fn body_of(delivery: &Delivery) -> Vec<u8> {
    let target = &delivery.target;
    let bodyless = matches!(target.method.as_deref(), Some("GET" | "DELETE"));
    match &target.body {
        Some(template) => fill(template, delivery).into_bytes(),
        None if bodyless => Vec::new(),
        None => {
            let document = Document {
                kind: delivery.event.as_str(),
                timestamp: delivery.at.to_string(),
                data: &delivery.facts,
            };
            serde_json::to_vec(&document).unwrap_or_default() // Texts and numbers: always JSON.
        }
    }
}

/// Replaces the names in a template. A value that does not exist (`exit_code` of a killed job) becomes
/// `null`.
pub(super) fn fill(template: &str, delivery: &Delivery) -> String {
    let facts = serde_json::to_value(&delivery.facts).unwrap_or_default();
    let value = |name: &str| match name {
        "delivery_id" => Some(delivery.id.to_string().into()),
        "event" => Some(delivery.event.as_str().into()),
        "timestamp" => Some(delivery.at.to_string().into()),
        _ => facts.get(name).cloned(),
    };
    let mut filled = String::new();
    let mut rest = template;
    while let Some(at) = rest.find('{') {
        filled.push_str(&rest[..at]);
        let behind = &rest[at + 1..];
        match behind.find('}').and_then(|end| Some((value(&behind[..end])?, end))) {
            Some((value, end)) => {
                filled.push_str(&written(&value));
                rest = &behind[end + 1..];
            }
            None => {
                filled.push('{');
                rest = behind;
            }
        }
    }
    filled.push_str(rest);
    filled
}

fn written(value: &serde_json::Value) -> String {
    let json = value.to_string();
    match value {
        serde_json::Value::String(_) => json[1..json.len() - 1].to_owned(),
        _ => json,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::delivery::{DeliveryId, Event, JobFacts};
    use super::super::target::DeliveryTarget;
    use super::*;
    use crate::queue::{Callback, JobStatus};
    use crate::state::Timestamp;

    fn delivery(body: Option<&str>) -> Delivery {
        let at = Timestamp::from_millis(1_772_357_400_123);
        Delivery {
            id: DeliveryId::derived(uuid::Uuid::nil(), "a", "b"),
            event: Event::JobEnded,
            at,
            facts: Facts::Job(JobFacts {
                job_id: "nightly \"x\"".parse().unwrap(),
                status: JobStatus::Failed,
                attempt: 2,
                exit_code: None,
                signal: Some(9),
                reason: None,
                repository: Some("web".into()),
                submitted_at: at,
                started_at: Some(at),
                finished_at: at,
            }),
            target: Arc::new(DeliveryTarget::of_callback(Callback {
                body: body.map(str::to_owned),
                ..Callback::to("http://x/")
            })),
        }
    }

    #[test]
    fn default_document_members() {
        let body: serde_json::Value = serde_json::from_slice(&body_of(&delivery(None))).unwrap();
        assert_eq!(body["type"], "job.ended");
        assert_eq!(body["timestamp"], "2026-03-01T09:30:00.123Z");
        assert_eq!((&body["data"]["status"], &body["data"]["signal"]), (&"failed".into(), &9.into()));
    }

    #[test]
    fn template_replaces_names_and_keeps_other_braces() {
        let template = r#"{"text":"{job_id} {status}","code":{exit_code},"n":{attempt},"o":{},"x":"{nobody}"#;
        let filled = String::from_utf8(body_of(&delivery(Some(template)))).unwrap();
        assert_eq!(filled, r#"{"text":"nightly \"x\" failed","code":null,"n":2,"o":{},"x":"{nobody}"#);
    }
}
