//! What comes back: the schemas of reports, problems, headers.

use schemars::generate::SchemaSettings;
use schemars::transform::{Transform, transform_subschemas};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde_json::{Map, Value, json};

/// The schemas of reports, each once.
pub(super) struct Schemas(SchemaGenerator);

impl Schemas {
    pub(super) fn new() -> Schemas {
        let settings = SchemaSettings::draft2020_12().for_serialize();
        let settings = settings.with(|s| s.definitions_path = "/components/schemas".into());
        Schemas(settings.with_transform(WithoutDefaults).into_generator())
    }

    /// Of an endpoint's report; a reference.
    pub(super) fn of_report(&mut self, describe: fn(&mut SchemaGenerator) -> Schema) -> Value {
        describe(&mut self.0).into()
    }

    /// Of a type.
    pub(super) fn of<T: JsonSchema>(&mut self) -> Value {
        self.0.subschema_for::<T>().into()
    }
}

/// What serde takes for a member that an old file does not have says nothing about an answer.
#[derive(Debug, Clone)]
struct WithoutDefaults;

impl Transform for WithoutDefaults {
    fn transform(&mut self, schema: &mut Schema) {
        schema.remove("default");
        transform_subschemas(self, schema);
    }
}

/// The status codes that an answer may have beside the good ones, with what they mean.
const PROBLEMS: &[(u16, &str)] = &[
    (400, "What was given cannot be read"),
    (401, "No token, or one that does not count"),
    (403, "Not with this token, or not from this site"),
    (404, "There is no such thing"),
    (408, "The body came too slowly"),
    (409, "Held by a live owner, or its state does not allow it"),
    (412, "The plan is out of date"),
    (413, "The body is too large"),
    (421, "For another host"),
    (422, "What was given does not fit"),
    (423, "Refused: unsafe, or it cannot be told whether it is safe"),
    (500, "A fault of the daemon"),
    (503, "Not now: Retry-After says when"),
    (507, "The disk refuses"),
];

/// The problems of these statuses, by reference.
pub(super) fn problems(statuses: &[u16]) -> Map<String, Value> {
    let of = |status: &u16| {
        (status.to_string(), json!({ "$ref": format!("#/components/responses/{}", name(*status)) }))
    };
    statuses.iter().map(of).collect()
}

fn name(status: u16) -> String {
    format!("Problem{status}")
}

/// What every answer bears, by reference; `more` are those of this one.
pub(super) fn headers(more: &[&str]) -> Value {
    let named = |name: &str| (name.to_owned(), json!({ "$ref": format!("#/components/headers/{name}") }));
    ["X-Request-Id", "Recoveryctl-Role"]
        .iter()
        .chain(more)
        .map(|name| named(name))
        .collect::<Map<_, _>>()
        .into()
}

/// All that is referred to.
pub(super) fn components(mut schemas: Schemas) -> Value {
    let mut definitions = schemas.0.take_definitions(true);
    definitions.insert("Problem".to_owned(), problem());
    let responses: Map<String, Value> =
        PROBLEMS.iter().map(|(status, meaning)| response(*status, meaning)).collect();
    json!({ "schemas": definitions, "responses": responses, "headers": all_headers() })
}

fn response(status: u16, meaning: &str) -> (String, Value) {
    let more: &[&str] = match status {
        401 => &["WWW-Authenticate"],
        409 | 503 => &["Retry-After"],
        _ => &[],
    };
    let schema = json!({ "$ref": "#/components/schemas/Problem" });
    let described = json!({
        "description": meaning,
        "headers": headers(more),
        "content": { "application/problem+json": { "schema": schema } },
    });
    (name(status), described)
}

fn all_headers() -> Value {
    let text = |about: &str, required: bool| json!({ "description": about, "required": required, "schema": { "type": "string" } });
    json!({
        "ETag": {
            "description": "What the answer is known by: If-None-Match with it is answered with 304 as long as \
                            the answer is the same",
            "required": true,
            "schema": { "type": "string", "pattern": "^\"[0-9a-f]{32}\"$" },
        },
        "Location": text("Where the job is found", true),
        "Idempotency-Replayed": {
            "description": "There when the request was carried out before, and this is how it was answered then",
            "schema": { "type": "string", "enum": ["true"] },
        },
        "Recoveryctl-Role": {
            "description": "As what the principal was admitted; not there when nobody was",
            "schema": { "type": "string", "enum": ["admin", "viewer"] },
        },
        "Retry-After": {
            "description": "Seconds until it may go well",
            "schema": { "type": "integer", "minimum": 0 },
        },
        "WWW-Authenticate": text("How to show who asks", true),
        "X-Request-Id": text("As the daemon's request log names it", true),
    })
}

fn problem() -> Value {
    json!({
        "type": "object",
        "description": "RFC 9457, with the code and the next step that the command line shows; with the \
                        members of the report when there is one all the same",
        "required": ["type", "title", "status", "detail", "code", "next"],
        "properties": {
            "type": { "type": "string", "description": "The code: `recoveryctl explain CODE`" },
            "title": { "type": "string" },
            "status": { "type": "integer", "minimum": 400, "maximum": 599 },
            "detail": { "type": "string" },
            "code": { "type": "string", "description": "Stable, in kebab-case; as the command line has it" },
            "next": { "type": ["string", "null"], "description": "The command that deals with it" },
        },
    })
}
