//! An answer that is given again as long as nothing has changed: for what dashboards ask for every second, many at a
//! time, and what is much work to make.
//!
//! Before an answer is given again, and before one is made, the state directory's files are asked whether anything
//! has changed ([`recovery::report::change`]): so nobody sees less than was acknowledged before they asked. What no
//! file tells, such as the age of a heartbeat or that a process has died, is as old as the answer: [`LONGEST`], or
//! [`LONGEST_MEANWHILE`], at most.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use recovery::report::change::Mark;
use recovery::state::StateDir;

use super::answer::Answer;

/// How old an answer may be that is given again.
const LONGEST: Duration = Duration::from_secs(1);
/// The same while the next one is being made: nobody waits for that, even where it takes long.
const LONGEST_MEANWHILE: Duration = Duration::from_secs(3);
/// From this age on another one is made beside, so that nobody waits for it.
const FRESH: Duration = Duration::from_millis(400);

struct CachedResponse {
    answer: Answer,
    mark: Mark,
    made: Instant,
}

/// The last answer of each endpoint that keeps one, by its path.
#[derive(Default)]
pub(super) struct ResponseCache {
    answers: Mutex<HashMap<&'static str, CachedResponse>>,
    /// Those of which another one is being made beside.
    renewing: Mutex<HashSet<&'static str>>,
    /// Counts the configurations: an answer by an earlier one is not kept.
    configurations: AtomicU64,
}

impl ResponseCache {
    /// The one that is kept, or a new one. Touches the disk.
    pub(super) fn answer(
        self: &Arc<ResponseCache>,
        dir: &StateDir,
        path: &'static str,
        make: impl Fn() -> Answer + Send + 'static,
    ) -> Answer {
        let mark = Mark::take(dir);
        let Some((answer, age)) = self.given_again(path, &mark) else { return self.made(path, mark, &make) };
        if age > FRESH && locked(&self.renewing).insert(path) {
            let (kept, dir) = (self.clone(), dir.clone());
            let renew = move || {
                let _over = Renewed(&kept, path);
                kept.made(path, Mark::take(&dir), &make);
            };
            if std::thread::Builder::new().spawn(renew).is_err() {
                // The next request tries again, or makes it.
                locked(&self.renewing).remove(path);
            }
        }
        answer
    }

    fn made(&self, path: &'static str, mark: Mark, make: &impl Fn() -> Answer) -> Answer {
        let configuration = self.configurations.load(Ordering::SeqCst);
        let (made, answer) = (Instant::now(), make());
        let mut answers = locked(&self.answers);
        let is_current = self.configurations.load(Ordering::SeqCst) == configuration;
        // What changed a moment ago may change again without another mark.
        if answer.status == 200 && mark.is_settled() && is_current {
            answers.insert(path, CachedResponse { answer: answer.clone(), mark, made });
        }
        answer
    }

    fn given_again(&self, path: &str, now: &Mark) -> Option<(Answer, Duration)> {
        let answers = locked(&self.answers);
        let kept = answers.get(path).filter(|kept| kept.mark == *now)?;
        let age = kept.made.elapsed();
        let is_renewed = || locked(&self.renewing).contains(path);
        let fits = age < LONGEST || (age < LONGEST_MEANWHILE && is_renewed());
        fits.then(|| (kept.answer.clone(), age))
    }

    /// Another configuration may want other answers.
    pub(super) fn forget(&self) {
        let mut answers = locked(&self.answers);
        self.configurations.fetch_add(1, Ordering::SeqCst);
        answers.clear();
    }
}

/// Says so at its end, also when making the answer broke off.
struct Renewed<'a>(&'a ResponseCache, &'static str);

impl Drop for Renewed<'_> {
    fn drop(&mut self) {
        locked(&self.0.renewing).remove(self.1);
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)] // Plays another process that writes.
mod tests {
    use std::sync::atomic::AtomicU32;

    use recovery::durable::Disk;
    use recovery::state::Clock;

    use super::*;

    #[test]
    fn an_answer_is_given_again_until_something_changes() {
        let folder = tempfile::tempdir().unwrap();
        let dir =
            StateDir::open_or_create(&folder.path().join("state"), Disk::real(), Clock::system()).unwrap();
        let (kept, made) = (Arc::new(ResponseCache::default()), Arc::new(AtomicU32::new(0)));
        let ask = || {
            let made = made.clone();
            let number = move || made.fetch_add(1, Ordering::SeqCst).to_string();
            let answer = kept.answer(&dir, "/x", move || Answer::json(200, number()));
            String::from_utf8(answer.body.to_vec()).unwrap()
        };
        // What was made a moment ago is not relied on.
        assert_eq!((ask(), ask()), ("0".to_owned(), "1".to_owned()));
        while !Mark::take(&dir).is_settled() {
            std::thread::yield_now();
        }
        let first = ask();
        assert_eq!(ask(), first);
        kept.forget();
        let second = ask();
        assert_ne!(second, first);
        std::fs::write(dir.paths.locks().join("web.lock"), "").unwrap();
        let third = ask();
        assert_ne!(third, second);
        // Changed again within a tick, perhaps: it is made anew all the same.
        std::fs::write(dir.paths.locks().join("other.lock"), "").unwrap();
        assert_ne!(ask(), third);
    }
}
