//! What happens to jobs, as events out of the queue's log: one thread follows it for all who listen.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hyper::body::Bytes;
use recovery::durable::log::{Position, ReadRequest, read};
use recovery::logging::{Repeats, events};
use recovery::queue::{QueueError, Record, entries_of, open_log};
use recovery::state::StateDir;
use serde_json::json;
use tokio::sync::watch;
use tracing::warn;

use super::metrics::Observed;

/// So many records are kept in memory.
const KEPT: usize = 10_000;
/// At most so many are sent at a time.
const A_PART: usize = 256;
/// The longest wait for the log; then the thread looks whether it is to end.
pub(super) const LOOK_EVERY: Duration = Duration::from_millis(500);

#[derive(Debug, Default)]
struct Ring {
    events: VecDeque<(u64, Bytes)>,
    /// All after this record is known.
    known_after: u64,
}

/// What happened last, and who waits for more.
#[derive(Debug)]
pub(super) struct Feed {
    ring: Arc<Mutex<Ring>>,
    /// The last record; none before the log is followed.
    pub(super) last: watch::Sender<Option<u64>>,
    is_followed: Arc<AtomicBool>,
    over: Arc<AtomicBool>,
    /// Counts what it tells.
    observed: Arc<Observed>,
}

/// What comes after a place.
pub(super) enum Part {
    Events(Vec<(u64, Bytes)>),
    /// The place is too old.
    Reset,
}

impl Feed {
    pub(super) fn new(observed: Arc<Observed>) -> Feed {
        Feed {
            ring: Arc::default(),
            last: watch::Sender::new(None),
            is_followed: Arc::default(),
            over: Arc::default(),
            observed,
        }
    }

    /// Begins to follow the log, unless it is followed. What could not be begun, or broke off, is begun by a later
    /// call.
    pub(super) fn follow(&self, dir: &StateDir) {
        if self.is_followed.swap(true, Ordering::SeqCst) {
            return;
        }
        let following = Following(self.is_followed.clone());
        let (dir, ring, last, over) = (dir.clone(), self.ring.clone(), self.last.clone(), self.over.clone());
        let observed = Arc::clone(&self.observed);
        let begun = std::thread::Builder::new().name("events".to_owned()).spawn(move || {
            let trouble = Repeats::new("the queue's log cannot be followed for those who listen to events");
            let _following = following;
            while !over.load(Ordering::Acquire) {
                // What cannot be read now is tried again.
                if trouble.note(follow_log(&dir, &ring, &last, &over, &observed)).is_none() {
                    std::thread::park_timeout(LOOK_EVERY);
                }
            }
        });
        if let Err(e) = begun {
            warn!(event = events::TROUBLE, "nobody is told of events, for want of a thread: {e}");
        }
    }

    pub(super) fn end(&self) {
        self.over.store(true, Ordering::Release);
    }

    /// A part of what comes after a record.
    pub(super) fn after(&self, seq: u64) -> Part {
        let ring = self.ring.lock().unwrap_or_else(PoisonError::into_inner);
        if seq < ring.known_after {
            return Part::Reset;
        }
        let begin = ring.events.partition_point(|(number, _)| *number <= seq);
        Part::Events(ring.events.range(begin..).take(A_PART).cloned().collect())
    }
}

/// The log is followed as long as this value exists.
struct Following(Arc<AtomicBool>);

impl Drop for Following {
    fn drop(&mut self) {
        self.0.store(false, Ordering::SeqCst);
    }
}

fn follow_log(
    dir: &StateDir,
    ring: &Mutex<Ring>,
    last: &watch::Sender<Option<u64>>,
    over: &AtomicBool,
    observed: &Observed,
) -> Result<(), QueueError> {
    let log = open_log(dir)?;
    let state_id = dir.identity.state_id.to_string();
    let folder = dir.paths.queue_log();
    let so_far = *last.borrow();
    let begin = so_far.unwrap_or_else(|| log.end().last_seq.saturating_sub(KEPT as u64));
    if so_far.is_none() {
        ring.lock().unwrap_or_else(PoisonError::into_inner).known_after = begin;
    }
    let mut from = Position { last_seq: begin, ..Position::default() };
    while !over.load(Ordering::Acquire) {
        let until = log.end();
        if until.last_seq > from.last_seq || last.borrow().is_none() {
            log.commit(until.last_seq)?;
            let mut news = Vec::new();
            let request =
                ReadRequest { folder: &folder, state_id: Some(&state_id), from, until: Some(until) };
            let is_new = last.borrow().is_some();
            read(request, |seq, payload| {
                if let Ok(record) = Record::from_line(payload) {
                    observed.record(&record, is_new);
                    news.push(event_of(seq, &record));
                }
            })?;
            let mut ring = ring.lock().unwrap_or_else(PoisonError::into_inner);
            ring.events.extend(news);
            while ring.events.len() > KEPT {
                ring.known_after = ring.events.pop_front().map_or(0, |(seq, _)| seq);
            }
            drop(ring);
            from = until;
            last.send_replace(Some(until.last_seq));
        }
        log.wait_for_change(until, LOOK_EVERY);
    }
    Ok(())
}

/// A record as an event: what was done, to what, by whom.
fn event_of(seq: u64, record: &Record) -> (u64, Bytes) {
    let entries: Vec<_> = entries_of(seq, record)
        .into_iter()
        .map(|e| json!({ "action": e.action, "object": e.object, "detail": e.detail }))
        .collect();
    let data = json!({ "seq": seq, "at": record.at, "by": record.actor.by, "changes": entries });
    (seq, Bytes::from(format!("id: {seq}\nevent: queue\ndata: {data}\n\n")))
}
