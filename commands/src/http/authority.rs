//! For whom a request is, and which site made it: `Host` and `Origin`, read strictly.
//!
//! A browser can be led to ask this daemon for a page of somebody else: by a name that leads here (DNS rebinding),
//! which its `Host` tells, or directly, which its `Origin` tells. What is in doubt is refused: a second `Host`, one
//! with a user before it, an `Origin` with a path, `null`.

use std::net::{IpAddr, Ipv6Addr};

use axum::http::header::{HOST, HeaderName, ORIGIN};
use axum::http::request::Parts as Head;
use axum::http::{HeaderMap, Version};

use super::problem::Problem;

/// A host, with its port if one was given.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Authority {
    host: Host,
    port: Option<u16>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Host {
    Address(IpAddr),
    /// In lower case, without the dot that may end it.
    Name(String),
}

impl Authority {
    /// `HOST` or `HOST:PORT`, an address of IPv6 in brackets.
    fn parse(text: &str) -> Option<Authority> {
        if let Some(rest) = text.strip_prefix('[') {
            let (address, rest) = rest.split_once(']')?;
            let address: Ipv6Addr = address.parse().ok()?;
            return Some(Authority { host: Host::Address(address.into()), port: port_behind(rest)? });
        }
        let end = text.find(':').unwrap_or(text.len());
        let (name, rest) = text.split_at(end);
        let host = match name.parse() {
            Ok(address) => Host::Address(address),
            Err(_) => Host::Name(name_of(name)?),
        };
        Some(Authority { host, port: port_behind(rest)? })
    }

    /// Whether it is an address, this machine, or one of these names.
    fn is_ours(&self, names: &[String]) -> bool {
        match &self.host {
            Host::Address(_) => true,
            Host::Name(name) => {
                name == "localhost" || names.iter().any(|ours| name_of(ours).as_ref() == Some(name))
            }
        }
    }
}

/// A name as it is compared.
fn name_of(text: &str) -> Option<String> {
    let name = text.strip_suffix('.').unwrap_or(text);
    let fits = |part: &str| {
        !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
    };
    name.split('.').all(fits).then(|| name.to_ascii_lowercase())
}

/// The port in `:PORT`; nothing is none.
fn port_behind(rest: &str) -> Option<Option<u16>> {
    if rest.is_empty() {
        return Some(None);
    }
    let digits = rest.strip_prefix(':')?;
    let is_number = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    is_number.then(|| digits.parse().ok()).flatten().map(Some)
}

/// Refuses a request that a browser was led to make for a page of somebody else: one whose Host is neither an
/// address nor a name of ours, or whose Origin is another host. `is_probe`: one of HTTP/1.0 may do without a Host,
/// which no browser does.
///
/// # Errors
/// 400 without a Host that can be read, 421 for a wrong one, 403 for a foreign Origin.
pub(super) fn check(head: &Head, names: &[String], is_probe: bool) -> Result<(), Problem> {
    let Some((host, text)) = host_of(head, is_probe)? else { return Ok(()) };
    if !host.is_ours(names) {
        let detail =
            format!("'{text}' is no name of this daemon; daemon.hosts of the configuration lists them");
        return Err(Problem::new(421, "wrong-host", "the request is for another host", detail));
    }
    match only(&head.headers, &ORIGIN) {
        Ok(None) => Ok(()),
        Ok(Some(origin)) if is_at(origin, &host) => Ok(()),
        Ok(Some(origin)) => Err(foreign(&format!("a page of '{origin}' made it"))),
        Err(why) => Err(foreign(&format!("its Origin {why}"))),
    }
}

fn foreign(detail: &str) -> Problem {
    Problem::new(403, "wrong-origin", "the request comes from another site", detail)
}

/// The host that a request is for, parsed and as it came.
fn host_of(head: &Head, is_probe: bool) -> Result<Option<(Authority, String)>, Problem> {
    let refused = |why: &str| Problem::malformed(format!("the Host {why}"));
    let parsed = |text: &str| {
        let authority = Authority::parse(text);
        authority.map(|host| (host, text.to_owned())).ok_or_else(|| refused("is no name or address"))
    };
    let given = only(&head.headers, &HOST).map_err(refused)?.map(parsed).transpose()?;
    // Of a request with a whole URI, as to a proxy: what it says counts, and the Host must say the same.
    let of_uri = head.uri.authority().map(|authority| parsed(authority.as_str())).transpose()?;
    match (given, of_uri) {
        (Some((given, _)), Some((of_uri, _))) if given != of_uri => Err(refused("is another than the URI's")),
        (Some(given), _) => Ok(Some(given)),
        (None, Some(of_uri)) => Ok(Some(of_uri)),
        (None, None) if is_probe && head.version == Version::HTTP_10 => Ok(None),
        (None, None) => Err(Problem::malformed("there is no Host".to_owned())),
    }
}

