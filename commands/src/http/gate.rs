//! Who asks, and what they may: a token over TCP, the user behind the socket; and whether a browser was tricked.

use std::ffi::OsString;
use std::net::{IpAddr, SocketAddr};

use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderValue, Uri, header};
use recovery::daemon::{Role, Tokens};
use recovery::durable::DiskError;

use super::problem::Problem;
use crate::actor::Invoker;

/// The other end of a connection.
#[derive(Debug, Clone, Copy)]
pub(super) enum Peer {
    Tcp(SocketAddr),
    /// The unix socket, and the user of the process at its other end.
    Socket {
        uid: u32,
    },
}

/// Who asks.
#[derive(Debug, Clone)]
pub(super) struct Asker {
    pub(super) role: Role,
    peer: Peer,
}

impl Asker {
    /// A probe, which shows no token and is told next to nothing.
    pub(super) fn probe() -> Asker {
        Asker { role: Role::Viewer, peer: Peer::Socket { uid: rustix::process::geteuid().as_raw() } }
    }

    /// As the audit trail names it.
    pub(super) fn invoker(&self, arguments: &[OsString]) -> Invoker {
        match self.peer {
            Peer::Tcp(address) => {
                Invoker::client(None, self.role.as_str(), &format!("http {address}"), arguments)
            }
            Peer::Socket { uid } => Invoker::client(Some(uid), self.role.as_str(), "socket", arguments),
        }
    }

    /// For the request log.
    pub(super) fn name(&self) -> String {
        match self.peer {
            Peer::Tcp(address) => format!("{} {address}", self.role.as_str()),
            Peer::Socket { uid } => format!("uid:{uid} socket"),
        }
    }
}

/// Who asks over TCP, with the token that is shown.
///
/// # Errors
/// 401 for one that does not count.
pub(super) fn bearer_of(tokens: &Tokens, token: &str, peer: Peer) -> Result<Asker, Problem> {
    let role = tokens.role_of(token).ok_or_else(|| unauthorised("this token does not count"))?;
    Ok(Asker { role, peer })
}

/// Who asks over the socket.
///
/// # Errors
/// 403 for another user's process.
pub(super) fn user_at_socket(uid: u32) -> Result<Asker, Problem> {
    if uid == 0 || uid == rustix::process::geteuid().as_raw() {
        return Ok(Asker { role: Role::Admin, peer: Peer::Socket { uid } });
    }
    let detail = format!("the socket is for the daemon's own user, not for user {uid}");
    Err(Problem::new(403, "not-authorised", "not authorised", detail))
}

/// The token that a request shows.
///
/// # Errors
/// 401 when it shows none.
pub(super) fn shown_token(headers: &HeaderMap) -> Result<&str, Problem> {
    let given = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    given.and_then(bearer).ok_or_else(|| unauthorised("no token was shown"))
}

fn bearer(value: &str) -> Option<&str> {
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

fn unauthorised(detail: &str) -> Problem {
    Problem::new(401, "not-authorised", "not authorised", detail)
        .next("show the token in daemon/admin.token or daemon/viewer.token: Authorization: Bearer TOKEN")
}

pub(super) fn not_readable(error: &DiskError) -> Problem {
    Problem::new(500, "disk", "the tokens cannot be read", format!("{error}: {}", error.source))
}

/// Refuses a request that a browser was led to make for a page of somebody else: one whose Host is neither an
/// address nor a name of ours (DNS rebinding), or whose Origin is another host.
///
/// # Errors
/// 400 without a Host, 421 for a wrong one, 403 for a foreign Origin.
pub(super) fn check_host(
    peer: Peer,
    headers: &HeaderMap,
    uri: &Uri,
    names: &[String],
) -> Result<(), Problem> {
    let Peer::Tcp(_) = peer else { return Ok(()) };
    let given = headers.get(header::HOST).and_then(|value| value.to_str().ok());
    let host = given.or_else(|| uri.authority().map(Authority::as_str));
    let host = host.ok_or_else(|| Problem::malformed("there is no Host".to_owned()))?;
    if !is_ours(host_name(host), names) {
        let detail =
            format!("'{host}' is no name of this daemon; daemon.hosts of the configuration lists them");
        return Err(Problem::new(421, "wrong-host", "the request is for another host", detail));
    }
    let origin = headers.get(header::ORIGIN).and_then(|value| value.to_str().ok());
    match origin {
        Some(origin) if origin.split_once("://").is_none_or(|(_, of)| of != host) => {
            let detail = format!("a page of '{origin}' made it");
            Err(Problem::new(403, "wrong-origin", "the request comes from another site", detail))
        }
        _ => Ok(()),
    }
}

/// Without the port.
fn host_name(host: &str) -> &str {
    match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, _)) => address,
        None => host.rsplit_once(':').map_or(host, |(name, _)| name),
    }
}

fn is_ours(name: &str, names: &[String]) -> bool {
    name.eq_ignore_ascii_case("localhost")
        || name.parse::<IpAddr>().is_ok()
        || names.iter().any(|ours| ours.eq_ignore_ascii_case(name))
}

/// Tells who asked what they are: the dashboard offers no changes to whom they would be refused.
pub(super) fn tell_role(headers: &mut HeaderMap, asker: &Asker) {
    headers.insert("recoveryctl-role", HeaderValue::from_static(asker.role.as_str()));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_our_names_are_ours() {
        let ours = |host| is_ours(host_name(host), &["batch.example".to_owned()]);
        for host in ["localhost", "localhost:1", "127.0.0.1:9797", "[::1]:9797", "[::1]", "BATCH.example:80"]
        {
            assert!(ours(host), "{host}");
        }
        for host in ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example:9797", ""] {
            assert!(!ours(host), "{host}");
        }
    }

    #[test]
    fn a_token_is_a_bearers() {
        assert_eq!(bearer("Bearer abc"), Some("abc"));
        assert_eq!(bearer("bearer abc"), Some("abc"));
        assert_eq!(bearer("Basic abc"), None);
        assert_eq!(bearer("abc"), None);
    }
}
