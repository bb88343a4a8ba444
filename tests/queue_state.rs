//! The one function that changes the queue: every operation in every status, and what always holds.
#![allow(clippy::disallowed_methods)]

use std::collections::HashMap;

use crate::common::scratch;
use proptest::prelude::*;
use recovery::durable::Disk;
use recovery::queue::{
    Actor, AfterCrash, AttemptOutcome, Claim, Counts, End, EndedBy, Job, JobId, JobSpec, JobStatus,
    Operation, QueueRefusal, QueueState, Record, SnapshotFile, Submission,
};
use recovery::state::Timestamp;

fn at() -> Timestamp {
    "2026-03-01T09:30:00.000Z".parse().unwrap()
}

fn id(name: &str) -> JobId {
    name.parse().unwrap()
}

fn submission(name: &str, priority: i32, repository: Option<&str>) -> Submission {
    let spec = JobSpec { command: vec!["true".to_owned()], max_attempts: 3, ..JobSpec::default() };
    Submission { job: id(name), priority, repository: repository.map(str::to_owned), spec }
}

fn record(operation: Operation) -> Record {
    Record { at: at(), actor: Actor { by: "test".to_owned(), why: None }, operation }
}

fn end(name: &str, attempt: u32, claim: u64, outcome: AttemptOutcome) -> End {
    let exit_code = (outcome == AttemptOutcome::Exited).then_some(0);
    End {
        job: id(name),
        attempt,
        claim: Claim::of_record(claim),
        outcome,
        exit_code,
        signal: None,
        ended_at: None,
        reason: None,
        after_crash: None,
        started_at: None,
        ended_by: None,
        by_itself: false,
        evidence: Vec::new(),
    }
}

/// A queue with one job `j`, in a status; its claim, where it is running, is 2.
fn with(status: JobStatus) -> QueueState {
    let mut state = QueueState::default();
    let mut seq = 0;
    let mut apply = |operation| {
        seq += 1;
        state.apply(seq, record(operation)).unwrap();
    };
    apply(Operation::Submit(submission("j", 0, Some("repo"))));
    let exit = |outcome, exit_code| End { exit_code, ..end("j", 1, 2, outcome) };
    let ended = match status {
        JobStatus::Queued => None,
        JobStatus::Cancelled => {
            apply(Operation::Cancel { job: id("j") });
            None
        }
        JobStatus::Running => Some(None),
        JobStatus::Succeeded => Some(Some(exit(AttemptOutcome::Exited, Some(0)))),
        JobStatus::Failed => Some(Some(exit(AttemptOutcome::Exited, Some(3)))),
        JobStatus::TimedOut => Some(Some(exit(AttemptOutcome::TimedOut, None))),
        JobStatus::Crashed => Some(Some(exit(AttemptOutcome::Crashed, None))),
    };
    if let Some(ended) = ended {
        apply(Operation::Claim { job: id("j"), attempt: 1, host: None });
        if let Some(ended) = ended {
            apply(Operation::End(ended));
        }
    }
    assert_eq!(state.get(&id("j")).unwrap().status, status);
    state
}

fn operations(job: &str) -> Vec<(&'static str, Operation)> {
    let with_after =
        |after| Operation::End(End { after_crash: Some(after), ..end(job, 1, 2, AttemptOutcome::Crashed) });
    let mut other = QueueState::default();
    other.apply(1, record(Operation::Submit(submission(job, 0, None)))).unwrap();
    let document = Box::new(other.get(&id(job)).unwrap().to_document());
    let unclaim = |claim| Operation::Unclaim {
        job: id(job),
        claim,
        reason: "not now".to_owned(),
        not_before: None,
        failed_start: false,
    };
    vec![
        ("submit", Operation::Submit(submission(job, 0, None))),
        ("batch", Operation::SubmitBatch { jobs: vec![submission("k", 0, None), submission(job, 0, None)] }),
        ("claim", Operation::Claim { job: id(job), attempt: 1, host: None }),
        ("claim 2nd", Operation::Claim { job: id(job), attempt: 2, host: None }),
        ("found", Operation::Found { job: id(job), attempt: 1, claim: Claim::of_record(2) }),
        ("unclaim", unclaim(Claim::of_record(2))),
        ("unclaim old", unclaim(Claim::of_record(1))),
        ("end", Operation::End(end(job, 1, 2, AttemptOutcome::Exited))),
        ("end old", Operation::End(end(job, 1, 1, AttemptOutcome::Exited))),
        ("end 2nd", Operation::End(end(job, 2, 9, AttemptOutcome::Exited))),
        ("crash", with_after(AfterCrash::Hold)),
        ("crash fail", with_after(AfterCrash::Fail)),
        ("crash again", with_after(AfterCrash::Requeue { not_before: at() })),
        ("cancel", Operation::Cancel { job: id(job) }),
        ("resume", Operation::Resume { job: id(job), fresh: true, attempt: None }),
        ("resume at", Operation::Resume { job: id(job), fresh: false, attempt: Some(1) }),
        ("rebuilt", Operation::Rebuilt { job: id(job), from: vec!["queue log".to_owned()] }),
        ("restore", Operation::Restore { document, keeps_place: false }),
        ("remove", Operation::Remove { jobs: vec![id(job)] }),
    ]
}

