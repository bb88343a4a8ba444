//! The web dashboard: one page with its styles and scripts, all in the binary.
//!
//! It holds no data, so that it is served without a token; what it shows it asks for itself, at the endpoints that
//! everybody asks, with the token that was typed into it. The scripts in `page/` are ES modules that the browser
//! takes as they are: there is no build step, and nothing comes from elsewhere. See docs/internals.md, "The web
//! dashboard".
//!
//! To add a file: a line in [`ASSETS`].

use std::sync::{Arc, LazyLock};

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderValue, Request, Response, header};
use axum::routing::get;
use recovery::operations::{Row, TABLE};
use serde_json::Value;

use super::answer::{Answer, guard};
use super::auth::check_host;
use super::problem::Problem;
use super::shared::Shared;

/// What the page may do: nothing but run its own scripts and ask its own daemon. Text never becomes markup
/// (`require-trusted-types-for`), a form is sent nowhere, and nobody may put it into a frame.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; \
     base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; \
     trusted-types 'none'";

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const SVG: &str = "image/svg+xml";

/// A file of the page.
#[derive(Debug, Clone, Copy)]
struct Asset {
    path: &'static str,
    content_type: &'static str,
    content: &'static str,
}

/// A file of `page/`, by its name below `/assets/`.
macro_rules! asset {
    ($kind:expr, $name:literal) => {
        Asset {
            path: concat!("/assets/", $name),
            content_type: $kind,
            content: include_str!(concat!("page/", $name)),
        }
    };
}

/// Every file; the first is the page.
const ASSETS: &[Asset] = &[
    Asset { path: "/", content_type: HTML, content: include_str!("page/index.html") },
    asset!(CSS, "base.css"),
    asset!(CSS, "dialog.css"),
    asset!(CSS, "graph.css"),
    asset!(CSS, "layout.css"),
    asset!(CSS, "parts.css"),
    asset!(CSS, "tables.css"),
    asset!(SVG, "icon.svg"),
    asset!(SCRIPT, "main.js"),
    asset!(SCRIPT, "actions/jobs.js"),
    asset!(SCRIPT, "actions/leftovers.js"),
    asset!(SCRIPT, "actions/locks.js"),
    asset!(SCRIPT, "actions/offered.js"),
    asset!(SCRIPT, "actions/pieces.js"),
    asset!(SCRIPT, "actions/recovery.js"),
    asset!(SCRIPT, "actions/webhooks.js"),
    asset!(SCRIPT, "api.js"),
    asset!(SCRIPT, "dialog.js"),
    asset!(SCRIPT, "dom.js"),
    asset!(SCRIPT, "events.js"),
    asset!(SCRIPT, "format.js"),
    asset!(SCRIPT, "graph.js"),
    asset!(SCRIPT, "keys.js"),
    asset!(SCRIPT, "live.js"),
    asset!(SCRIPT, "offers.js"),
    asset!(SCRIPT, "parts.js"),
    asset!(SCRIPT, "route.js"),
    asset!(SCRIPT, "top.js"),
    asset!(SCRIPT, "words.js"),
    asset!(SCRIPT, "views/cleanup.js"),
    asset!(SCRIPT, "views/index.js"),
    asset!(SCRIPT, "views/job.js"),
    asset!(SCRIPT, "views/jobs.js"),
    asset!(SCRIPT, "views/locks.js"),
    asset!(SCRIPT, "views/orphans.js"),
    asset!(SCRIPT, "views/output.js"),
    asset!(SCRIPT, "views/overview.js"),
    asset!(SCRIPT, "views/queue.js"),
    asset!(SCRIPT, "views/startup.js"),
    asset!(SCRIPT, "views/webhooks.js"),
];

/// What operations offer to do with jobs, for the page.
static OFFERS: LazyLock<String> = LazyLock::new(|| {
    let offered = |row: &Row| {
        let mut offer = serde_json::to_value(row.entry.offer?).unwrap_or_default();
        offer["words"] = row.entry.words.into();
        offer["path"] = row.entry.path.into();
        Some(offer)
    };
    Value::from(TABLE.iter().filter_map(offered).collect::<Vec<_>>()).to_string()
});

/// The page's routes. `HEAD` is answered as `GET` is, without the body.
pub(super) fn router() -> Router<Arc<Shared>> {
    let offers =
        Asset { path: "/assets/offers.json", content_type: "application/json", content: OFFERS.as_str() };
    ASSETS.iter().copied().chain([offers]).fold(Router::new(), |router, asset| {
        let serve = move |State(shared): State<Arc<Shared>>, request| serve(shared, asset, request);
        router.route(asset.path, get(serve).fallback(wrong_method))
    })
}

async fn serve(shared: Arc<Shared>, asset: Asset, request: Request<Body>) -> Response<Body> {
    let (head, _) = request.into_parts();
    let peer = head.extensions.get().copied();
    let refused = peer.and_then(|peer| check_host(peer, &head, &shared.hosts()).err());
    let answer = match refused {
        Some(problem) => problem.into(),
        None => Answer::text(200, asset.content_type, asset.content),
    };
    let mut response = answer.respond(&head.headers, true);
    // Also with 304, which says again what it says.
    response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    guard(response.headers_mut(), &shared.next_request_id());
    response
}

/// Everybody who may look at the page may know that it can only be looked at.
async fn wrong_method(State(shared): State<Arc<Shared>>, request: Request<Body>) -> Response<Body> {
    let problem =
        Problem::new(405, "wrong-method", "wrong method", "the page is only looked at: GET or HEAD");
    let mut response = Answer::from(problem).respond(request.headers(), false);
    response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
    guard(response.headers_mut(), &shared.next_request_id());
    response
}
