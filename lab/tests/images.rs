//! A bounded part of the crash images of every operation; `cargo xtask crash-lab --full` tries all.

use std::collections::BTreeSet;
use std::path::Path;

use recovery_lab::operations::{ALL, find};
use recovery_lab::write_paths::Untried;
use recovery_lab::{Limits, Orders, Player, Which, run_operation};

#[test]
fn nothing_is_lost_and_every_write_path_is_tried() {
    let player = Player::new(Path::new(env!("CARGO_BIN_EXE_recovery-lab")));
    let (mut failures, mut passed) = (Vec::new(), BTreeSet::new());
    for operation in ALL {
        let keep = Some(Path::new(env!("CARGO_TARGET_TMPDIR")).join("crash-lab"));
        let limits = Limits { keep, ..Limits::bounded_for(operation) };
        let report =
            run_operation(&player, operation, &Orders::default(), &limits, Which::All, &|_| {}).unwrap();
        assert!(report.images > 0, "{} made no disk", operation.name);
        failures.extend(report.failures.iter().map(ToString::to_string));
        passed.extend(report.sites);
    }
    assert!(failures.is_empty(), "{} failures:\n{}", failures.len(), failures.join("\n"));
    every_write_path_is_tried(&passed);
}

/// A cancel whose sync fails leaves the job's command running. Recovery would find that job alive, and rightly:
/// the player of an operation ends what it leaves, for on the disks that follow nobody lives.
#[test]
fn what_an_operation_leaves_running_does_not_live_on_its_disks() {
    let player = Player::new(Path::new(env!("CARGO_BIN_EXE_recovery-lab")));
    let limits = Limits {
        failing_syncs: true,
        most_after_failed_sync: 30,
        chains: 0,
        power_losses_after_kills: 0,
        ..Limits::bounded()
    };
    let operation = find("cancel-orphan").unwrap();
    let report = run_operation(&player, operation, &Orders::default(), &limits, Which::All, &|_| {}).unwrap();
    assert!(report.faults >= 4, "the cancel's sync did not fail: {report:?}");
    let failures: Vec<String> = report.failures.iter().map(ToString::to_string).collect();
    assert!(failures.is_empty(), "{} failures:\n{}", failures.len(), failures.join("\n"));
}

/// A new write path without its crash test must fail a test: this one.
fn every_write_path_is_tried(passed: &BTreeSet<String>) {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let Untried { untried, stale } = Untried::find(repository, passed).unwrap();
    assert!(
        untried.is_empty(),
        "no operation of the laboratory takes these write paths; see docs/internals.md, \"The crash \
         laboratory\":\n{}",
        untried.join("\n")
    );
    assert!(!passed.is_empty(), "nothing was passed");
    assert!(stale.is_empty(), "these write paths need no excuse any more:\n{}", stale.join("\n"));
}