/// The value of a header that may be there once.
pub(super) fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a str>, &'static str> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err("is given twice");
    }
    value.to_str().map(Some).map_err(|_| "is no text")
}

/// Whether an Origin is this host: scheme, host and port, and nothing else.
fn is_at(origin: &str, host: &Authority) -> bool {
    let (usual, rest) = match origin.split_once("://") {
        Some(("http", rest)) => (80, rest),
        // Behind a proxy that ends TLS.
        Some(("https", rest)) => (443, rest),
        _ => return false,
    };
    let Some(origin) = Authority::parse(rest) else { return false };
    origin.host == host.host && origin.port.unwrap_or(usual) == host.port.unwrap_or(usual)
}

#[cfg(test)]
mod tests {
    use axum::http::Request;

    use super::*;

    fn status(uri: &str, headers: &[(&str, &str)]) -> u16 {
        let mut request = Request::builder().uri(uri);
        for (name, value) in headers {
            request = request.header(*name, value.as_bytes());
        }
        let (head, ()) = request.body(()).unwrap().into_parts();
        check(&head, &["batch.example".to_owned()], false).map_or_else(|problem| problem.status, |()| 200)
    }

    #[test]
    fn addresses_and_our_names_are_ours() {
        let ask = |host: &str| status("/", &[("Host", host)]);
        for ours in [
            "localhost",
            "LOCALHOST:1",
            "localhost.",
            "127.0.0.1:9797",
            "[::1]:9797",
            "[::1]",
            "[::ffff:10.0.0.1]",
            "BATCH.example:80",
            "batch.example.:80",
        ] {
            assert_eq!(ask(ours), 200, "{ours}");
        }
        for other in
            ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example:9797", "127.1", "0x7f.1"]
        {
            assert_eq!(ask(other), 421, "{other}");
        }
        for wrong in [
            "",
            ":80",
            "localhost:",
            "localhost:x",
            "localhost:65536",
            "localhost:+80",
            "localhost:1:2",
            "localhost..",
            ".localhost",
            "a@localhost",
            "localhost@evil.example",
            "localhost, evil.example",
            "local host",
            "localhost/",
            "localhost#",
            "127.0.0.1%00",
            "::1",
            "[::1",
            "[::1]x",
            "[fe80::1%25eth0]",
            "[127.0.0.1]",
            "http://localhost",
            "l\u{f6}calhost",
        ] {
            assert_eq!(ask(wrong), 400, "{wrong}");
        }
    }

    #[test]
    fn host_is_given_once_and_as_the_uri_says() {
        assert_eq!(status("/", &[]), 400);
        assert_eq!(status("/", &[("Host", "localhost"), ("Host", "localhost")]), 400);
        assert_eq!(status("http://localhost/", &[("Host", "localhost")]), 200);
        assert_eq!(status("http://localhost/", &[]), 200);
        assert_eq!(status("http://localhost/", &[("Host", "batch.example")]), 400);
        assert_eq!(status("http://evil.example/", &[("Host", "localhost")]), 400);
        assert_eq!(status("http://a@localhost/", &[("Host", "localhost")]), 400);
    }

    #[test]
    fn origin_is_our_host_and_nothing_else() {
        let ask = |host: &str, origin: &str| status("/", &[("Host", host), ("Origin", origin)]);
        for (host, origin) in [
            ("localhost:7", "http://localhost:7"),
            ("localhost:7", "http://LOCALHOST:7"),
            ("localhost", "http://localhost:80"),
            ("localhost:80", "http://localhost"),
            ("batch.example", "https://batch.example"),
            ("[::1]:7", "http://[::1]:7"),
        ] {
            assert_eq!(ask(host, origin), 200, "{host} {origin}");
        }
        for origin in [
            "null",
            "",
            "http://localhost",
            "http://localhost:8",
            "http://localhost:7/",
            "http://localhost:7/path",
            "http://a@localhost:7",
            "http://localhost:7@evil.example",
            "https://localhost",
            "ftp://localhost:7",
            "localhost:7",
            "http://localhost:7 http://evil.example",
            "http://evil.example",
            "http://l\u{f6}calhost:7",
        ] {
            assert_eq!(ask("localhost:7", origin), 403, "{origin}");
        }
        let twice =
            [("Host", "localhost:7"), ("Origin", "http://localhost:7"), ("Origin", "http://localhost:7")];
        assert_eq!(status("/", &twice), 403);
    }

    #[test]
    fn probe_of_the_simplest_kind_needs_no_host() {
        let (mut head, ()) = Request::builder().uri("/livez").body(()).unwrap().into_parts();
        assert_eq!(check(&head, &[], true).unwrap_err().status, 400);
        head.version = Version::HTTP_10;
        check(&head, &[], true).unwrap();
        assert_eq!(check(&head, &[], false).unwrap_err().status, 400);
    }
}
