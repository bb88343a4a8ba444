//! `/metrics` for Prometheus: the figures of the reports, under their names, and those of HTTP itself.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::http::{Request, Response};
use serde_json::Value;

use super::answer::{Answer, guard};
use super::execute::carry_out;
use super::gate::Asker;
use super::server::Shared;
use super::serving::admitted;

const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Method, path, status.
type Asked = (String, &'static str, u16);

/// How often was asked for what, and how it ended.
#[derive(Debug, Default)]
pub(super) struct Traffic {
    counts: Mutex<BTreeMap<Asked, (u64, Duration)>>,
}

impl Traffic {
    pub(super) fn count(&self, method: &str, path: &'static str, status: u16, took: Duration) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let (number, time) = counts.entry((method.to_owned(), path, status)).or_default();
        *number += 1;
        *time += took;
    }

    fn write(&self, text: &mut Text) {
        let counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        text.kind("http_requests_total", "counter", "Requests by method, path and status");
        for ((method, path, status), (number, _)) in counts.iter() {
            let labels = [("method", method.as_str()), ("path", path), ("status", &status.to_string())];
            text.sample("http_requests_total", &labels, &number.to_string());
        }
        text.kind("http_request_seconds_total", "counter", "Time spent on them");
        for ((method, path, status), (_, time)) in counts.iter() {
            let labels = [("method", method.as_str()), ("path", path), ("status", &status.to_string())];
            text.sample("http_request_seconds_total", &labels, &time.as_secs_f64().to_string());
        }
    }
}

pub(super) async fn serve(State(shared): State<Arc<Shared>>, request: Request<Body>) -> Response<Body> {
    let (head, _) = request.into_parts();
    let answer = match admitted(&shared, &head).await {
        Ok(asker) => {
            let with = shared.clone();
            let made = shared.pool.run(move || Answer::text(200, TEXT, exposition(&with, &asker)));
            made.await.unwrap_or_else(Answer::from)
        }
        Err(problem) => problem.into(),
    };
    let mut response = answer.respond(&head.headers, true);
    guard(response.headers_mut(), &shared.next_request_id());
    response
}

/// The reports that figures come from: the words, and what their names begin with.
const REPORTS: &[(&[&str], &str)] = &[
    (&["queue", "metrics"], "queue"),
    (&["jobs", "metrics"], "jobs"),
    (&["recovery", "metrics"], "recovery"),
];

fn exposition(shared: &Shared, asker: &Asker) -> String {
    let report = |words: &[&str]| {
        let line = std::iter::once("--json").chain(words.iter().copied()).map(Into::into).collect();
        carry_out(shared.loaded(), asker, line).members().map(Value::Object)
    };
    let mut text = Text::default();
    if let Some(status) = report(&["status"]) {
        of_status(&mut text, &status);
    }
    for (words, prefix) in REPORTS {
        if let Some(Value::Object(members)) = report(words) {
            members.iter().for_each(|(name, value)| of_member(&mut text, &format!("{prefix}_{name}"), value));
        }
    }
    text.kind("loop_restarts_total", "counter", "Loops of the daemon that broke off and were begun again");
    text.sample("loop_restarts_total", &[], &restarts(shared).to_string());
    shared.traffic.write(&mut text);
    text.0
}

/// How often the daemon's loop broke off.
fn restarts(shared: &Shared) -> u32 {
    recovery::daemon::known_daemon(&shared.dir).ok().flatten().map_or(0, |info| info.loop_restarts)
}

fn of_status(text: &mut Text, status: &Value) {
    text.kind("state", "gauge", "1 for the state that the whole is in");
    for state in ["healthy", "degraded", "recovering", "damaged", "safe_mode"] {
        let is_it = if status["state"] == state { "1" } else { "0" };
        text.sample("state", &[("state", state)], is_it);
    }
    text.kind("jobs", "gauge", "Jobs by status");
    for (name, number) in status["counts"].as_object().into_iter().flatten() {
        text.sample("jobs", &[("status", name)], &number.to_string());
    }
    text.kind("findings", "gauge", "Findings by code and severity");
    let mut findings: BTreeMap<(&str, &str), u64> = BTreeMap::new();
    for finding in status["findings"].as_array().into_iter().flatten() {
        let word = |name: &str| finding[name].as_str().unwrap_or_default();
        *findings.entry((word("code"), word("severity"))).or_default() += 1;
    }
    for ((code, severity), number) in findings {
        text.sample("findings", &[("code", code), ("severity", severity)], &number.to_string());
    }
    text.kind("degraded_resources", "gauge", "Resources that cannot be used");
    let degraded = status["degraded_resources"].as_array().map_or(0, Vec::len);
    text.sample("degraded_resources", &[], &degraded.to_string());
}

/// A number as it is; an object of numbers with the names of its members as labels, one or two levels deep.
fn of_member(text: &mut Text, name: &str, value: &Value) {
    let kind = if name.ends_with("_total") { "counter" } else { "gauge" };
    match value {
        Value::Number(number) => {
            text.kind(name, kind, "As in the report of this name");
            text.sample(name, &[], &number.to_string());
        }
        Value::Object(members) => {
            text.kind(name, kind, "As in the report of this name");
            for (of, value) in members {
                match value {
                    Value::Number(number) => text.sample(name, &[("of", of)], &number.to_string()),
                    Value::Object(inner) => {
                        for (what, number) in inner.iter().filter(|(_, v)| v.is_number()) {
                            text.sample(name, &[("of", of), ("what", what)], &number.to_string());
                        }
                    }
                    _ => {}
                }
            }
        }
        _ => {}
    }
}

/// Text in the exposition format.
#[derive(Debug, Default)]
struct Text(String);

impl Text {
    fn kind(&mut self, name: &str, kind: &str, help: &str) {
        let _ = writeln!(self.0, "# HELP recoveryctl_{name} {help}\n# TYPE recoveryctl_{name} {kind}");
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: &str) {
        let escaped = |text: &str| text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
        let labels: Vec<String> =
            labels.iter().map(|(name, value)| format!("{name}=\"{}\"", escaped(value))).collect();
        let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
        let _ = writeln!(self.0, "recoveryctl_{name}{labels} {value}");
    }
}
