//! Passes events to the delivery engine: new ends of jobs as they come; at the start, and whenever the queue
//! was read anew, all ends. The engine knows which of them are settled.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant, SystemTime};

use super::restarts::kept_going;
use crate::logging::events;
use crate::queue::{JobId, Queue};
use crate::recovery::recovery_ends;
use crate::state::{StateDir, Timestamp};
use crate::webhooks::{Deriver, Engine, EngineError, Feed, Settings};
use tracing::debug;

/// The pause between two tries to begin: another process may be delivering.
const PAUSE: Duration = Duration::from_millis(500);
/// The pause before a thread is requested again that the host did not give.
const ASK_AGAIN: Duration = Duration::from_secs(1);
/// Jobs examined in one round, because the scheduler must start jobs in between.
const AT_ONCE: usize = 5_000;
/// How often the record of recoveries is read.
const LOOK_AT_RECOVERIES: Duration = Duration::from_secs(2);

/// Called with what keeps deliveries from being recorded.
pub type Trouble = Arc<dyn Fn(&str) + Send + Sync>;

struct Started {
    feed: Feed,
    since: BTreeMap<String, Timestamp>,
}

/// Starts the engine's thread.
type Begin = Box<dyn Fn() -> io::Result<JoinHandle<()>> + Send>;

/// The engine's thread, and the events that it does not have yet.
pub(super) struct Deliveries {
    dir: StateDir,
    settings: Settings,
    over: Arc<AtomicBool>,
    begin: Begin,
    trouble: Trouble,
    thread: Option<JoinHandle<()>>,
    /// When the host gave no thread.
    refused: Option<Instant>,
    starts: Receiver<Started>,
    started: Option<Started>,
    backlog: Vec<JobId>,
    recoveries_seen: Option<SystemTime>,
    recoveries_looked: Option<Instant>,
}

impl Deliveries {
    /// Starts delivering as soon as no other process does.
    pub(super) fn start(
        dir: &StateDir,
        settings: Settings,
        trouble: Trouble,
        broke_off: Arc<AtomicU32>,
    ) -> Deliveries {
        let over = Arc::new(AtomicBool::new(false));
        let (tell, starts) = channel();
        let begin: Begin = {
            let (dir, settings, over, trouble) =
                (dir.clone(), settings.clone(), over.clone(), trouble.clone());
            Box::new(move || {
                let (dir, settings, over) = (dir.clone(), settings.clone(), over.clone());
                let (tell, trouble, broke_off) = (tell.clone(), trouble.clone(), broke_off.clone());
                Builder::new().name("deliveries".to_owned()).spawn(move || {
                    let stop = || over.load(Ordering::Acquire);
                    let mut run = || deliver(&dir, &settings, &tell, &over, &trouble);
                    kept_going(&broke_off, &stop, &mut run);
                })
            })
        };
        let mut deliveries = Deliveries {
            dir: dir.clone(),
            settings,
            over,
            begin,
            trouble,
            thread: None,
            refused: None,
            starts,
            started: None,
            backlog: Vec::new(),
            recoveries_seen: None,
            recoveries_looked: None,
        };
        deliveries.begin();
        deliveries
    }

    /// Starts the engine, if that has not been done; a host that gives no thread is tried again.
    fn begin(&mut self) {
        let is_early = self.refused.is_some_and(|at| at.elapsed() < ASK_AGAIN);
        if self.thread.is_some() || is_early {
            return;
        }
        match (self.begin)() {
            Ok(thread) => self.thread = Some(thread),
            Err(e) => {
                if self.refused.replace(Instant::now()).is_none() {
                    (self.trouble)(&format!("nothing is delivered before there is a thread for it: {e}"));
                }
            }
        }
    }

    /// Passes new events to the engine. Returns true when more are ready at once.
    pub(super) fn tell(&mut self, queue: &mut Queue) -> bool {
        self.begin();
        if let Some(started) = self.starts.try_iter().last() {
            self.started = Some(started);
            self.recoveries_seen = None;
            self.backlog = all_ended(queue);
        }
        let Some(Started { feed, since }) = &self.started else { return false };
        match queue.drain_changed() {
            None => self.backlog = all_ended(queue),
            Some(turned) => self.backlog.extend(turned),
        }
        let mut deriver = Deriver::new(self.dir.identity.state_id, &self.settings.endpoints, since);
        let part = self.backlog.split_off(self.backlog.len().saturating_sub(AT_ONCE));
        let jobs = part.iter().filter_map(|id| queue.state().get(id));
        feed.offer(jobs.flat_map(|job| deriver.of_job(job)).collect());
        if !self.settings.endpoints.is_empty()
            && self.recoveries_looked.is_none_or(|at| at.elapsed() >= LOOK_AT_RECOVERIES)
        {
            self.recoveries_looked = Some(Instant::now());
            // There is no record before the first recovery.
            let written =
                std::fs::metadata(self.dir.paths.recovery_history()).and_then(|m| m.modified()).ok();
            if written != self.recoveries_seen {
                self.recoveries_seen = written;
                let ends = recovery_ends(&self.dir);
                feed.offer(ends.iter().flat_map(|end| deriver.of_recovery(end)).collect());
            }
        }
        !self.backlog.is_empty()
    }
}

/// Returns the jobs that have come to an end at least once.
fn all_ended(queue: &mut Queue) -> Vec<JobId> {
    // From now on every change is passed; earlier changes are among all ends.
    let _ = queue.drain_changed();
    let ended = queue.state().jobs().filter(|j| j.run_state.is_some());
    ended.map(|j| j.id.clone()).collect()
}

impl Drop for Deliveries {
    /// Gives attempts under way a moment to complete.
    fn drop(&mut self) {
        self.over.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join(); // It has told its trouble; a panic is told by `kept_going`.
        }
    }
}

fn deliver(
    dir: &StateDir,
    settings: &Settings,
    tell: &Sender<Started>,
    over: &AtomicBool,
    trouble: &Trouble,
) {
    let stop = || over.load(Ordering::Acquire);
    while !stop() {
        let ended = Engine::start(dir, settings.clone(), "daemon").and_then(|(engine, feed)| {
            let since = engine.endpoints_since();
            // When the receiver is gone, `stop` is set, too.
            let _ = tell.send(Started { feed, since });
            engine.run(false, &stop, &mut |line| trouble(line))
        });
        match ended {
            Ok(_) => return,
            // `webhooks deliver --once` is delivering.
            Err(EngineError::Lock(e)) => debug!(event = events::TROUBLE, "somebody else delivers: {e}"),
            Err(e) => trouble(&e.to_string()),
        }
        std::thread::park_timeout(PAUSE);
    }
}
