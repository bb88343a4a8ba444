//! The crash laboratory's samples: the whole of it runs with `cargo xtask crash-lab --full`.

use std::path::Path;

use recovery_lab::kill::{self, Points};
use recovery_lab::{Seed, Tally};

const BINARY: &str = env!("CARGO_BIN_EXE_recoveryctl");

/// Killed at random system calls; all of them are in the full run.
#[test]
fn killed_at_any_system_call_nothing_is_lost() {
    let seed = Seed::from_environment("RECOVERYCTL_LAB_SEED");
    eprintln!("RECOVERYCTL_LAB_SEED={seed} repeats this");
    let points = Points::Sample { seed, points: std::env::var("P").ok().and_then(|p|p.parse().ok()).unwrap_or(3) };
    let only = std::env::var("S").ok();
    for scenario in kill::scenarios().into_iter().filter(|s| only.as_ref().is_none_or(|o| o == s.name)) {
        let began = std::time::Instant::now();
        let tally: Tally = kill::try_scenario(Path::new(BINARY), &scenario, points, &|_, _| {}).unwrap();
        eprintln!("{} {} points {:?}", scenario.name, tally.kills, began.elapsed());
        for f in &tally.failures { eprintln!("  {f}"); }
    }
}
