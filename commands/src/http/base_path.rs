//! `daemon.base_path`: the path below which a proxy offers the daemon.
//!
//! Proxies differ: some hand the path on as it came, others take their part off. Both work: a path below the base is
//! served as what stands behind it, every other one as it is. The page uses relative addresses only, so it needs the
//! base with a slash at its end, and is sent there. What the daemon names itself (`Location`) is named below the base.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::uri::PathAndQuery;
use axum::http::{HeaderValue, Request, Response, StatusCode, Uri, header};
use axum::middleware::Next;

use super::shared::Shared;

/// This layer surrounds everything: inside of it, no path has the base any more.
pub(super) async fn apply(
    State(shared): State<Arc<Shared>>,
    mut request: Request<Body>,
    next: Next,
) -> Response<Body> {
    let Some(base) = shared.base_path() else { return next.run(request).await };
    match below(request.uri(), &base) {
        Below::TheBase => return sent_to(&format!("{base}/"), request.uri().query()),
        Below::Inner(uri) => *request.uri_mut() = uri,
        Below::Elsewhere => {}
    }
    let mut response = next.run(request).await;
    let named = response.headers().get(header::LOCATION).and_then(|at| at.to_str().ok());
    if let Some(at) = named.and_then(|at| HeaderValue::from_str(&format!("{base}{at}")).ok()) {
        response.headers_mut().insert(header::LOCATION, at);
    }
    response
}

/// Where a request is, seen from the base.
#[derive(Debug, PartialEq)]
enum Below {
    /// At the base, without a slash at its end.
    TheBase,
    /// Below it, and there at this place.
    Inner(Uri),
    Elsewhere,
}

fn below(uri: &Uri, base: &str) -> Below {
    let Some(rest) = uri.path().strip_prefix(base) else { return Below::Elsewhere };
    if rest.is_empty() {
        return Below::TheBase;
    }
    if !rest.starts_with('/') {
        return Below::Elsewhere;
    }
    let inner = match uri.query() {
        Some(query) => format!("{rest}?{query}"),
        None => rest.to_owned(),
    };
    let Ok(inner) = inner.parse::<PathAndQuery>() else { return Below::Elsewhere };
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(inner);
    Uri::from_parts(parts).map_or(Below::Elsewhere, Below::Inner)
}

fn sent_to(path: &str, query: Option<&str>) -> Response<Body> {
    let to = query.map_or_else(|| path.to_owned(), |query| format!("{path}?{query}"));
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::PERMANENT_REDIRECT;
    if let Ok(to) = HeaderValue::from_str(&to) {
        response.headers_mut().insert(header::LOCATION, to);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base_ends_at_a_slash() {
        let of = |text: &str| below(&text.parse().unwrap(), "/ops/recovery");
        let inner = |text: &str| Below::Inner(text.parse().unwrap());
        assert_eq!(of("/ops/recovery"), Below::TheBase);
        assert_eq!(of("/ops/recovery?x=1"), Below::TheBase);
        assert_eq!(of("/ops/recovery/"), inner("/"));
        assert_eq!(of("/ops/recovery/api/jobs/a%2Fb?x=1"), inner("/api/jobs/a%2Fb?x=1"));
        assert_eq!(of("/ops/recovery2/x"), Below::Elsewhere);
        assert_eq!(of("/api/jobs"), Below::Elsewhere);
        assert_eq!(of("/ops/recovery//evil.example/"), inner("//evil.example/"));
    }
}
