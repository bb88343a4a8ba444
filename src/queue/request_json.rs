//! A request written as JSON: one object, whose members are named as in reports.
//!
//! `{"command":["make","all"],"repository":"web","timeout":"30m"}`. Unknown members are refused, because
//! a slip of the pen in `timeout` must not mean "no limit"; `null` means "not given".

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use serde::de::{DeserializeOwned, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::bad_request::BadRequest;
use super::callback::Callback;
use super::callback_url::masked_url;
use super::request::JobRequest;
use super::spec::CrashPolicy;
use crate::state::parse_duration;
use crate::state::suggest::closest;

/// Reads a member's value into the request.
type Reader = fn(&mut JobRequest, &'static Member, Value) -> Result<(), BadRequest>;

/// A member that a request may have.
struct Member {
    name: &'static str,
    expected: &'static str,
    read: Reader,
}

const MEMBERS: &[Member] = &[
    Member {
        name: "command",
        expected: "a list of words, such as [\"make\", \"all\"]",
        read: |r, m, v| m.typed(v).map(|command| r.command = command),
    },
    Member { name: "id", expected: "text", read: |r, m, v| m.typed(v).map(|id| r.id = Some(id)) },
    Member {
        name: "repository",
        expected: "text",
        read: |r, m, v| m.typed(v).map(|n| r.repository = Some(n)),
    },
    Member {
        name: "priority",
        expected: "a whole number from -2147483648 to 2147483647",
        read: |r, m, v| m.typed(v).map(|priority| r.priority = priority),
    },
    Member {
        name: "env",
        expected: "an object of texts, such as {\"LANG\": \"C\"}",
        read: |r, m, v| m.typed::<BTreeMap<_, _>>(v).map(|env| r.env = env),
    },
    Member {
        name: "cwd",
        expected: "text",
        read: |r, m, v| m.typed::<PathBuf>(v).map(|cwd| r.cwd = Some(cwd)),
    },
    Member {
        name: "timeout",
        expected: "a duration, such as \"90s\" or \"1h30m\"",
        read: |r, m, v| {
            let found = describe(&v);
            let duration = parse_duration(&m.typed::<String>(v)?).map_err(|_| m.wrong(found))?;
            r.timeout = Some(duration);
            Ok(())
        },
    },
    Member {
        name: "timeout_ms",
        expected: "a whole number of milliseconds",
        read: |r, m, v| m.typed(v).map(|ms| r.timeout = Some(Duration::from_millis(ms))),
    },
    Member {
        name: "on_crash",
        expected: "\"hold\", \"requeue\" or \"fail\"",
        read: |r, m, v| m.typed::<CrashPolicy>(v).map(|policy| r.on_crash = Some(policy)),
    },
    Member {
        name: "max_attempts",
        expected: "a whole number of at least 1",
        read: |r, m, v| m.typed(v).map(|n| r.max_attempts = Some(n)),
    },
    Member {
        name: "callbacks",
        expected: "a list of addresses, or of objects with url, method, headers and body, such as \
                   [\"https://example.org/done\"]",
        read: |r, m, v| {
            let callbacks: Vec<Address> = m.typed(v)?;
            r.callbacks = callbacks.into_iter().map(Address::into_callback).collect();
            Ok(())
        },
    },
    Member {
        name: "resume_command",
        expected: "a list of words, such as [\"make\", \"resume\"]",
        read: |r, m, v| m.typed(v).map(|command| r.resume_command = Some(command)),
    },
    Member {
        name: "auto_cleanup",
        expected: "true or false",
        read: |r, m, v| m.typed(v).map(|auto| r.auto_cleanup = auto),
    },
    Member { name: "title", expected: "text", read: |r, m, v| m.typed(v).map(|title| r.title = Some(title)) },
];

/// Words that people write for a member and that are too different from its name for [`closest`].
const OTHER_WORDS: [(&str, &str); 6] = [
    ("repo", "repository"),
    ("job_id", "id"),
    ("cmd", "command"),
    ("args", "command"),
    ("argv", "command"),
    ("environment", "env"),
];

/// A callback as typed on the command line, or as reports show it.
#[derive(Deserialize)]
#[serde(untagged)]
enum Address {
    Text(String),
    Object(CallbackObject),
}

/// Stored callbacks may have members of a later version; requests may not, because they would be ignored.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CallbackObject {
    url: String,
    method: Option<String>,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    body: Option<String>,
}

impl Address {
    fn into_callback(self) -> Callback {
        match self {
            Address::Text(url) => Callback::to(url),
            Address::Object(CallbackObject { url, method, headers, body }) => {
                Callback { url, method, headers, body }
            }
        }
    }
}

impl Member {
    fn typed<T: DeserializeOwned>(&'static self, value: Value) -> Result<T, BadRequest> {
        let found = describe(&value);
        serde_json::from_value(whole(value)).map_err(|_| self.wrong(found))
    }

    fn wrong(&'static self, found: String) -> BadRequest {
        BadRequest::Kind { member: self.name, expected: self.expected, found }
    }
}

/// JSON does not distinguish 1.0 from 1: both are whole numbers.
fn whole(value: Value) -> Value {
    let number = value.as_f64().filter(|n| value.is_f64() && n.fract() == 0.0 && n.abs() < 9e15);
    number.and_then(|n| format!("{n:.0}").parse::<i64>().ok()).map_or(value, Value::from)
}

/// The names of all members, for messages.
fn names() -> String {
    JobRequest::members().collect::<Vec<_>>().join(", ")
}

impl JobRequest {
    /// The names of all members that a request written as JSON may have.
    pub(crate) fn members() -> impl Iterator<Item = &'static str> {
        MEMBERS.iter().map(|m| m.name)
    }

    /// Reads a request written as JSON.
    ///
    /// # Errors
    /// The first thing that is wrong. Whether the job can run is for [`JobRequest::check`] to say.
    pub(crate) fn from_json(json: &[u8]) -> Result<JobRequest, BadRequest> {
        let text = std::str::from_utf8(json).map_err(|e| BadRequest::NotUtf8 { at: e.valid_up_to() + 1 })?;
        let Written(members) = serde_json::from_str(text).map_err(|e| no_object(&e))?;
        let (mut request, mut seen) = (JobRequest::default(), BTreeSet::new());
        for (name, value) in members {
            let member = MEMBERS.iter().find(|m| m.name == name).ok_or_else(|| unknown(&name))?;
            if !seen.insert(member.name) {
                return Err(BadRequest::Twice(name));
            }
            if !value.is_null() {
                (member.read)(&mut request, member, value)?;
            }
        }
        if seen.contains("timeout") && seen.contains("timeout_ms") {
            return Err(BadRequest::Twice("timeout".to_owned()));
        }
        Ok(request)
    }
}