/// Returns the result for `j`: its status and attempt, or the refusal.
fn outcome(state: &mut QueueState, operation: Operation) -> String {
    let seq = state.last_seq() + 1;
    let refusal = match state.apply(seq, record(operation)) {
        Ok(()) => {
            return state.get(&id("j")).map_or("gone".to_owned(), |j| format!("{} {}", j.status, j.attempt));
        }
        Err(refusal) => refusal,
    };
    match refusal {
        QueueRefusal::Duplicate(_) => "duplicate",
        QueueRefusal::NoSuchJob(_) => "no such job",
        QueueRefusal::Illegal { .. } => "illegal",
        QueueRefusal::OldClaim { .. } => "old claim",
        QueueRefusal::RepositoryHeld { .. } => "held",
        _ => "?",
    }
    .to_owned()
}

#[test]
fn every_operation_in_every_status() {
    let illegal = "illegal";
    // queued, running, succeeded, failed, timed out, crashed, cancelled, no such job
    let over = |to: [&'static str; 5]| to;
    let same = |what: &'static str| over([what; 5]);
    let resumed = ["illegal", "queued 2", "queued 2", "queued 2", "queued 1"];
    let resumed_at_1 = ["illegal", "queued 1", "queued 1", "queued 1", "queued 1"];
    let unmoved = ["succeeded 1", "failed 1", "timed_out 1", "crashed 1", "cancelled 1"];
    let table: [(&str, &str, &str, [&str; 5], &str); 19] = [
        ("submit", "duplicate", "duplicate", same("duplicate"), "queued 1"),
        ("batch", "duplicate", "duplicate", same("duplicate"), "queued 1"),
        ("claim", "running 1", illegal, same(illegal), "no such job"),
        ("claim 2nd", illegal, illegal, same(illegal), "no such job"),
        ("found", "running 1", illegal, same(illegal), "no such job"),
        ("unclaim", illegal, "queued 1", same(illegal), "no such job"),
        ("unclaim old", illegal, "old claim", same(illegal), "no such job"),
        // A queued job whose claim was lost has ended all the same, whatever the claim's number was.
        ("end", "succeeded 1", "succeeded 1", same(illegal), "no such job"),
        ("end old", "succeeded 1", "old claim", same(illegal), "no such job"),
        ("end 2nd", illegal, "old claim", same(illegal), "no such job"),
        ("crash", "crashed 1", "crashed 1", same(illegal), "no such job"),
        ("crash fail", "failed 1", "failed 1", same(illegal), "no such job"),
        ("crash again", "queued 2", "queued 2", same(illegal), "no such job"),
        ("cancel", "cancelled 1", "running 1", same(illegal), "no such job"),
        ("resume", illegal, illegal, resumed, "no such job"),
        ("resume at", illegal, illegal, resumed_at_1, "no such job"),
        ("rebuilt", "queued 1", "running 1", unmoved, "no such job"),
        ("restore", "duplicate", "duplicate", same("duplicate"), "queued 1"),
        ("remove", "queued 1", "running 1", same("gone"), "gone"),
    ];
    for (row, (name, queued, running, over, nobody)) in table.into_iter().enumerate() {
        let expected = [&[queued, running], over.as_slice()].concat();
        for (status, expected) in JobStatus::ALL.iter().copied().zip(expected) {
            let mut state = with(status);
            let before = documents(&state);
            let totals = state.totals();
            let (known_as, operation) = operations("j").swap_remove(row);
            assert_eq!(known_as, name);
            let seq = state.last_seq();
            let got = outcome(&mut state, operation);
            assert_eq!(got, expected, "{name} of a job that is {status}");
            assert_eq!(state.last_seq(), seq + 1);
            if !got.contains(|c: char| c.is_ascii_digit()) && got != "gone" {
                assert_eq!(
                    (documents(&state), state.totals()),
                    (before, totals),
                    "a refusal changes nothing"
                );
            }
            check(&state);
        }
        let mut nothing = QueueState::default();
        assert_eq!(outcome(&mut nothing, operations("j").swap_remove(row).1), nobody, "{name}");
        check(&nothing);
    }
}

#[test]
fn a_repository_has_one_running_job() {
    let mut state = with(JobStatus::Running);
    state.apply(3, record(Operation::Submit(submission("k", 0, Some("repo"))))).unwrap();
    let claim = || record(Operation::Claim { job: id("k"), attempt: 1, host: None });
    let refused = state.apply(4, claim()).unwrap_err();
    assert!(
        matches!(&refused, QueueRefusal::RepositoryHeld { holder, .. } if *holder == id("j")),
        "{refused}"
    );
    assert_eq!(state.holder_of("repo").unwrap().id, id("j"));
    // That an attempt whose claim was lost has ended is certain, also when another job has the repository.
    let mut lost = with(JobStatus::Running);
    lost.apply(3, record(Operation::Submit(submission("k", 0, Some("repo"))))).unwrap();
    lost.apply(5, record(Operation::End(end("k", 1, 4, AttemptOutcome::Exited)))).unwrap();
    assert_eq!(lost.get(&id("k")).unwrap().status, JobStatus::Succeeded);
    assert_eq!(lost.holder_of("repo").unwrap().id, id("j"));
    check(&lost);
    state.apply(5, record(Operation::End(end("j", 1, 2, AttemptOutcome::Exited)))).unwrap();
    state.apply(6, claim()).unwrap();
    assert_eq!(state.holder_of("repo").unwrap().id, id("k"));
}

#[test]
fn a_cancelled_job_does_not_run_again() {
    let cancel = || record(Operation::Cancel { job: id("j") });
    for crash in [false, true] {
        let mut state = with(JobStatus::Running);
        state.apply(3, cancel()).unwrap();
        assert!(state.get(&id("j")).unwrap().run_state().cancel_requested);
        let operation = if crash {
            let after_crash = Some(AfterCrash::Requeue { not_before: at() });
            Operation::End(End { after_crash, ..end("j", 1, 2, AttemptOutcome::Crashed) })
        } else {
            Operation::Unclaim {
                job: id("j"),
                claim: Claim::of_record(2),
                reason: "not started".to_owned(),
                not_before: None,
                failed_start: true,
            }
        };
        state.apply(4, record(operation)).unwrap();
        assert_eq!(state.get(&id("j")).unwrap().status, JobStatus::Cancelled);
        check(&state);
    }
}

/// Requeued, cancelled before it began, resumed: the attempt that never began keeps its number.
#[test]
fn no_attempt_number_is_skipped() {
    let mut state = with(JobStatus::Running);
    let after_crash = Some(AfterCrash::Requeue { not_before: at() });
    state
        .apply(3, record(Operation::End(End { after_crash, ..end("j", 1, 2, AttemptOutcome::Crashed) })))
        .unwrap();
    state.apply(4, record(Operation::Cancel { job: id("j") })).unwrap();
    let job = state.get(&id("j")).unwrap();
    assert_eq!((job.status, job.attempt, job.next_attempt()), (JobStatus::Cancelled, 2, 2));
    let resume = |attempt| record(Operation::Resume { job: id("j"), fresh: false, attempt });
    for skipped in [1, 4] {
        assert!(
            matches!(state.apply(5, resume(Some(skipped))), Err(QueueRefusal::Illegal { .. })),
            "{skipped}"
        );
    }
    state.apply(6, resume(Some(2))).unwrap();
    state.apply(7, record(Operation::Claim { job: id("j"), attempt: 2, host: None })).unwrap();
    state.apply(8, record(Operation::End(end("j", 2, 7, AttemptOutcome::Signaled)))).unwrap();
    let job = state.get(&id("j")).unwrap();
    assert_eq!((job.status, job.next_attempt()), (JobStatus::Failed, 3));
    let attempts: Vec<u32> = job.run_state().attempts.iter().map(|a| a.attempt).collect();
    assert_eq!(attempts, [1, 2]);
    // A log from before numbers were written goes on as it went then.
    state.apply(9, resume(None)).unwrap();
    assert_eq!(state.get(&id("j")).unwrap().attempt, 3);
    check(&state);
}

#[test]
fn a_restored_job_keeps_its_place_where_that_is_known() {
    let document = |job: &str, seq: u64| {
        let mut other = QueueState::default();
        other.apply(seq, record(Operation::Submit(submission(job, 0, None)))).unwrap();
        Box::new(other.get(&id(job)).unwrap().to_document())
    };
    let mut state = QueueState::default();
    state.apply(1, record(Operation::Submit(submission("a", 0, None)))).unwrap();
    state.apply(3, record(Operation::Submit(submission("c", 0, None)))).unwrap();
    let restore = |document, keeps_place| record(Operation::Restore { document, keeps_place });
    state.apply(4, restore(document("b", 2), true)).unwrap();
    state.apply(5, restore(document("d", 2), false)).unwrap();
    assert_eq!(ids(state.queued()), [id("a"), id("b"), id("c"), id("d")]);
    // Numbers that were given twice, after a log was lost, lose no job.
    state.apply(6, restore(document("aa", 1), true)).unwrap();
    assert_eq!(ids(state.queued()), [id("a"), id("aa"), id("b"), id("c"), id("d")]);
    state.apply(7, record(Operation::Claim { job: id("a"), attempt: 1, host: None })).unwrap();
    assert_eq!(ids(state.queued()), [id("aa"), id("b"), id("c"), id("d")]);
    check(&state);
}

fn documents(state: &QueueState) -> Vec<String> {
    state.jobs().map(|j| serde_json::to_string(&j.to_document()).unwrap()).collect()
}

fn ids<'a>(jobs: impl Iterator<Item = &'a Job>) -> Vec<JobId> {
    jobs.map(|j| j.id.clone()).collect()
}

