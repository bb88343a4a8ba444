//! `/openapi.json`: OpenAPI 3.1, made from the very table that requests are checked against.
//!
//! What may be given is described whole, since nothing else is taken. Of an answer its kind and the members
//! that it has at least: reports may get more.

use serde_json::{Map, Value, json};

use super::endpoint::{Act, Endpoint, Method, Parameter, Place, Shape};
use super::resources;

/// The whole description.
pub(super) fn description() -> Value {
    let mut paths: Map<String, Value> = Map::new();
    for (path, endpoints) in resources::by_path() {
        let operations: Map<String, Value> = endpoints
            .into_iter()
            .map(|endpoint| (endpoint.method.word().to_owned(), operation(path, endpoint)))
            .collect();
        paths.insert(path.to_owned(), operations.into());
    }
    for (path, summary, answer) in OTHERS {
        paths.insert((*path).to_owned(), json!({ "get": other(path, summary, answer) }));
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "recoveryctl",
            "version": env!("CARGO_PKG_VERSION"),
            "summary": "Recovery of a batch-job server: what is there to see, and what can be done",
            "license": { "name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0" },
        },
        "servers": [{ "url": "http://127.0.0.1:9797" }],
        "security": [{ "token": [] }],
        "paths": paths,
        "components": {
            "securitySchemes": {
                "token": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "The content of daemon/admin.token, or of daemon/viewer.token for looking",
                },
            },
            "schemas": { "Problem": problem(), "JobRequest": job_request() },
        },
    })
}

/// What is beside the table: path, what it is for, the media type of its answer.
const OTHERS: &[(&str, &str, &str)] = &[
    ("/livez", "Whether the daemon lives", "application/json"),
    ("/readyz", "Whether it takes jobs; while it recovers, 503 with the progress", "application/json"),
    ("/healthz", "Whether nothing is broken", "application/json"),
    ("/version", "Which version it is", "application/json"),
    ("/openapi.json", "This description", "application/json"),
    ("/metrics", "Figures for Prometheus", "text/plain"),
    ("/api/admin/events", "What happens to jobs, as Server-Sent Events", "text/event-stream"),
];

fn other(path: &str, summary: &str, kind: &str) -> Value {
    let schema = match kind {
        "application/json" => json!({ "type": "object" }),
        _ => json!({ "type": "string" }),
    };
    let mut responses =
        json!({ "200": { "description": summary, "content": { kind: { "schema": schema } } } });
    let is_open = !path.starts_with("/api") && path != "/metrics";
    let problems: &[u16] = match path {
        "/readyz" | "/healthz" => &[400, 421, 503],
        _ if is_open => &[400, 421],
        "/metrics" => &[400, 401, 403, 421, 500],
        _ => &[400, 401, 403, 421, 422, 500],
    };
    add_problems(&mut responses, problems);
    if path == "/readyz" || path == "/healthz" {
        responses["503"]["content"]["application/json"] = json!({ "schema": { "type": "object" } });
    }
    let mut operation = json!({
        "operationId": path.trim_matches('/').replace(['/', '.'], "_"),
        "summary": summary,
        "responses": responses,
    });
    if is_open {
        operation["security"] = json!([]);
    }
    if path == "/api/admin/events" {
        operation["parameters"] = json!([
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
        ]);
    }
    operation
}

fn operation(path: &str, endpoint: &Endpoint) -> Value {
    let changes = endpoint.method.changes();
    let made = matches!(endpoint.act, Act::Submit);
    let mut parameters: Vec<Value> =
        endpoint.all_parameters().filter(|p| is_given_here(path, p)).map(parameter).collect();
    if changes {
        parameters.push(json!({
            "name": "Idempotency-Key", "in": "header", "required": false,
            "description": "Sent again with the same key, the request is answered as before and not done again",
            "schema": { "type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$" },
        }));
    }
    let required: Vec<&str> = endpoint.members.to_vec();
    let answer = json!({ "schema": { "type": "object", "required": required } });
    let mut content = json!({ "application/json": answer });
    if endpoint.path.ends_with("/output") {
        content["text/plain"] = json!({ "schema": { "type": "string" } });
    }
    let done = json!({ "description": endpoint.summary, "content": content });
    let mut responses = json!({ "200": done });
    if made {
        responses["201"] = done;
    }
    let looks: &[u16] = &[400, 401, 403, 404, 421, 422, 500, 503];
    let writes: &[u16] = &[400, 401, 403, 404, 408, 409, 412, 413, 421, 422, 423, 500, 503, 507];
    add_problems(&mut responses, if changes { writes } else { looks });
    if !changes {
        responses["304"] = json!({ "description": "It is as If-None-Match says" });
    }
    let mut operation = json!({
        "operationId": operation_id(path, endpoint),
        "summary": endpoint.summary,
        "parameters": parameters,
        "responses": responses,
    });
    if endpoint.method == Method::Post {
        operation["requestBody"] = request_body(endpoint);
    }
    operation
}

