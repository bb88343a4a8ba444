//! The lock of an attempt is held, or what stands in the place of its records cannot be read.

use recovery::jobs::{Liveness, Reconciliation, Verdict};
use recovery::queue::{Claim, JobStatus};
use recovery::system::ProcessIdentity;

use super::{World, said};

#[test]
fn held_by_the_supervisor_of_the_sentinel_is_supervised() {
    let mut world = World::new();
    let job = world.claimed("a");
    let paths = world.sentinel(&job, |s| s.supervisor = ProcessIdentity::this());
    let _lock = world.lock(&job);
    let judgement = world.judge(&job);
    assert_eq!(judgement.verdict, Verdict::Supervised, "{judgement:?}");
    assert!(judgement.lock_held && said(&judgement, "sentinel.lock is held"));
    for age in [120_000, 600_000, 400_000_000] {
        world.heartbeat(&paths, age);
        assert_eq!(world.judge(&job).verdict, Verdict::Stalled, "{age}");
    }
    world.heartbeat(&paths, -5_000);
    let judgement = world.judge(&job);
    assert_eq!(judgement.verdict, Verdict::Stalled);
    assert!(said(&judgement, "clock skew"), "{judgement:?}");
    assert!(matches!(world.reattach()[0].reconciliation, Reconciliation::Reattached));
}

#[test]
fn held_by_anybody_else_is_alive_and_unidentified() {
    let mut world = World::new();
    let job = world.claimed("a");
    let _lock = world.lock(&job);
    assert_eq!(world.judge(&job).verdict, Verdict::Unidentified, "no sentinel");
    world.sentinel(&job, |_| {});
    assert_eq!(world.judge(&job).verdict, Verdict::Unidentified, "its supervisor is gone");
    world.sentinel(&job, |s| {
        s.supervisor = ProcessIdentity::this();
        s.claim = Claim::of_record(s.claim.seq() + 1);
    });
    assert_eq!(world.judge(&job).verdict, Verdict::Unidentified, "the sentinel of another claim");
    let paths = world.sentinel(&job, |s| s.supervisor = ProcessIdentity::this());
    std::fs::write(paths.sentinel(), "").unwrap();
    let judgement = world.judge(&job);
    assert_eq!(
        (&judgement.verdict, &judgement.damaged[..]),
        (&Verdict::Unidentified, &["sentinel.json"][..])
    );
    assert_eq!(world.reattach()[0].quarantined.len(), 1);
    assert!(paths.sentinel().exists(), "its supervisor may still write it");
}

#[test]
fn folders_in_the_place_of_both_records_are_damage_that_proves_nothing() {
    let mut world = World::new();
    let job = world.claimed("a");
    let paths = world.paths(&job);
    std::fs::create_dir(paths.sentinel()).unwrap();
    std::fs::create_dir(paths.command()).unwrap();
    assert_eq!(world.judge(&job).liveness(), Liveness::Unknown);
    assert!(matches!(world.reattach()[0].reconciliation, Reconciliation::Unknown { .. }));
    assert_eq!(world.job("a").status, JobStatus::Running);
}
