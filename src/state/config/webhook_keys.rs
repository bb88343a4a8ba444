//! The keys of `[webhooks]`.

use toml::de::{DeTable, DeValue};

use super::key::Key;
use super::value::{Expected, Given};
use super::webhooks::{SecretSource, WebhookEndpoint};
use crate::state::units::{format_duration, parse_duration};
use crate::state::{Cidr, Secret};

/// Keys whose value no message and no report shows.
pub(super) const SECRET_KEYS: [&str; 2] = ["webhooks.secrets", "webhooks.endpoints"];

const PLACES: Expected = "a whole number from 1 to 1024";
const FAILURES: Expected = "a whole number from 1 to 1000";
const ENTRIES: Expected = "a whole number from 0 to 1000000";
const PAUSES: Expected = "a list of durations, such as [\"30s\", \"2m\"]";
const BLOCKS: Expected = "a list of addresses, such as [\"10.0.0.0/8\"]";
const SECRETS: Expected = "a list of \"whsec_…\" (24 to 64 bytes in base64) or \"file:/path\"";
const ENDPOINTS: Expected = "tables [[webhooks.endpoints]] with name, url, and if need be events, secrets, method, \
                             headers and body";

/// The keys, in the order in which they are shown.
pub(super) const RETRY: Key = Key {
    name: "webhooks.retry",
    about: "the pauses before a delivery's second, third … try; then it is parked",
    set: |s, v| {
        v.items()
            .and_then(|i| all(&i, |t| parse_duration(t).ok()))
            .map(|d| s.webhooks.retry = d)
            .ok_or(PAUSES)
    },
    show: |s| shown(s.webhooks.retry.iter().map(|d| format_duration(*d))),
};
pub(super) const TIMEOUT: Key = Key {
    name: "webhooks.timeout",
    about: "the longest time of an attempt",
    set: |s, v| v.interval().map(|d| s.webhooks.timeout = d),
    show: |s| format_duration(s.webhooks.timeout),
};
pub(super) const RETRY_AFTER_MAX: Key = Key {
    name: "webhooks.retry_after_max",
    about: "the longest Retry-After that is honoured",
    set: |s, v| v.interval().map(|d| s.webhooks.retry_after_max = d),
    show: |s| format_duration(s.webhooks.retry_after_max),
};
pub(super) const CONCURRENCY: Key = Key {
    name: "webhooks.concurrency",
    about: "how many attempts are under way at a time",
    set: |s, v| places(v).map(|n| s.webhooks.concurrency = n),
    show: |s| s.webhooks.concurrency.to_string(),
};
pub(super) const PER_ENDPOINT: Key = Key {
    name: "webhooks.per_endpoint",
    about: "how many of them at one endpoint",
    set: |s, v| places(v).map(|n| s.webhooks.per_endpoint = n),
    show: |s| s.webhooks.per_endpoint.to_string(),
};
pub(super) const STRICT_ORDER: Key = Key {
    name: "webhooks.strict_order",
    about: "whether a delivery that waits for its next try holds up its endpoint",
    set: |s, v| v.flag().map(|f| s.webhooks.strict_order = f),
    show: |s| s.webhooks.strict_order.to_string(),
};
pub(super) const BREAKER_FAILURES: Key = Key {
    name: "webhooks.breaker_failures",
    about: "so many failures in a row open an endpoint's circuit",
    set: |s, v| {
        v.count(1..=1000, FAILURES).map(|n| s.webhooks.breaker_failures = u32::try_from(n).unwrap_or(1))
    },
    show: |s| s.webhooks.breaker_failures.to_string(),
};
pub(super) const BREAKER_PAUSE: Key = Key {
    name: "webhooks.breaker_pause",
    about: "how long a circuit stays open at first; doubles with each failed probe",
    set: |s, v| v.interval().map(|d| s.webhooks.breaker_pause = d),
    show: |s| format_duration(s.webhooks.breaker_pause),
};
pub(super) const BREAKER_PAUSE_MAX: Key = Key {
    name: "webhooks.breaker_pause_max",
    about: "how long a circuit stays open at most",
    set: |s, v| v.interval().map(|d| s.webhooks.breaker_pause_max = d),
    show: |s| format_duration(s.webhooks.breaker_pause_max),
};
pub(super) const ALLOW: Key = Key {
    name: "webhooks.allow",
    about: "addresses that may be called; all but the denied when there are none",
    set: |s, v| blocks(v).map(|b| s.webhooks.allow = b),
    show: |s| shown(s.webhooks.allow.iter()),
};
pub(super) const DENY: Key = Key {
    name: "webhooks.deny",
    about: "addresses that may not be called, besides link-local and metadata ones",
    set: |s, v| blocks(v).map(|b| s.webhooks.deny = b),
    show: |s| shown(s.webhooks.deny.iter()),
};
pub(super) const SECRETS_KEY: Key = Key {
    name: "webhooks.secrets",
    about: "with which deliveries are signed; the newest first, two while they are changed",
    set: |s, v| v.items().and_then(|i| all(&i, secret)).map(|list| s.webhooks.secrets = list).ok_or(SECRETS),
    show: |s| shown(s.webhooks.secrets.iter().map(|_| "***")),
};
pub(super) const CA_FILE: Key = Key {
    name: "webhooks.ca_file",
    about: "certificates (PEM) that are trusted besides the system's",
    set: |s, v| match v.items().as_deref() {
        Some([]) => {
            s.webhooks.ca_file = None;
            Ok(())
        }
        _ => v.folder().map(|p| s.webhooks.ca_file = Some(p)),
    },
    show: |s| shown(s.webhooks.ca_file.iter().map(|p| p.display())),
};
pub(super) const KEEP: Key = Key {
    name: "webhooks.keep",
    about: "how long attempts stay in the delivery log",
    set: |s, v| v.wait().map(|d| s.webhooks.keep = d),
    show: |s| format_duration(s.webhooks.keep),
};
pub(super) const KEEP_ENTRIES: Key = Key {
    name: "webhooks.keep_entries",
    about: "how many attempts stay in the delivery log at most",
    set: |s, v| {
        v.count(0..=1_000_000, ENTRIES).map(|n| s.webhooks.keep_entries = usize::try_from(n).unwrap_or(0))
    },
    show: |s| s.webhooks.keep_entries.to_string(),
};
pub(super) const ENDPOINTS_KEY: Key = Key {
    name: "webhooks.endpoints",
    about: "operators' own receivers; in the file only",
    set: |s, v| endpoints(v).map(|e| s.webhooks.endpoints = e).ok_or(ENDPOINTS),
    show: |s| shown(s.webhooks.endpoints.iter().map(|e| &e.name)),
};