/// A name that is a word of the path is no parameter there.
fn is_given_here(path: &str, parameter: &Parameter) -> bool {
    match parameter.place {
        Place::Body => false,
        Place::Path => path.contains(&format!("{{{}}}", parameter.name)),
        Place::Query | Place::Either => true,
    }
}

fn operation_id(path: &str, endpoint: &Endpoint) -> String {
    let path = path.trim_start_matches("/api/").replace(['/', '-'], "_");
    format!("{}_{}", endpoint.method.word(), path.replace(['{', '}'], ""))
}

fn parameter(parameter: &Parameter) -> Value {
    let place = if parameter.place == Place::Path { "path" } else { "query" };
    json!({
        "name": parameter.name,
        "in": place,
        "required": parameter.required,
        "description": parameter.about,
        "schema": schema(parameter),
    })
}

/// A name: no control characters.
const NAME: &str = "^[^\\u0000-\\u001f\\u007f-\\u009f]+$";

fn schema(parameter: &Parameter) -> Value {
    match parameter.shape {
        Shape::Text if parameter.required => json!({ "type": "string", "minLength": 1 }),
        Shape::Name => json!({ "type": "string", "pattern": NAME }),
        Shape::Like(pattern) => json!({ "type": "string", "pattern": pattern }),
        Shape::Text => json!({ "type": "string" }),
        Shape::OneOf(words) => json!({ "type": "string", "enum": words }),
        Shape::Count => json!({ "type": "integer", "minimum": 1, "maximum": u32::MAX }),
        Shape::Flag => json!({ "type": "boolean" }),
        Shape::SomeOf(words) => json!({ "type": "array", "items": { "type": "string", "enum": words } }),
        Shape::Texts => {
            let least = u32::from(parameter.required);
            json!({ "type": "array", "items": { "type": "string", "minLength": 1 }, "minItems": least })
        }
    }
}

fn request_body(endpoint: &Endpoint) -> Value {
    if matches!(endpoint.act, Act::Submit) {
        let of_job = json!({ "$ref": "#/components/schemas/JobRequest" });
        return json!({ "required": true, "content": { "application/json": { "schema": of_job } } });
    }
    let members = || endpoint.all_parameters().filter(|p| matches!(p.place, Place::Body | Place::Either));
    let properties: Map<String, Value> = members()
        .map(|p| {
            let mut schema = schema(p);
            // Null is as if it were not given.
            if let Some(kind) = schema.get("type").filter(|_| !p.required).cloned() {
                schema["type"] = json!([kind, "null"]);
            }
            schema["description"] = p.about.into();
            (p.name.to_owned(), schema)
        })
        .collect();
    let required: Vec<&str> = members().filter(|p| p.required).map(|p| p.name).collect();
    let mut schema = json!({
        "type": "object", "properties": properties, "required": required, "additionalProperties": false,
    });
    if !endpoint.one_of.is_empty() {
        schema["oneOf"] = endpoint.one_of.iter().map(|says| only(endpoint, says)).collect();
    }
    let is_needed = !required.is_empty() || !endpoint.one_of.is_empty();
    json!({ "required": is_needed, "content": { "application/json": { "schema": schema } } })
}

/// One of several members says something, and the others nothing.
fn only(endpoint: &Endpoint, says: &str) -> Value {
    let mut properties = Map::new();
    for parameter in endpoint.all_parameters().filter(|p| endpoint.one_of.contains(&p.name)) {
        let silent = match parameter.shape {
            Shape::Flag => json!({ "const": parameter.name == says }),
            _ if parameter.name == says => json!({ "type": "array", "minItems": 1 }),
            _ => json!({ "maxItems": 0 }),
        };
        properties.insert(parameter.name.to_owned(), silent);
    }
    json!({ "required": [says], "properties": properties })
}

