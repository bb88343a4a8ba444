//! An answer that is given again as long as nothing has changed: for what dashboards and probes ask for all the time, many
//! at a time, and what is much work to make.
//!
//! Before an answer is given again, the kernel is asked whether anything has happened to the state directory's files
//! ([`ChangeWatch`]): so nobody sees less than was acknowledged before they asked. What no file tells, such as the age
//! of a heartbeat or that a process has died, is as old as the answer: [`LONGEST`], or [`LONGEST_MEANWHILE`], at most.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use recovery::durable::log::Position;
use recovery::queue::SharedQueue;
use recovery::report::change::{ChangeWatch, Generation};
use recovery::state::StateDir;

use super::answer::Answer;

/// The largest age of an answer that is given again.
const LONGEST: Duration = Duration::from_secs(1);
/// The same while the next one is being made: nobody waits for that, even where it takes long.
const LONGEST_MEANWHILE: Duration = Duration::from_secs(3);
/// From this age on, a new answer is made in the background, so that nobody waits for it.
const FRESH: Duration = Duration::from_millis(400);
/// So many are kept, of at most so many bytes each.
const KEPT: usize = 64;
const LARGEST: usize = 1 << 20;

struct CachedResponse {
    answer: Answer,
    moment: Moment,
    made: Instant,
}

/// What was so: of the files, and where the queue's log ended. A process that publishes a record long after it has
/// written it is told of by the log alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Moment {
    generation: Generation,
    end: Position,
}

/// The last answers, by what was asked.
#[derive(Default)]
pub(super) struct ResponseCache {
    watch: ChangeWatch,
    queue: Arc<SharedQueue>,
    answers: Mutex<Answers>,
    /// Those of which another one is being made beside.
    renewing: Mutex<HashSet<String>>,
}

/// What is kept, under one lock with what it counts by.
#[derive(Default)]
struct Answers {
    by_question: HashMap<String, CachedResponse>,
    /// Counts the configurations: an answer by an earlier one is not kept.
    configuration: u64,
}

/// What is known of an answer.
pub(super) enum Known {
    /// It is given again.
    Fresh(Answer),
    /// It is given again, and another one is to be made beside by the one who asked.
    Ageing(Answer, Renewal),
    /// A new answer must be made.
    Nothing,
}

/// The right to make an answer anew beside; nobody else does until it is dropped.
pub(super) struct Renewal(Arc<ResponseCache>, String);

impl Drop for Renewal {
    fn drop(&mut self) {
        locked(&self.0.renewing).remove(&self.1);
    }
}

impl ResponseCache {
    /// Of reports on this queue.
    pub(super) fn new(queue: Arc<SharedQueue>) -> ResponseCache {
        ResponseCache { queue, ..ResponseCache::default() }
    }

    fn moment(&self, dir: &StateDir) -> Option<Moment> {
        // The order matters: what is written after this is another generation.
        let end = self.queue.end()?;
        Some(Moment { generation: self.watch.generation(dir)?, end })
    }

    /// The answer that is known. Touches no disk.
    pub(super) fn known(self: &Arc<ResponseCache>, dir: &StateDir, question: &str) -> Known {
        let Some(now) = self.moment(dir) else { return Known::Nothing };
        let answers = locked(&self.answers);
        let Some(kept) = answers.by_question.get(question).filter(|kept| kept.moment == now) else {
            return Known::Nothing;
        };
        let (answer, age) = (kept.answer.clone(), kept.made.elapsed());
        drop(answers);
        if age <= FRESH {
            return Known::Fresh(answer);
        }
        let mut renewing = locked(&self.renewing);
        if age < LONGEST && renewing.insert(question.to_owned()) {
            return Known::Ageing(answer, Renewal(self.clone(), question.to_owned()));
        }
        match age < LONGEST_MEANWHILE && renewing.contains(question) {
            true => Known::Fresh(answer),
            false => Known::Nothing,
        }
    }

    /// Makes an answer and keeps it. Touches the disk.
    pub(super) fn make(&self, dir: &StateDir, question: &str, make: impl FnOnce() -> Answer) -> Answer {
        let (moment, configuration) = (self.moment(dir), locked(&self.answers).configuration);
        let (made, answer) = (Instant::now(), make());
        if let Some(moment) = moment
            && answer.status == 200
            && answer.body.len() <= LARGEST
        {
            let mut all = locked(&self.answers);
            if all.configuration != configuration {
                return answer;
            }
            let answers = &mut all.by_question;
            if answers.len() >= KEPT && !answers.contains_key(question) {
                answers.retain(|_, kept| kept.made.elapsed() < LONGEST);
            }
            if answers.len() < KEPT || answers.contains_key(question) {
                let kept = CachedResponse { answer: answer.clone(), moment, made };
                answers.insert(question.to_owned(), kept);
            }
        }
        answer
    }

    /// Whether nothing has happened since.
    pub(super) fn generation(&self, dir: &StateDir) -> Option<Generation> {
        self.watch.generation(dir)
    }

    /// Another configuration may want other answers.
    pub(super) fn forget(&self) {
        let mut all = locked(&self.answers);
        all.configuration += 1;
        all.by_question.clear();
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)] // Plays another process that writes.
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use recovery::durable::Disk;
    use recovery::state::Clock;

    use super::*;

    #[test]
    fn answer_is_given_again_until_something_changes() {
        let folder = tempfile::tempdir().unwrap();
        let dir =
            StateDir::open_or_create(&folder.path().join("state"), Disk::real(), Clock::system()).unwrap();
        let queue = Arc::new(SharedQueue::default());
        drop(queue.view(&dir).unwrap());
        let (kept, made) = (Arc::new(ResponseCache::new(queue)), AtomicU32::new(0));
        let ask = || {
            let number = || Answer::json(200, made.fetch_add(1, Ordering::SeqCst).to_string());
            let answer = match kept.known(&dir, "/x") {
                Known::Fresh(answer) | Known::Ageing(answer, _) => answer,
                Known::Nothing => kept.make(&dir, "/x", number),
            };
            String::from_utf8(answer.body.to_vec()).unwrap()
        };
        // A result that was made a moment ago is not relied on.
        assert_eq!((ask(), ask()), ("0".to_owned(), "1".to_owned()));
        let settle = || {
            while kept.generation(&dir).is_none() {
                std::thread::yield_now();
            }
        };
        settle();
        let first = ask();
        assert_eq!(ask(), first);
        kept.forget();
        let second = ask();
        assert_ne!(second, first);
        std::fs::write(dir.paths.locks().join("web.lock"), "").unwrap();
        let third = ask();
        assert_ne!(third, second);
        settle();
        assert_ne!(ask(), third, "it was made when nobody could tell");
    }
}