/// What holds for every queue.
fn check(state: &QueueState) {
    let mut counts = Counts::default();
    for job in state.jobs() {
        let count = match job.status {
            JobStatus::Queued => &mut counts.queued,
            JobStatus::Running => &mut counts.running,
            JobStatus::Succeeded => &mut counts.succeeded,
            JobStatus::Failed => &mut counts.failed,
            JobStatus::TimedOut => &mut counts.timed_out,
            JobStatus::Crashed => &mut counts.crashed,
            JobStatus::Cancelled => &mut counts.cancelled,
        };
        *count += 1;
        assert_eq!(job.run_state().claim.is_some(), job.status == JobStatus::Running, "{}", job.id);
        assert_eq!(state.get(&job.id).unwrap().place, job.place);
    }
    assert_eq!(state.counts(), counts);
    let mut waiting: Vec<&Job> = state.jobs().filter(|j| j.status == JobStatus::Queued).collect();
    waiting.sort_by_key(|j| (std::cmp::Reverse(j.priority), j.place));
    assert_eq!(ids(state.queued()), ids(waiting.into_iter()));
    let mut running = ids(state.running());
    let mut expected = ids(state.jobs().filter(|j| j.status == JobStatus::Running));
    running.sort();
    expected.sort();
    assert_eq!(running, expected);
    let mut holders: HashMap<&str, &JobId> = HashMap::new();
    for job in state.running() {
        if let Some(repository) = &job.repository {
            let other = holders.insert(repository, &job.id);
            assert!(other.is_none(), "{repository} is held by {other:?} and {}", job.id);
        }
    }
}

