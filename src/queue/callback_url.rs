//! Whether a callback's address could ever be called.

/// The address as reports show it: scheme, host and port. Everything else may be a credential, as in the
/// addresses that chat services assign.
pub fn masked_url(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return masked_text(url) };
    let (authority, path) = rest.split_at(rest.find(['/', '?', '#', '\\']).unwrap_or(rest.len()));
    let place = authority.rsplit_once('@').map_or(authority, |(_, place)| place);
    let user = if place.len() == authority.len() { "" } else { "***@" };
    let rest = match path {
        "" | "/" => path,
        _ => "/***",
    };
    format!("{scheme}://{user}{place}{rest}")
}

/// Whether a text looks like an address with a credential in it: a user's name and password, or a parameter whose
/// name is that of a credential.
pub(super) fn holds_credential(text: &str) -> bool {
    masked_text(text) != text
}

/// A URL with the part before `@` as `***`, and the values of parameters with names of credentials masked.
fn masked_text(url: &str) -> String {
    let start = url.find("://").map_or(0, |at| at + "://".len());
    let end = url[start..].find(['/', '?', '#', '\\']).map_or(url.len(), |at| start + at);
    let rest = masked_query(&url[end..]);
    match url[start..end].rfind('@') {
        Some(at) => format!("{}***{}{rest}", &url[..start], &url[start + at..end]),
        None => format!("{}{rest}", &url[..end]),
    }
}

/// Names of parameters that hold secrets, or end with such a word.
const SECRET_PARAMETERS: [&str; 10] =
    ["token", "secret", "key", "sig", "signature", "password", "passwd", "auth", "code", "credential"];

/// Path and query with the values of such parameters as `***`.
fn masked_query(rest: &str) -> String {
    let Some((path, query)) = rest.split_once('?') else { return rest.to_owned() };
    let (query, fragment) = query.split_at(query.find('#').unwrap_or(query.len()));
    let masked = |pair: &str| match pair.split_once('=') {
        Some((name, value)) if !value.is_empty() && is_secret(name) => format!("{name}=***"),
        _ => pair.to_owned(),
    };
    let pairs: Vec<String> = query.split('&').map(masked).collect();
    format!("{path}?{}{fragment}", pairs.join("&"))
}

fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    SECRET_PARAMETERS.iter().any(|word| name.ends_with(word))
}

/// Checks scheme, host and port; only the receiver can judge the rest.
pub(super) fn check_callback_url(url: &str) -> Result<(), &'static str> {
    if url.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return Err("an address has no blanks and no control characters");
    }
    let (scheme, rest) = url.split_once("://").ok_or("it must begin with http:// or https://")?;
    if !scheme.eq_ignore_ascii_case("http") && !scheme.eq_ignore_ascii_case("https") {
        return Err("only http and https can be called");
    }
    let authority = rest.split(['/', '?', '#', '\\']).next().unwrap_or_default();
    let place = authority.rsplit_once('@').map_or(authority, |(_, place)| place);
    let (host, port) = split_port(place)?;
    if host.is_empty() {
        return Err("it names no host");
    }
    match port {
        Some(port) if port.parse::<u16>().map_or(true, |p| p == 0) => {
            Err("a port is a number from 1 to 65535")
        }
        _ => Ok(()),
    }
}

/// Splits host and port; an IPv6 address stands in brackets.
fn split_port(place: &str) -> Result<(&str, Option<&str>), &'static str> {
    if let Some(bracketed) = place.strip_prefix('[') {
        let (address, rest) = bracketed.split_once(']').ok_or("the bracket of its host is not closed")?;
        address.parse::<std::net::Ipv6Addr>().map_err(|_| "in brackets stands an IPv6 address")?;
        return match rest.strip_prefix(':') {
            Some(port) => Ok((address, Some(port))),
            None if rest.is_empty() => Ok((address, None)),
            None => Err("behind the host stands a port or nothing"),
        };
    }
    match place.split_once(':') {
        Some((host, port)) => Ok((host, Some(port))),
        None => Ok((place, None)),
    }
}

#[cfg(test)]
mod tests {
    use super::{check_callback_url, holds_credential, masked_url};

    #[test]
    fn callback_url_valid() {
        for url in [
            "http://localhost",
            "HTTPS://example.org:8443/a?b=c#d",
            "http://user:secret@10.0.0.1/x",
            "http://[::1]:9/x",
            "https://hooks.example/a@b:c",
        ] {
            assert_eq!(check_callback_url(url), Ok(()), "{url}");
        }
    }

    #[test]
    fn masked_url_shows_scheme_host_port() {
        for (url, shown) in [
            ("http://u:pw@x", "http://***@x"),
            ("https://u:p@w@x:1/a?b=c@d", "https://***@x:1/***"),
            ("u:pw@x/a", "***@x/a"),
            ("ftp://token@x", "ftp://***@x"),
            ("http://x/", "http://x/"),
            ("https://hooks.chat.example/services/T0/B0/secret", "https://hooks.chat.example/***"),
            ("http://[::1]:81?jwt=secret", "http://[::1]:81/***"),
            ("http://x#access_token=secret", "http://x/***"),
            ("http://x\\secret", "http://x/***"),
            ("", ""),
        ] {
            assert_eq!(masked_url(url), shown);
        }
    }

    #[test]
    fn credential_found_by_position_or_name() {
        for text in
            ["http://u:pw@x", "u:pw@x/a", "http://x/a?access_token=t", "http://x?b=1&X-Amz-Signature=s"]
        {
            assert!(holds_credential(text), "{text}");
        }
        for text in ["http://x/a@b", "http://x?to=a@b", "http://x?token=&b", "http://proxy:3128/", ""] {
            assert!(!holds_credential(text), "{text}");
        }
    }

    #[test]
    fn callback_url_invalid() {
        for url in [
            "",
            "example.org",
            "ftp://example.org",
            "http://",
            "http:///x",
            "https://?x",
            "http://a b/",
            "http://:80",
            "http://h:0",
            "http://h:65536",
            "http://h:x",
            "http://h:",
            "http://[::1",
            "http://[web]/",
            "http://[::1]x",
            "http://u@/x",
            "mailto:a@b.c",
            "http://a\n/",
        ] {
            assert!(check_callback_url(url).is_err(), "{url}");
        }
    }
}
