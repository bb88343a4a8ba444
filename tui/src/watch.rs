//! The reading threads: they read the content of the screen when something has changed, and all of it from
//! time to time. They take at most a small share of a processor's time, however long reading takes.
//!
//! There are several, so that everything readable is shown where a disk does not answer; for the same reason
//! no thread waits for them.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::listing::Object;
use crate::message::{Ask, Message, Trouble};
use crate::source::Source;

/// How often the threads check whether something has changed.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// After this time everything is read again, whether it seems changed or not.
const AT_LEAST_EVERY: Duration = Duration::from_secs(5);
/// Time between two tries of a source that does not answer.
const RETRY_EVERY: Duration = Duration::from_secs(1);
/// Content that took long to read is not read again before this many times that duration: without a change,
/// and after one.
const IDLE_SHARE: u32 = 200;
const BUSY_SHARE: u32 = 10;
/// A read that takes longer than this is reported as slow.
const LONG: Duration = Duration::from_secs(2);

/// Makes the sources that the threads read from, each its own.
pub type Sources = Arc<dyn Fn() -> Box<dyn Source> + Send + Sync>;

/// Returns the thread that reads it: cheap reads never wait for expensive ones.
fn lane(ask: &Ask) -> usize {
    match ask {
        Ask::Progress => 0,
        Ask::Overview => 1,
        Ask::List(_) | Ask::Object(_) => 2,
    }
}

#[derive(Default)]
struct Orders {
    wanted: Vec<Ask>,
    /// Whether everything must be read now.
    is_forced: bool,
    is_over: bool,
    /// The present read, and its begin.
    reading: Option<(Ask, Instant)>,
}

/// The screen's requests to the threads.
pub(crate) struct Watch {
    lanes: [Lane; 3],
}

impl Watch {
    /// Starts the threads.
    pub(crate) fn start(sources: &Sources, messages: &Sender<Message>) -> Watch {
        let watch = Watch { lanes: std::array::from_fn(|_| Lane::default()) };
        for lane in &watch.lanes {
            let (lane, sources, messages) = (lane.clone(), Arc::clone(sources), messages.clone());
            std::thread::spawn(move || lane.run(&mut *sources(), &messages));
        }
        watch
    }

    /// Sets what is on the screen. New parts are read at once.
    pub(crate) fn want(&self, wanted: &[Ask]) {
        for (number, thread) in self.lanes.iter().enumerate() {
            let own: Vec<Ask> = wanted.iter().filter(|ask| lane(ask) == number).cloned().collect();
            thread.tell(|orders| orders.wanted = own);
        }
    }

    /// Read everything anew.
    pub(crate) fn refresh(&self) {
        self.lanes.iter().for_each(|lane| lane.tell(|orders| orders.is_forced = true));
    }

    /// Slow reads, and how long they have taken so far.
    pub(crate) fn slow(&self) -> Vec<(Ask, Duration)> {
        let reading = self.lanes.iter().filter_map(|lane| lane.orders().reading.clone());
        reading.map(|(ask, since)| (ask, since.elapsed())).filter(|(_, for_)| *for_ >= LONG).collect()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.lanes.iter().for_each(|lane| lane.tell(|orders| orders.is_over = true));
    }
}

/// One thread's orders.
#[derive(Clone, Default)]
struct Lane {
    shared: Arc<(Mutex<Orders>, Condvar)>,
}

impl Lane {
    fn orders(&self) -> std::sync::MutexGuard<'_, Orders> {
        self.shared.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self, change: impl FnOnce(&mut Orders)) {
        change(&mut self.orders());
        self.shared.1.notify_all();
    }

    /// The thread's work.
    fn run(&self, source: &mut dyn Source, messages: &Sender<Message>) {
        let mut read: HashMap<Ask, Read> = HashMap::new();
        let mut stamp = None;
        loop {
            let Some((wanted, is_forced)) = self.wait(&read) else { return };
            read.retain(|ask, _| wanted.contains(ask));
            if wanted.is_empty() {
                continue;
            }
            let now = source.stamp();
            if stamp.replace(now).is_some_and(|before| before != now) {
                read.values_mut().for_each(|read| read.is_old = true);
            }
            for ask in wanted {
                if !is_forced && !read.get(&ask).is_none_or(|read| read.is_due(&ask)) {
                    continue;
                }
                let begun = Instant::now();
                self.orders().reading = Some((ask.clone(), begun));
                // A panic in the source is reported, and costs only that read.
                let read_now = catch_unwind(AssertUnwindSafe(|| source.read(&ask)));
                let fault = || Err("a fault of this program, told when it ends".into());
                let read_now = read_now.unwrap_or_else(|_| fault());
                let is_lost = matches!(read_now, Err(Trouble::Unreachable(_)));
                let message = match read_now {
                    Ok(answer) => Message::Answer(answer),
                    Err(why) => Message::Trouble(ask.clone(), why),
                };
                self.orders().reading = None;
                read.insert(ask, Read { at: Instant::now(), took: begun.elapsed(), is_old: false, is_lost });
                if messages.send(message).is_err() {
                    return;
                }
            }
        }
    }

    /// Waits until it is time to look; returns the wanted reads, and whether all are due at once.
    fn wait(&self, read: &HashMap<Ask, Read>) -> Option<(Vec<Ask>, bool)> {
        let mut orders = self.orders();
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
            orders = self.shared.1.wait_timeout(orders, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

/// When something was read, and how long that took.
struct Read {
    at: Instant,
    took: Duration,
    /// Something has changed since.
    is_old: bool,
    /// The source did not answer.
    is_lost: bool,
}

impl Read {
    fn is_due(&self, ask: &Ask) -> bool {
        let age = self.at.elapsed();
        match ask {
            _ if self.is_lost => age >= RETRY_EVERY,
            // The stamp does not cover this file, which is small.
            Ask::Progress | Ask::Object(Object::Output(_)) => age >= self.took * BUSY_SHARE,
            _ if self.is_old => age >= self.took * BUSY_SHARE,
            _ => age >= AT_LEAST_EVERY.max(self.took * IDLE_SHARE),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::views::View;

    fn read(ago: Duration, took: Duration) -> Read {
        let at = Instant::now().checked_sub(ago).expect("the machine is up for longer");
        Read { at, took, is_old: false, is_lost: false }
    }

    const QUICK: Duration = Duration::from_millis(3);
    const LIST: Ask = Ask::List(View::Jobs);

    #[test]
    fn it_is_read_again_when_something_has_changed_and_from_time_to_time() {
        let unchanged = read(Duration::from_secs(4), QUICK);
        assert!(!unchanged.is_due(&LIST) && !unchanged.is_due(&Ask::Overview));
        assert!(Read { is_old: true, ..unchanged }.is_due(&LIST));
        assert!(read(Duration::from_secs(6), QUICK).is_due(&LIST));
    }

    #[test]
    fn what_takes_long_is_read_seldom() {
        let long = |ago| Read { is_old: true, ..read(Duration::from_secs(ago), Duration::from_secs(1)) };
        assert!(!long(9).is_due(&LIST) && long(11).is_due(&LIST));
        assert!(!read(Duration::from_secs(6), Duration::from_millis(100)).is_due(&LIST));
    }

    #[test]
    fn who_does_not_answer_is_asked_every_second() {
        let lost = |ago| Read { is_lost: true, ..read(Duration::from_millis(ago), QUICK) };
        assert!(!lost(900).is_due(&LIST) && lost(1_100).is_due(&LIST));
    }
}
