//! Real file systems shut down while operations write to them; `cargo xtask crash-lab --only shutdown --full`
//! does it at every effect of every operation.

use std::io::Write;
use std::path::Path;

use recovery_lab::shutdown::{Extent, Kind, SAMPLE, Tried, try_file_system};
use recovery_lab::{Player, Tally};

/// Returns the rows; `None` where the test cannot run, which is printed past the test harness's capture.
fn shut_down(kind: Kind, extent: &Extent) -> Option<Vec<Tally>> {
    let player = Player::new(Path::new(env!("CARGO_BIN_EXE_recovery-lab")));
    match try_file_system(&player, kind, extent, &|_, _| {}, &|_| {}).unwrap() {
        Tried::Rows(rows) => Some(rows),
        Tried::Skipped(why) => {
            let must_run = std::env::var_os("RECOVERYCTL_TESTS_MUST_RUN").is_some_and(|set| !set.is_empty());
            assert!(
                !must_run,
                "RECOVERYCTL_TESTS_MUST_RUN is set, and {} cannot be tried: {why}",
                kind.name()
            );
            let _ = writeln!(std::io::stderr(), "SKIPPED power losses of {}: {why}", kind.name());
            None
        }
    }
}

fn nothing_is_lost_on(kind: Kind) {
    let operations = SAMPLE.map(str::to_owned).to_vec();
    let extent = Extent { moments: 4, operations, bug: None };
    let Some(rows) = shut_down(kind, &extent) else { return };
    assert_eq!(rows.len(), SAMPLE.len(), "{rows:?}");
    for row in rows {
        row.assert_none_failed();
        assert!(row.images >= 3, "{row:?}");
    }
}

#[test]
fn an_ext4_that_loses_power_loses_nothing_acknowledged() {
    nothing_is_lost_on(Kind::Ext4);
}

#[test]
fn an_xfs_that_loses_power_loses_nothing_acknowledged() {
    nothing_is_lost_on(Kind::Xfs);
}

/// The test can fail: what is acknowledged before its sync is lost.
#[test]
fn an_early_acknowledgement_is_noticed() {
    let bug = Some("AcknowledgeBeforeSync".to_owned());
    let extent = Extent { moments: u64::MAX, operations: vec!["submit".to_owned()], bug };
    let Some(rows) = shut_down(Kind::Ext4, &extent) else { return };
    assert!(!rows[0].failures.is_empty(), "{rows:?}");
    let is_lost = |failure: &String| failure.contains("was acknowledged and is not there");
    assert!(rows[0].failures.iter().any(is_lost), "{rows:?}");
}
