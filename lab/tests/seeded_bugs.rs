//! The laboratory can fail: each fault that is switched on in the library is noticed.

#![allow(clippy::print_stdout)]

use std::path::Path;

use recovery::durable::seeded_bug::SeededBug;
use recovery_lab::operations::find;
use recovery_lab::{Limits, Orders, Player, Which, run_operation};

/// Which operation shows a fault.
fn operation_for(bug: SeededBug) -> &'static str {
    match bug {
        SeededBug::NoFolderSyncAfterRename
        | SeededBug::AcknowledgeBeforeSync
        | SeededBug::ForgetFailedSync => "submit",
        SeededBug::NoSyncBeforeNextSegment => "submit-batch",
        SeededBug::RemoveSegmentsBeforeSnapshot => "checkpoint",
        // A recovery syncs more of the queue's log than it shows; nothing else syncs the audit trail.
        SeededBug::ShowBeforeSync => "audit",
        SeededBug::NoFolderSyncForNewFolder => "init-deep",
        SeededBug::DropDamageWithoutQuarantine => "checkpoint-damaged",
        SeededBug::RenameBeforeSync | SeededBug::LockMetadataInPlace => "lock",
        SeededBug::NoQuarantineOfTornTail | SeededBug::KeepTornTail | SeededBug::MarkerBeforeHistory => {
            "recover"
        }
        SeededBug::TrustPidAlone => "recover-reused-pid",
        SeededBug::IgnoreExitRecord => "attempt",
    }
}

/// One test: a fault is switched on for the whole process. That nothing is found without one is what
/// `images.rs` asserts, with the same operations.
#[test]
fn every_seeded_bug_is_caught() {
    let player = Player::new(Path::new(env!("CARGO_BIN_EXE_recovery-lab")));
    let limits = Limits {
        stop_at_first: true,
        most_kills: 24,
        most_images: 400,
        most_after_kill: 12,
        ..Limits::bounded()
    };
    let mut missed = Vec::new();
    for &bug in SeededBug::ALL {
        let failing_syncs = bug == SeededBug::ForgetFailedSync;
        // The moment between a write and its sync is one of many.
        let kills = if bug == SeededBug::ShowBeforeSync { usize::MAX } else { 4 };
        let limits = Limits { failing_syncs, power_losses_after_kills: kills, ..limits.clone() };
        let orders = Orders { bug: Some(bug.name()), ..Orders::default() };
        let operation = find(operation_for(bug)).unwrap();
        // An operation that does not reach its end was disturbed, not examined.
        let report = run_operation(&player, operation, &orders, &limits, Which::All, &|_| {}).unwrap();
        match report.failures.first() {
            Some(failure) => println!("{}: {failure}", bug.name()),
            None => missed.push(format!("{} ({} disks)", bug.name(), report.images)),
        }
    }
    assert!(missed.is_empty(), "the laboratory did not notice: {missed:?}");
}
