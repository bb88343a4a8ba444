//! Connections: accepted, served one request after the other, and closed.

use std::convert::Infallible;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderValue, Request, Response, StatusCode, header};
use hyper::body::{Body as _, Bytes, Frame, Incoming, SizeHint};
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;

use super::auth::Peer;
use super::places::{Busy, Holder, Kind, Place, Places};
use super::watched_stream::WatchedStream;
use recovery::durable::Backoff;

/// Connections at a time.
const MOST: usize = 2048;
const MOST_FIELDS: usize = 64;
/// Of a request's head, bytes.
const LARGEST_HEAD: usize = 16 << 10;
/// How often the daemon looks for overdue connections.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// The pauses after connections that could not be accepted.
const PAUSES: Backoff = Backoff::new(Duration::from_millis(20), Duration::from_secs(1));
/// How long requests under way may go on at the end.
pub(super) const LAST_WORDS: Duration = Duration::from_secs(3);

/// Half of the descriptors are for everything else.
pub(super) fn most() -> usize {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    let half = usize::try_from(limit.unwrap_or(u64::MAX) / 2).unwrap_or(usize::MAX);
    half.clamp(16, MOST)
}

/// Takes connections in, until it is to stop.
#[derive(Clone)]
pub(super) struct Connections {
    pub(super) router: Router,
    pub(super) places: Arc<Places>,
    pub(super) stop: watch::Sender<bool>,
}

impl Connections {
    pub(super) async fn accept_tcp(self, listener: tokio::net::TcpListener) {
        let (mut stop, mut backoff) = (self.stop.subscribe(), PAUSES);
        loop {
            tokio::select! {
                _ = stop.changed() => return,
                accepted = listener.accept() => match accepted {
                    Ok((stream, address)) => {
                        backoff = PAUSES;
                        let _ = stream.set_nodelay(true); // It only saves time.
                        self.serve(stream, Peer::Tcp(address), Kind::Nobody);
                    }
                    Err(e) => self.refused(&e, &mut backoff).await,
                },
            }
        }
    }

    pub(super) async fn accept_socket(self, listener: tokio::net::UnixListener) {
        let (mut stop, mut backoff) = (self.stop.subscribe(), PAUSES);
        loop {
            tokio::select! {
                _ = stop.changed() => return,
                accepted = listener.accept() => match accepted.and_then(|(s, _)| Ok((s.peer_cred()?.uid(), s))) {
                    Ok((uid, stream)) => {
                        backoff = PAUSES;
                        self.serve(stream, Peer::Socket { uid }, Kind::Socket);
                    }
                    Err(e) => self.refused(&e, &mut backoff).await,
                },
            }
        }
    }

    /// Closes connections whose time is over, until it is to stop.
    pub(super) async fn close_overdue(self) {
        let mut stop = self.stop.subscribe();
        loop {
            tokio::select! {
                _ = stop.changed() => return,
                () = tokio::time::sleep(LOOK_EVERY) => self.places.close_overdue(),
            }
        }
    }

    /// Handles a connection that could not be accepted, for example because no descriptor is free: the next
    /// try comes after a pause.
    async fn refused(&self, error: &io::Error, backoff: &mut Backoff) {
        use rustix::io::Errno;
        if matches!(Errno::from_io_error(error), Some(Errno::CONNABORTED | Errno::INTR)) {
            // The client has left; the next one waits.
            return;
        }
        self.places.close_one();
        tokio::time::sleep(backoff.pause()).await;
    }

    fn serve(&self, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, peer: Peer, kind: Kind) {
        // All places are in use: the connection is closed at once, and the client may come again.
        let Some(holder) = self.places.enter(kind, peer.origin()) else { return };
        tokio::spawn(converse(stream, self.router.clone(), peer, holder, self.stop.subscribe()));
    }
}

async fn converse(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    router: Router,
    peer: Peer,
    holder: Holder,
    mut stop: watch::Receiver<bool>,
) {
    let place = holder.place().clone();
    let stream = WatchedStream::new(stream, place.clone());
    let service = ToRouter { router, peer, place: place.clone() };
    let connection = hyper::server::conn::http1::Builder::new()
        // The places have these time limits: they distinguish an idle connection from a request that does not
        // end.
        .header_read_timeout(None)
        .max_headers(MOST_FIELDS)
        .max_buf_size(LARGEST_HEAD)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    tokio::select! {
        _ = connection.as_mut() => return,
        () = place.closed() => return,
        _ = stop.changed() => connection.as_mut().graceful_shutdown(),
    }
    let _ = tokio::time::timeout(LAST_WORDS, connection).await;
}

/// The router, with who asks told to each request.
struct ToRouter {
    router: Router,
    peer: Peer,
    place: Place,
}

impl hyper::service::Service<Request<Incoming>> for ToRouter {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let (busy, place) = (self.place.busy(), self.place.clone());
        let has_body = !request.body().is_end_stream();
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(self.peer);
        request.extensions_mut().insert(place.clone());
        let answered = TowerToHyperService::new(self.router.clone());
        let answered = hyper::service::Service::call(&answered, request);
        Box::pin(async move {
            let mut response = answered.await?;
            if has_body && !response.status().is_success() {
                place.leaves_unread();
            }
            if response.status() == StatusCode::UNAUTHORIZED {
                // When the client comes again with a valid token, it takes another place.
                response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
            }
            Ok(response.map(|body| Body::new(Answer { body, _busy: busy })))
        })
    }
}

/// The body of an answer; its connection is in use until it has been handed over.
struct Answer {
    body: Body,
    _busy: Busy,
}

impl hyper::body::Body for Answer {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
