//! What all requests share.

use std::os::unix::fs::MetadataExt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};
use std::time::{Duration, Instant};

use axum::http::request::Parts as Head;
use recovery::daemon::{IdempotencyStore, Role, Tokens};
use recovery::durable::DiskError;
use recovery::logging::{Repeats, events};
use recovery::operations::Site;
use recovery::queue::SharedQueue;
use recovery::report::change::Generation;
use recovery::state::StateDir;
use tokio::sync::watch;
use tracing::{Level, debug, enabled, warn};

use super::answer::Answer;
use super::auth::{Principal, not_readable};
use super::body::Bodies;
use super::feed::Feed;
use super::metrics::{Observed, Traffic};
use super::pool::Pool;
use super::problem::{Problem, not_made};
use super::response_cache::{Known, ResponseCache};
use super::single_flight::SingleFlight;
use super::stage::Stage;
use crate::configuration::Loaded;
use crate::internal::keeper_command;
use crate::wire::Nearby;

/// How long tokens are not read again while nothing happens to the files: the reason that makes a token
/// invalid may also lie above the state directory.
const TOKENS_TIME: Duration = Duration::from_secs(1);

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
    pub(super) fn new(dir: StateDir, loaded: Loaded, log: Option<RequestLog>) -> Shared {
        let (observed, queue) = (Arc::<Observed>::default(), Arc::<SharedQueue>::default());
        Shared {
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
        }
    }

    /// Uses another configuration from the next request on.
    pub(super) fn reload(&self, loaded: Loaded) {
        *self.loaded.write().unwrap_or_else(PoisonError::into_inner) = loaded;
        self.response_cache.forget();
    }

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
                // These reads are separate from the others: a client without rights does not wait for them.
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
                    // The next request finds the answer, or makes it.
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
        // Another request may have opened the store first; either will do.
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
