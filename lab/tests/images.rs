//! A bounded part of the crash images of every operation; `cargo xtask crash-lab --full` tries all.

use std::collections::BTreeSet;
use std::path::Path;

use recovery_lab::operations::ALL;
use recovery_lab::write_paths::{Site, of_the_library};
use recovery_lab::{Limits, Orders, Player, Which, run_operation};

/// Places that no operation of the laboratory can pass, each with the reason. One that is passed, or is
/// not in the source any more, must go from here.
const EXCUSED: &[(&str, &str, &str)] = &[];

#[test]
fn nothing_is_lost_and_every_write_path_is_tried() {
    let player = Player::new(Path::new(env!("CARGO_BIN_EXE_recovery-lab")));
    let (mut failures, mut passed) = (Vec::new(), BTreeSet::new());
    for operation in ALL {
        let limits = Limits::bounded();
        let report =
            run_operation(&player, operation, &Orders::default(), &limits, Which::All, &|_| {}).unwrap();
        assert!(report.images > 0, "{} made no disk", operation.name);
        failures.extend(report.failures.iter().map(ToString::to_string));
        passed.extend(report.sites);
    }
    assert!(failures.is_empty(), "{} failures:\n{}", failures.len(), failures.join("\n"));
    every_write_path_is_tried(&passed);
}

/// A new write path without its crash test must fail a test: this one.
fn every_write_path_is_tried(passed: &BTreeSet<String>) {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let sites = of_the_library(repository).unwrap();
    assert!(sites.len() > 50, "the source was not read: {sites:?}");
    let is_excused =
        |site: &Site| EXCUSED.iter().any(|(file, text, _)| site.file == *file && site.text.contains(text));
    let is_passed = |site: &Site| passed.contains(&format!("{}:{}", site.file, site.line));
    let untried: Vec<String> =
        sites.iter().filter(|s| !is_passed(s) && !is_excused(s)).map(ToString::to_string).collect();
    assert!(
        untried.is_empty(),
        "no operation of the laboratory takes these write paths; see ARCHITECTURE.md, \"The crash \
         laboratory\":\n{}",
        untried.join("\n")
    );
    let stale: Vec<_> = EXCUSED
        .iter()
        .filter(|(file, text, _)| {
            !sites.iter().any(|s| s.file == *file && s.text.contains(text) && !is_passed(s))
        })
        .collect();
    assert!(stale.is_empty(), "these need no excuse: {stale:?}");
}
