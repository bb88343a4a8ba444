//! A daemon that the dashboard watches: reports by `GET`, and one stream of events that tells when to ask anew.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use hyper::{Method, StatusCode};
use recovery_tui::{Daemon, Trouble};
use tokio::runtime::{Builder, Runtime};
use tokio::time::timeout;

use super::connect::{Target, next_part};
use super::forward::{refused, target};
use crate::cli::Globals;
use crate::error::{CliError, ErrorKind};

/// How long the daemon may take until it answers, and between two parts of its answer.
const ANSWER_TIME: Duration = Duration::from_secs(15);
/// A stream of events tells at least every 15 s that it lives.
const SILENCE: Duration = Duration::from_secs(40);
/// How long it takes until a stream that has ended is asked for again.
const RETRY_EVERY: Duration = Duration::from_secs(1);

/// See the module. Each clone has a thread of its own to be asked from; they share the stream.
pub(crate) struct WatchedDaemon {
    target: Target,
    runtime: Runtime,
    happened: Arc<AtomicU64>,
}

impl WatchedDaemon {
    /// The daemon that the globals name; it need not be there yet.
    ///
    /// # Errors
    /// When they name none, or its token cannot be read.
    pub(crate) fn named(globals: &Globals) -> Result<WatchedDaemon, CliError> {
        Ok(WatchedDaemon { target: target(globals)?, runtime: runtime()?, happened: Arc::default() })
    }

    /// Follows what happens there, from now on, as long as this one or one made from it is there.
    ///
    /// # Errors
    /// When there is no thread to be had.
    pub(crate) fn follow(&self) -> Result<(), CliError> {
        let (target, happened, runtime) = (self.target.clone(), Arc::downgrade(&self.happened), runtime()?);
        let follow = move || runtime.block_on(follow(&target, &happened));
        let thread = std::thread::Builder::new().spawn(follow);
        thread.map(drop).map_err(|e| CliError::new(ErrorKind::Failed, e))
    }

    /// Another one of the same.
    ///
    /// # Errors
    /// When this process may open no more files.
    pub(crate) fn another(&self) -> Result<WatchedDaemon, CliError> {
        let (target, happened) = (self.target.clone(), Arc::clone(&self.happened));
        Ok(WatchedDaemon { target, runtime: runtime()?, happened })
    }

    /// Where it is, for people.
    pub(crate) fn name(&self) -> String {
        self.target.name()
    }
}

fn runtime() -> Result<Runtime, CliError> {
    let runtime = Builder::new_current_thread().enable_io().enable_time().build();
    runtime.map_err(|e| CliError::new(ErrorKind::Failed, e))
}

impl Daemon for WatchedDaemon {
    fn get(&mut self, path: &str) -> Result<Vec<u8>, Trouble> {
        self.runtime.block_on(get(&self.target, path))
    }

    fn happened(&mut self) -> u64 {
        self.happened.load(Ordering::Acquire)
    }
}

async fn get(target: &Target, path: &str) -> Result<Vec<u8>, Trouble> {
    let lost = |e: CliError| Trouble::Unreachable(e.message());
    let silent = |_| {
        let seconds = ANSWER_TIME.as_secs();
        Trouble::Unreachable(format!("the daemon at {} has said nothing for {seconds} s", target.name()))
    };
    let asked = timeout(ANSWER_TIME, target.ask(Method::GET, path, Vec::new())).await;
    let response = asked.map_err(silent)?.map_err(lost)?;
    let status = response.status();
    let (mut body, mut bytes) = (response.into_body(), Vec::new());
    while let Some(part) =
        timeout(ANSWER_TIME, next_part(target, &mut body)).await.map_err(silent)?.map_err(lost)?
    {
        bytes.extend_from_slice(&part);
    }
    match status {
        StatusCode::OK => Ok(bytes),
        StatusCode::BAD_GATEWAY | StatusCode::GATEWAY_TIMEOUT => Err(lost(refused(target, status, &bytes))),
        _ => Err(Trouble::NotRead(refused(target, status, &bytes).message())),
    }
}

/// Counts what happens. Whoever has it counted sees a change also when the stream comes back.
async fn follow(target: &Target, happened: &Weak<AtomicU64>) {
    while tell(happened) {
        let asked = target.ask(Method::GET, "/api/admin/events", Vec::new());
        if let Ok(Ok(response)) = timeout(ANSWER_TIME, asked).await
            && response.status() == StatusCode::OK
        {
            let mut body = response.into_body();
            while let Ok(Ok(Some(part))) = timeout(SILENCE, next_part(target, &mut body)).await {
                // A comment only says that the stream lives.
                let is_news = !part.is_empty() && !part.starts_with(b":");
                if happened.strong_count() == 0 || is_news && !tell(happened) {
                    return;
                }
            }
        }
        tokio::time::sleep(RETRY_EVERY).await;
    }
}

/// Whether somebody listens.
fn tell(happened: &Weak<AtomicU64>) -> bool {
    happened.upgrade().map(|count| count.fetch_add(1, Ordering::AcqRel)).is_some()
}
