//! The laboratory can fail: each fault that is switched on in the library is noticed.

#![allow(clippy::print_stdout)]

use std::path::Path;

use recovery::durable::mutation::Mutation;
use recovery_lab::operations::find;
use recovery_lab::{Limits, Orders, Player, Which, run_operation};

/// Which operation shows a fault.
fn operation_for(mutation: Mutation) -> &'static str {
    match mutation {
        Mutation::NoFolderSyncAfterRename | Mutation::AcknowledgeBeforeSync | Mutation::ForgetFailedSync => {
            "submit"
        }
        Mutation::NoSyncBeforeNextSegment => "submit-batch",
        Mutation::RemoveSegmentsBeforeSnapshot => "checkpoint",
        // Of the queue's log a recovery syncs more than it shows; nothing else syncs the audit trail.
        Mutation::ShowBeforeSync => "audit",
        Mutation::NoFolderSyncForNewFolder => "init-deep",
        Mutation::DropDamageWithoutQuarantine => "checkpoint-damaged",
        Mutation::RenameBeforeSync | Mutation::LockMetadataInPlace => "lock",
        Mutation::NoSyncOfManyFiles
        | Mutation::NoQuarantineOfTornTail
        | Mutation::KeepTornTail
        | Mutation::MarkerBeforeHistory => "recover",
        Mutation::TrustPidAlone => "recover-reused-pid",
        Mutation::IgnoreExitRecord => "attempt",
    }
}

/// One test: a fault is switched on for the whole process. That nothing is found without one is what
/// `images.rs` asserts, with the same operations.
#[test]
fn every_mutation_is_caught() {
    let player = Player::new(Path::new(env!("CARGO_BIN_EXE_recovery-lab")));
    let limits = Limits {
        stop_at_first: true,
        most_kills: 24,
        most_images: 400,
        most_after_kill: 12,
        ..Limits::bounded()
    };
    let mut missed = Vec::new();
    for &mutation in Mutation::ALL {
        let failing_syncs = mutation == Mutation::ForgetFailedSync;
        // The moment between a write and its sync is one of many.
        let kills = if mutation == Mutation::ShowBeforeSync { usize::MAX } else { 4 };
        let limits = Limits { failing_syncs, power_losses_after_kills: kills, ..limits.clone() };
        let orders = Orders { mutation: Some(mutation.name()), ..Orders::default() };
        let operation = find(operation_for(mutation)).unwrap();
        // An operation that does not even come to its end was disturbed, not examined.
        let report = run_operation(&player, operation, &orders, &limits, Which::All, &|_| {}).unwrap();
        match report.failures.first() {
            Some(failure) => println!("{}: {failure}", mutation.name()),
            None => missed.push(format!("{} ({} disks)", mutation.name(), report.images)),
        }
    }
    assert!(missed.is_empty(), "the laboratory did not notice: {missed:?}");
}
