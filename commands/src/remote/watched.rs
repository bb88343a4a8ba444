//! A daemon that the dashboard watches: reports by `GET`, and one stream of events that tells when to ask anew, and
//! how far the daemon's recovery is, also where a report waits for a disk that does not answer.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use hyper::{Method, StatusCode};
use recovery::operations::Operation;
use recovery::recovery::Snapshot;
use recovery_tui::{Operator, Trouble};
use tokio::runtime::{Builder, Runtime};
use tokio::time::timeout;

use super::connect::{Target, next_part};
use super::operation::refused;
use super::target::target;
use crate::error::{CliError, ErrorKind};
use crate::globals::Globals;

/// How long the daemon may take until it answers, and between two parts of its answer.
const ANSWER_TIME: Duration = Duration::from_secs(15);
/// A stream of events tells at least every 15 s that it lives.
const SILENCE: Duration = Duration::from_secs(40);
/// How long it takes until a stream that has ended is asked for again.
const RETRY_EVERY: Duration = Duration::from_secs(1);
/// No event is larger, bytes.
const LARGEST: usize = 16 << 20;

/// See the module. Each clone has a thread of its own to be asked from; they share the stream.
pub(crate) struct WatchedDaemon {
    target: Target,
    runtime: Runtime,
    told: Arc<Told>,
}

/// What the stream told.
#[derive(Default)]
struct Told {
    happened: AtomicU64,
    /// The recovery that the daemon is in.
    recovery: Mutex<Option<Arc<Snapshot>>>,
}

impl Told {
    fn recovery(&self) -> std::sync::MutexGuard<'_, Option<Arc<Snapshot>>> {
        self.recovery.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl WatchedDaemon {
    /// The daemon that the globals name; it need not be there yet.
    pub(crate) fn named(globals: &Globals) -> Result<WatchedDaemon, CliError> {
        Ok(WatchedDaemon { target: target(globals)?, runtime: runtime()?, told: Arc::default() })
    }

    /// Follows what happens there, from now on, as long as this one or one made from it is there.
    pub(crate) fn follow(&self) -> Result<(), CliError> {
        let (target, told, runtime) = (self.target.clone(), Arc::downgrade(&self.told), runtime()?);
        let follow = move || runtime.block_on(follow(&target, &told));
        let thread = std::thread::Builder::new().spawn(follow);
        thread.map(drop).map_err(|e| CliError::new(ErrorKind::Failed, e))
    }

    /// Another one of the same.
    pub(crate) fn another(&self) -> Result<WatchedDaemon, CliError> {
        let (target, told) = (self.target.clone(), Arc::clone(&self.told));
        Ok(WatchedDaemon { target, runtime: runtime()?, told })
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

impl Operator for WatchedDaemon {
    fn carry_out<O: Operation>(&mut self, request: &O) -> Result<O::Report, Trouble> {
        let request = serde_json::to_value(request).map_err(|e| e.to_string())?;
        let body = self.runtime.block_on(get(&self.target, &O::ENTRY.target(&request)))?;
        serde_json::from_slice(&body).map_err(|e| {
            format!("what the daemon answers is not understood ({e}); is it of another version?").into()
        })
    }

    fn recovering(&mut self) -> Option<Arc<Snapshot>> {
        self.told.recovery().clone()
    }

    fn stamp(&mut self) -> u64 {
        self.told.happened.load(Ordering::Acquire)
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
        _ => {
            let refused = refused(target, status, &bytes);
            let next = refused.hints().iter().map(|hint| format!("; {hint}")).collect::<String>();
            Err(Trouble::NotRead(refused.message() + &next))
        }
    }
}

/// Counts what happens, and once more when the stream comes back: something may have changed meanwhile.
async fn follow(target: &Target, told: &Weak<Told>) {
    while tell(told, None) {
        let asked = target.ask(Method::GET, "/api/admin/events", Vec::new());
        if let Ok(Ok(response)) = timeout(ANSWER_TIME, asked).await
            && response.status() == StatusCode::OK
        {
            let (mut body, mut events) = (response.into_body(), Events::default());
            while let Ok(Ok(Some(part))) = timeout(SILENCE, next_part(target, &mut body)).await
                && events.pending.len() <= LARGEST
            {
                if told.strong_count() == 0
                    || !events.take(&part).all(|event| tell(told, recovery_in(&event)))
                {
                    return;
                }
            }
            // What an ended stream reported is not known any more.
            let _ = tell(told, None);
        }
        tokio::time::sleep(RETRY_EVERY).await;
    }
}

/// Whether somebody listens.
fn tell(told: &Weak<Told>, recovery: Option<Arc<Snapshot>>) -> bool {
    let Some(told) = told.upgrade() else { return false };
    *told.recovery() = recovery;
    told.happened.fetch_add(1, Ordering::AcqRel);
    true
}

/// How far the recovery is, when an event tells that. Every other one tells that none is under way any more.
fn recovery_in(event: &[u8]) -> Option<Arc<Snapshot>> {
    let data = event.strip_prefix(b"event: recovery\ndata: ")?;
    serde_json::from_slice(data).ok().map(Arc::new)
}

/// A stream's events, out of the parts that they come in.
#[derive(Default)]
struct Events {
    pending: Vec<u8>,
}

impl Events {
    /// The events that are whole with this part. A comment only says that the stream lives.
    fn take(&mut self, part: &[u8]) -> impl Iterator<Item = Vec<u8>> {
        self.pending.extend_from_slice(part);
        let whole = std::iter::from_fn(|| {
            let end = self.pending.windows(2).position(|two| two == b"\n\n")? + 2;
            Some(self.pending.drain(..end).collect::<Vec<u8>>())
        });
        whole.filter(|event| !event.starts_with(b":"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_taken_whole_and_comments_left_out() {
        let mut events = Events::default();
        let mut take = |part: &str| -> Vec<String> {
            events.take(part.as_bytes()).map(|event| String::from_utf8(event).unwrap()).collect()
        };
        assert_eq!(take("retry: 1000\n\nid: 7\neve"), ["retry: 1000\n\n"]);
        assert!(take("nt: begin\ndata: {}\n").is_empty());
        assert_eq!(take("\n: alive\n\nid: 8\n\n"), ["id: 7\nevent: begin\ndata: {}\n\n", "id: 8\n\n"]);
    }

    #[test]
    fn only_an_event_of_a_recovery_tells_of_one() {
        for other in
            ["event: begin\ndata: {}\n\n", "event: recovery\ndata: {\"other\":1}\n\n", "retry: 1000\n\n"]
        {
            assert!(recovery_in(other.as_bytes()).is_none(), "{other}");
        }
    }
}
