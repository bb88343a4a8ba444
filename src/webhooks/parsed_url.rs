//! An address as the client will call it: its text alone does not tell, because the client normalises it.
//!
//! `/hooks/../admin` and `/hooks/%2e%2e/admin` begin with `/hooks` and are requests for `/admin`. So
//! addresses are parsed by the client's own parser before they are compared, and by the names in their paths.

use reqwest::Url;

/// Scheme, host, port and the names in the path of an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ParsedUrl {
    url: Url,
    names: Vec<String>,
}

impl ParsedUrl {
    /// Parses an address; `None` when the client could not call it.
    pub(super) fn of(url: &str) -> Option<ParsedUrl> {
        let url = Url::parse(url).ok()?;
        let mut names: Vec<String> = url.path_segments()?.map(str::to_owned).collect();
        // A slash at the end adds no name.
        if names.last().is_some_and(String::is_empty) {
            names.pop();
        }
        Some(ParsedUrl { url, names })
    }

    /// Returns how many names the path has.
    pub(super) fn depth(&self) -> usize {
        self.names.len()
    }

    /// Whether another address is this one or below it, however its path is read. An address with a query
    /// covers only that query.
    pub(super) fn covers(&self, other: &ParsedUrl) -> bool {
        let origin = |p: &ParsedUrl| {
            (p.url.scheme().to_owned(), p.url.host_str().map(str::to_owned), p.url.port_or_known_default())
        };
        if origin(self) != origin(other) {
            return false;
        }
        match self.url.query() {
            Some(query) => self.names == other.names && other.url.query() == Some(query),
            None => {
                other.names.strip_prefix(&*self.names).is_some_and(|rest| rest.iter().all(|n| is_name(n)))
            }
        }
    }
}

/// Whether no receiver can take it for more, or for less, than a name: some decode `%2F` before they look at the
/// path, others leave out what follows a `;`.
fn is_name(segment: &str) -> bool {
    let decoded = segment.to_ascii_lowercase().replace("%2e", ".");
    let name = decoded.split(';').next().unwrap_or_default();
    !matches!(name, "." | "..") && !["%2f", "%5c", "\\"].iter().any(|separator| decoded.contains(separator))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn covers(own: &str, other: &str) -> bool {
        ParsedUrl::of(own).unwrap().covers(&ParsedUrl::of(other).unwrap())
    }

    #[test]
    fn covers_as_client_normalises() {
        for own in ["http://h/ok/hooks", "HTTP://user:x@H:80/ok/hooks/", "http://h/ok/./other/../hooks"] {
            for below in [
                "",
                "/",
                "/a",
                "/a/b?c",
                "?x=1",
                "#f",
                "/a/../b",
                "/%2e/c",
                "//",
                "/a;v=1",
                "/%2E%2E/hooks/d",
            ] {
                let other = format!("http://h/ok/hooks{below}");
                assert!(covers(own, &other), "{other} is below {own}");
            }
        }
        assert!(covers("https://h", "https://h:443/anything/at/all"));
        assert!(covers("http://127.0.0.1:81/x", "http://127.1:81/x/y"));
    }

    #[test]
    fn covers_rejects_paths_leading_out() {
        for other in [
            "http://h/ok/hooks/../../ok/dotdot",
            "http://h/ok/hooks/%2e%2e/%2E%2E/ok/enc",
            "http://h/ok/hooks/.%2e/enc",
            "http://h/ok/hooks\\..\\enc",
            "http://h/ok/hooks/.\t./tab",
            "http://h/ok/hooks/..%2f..%2fenc",
            "http://h/ok/hooks/..%5C..%5Cenc",
            "http://h/ok/hooks/..;/enc",
            "http://h/ok/hooks/%2e%2e;v=1/enc",
            "http://h/ok/hooks2",
            "http://h/ok//hooks/a",
            "http://h/OK/hooks",
            "http://h/ok",
            "https://h/ok/hooks",
            "http://h:81/ok/hooks",
            "http://h@evil/ok/hooks",
            "http://h.evil/ok/hooks",
        ] {
            assert!(!covers("http://h/ok/hooks", other), "{other}");
        }
    }

    #[test]
    fn covers_compares_query() {
        assert!(covers("http://h/in?team=a", "http://h/in?team=a#f"));
        assert!(!covers("http://h/in?team=a", "http://h/in?team=b"));
        assert!(!covers("http://h/in?team=a", "http://h/in/b?team=a"));
    }
}