fn places(given: &Given<'_>) -> Result<usize, Expected> {
    given.count(1..=1024, PLACES).map(|n| usize::try_from(n).unwrap_or(1))
}

fn blocks(given: &Given<'_>) -> Result<Vec<Cidr>, Expected> {
    given.items().and_then(|items| all(&items, |text| text.parse().ok())).ok_or(BLOCKS)
}

fn all<T>(items: &[String], parse: impl Fn(&str) -> Option<T>) -> Option<Vec<T>> {
    items.iter().map(|item| parse(item)).collect()
}

fn secret(text: &str) -> Option<SecretSource> {
    match text.strip_prefix("file:") {
        Some(path) => path.starts_with('/').then(|| SecretSource::File(path.into())),
        None => Secret::parse(text).map(SecretSource::Given),
    }
}

/// A list in the form that a variable has; the empty list has a word, because an empty variable sets nothing.
fn shown<T: ToString>(items: impl Iterator<Item = T>) -> String {
    let items: Vec<String> = items.map(|i| i.to_string()).collect();
    if items.is_empty() { "none".to_owned() } else { items.join(",") }
}

pub(super) fn endpoints(given: &Given<'_>) -> Option<Vec<WebhookEndpoint>> {
    match given {
        Given::Toml(DeValue::Array(tables)) => {
            tables.iter().map(|t| t.get_ref().as_table().and_then(endpoint)).collect()
        }
        _ => given.items().filter(Vec::is_empty).map(|_| Vec::new()),
    }
}

