//! The whole description.

use serde_json::{Map, Value, json};

use super::answer::{Schemas, components};
use super::fixed_routes;
use super::operation::operation;
use crate::http::resources;

/// Returns the paths, and the schemas that they refer to.
pub(in crate::http) fn description() -> Value {
    let mut schemas = Schemas::new();
    let mut paths: Map<String, Value> = Map::new();
    for (path, endpoints) in resources::by_path() {
        let operations: Map<String, Value> = endpoints
            .into_iter()
            .map(|endpoint| (endpoint.method.word().to_owned(), operation(&mut schemas, path, endpoint)))
            .collect();
        paths.insert(path.to_owned(), operations.into());
    }
    for (path, operation) in fixed_routes::operations(&mut schemas) {
        paths.insert(path.to_owned(), json!({ "get": operation }));
    }
    let mut components = components(schemas);
    components["schemas"]["JobRequest"] = recovery::queue::job_request_schema();
    components["securitySchemes"] = json!({
        "token": {
            "type": "http",
            "scheme": "bearer",
            "description": "The content of daemon/admin.token, or of daemon/viewer.token for looking. The \
                            unix socket needs none.",
        },
    });
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
        "components": components,
    })
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)] // Tests read what was written.
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
        assert!(ids.len() >= resources::all().count() + 7);
    }

    /// Two reports of one name would get a number behind it, and lose it when one goes.
    #[test]
    fn every_schema_has_a_name_of_its_own() {
        let described = description();
        for name in described["components"]["schemas"].as_object().unwrap().keys() {
            assert!(
                !name.ends_with(|c: char| c.is_ascii_digit()),
                "{name}: give it another with schemars(rename)"
            );
        }
    }

    #[test]
    fn whatever_is_referred_to_is_there() {
        fn references(value: &Value, found: &mut Vec<String>) {
            match value {
                Value::Object(members) => {
                    found.extend(members.get("$ref").and_then(Value::as_str).map(str::to_owned));
                    members.values().for_each(|member| references(member, found));
                }
                Value::Array(items) => items.iter().for_each(|item| references(item, found)),
                _ => {}
            }
        }
        let (described, mut found) = (description(), Vec::new());
        references(&described, &mut found);
        assert!(found.len() > 500, "{}", found.len());
        for reference in found {
            assert!(described.pointer(reference.trim_start_matches('#')).is_some(), "{reference}");
        }
    }

    /// The snapshot is what clients are made from; it changes when the code does.
    #[test]
    fn the_snapshot_is_of_this_version() {
        let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/openapi.json");
        // Whether members keep the order in which they were written depends on the other crates that use serde_json.
        let kept = std::fs::read(&file).ok().and_then(|kept| serde_json::from_slice::<Value>(&kept).ok());
        assert!(
            kept == Some(description()),
            "docs/openapi.json is old; make it anew with: recoveryctl openapi > docs/openapi.json"
        );
    }
}
