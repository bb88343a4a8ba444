//! One request, from its head to its answer.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::http::request::Parts as Head;
use axum::http::{Request, Response, header};
use hyper::body::Bytes;
use recovery::daemon::Role;
use recovery::operations::jobs::output_withheld;
use serde_json::Value;

use super::answer::{Answer, guard};
use super::auth::{Peer, Principal, bearer_of, check_host, shown_token, tell_role, user_at_socket};
use super::endpoint::{DRY_RUN, Endpoint};
use super::execute::{Write, carry_out};
use super::idempotency;
use super::places::{Kind, Place};
use super::problem::Problem;
use super::request::{Given, Parts, decoded};
use super::shared::Shared;
use super::stage::recovered;
use crate::error::CliError;
use tracing::{Instrument as _, info_span};

/// How long a write waits for the recovery to be over.
const PATIENCE: Duration = Duration::from_secs(5);

/// Answers a request for an endpoint of the table.
pub(super) async fn serve(
    shared: Arc<Shared>,
    endpoint: &'static Endpoint,
    request: Request<Body>,
) -> Response<Body> {
    let begun = Instant::now();
    let (head, body) = request.into_parts();
    let id = shared.next_request_id();
    let (principal, answer) = match admitted(&shared, &head).await {
        Ok(principal) => {
            let span = info_span!("request", request_id = id, method = %head.method, path = endpoint.path);
            let answer = answer(&shared, endpoint, &head, body, &principal).instrument(span).await;
            (Some(principal), answer.unwrap_or_else(Answer::from))
        }
        Err(problem) => (None, problem.into()),
    };
    let mut response = answer.respond(&head.headers, !endpoint.method.changes());
    guard(response.headers_mut(), &id);
    if let Some(principal) = &principal {
        tell_role(response.headers_mut(), principal);
    }
    let status = response.status().as_u16();
    shared.tell(&id, principal.as_ref(), &head, endpoint.path, status, begun.elapsed());
    response
}

/// Who asks, if they may ask anything at all.
pub(super) async fn admitted(shared: &Arc<Shared>, head: &Head) -> Result<Principal, Problem> {
    let peer = head.extensions.get::<Peer>().copied();
    let peer = peer.ok_or_else(|| Problem::new(500, "internal", "internal", "nobody knows who asks"))?;
    check_host(peer, head, &shared.hosts())?;
    let principal = match peer {
        Peer::Socket { uid } => user_at_socket(uid)?,
        Peer::Tcp(_) => {
            let token = shown_token(&head.headers)?;
            let principal = bearer_of(&shared.tokens().await?, token, peer)?;
            take_place(head, principal.role)?;
            principal
        }
    };
    let sees_output = shared.shows_output_to(principal.role);
    Ok(principal.seeing_output(sees_output))
}

/// The connection is from now on one of those that have shown this role's token.
fn take_place(head: &Head, role: Role) -> Result<(), Problem> {
    let kind = match role {
        Role::Admin => Kind::Admin,
        Role::Viewer => Kind::Viewer,
    };
    match head.extensions.get::<Place>() {
        Some(place) if !place.has_shown(kind) => {
            let detail = format!("all connections for the {}'s token are in use", role.as_str());
            Err(Problem::new(503, "busy", "too many connections", detail).retry_after(1))
        }
        _ => Ok(()),
    }
}

async fn answer(
    shared: &Arc<Shared>,
    endpoint: &'static Endpoint,
    head: &Head,
    body: Body,
    principal: &Principal,
) -> Result<Answer, Problem> {
    if endpoint.method.changes() && principal.role == Role::Viewer {
        let detail = "the viewer's token is for looking";
        return Err(Problem::new(403, "not-authorised", "not authorised", detail)
            .next("show the token in daemon/admin.token"));
    }
    if endpoint.shows_output && !principal.sees_output {
        return Err(Problem::of(&output_withheld(), None));
    }
    let whole = if endpoint.method.changes() { Some(shared.bodies.whole(body).await?) } else { None };
    let body = whole.as_ref().map_or_else(Bytes::new, |whole| whole.bytes.clone());
    let path = path_parts(endpoint, head.uri.path())?;
    let query = head.uri.query().unwrap_or_default();
    let given = Given::read(endpoint, Parts { path: &path, query, body: &body })?;
    if endpoint.method.changes() {
        if !endpoint.while_recovering && !recovered(&shared.stage, PATIENCE).await {
            let detail = "the daemon recovers; what is asked for can be done when it has";
            return Err(Problem::new(503, "recovering", "recovering", detail)
                .retry_after(1)
                .next("recoveryctl recovery phases"));
        }
        write(shared, endpoint, head, (given, body), principal).await
    } else {
        look(shared, endpoint, head, given, principal).await
    }
}

