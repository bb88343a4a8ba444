//! Listeners, connections and their limits; what all requests share.

use std::convert::Infallible;
use std::io;
use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::panic::AssertUnwindSafe;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, PoisonError, RwLock};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::request::Parts as Head;
use axum::http::{Request, Response};
use hyper::body::Incoming;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use recovery::daemon::{AnswerBook, Listening, Tokens};
use recovery::durable::DiskError;
use recovery::state::StateDir;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{Semaphore, watch};

use super::answer::Answer;
use super::events::Feed;
use super::gate::{Asker, Peer, not_readable};
use super::kept::KeptAnswers;
use super::metrics::Traffic;
use super::problem::Problem;
use super::reads::Reads;
use super::stage::Stage;
use crate::configuration::Loaded;

/// Threads that serve connections; what touches the disk runs elsewhere.
const THREADS: usize = 2;
/// Looks and writes that run at a time.
const LOOKS: usize = 16;
const WRITES: usize = 32;
/// Commands that a client follows, such as `jobs output -f`.
pub(super) const FOLLOWED: usize = 64;
/// Connections at a time.
const CONNECTIONS: usize = 2048;
/// A client that has not sent a whole head by then is let go; so is one that is silent between two requests.
const HEAD_TIME: Duration = Duration::from_secs(60);
const MOST_HEADERS: usize = 64;
const LARGEST_HEAD: usize = 64 << 10;
/// What is under way at the end may go on for so long.
const LAST_WORDS: Duration = Duration::from_secs(3);

/// What a server needs.
pub(crate) struct HttpSettings {
    pub(crate) dir: StateDir,
    pub(crate) loaded: Loaded,
    /// Tells of each request, when somebody wants to know.
    pub(crate) log: Option<RequestLog>,
}

/// Takes a line a request.
pub(crate) type RequestLog = Box<dyn Fn(&str) + Send + Sync>;

/// What all requests share.
pub(super) struct Shared {
    pub(super) dir: StateDir,
    loaded: RwLock<Loaded>,
    pub(super) stage: watch::Sender<Stage>,
    pub(super) pool: Pool,
    pub(super) reads: Reads<Answer>,
    token_reads: Reads<Result<Tokens, Problem>>,
    pub(super) kept: Arc<KeptAnswers>,
    pub(super) feed: Feed,
    pub(super) traffic: Traffic,
    book: OnceLock<AnswerBook>,
    requests: AtomicU64,
    log: Option<RequestLog>,
}

impl Shared {
    /// The configuration as it is now.
    pub(super) fn loaded(&self) -> Loaded {
        self.loaded.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Names by which the daemon is known beside its addresses.
    pub(super) fn hosts(&self) -> Vec<String> {
        let loaded = self.loaded.read().unwrap_or_else(PoisonError::into_inner);
        loaded.configuration.settings().daemon.hosts.clone()
    }

    /// The tokens, read after this was asked for: one read serves all who ask at the same time.
    pub(super) async fn tokens(self: &Arc<Shared>) -> Result<Tokens, Problem> {
        let with = self.clone();
        let read = move || {
            let with = with.clone();
            async move {
                let read = move || Tokens::read(&with.dir).map_err(|e| not_readable(&e));
                // Apart from the looks: those who may ask nothing do not wait for them.
                tokio::task::spawn_blocking(read).await.ok()
            }
        };
        let broke_off = || Problem::new(500, "internal", "internal", "the tokens were not read");
        self.token_reads.share(String::new(), read).await.unwrap_or_else(|| Err(broke_off()))
    }

    pub(super) fn next_request_id(&self) -> String {
        format!("{}-{}", std::process::id(), self.requests.fetch_add(1, Ordering::Relaxed) + 1)
    }

    /// The answers that were kept; opened when the first write comes.
    pub(super) fn book(&self) -> Result<&AnswerBook, Problem> {
        if let Some(book) = self.book.get() {
            return Ok(book);
        }
        let opened = AnswerBook::open(&self.dir).map_err(|e: DiskError| {
            Problem::new(507, "disk", "kept answers cannot be opened", format!("{e}: {}", e.source))
        })?;
        // Another request may have been quicker: its book is as good.
        Ok(self.book.get_or_init(|| opened))
    }

    /// Counts a request, and tells of it.
    pub(super) fn tell(
        &self,
        id: &str,
        asker: Option<&Asker>,
        head: &Head,
        path: &'static str,
        status: u16,
        took: Duration,
    ) {
        self.traffic.count(head.method.as_str(), path, status, took);
        if let Some(log) = &self.log {
            let who = asker.map_or_else(|| "nobody".to_owned(), Asker::name);
            let target = head.uri.path();
            log(&format!("{id} {who} {} {target} {status} {} ms", head.method, took.as_millis()));
        }
    }
}

/// Threads for what may wait for a disk, a bounded number of each kind.
pub(super) struct Pool {
    looks: Arc<Semaphore>,
    writes: Arc<Semaphore>,
    pub(super) followed: Arc<Semaphore>,
}

impl Pool {
    fn new() -> Pool {
        let of = |n| Arc::new(Semaphore::new(n));
        Pool { looks: of(LOOKS), writes: of(WRITES), followed: of(FOLLOWED) }
    }

