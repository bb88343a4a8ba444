//! The receiver of a delivery. Many deliveries share one receiver.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use crate::queue::{Callback, masked_url};

/// A receiver.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DeliveryTarget {
    pub url: String,
    /// Scheme, host and port, which fail together: circuit, order and concurrency apply to them.
    pub endpoint: String,
    /// The configured endpoint's name; `None` for a job's callback.
    pub name: Option<String>,
    pub method: Option<String>,
    /// Headers sent in addition to our own.
    pub headers: BTreeMap<String, String>,
    /// The template of the body.
    pub body: Option<String>,
}

impl DeliveryTarget {
    /// Makes the receiver of a job's callback.
    pub(crate) fn of_callback(callback: Callback) -> DeliveryTarget {
        let Callback { url, method, headers, body } = callback;
        DeliveryTarget { endpoint: endpoint_of(&url), url, name: None, method, headers, body }
    }

    /// Returns the address as reports show it.
    pub(crate) fn shown(&self) -> String {
        masked_url(&self.url)
    }
}

/// Returns scheme, host and port of an address, in lower case and without the default port.
pub(super) fn endpoint_of(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap_or(("http", url));
    let authority = rest.split(['/', '?', '#', '\\']).next().unwrap_or_default();
    let place = authority.rsplit_once('@').map_or(authority, |(_, place)| place).to_ascii_lowercase();
    let scheme = scheme.to_ascii_lowercase();
    let usual = if scheme == "https" { ":443" } else { ":80" };
    format!("{scheme}://{}", place.strip_suffix(usual).unwrap_or(&place))
}

/// Shares equal targets: a hundred thousand jobs may have the same callback. Targets that no delivery uses
/// any more are dropped, because every job may have a callback of its own.
#[derive(Debug, Default)]
pub(super) struct DeliveryTargets {
    known: HashSet<Arc<DeliveryTarget>>,
    /// Unused targets are looked for when there are this many targets.
    sweep_at: usize,
}

impl DeliveryTargets {
    /// With fewer targets than this, a search for unused ones is not worth its time.
    const FEW: usize = 64;

    /// Returns the shared target that is equal to this one.
    pub(crate) fn shared(&mut self, target: DeliveryTarget) -> Arc<DeliveryTarget> {
        if let Some(shared) = self.known.get(&target) {
            return Arc::clone(shared);
        }
        if self.known.len() >= self.sweep_at {
            self.known.retain(|shared| Arc::strong_count(shared) > 1);
            self.sweep_at = (self.known.len() * 2).max(Self::FEW);
        }
        let shared = Arc::new(target);
        self.known.insert(Arc::clone(&shared));
        shared
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

    #[test]
    fn targets_that_no_delivery_has_are_forgotten() {
        let mut targets = DeliveryTargets::default();
        let mut in_use = Vec::new();
        for n in 0..10_000 {
            let target = targets.shared(DeliveryTarget::of_callback(Callback::to(format!("http://a/{n}"))));
            if n % 1000 == 0 {
                in_use.push(target);
            }
            assert!(targets.known.len() <= 2 * DeliveryTargets::FEW, "{}", targets.known.len());
        }
        for (n, used) in in_use.iter().enumerate() {
            let again = DeliveryTarget::of_callback(Callback::to(format!("http://a/{}", n * 1000)));
            assert!(Arc::ptr_eq(used, &targets.shared(again)));
        }
    }
}
