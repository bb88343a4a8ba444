//! From a request to an operation's: what is given is checked against what the endpoint takes.

use std::collections::BTreeMap;
use std::ffi::OsString;

use serde_json::{Map, Value};

use super::endpoint::{DRY_RUN, Endpoint, Parameter, Place, Shape, To};
use super::problem::Problem;

/// What a request gives, each parameter by its name.
#[derive(Debug, Clone, Default)]
pub(super) struct Given {
    values: BTreeMap<&'static str, Vec<String>>,
}

/// The parts of a request that say what it is about.
#[derive(Debug, Clone, Copy)]
pub(super) struct Parts<'a> {
    /// Of the path, decoded.
    pub(super) path: &'a [(String, String)],
    /// As it came.
    pub(super) query: &'a str,
    pub(super) body: &'a [u8],
}

impl Given {
    /// Reads it.
    ///
    /// # Errors
    /// 400 for a body that is no JSON, 422 for everything else that does not fit.
    pub(super) fn read(endpoint: &Endpoint, parts: Parts<'_>) -> Result<Given, Problem> {
        let mut given = Given::default();
        for (name, value) in parts.path {
            let parameter = find(endpoint, name, &[Place::Path]);
            given.enter(&parameter.ok_or_else(|| unknown(name, "path"))?, vec![value.clone()])?;
        }
        for (name, value) in form_pairs(parts.query)? {
            let parameter = find(endpoint, &name, &[Place::Query, Place::Either]);
            let parameter = parameter.ok_or_else(|| unknown(&name, "query"))?;
            let values = match parameter.shape {
                Shape::Texts | Shape::SomeOf(_) => value.split(',').map(str::to_owned).collect(),
                _ => vec![value],
            };
            given.add(&parameter, values)?;
        }
        match endpoint.is_document {
            // The operation checks the members where it reads them.
            true => check_json(parts.body)?,
            false if endpoint.method.changes() => given.read_body(endpoint, parts.body)?,
            false => {}
        }
        let missing = endpoint.all_parameters().find(|p| p.required && given.texts(p.name).is_empty());
        let says = |name: &&&str| given.texts(name).iter().any(|value| value != "false");
        if !endpoint.one_of.is_empty() && endpoint.one_of.iter().find(says).is_none() {
            return Err(Problem::invalid(format!("one of {} is needed", endpoint.one_of.join(", "))));
        }
        match missing {
            Some(parameter) => Err(Problem::invalid(format!("'{}' is missing", parameter.name))),
            None => Ok(given),
        }
    }

    fn read_body(&mut self, endpoint: &Endpoint, body: &[u8]) -> Result<(), Problem> {
        for (name, value) in object(body)? {
            let parameter = find(endpoint, &name, &[Place::Body, Place::Either]);
            let parameter = parameter.ok_or_else(|| unknown(&name, "body"))?;
            let Some(values) = texts(parameter, &value)? else { continue };
            // The body overrides the query; but it never turns a rehearsal into a change.
            if parameter.name != DRY_RUN || !self.is_on(DRY_RUN) {
                self.enter(&parameter, values)?;
            }
        }
        Ok(())
    }

    /// A parameter of a query: a list may be given in several parts, anything else once.
    fn add(&mut self, parameter: &Parameter, values: Vec<String>) -> Result<(), Problem> {
        let before = self.values.get(parameter.name).cloned();
        match (before, parameter.shape) {
            (Some(_), shape) if !matches!(shape, Shape::Texts | Shape::SomeOf(_)) => {
                Err(Problem::invalid(format!("'{}' is given twice", parameter.name)))
            }
            (before, _) => {
                let all = before.into_iter().flatten().chain(values).collect();
                self.enter(parameter, all)
            }
        }
    }

    fn enter(&mut self, parameter: &Parameter, values: Vec<String>) -> Result<(), Problem> {
        values.iter().try_for_each(|value| check(parameter, value))?;
        self.values.insert(parameter.name, values);
        Ok(())
    }

    /// Whether a switch is on.
    pub(super) fn is_on(&self, name: &str) -> bool {
        self.values.get(name).is_some_and(|values| values.iter().any(|v| v == "true"))
    }

    /// The texts that were given under a name.
    pub(super) fn texts(&self, name: &str) -> &[String] {
        self.values.get(name).map_or(&[], Vec::as_slice)
    }

    /// The request of an operation.
    pub(super) fn request(&self, endpoint: &Endpoint) -> Value {
        let member = |parameter: &Parameter| {
            let values = self.values.get(parameter.name)?;
            let text = values.first().cloned().unwrap_or_default();
            let value = match parameter.shape {
                Shape::Flag => Value::Bool(text == "true"),
                Shape::Count => text.parse::<u64>().map_or(Value::String(text), Value::from),
                Shape::Texts | Shape::SomeOf(_) => values.clone().into(),
                Shape::Text | Shape::Name | Shape::Like(_) | Shape::OneOf(_) => Value::String(text),
            };
            Some((parameter.name.to_owned(), value))
        };
        Value::Object(endpoint.parameters.iter().filter_map(member).collect())
    }

