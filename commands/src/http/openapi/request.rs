//! What may be given: parameters, headers, bodies.

use serde_json::{Map, Value, json};

use crate::http::endpoint::{Endpoint, Parameter, Place, Shape};

pub(super) fn parameters(path: &str, endpoint: &Endpoint) -> Vec<Value> {
    let header = if endpoint.method.changes() { idempotency_key() } else { if_none_match() };
    endpoint
        .all_parameters()
        .filter(|p| is_given_here(path, p))
        .map(parameter)
        .chain(std::iter::once(header))
        .collect()
}

fn idempotency_key() -> Value {
    json!({
        "name": "Idempotency-Key", "in": "header", "required": false,
        "description": "Sent again with the same key, the request is answered as before and not done again",
        "schema": { "type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$" },
    })
}

/// One that is no tag is as if it were not there, so any text is taken.
fn if_none_match() -> Value {
    json!({
        "name": "If-None-Match", "in": "header", "required": false,
        "description": "The ETag of an answer that is known: the same one is not sent again",
        "schema": { "type": "string" },
    })
}

/// A name that is a word of the path is no parameter there.
fn is_given_here(path: &str, parameter: &Parameter) -> bool {
    match parameter.place {
        Place::Body => false,
        Place::Path => path.contains(&format!("{{{}}}", parameter.name)),
        Place::Query | Place::Either => true,
    }
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
pub(super) const NAME: &str = "^[^\\u0000-\\u001f\\u007f-\\u009f]+$";

fn schema(parameter: &Parameter) -> Value {
    match parameter.shape {
        Shape::Text if parameter.required => json!({ "type": "string", "minLength": 1 }),
        Shape::Name => json!({ "type": "string", "pattern": NAME }),
        Shape::Like(pattern) => json!({ "type": "string", "pattern": pattern }),
        Shape::Text => json!({ "type": "string" }),
        Shape::OneOf(words) => json!({ "type": "string", "enum": words }),
        Shape::Count => json!({ "type": "integer", "minimum": 1, "maximum": u32::MAX }),
        Shape::Flag => json!({ "type": "boolean" }),
        Shape::SomeOf(words) => list(&json!({ "type": "string", "enum": words })),
        Shape::Texts => list(&json!({ "type": "string", "minLength": 1 })),
    }
}

/// An empty one is refused.
fn list(items: &Value) -> Value {
    json!({ "type": "array", "items": items, "minItems": 1 })
}

pub(super) fn request_body(endpoint: &Endpoint) -> Value {
    if endpoint.is_document {
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
            _ => json!({ "type": "null" }),
        };
        properties.insert(parameter.name.to_owned(), silent);
    }
    json!({ "required": [says], "properties": properties })
}
