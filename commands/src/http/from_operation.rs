//! An operation's endpoint: what may be given is read off its request, by serde's names, clap's arguments and the
//! schema.

use clap::ArgAction;
use recovery::operations::{Method, Row};
use schemars::generate::SchemaSettings;
use serde_json::Value;

use super::endpoint::{Endpoint, Parameter, Place, Shape, To};

/// The endpoint of an operation. Made once, kept as long as the process lives.
pub(super) fn endpoint(row: &'static Row) -> Endpoint {
    // The operation itself reads the members of a document.
    let parameters = if row.entry.is_document { Vec::new() } else { parameters(row) };
    Endpoint { row, parameters: Vec::leak(parameters) }
}

fn parameters(row: &Row) -> Vec<Parameter> {
    let settings = SchemaSettings::draft2020_12().with(|settings| settings.inline_subschemas = true);
    let schema: Value = (row.request)(&mut settings.into_generator()).into();
    let arguments = (row.arguments)();
    let required =
        |name: &str| schema["required"].as_array().is_some_and(|all| all.iter().any(|r| r == name));
    let parameter = |(name, property): (&String, &Value)| {
        let argument = arguments.get_arguments().find(|argument| argument.get_id() == name.as_str());
        let long = argument.and_then(clap::Arg::get_long);
        let to = match (long, argument.map(clap::Arg::get_action)) {
            (None, _) => To::Words,
            (Some(long), Some(ArgAction::SetTrue)) => To::Switch(leaked(format!("--{long}"))),
            (Some(long), _) => To::Option(leaked(format!("--{long}"))),
        };
        let place = match row.entry.method {
            _ if row.entry.path.contains(&format!("{{{name}}}")) => Place::Path,
            Method::Get | Method::Delete => Place::Query,
            Method::Post => Place::Body,
        };
        let about = property["description"].as_str().unwrap_or_default();
        Parameter {
            name: leaked(name.clone()),
            place,
            shape: shape(property),
            to,
            required: place == Place::Path || required(name),
            about: leaked(about.split("\n\n").next().unwrap_or_default().replace('\n', " ")),
        }
    };
    let reason = row.entry.needs_reason.then_some(REASON);
    schema["properties"].as_object().into_iter().flatten().map(parameter).chain(reason).collect()
}

/// Where a change is the operator's word.
const REASON: Parameter = Parameter {
    name: "reason",
    place: Place::Body,
    shape: Shape::Like("^[^\\u0000]*[^\\s\\u0000\\u0085][^\\u0000]*$"),
    to: To::Option("--reason"),
    required: true,
    about: "Why, for the audit trail",
};

fn leaked(text: String) -> &'static str {
    String::leak(text)
}

/// What a value looks like. An optional one is as the value itself.
fn shape(property: &Value) -> Shape {
    if let Some(alternatives) = property["anyOf"].as_array() {
        let is_null = |alternative: &&Value| alternative["type"] == "null";
        return alternatives.iter().find(|alternative| !is_null(alternative)).map_or(Shape::Text, shape);
    }
    let words = words(property);
    let kind = match &property["type"] {
        Value::Array(kinds) => kinds.iter().find_map(|kind| kind.as_str().filter(|kind| *kind != "null")),
        kind => kind.as_str(),
    };
    match kind {
        _ if !words.is_empty() => Shape::OneOf(Vec::leak(words)),
        Some("boolean") => Shape::Flag,
        Some("integer" | "number") => Shape::Count,
        Some("array") => match shape(&property["items"]) {
            Shape::OneOf(words) => Shape::SomeOf(words),
            _ => Shape::Texts,
        },
        _ => match (property["pattern"].as_str(), property["minLength"].as_u64()) {
            (Some(pattern), _) => Shape::Like(leaked(pattern.to_owned())),
            (None, Some(1..)) => Shape::Name,
            _ => Shape::Text,
        },
    }
}

fn words(property: &Value) -> Vec<&'static str> {
    let plain = property["enum"].as_array().into_iter().flatten();
    let described = property["oneOf"].as_array().into_iter().flatten().map(|one| &one["const"]);
    plain.chain(described).filter_map(Value::as_str).map(|word| leaked(word.to_owned())).collect()
}
