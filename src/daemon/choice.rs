//! Chooses the queued jobs that may start now: a pure function of the queue, the time and the holders of
//! locks.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use crate::locks::job_goes_first;
use crate::queue::{JobId, QueueState};
use crate::state::Timestamp;

/// At most `slots` jobs, in the order of the queue. A repository that a running job has, that another holder
/// has, or that an earlier job of this choice takes, keeps its other jobs waiting; so does an earlier ticket
/// (`line`: the record after which the first ticket of a repository was drawn), and a job that pauses in its
/// turn ([`crate::queue::Job::keeps_its_turn`]).
pub(super) fn startable(
    state: &QueueState,
    held: &BTreeSet<String>,
    line: &BTreeMap<String, u64>,
    now: Timestamp,
    slots: usize,
) -> Vec<(JobId, u32)> {
    let running = state.running().filter_map(|j| j.repository.clone());
    let mut taken: HashSet<_> = running.collect();
    let mut chosen = Vec::new();
    for job in state.queued() {
        if chosen.len() >= slots {
            break;
        }
        if job.pauses_until(now).is_some() {
            if let Some(repository) = job.repository.as_ref().filter(|_| job.keeps_its_turn(now)) {
                taken.insert(repository.clone());
            }
            continue;
        }
        if let Some(repository) = &job.repository
            && (held.contains(&**repository)
                || line.get(&**repository).is_some_and(|b| !job_goes_first(job.priority, job.place.seq, *b))
                || !taken.insert(repository.clone()))
        {
            continue;
        }
        chosen.push((job.id.clone(), job.attempt));
    }
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;
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
    fn startable_respects_running_job_and_pause() {
        let mut state = state(&[("a", Some("web"), 0), ("b", Some("web"), 0), ("c", None, 0)]);
        let mut apply = |seq, ms, operation| {
            let record = Record { at: Timestamp::from_millis(ms), actor: Actor::default(), operation };
            state.apply(seq, record).unwrap();
        };
        apply(4, 0, Operation::Claim { job: "a".parse().unwrap(), attempt: 1 });
        apply(5, 0, Operation::Claim { job: "c".parse().unwrap(), attempt: 1 });
        apply(
            6,
            0,
            Operation::Unclaim {
                job: "c".parse().unwrap(),
                claim: 5,
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
        apply(2, Operation::Claim { job: "a".parse().unwrap(), attempt: 1 });
        let not_before = Some(ahead.plus_millis(60_000));
        let (job, reason) = ("a".parse().unwrap(), String::new());
        apply(3, Operation::Unclaim { job, claim: 2, reason, not_before, failed_start: false });
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
            apply(3, Operation::Claim { job: "a".parse().unwrap(), attempt: 1 });
            let (job, reason) = ("a".parse().unwrap(), String::new());
            let not_before = Some(Timestamp::from_millis(100));
            apply(4, Operation::Unclaim { job, claim: 3, reason, not_before, failed_start });
            assert_eq!(names(&startable(&state, &none, &nobody, Timestamp::from_millis(99), 9)), early);
            assert_eq!(names(&startable(&state, &none, &nobody, Timestamp::from_millis(100), 9)), ["a"]);
        }
    }
}
