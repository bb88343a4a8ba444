//! The HTTP side: sends one request, reads one answer, and calls no forbidden address.
//!
//! The addresses of a name are checked when it is resolved, and only those are connected to: there is no
//! second look-up, which a name's owner could answer differently. If one of a name's addresses is forbidden,
//! none is called. Redirects are not followed, and proxies from the environment are not used.

use std::error::Error;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::{Arc, Once, OnceLock};
use std::time::Duration;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, Method, Url};

use super::addresses::{AddressRefused, AddressRules};
use super::delivery::Delivery;
use super::settings::Settings;
use super::signature::signature;
use super::template::{body_of, fill};
use crate::durable::{causes, error_chain};
use crate::state::Timestamp;

/// How many bytes of an answer's body are read, so that the connection can be used again; a longer body is
/// cut off.
const MOST_OF_AN_ANSWER: usize = 64 << 10;
/// How long an answer's body is read.
const LONGEST_READING: Duration = Duration::from_secs(2);
/// The part of an attempt's time that connecting may take. The addresses of a name share it evenly, with the
/// two families in parallel: when one does not answer, the next is tried within the same attempt.
const CONNECTING: f64 = 0.75;

/// A request that can be sent.
#[derive(Debug, Clone)]
pub struct Prepared {
    method: Method,
    url: Url,
    headers: HeaderMap,
    body: Vec<u8>,
}

/// The result of a request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Answer {
    /// The status, if there was an answer.
    pub status: Option<u16>,
    /// The value of the header `Retry-After`.
    pub retry_after: Option<String>,
    /// The receiver does not want this delivery again.
    pub is_unwanted: bool,
    /// Why there was no answer. Shows no secret.
    pub error: Option<String>,
    /// Nothing was sent: the address must not be called.
    pub is_refused: bool,
    /// Nothing can ever be sent: the request makes no sense.
    pub is_hopeless: bool,
}

/// Makes the request of an attempt.
///
/// # Errors
/// Why no request can be made, in words that show no secret.
pub(super) fn prepare(settings: &Settings, delivery: &Delivery, now: Timestamp) -> Result<Prepared, String> {
    let target = &delivery.target;
    let url = Url::parse(&target.url).map_err(|e| format!("its address cannot be used: {e}"))?;
    let method = target.method.as_deref().unwrap_or("POST");
    let method = Method::from_bytes(method.as_bytes()).map_err(|_| "its method cannot be used".to_owned())?;
    let body = body_of(delivery);
    let (id, seconds) = (delivery.id.to_string(), now.as_millis().div_euclid(1000));
    let mut headers = HeaderMap::new();
    if !body.is_empty() {
        headers.insert("content-type", HeaderValue::from_static("application/json"));
    }
    let common = settings.covering(target).map(|e| &e.headers);
    for (name, template) in common.into_iter().flatten().chain(&target.headers) {
        let named = |what| format!("its header '{name}' cannot be sent: {what}");
        let header = HeaderName::from_bytes(name.as_bytes()).map_err(|_| named("its name"))?;
        let mut value = HeaderValue::from_str(&fill(template, delivery)).map_err(|_| named("its value"))?;
        value.set_sensitive(true);
        headers.insert(header, value);
    }
    let own = [
        ("webhook-id", Some(id.clone())),
        ("webhook-timestamp", Some(seconds.to_string())),
        ("webhook-signature", signature(settings.secrets_for(target), &id, seconds, &body)),
    ];
    for (name, value) in own {
        if let Some(value) = value.and_then(|v| HeaderValue::try_from(v).ok()) {
            headers.insert(name, value);
        }
    }
    Ok(Prepared { method, url, headers, body })
}

/// Sends requests. Connections are kept and used again.
#[derive(Debug)]
pub struct Sender {
    rules: AddressRules,
    timeout: Duration,
    ca_file: Option<PathBuf>,
    plain: OnceLock<Result<Client, String>>,
    secure: OnceLock<Result<Client, String>>,
}

impl Sender {
    /// Makes a sender that follows these settings.
    pub(crate) fn new(settings: &Settings) -> Sender {
        Sender {
            rules: settings.addresses.clone(),
            timeout: settings.timeout,
            ca_file: settings.ca_file.clone(),
            plain: OnceLock::new(),
            secure: OnceLock::new(),
        }
    }