const NAMES: [&str; 6] = ["a", "b", "c", "d", "0192f0c1-2345-7abc-8def-0123456789ab", "é\"\\ %"];

fn one_operation() -> impl Strategy<Value = Operation> {
    let name = || prop::sample::select(&NAMES[..]);
    let job = move || name().prop_map(id);
    let entering = move || {
        (name(), -1i32..2, prop::sample::select(&[None, Some("r"), Some("s")][..]))
            .prop_map(|(name, priority, repository)| submission(name, priority, repository))
    };
    let outcome = prop::sample::select(
        &[
            AttemptOutcome::Exited,
            AttemptOutcome::Signaled,
            AttemptOutcome::TimedOut,
            AttemptOutcome::Crashed,
        ][..],
    );
    let requeue = AfterCrash::Requeue { not_before: at() };
    let after = [None, Some(AfterCrash::Hold), Some(AfterCrash::Fail), Some(requeue)];
    let after = prop::sample::select(after.to_vec());
    // Claims are 0 here: which number they need is known when the operation is applied.
    let ends =
        (job(), outcome, after, 1u32..4, 0i32..2).prop_map(|(job, outcome, after_crash, attempt, code)| {
            let exit_code = (outcome == AttemptOutcome::Exited).then_some(code);
            Operation::End(End { job, attempt, exit_code, after_crash, ..end("x", 1, 0, outcome) })
        });
    prop_oneof![
        3 => entering().prop_map(Operation::Submit),
        1 => prop::collection::vec(entering(), 1..4).prop_map(|jobs| Operation::SubmitBatch { jobs }),
        5 => (job(), 1u32..4).prop_map(|(job, attempt)| Operation::Claim { job, attempt, host: None }),
        1 => (job(), 1u32..4).prop_map(|(job, attempt)| Operation::Found { job, attempt, claim: Claim::of_record(0) }),
        1 => job().prop_map(|job| {
            Operation::Unclaim { job, claim: Claim::of_record(0), reason: ",\"spec\":{".to_owned(), not_before: Some(at()), failed_start: true }
        }),
        4 => ends,
        1 => job().prop_map(|job| Operation::Cancel { job }),
        2 => (job(), any::<bool>()).prop_map(|(job, fresh)| Operation::Resume { job, fresh, attempt: None }),
        1 => prop::collection::vec(job(), 0..3).prop_map(|jobs| Operation::Remove { jobs }),
        1 => (name(), -1i32..2).prop_map(|(name, priority)| {
            let mut other = QueueState::default();
            other.apply(7, record(Operation::Submit(submission(name, priority, Some("r"))))).unwrap();
            Operation::Restore { document: Box::new(other.get(&id(name)).unwrap().to_document()), keeps_place: false }
        }),
    ]
}