fn no_object(error: &serde_json::Error) -> BadRequest {
    if error.is_data() {
        return BadRequest::NotAnObject;
    }
    // The caller counts lines itself; the parser sees only one.
    BadRequest::NotJson(error.to_string().replace(" at line 1 column", " at column"))
}

fn unknown(name: &str) -> BadRequest {
    let usual = OTHER_WORDS.iter().find(|(word, _)| *word == name).map(|(_, member)| *member);
    let meant = usual.or_else(|| closest(name, MEMBERS.iter().map(|m| m.name)).and_then(known));
    BadRequest::UnknownMember { name: shortened(name), meant, members: names() }
}

fn known(name: &str) -> Option<&'static str> {
    MEMBERS.iter().map(|m| m.name).find(|known| *known == name)
}

/// A value in a few words: it may be long, or contain a secret.
fn describe(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(_) | Value::Number(_) => value.to_string(),
        Value::String(text) => format!("the text \"{}\"", shortened(&masked_url(text))),
        Value::Array(_) => "such a list".to_owned(),
        Value::Object(_) => "such an object".to_owned(),
    }
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(40) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// The members in the order in which they were written, duplicates included.
struct Written(Vec<(String, Value)>);

impl<'de> Deserialize<'de> for Written {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Written, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Written;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a JSON object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Written, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Written(members))
            }
        }
        d.deserialize_map(Object)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[track_caller]
    fn refused(json: &str) -> String {
        JobRequest::from_json(json.as_bytes()).unwrap_err().to_string()
    }

    #[test]
    fn request_json_all_members() {
        let json = r#"{"command":["a","b c"],"id":"n","repository":"web","priority":-3,"env":{"K":"V"},
            "cwd":"/x","timeout":"1m30s","on_crash":"requeue","max_attempts":5,
            "callbacks":["http://a/",{"url":"http://b/"}],"resume_command":["c"],"auto_cleanup":true,
            "title":"t"}"#;
        let expected = JobRequest {
            command: vec!["a".to_owned(), "b c".to_owned()],
            id: Some("n".to_owned()),
            repository: Some("web".to_owned()),
            priority: -3,
            env: [("K".to_owned(), "V".to_owned())].into(),
            cwd: Some("/x".into()),
            timeout: Some(Duration::from_secs(90)),
            on_crash: Some(CrashPolicy::Requeue),
            max_attempts: Some(5),
            callbacks: vec![Callback::to("http://a/"), Callback::to("http://b/")],
            resume_command: Some(vec!["c".to_owned()]),
            auto_cleanup: true,
            title: Some("t".to_owned()),
        };
        assert_eq!(JobRequest::from_json(json.as_bytes()).unwrap(), expected);
        let written = serde_json::to_vec(&expected).unwrap();
        assert_eq!(JobRequest::from_json(&written).unwrap(), expected);
        let ms = JobRequest::from_json(br#"{"command":["a"],"timeout_ms":1500,"id":null}"#).unwrap();
        assert_eq!((ms.timeout, ms.id), (Some(Duration::from_millis(1500)), None));
        let whole = JobRequest::from_json(br#"{"command":["a"],"max_attempts":2.0}"#).unwrap();
        assert_eq!(whole.max_attempts, Some(2));
    }

    #[test]
    fn request_json_suggests_member() {
        assert_eq!(
            refused(r#"{"command":"make all"}"#),
            "'command' must be a list of words, such as [\"make\", \"all\"], not the text \"make all\""
        );
        assert!(refused(r#"{"comand":["a"]}"#).contains("did you mean 'command'?"));
        assert!(refused(r#"{"repo":"a"}"#).contains("did you mean 'repository'?"));
        assert!(refused(r#"{"colour":"red"}"#).contains("members are: command, id"));
        assert!(refused(r#"{"id":"a","id":"b"}"#).contains("twice"));
        assert!(refused(r#"{"timeout":"1s","timeout_ms":1}"#).contains("twice"));
        assert!(refused(r#"{"timeout":30}"#).contains("\"90s\""));
        assert!(refused(r#"{"timeout":"soon"}"#).contains("\"soon\""));
        assert!(refused(r#"{"priority":1.5}"#).contains("whole number"));
        assert!(refused(r#"{"on_crash":"panic"}"#).contains("\"requeue\""));
        assert!(refused(r#"{"env":{"A":1}}"#).contains("object of texts"));
        assert!(refused(r#"{"command":["a""#).contains("no JSON"));
        assert!(refused(r#"["a"]"#).contains("object"));
        let bytes = JobRequest::from_json(b"{\"id\":\"\xFF\"}").unwrap_err().to_string();
        assert!(bytes.contains("byte 8"), "{bytes}");
    }

    proptest! {
        #[test]
        fn request_json_any_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = JobRequest::from_json(&bytes).map_err(|e| e.to_string());
        }
    }
}
