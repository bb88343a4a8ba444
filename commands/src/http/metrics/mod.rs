//! `/metrics` for Prometheus: the figures of the reports in base units, how long things took since the daemon started, and
//! the figures of HTTP itself. `?former=true` adds the names of the version before, which the next one does not have.

mod figures;
mod histogram;
mod observed;
mod text;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::body::Body;
use axum::extract::State as Extract;
use axum::http::{Request, Response};
use recovery::operations::{Context, Requested, TABLE};
use serde_json::{Value, json};

use super::answer::{Answer, guard};
use super::auth::Principal;
use super::execute::{in_context, members};
use super::server::Shared;
use super::serving::admitted;

pub(super) use observed::Observed;
use text::{Kind, Text};

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
        text.metric("http_requests_total", Kind::Counter, "Requests by method, path and status");
        for ((method, path, status), (number, _)) in counts.iter() {
            let labels = [("method", method.as_str()), ("path", path), ("status", &status.to_string())];
            text.sample("http_requests_total", &labels, &number.to_string());
        }
        text.metric("http_request_seconds_total", Kind::Counter, "Time spent on requests");
        for ((method, path, status), (_, time)) in counts.iter() {
            let labels = [("method", method.as_str()), ("path", path), ("status", &status.to_string())];
            text.sample("http_request_seconds_total", &labels, &time.as_secs_f64().to_string());
        }
    }
}

pub(super) async fn serve(Extract(shared): Extract<Arc<Shared>>, request: Request<Body>) -> Response<Body> {
    let (head, _) = request.into_parts();
    let answer = match admitted(&shared, &head).await {
        Ok(principal) => {
            let with = shared.clone();
            let former = head.uri.query().is_some_and(|query| query.split('&').any(|p| p == "former=true"));
            let made =
                shared.pool.run(move || Answer::text(200, TEXT, exposition(&with, &principal, former)));
            made.await.unwrap_or_else(Answer::from)
        }
        Err(problem) => problem.into(),
    };
    let mut response = answer.respond(&head.headers, true);
    guard(response.headers_mut(), &shared.next_request_id());
    response
}

/// The figures of which an earlier version had other names: the words of the report, and what those began with.
const FORMER: &[(&[&str], &str)] = &[
    (&["queue", "metrics"], "queue"),
    (&["jobs", "metrics"], "jobs"),
    (&["recovery", "metrics"], "recovery"),
];

fn exposition(shared: &Shared, principal: &Principal, former: bool) -> String {
    let report = |words: &[&str], request: Value| {
        let row = TABLE.iter().find(|row| row.entry.words == words)?;
        let line: Vec<OsString> = words.iter().map(Into::into).collect();
        let run = |context: &mut Context<'_>| (row.run)(context, Requested::Members(&request));
        members(&in_context(shared.site(), principal, (None, false), &line, run)).map(Value::Object)
    };
    let mut text = Text::default();
    figures::write(&mut text, &shared.dir, &report);
    text.single(
        "loop_restarts_total",
        Kind::Counter,
        "Loops of the daemon that broke off and were begun again",
        &restarts(shared).to_string(),
    );
    let recoveries = report(&["recovery", "history"], json!({ "limit": 20 }));
    let attempts = report(&["webhooks", "log"], json!({ "limit": 1000 }));
    shared.observed.look(recoveries.as_ref(), attempts.as_ref());
    shared.observed.write(&mut text);
    shared.traffic.write(&mut text);
    if former {
        for (words, prefix) in FORMER {
            if let Some(Value::Object(members)) = report(words, json!({})) {
                members
                    .iter()
                    .for_each(|(name, value)| of_member(&mut text, &format!("{prefix}_{name}"), value));
            }
        }
    }
    text.0
}

/// How often the daemon's loop broke off.
fn restarts(shared: &Shared) -> u32 {
    recovery::daemon::known_daemon(&shared.dir).ok().flatten().map_or(0, |info| info.loop_restarts)
}

/// Under its former name, if that has another now: those in milliseconds.
fn of_member(text: &mut Text, name: &str, value: &Value) {
    if !name.ends_with("_ms") {
        return;
    }
    text.metric(name, Kind::Gauge, "Former name, in milliseconds; gone in the next version");
    match value {
        Value::Number(number) => text.sample(name, &[], &number.to_string()),
        Value::Object(members) => {
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