    /// Runs a look.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        act: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Problem> {
        run_on(&self.looks, act).await
    }

    /// Runs a write: apart from the looks, so that neither waits for the other.
    pub(super) async fn run_write<T: Send + 'static>(
        &self,
        act: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Problem> {
        run_on(&self.writes, act).await
    }
}

async fn run_on<T: Send + 'static>(
    slots: &Arc<Semaphore>,
    act: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Problem> {
    let slot = slots.clone().acquire_owned().await;
    let ran = tokio::task::spawn_blocking(move || {
        let _slot = slot;
        act()
    });
    ran.await.map_err(|e| Problem::new(500, "internal", "internal", format!("it broke off: {e}")))
}

/// Where it listens.
pub(crate) struct Listeners {
    tcp: Option<TcpListener>,
    socket: Option<UnixListener>,
    pub(crate) listening: Listening,
    /// Why there is no socket.
    pub(crate) without_socket: Option<String>,
}

impl Listeners {
    /// Begins to listen. The caller holds the daemon's lock: a socket that is there is a dead daemon's.
    ///
    /// A socket that cannot be had is an error when it was asked for; else the daemon does without, and
    /// `without_socket` says why.
    ///
    /// # Errors
    /// What the system says.
    pub(crate) fn bind(
        dir: &StateDir,
        address: Option<&str>,
        socket: &Path,
        is_asked_for: bool,
    ) -> io::Result<Listeners> {
        let about = |what: String| move |e: io::Error| io::Error::new(e.kind(), format!("{what}: {e}"));
        let tcp = address.map(|address| {
            let listener =
                TcpListener::bind(address).map_err(about(format!("cannot listen on {address}")))?;
            listener.set_nonblocking(true)?;
            Ok::<_, io::Error>(listener)
        });
        let tcp = tcp.transpose()?;
        let bound = tcp.as_ref().map(TcpListener::local_addr).transpose()?;
        let cannot = about(format!("cannot listen on {}", socket.display()));
        let (listener, without_socket) = match listen_on(dir, socket).map_err(cannot) {
            Ok(listener) => (Some(listener), None),
            Err(e) if is_asked_for => return Err(e),
            Err(e) => (None, Some(e.to_string())),
        };
        let listening = Listening {
            address: bound.map(|a| a.to_string()),
            socket: listener.is_some().then(|| socket.to_owned()),
        };
        Ok(Listeners { tcp, socket: listener, listening, without_socket })
    }
}

