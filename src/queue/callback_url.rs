//! Whether a callback's address could ever be called.

/// The address as reports show it: a user's name and password are `***`.
#[must_use]
pub fn masked_url(url: &str) -> String {
    // What is no address may hold a secret all the same: whatever stands before an `@` is masked.
    let start = url.find("://").map_or(0, |at| at + "://".len());
    let end = url[start..].find(['/', '?', '#', '\\']).map_or(url.len(), |at| start + at);
    match url[start..end].rfind('@') {
        Some(at) => format!("{}***{}", &url[..start], &url[start + at..]),
        None => url.to_owned(),
    }
}

/// Checks scheme, host and port; the rest is the receiver's business.
///
/// # Errors
/// What is wrong, in words.
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

/// Host and port; an IPv6 address stands in brackets.
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
    use super::{check_callback_url, masked_url};

    #[test]
    fn addresses_that_can_be_called() {
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
    fn a_name_and_a_password_are_masked_and_nothing_else_is() {
        for (url, shown) in [
            ("http://u:pw@x", "http://***@x"),
            ("https://u:p@w@x:1/a?b=c@d", "https://***@x:1/a?b=c@d"),
            ("u:pw@x/a", "***@x/a"),
            ("ftp://token@x", "ftp://***@x"),
            ("http://x/a@b", "http://x/a@b"),
            ("http://x?to=a@b", "http://x?to=a@b"),
            ("", ""),
        ] {
            assert_eq!(masked_url(url), shown);
        }
    }

    #[test]
    fn addresses_that_cannot() {
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