/// The parts of the path that the endpoint names.
fn path_parts(endpoint: &Endpoint, path: &str) -> Result<Vec<(String, String)>, Problem> {
    let pairs = endpoint.path.split('/').zip(path.split('/'));
    let named = pairs.filter_map(|(name, part)| Some((name.strip_prefix('{')?.strip_suffix('}')?, part)));
    let decoded = named.map(|(name, part)| Some((name.to_owned(), decoded(part, false)?)));
    decoded.collect::<Option<_>>().ok_or_else(|| Problem::invalid("the path is not well encoded".to_owned()))
}

async fn look(
    shared: &Arc<Shared>,
    endpoint: &'static Endpoint,
    head: &Head,
    given: Given,
    principal: &Principal,
) -> Result<Answer, Problem> {
    let asked = head.uri.path_and_query().map_or("", |p| p.as_str());
    // Clients that see less share no answer with those that see more.
    let question = format!("{} {asked}", principal.sees_output);
    let (with, principal, given) = (shared.clone(), principal.clone(), Arc::new(given));
    let make = move || carry_out(&with, &principal, endpoint, &given, &[]).tagged();
    let answer = match endpoint.cached {
        true => shared.answer_again(question, make).await,
        false => shared.answer_once(question, make).await,
    }?;
    Ok(match wants_text(head) && endpoint.path.ends_with("/output") {
        true => output_alone(answer),
        false => answer,
    })
}

fn wants_text(head: &Head) -> bool {
    let accept = head.headers.get(header::ACCEPT).and_then(|value| value.to_str().ok());
    accept.is_some_and(|accept| accept.starts_with("text/plain"))
}

/// What a job printed, without the document around it.
fn output_alone(answer: Answer) -> Answer {
    let document: Option<Value> = serde_json::from_slice(&answer.body).ok();
    match document.filter(|_| answer.status == 200).as_ref().and_then(|d| d["output"].as_str()) {
        Some(output) => Answer::text(200, "text/plain; charset=utf-8", output.to_owned()),
        None => answer,
    }
}

async fn write(
    shared: &Arc<Shared>,
    endpoint: &'static Endpoint,
    head: &Head,
    (given, body): (Given, Bytes),
    principal: &Principal,
) -> Result<Answer, Problem> {
    let key = head.headers.get("idempotency-key").map(|value| value.to_str().map(str::to_owned));
    let key = match key {
        Some(Ok(key)) if idempotency::is_key(&key) => Some(key),
        Some(_) => {
            let detail = format!("an Idempotency-Key has 1 to {} visible characters", idempotency::LONGEST);
            return Err(Problem::invalid(detail));
        }
        None => None,
    };
    let (with, principal) = (shared.clone(), principal.clone());
    let target = format!("{} {}", head.method, head.uri);
    let carried = shared.pool.run_write(move || {
        let dry_run = given.is_on(DRY_RUN);
        // Without this check, what is written from here on could go into another directory than the one that
        // was asked for.
        with.dir.disk.check_its_home().map_err(|e| Problem::of(&CliError::from(e), None))?;
        let book = with.book()?;
        let write = Write { shared: &with, principal: &principal, endpoint, given, body, book, target };
        Ok(match key.filter(|_| !dry_run) {
            Some(key) => idempotency::carry_out(&write, &key),
            None => write.carry_out(),
        })
    });
    carried.await?
}
