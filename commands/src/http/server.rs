//! The server, and what all requests share.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};
use std::time::{Duration, Instant};

use axum::http::request::Parts as Head;
use recovery::daemon::{IdempotencyStore, Role, Tokens};
use recovery::durable::DiskError;
use recovery::operations::Site;
use recovery::queue::SharedQueue;
use recovery::report::change::Generation;
use recovery::state::StateDir;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use super::answer::Answer;
use super::auth::{Principal, not_readable};
use super::body::Bodies;
use super::connections::{self, Connections};
use super::events::Feed;
use super::listen::Listeners;
use super::metrics::{Observed, Traffic};
use super::places::Places;
use super::problem::{Problem, not_made};
use super::response_cache::{Known, ResponseCache};
use super::single_flight::SingleFlight;
use super::stage::Stage;
use crate::configuration::Loaded;
use crate::internal::keeper_command;
use crate::wire::Nearby;
use recovery::logging::{Repeats, events};
use tracing::{Level, Span, debug, enabled, warn};

/// Threads that serve connections; what touches the disk runs elsewhere.
const THREADS: usize = 2;
/// Looks and writes that run at a time.
const LOOKS: usize = 16;
const WRITES: usize = 32;
/// Commands that a client follows, such as `jobs output -f`: of those who may do everything, and of those who look.
const FOLLOWED: usize = 64;
const FOLLOWED_BY_VIEWERS: usize = 32;
/// How long tokens are not read again while nothing happens to the files: what makes one count no more may also be
/// above the state directory.
const TOKENS_TIME: Duration = Duration::from_secs(1);
/// What is under way at the end may go on for so long.
pub(super) const LAST_WORDS: Duration = Duration::from_secs(3);

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
    pub(super) bodies: Bodies,
    pub(super) single_flight: SingleFlight<Answer>,
    token_reads: SingleFlight<Result<Tokens, Problem>>,
    /// Those that were read last, with what was so when they were.
    tokens: Mutex<Option<(Tokens, Generation, Instant)>>,
    pub(super) response_cache: Arc<ResponseCache>,
    pub(super) feed: Feed,
    pub(super) traffic: Traffic,
    pub(super) observed: Arc<Observed>,
    /// In memory, for all who look.
    queue: Arc<SharedQueue>,
    book: OnceLock<IdempotencyStore>,
    requests: AtomicU64,
    log: Option<RequestLog>,
    refusals: Repeats,
}

impl Shared {
    /// Where operations are carried out.
    pub(super) fn site(&self) -> Site {
        let loaded = self.loaded.read().unwrap_or_else(PoisonError::into_inner);
        let configuration = loaded.configuration.clone();
        let queue = Some(Arc::clone(&self.queue));
        Site { configuration, keeper: keeper_command, variable: |name| std::env::var_os(name), queue }
    }

    /// Whether a process tells the same of the state directory as this one.
    pub(super) fn is_nearby(&self, nearby: &Nearby) -> bool {
        let settings = self.loaded.read().unwrap_or_else(PoisonError::into_inner);
        let folder = std::fs::metadata(self.dir.paths.root()).map(|found| (found.dev(), found.ino()));
        nearby.version == Nearby::VERSION
            && folder.is_ok_and(|folder| folder == nearby.folder)
            && nearby.settings == settings.configuration.settings().digest()
    }

    /// Names by which the daemon is known beside its addresses.
    pub(super) fn hosts(&self) -> Vec<String> {
        let loaded = self.loaded.read().unwrap_or_else(PoisonError::into_inner);
        loaded.configuration.settings().daemon.hosts.clone()
    }

    /// The path below which a proxy offers the daemon, if there is one.
    pub(super) fn base_path(&self) -> Option<String> {
        let loaded = self.loaded.read().unwrap_or_else(PoisonError::into_inner);
        loaded.configuration.settings().daemon.base_path.clone()
    }

    /// Whether a role sees what jobs print.
    pub(super) fn shows_output_to(&self, role: Role) -> bool {
        let loaded = self.loaded.read().unwrap_or_else(PoisonError::into_inner);
        role == Role::Admin || loaded.configuration.settings().daemon.viewer_output
    }

    /// The tokens, read after this was asked for, or before when nothing has happened since: one read serves all who
    /// ask at the same time.
    pub(super) async fn tokens(self: &Arc<Shared>) -> Result<Tokens, Problem> {
        let generation = self.response_cache.generation(&self.dir);
        let known = self.tokens.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some((tokens, of, read)) = known
            && generation == Some(of)
            && read.elapsed() < TOKENS_TIME
        {
            return Ok(tokens);
        }
        let tokens = self.read_tokens().await?;
        let kept = generation.map(|generation| (tokens.clone(), generation, Instant::now()));
        *self.tokens.lock().unwrap_or_else(PoisonError::into_inner) = kept;
        Ok(tokens)
    }

