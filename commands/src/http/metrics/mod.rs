//! `/metrics` for Prometheus: the figures of the reports in base units, how long things took since the daemon started, and
//! the figures of HTTP itself. `?former=true` adds the names of the version before, which the next one does not have.

mod figures;
mod histogram;
mod observed;
mod text;
mod traffic;

use std::ffi::OsString;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::State as Extract;
use axum::http::{Request, Response};
use recovery::operations::{Context, Requested, TABLE};
use serde_json::{Value, json};

use super::answer::{Answer, guard};
use super::auth::Principal;
use super::execute::{in_context, members};
use super::serving::admitted;
use super::shared::Shared;

pub(super) use observed::Observed;
use text::{Kind, Text};
pub(super) use traffic::Traffic;

const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

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
