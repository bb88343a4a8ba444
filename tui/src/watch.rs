//! The thread that reads: what is on the screen, when something has changed, and all of it from time to time.
//! It takes at most a small share of a processor's time, however long reading takes.

use std::collections::HashMap;
use std::sync::mpsc::Sender;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::listing::Object;
use crate::message::{Ask, Message};
use crate::source::Source;

/// How often is looked whether something has changed.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// After this time everything is read again, whether it seems changed or not.
const AT_LEAST_EVERY: Duration = Duration::from_secs(5);
/// What takes long to read is not read again before this many times as long: without a change, and after one.
const IDLE_SHARE: u32 = 200;
const BUSY_SHARE: u32 = 10;

#[derive(Default)]
struct Orders {
    wanted: Vec<Ask>,
    /// Everything is to be read now.
    is_forced: bool,
    is_over: bool,
}

/// What the screen tells the thread.
#[derive(Clone, Default)]
pub(crate) struct Watch {
    shared: Arc<(Mutex<Orders>, Condvar)>,
}

impl Watch {
    /// From now on this is on the screen. What was not there before is read at once.
    pub(crate) fn want(&self, wanted: Vec<Ask>) {
        self.tell(|orders| orders.wanted = wanted);
    }

    /// Read everything anew.
    pub(crate) fn refresh(&self) {
        self.tell(|orders| orders.is_forced = true);
    }

    /// Leave, when what is being read has been read.
    pub(crate) fn end(&self) {
        self.tell(|orders| orders.is_over = true);
    }

    fn tell(&self, change: impl FnOnce(&mut Orders)) {
        change(&mut self.shared.0.lock().unwrap_or_else(PoisonError::into_inner));
        self.shared.1.notify_all();
    }

    /// The thread's work.
    pub(crate) fn run(&self, source: &mut dyn Source, messages: &Sender<Message>) {
        let mut read: HashMap<Ask, Read> = HashMap::new();
        let mut stamp = source.stamp();
        loop {
            let Some((wanted, is_forced)) = self.wait(&read) else { return };
            read.retain(|ask, _| wanted.contains(ask));
            let now = source.stamp();
            if now != stamp {
                stamp = now;
                read.values_mut().for_each(|read| read.is_old = true);
            }
            for ask in wanted {
                if !is_forced && !read.get(&ask).is_none_or(|read| read.is_due(&ask)) {
                    continue;
                }
                let begun = Instant::now();
                let message = match source.read(&ask) {
                    Ok(answer) => Message::Answer(answer),
                    Err(why) => Message::Trouble(ask.clone(), why),
                };
                read.insert(ask, Read { at: Instant::now(), took: begun.elapsed(), is_old: false });
                if messages.send(message).is_err() {
                    return;
                }
            }
        }
    }

    /// Waits until it is time to look; what is wanted, and whether all of it at once.
    fn wait(&self, read: &HashMap<Ask, Read>) -> Option<(Vec<Ask>, bool)> {
        let (orders, changed) = &*self.shared;
        let mut orders = orders.lock().unwrap_or_else(PoisonError::into_inner);
        let until = Instant::now() + LOOK_EVERY;
        loop {
            if orders.is_over {
                return None;
            }
            let is_new = orders.wanted.iter().any(|ask| !read.contains_key(ask));
            let left = until.saturating_duration_since(Instant::now());
            if is_new || orders.is_forced || left.is_zero() {
                let is_forced = std::mem::take(&mut orders.is_forced);
                return Some((orders.wanted.clone(), is_forced));
            }
            orders = changed.wait_timeout(orders, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

/// When something was read, and how long that took.
struct Read {
    at: Instant,
    took: Duration,
    /// Something has changed since.
    is_old: bool,
}

impl Read {
    fn is_due(&self, ask: &Ask) -> bool {
        let age = self.at.elapsed();
        match ask {
            // Its file is not looked at by the stamp, and it is a small one.
            Ask::Progress | Ask::Object(Object::Output(_)) => age >= self.took * BUSY_SHARE,
            _ if self.is_old => age >= self.took * BUSY_SHARE,
            _ => age >= AT_LEAST_EVERY.max(self.took * IDLE_SHARE),
        }
    }
}