    async fn read_tokens(self: &Arc<Shared>) -> Result<Tokens, Problem> {
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

    /// An answer that is made for all who ask the same at the same time, after they have asked.
    pub(super) async fn answer_once(
        self: &Arc<Shared>,
        question: String,
        make: impl Fn() -> Answer + Clone + Send + 'static,
    ) -> Result<Answer, Problem> {
        let with = self.clone();
        let look = move || {
            let (with, make) = (with.clone(), make.clone());
            async move { with.pool.run(make).await.ok() }
        };
        self.single_flight.share(question, look).await.ok_or_else(not_made)
    }

    /// One that is given again while nothing has happened since it was made.
    pub(super) async fn answer_again(
        self: &Arc<Shared>,
        question: String,
        make: impl Fn() -> Answer + Clone + Send + 'static,
    ) -> Result<Answer, Problem> {
        let (with, asked) = (self.clone(), question.clone());
        let keep = move || with.response_cache.make(&with.dir, &asked, &make);
        match self.response_cache.known(&self.dir, &question) {
            Known::Fresh(answer) => Ok(answer),
            Known::Ageing(answer, renewal) => {
                let with = self.clone();
                tokio::spawn(async move {
                    let _renewal = renewal;
                    // Who asks next finds it, or makes it.
                    let _ = with.pool.run(keep).await;
                });
                Ok(answer)
            }
            Known::Nothing => self.answer_once(question, keep).await,
        }
    }

    pub(super) fn next_request_id(&self) -> String {
        format!("{}-{}", std::process::id(), self.requests.fetch_add(1, Ordering::Relaxed) + 1)
    }

    /// The answers that were kept; opened when the first write comes.
    pub(super) fn book(&self) -> Result<&IdempotencyStore, Problem> {
        if let Some(book) = self.book.get() {
            return Ok(book);
        }
        let opened = IdempotencyStore::open(&self.dir).map_err(|e: DiskError| {
            Problem::new(507, "disk", "kept answers cannot be opened", format!("{e}: {}", e.source))
        })?;
        // Another request may have been quicker: its book is as good.
        Ok(self.book.get_or_init(|| opened))
    }

    /// Counts a request, and tells of it.
    pub(super) fn tell(
        &self,
        id: &str,
        principal: Option<&Principal>,
        head: &Head,
        path: &'static str,
        status: u16,
        took: Duration,
    ) {
        self.traffic.count(head.method.as_str(), path, status, took);
        let said = || {
            let who = principal.map_or_else(|| "nobody".to_owned(), Principal::name);
            format!("{id} {who} {} {} {status} {} ms", head.method, head.uri.path(), took.as_millis())
        };
        match (&self.log, status) {
            // 503 asks to come again: the recovery goes on, or all places are taken.
            (_, 500..=502 | 504..) => {
                warn!(event = events::REQUEST_FAILED, request_id = id, status, "{}", said());
            }
            (_, 401 | 403) => self.refusals.failed(&said()),
            (Some(log), _) => log(&said()),
            (None, _) if enabled!(Level::DEBUG) => {
                debug!(event = events::REQUEST, request_id = id, status, "{}", said());
            }
            (None, _) => {}
        }
    }
}

/// Threads for what may wait for a disk, a bounded number of each kind.
pub(super) struct Pool {
    looks: Arc<Semaphore>,
    writes: Arc<Semaphore>,
    followed: Arc<Semaphore>,
    followed_by_viewers: Arc<Semaphore>,
}

impl Pool {
    fn new() -> Pool {
        let of = |n| Arc::new(Semaphore::new(n));
        let (followed, followed_by_viewers) = (of(FOLLOWED), of(FOLLOWED_BY_VIEWERS));
        Pool { looks: of(LOOKS), writes: of(WRITES), followed, followed_by_viewers }
    }

    /// The right to carry out one command that a client follows; `None` when all others' go on.
    pub(super) fn follow(&self, role: Role) -> Option<OwnedSemaphorePermit> {
        let slots = match role {
            Role::Admin => &self.followed,
            Role::Viewer => &self.followed_by_viewers,
        };
        slots.clone().try_acquire_owned().ok()
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
    let span = Span::current();
    let ran = tokio::task::spawn_blocking(move || {
        let _slot = slot;
        span.in_scope(act)
    });
    ran.await.map_err(|e| Problem::new(500, "internal", "internal", format!("it broke off: {e}")))
}

/// A server that runs.
pub(crate) struct Server {
    shared: Arc<Shared>,
    runtime: Option<tokio::runtime::Runtime>,
    stop: watch::Sender<bool>,
}

impl Server {
    /// Begins to serve.
    pub(crate) fn start(settings: HttpSettings, listeners: Listeners) -> io::Result<Server> {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        let most = LOOKS + WRITES + FOLLOWED + FOLLOWED_BY_VIEWERS + 8;
        builder.worker_threads(THREADS).max_blocking_threads(most);
        builder.thread_name("http").enable_io().enable_time();
        // It panics where there is no thread for it.
        let runtime = std::panic::catch_unwind(AssertUnwindSafe(|| builder.build()))
            .unwrap_or_else(|_| Err(io::Error::other("no thread can be made for it")))?;
        let HttpSettings { dir, loaded, log } = settings;
        let (observed, queue) = (Arc::<Observed>::default(), Arc::<SharedQueue>::default());
        let shared = Arc::new(Shared {
            dir,
            loaded: RwLock::new(loaded),
            stage: watch::Sender::new(Stage::Recovering),
            pool: Pool::new(),
            bodies: Bodies::new(),
            single_flight: SingleFlight::new(),
            token_reads: SingleFlight::new(),
            tokens: Mutex::default(),
            response_cache: Arc::new(ResponseCache::new(queue.clone())),
            feed: Feed::new(Arc::clone(&observed)),
            traffic: Traffic::default(),
            observed,
            queue,
            book: OnceLock::new(),
            requests: AtomicU64::new(0),
            log,
            refusals: Repeats::new("requests are refused, for they are not authorised"),
        });
        let stop = watch::Sender::new(false);
        let connections = Connections {
            router: super::probes::router(&shared),
            places: Places::new(connections::most()),
            stop: stop.clone(),
        };
        let _inside = runtime.enter();
        runtime.spawn(connections.clone().close_overdue());
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
        self.shared.response_cache.forget();
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
                // Who is not done by then is cut off.
                let _ = tokio::time::timeout(LAST_WORDS, self.stop.closed()).await;
            });
            runtime.shutdown_timeout(LAST_WORDS);
        }
    }
}
