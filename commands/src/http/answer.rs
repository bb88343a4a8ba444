//! Answers: status, headers, body.

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use hyper::body::Bytes;
use sha2::{Digest, Sha256};

use super::problem::Problem;

const JSON: &str = "application/json";
const PROBLEM: &str = "application/problem+json";

/// An answer that can be sent to many clients.
#[derive(Debug, Clone)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) content_type: &'static str,
    pub(super) body: Bytes,
    /// The address of what was made.
    pub(super) location: Option<String>,
    pub(super) retry_after: Option<u32>,
    /// Whether it was sent before, to a request with the same `Idempotency-Key`.
    pub(super) replayed: bool,
    /// Its entity tag, when it was made already: once for all who get this answer.
    pub(super) tag: Option<HeaderValue>,
}

impl Answer {
    pub(super) fn new(status: u16, content_type: &'static str, body: impl Into<Bytes>) -> Answer {
        let (location, retry_after, replayed, tag) = (None, None, false, None);
        Answer { status, content_type, body: body.into(), location, retry_after, replayed, tag }
    }

    /// The same, with its entity tag made now.
    pub(super) fn tagged(self) -> Answer {
        Answer { tag: (self.status == 200).then(|| entity_tag(&self.body)), ..self }
    }

    pub(super) fn json(status: u16, body: impl Into<Bytes>) -> Answer {
        Answer::new(status, JSON, body)
    }

    pub(super) fn text(status: u16, content_type: &'static str, body: impl Into<Bytes>) -> Answer {
        Answer::new(status, content_type, body)
    }

    /// Makes the response for a client that sent these headers.
    pub(super) fn respond(&self, asked: &HeaderMap, is_get: bool) -> Response<Body> {
        let mut response = Response::new(Body::from(self.body.clone()));
        *response.status_mut() =
            StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(self.content_type));
        let mut set = |name, value: &str| {
            if let Ok(value) = HeaderValue::from_str(value) {
                headers.insert(name, value);
            }
        };
        if let Some(location) = &self.location {
            set(header::LOCATION, location);
        }
        if let Some(seconds) = self.retry_after {
            set(header::RETRY_AFTER, &seconds.to_string());
        }
        if self.replayed {
            headers.insert("idempotency-replayed", HeaderValue::from_static("true"));
        }
        if self.status == 401 {
            headers
                .insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"recoveryctl\""));
        }
        if is_get && self.status == 200 {
            let tag = self.tag.clone().unwrap_or_else(|| entity_tag(&self.body));
            let known = asked.get_all(header::IF_NONE_MATCH).iter().any(|value| names(value, &tag));
            headers.insert(header::ETAG, tag);
            if known {
                headers.remove(header::CONTENT_TYPE);
                *response.body_mut() = Body::empty();
                *response.status_mut() = StatusCode::NOT_MODIFIED;
            }
        }
        response
    }
}

impl From<Problem> for Answer {
    fn from(problem: Problem) -> Answer {
        let retry_after = problem.retry_after;
        Answer { retry_after, ..Answer::new(problem.status, PROBLEM, problem.body()) }
    }
}

fn entity_tag(body: &[u8]) -> HeaderValue {
    let digest = Sha256::digest(body);
    let hex: String = digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    // The text has only hexadecimal digits and quotes, so it is always a valid value.
    HeaderValue::from_str(&format!("\"{hex}\"")).unwrap_or(HeaderValue::from_static("\"\""))
}

/// Whether an `If-None-Match` names the tag.
fn names(value: &HeaderValue, tag: &HeaderValue) -> bool {
    let (Ok(value), Ok(tag)) = (value.to_str(), tag.to_str()) else { return false };
    value.split(',').map(str::trim).any(|one| one == "*" || one.trim_start_matches("W/") == tag)
}

/// Adds the headers of every answer.
pub(super) fn guard(headers: &mut HeaderMap, request_id: &str) {
    for (name, value) in [
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
        (header::CACHE_CONTROL, "no-cache"),
    ] {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
    if let Ok(id) = HeaderValue::from_str(request_id) {
        headers.insert("x-request-id", id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_known_answer_is_not_sent_again() {
        let answer = Answer::json(200, "{}\n");
        let fresh = answer.respond(&HeaderMap::new(), true);
        let tag = fresh.headers()[header::ETAG].clone();
        for known in
            [tag.to_str().unwrap().to_owned(), format!("\"x\", W/{}", tag.to_str().unwrap()), "*".into()]
        {
            let mut asked = HeaderMap::new();
            asked.insert(header::IF_NONE_MATCH, HeaderValue::from_str(&known).unwrap());
            assert_eq!(answer.respond(&asked, true).status(), 304, "{known}");
            assert_eq!(answer.respond(&asked, false).status(), 200);
        }
        let other = Answer::json(200, "[]\n").respond(&HeaderMap::new(), true);
        assert_ne!(other.headers()[header::ETAG], tag);
    }
}