/// Names the job's present claim where the operation needs one, mostly.
fn aim(operation: Operation, state: &QueueState, seq: u64) -> Operation {
    let claim =
        |job: &JobId| state.get(job).and_then(|j| j.run_state().claim).unwrap_or(Claim::of_record(seq));
    let attempt = |job: &JobId, n: u32| state.get(job).map_or(n, |j| if n == 3 { 3 } else { j.attempt });
    match operation {
        Operation::Claim { job, attempt: n, host } => {
            Operation::Claim { attempt: attempt(&job, n), job, host }
        }
        Operation::Found { job, attempt: n, .. } => {
            Operation::Found { attempt: attempt(&job, n), claim: Claim::of_record(seq), job }
        }
        Operation::Unclaim { job, reason, not_before, failed_start, .. } => {
            Operation::Unclaim { claim: claim(&job), job, reason, not_before, failed_start }
        }
        Operation::End(e) => {
            let (claim, attempt) = (claim(&e.job), attempt(&e.job, e.attempt));
            Operation::End(End { claim, attempt, ..e })
        }
        other => other,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]

    #[test]
    fn any_history_keeps_the_counts_and_the_order_and_reads_back(
        history in prop::collection::vec(one_operation(), 1..60),
        cut in 0usize..60,
    ) {
        let folder = scratch();
        // One is asked for the order all the time, one is not before the end; one reads every line.
        let (mut asked, mut silent, mut reading) =
            (QueueState::default(), QueueState::default(), QueueState::default());
        let mut snapshot = None;
        for (n, operation) in history.into_iter().enumerate() {
            let seq = n as u64 + 1;
            let record = record(aim(operation, &asked, seq));
            let line = record.to_line().unwrap();
            let first = asked.apply(seq, record.clone());
            prop_assert_eq!(&silent.apply(seq, record), &first);
            prop_assert_eq!(&reading.apply(seq, Record::from_line(&line).unwrap()), &first);
            check(&asked);
            if n == cut {
                snapshot = Some(SnapshotFile::write(&Disk::real(), folder.path(), "id", &asked, at()).unwrap());
            } else if let Some(snapshot) = &snapshot && n == cut + 1 {
                // Half way: what the snapshot says, and the same operations on it.
                reading = snapshot.read("id").unwrap().1;
                reading.apply(seq, Record::from_line(&line).unwrap()).ok();
            }
        }
        check(&silent);
        check(&reading);
        let last = SnapshotFile::write(&Disk::real(), folder.path(), "id", &silent, at()).unwrap();
        let (header, read) = last.read("id").unwrap();
        check(&read);
        prop_assert_eq!(header.jobs, asked.jobs().len() as u64);
        for other in [&silent, &reading, &read] {
            prop_assert_eq!(documents(other), documents(&asked));
            prop_assert_eq!(ids(other.queued()), ids(asked.queued()));
            prop_assert_eq!((other.totals(), other.last_seq()), (asked.totals(), asked.last_seq()));
        }
    }
}

