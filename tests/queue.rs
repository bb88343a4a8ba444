//! The queue on disk, from outside: many writers, cuts, damage, checkpoints.
#![allow(clippy::disallowed_methods)]

use std::path::Path;

use crate::common::scratch;
use recovery::durable::Disk;
use recovery::queue::{
    Actor, Claim, JobId, JobSpec, JobStatus, Method, Operation, Queue, Submission, append,
};
use recovery::state::{Clock, StateDir};

fn state(root: &Path) -> StateDir {
    StateDir::open_or_create(root, Disk::real(), Clock::system()).unwrap()
}

fn actor() -> Actor {
    Actor { by: "test".to_owned(), why: None }
}

fn submit(name: &str) -> Operation {
    let spec = JobSpec { command: vec!["true".to_owned()], max_attempts: 3, ..JobSpec::default() };
    Operation::Submit(Submission { job: name.parse().unwrap(), priority: 0, repository: None, spec })
}

fn ids(queue: &Queue) -> Vec<String> {
    queue.state().queued().map(|j| j.id.to_string()).collect()
}

#[test]
fn what_was_submitted_is_there_in_order_after_reopening() {
    let folder = scratch();
    let dir = state(&folder.path().join("s"));
    let first = append(&dir, &actor(), &[submit("a"), submit("b")]).unwrap();
    let second = append(&dir, &actor(), &[submit("c")]).unwrap();
    assert_eq!((first, second), (vec![1, 2], vec![3]));
    let queue = Queue::open(&dir).unwrap();
    assert_eq!(ids(&queue), ["a", "b", "c"]);
    assert!(queue.replayed().is_clean());
    assert_eq!(queue.replayed().method, Method::Log);
}

#[test]
fn threads_append_without_losing_or_doubling() {
    let folder = scratch();
    let dir = state(&folder.path().join("s"));
    std::thread::scope(|scope| {
        for t in 0..16 {
            let dir = dir.clone();
            scope.spawn(move || {
                for n in 0..20 {
                    append(&dir, &actor(), &[submit(&format!("{t}-{n}"))]).unwrap();
                }
            });
        }
    });
    let queue = Queue::open(&dir).unwrap();
    assert_eq!(queue.state().jobs().len(), 320);
    assert_eq!(queue.state().last_seq(), 320);
    assert!(queue.replayed().is_clean());
}

#[test]
fn a_checkpoint_and_a_follower() {
    let folder = scratch();
    let dir = state(&folder.path().join("s"));
    append(&dir, &actor(), &[submit("a"), submit("b")]).unwrap();
    let mut follower = Queue::open(&dir).unwrap();
    let mut other = Queue::open(&dir).unwrap();
    for n in 0..4 {
        append(&dir, &actor(), &[submit(&format!("x{n}"))]).unwrap();
        assert!(other.checkpoint().unwrap().is_some());
    }
    assert!(follower.refresh().unwrap());
    assert_eq!(ids(&follower).len(), 6);
    let id: JobId = "a".parse().unwrap();
    let claim = Operation::Claim { job: id.clone(), attempt: 1, host: None };
    let (numbers, ()) = follower.transact(&actor(), |_| (vec![claim], ())).unwrap();
    assert_eq!(numbers, [7]);
    assert_eq!(follower.state().get(&id).unwrap().status, JobStatus::Running);
    let fresh = Queue::open(&dir).unwrap();
    assert_eq!(fresh.replayed().method, Method::Snapshot);
    assert_eq!(fresh.state().get(&id).unwrap().run_state().claim, Some(Claim::of_record(7)));
    assert!(fresh.replayed().is_clean(), "{:?}", fresh.replayed().log);
}
