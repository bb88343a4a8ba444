//! The parts that try the real binary: killed anywhere, tortured, starved, its files damaged.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use recovery_lab::bytes::{self, Extent};
use recovery_lab::faults;
use recovery_lab::kill::{self, Points};
use recovery_lab::table::Row;
use recovery_lab::torture::{Ordeal, torture};
use recovery_lab::{Error, Tally};

use crate::crash_lab::{Context, Part, tell};

/// The parts, in the order in which they run.
pub(crate) const PARTS: [Part; 4] = [
    Part { name: "kill", run: killed },
    Part { name: "torture", run: tortured },
    Part { name: "faults", run: starved },
    Part { name: "bytes", run: damaged },
];

/// How many kill points of each operation, without `--full` and with it.
const KILL_POINTS: [usize; 2] = [10, 250];
/// How many damages of each file.
const DAMAGES: [usize; 2] = [12, 100];

fn killed(context: &Context<'_>) -> Result<(), Error> {
    let (binary, seed) = (binary()?, context.seed());
    let points = match context.is_every() {
        true => Points::All,
        false => Points::Sample { seed, points: KILL_POINTS[usize::from(context.is_full())] },
    };
    let scenarios = kill::scenarios();
    let next = AtomicUsize::new(0);
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                while let Some(scenario) = scenarios.get(next.fetch_add(1, Ordering::SeqCst)) {
                    context.bar.set_message(scenario.name);
                    let planned = AtomicUsize::new(0);
                    let progress = |_, total: usize| {
                        if planned.swap(total, Ordering::SeqCst) == 0 {
                            context.bar.inc_length(total as u64);
                        }
                        context.bar.inc(1);
                    };
                    match kill::try_scenario(&binary, scenario, points, &progress) {
                        Ok(tally) => context.finished(row(context, &tally)),
                        Err(e) => context.finished(Row::broken_off(format!("kill: {}", scenario.name), &e)),
                    }
                }
            });
        }
    });
    Ok(())
}

fn tortured(context: &Context<'_>) -> Result<(), Error> {
    let length = Duration::from_secs(context.seconds());
    let ordeal = Ordeal { seed: context.seed(), length, actors: 6 };
    context.bar.set_message("torture");
    context.bar.inc_length(length.as_secs());
    let begun = context.bar.position();
    let progress = |over: Duration| context.bar.set_position(begun + over.as_secs());
    context.finished(row(context, &torture(&binary()?, ordeal, &progress)?));
    Ok(())
}

fn starved(context: &Context<'_>) -> Result<(), Error> {
    let binary = binary()?;
    let step = match (context.is_every(), context.is_full()) {
        (true, _) => 1,
        (_, true) => 4,
        _ => 20,
    };
    context.bar.set_message("faults");
    match faults::disk::try_disks(&binary, &["disk-not-writable", "job-record-not-written"])? {
        Some(tally) => context.finished(row(context, &tally)),
        None => context.finished(Row {
            operation: "disk: full, read-only".to_owned(),
            skipped: Some("a file system cannot be mounted (it needs root)".to_owned()),
            ..Row::default()
        }),
    }
    let limits = faults::limits::try_limits(&binary, if context.is_full() { 1 } else { 5 })?;
    context.finished(row(context, &limits));
    context.finished(row(context, &faults::clocks::try_clocks(&binary)?));
    let all = faults::effects::try_effects(&binary, context.seed(), step)?;
    all.iter().for_each(|tally| context.finished(row(context, tally)));
    Ok(())
}

fn damaged(context: &Context<'_>) -> Result<(), Error> {
    let (binary, seed) = (binary()?, context.seed());
    let extent = match context.is_every() {
        true => Extent::All { seed },
        false => Extent::Sample { seed, damages: DAMAGES[usize::from(context.is_full())] },
    };
    context.bar.set_message("bytes");
    let mut all = bytes::try_files(&binary, extent, &|| context.bar.tick())?;
    all.push(bytes::folders::try_folders(&binary, "no-state-file")?);
    all.extend(bytes::parsers::try_parsers(seed, if context.is_full() { 300_000 } else { 3_000 }));
    all.iter().for_each(|tally| context.finished(row(context, tally)));
    Ok(())
}

pub(crate) fn row(context: &Context<'_>, tally: &Tally) -> Row {
    tally.failures.iter().take(20).for_each(|failure| context.bar.suspend(|| tell(failure)));
    Row {
        operation: tally.operation.clone(),
        effects: tally.effects,
        images: tally.images,
        kill_points: tally.kills,
        faults: tally.faults,
        failures: tally.failures.len() as u64,
        ..Row::default()
    }
}

/// Builds the binary in the form that users have.
fn binary() -> Result<PathBuf, Error> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().ok_or("there is no workspace")?;
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut build = Command::new(cargo);
    build.args(["build", "--release", "--quiet", "--bin", "recoveryctl"]).current_dir(root);
    if !build.status()?.success() {
        return Err("recoveryctl cannot be built".into());
    }
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    Ok(target.join("release/recoveryctl"))
}
