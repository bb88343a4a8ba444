//! `/api/admin/events`: what happens to jobs, as Server-Sent Events, each with the number of its record in the
//! queue's log. A client that comes back with `Last-Event-ID` misses nothing that is still in memory; when it was too
//! long ago, or is no number of this log, a `reset` says that everything is to be read anew. Whether a client may
//! still listen is looked at again and again.
//!
//! Each client has a place in what the thread that follows the log has read ([`super::feed`]), and is sent what comes
//! after that as fast as it takes it. While the daemon recovers, the recovery's progress is sent, without a
//! number.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::http::request::Parts as Head;
use axum::http::{HeaderName, HeaderValue, Request, Response, header};
use hyper::body::{Bytes, Frame};
use tokio::sync::{mpsc, watch};

use super::answer::{Answer, guard};
use super::auth::{Principal, tell_role};
use super::feed::{LOOK_EVERY, Part};
use super::problem::Problem;
use super::serving::admitted;
use super::shared::Shared;
use super::stage::Stage;

/// How often a silent stream shows that it lives.
const ALIVE_EVERY: Duration = Duration::from_secs(15);
/// How often it is checked whether a client may still listen: its token may have been rotated.
const ADMITTED_EVERY: Duration = Duration::from_secs(10);
/// How often the recovery's progress is read.
const PROGRESS_EVERY: Duration = Duration::from_millis(250);
/// Headers that keep proxies from holding back, storing or changing a stream: nginx reads the last of them.
const OF_STREAMS: [(HeaderName, &str); 3] = [
    (header::CONTENT_TYPE, "text/event-stream"),
    (header::CACHE_CONTROL, "no-cache, no-transform"),
    (HeaderName::from_static("x-accel-buffering"), "no"),
];

pub(super) async fn serve(State(shared): State<Arc<Shared>>, request: Request<Body>) -> Response<Body> {
    let (head, _) = request.into_parts();
    let principal = admitted(&shared, &head).await;
    let begun = match &principal {
        Ok(principal) => place(&head).map(|place| (principal, place)),
        Err(problem) => Err(problem.clone()),
    };
    let mut response = match begun {
        Err(problem) => Answer::from(problem).respond(&head.headers, false),
        Ok((principal, place)) => {
            let (tell, events) = mpsc::channel(4);
            let (with, principal) = (shared.clone(), principal.clone());
            tokio::spawn(async move {
                tokio::select! {
                    _ = stream(&with, place, tell) => {}
                    () = dismissed(&with, &head, &principal) => {}
                }
            });
            let mut response =
                Response::new(Body::new(Received { first: None, frames: events, _gone: None }));
            for (name, value) in OF_STREAMS {
                response.headers_mut().insert(name, HeaderValue::from_static(value));
            }
            response
        }
    };
    guard(response.headers_mut(), &shared.next_request_id());
    if let Ok(principal) = &principal {
        tell_role(response.headers_mut(), principal);
    }
    response
}

/// Where the client wants to go on: the header, or `after` for clients that cannot set it at first.
fn place(head: &Head) -> Result<Option<u64>, Problem> {
    let header = head.headers.get("last-event-id").map(|value| value.to_str().unwrap_or("?"));
    let query = head.uri.query().and_then(|query| query.split('&').find_map(|p| p.strip_prefix("after=")));
    let Some(text) = header.filter(|text| !text.is_empty()).or(query) else { return Ok(None) };
    text.parse().map(Some).map_err(|_| Problem::invalid(format!("'{text}' is no number of an event")))
}

/// Waits until the client may not listen any more: what it showed to be let in does not count now, or it may see less.
pub(super) async fn dismissed(shared: &Arc<Shared>, head: &Head, principal: &Principal) {
    let may_as_before =
        |now: &Principal| now.role == principal.role && now.sees_output >= principal.sees_output;
    while admitted(shared, head).await.is_ok_and(|now| may_as_before(&now)) {
        tokio::time::sleep(ADMITTED_EVERY).await;
    }
}

