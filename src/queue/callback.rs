//! Callbacks: the requests that report a job's end.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::callback_url::{check_callback_url, masked_url};

/// A callback to deliver when the job has ended.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct Callback {
    /// Where to.
    pub url: String,
    /// `POST` when not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// Headers added to those of every delivery; their values may be secrets.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
    /// Replaces the usual document; names in braces are filled in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
}

/// Methods that a callback may have.
const METHODS: [&str; 5] = ["POST", "PUT", "PATCH", "GET", "DELETE"];
/// Headers that every delivery sets itself, or that belong to the connection.
const OWN_HEADERS: [&str; 7] = [
    "webhook-id",
    "webhook-timestamp",
    "webhook-signature",
    "host",
    "content-length",
    "transfer-encoding",
    "connection",
];
/// The longest body, in bytes: a body is for a notice, not for data.
const LONGEST_BODY: usize = 64 << 10;

impl Callback {
    /// A callback with only an address.
    pub fn to(url: impl Into<String>) -> Callback {
        Callback { url: url.into(), ..Callback::default() }
    }

    /// As reports show it: without passwords and values of headers.
    pub(crate) fn masked(&self) -> Callback {
        Callback {
            url: masked_url(&self.url),
            method: self.method.clone(),
            headers: self.headers.keys().map(|name| (name.clone(), "***".to_owned())).collect(),
            body: self.body.as_ref().map(|_| "***".to_owned()),
        }
    }

    /// Whether it could ever be delivered.
    pub(crate) fn check(&self) -> Result<(), String> {
        check_callback_url(&self.url)?;
        if let Some(method) = &self.method
            && !METHODS.contains(&method.as_str())
        {
            return Err(format!("its method must be one of {}", METHODS.join(", ")));
        }
        if self.body.as_ref().is_some_and(|b| b.len() > LONGEST_BODY) {
            return Err(format!("its body is longer than {LONGEST_BODY} bytes"));
        }
        self.headers.iter().try_for_each(|(name, value)| check_header(name, value))
    }
}

fn check_header(name: &str, value: &str) -> Result<(), String> {
    let is_token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    if name.is_empty() || !name.bytes().all(is_token) {
        return Err(format!("'{}' is no name of a header", name.escape_default()));
    }
    if OWN_HEADERS.contains(&name.to_ascii_lowercase().as_str()) {
        return Err(format!("the header '{name}' is set by every delivery itself"));
    }
    if value.bytes().any(|b| b != b'\t' && (b < b' ' || b == 0x7f)) {
        return Err(format!("the value of its header '{name}' has control characters"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn callback_display_masks_secrets() {
        let callback = Callback {
            url: "http://u:hunter2@x/?token=hunter3".to_owned(),
            headers: BTreeMap::from([("authorization".to_owned(), "hunter4".to_owned())]),
            body: Some("hunter5".to_owned()),
            ..Callback::default()
        };
        let shown = serde_json::to_string(&callback.masked()).unwrap();
        assert!(!shown.contains("hunter"), "{shown}");
        assert_eq!(callback.check(), Ok(()));
    }

    #[test]
    fn callback_invalid_header_is_refused_without_value() {
        for (name, value) in [
            ("a b", "x"),
            ("", "x"),
            ("Webhook-Signature", "x"),
            ("Content-Length", "7"),
            ("x", "hunter2\r\nY: z"),
        ] {
            let headers = BTreeMap::from([(name.to_owned(), value.to_owned())]);
            let refused = Callback { headers, ..Callback::to("http://x/") }.check().unwrap_err();
            assert!(!refused.contains("hunter2"), "{refused}");
        }
        assert!(Callback { method: Some("post".to_owned()), ..Callback::to("http://x/") }.check().is_err());
    }
}