    /// The command line behind the program's name that asks for the same, for the audit trail.
    pub(super) fn command_line(&self, endpoint: &Endpoint) -> Vec<OsString> {
        if endpoint.is_document {
            // The body may hold secrets: the trail gets the words that make the object, not its content.
            return endpoint.words.iter().map(OsString::from).collect();
        }
        let mut line: Vec<OsString> = vec!["--json".into()];
        if endpoint.method.changes() {
            line.push("--yes".into());
        }
        line.extend(endpoint.words.iter().map(OsString::from));
        let mut free: Vec<&String> = Vec::new();
        for parameter in endpoint.all_parameters() {
            let Some(values) = self.values.get(parameter.name) else { continue };
            match parameter.to {
                To::Words => free.extend(values),
                To::Switch(name) if values.iter().any(|v| v == "true") => line.push(name.into()),
                To::Switch(_) => {}
                To::Option(name) => line.extend(values.iter().map(|v| format!("{name}={v}").into())),
            }
        }
        if free.iter().any(|word| word.starts_with('-')) {
            line.push("--".into());
        }
        line.extend(free.into_iter().map(OsString::from));
        line
    }
}

fn check_json(body: &[u8]) -> Result<(), Problem> {
    let read = serde_json::from_slice::<serde::de::IgnoredAny>(body);
    read.map(drop).map_err(|_| Problem::malformed("the body is no JSON".to_owned()))
}

fn find(endpoint: &Endpoint, name: &str, places: &[Place]) -> Option<Parameter> {
    endpoint.all_parameters().find(|p| p.name == name && places.contains(&p.place)).copied()
}

fn unknown(name: &str, place: &str) -> Problem {
    Problem::invalid(format!("'{name}' is not known in the {place}"))
}

/// A body that is an object, or nothing.
fn object(body: &[u8]) -> Result<Map<String, Value>, Problem> {
    if body.iter().all(u8::is_ascii_whitespace) {
        return Ok(Map::new());
    }
    match serde_json::from_slice(body) {
        Ok(Value::Object(members)) => Ok(members),
        Ok(_) => Err(Problem::invalid("the body is to be a JSON object".to_owned())),
        Err(e) => Err(Problem::malformed(format!("the body is no JSON: {e}"))),
    }
}

/// 3.0 is the number 3, as JSON Schema has it.
fn whole(number: &serde_json::Number) -> String {
    let text = number.to_string();
    text.strip_suffix(".0").map(str::to_owned).unwrap_or(text)
}

/// The value of a member as texts; `None` for null, which is as if it were not given.
fn texts(parameter: Parameter, value: &Value) -> Result<Option<Vec<String>>, Problem> {
    let wrong = || Problem::invalid(format!("'{}' is to be {}", parameter.name, expected(parameter.shape)));
    let text = |value: &Value| value.as_str().map(str::to_owned).ok_or_else(wrong);
    Ok(Some(match (parameter.shape, value) {
        (_, Value::Null) => return Ok(None),
        (Shape::Text | Shape::Name | Shape::Like(_) | Shape::OneOf(_), value) => vec![text(value)?],
        (Shape::Flag, Value::Bool(on)) => vec![on.to_string()],
        (Shape::Count, Value::Number(number)) => vec![whole(number)],
        // An empty choice must not come to mean everything, as a list that is not given does.
        (Shape::Texts | Shape::SomeOf(_), Value::Array(values)) if values.is_empty() => {
            return Err(Problem::invalid(format!("'{}' is empty: it chooses nothing", parameter.name)));
        }
        (Shape::Texts | Shape::SomeOf(_), Value::Array(values)) => {
            values.iter().map(text).collect::<Result<_, _>>()?
        }
        _ => return Err(wrong()),
    }))
}

fn expected(shape: Shape) -> String {
    match shape {
        Shape::Text | Shape::Like(_) => "a text".to_owned(),
        Shape::Name => "a name, without control characters".to_owned(),
        Shape::OneOf(words) => format!("one of {}", words.join(", ")),
        Shape::Count => "a whole number from 1 on".to_owned(),
        Shape::Flag => "true or false".to_owned(),
        Shape::SomeOf(words) => format!("a list of {}", words.join(", ")),
        Shape::Texts => "a list of texts".to_owned(),
    }
}

fn check(parameter: &Parameter, value: &str) -> Result<(), Problem> {
    let fits = match parameter.shape {
        Shape::Text | Shape::Like(_) => true,
        Shape::Name => !value.is_empty() && !value.chars().any(char::is_control),
        Shape::Texts => !value.is_empty(),
        Shape::OneOf(words) | Shape::SomeOf(words) => words.contains(&value),
        Shape::Count => value.parse::<u32>().is_ok_and(|n| n > 0) && !value.starts_with('+'),
        Shape::Flag => value == "true" || value == "false",
    };
    // No object has an empty name; an encoded path part may be empty.
    let fits = fits && !(value.is_empty() && parameter.required);
    if fits {
        return Ok(());
    }
    Err(Problem::invalid(format!("'{}' is to be {}", parameter.name, expected(parameter.shape))))
}

