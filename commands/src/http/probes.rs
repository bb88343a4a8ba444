//! All routes: the endpoints of the table, and what is beside them: probes, version, metrics, events, commands.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{Request, Response};
use axum::middleware::from_fn_with_state;
use axum::routing::{MethodFilter, MethodRouter, get, post};
use serde::Serialize;

use super::answer::{Answer, guard};
use super::auth::{Principal, check_host_of_probe};
use super::endpoint::Endpoint;
use super::execute::in_context;
use super::probe_report::{Alive, PhaseOfProgress, Readiness, RecoveryProgress, Version};
use super::problem::{Problem, not_made};
use super::serving::{admitted, serve};
use super::shared::Shared;
use super::stage::{Stage, recovered};
use super::{base_path, command, events, metrics, page, resources};
use crate::error::Ending;
use recovery::operations::health::HealthRequest;
use recovery::operations::{Context, Done, Method, Operation};

/// How long a probe waits for the recovery's last step; see [`ready`].
const LAST_STEP: Duration = Duration::from_millis(200);

type Routes = MethodRouter<Arc<Shared>>;

/// Every route.
pub(super) fn router(shared: &Arc<Shared>) -> Router {
    let mut router: Router<Arc<Shared>> = Router::new()
        .route("/livez", get(|s, r| probe(s, r, Probe::Lives)))
        .route("/readyz", get(|s, r| probe(s, r, Probe::Ready)))
        .route("/healthz", get(|s, r| probe(s, r, Probe::Healthy)))
        .route("/openapi.json", get(|s, r| probe(s, r, Probe::Description)))
        .route("/version", get(|s, r| probe(s, r, Probe::Version)))
        .route("/metrics", get(metrics::serve))
        .route("/api/admin/events", get(events::serve))
        .route("/api/admin/command", post(command::serve));
    for (path, routes) in routes() {
        router = router.route(path, routes);
    }
    let router = router
        .merge(page::router())
        .fallback(|State(shared): State<Arc<Shared>>, request| refuse(shared, request, 404))
        .method_not_allowed_fallback(|State(shared): State<Arc<Shared>>, request| {
            refuse(shared, request, 405)
        })
        .with_state(shared.clone());
    // A layer of the router itself would run only after the route is chosen.
    let base = from_fn_with_state(shared.clone(), base_path::apply);
    Router::new().fallback_service(router).layer(base)
}

/// The endpoints by path.
fn routes() -> Vec<(&'static str, Routes)> {
    let routes = |endpoints: Vec<&'static Endpoint>| {
        endpoints.into_iter().fold(Routes::new(), |routes, endpoint| {
            let handler = move |State(shared): State<Arc<Shared>>, request: Request<Body>| {
                serve(shared, endpoint, request)
            };
            routes.on(filter(endpoint.method), handler)
        })
    };
    resources::by_path().into_iter().map(|(path, endpoints)| (path, routes(endpoints))).collect()
}

fn filter(method: Method) -> MethodFilter {
    match method {
        Method::Get => MethodFilter::GET,
        Method::Post => MethodFilter::POST,
        Method::Delete => MethodFilter::DELETE,
    }
}

/// What is not there, or not by this method.
async fn refuse(shared: Arc<Shared>, request: Request<Body>, status: u16) -> Response<Body> {
    let (head, _) = request.into_parts();
    let problem = match (admitted(&shared, &head).await, status) {
        (Err(problem), _) => problem,
        (Ok(_), 405) => Problem::new(405, "wrong-method", "wrong method", "this is not done by this method"),
        (Ok(_), _) => Problem::new(404, "no-such-endpoint", "not found", "there is nothing at this path")
            .next("GET /openapi.json lists all there is"),
    };
    let mut response = Answer::from(problem).respond(&head.headers, false);
    guard(response.headers_mut(), &shared.next_request_id());
    response
}

/// What can be asked without a token: it tells no names and no contents.
#[derive(Debug, Clone, Copy)]
enum Probe {
    Lives,
    Ready,
    Healthy,
    Version,
    Description,
}

async fn probe(State(shared): State<Arc<Shared>>, request: Request<Body>, probe: Probe) -> Response<Body> {
    let (head, _) = request.into_parts();
    let refused = check_host_of_probe(&head, &shared.hosts()).err();
    let answer = match (refused, probe) {
        (Some(problem), _) => problem.into(),
        (None, Probe::Lives) => json_line(200, &Alive { status: "alive" }),
        (None, Probe::Version) => {
            json_line(200, &Version { name: "recoveryctl", version: env!("CARGO_PKG_VERSION") })
        }
        (None, Probe::Description) => DESCRIPTION.clone(),
        (None, Probe::Ready) => ready(&shared).await,
        (None, Probe::Healthy) => healthy(&shared).await,
    };
    let mut response = answer.respond(&head.headers, true);
    guard(response.headers_mut(), &shared.next_request_id());
    response
}

/// Made when it is asked for first.
static DESCRIPTION: LazyLock<Answer> =
    LazyLock::new(|| Answer::json(200, format!("{}\n", super::openapi::description())).tagged());

fn json_line(status: u16, value: &impl Serialize) -> Answer {
    // Texts, numbers and lists of them: nothing in it can fail.
    let mut line = serde_json::to_vec(value).unwrap_or_default();
    line.push(b'\n');
    Answer::json(status, line)
}

/// 200 when it takes jobs; else 503, while it recovers with the progress.
async fn ready(shared: &Arc<Shared>) -> Answer {
    // The last step of a recovery ends a moment after others can see it.
    recovered(&shared.stage, LAST_STEP).await;
    let with = shared.clone();
    let make = move || {
        let with = with.clone();
        async move { Some(readiness(&with).await) }
    };
    // However many clients ask, without any token: one look at a time.
    shared.single_flight.share("/readyz".to_owned(), make).await.unwrap_or_else(|| not_made().into())
}

async fn readiness(shared: &Arc<Shared>) -> Answer {
    let stage = *shared.stage.borrow();
    let with = shared.clone();
    let current = match stage {
        Stage::Recovering => {
            shared.pool.run(move || recovery::recovery::read_current(&with.dir)).await.ok().flatten()
        }
        _ => None,
    };
    let progress = current.map(|run| RecoveryProgress {
        phases_done: run.phases_done,
        phases_total: run.phases_total,
        phases: run
            .phases
            .into_iter()
            .map(|p| PhaseOfProgress { phase: p.phase, status: p.status, done: p.done, total: p.total })
            .collect(),
    });
    let body = Readiness { ready: stage == Stage::Ready, state: stage.word(), recovery: progress };
    let status = if stage == Stage::Ready { 200 } else { 503 };
    Answer { retry_after: (status == 503).then_some(1), ..json_line(status, &body) }
}

/// As `health`: 200 as long as all can be used; 503 also when named resources cannot.
async fn healthy(shared: &Arc<Shared>) -> Answer {
    let with = shared.clone();
    let make = move || health(&with).tagged();
    shared.answer_again("/healthz".to_owned(), make).await.unwrap_or_else(Answer::from)
}

fn health(shared: &Arc<Shared>) -> Answer {
    let look = |context: &mut Context<'_>| HealthRequest {}.run(context);
    match in_context(shared.site(), &Principal::probe(), (None, false), &["health".into()], look) {
        Ok(Done { report, ending: Ending::Done }) => json_line(200, &report),
        Ok(Done { report, .. }) => json_line(503, &report),
        Err(e) => Problem::of(&e, None).into(),
    }
}
