//! One endpoint of the table.

use serde_json::{Value, json};

use super::answer::{Schemas, headers, problems};
use super::request::{parameters, request_body};
use crate::http::endpoint::Endpoint;
use recovery::operations::Method;

const OF_LOOKS: &[u16] = &[400, 401, 403, 404, 421, 422, 423, 500, 503, 507];
const OF_WRITES: &[u16] = &[400, 401, 403, 404, 408, 409, 412, 413, 421, 422, 423, 500, 503, 507];

pub(super) fn operation(schemas: &mut Schemas, path: &str, endpoint: &Endpoint) -> Value {
    let changes = endpoint.method.changes();
    let mut responses = problems(if changes { OF_WRITES } else { OF_LOOKS });
    let of_headers: &[&str] = if changes { &["Idempotency-Replayed"] } else { &["ETag"] };
    let done = json!({
        "description": endpoint.summary,
        "headers": headers(of_headers),
        "content": content(schemas, endpoint),
    });
    if endpoint.created {
        let mut made = done.clone();
        made["headers"] = headers(&["Idempotency-Replayed", "Location"]);
        responses.insert("201".to_owned(), made);
    }
    responses.insert("200".to_owned(), done);
    if !changes {
        let known = json!({ "description": "It is as If-None-Match says", "headers": headers(&["ETag"]) });
        responses.insert("304".to_owned(), known);
    }
    let mut operation = json!({
        "operationId": operation_id(path, endpoint),
        "summary": endpoint.summary,
        "tags": [tag(endpoint.path)],
        "parameters": parameters(path, endpoint),
        "responses": responses,
    });
    operation["description"] = format!("As `recoveryctl {}` with `--json`.", endpoint.name()).into();
    if endpoint.method == Method::Post {
        operation["requestBody"] = request_body(endpoint);
    }
    operation
}

fn content(schemas: &mut Schemas, endpoint: &Endpoint) -> Value {
    let mut content = json!({ "application/json": { "schema": schemas.of_report(endpoint.row.report) } });
    if endpoint.path.ends_with("/output") {
        content["text/plain"] = json!({ "schema": { "type": "string" } });
    }
    content
}

/// The resource: `/api/admin/recovery/jobs/status` is about jobs.
fn tag(path: &str) -> &str {
    let parts: Vec<&str> = path.trim_start_matches("/api/").trim_start_matches("admin/").split('/').collect();
    match parts.as_slice() {
        ["recovery", "queue" | "jobs", ..] => parts[1],
        ["startup-log", ..] => "startup",
        parts => parts[0],
    }
}

fn operation_id(path: &str, endpoint: &Endpoint) -> String {
    let path = path.trim_start_matches("/api/").replace(['/', '-'], "_");
    format!("{}_{}", endpoint.method.word(), path.replace(['{', '}'], ""))
}
