//! What a recovery keeps and gives back.

use super::bench::{Bench, job, request};
use super::other::Other;
use recovery::locks::{
    JobLiveness, LockOutcome, LockState, LockVerdict, acquire_for_job, recover_all, try_acquire,
};
use recovery::queue::{Claim, JobId};
use std::time::Duration;

#[test]
fn a_killed_holder_leaves_a_stale_lock_that_is_taken_over_or_given_back() {
    let bench = Bench::new();
    let mut other = Other::start(&bench, &["hold"]);
    other.hear("held");
    other.kill();
    assert_eq!(bench.verdict(JobLiveness::Unknown), LockVerdict::Stale);
    let grant = bench.take().unwrap();
    assert!(grant.took_over());
    assert_eq!(grant.token.get(), 2);
    grant.release().unwrap();

    let mut other = Other::start(&bench, &["hold"]);
    other.hear("held");
    other.kill();
    assert_eq!(bench.recover(JobLiveness::Unknown), Some(LockOutcome::Released));
    let metadata = bench.metadata();
    assert_eq!((metadata.state, metadata.recovered, metadata.token.get()), (LockState::Released, true, 3));
    assert!(metadata.evidence.iter().any(|e| e.contains("is gone")), "{:?}", metadata.evidence);
    assert_eq!(bench.recover(JobLiveness::Unknown), None, "the second recovery finds nothing to do");
    assert_eq!(bench.take().unwrap().token.get(), 4);
}

#[test]
fn a_recovery_that_was_cut_short_is_repeated() {
    let bench = Bench::new();
    let mut other = Other::start(&bench, &["hold"]);
    other.hear("held");
    other.kill();
    bench.edit(|m| m["state"] = "recovering".into());
    assert_eq!(bench.verdict(JobLiveness::Unknown), LockVerdict::Stale);
    assert_eq!(bench.recover(JobLiveness::Unknown), Some(LockOutcome::Released));
}

/// A recovery of many locks keeps those of the living and gives back those of the dead, and reports each with
/// its evidence.
#[test]
fn a_recovery_tells_the_living_from_the_dead_among_many() {
    let bench = Bench::new();
    let jobs = |id: &JobId, _| match id.to_string().as_str() {
        "alive" => JobLiveness::Alive,
        _ => JobLiveness::Over,
    };
    for i in 0..200 {
        let name = format!("repository-{i:03}");
        if i % 4 == 0 {
            try_acquire(&bench.dir, &name, &request(&jobs)).unwrap().release().unwrap();
        } else {
            let id = job(if i % 4 == 1 { "alive" } else { "dead" });
            drop(acquire_for_job(&bench.dir, &name, &id, 1, Claim::of_record(1), Duration::ZERO).unwrap());
        }
        if i % 4 == 3 {
            // As if a process that is gone had taken it.
            let path = bench.dir.paths.lock(&name).unwrap().metadata;
            let mut value: serde_json::Value =
                serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
            value["holder"] = serde_json::json!({"kind": "process"});
            let start = value["process"]["start_time"].as_u64().unwrap();
            value["process"]["start_time"] = (start + 1).into();
            std::fs::write(&path, serde_json::to_vec_pretty(&value).unwrap()).unwrap();
        }
    }
    // Told to stop, before the first and after the eighth: what was begun is whole, the rest is as it was.
    let none = recover_all(&bench.dir, &jobs, &mut |_, _| false).unwrap();
    assert_eq!((none.free, none.locks.len()), (0, 0));
    let part = recover_all(&bench.dir, &jobs, &mut |done, _| done < 8).unwrap();
    assert_eq!((part.free, part.kept, part.released, part.unavailable), (2, 2, 4, 0));
    let mut steps = Vec::new();
    let recovered = recover_all(&bench.dir, &jobs, &mut |done, total| {
        steps.push((done, total));
        true
    })
    .unwrap();
    assert_eq!((recovered.free, recovered.kept, recovered.released, recovered.unavailable), (54, 50, 96, 0));
    assert!(recovered.locks.iter().all(|lock| !lock.evidence.is_empty()));
    assert_eq!((steps.first(), steps.last()), (Some(&(0, 200)), Some(&(200, 200))));
    let again = recover_all(&bench.dir, &jobs, &mut |_, _| true).unwrap();
    assert_eq!((again.free, again.kept, again.released), (150, 50, 0));
}
