//! The receiver of a delivery. Many deliveries share one.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::queue::{Callback, masked_url};

/// A receiver.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DeliveryTarget {
    pub url: String,
    /// Scheme, host and port, which fail together: the unit of breaker, order and concurrency.
    pub endpoint: String,
    /// The configured endpoint's name; `None` for a job's callback.
    pub name: Option<String>,
    pub method: Option<String>,
    /// Sent in addition to our own headers.
    pub headers: BTreeMap<String, String>,
    /// The template of the body.
    pub body: Option<String>,
}

impl DeliveryTarget {
    /// A job's callback.
    pub(crate) fn of_callback(callback: Callback) -> DeliveryTarget {
        let Callback { url, method, headers, body } = callback;
        DeliveryTarget { endpoint: endpoint_of(&url), url, name: None, method, headers, body }
    }

    /// Its address as reports show it.
    pub(crate) fn shown(&self) -> String {
        masked_url(&self.url)
    }
}

/// Scheme, host and port of an address, in lower case and without the usual port.
pub(super) fn endpoint_of(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap_or(("http", url));
    let authority = rest.split(['/', '?', '#', '\\']).next().unwrap_or_default();
    let place = authority.rsplit_once('@').map_or(authority, |(_, place)| place).to_ascii_lowercase();
    let scheme = scheme.to_ascii_lowercase();
    let usual = if scheme == "https" { ":443" } else { ":80" };
    format!("{scheme}://{}", place.strip_suffix(usual).unwrap_or(&place))
}

/// Shares equal targets: a hundred thousand jobs may have the same callback.
#[derive(Debug, Default)]
pub(super) struct DeliveryTargets(std::collections::HashMap<DeliveryTarget, Arc<DeliveryTarget>>);

impl DeliveryTargets {
    /// The one that is equal to this.
    pub(crate) fn shared(&mut self, target: DeliveryTarget) -> Arc<DeliveryTarget> {
        self.0.entry(target).or_insert_with_key(|t| Arc::new(t.clone())).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoint_is_scheme_host_port() {
        for (url, endpoint) in [
            ("HTTP://u:p@Host:80/a?b", "http://host"),
            ("https://host:443", "https://host"),
            ("https://host:80/x", "https://host:80"),
            ("http://[::1]:8080/x", "http://[::1]:8080"),
        ] {
            assert_eq!(endpoint_of(url), endpoint);
        }
    }

    #[test]
    fn equal_targets_are_shared() {
        let mut targets = DeliveryTargets::default();
        let one = targets.shared(DeliveryTarget::of_callback(Callback::to("http://a/")));
        assert!(Arc::ptr_eq(&one, &targets.shared(DeliveryTarget::of_callback(Callback::to("http://a/")))));
    }
}
