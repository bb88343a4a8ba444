//! The schema of a job as requested, for authors of requests: what [`JobRequest`](super::JobRequest) reads.

use serde_json::{Value, json};

/// A name: no control characters.
const NAME: &str = "^[^\\u0000-\\u001f\\u007f-\\u009f]+$";
/// A name that is no path.
const ID: &str = "^(?!\\.{1,2}$)[^/\\u0000-\\u001f\\u007f-\\u009f]+$";

/// An address, or an object with more about what is sent.
fn callback() -> Value {
    json!({
        "anyOf": [
            { "type": "string", "format": "uri" },
            {
                "type": "object",
                "required": ["url"],
                "additionalProperties": false,
                "properties": {
                    "url": { "type": "string", "format": "uri" },
                    "method": { "type": ["string", "null"], "enum": ["POST", "PUT", "PATCH", "GET", "DELETE", null] },
                    "headers": {
                        "type": "object",
                        "propertyNames": { "pattern": "^[!#$%&'*+.^_`|~0-9A-Za-z-]+$" },
                        "additionalProperties": {
                            "type": "string",
                            "pattern": "^[^\\u0000-\\u0008\\u000a-\\u001f\\u007f]*$",
                        },
                    },
                    "body": { "type": ["string", "null"] },
                },
            },
        ],
    })
}

/// JSON Schema 2020-12.
pub fn job_request_schema() -> Value {
    let text = |about: &str| json!({ "type": ["string", "null"], "description": about });
    let words = |about: &str| {
        json!({
            "type": "array",
            "prefixItems": [{ "type": "string", "pattern": "^[^\\u0000]+$" }],
            "items": { "type": "string", "pattern": "^[^\\u0000]*$" },
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
            "id": {
                "type": "string",
                "pattern": ID,
                "description": "A name for the job, which no other job may have; at most 240 bytes",
            },
            "repository": {
                "type": "string",
                "pattern": NAME,
                "description": "The repository it works on: one job at a time has it; at most 240 bytes",
            },
            "priority": { "type": "integer", "minimum": i32::MIN, "maximum": i32::MAX },
            "env": {
                "type": "object",
                "propertyNames": { "pattern": "^[^=\\u0000]+$" },
                "additionalProperties": { "type": "string", "pattern": "^[^\\u0000]*$" },
            },
            "cwd": {
                "type": "string",
                "pattern": "^/[^\\u0000]*$",
                "description": "Where it runs, as an absolute path; its workspace when not given",
            },
            "timeout": {
                "type": "string",
                "pattern": "^[1-9][0-9]{0,3}(ms|s|m|h|d)$",
                "description": "Time limit of an attempt, such as 90s; 1h30m is understood, too",
            },
            "timeout_ms": { "type": "integer", "minimum": 1, "maximum": i64::MAX / 2 },
            "on_crash": { "type": "string", "enum": ["hold", "requeue", "fail"] },
            "max_attempts": { "type": "integer", "minimum": 1, "maximum": u32::MAX },
            "callbacks": { "type": "array", "items": callback() },
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
    use std::collections::BTreeSet;

    use super::super::request::JobRequest;
    use super::*;

    #[test]
    fn job_request_schema_has_the_members_that_are_read() {
        let described = job_request_schema();
        let described: BTreeSet<&str> =
            described["properties"].as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(described, JobRequest::members().collect());
    }
}