/// The pairs of a query.
fn form_pairs(query: &str) -> Result<Vec<(String, String)>, Problem> {
    let parts = query.split('&').filter(|part| !part.is_empty());
    let pairs = parts.map(|part| {
        let (name, value) = part.split_once('=').unwrap_or((part, ""));
        Some((decoded(name, true)?, decoded(value, true)?))
    });
    pairs.collect::<Option<_>>().ok_or_else(|| Problem::invalid("the query is not well encoded".to_owned()))
}

/// Takes percent-encoding off; `None` when it is wrong, or what comes out is no UTF-8.
pub(super) fn decoded(text: &str, plus_is_space: bool) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        match byte {
            b'%' => {
                let digit = |b: Option<u8>| char::from(b?).to_digit(16);
                let (high, low) = (digit(rest.next())?, digit(rest.next())?);
                bytes.push(u8::try_from(high * 16 + low).ok()?);
            }
            b'+' if plus_is_space => bytes.push(b' '),
            other => bytes.push(other),
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::resources;

    fn endpoint(path: &str) -> &'static Endpoint {
        resources::all().find(|e| e.path == path && !e.is_document).unwrap()
    }

    fn line(path: &str, of_path: &[(&str, &str)], query: &str, body: &str) -> Result<Vec<String>, u16> {
        let endpoint = endpoint(path);
        let of_path: Vec<_> = of_path.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        let parts = Parts { path: &of_path, query, body: body.as_bytes() };
        let given = Given::read(endpoint, parts).map_err(|problem| problem.status)?;
        let line = given.command_line(endpoint);
        Ok(line.into_iter().map(|word| word.into_string().unwrap()).collect())
    }

    #[test]
    fn what_is_given_becomes_words() {
        assert_eq!(
            line("/api/jobs", &[], "status=failed&repo=a%2Fb&limit=3", "").unwrap(),
            ["--json", "jobs", "list", "--status=failed", "--repo=a/b", "--limit=3"]
        );
        assert_eq!(
            line("/api/admin/locks/{repo}", &[("repo", "--force")], "reason=it+hangs", "").unwrap(),
            ["--json", "--yes", "release", "--reason=it hangs", "--", "--force"]
        );
        assert_eq!(
            line("/api/admin/recovery/jobs/resume", &[], "dry_run=true", r#"{"job_ids":["a","b"]}"#).unwrap(),
            ["--json", "--yes", "resume", "--dry-run", "a", "b"]
        );
    }

    #[test]
    fn it_is_a_rehearsal_if_query_or_body_says_so() {
        let path = "/api/admin/orphans/cleanup";
        let is_rehearsed = |query: &str, said: &str| {
            let line = line(path, &[], query, &format!(r#"{{"plan_id":"p"{said}}}"#)).unwrap();
            line.contains(&"--dry-run".to_owned())
        };
        for said in ["", r#","dry_run":null"#, r#","dry_run":false"#, r#","dry_run":true"#] {
            assert!(is_rehearsed("dry_run=true", said), "{said}");
        }
        for query in ["", "dry_run=false"] {
            assert!(is_rehearsed(query, r#","dry_run":true"#), "{query}");
            assert!(!is_rehearsed(query, r#","dry_run":false"#), "{query}");
        }
        assert_eq!(line(path, &[], "dry_run=true", r#"{"plan_id":"p","dry_run":1}"#), Err(422));
    }

    #[test]
    fn an_empty_list_never_means_everything() {
        let lists = |endpoint: &'static Endpoint| {
            let is_list = |p: &&Parameter| matches!(p.shape, Shape::Texts | Shape::SomeOf(_));
            endpoint.all_parameters().filter(is_list).map(move |list| (endpoint, list))
        };
        let mut checked = 0;
        for (endpoint, list) in resources::all().flat_map(lists) {
            let (query, body) = match list.place {
                Place::Query => (format!("{}=", list.name), String::new()),
                _ => (String::new(), format!(r#"{{"{}":[],"plan_id":"p","all_parked":true}}"#, list.name)),
            };
            assert_eq!(line(endpoint.path, &[], &query, &body), Err(422), "{} {}", endpoint.path, list.name);
            checked += 1;
        }
        assert!(checked >= 7, "{checked}");
        let all = line("/api/admin/orphans/cleanup", &[], "", r#"{"plan_id":"p","ids":null}"#).unwrap();
        assert_eq!(all, ["--json", "--yes", "orphans", "cleanup", "--plan=p"]);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        for query in ["limit=0", "limit=x", "status=gone", "nonsense=1", "limit=1&limit=2", "repo=%zz"] {
            assert_eq!(line("/api/jobs", &[], query, ""), Err(422), "{query}");
        }
        let resume = "/api/admin/recovery/jobs/resume";
        assert_eq!(line(resume, &[], "", "{"), Err(400));
        for body in ["[]", "{}", r#"{"job_ids":"a"}"#, r#"{"job_ids":["a"],"x":1}"#, r#"{"job_ids":[""]}"#] {
            assert_eq!(line(resume, &[], "", body), Err(422), "{body}");
        }
    }
}