fn add_problems(responses: &mut Value, statuses: &[u16]) {
    for status in statuses {
        let schema = json!({ "$ref": "#/components/schemas/Problem" });
        responses[status.to_string()] = json!({
            "description": meaning(*status),
            "content": { "application/problem+json": { "schema": schema } },
        });
    }
}

fn meaning(status: u16) -> &'static str {
    match status {
        400 => "What was given cannot be read",
        401 => "No token, or one that does not count",
        403 => "Not with this token, or not from this site",
        404 => "There is no such thing",
        408 => "The body came too slowly",
        409 => "Held by a live owner, or its state does not allow it",
        412 => "The plan is out of date",
        413 => "The body is too large",
        421 => "For another host",
        422 => "What was given does not fit",
        423 => "Refused: unsafe, or it cannot be told whether it is safe",
        503 => "Not now: Retry-After says when",
        507 => "The disk refuses",
        _ => "A fault of the daemon",
    }
}

fn problem() -> Value {
    json!({
        "type": "object",
        "required": ["type", "title", "status", "detail", "code", "next"],
        "properties": {
            "type": { "type": "string" },
            "title": { "type": "string" },
            "status": { "type": "integer" },
            "detail": { "type": "string" },
            "code": { "type": "string", "description": "Stable, in kebab-case; as the command line has it" },
            "next": { "type": ["string", "null"], "description": "The command that deals with it" },
        },
    })
}

fn job_request() -> Value {
    let text = |about: &str| json!({ "type": ["string", "null"], "description": about });
    let words = |about: &str| {
        json!({
            "type": "array",
            "prefixItems": [{ "type": "string", "minLength": 1 }],
            "items": { "type": "string" },
            "minItems": 1,
            "description": about,
        })
    };
    let mut request = json!({
        "type": "object",
        "required": ["command"],
        "not": { "required": ["timeout", "timeout_ms"] },
        "additionalProperties": false,
        "properties": {
            "command": words("Program and arguments"),
            "id": text("A name for the job, which no other job may have"),
            "repository": text("The repository it works on: one job at a time has it"),
            "priority": { "type": "integer", "minimum": i32::MIN, "maximum": i32::MAX },
            "env": { "type": "object", "additionalProperties": { "type": "string" } },
            "cwd": text("Where it runs, as an absolute path; its workspace when not given"),
            "timeout": text("Time limit of an attempt, such as 90s or 1h30m"),
            "timeout_ms": { "type": "integer", "minimum": 1 },
            "on_crash": { "type": "string", "enum": ["hold", "requeue", "fail"] },
            "max_attempts": { "type": "integer", "minimum": 1, "maximum": u32::MAX },
            "callbacks": { "type": "array", "items": { "type": "string", "format": "uri" } },
            "resume_command": words("Runs instead of command when it continues from a checkpoint"),
            "auto_cleanup": { "type": "boolean" },
            "title": text("A title for people"),
        },
    });
    // Null is as if a member were not given.
    for (name, schema) in request["properties"].as_object_mut().into_iter().flatten() {
        if let Some(kind) = schema.get("type").filter(|kind| kind.is_string() && name != "command").cloned() {
            schema["type"] = json!([kind, "null"]);
        }
        if let Some(words) = schema.get_mut("enum").and_then(Value::as_array_mut) {
            words.push(Value::Null);
        }
    }
    request
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_endpoint_is_described_once() {
        let described = description();
        let mut ids = std::collections::BTreeSet::new();
        let paths = described["paths"].as_object().unwrap();
        for operation in paths.values().flat_map(|path| path.as_object().unwrap().values()) {
            assert!(ids.insert(operation["operationId"].to_string()), "{}", operation["operationId"]);
        }
        assert!(ids.len() >= resources::all().count() + OTHERS.len());
    }

    /// The snapshot is what clients are made from; it changes when the code does.
    #[test]
    fn the_snapshot_is_of_this_version() {
        let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/openapi.json");
        let mut text = serde_json::to_string_pretty(&description()).unwrap();
        text.push('\n');
        let kept = std::fs::read_to_string(&file).unwrap_or_default();
        assert!(
            kept == text,
            "docs/openapi.json is old; make it anew with: recoveryctl openapi > docs/openapi.json"
        );
    }
}
