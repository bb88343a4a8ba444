//! What is beside the table: probes, version, metrics, events, this description.

use serde_json::{Value, json};

use super::answer::{Schemas, headers, problems};
use crate::http::probe_report::{Alive, Readiness, Version};
use recovery::report::health::Health;

/// Of an open path nobody needs to show a token.
struct Beside {
    path: &'static str,
    summary: &'static str,
    is_open: bool,
    /// Media type and schema of its answer.
    answer: (&'static str, Value),
    problems: &'static [u16],
}

/// Every path with its operation; all are looks.
pub(super) fn operations(schemas: &mut Schemas) -> Vec<(&'static str, Value)> {
    beside(schemas).into_iter().map(|beside| (beside.path, operation(beside))).collect()
}

fn beside(schemas: &mut Schemas) -> Vec<Beside> {
    let json = "application/json";
    let open = |path, summary, schema| Beside {
        path,
        summary,
        is_open: true,
        answer: (json, schema),
        problems: &[400, 421],
    };
    let text = || json!({ "type": "string" });
    vec![
        open("/livez", "Whether the daemon lives", schemas.of::<Alive>()),
        open(
            "/readyz",
            "Whether it takes jobs; while it recovers, 503 with the progress",
            schemas.of::<Readiness>(),
        ),
        open("/healthz", "Whether all can be used; else 503", schemas.of::<Health>()),
        open("/version", "Which version it is", schemas.of::<Version>()),
        open(
            "/openapi.json",
            "This description",
            json!({ "type": "object", "required": ["openapi", "paths"] }),
        ),
        Beside {
            path: "/metrics",
            summary: "Figures for Prometheus",
            is_open: false,
            answer: ("text/plain", text()),
            problems: &[400, 401, 403, 421, 500, 503],
        },
        Beside {
            path: "/api/admin/events",
            summary: "What happens to jobs, as Server-Sent Events",
            is_open: false,
            answer: ("text/event-stream", text()),
            problems: &[400, 401, 403, 421, 422, 500, 503],
        },
    ]
}

fn operation(beside: Beside) -> Value {
    let (kind, schema) = beside.answer;
    let mut responses = problems(beside.problems);
    // A stream has no end, so no tag.
    let of_headers: &[&str] = if kind == "text/event-stream" { &[] } else { &["ETag"] };
    let content = json!({ kind: { "schema": schema } });
    let answer = json!({ "description": beside.summary, "headers": headers(of_headers), "content": content });
    responses.insert("200".to_owned(), answer);
    let mut operation = json!({
        "operationId": beside.path.trim_matches('/').replace(['/', '.'], "_"),
        "summary": beside.summary,
        "tags": ["daemon"],
        "parameters": [],
    });
    if beside.path == "/readyz" || beside.path == "/healthz" {
        let problem = json!({ "schema": { "$ref": "#/components/schemas/Problem" } });
        let both =
            json!({ "application/json": content["application/json"], "application/problem+json": problem });
        let not_now = json!({
            "description": "It is not so", "headers": headers(&["Retry-After"]), "content": both,
        });
        responses.insert("503".to_owned(), not_now);
    }
    if beside.is_open {
        operation["security"] = json!([]);
    }
    if beside.path == "/api/admin/events" {
        operation["parameters"] = resumed_at();
    }
    operation["responses"] = responses.into();
    operation
}

/// Where a stream of events goes on.
fn resumed_at() -> Value {
    json!([
        {
            "name": "Last-Event-ID", "in": "header", "required": false,
            "description": "The number of the last event that was seen",
            "schema": { "type": "integer", "minimum": 0 },
        },
        {
            "name": "after", "in": "query", "required": false,
            "description": "The same, for clients that cannot set the header",
            "schema": { "type": "integer", "minimum": 0 },
        },
    ])
}
