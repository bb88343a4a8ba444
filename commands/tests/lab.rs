//! The crash laboratory's samples of the real binary; `cargo xtask crash-lab --full` runs all of it.
//!
//! `RECOVERYCTL_LAB_SEED=N` repeats a sample, `RECOVERYCTL_LAB_POINTS=N` (or `all`) takes so many kill points
//! of each operation, `RECOVERYCTL_LAB_ONLY=NAME` one operation.

use std::path::{Path, PathBuf};
use std::time::Duration;

use recovery_lab::bytes::{self, Extent};
use recovery_lab::kill::{self, Points, Scenario};
use recovery_lab::torture::{Ordeal, torture};
use recovery_lab::{Seed, Tally, faults};

use crate::common;

/// The binary that is tried.
fn binary() -> PathBuf {
    let other = std::env::var_os("RECOVERYCTL_LAB_BINARY").map(PathBuf::from);
    other.unwrap_or_else(|| Path::new(env!("CARGO_BIN_EXE_recoveryctl")).to_owned())
}

/// A seed that is printed and can be given.
#[allow(clippy::print_stderr)]
fn seed() -> u64 {
    let seed = Seed::from_environment("RECOVERYCTL_LAB_SEED");
    eprintln!("RECOVERYCTL_LAB_SEED={seed} repeats this run");
    seed
}

fn points(usual: usize) -> Points {
    match std::env::var("RECOVERYCTL_LAB_POINTS").as_deref() {
        Ok("all") => Points::All,
        Ok(number) => Points::Sample { seed: seed(), points: number.parse().unwrap() },
        Err(_) => Points::Sample { seed: seed(), points: usual },
    }
}

#[allow(clippy::print_stderr)]
fn kill_all(which: impl Fn(&Scenario) -> bool, usual: usize) {
    let only = std::env::var("RECOVERYCTL_LAB_ONLY").ok();
    let points = points(usual);
    for scenario in kill::scenarios().into_iter().filter(|s| which(s)) {
        if only.as_ref().is_some_and(|only| only != scenario.name) {
            continue;
        }
        let tally = kill::try_scenario(&binary(), &scenario, points, &|_, _| {}).unwrap();
        eprintln!("{}: {} calls, {} kills", tally.operation, tally.effects, tally.kills);
        tally.assert_none_failed();
        assert!(tally.kills > 0 && tally.effects > 50, "{tally:?}");
    }
}

fn is_long(scenario: &Scenario) -> bool {
    matches!(scenario.name, "recover" | "supervise" | "daemon" | "import" | "lock")
}

#[test]
fn commands_killed_at_any_system_call_lose_nothing() {
    kill_all(|s| !is_long(s), 5);
}

#[test]
fn recoveries_supervisors_and_daemons_killed_at_any_system_call_lose_nothing() {
    kill_all(is_long, 5);
}

#[test]
fn a_full_and_a_read_only_disk_cost_nothing() {
    match faults::disk::try_disks(&binary(), &["disk-not-writable", "job-record-not-written"]).unwrap() {
        Some(tally) => tally.assert_none_failed(),
        None => common::skipped("a file system cannot be mounted (it needs root)"),
    }
}

#[test]
fn few_open_files_and_small_files_cost_nothing() {
    faults::limits::try_limits(&binary(), 5).unwrap().assert_none_failed();
}

#[test]
fn bad_bytes_cost_no_more_than_themselves() {
    let extent = match std::env::var("RECOVERYCTL_LAB_DAMAGES").as_deref() {
        Ok("all") => Extent::All { seed: seed() },
        Ok(number) => Extent::Sample { seed: seed(), damages: number.parse().unwrap() },
        Err(_) => Extent::Sample { seed: seed(), damages: 12 },
    };
    let mut rows = bytes::try_files(&binary(), extent, &|| ()).unwrap();
    rows.extend(bytes::parsers::try_parsers(seed(), 3_000));
    let mut all = Tally::new("bytes");
    rows.into_iter().for_each(|row| all.failures.extend(row.failures));
    all.assert_none_failed();
    assert!(bytes::parsers::most_memory() < 1 << 30, "{} bytes", bytes::parsers::most_memory());
}

/// A folder with such a name could be neither read nor replaced: reports and recoveries failed on it for
/// ever.
#[test]
fn a_folder_in_place_of_any_state_file_is_put_away() {
    let rows = bytes::folders::try_folders(&binary(), "no-state-file").unwrap();
    rows.assert_none_failed();
    assert!(rows.faults > 10, "{rows:?}");
}

/// `RECOVERYCTL_TORTURE_SECONDS=N` tortures longer.
#[test]
#[allow(clippy::print_stderr)]
fn what_was_acknowledged_survives_torture() {
    let seconds = std::env::var("RECOVERYCTL_TORTURE_SECONDS").ok().map_or(8, |text| text.parse().unwrap());
    let ordeal = Ordeal { seed: seed(), length: Duration::from_secs(seconds), actors: 5 };
    let tally = torture(&binary(), ordeal, &|_| ()).unwrap();
    eprintln!("{} processes, {} kills", tally.faults, tally.kills);
    tally.assert_none_failed();
    assert!(tally.kills > seconds && tally.faults > 2 * seconds, "{tally:?}");
}

#[test]
fn whatever_effect_is_refused_nothing_acknowledged_is_lost() {
    let stride = std::env::var("RECOVERYCTL_LAB_STRIDE").ok().map_or(40, |text| text.parse().unwrap());
    let mut all = Tally::new("effects");
    for row in faults::effects::try_effects(&binary(), seed(), stride).unwrap() {
        assert!(row.effects > 3, "{row:?}");
        all.failures.extend(row.failures.iter().map(|f| format!("{}: {f}", row.operation)));
    }
    all.assert_none_failed();
}

#[test]
fn no_clock_reboot_or_host_changes_a_verdict_wrongly() {
    faults::clocks::try_clocks(&binary()).unwrap().assert_none_failed();
}