fn ended_by() -> EndedBy {
    EndedBy {
        at: at(),
        by: "uid:0 SIGTERM from process 1 (systemd)".to_owned(),
        signal: Some(15),
        pid: Some(1),
        uid: Some(0),
    }
}

/// Exit status 0 included: half-done work that was saved in time is not done.
#[test]
fn interrupted_job_follows_its_crash_policy_whatever_its_exit_status() {
    let requeue = AfterCrash::Requeue { not_before: at() };
    let cases = [
        (AfterCrash::Hold, JobStatus::Crashed, 1),
        (requeue, JobStatus::Queued, 2),
        (AfterCrash::Fail, JobStatus::Failed, 1),
    ];
    for (then, status, attempt) in cases {
        let mut state = with(JobStatus::Running);
        let end = End {
            exit_code: Some(0),
            after_crash: Some(then),
            ended_by: Some(ended_by()),
            reason: Some("interrupted by a test".to_owned()),
            ..end("j", 1, 2, AttemptOutcome::Interrupted)
        };
        state.apply(3, record(Operation::End(end))).unwrap();
        let job = state.get(&id("j")).unwrap();
        let run = job.run_state();
        assert_eq!((job.status, job.attempt, run.reason.as_deref()), (status, attempt, Some("interrupted")));
        assert_eq!(run.ended_by, Some(ended_by()));
        assert_eq!(run.attempts[0].reason.as_deref(), Some("interrupted by a test"));
        check(&state);
    }
}

#[test]
fn cancel_recorded_during_an_interruption_wins() {
    let mut state = with(JobStatus::Running);
    state.apply(3, record(Operation::Cancel { job: id("j") })).unwrap();
    let after_crash = Some(AfterCrash::Requeue { not_before: at() });
    let end = End { after_crash, ended_by: Some(ended_by()), ..end("j", 1, 2, AttemptOutcome::Interrupted) };
    state.apply(4, record(Operation::End(end))).unwrap();
    assert_eq!(state.get(&id("j")).unwrap().status, JobStatus::Cancelled);
}

#[test]
fn cancel_that_came_after_the_commands_own_end_says_so() {
    let ended = |by_itself, outcome, exit_code| {
        let mut state = with(JobStatus::Running);
        state.apply(3, record(Operation::Cancel { job: id("j") })).unwrap();
        let end = End { by_itself, exit_code, ..end("j", 1, 2, outcome) };
        state.apply(4, record(Operation::End(end))).unwrap();
        let job = state.get(&id("j")).unwrap();
        (job.status, job.run_state().reason.clone(), job.run_state().ended_by.clone().map(|ended| ended.by))
    };
    let too_late = Some("it ended by itself before the cancel reached it".to_owned());
    assert_eq!(ended(true, AttemptOutcome::Exited, Some(0)), (JobStatus::Succeeded, too_late.clone(), None));
    assert_eq!(ended(true, AttemptOutcome::Exited, Some(3)), (JobStatus::Failed, too_late, None));
    // Ended because of it; and in a log of a version that did not tell.
    let by = Some("test".to_owned());
    assert_eq!(ended(false, AttemptOutcome::Exited, Some(0)), (JobStatus::Cancelled, None, by.clone()));
    assert_eq!(ended(true, AttemptOutcome::Crashed, None), (JobStatus::Cancelled, None, by));
}
