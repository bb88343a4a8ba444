//! A state directory whose `state.json` is gone gets its old id back, and with it its queue.
#![allow(clippy::disallowed_methods)]

use recovery::durable::Disk;
use recovery::queue::{self, Actor, JobId, JobSpec, Operation, Queue, Submission};
use recovery::state::{Clock, StateDir, StateError};

fn submission(name: &str) -> Operation {
    let spec = JobSpec { command: vec!["true".to_owned()], ..JobSpec::default() };
    let job = name.parse::<JobId>().unwrap();
    Operation::Submit(Submission { job, priority: 0, repository: None, spec })
}

#[test]
fn the_queue_survives_the_loss_of_state_json() {
    let temporary = tempfile::tempdir().unwrap();
    let root = temporary.path().join("state");
    let dir = StateDir::open_or_create(&root, Disk::real(), Clock::system()).unwrap();
    queue::append(&dir, &Actor::default(), &[submission("one"), submission("two")]).unwrap();
    std::fs::remove_file(dir.paths.identity()).unwrap();

    let refused = StateDir::open_or_create(&root, Disk::real(), Clock::system());
    assert!(matches!(refused, Err(StateError::IdentityLost { .. })));
    let (mended, repair) = StateDir::open_for_repair(&root, Disk::real(), Clock::system()).unwrap();
    assert_eq!(mended.identity.state_id, dir.identity.state_id);
    assert!(repair.unwrap().source.unwrap().starts_with(dir.paths.queue_log()));
    let queue = Queue::open(&mended).unwrap();
    let jobs: Vec<_> = queue.state().jobs().map(|job| job.id.to_string()).collect();
    assert_eq!(jobs, ["one", "two"]);
}