/// Sends until the client leaves or the daemon ends.
async fn stream(shared: &Arc<Shared>, place: Option<u64>, tell: mpsc::Sender<Bytes>) -> Option<()> {
    let send = async |bytes: Bytes| tell.send(bytes).await.ok();
    let (mut last, mut stage) = (shared.feed.last.subscribe(), shared.stage.subscribe());
    // A comment at once: the client hears that the stream is open, also while nothing happens.
    send(Bytes::from_static(b": open\nretry: 1000\n\n")).await?;
    recovery_progress(shared, &tell).await?;
    // The log is followed by now, or soon; in safe mode perhaps much later.
    while last.borrow().is_none() {
        tokio::select! {
            changed = last.changed() => changed.ok()?,
            changed = stage.changed() => changed.ok()?,
            () = tokio::time::sleep(ALIVE_EVERY) => send(Bytes::from_static(b": alive\n\n")).await?,
            () = tell.closed() => return None,
        }
        if *stage.borrow() == Stage::Ending {
            return None;
        }
    }
    let newest = last.borrow_and_update().unwrap_or_default();
    let mut at = place.unwrap_or(newest);
    if place.is_none() {
        send(marked("begin", newest)).await?;
    } else if !reached(&mut last, at).await {
        at = last.borrow_and_update().unwrap_or(newest);
        send(marked("reset", at)).await?;
    }
    loop {
        match shared.feed.after(at) {
            Part::Reset => {
                at = last.borrow_and_update().unwrap_or(at);
                send(marked("reset", at)).await?;
            }
            Part::Events(events) if !events.is_empty() => {
                at = events.last().map_or(at, |(seq, _)| *seq);
                let part: Vec<u8> = events.iter().flat_map(|(_, event)| event.iter().copied()).collect();
                send(part.into()).await?;
            }
            Part::Events(_) => tokio::select! {
                changed = last.changed() => changed.ok()?,
                () = ended(&mut stage) => return None,
                () = tokio::time::sleep(ALIVE_EVERY) => send(Bytes::from_static(b": alive\n\n")).await?,
                () = tell.closed() => return None,
            },
        }
    }
}

/// Waits until the log has reached a number, for [`LOOK_EVERY`] at most, and returns whether it has. A client
/// that has the number from an answer may be a moment ahead of the thread that follows the log; one that has
/// it from another log would wait for ever.
async fn reached(last: &mut watch::Receiver<Option<u64>>, seq: u64) -> bool {
    let come = last.wait_for(|last| last.is_some_and(|last| last >= seq));
    tokio::time::timeout(LOOK_EVERY, come).await.is_ok_and(|come| come.is_ok())
}

/// Waits for the daemon's end.
async fn ended(stage: &mut watch::Receiver<Stage>) {
    // It is also an end when no sender is left.
    let _ = stage.wait_for(|stage| *stage == Stage::Ending).await;
}

/// Where the numbers begin.
fn marked(event: &str, seq: u64) -> Bytes {
    Bytes::from(format!("id: {seq}\nevent: {event}\ndata: {{\"seq\":{seq}}}\n\n"))
}

/// While the daemon recovers: each new state of it.
async fn recovery_progress(shared: &Arc<Shared>, tell: &mpsc::Sender<Bytes>) -> Option<()> {
    let mut before = None;
    while *shared.stage.borrow() == Stage::Recovering {
        let with = shared.clone();
        let current = shared.pool.run(move || recovery::recovery::read_current(&with.dir)).await.ok()?;
        let text = current.and_then(|run| serde_json::to_string(&run).ok());
        if let Some(text) = text.filter(|text| before.as_ref() != Some(text)) {
            tell.send(Bytes::from(format!("event: recovery\ndata: {text}\n\n"))).await.ok()?;
            before = Some(text);
        }
        tokio::time::sleep(PROGRESS_EVERY).await;
    }
    Some(())
}

/// A body out of what a channel brings.
pub(super) struct Received {
    /// What has come before.
    pub(super) first: Option<Bytes>,
    pub(super) frames: mpsc::Receiver<Bytes>,
    /// Raised when the client has left, or has all.
    pub(super) _gone: Option<RaisedAtTheEnd>,
}

/// Raises its flag when it is dropped.
pub(super) struct RaisedAtTheEnd(pub(super) Arc<AtomicBool>);

impl Drop for RaisedAtTheEnd {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

impl hyper::body::Body for Received {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if let Some(first) = self.first.take() {
            return Poll::Ready(Some(Ok(Frame::data(first))));
        }
        self.frames.poll_recv(context).map(|bytes| bytes.map(|bytes| Ok(Frame::data(bytes))))
    }
}