fn listen_on(dir: &StateDir, socket: &Path) -> io::Result<UnixListener> {
    match dir.disk.remove_file(socket) {
        Err(e) if !e.is_not_found() => return Err(e.source),
        _ => {}
    }
    let listener = crate::socket::listen(socket)?;
    dir.disk.set_mode(socket, 0o600).map_err(|e| e.source)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// A server that runs.
pub(crate) struct Server {
    shared: Arc<Shared>,
    runtime: Option<tokio::runtime::Runtime>,
    stop: watch::Sender<bool>,
}

impl Server {
    /// Begins to serve.
    ///
    /// # Errors
    /// What the system says.
    pub(crate) fn start(settings: HttpSettings, listeners: Listeners) -> io::Result<Server> {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        builder.worker_threads(THREADS).max_blocking_threads(LOOKS + WRITES + FOLLOWED + 8);
        builder.thread_name("http").enable_io().enable_time();
        // It panics where there is no thread for it.
        let runtime = std::panic::catch_unwind(AssertUnwindSafe(|| builder.build()))
            .unwrap_or_else(|_| Err(io::Error::other("no thread can be made for it")))?;
        let HttpSettings { dir, loaded, log } = settings;
        let shared = Arc::new(Shared {
            dir,
            loaded: RwLock::new(loaded),
            stage: watch::Sender::new(Stage::Recovering),
            pool: Pool::new(),
            reads: Reads::new(),
            token_reads: Reads::new(),
            kept: Arc::default(),
            feed: Feed::new(),
            traffic: Traffic::default(),
            book: OnceLock::new(),
            requests: AtomicU64::new(0),
            log,
        });
        let stop = watch::Sender::new(false);
        let connections = Connections {
            router: super::probes::router(&shared),
            slots: Arc::new(Semaphore::new(most_connections())),
            stop: stop.clone(),
        };
        let _inside = runtime.enter();
        if let Some(listener) = listeners.tcp {
            let listener = tokio::net::TcpListener::from_std(listener)?;
            runtime.spawn(connections.clone().accept_tcp(listener));
        }
        if let Some(listener) = listeners.socket {
            let listener = tokio::net::UnixListener::from_std(listener)?;
            runtime.spawn(connections.accept_socket(listener));
        }
        Ok(Server { shared, runtime: Some(runtime), stop })
    }

    /// How far the daemon is now.
    pub(crate) fn reached(&self, stage: Stage) {
        let began_to_work = stage == Stage::Ready;
        self.shared.stage.send_replace(stage);
        if began_to_work {
            self.shared.feed.follow(&self.shared.dir);
        }
    }

    /// Called in every round of the daemon's loop: begins again what has broken off, or could not be begun.
    pub(crate) fn keep_going(&self) {
        if *self.shared.stage.borrow() == Stage::Ready {
            self.shared.feed.follow(&self.shared.dir);
        }
    }

    /// Uses another configuration from the next request on.
    pub(crate) fn reload(&self, loaded: Loaded) {
        *self.shared.loaded.write().unwrap_or_else(PoisonError::into_inner) = loaded;
        self.shared.kept.forget();
    }
}

impl Drop for Server {
    /// Lets what is under way come to its end, for a moment.
    fn drop(&mut self) {
        self.shared.stage.send_replace(Stage::Ending);
        self.shared.feed.end();
        self.stop.send_replace(true);
        if let Some(runtime) = self.runtime.take() {
            runtime.block_on(async {
                let _ = tokio::time::timeout(LAST_WORDS, self.stop.closed()).await;
            });
            runtime.shutdown_timeout(LAST_WORDS);
        }
    }
}

/// Half of the descriptors are for everything else.
fn most_connections() -> usize {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    let half = usize::try_from(limit.unwrap_or(u64::MAX) / 2).unwrap_or(usize::MAX);
    half.clamp(16, CONNECTIONS)
}

#[derive(Clone)]
struct Connections {
    router: Router,
    slots: Arc<Semaphore>,
    stop: watch::Sender<bool>,
}

impl Connections {
    async fn accept_tcp(self, listener: tokio::net::TcpListener) {
        let mut stop = self.stop.subscribe();
        loop {
            tokio::select! {
                _ = stop.changed() => return,
                accepted = listener.accept() => match accepted {
                    Ok((stream, address)) => {
                        let _ = stream.set_nodelay(true); // It only saves time.
                        self.serve(stream, Peer::Tcp(address));
                    }
                    // Out of descriptors, or a client that left at once.
                    Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
                },
            }
        }
    }

    async fn accept_socket(self, listener: tokio::net::UnixListener) {
        let mut stop = self.stop.subscribe();
        loop {
            tokio::select! {
                _ = stop.changed() => return,
                accepted = listener.accept() => match accepted.and_then(|(s, _)| Ok((s.peer_cred()?.uid(), s))) {
                    Ok((uid, stream)) => self.serve(stream, Peer::Socket { uid }),
                    Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
                },
            }
        }
    }

    fn serve(&self, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, peer: Peer) {
        // Too many: the client is let go at once and may come again.
        let Ok(slot) = self.slots.clone().try_acquire_owned() else { return };
        let (service, mut stop) = (ToRouter { router: self.router.clone(), peer }, self.stop.subscribe());
        tokio::spawn(async move {
            let _slot = slot;
            let connection = hyper::server::conn::http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEAD_TIME)
                .max_headers(MOST_HEADERS)
                .max_buf_size(LARGEST_HEAD)
                .serve_connection(TokioIo::new(stream), service);
            let mut connection = std::pin::pin!(connection);
            tokio::select! {
                _ = connection.as_mut() => return,
                _ = stop.changed() => connection.as_mut().graceful_shutdown(),
            }
            let _ = tokio::time::timeout(LAST_WORDS, connection).await;
        });
    }
}

/// The router, with who asks told to each request.
struct ToRouter {
    router: Router,
    peer: Peer,
}

impl hyper::service::Service<Request<Incoming>> for ToRouter {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = <TowerToHyperService<Router> as hyper::service::Service<Request<Body>>>::Future;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(self.peer);
        TowerToHyperService::new(self.router.clone()).call(request)
    }
}
