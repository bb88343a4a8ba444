//! A bounded part of the crash images of every operation; `cargo xtask crash-lab --full` tries all.

use std::collections::BTreeSet;
use std::path::Path;

use recovery_lab::operations::ALL;
use recovery_lab::write_paths::Untried;
use recovery_lab::{Limits, Orders, Player, Which, run_operation};

/// Operations with a fault that is known and not mended yet: `docs/reliability.md`, "Open". They are tried, and
/// what fails is told; it does not fail the test.
const OPEN: &[&str] = &["attempts", "daemon", "daemon-alone", "checkpoint", "checkpoint-damaged"];

/// Files with write paths that no operation takes yet: `docs/reliability.md`, "Open".
const NOT_YET: &[&str] = &[
    "src/audit/trail.rs",
    "src/durable/log/mend.rs",
    "src/durable/quarantine.rs",
    "src/cleanup/",
    "src/durable/tree/",
    "src/orphans/",
    "src/system/git_work",
    "src/webhooks/",
    "src/jobs/prune/remove.rs",
    "src/jobs/record.rs",
    "src/jobs/recover/assume.rs",
    "src/jobs/recover/settle.rs",
    "src/queue/submit.rs",
    "src/recovery/rehearse.rs",
    "src/startup/layout_1.rs",
];

/// Past what the test harness catches.
fn tell(line: &str) {
    use std::io::Write;
    let _ = writeln!(std::io::stderr(), "{line}");
}

#[test]
fn nothing_is_lost_and_every_write_path_is_tried() {
    let player = Player::new(Path::new(env!("CARGO_BIN_EXE_recovery-lab")));
    let (mut failures, mut passed) = (Vec::new(), BTreeSet::new());
    for operation in ALL {
        let limits = Limits::bounded_for(operation);
        let report =
            run_operation(&player, operation, &Orders::default(), &limits, Which::All, &|_| {}).unwrap();
        assert!(report.images > 0, "{} made no disk", operation.name);
        let found = report.failures.iter().map(ToString::to_string);
        if OPEN.contains(&operation.name) {
            found.for_each(|failure| tell(&format!("OPEN FAULT {failure}")));
        } else {
            failures.extend(found);
        }
        passed.extend(report.sites);
    }
    assert!(failures.is_empty(), "{} failures:\n{}", failures.len(), failures.join("\n"));
    every_write_path_is_tried(&passed);
}

/// A new write path without its crash test must fail a test: this one.
fn every_write_path_is_tried(passed: &BTreeSet<String>) {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let Untried { mut untried, stale } = Untried::find(repository, passed).unwrap();
    untried.retain(|site| {
        let is_open = NOT_YET.iter().any(|file| site.starts_with(file));
        if is_open {
            tell(&format!("NOT TRIED YET {site}"));
        }
        !is_open
    });
    assert!(
        untried.is_empty(),
        "no operation of the laboratory takes these write paths; see ARCHITECTURE.md, \"The crash \
         laboratory\":\n{}",
        untried.join("\n")
    );
    assert!(!passed.is_empty(), "nothing was passed");
    // Told only: whether a recovery came by such a place depends on the disks that were chosen.
    stale.iter().for_each(|excuse| tell(&format!("NEEDS NO EXCUSE {excuse}")));
}
