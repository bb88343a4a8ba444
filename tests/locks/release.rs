//! Giving a lock back in the holder's place.

use super::bench::{Bench, until};
use super::other::Other;
use recovery::locks::{
    Effective, JobLiveness, LOCK_ID_VARIABLE, LockRefused, LockState, LockVerdict, ReleaseRefused,
};
use recovery::system::{end_process, marked_processes};

#[test]
fn release_needs_the_right_id_and_a_dead_owner_or_force() {
    let bench = Bench::new();
    assert!(matches!(bench.release(None, true), Err(ReleaseRefused::NotHeld { .. })));
    let mut other = Other::start(&bench, &["hold"]);
    let id = other.hear("held").split(' ').next().unwrap().to_owned();
    assert!(matches!(bench.release(None, false), Err(ReleaseRefused::HeldByLiveOwner { .. })));
    match bench.release(Some("someone-elses"), true) {
        Err(ReleaseRefused::WrongId { held, .. }) => assert_eq!(held, id),
        other => panic!("{other:?}"),
    }
    assert_eq!(bench.metadata().state, LockState::Held);

    let released = bench.release(Some(&id), true).unwrap();
    assert_eq!(released.effective, Effective::WhenTheFlockIsFree);
    assert!(released.forced && !released.breaks.is_empty());
    assert_eq!(bench.metadata().state, LockState::Released);
    match bench.take() {
        Err(LockRefused::Held { by, .. }) => assert_eq!(by.lock_id, Some(id)),
        other => panic!("the flock is still held: {other:?}"),
    }
    drop(other.child.stdin.take()); // It gives back itself; the note stays.
    assert!(other.child.wait().unwrap().success());
    let note = bench.metadata().released_by.unwrap();
    assert!(note.forced && note.by == "uid:0 tester" && note.why.as_deref() == Some("test"));
    assert!(matches!(bench.release(None, false), Err(ReleaseRefused::NotHeld { .. })));
    assert_eq!(bench.take().unwrap().token.get(), 2);
}

#[test]
fn forced_release_takes_effect_when_what_the_holder_left_behind_has_gone() {
    let bench = Bench::new();
    let started = bench.file("started");
    let script = format!("echo x > '{}'; exec sleep 600", started.display());
    let other = Other::start(&bench, &["run", "sh", "-c", &script]);
    until("the command runs", || started.exists());
    let mark = format!("{LOCK_ID_VARIABLE}={}", bench.metadata().lock_id);
    other.kill();
    let released = bench.release(None, true).unwrap();
    assert_eq!(released.effective, Effective::WhenTheFlockIsFree);
    assert!(bench.take().is_err(), "the command has the descriptor still, as with flock(1)");
    let (left, _) = marked_processes(&[&mark], None);
    assert!(!left.is_empty());
    for process in left {
        end_process(process, 5_000).unwrap();
    }
    assert_eq!(bench.take().unwrap().token.get(), 2);
}

#[test]
fn a_stale_lock_is_released_without_force() {
    let bench = Bench::new();
    let mut other = Other::start(&bench, &["hold"]);
    other.hear("held");
    other.kill();
    let released = bench.release(None, false).unwrap();
    assert!(!released.forced && released.breaks.is_empty());
    assert_eq!(bench.verdict(JobLiveness::Unknown), LockVerdict::Free);
}
