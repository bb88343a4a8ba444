//! An answer that is given again as long as nothing has changed: for what dashboards ask for every second, many at a
//! time, and what is much work to make.
//!
//! Before an answer is given again, and before one is made, the state directory's files are asked whether anything
//! has changed ([`recovery::report::change`]): so nobody sees less than was acknowledged before they asked. What no
//! file tells, such as the age of a heartbeat or that a process has died, is as old as the answer, which is at most
//! [`LONGEST`].

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use recovery::report::change::Mark;
use recovery::state::StateDir;

use super::answer::Answer;

/// How old an answer may be that is given again.
const LONGEST: Duration = Duration::from_millis(500);

struct Kept {
    answer: Answer,
    mark: Mark,
    made: Instant,
}

/// The last answer of each endpoint that keeps one, by its path.
#[derive(Default)]
pub(super) struct KeptAnswers(Mutex<HashMap<&'static str, Kept>>);

impl KeptAnswers {
    /// The one that is kept, or a new one. Touches the disk.
    pub(super) fn answer(&self, dir: &StateDir, path: &'static str, make: impl FnOnce() -> Answer) -> Answer {
        let mark = Mark::take(dir);
        if let Some(answer) = self.given_again(path, &mark) {
            return answer;
        }
        let (made, answer) = (Instant::now(), make());
        // What changed a moment ago may change again without another mark.
        if answer.status == 200 && mark.is_settled() {
            let kept = Kept { answer: answer.clone(), mark, made };
            self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(path, kept);
        }
        answer
    }

    fn given_again(&self, path: &str, now: &Mark) -> Option<Answer> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = kept.get(path).filter(|kept| kept.mark == *now && kept.made.elapsed() < LONGEST);
        kept.map(|kept| kept.answer.clone())
    }

    /// Another configuration may want other answers.
    pub(super) fn forget(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}