fn endpoint(table: &DeTable<'_>) -> Option<WebhookEndpoint> {
    let mut endpoint = WebhookEndpoint::default();
    for (name, value) in table {
        let value = value.get_ref();
        let text = || value.as_str().map(str::to_owned);
        match name.get_ref().as_ref() {
            "name" => endpoint.name = text()?,
            "url" => endpoint.url = text()?,
            "method" => endpoint.method = Some(text()?),
            "body" => endpoint.body = Some(text()?),
            "events" => endpoint.events = Given::Toml(value).items()?,
            "secrets" => endpoint.secrets = all(&Given::Toml(value).items()?, secret)?,
            "headers" => {
                let pairs = value.as_table()?.iter();
                let pair =
                    |(k, v): (&toml::Spanned<std::borrow::Cow<'_, str>>, &toml::Spanned<DeValue<'_>>)| {
                        Some((k.get_ref().to_string(), v.get_ref().as_str()?.to_owned()))
                    };
                endpoint.headers = pairs.map(pair).collect::<Option<_>>()?;
            }
            _ => return None,
        }
    }
    (!endpoint.name.is_empty() && !endpoint.url.is_empty()).then_some(endpoint)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use crate::state::config::{Configuration, KEYS};

    const KEY: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

    fn read(text: &str) -> Result<Configuration, String> {
        let mut configuration = Configuration::with_defaults(None, 1);
        configuration.apply_file(Path::new("/c.toml"), text).map_err(|e| e.to_string())?;
        Ok(configuration)
    }

    #[test]
    fn endpoint_with_all_keys() {
        let text = format!(
            "[webhooks]\nsecrets = ['{KEY}', 'file:/run/secret']\nretry = ['1s', '2m']\nallow = []\n\
             [[webhooks.endpoints]]\nname = 'ops'\nurl = 'https://ops/x'\nevents = ['job.ended']\n\
             secrets = ['{KEY}']\nmethod = 'PUT'\nbody = '{{job_id}}'\n\
             [webhooks.endpoints.headers]\nx-team = 'night'\n"
        );
        let configuration = read(&text).unwrap();
        let webhooks = &configuration.settings().webhooks;
        assert_eq!((webhooks.secrets.len(), webhooks.retry.len()), (2, 2));
        let ops = &webhooks.endpoints[0];
        assert_eq!((ops.name.as_str(), ops.secrets.len()), ("ops", 1));
        assert_eq!(ops.headers["x-team"], "night");
        for key in KEYS {
            let shown = (key.show)(configuration.settings());
            assert!(!shown.contains("whsec_") && !shown.contains("/run/secret"), "{}: {shown}", key.name);
        }
    }

    #[test]
    fn secret_errors_do_not_show_secret() {
        for text in [
            "[webhooks]\nsecrets = 'whsec_hunter2'",
            "[webhooks]\nsecrets = ['whsec_hunter2']",
            "[[webhooks.endpoints]]\nname = 'a'\nurl = 'http://x'\nsecrets = ['whsec_hunter2']",
            "[[webhooks.endpoints]]\nname = 'a'",
            "[[webhooks.endpoints]]\nname = 'a'\nurl = 'http://x'\nwhsec_hunter2 = 'x'",
            "[webhooks]\nendpoints = 'whsec_hunter2'",
        ] {
            let wrong = read(text).unwrap_err();
            assert!(wrong.contains("must be") && !wrong.contains("hunter2"), "{wrong}");
        }
        let mut configuration = Configuration::with_defaults(None, 1);
        let wrong =
            configuration.apply_environment([("RECOVERYCTL_WEBHOOKS_SECRETS", "hunter2")]).unwrap_err();
        assert!(!wrong.to_string().contains("hunter2"), "{wrong}");
        configuration.apply_environment([("RECOVERYCTL_WEBHOOKS_SECRETS", KEY)]).unwrap();
        assert!(!format!("{configuration:?}").contains("MfKQ9"));
    }
}
