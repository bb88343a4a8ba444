//! The server: begins to serve, goes along with the daemon, ends.

use std::io;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use recovery::state::StateDir;
use tokio::sync::watch;

use super::connections::{self, Connections, LAST_WORDS};
use super::listen::Listeners;
use super::places::Places;
use super::pool;
use super::shared::{RequestLog, Shared};
use super::stage::Stage;
use crate::configuration::Loaded;

/// Threads that serve connections; what touches the disk runs elsewhere.
const THREADS: usize = 2;

/// What a server needs.
pub(crate) struct HttpSettings {
    pub(crate) dir: StateDir,
    pub(crate) loaded: Loaded,
    /// Tells of each request, when somebody wants to know.
    pub(crate) log: Option<RequestLog>,
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
        let most = pool::MOST + 8;
        builder.worker_threads(THREADS).max_blocking_threads(most);
        builder.thread_name("http").enable_io().enable_time();
        // The builder panics when there is no thread for it.
        let runtime = std::panic::catch_unwind(AssertUnwindSafe(|| builder.build()))
            .unwrap_or_else(|_| Err(io::Error::other("no thread can be made for it")))?;
        let HttpSettings { dir, loaded, log } = settings;
        let shared = Arc::new(Shared::new(dir, loaded, log));
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
        self.shared.reload(loaded);
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
                // Requests that are not done by then are cut off.
                let _ = tokio::time::timeout(LAST_WORDS, self.stop.closed()).await;
            });
            runtime.shutdown_timeout(LAST_WORDS);
        }
    }
}