    /// Sends a request and waits for the answer, at most for the configured time.
    pub async fn send(&self, prepared: Prepared) -> Answer {
        // A name passes the resolver; an address in the URL does not.
        if let Err(refused) = self.check_literal(&prepared.url) {
            return Answer { error: Some(refused.to_string()), is_refused: true, ..Answer::default() };
        }
        let client = match self.client(prepared.url.scheme() == "https") {
            Ok(client) => client,
            Err(why) => return Answer { error: Some(why.clone()), ..Answer::default() },
        };
        let Prepared { method, url, headers, body } = prepared;
        match client.request(method, url).headers(headers).body(body).send().await {
            Ok(response) => answered(response).await,
            Err(error) => failed(error),
        }
    }

    fn check_literal(&self, url: &Url) -> Result<(), AddressRefused> {
        let host = url.host_str().unwrap_or_default();
        match host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>() {
            Ok(address) => self.rules.check(address),
            Err(_) => Ok(()),
        }
    }

    /// Returns the client for https or http. Reading the system's certificates takes time, and there may be
    /// none: only https needs them.
    fn client(&self, is_secure: bool) -> Result<&Client, &String> {
        let client = if is_secure { &self.secure } else { &self.plain };
        client.get_or_init(|| self.build(is_secure)).as_ref()
    }

    fn build(&self, is_secure: bool) -> Result<Client, String> {
        static PROVIDER: Once = Once::new();
        PROVIDER.call_once(|| {
            // The process may already have chosen a provider, which is as good.
            let _ = rustls::crypto::ring::default_provider().install_default();
        });
        let mut builder = Client::builder()
            .user_agent(concat!("recoveryctl/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .timeout(self.timeout)
            .connect_timeout(self.timeout.mul_f64(CONNECTING))
            .dns_resolver(Arc::new(CheckedResolver { rules: self.rules.clone() }));
        if !is_secure {
            builder = builder.tls_certs_only(Vec::new());
        } else if let Some(path) = &self.ca_file {
            let unreadable = |e: &dyn std::fmt::Display| format!("cannot use {}: {e}", path.display());
            let pem = crate::durable::plain::read(path).map_err(|e| unreadable(&e))?;
            let certificates =
                reqwest::Certificate::from_pem_bundle(&pem).map_err(|e| unreadable(&error_chain(&e)))?;
            builder = builder.tls_certs_merge(certificates);
        }
        builder.build().map_err(|e| format!("cannot set up TLS: {}", error_chain(&e)))
    }
}

async fn answered(mut response: reqwest::Response) -> Answer {
    let text = |name: &str| response.headers().get(name).and_then(|v| v.to_str().ok()).map(str::to_owned);
    let answer = Answer {
        status: Some(response.status().as_u16()),
        retry_after: text("retry-after"),
        is_unwanted: text("webhook-delivery").is_some_and(|v| v == "abort-message"),
        ..Answer::default()
    };
    let read = async {
        let mut read = 0;
        while let Ok(Some(chunk)) = response.chunk().await {
            read += chunk.len();
            if read > MOST_OF_AN_ANSWER {
                break;
            }
        }
    };
    // The status decides the result; the body changes nothing.
    let _ = tokio::time::timeout(LONGEST_READING, read).await;
    answer
}

fn failed(error: reqwest::Error) -> Answer {
    let is_hopeless = error.is_builder();
    let error = error.without_url(); // It may hold secrets.
    let refused = causes(&error).find_map(|e| e.downcast_ref::<AddressRefused>()).map(ToString::to_string);
    let is_refused = refused.is_some();
    let text = match (error.is_timeout(), error.is_connect()) {
        (true, true) => "no connection in time".to_owned(),
        (true, false) => "no answer in time".to_owned(),
        // The errors above this one only tell how the client is built.
        (false, true) => causes(&error)
            .last()
            .map_or_else(|| error.to_string(), |e| format!("no connection: {}", plain(e))),
        (false, false) => error_chain(&error),
    };
    Answer { error: Some(refused.unwrap_or(text)), is_refused, is_hopeless, ..Answer::default() }
}

/// Returns the error's text without the system's number for it.
fn plain(error: &(dyn Error + 'static)) -> String {
    let text = error.to_string();
    text.split_once(" (os error").map_or(text.clone(), |(text, _)| text.to_owned())
}

#[derive(Debug)]
struct CheckedResolver {
    rules: AddressRules,
}

impl Resolve for CheckedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let rules = self.rules.clone();
        Box::pin(async move {
            let found: Vec<_> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            for address in &found {
                rules.check(address.ip())?;
            }
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}
