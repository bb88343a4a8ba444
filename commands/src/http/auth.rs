//! Finds out who makes a request, and what they may do: a token over TCP, the user behind the socket; and
//! whether a browser was tricked.

use std::ffi::OsString;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use axum::http::request::Parts as Head;
use axum::http::{HeaderMap, HeaderValue, header};
use recovery::daemon::{Role, Tokens};
use recovery::durable::DiskError;

use super::authority;
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

impl Peer {
    /// Returns the origin by which connections are counted: an IPv4 address, or an IPv6 network, in which one
    /// machine has as many addresses as it likes.
    pub(super) fn origin(self) -> IpAddr {
        let address = match self {
            Peer::Tcp(address) => address.ip().to_canonical(),
            Peer::Socket { .. } => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        };
        match address {
            IpAddr::V4(_) => address,
            IpAddr::V6(address) => IpAddr::V6((address.to_bits() & !u128::from(u64::MAX)).into()),
        }
    }
}

/// Who makes a request.
#[derive(Debug, Clone)]
pub(super) struct Principal {
    pub(super) role: Role,
    /// Whether what jobs print is shown.
    pub(super) sees_output: bool,
    peer: Peer,
}

impl Principal {
    /// A probe, which shows no token and gets almost no information.
    pub(super) fn probe() -> Principal {
        let peer = Peer::Socket { uid: rustix::process::geteuid().as_raw() };
        Principal { role: Role::Viewer, sees_output: false, peer }
    }

    pub(super) fn seeing_output(self, sees_output: bool) -> Principal {
        Principal { sees_output, ..self }
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
/// 401 for one that is not valid.
pub(super) fn bearer_of(tokens: &Tokens, token: &str, peer: Peer) -> Result<Principal, Problem> {
    let role = tokens.role_of(token).ok_or_else(|| unauthorised("the token is not valid"))?;
    Ok(Principal { role, sees_output: role == Role::Admin, peer })
}

/// Who asks over the socket.
///
/// # Errors
/// 403 for another user's process.
pub(super) fn user_at_socket(uid: u32) -> Result<Principal, Problem> {
    if uid == 0 || uid == rustix::process::geteuid().as_raw() {
        return Ok(Principal { role: Role::Admin, sees_output: true, peer: Peer::Socket { uid } });
    }
    let detail = format!("the socket is for the daemon's own user, not for user {uid}");
    Err(Problem::new(403, "not-authorised", "not authorised", detail))
}

/// The token that a request shows.
///
/// # Errors
/// 401 when it shows none.
pub(super) fn shown_token(headers: &HeaderMap) -> Result<&str, Problem> {
    match authority::only(headers, &header::AUTHORIZATION) {
        Ok(given) => given.and_then(bearer).ok_or_else(|| unauthorised("no token was shown")),
        Err(why) => Err(unauthorised(&format!("the Authorization {why}"))),
    }
}

fn bearer(value: &str) -> Option<&str> {
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

fn unauthorised(detail: &str) -> Problem {
    let detail = format!(
        "{detail}; the tokens are in daemon/admin.token and daemon/viewer.token of the state directory"
    );
    Problem::new(401, "not-authorised", "not authorised", detail)
}

pub(super) fn not_readable(error: &DiskError) -> Problem {
    Problem::new(500, "disk", "the tokens cannot be read", format!("{error}: {}", error.source))
}

/// Refuses a request that a browser was led to make: see [`authority`]. No browser reaches the unix socket.
pub(super) fn check_host(peer: Peer, head: &Head, names: &[String]) -> Result<(), Problem> {
    match peer {
        Peer::Tcp(_) => authority::check(head, names, false),
        Peer::Socket { .. } => Ok(()),
    }
}

/// The same for a probe.
pub(super) fn check_host_of_probe(head: &Head, names: &[String]) -> Result<(), Problem> {
    match head.extensions.get::<Peer>() {
        Some(Peer::Tcp(_)) => authority::check(head, names, true),
        _ => Ok(()),
    }
}

/// Adds the role to the answer: the dashboard then offers no changes that would be refused.
pub(super) fn tell_role(headers: &mut HeaderMap, principal: &Principal) {
    headers.insert("recoveryctl-role", HeaderValue::from_static(principal.role.as_str()));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn machine_is_one_peer_whatever_its_addresses() {
        let origin = |address: &str| Peer::Tcp(SocketAddr::new(address.parse().unwrap(), 1)).origin();
        assert_ne!(origin("10.0.0.1"), origin("10.0.0.2"));
        assert_eq!(origin("10.0.0.1"), origin("::ffff:10.0.0.1"));
        assert_eq!(origin("2001:db8::1"), origin("2001:db8::ffff:1"));
        assert_ne!(origin("2001:db8::1"), origin("2001:db8:0:1::1"));
    }

    #[test]
    fn a_token_is_a_bearers() {
        assert_eq!(bearer("Bearer abc"), Some("abc"));
        assert_eq!(bearer("bearer abc"), Some("abc"));
        assert_eq!(bearer("Basic abc"), None);
        assert_eq!(bearer("abc"), None);
    }
}
