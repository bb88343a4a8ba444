//! Taking, refusing and giving back: flock, process and job.

use super::bench::{Bench, REPOSITORY, job};
use super::other::Other;
use recovery::durable::FileLock;
use recovery::locks::{
    JobLiveness, LockOutcome, LockRefused, LockState, LockVerdict, acquire_for_job, inspect,
};
use recovery::queue::{Claim, JobId};
use recovery::system::{ProcessIdentity, signal_process};
use std::time::Duration;

#[test]
fn a_lock_is_taken_refused_and_given_back() {
    let bench = Bench::new();
    assert!(inspect(&bench.dir, REPOSITORY, &|_, _| JobLiveness::Unknown).unwrap().is_none());
    let grant = bench.take().unwrap();
    assert_eq!((grant.token.get(), bench.metadata().token.get()), (1, 1));
    assert_eq!(bench.verdict(JobLiveness::Unknown), LockVerdict::Live);
    match bench.take() {
        Err(LockRefused::Held { by, .. }) => {
            assert_eq!(by.pid, Some(std::process::id()));
            assert_eq!(by.lock_id.as_ref(), Some(&grant.lock_id));
        }
        other => panic!("{other:?}"),
    }
    let first = grant.lock_id.clone();
    grant.release().unwrap();
    assert_eq!(bench.metadata().state, LockState::Released);
    assert_eq!(bench.verdict(JobLiveness::Unknown), LockVerdict::Free);
    let second = bench.take().unwrap();
    assert_eq!(second.token.get(), 2);
    assert_ne!(second.lock_id, first);
    second.release().unwrap();
}

#[test]
fn a_stopped_holder_is_live() {
    let bench = Bench::new();
    let mut other = Other::start(&bench, &["hold"]);
    other.hear("held");
    let process = ProcessIdentity::of(other.child.id()).unwrap();
    signal_process(process, rustix::process::Signal::STOP).unwrap();
    assert_eq!(bench.verdict(JobLiveness::Unknown), LockVerdict::Live);
    assert_eq!(bench.recover(JobLiveness::Unknown), Some(LockOutcome::Kept));
    assert!(matches!(bench.take(), Err(LockRefused::Held { .. })));
    other.kill();
}

#[test]
fn a_recorded_pid_that_is_another_process_by_now_is_gone() {
    let bench = Bench::new();
    drop(bench.take().unwrap());
    assert_eq!(bench.verdict(JobLiveness::Unknown), LockVerdict::Live, "dropped, but its process lives");
    bench.edit(|m| m["process"]["start_time"] = (m["process"]["start_time"].as_u64().unwrap() + 1).into());
    assert_eq!(bench.verdict(JobLiveness::Unknown), LockVerdict::Stale);
}

#[test]
fn what_could_not_be_ended_and_cannot_be_seen_keeps_the_lock_from_being_granted() {
    let bench = Bench::new();
    drop(bench.take().unwrap());
    bench.edit(|m| {
        m["process"]["start_time"] = (m["process"]["start_time"].as_u64().unwrap() + 1).into();
        m["is_left_unseen"] = true.into();
    });
    assert!(matches!(bench.verdict(JobLiveness::Unknown), LockVerdict::Unknown { .. }));
    assert!(matches!(bench.take(), Err(LockRefused::Unavailable { .. })));
    // The command itself is known, and gone.
    bench.edit(|m| m["command"] = serde_json::json!({"pid": 1, "start_time": u64::MAX}));
    assert_eq!(bench.verdict(JobLiveness::Unknown), LockVerdict::Stale);
}

#[test]
fn a_jobs_lock_goes_by_the_job() {
    let bench = Bench::new();
    let mut other = Other::start(&bench, &["hold-job", "build", "41"]);
    other.hear("held");
    assert_eq!(bench.verdict(JobLiveness::Over), LockVerdict::Live, "the flock counts for more");
    other.kill();
    let asked = std::cell::RefCell::new(Vec::new());
    let jobs = |id: &JobId, claim| {
        asked.borrow_mut().push((id.to_string(), claim));
        JobLiveness::Alive
    };
    assert_eq!(inspect(&bench.dir, REPOSITORY, &jobs).unwrap().unwrap().verdict, LockVerdict::Live);
    assert_eq!(*asked.borrow(), [("build".to_owned(), Claim::of_record(41))]);
    assert_eq!(bench.recover(JobLiveness::Alive), Some(LockOutcome::Kept));
    assert_eq!(bench.recover(JobLiveness::Unknown), Some(LockOutcome::Unavailable));
    assert!(matches!(bench.take(), Err(LockRefused::Unavailable { .. })));
    assert_eq!(bench.recover(JobLiveness::Over), Some(LockOutcome::Released));
    bench.take().unwrap().release().unwrap();
}

#[test]
fn a_jobs_next_attempt_takes_over_and_another_job_does_not() {
    let bench = Bench::new();
    drop(
        acquire_for_job(&bench.dir, REPOSITORY, &job("build"), 1, Claim::of_record(41), Duration::ZERO)
            .unwrap(),
    );
    let of_other =
        acquire_for_job(&bench.dir, REPOSITORY, &job("deploy"), 1, Claim::of_record(50), Duration::ZERO);
    assert!(matches!(of_other, Err(LockRefused::Unavailable { .. })), "{of_other:?}");
    let outdated =
        acquire_for_job(&bench.dir, REPOSITORY, &job("build"), 1, Claim::of_record(40), Duration::ZERO);
    assert!(matches!(outdated, Err(LockRefused::Unavailable { .. })), "{outdated:?}");
    let next =
        acquire_for_job(&bench.dir, REPOSITORY, &job("build"), 2, Claim::of_record(52), Duration::ZERO)
            .unwrap();
    assert!(next.took_over() && next.token.get() == 2);
    next.release().unwrap();
}

#[test]
fn the_flock_counts_for_more_than_the_metadata() {
    let bench = Bench::new();
    let paths = bench.dir.paths.lock(REPOSITORY).unwrap();
    let flock = FileLock::try_acquire(&bench.dir.disk, &paths.flock).unwrap();
    assert_eq!(
        bench.verdict(JobLiveness::Unknown),
        LockVerdict::LiveUnidentified,
        "metadata not yet written"
    );
    assert!(matches!(bench.take(), Err(LockRefused::Held { .. })));
    drop(flock);
    assert_eq!(bench.verdict(JobLiveness::Unknown), LockVerdict::Free);

    bench.take().unwrap().release().unwrap();
    let flock = FileLock::try_acquire(&bench.dir.disk, &paths.flock).unwrap();
    assert_eq!(bench.verdict(JobLiveness::Unknown), LockVerdict::LiveUnidentified, "released, not unlocked");
    assert_eq!(bench.recover(JobLiveness::Unknown), Some(LockOutcome::Kept));
    std::fs::write(&paths.metadata, b"").unwrap();
    assert_eq!(bench.verdict(JobLiveness::Unknown), LockVerdict::LiveUnidentified, "damaged, but held");
    drop(flock);
}
