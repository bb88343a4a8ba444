//! Chooses the queued jobs that may start now: a pure function of the queue, the time and what is known of
//! the repositories.

use std::collections::HashSet;
use std::sync::Arc;

use crate::locks::job_goes_first;
use crate::queue::{JobId, QueueState, Step};
use crate::state::Timestamp;

/// What is known of a repository that no running job has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// Another holder has the repository.
    Held,
    /// Nobody has it; the record after which the first ticket for it was drawn, if there is one.
    Free { ticket: Option<u64> },
}

/// Returns at most `slots` jobs, in the order of the queue. A repository that a running job has, that another
/// holder has, or that an earlier job of this choice takes, keeps its other jobs waiting; so does an earlier
/// ticket, and a job that pauses in its turn ([`crate::queue::Job::keeps_its_turn`]). A job that is not to be
/// chosen keeps its turn all the same. `standing_of` is called only for repositories whose turn it may be, so
/// the length of the queue does not matter.
pub(super) fn startable(
    state: &QueueState,
    now: Timestamp,
    slots: usize,
    standing_of: &mut dyn FnMut(&Arc<str>) -> Standing,
    is_excluded: &dyn Fn(&JobId) -> bool,
) -> Vec<(JobId, u32)> {
    let taken: HashSet<Arc<str>> = state.running().filter_map(|j| j.repository.clone()).collect();
    let mut chosen = Vec::new();
    state.visit_queued(|job| {
        if chosen.len() >= slots {
            return Step::Stop;
        }
        let repository = job.repository.as_ref();
        if repository.is_some_and(|repository| taken.contains(repository)) {
            return Step::LeaveLine;
        }
        if job.pauses_until(now).is_some() {
            let keeps_others = repository.is_some() && job.keeps_its_turn(now);
            return if keeps_others { Step::LeaveLine } else { Step::Next };
        }
        let may_go = match repository.map(&mut *standing_of) {
            None | Some(Standing::Free { ticket: None }) => true,
            Some(Standing::Held) => false,
            // When this job does not go first, no job behind it does.
            Some(Standing::Free { ticket: Some(behind) }) => {
                job_goes_first(job.priority, job.place.seq, behind)
            }
        };
        if may_go && !is_excluded(&job.id) {
            chosen.push((job.id.clone(), job.attempt));
        }
        if repository.is_some() { Step::LeaveLine } else { Step::Next }
    });
    chosen
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;
    use crate::queue::Claim;
    use crate::queue::{Actor, JobSpec, Operation, Record, Submission};

    fn state(jobs: &[(&str, Option<&str>, i32)]) -> QueueState {
        let mut state = QueueState::default();
        for (seq, (name, repository, priority)) in (1..).zip(jobs) {
            let operation = Operation::Submit(Submission {
                job: name.parse().unwrap(),
                priority: *priority,
                repository: repository.map(str::to_owned),
                spec: JobSpec::default(),
            });
            state
                .apply(seq, Record { at: Timestamp::default(), actor: Actor::default(), operation })
                .unwrap();
        }
        state
    }

    fn startable(
        state: &QueueState,
        held: &BTreeSet<String>,
        line: &BTreeMap<String, u64>,
        now: Timestamp,
        slots: usize,
    ) -> Vec<(JobId, u32)> {
        let mut standing = |repository: &Arc<str>| match held.contains(&**repository) {
            true => Standing::Held,
            false => Standing::Free { ticket: line.get(&**repository).copied() },
        };
        super::startable(state, now, slots, &mut standing, &|_| false)
    }

    fn names(chosen: &[(JobId, u32)]) -> Vec<String> {
        chosen.iter().map(|(id, _)| id.to_string()).collect()
    }

    #[test]
    fn startable_one_job_a_repository_by_priority() {
        let state =
            state(&[("a", Some("web"), 0), ("b", Some("web"), 5), ("c", None, 0), ("d", Some("api"), 0)]);
        let (none, nobody, now) = (BTreeSet::new(), BTreeMap::new(), Timestamp::default());
        assert_eq!(names(&startable(&state, &none, &nobody, now, 9)), ["b", "c", "d"]);
        assert_eq!(names(&startable(&state, &none, &nobody, now, 1)), ["b"]);
        let held = BTreeSet::from(["api".to_owned(), "web".to_owned()]);
        assert_eq!(names(&startable(&state, &held, &nobody, now, 9)), ["c"]);
    }

    #[test]
    fn startable_ticket_blocks_later_jobs_of_its_repository() {
        let state = state(&[("a", Some("web"), 0), ("b", Some("api"), 0), ("c", Some("db"), 5)]);
        let behind = |seq| ["web", "api", "db"].map(|r| (r.to_owned(), seq)).into();
        let (none, now) = (BTreeSet::new(), Timestamp::default());
        assert_eq!(names(&startable(&state, &none, &behind(0), now, 9)), ["c"], "urgent jobs go first");
        assert_eq!(names(&startable(&state, &none, &behind(1), now, 9)), ["c", "a"]);
        assert_eq!(names(&startable(&state, &none, &behind(2), now, 9)), ["c", "a", "b"]);
    }

    #[test]
    fn startable_asks_only_for_repositories_whose_turn_it_may_be() {
        let state = state(&[
            ("a", Some("web"), 0),
            ("b", Some("web"), 0),
            ("c", Some("api"), 0),
            ("d", None, 0),
            ("e", None, 0),
            ("f", Some("db"), 0),
        ]);
        let mut asked = Vec::new();
        let mut standing = |repository: &Arc<str>| {
            asked.push(repository.to_string());
            if &**repository == "web" { Standing::Held } else { Standing::Free { ticket: None } }
        };
        let is_excluded = |id: &JobId| id.to_string() == "d";
        let chosen = super::startable(&state, Timestamp::default(), 2, &mut standing, &is_excluded);
        assert_eq!(
            (names(&chosen), asked),
            (vec!["c".to_owned(), "e".to_owned()], vec!["web".into(), "api".into()])
        );
    }

    #[test]
    fn startable_respects_running_job_and_pause() {
        let mut state = state(&[("a", Some("web"), 0), ("b", Some("web"), 0), ("c", None, 0)]);
        let mut apply = |seq, ms, operation| {
            let record = Record { at: Timestamp::from_millis(ms), actor: Actor::default(), operation };
            state.apply(seq, record).unwrap();
        };
        apply(4, 0, Operation::Claim { job: "a".parse().unwrap(), attempt: 1, host: None });
        apply(5, 0, Operation::Claim { job: "c".parse().unwrap(), attempt: 1, host: None });
        apply(
            6,
            0,
            Operation::Unclaim {
                job: "c".parse().unwrap(),
                claim: Claim::of_record(5),
                reason: String::new(),
                not_before: Some(Timestamp::from_millis(100)),
                failed_start: false,
            },
        );
        let (none, nobody) = (BTreeSet::new(), BTreeMap::new());
        assert!(startable(&state, &none, &nobody, Timestamp::from_millis(99), 9).is_empty());
        assert_eq!(names(&startable(&state, &none, &nobody, Timestamp::from_millis(100), 9)), ["c"]);
    }

    #[test]
    fn startable_pause_after_clock_set_back() {
        let (none, nobody) = (BTreeSet::new(), BTreeMap::new());
        let mut state = state(&[("a", None, 0)]);
        let day = 24 * 60 * 60 * 1000;
        let ahead = Timestamp::from_millis(400 * day);
        let mut apply = |seq, operation| {
            let record = Record { at: ahead, actor: Actor::default(), operation };
            state.apply(seq, record).unwrap();
        };
        apply(2, Operation::Claim { job: "a".parse().unwrap(), attempt: 1, host: None });
        let not_before = Some(ahead.plus_millis(60_000));
        let (job, reason) = ("a".parse().unwrap(), String::new());
        apply(
            3,
            Operation::Unclaim { job, claim: Claim::of_record(2), reason, not_before, failed_start: false },
        );
        let at = |ms| startable(&state, &none, &nobody, ahead.plus_millis(ms), 9);
        assert!(at(0).is_empty() && at(59_999).is_empty() && at(-2_000).is_empty(), "within its length");
        for now in [60_000, day, -day, -400 * day] {
            assert_eq!(names(&at(now)), ["a"], "{now}");
        }
        let job = state.get(&"a".parse().unwrap()).unwrap();
        assert_eq!(job.clock_was_ahead(ahead.plus_millis(-day)), Some(day));
        assert_eq!(job.clock_was_ahead(ahead.plus_millis(day)), None);
    }

    #[test]
    fn startable_turn_after_unclaim_and_after_failed_start() {
        let (none, nobody) = (BTreeSet::new(), BTreeMap::new());
        for (failed_start, early) in [(false, vec![]), (true, vec!["b"])] {
            let mut state = state(&[("a", Some("web"), 0), ("b", Some("web"), 0)]);
            let mut apply = |seq, operation| {
                let record = Record { at: Timestamp::default(), actor: Actor::default(), operation };
                state.apply(seq, record).unwrap();
            };
            apply(3, Operation::Claim { job: "a".parse().unwrap(), attempt: 1, host: None });
            let (job, reason) = ("a".parse().unwrap(), String::new());
            let not_before = Some(Timestamp::from_millis(100));
            apply(
                4,
                Operation::Unclaim { job, claim: Claim::of_record(3), reason, not_before, failed_start },
            );
            assert_eq!(names(&startable(&state, &none, &nobody, Timestamp::from_millis(99), 9)), early);
            assert_eq!(names(&startable(&state, &none, &nobody, Timestamp::from_millis(100), 9)), ["a"]);
        }
    }
}
