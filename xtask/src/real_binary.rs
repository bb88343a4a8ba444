//! The parts that try the real binary: killed anywhere, tortured, starved, its files damaged.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use recovery_lab::bytes::{self, Extent};
use recovery_lab::faults;
use recovery_lab::kill::{self, Points};
use recovery_lab::table::Row;
use recovery_lab::torture::{Ordeal, torture};
use recovery_lab::{Error, Seed, Tally};

use crate::crash_lab::{Context, Part, tell};

/// In the order in which they run.
pub(crate) const PARTS: [Part; 4] = [
    Part { name: "kill", run: killed },
    Part { name: "torture", run: tortured },
    Part { name: "faults", run: starved },
    Part { name: "bytes", run: damaged },
];

/// How many kill points of each operation, without `--full`.
const KILL_POINTS: usize = 10;

fn killed(context: &Context<'_>) -> Result<Vec<Row>, Error> {
    let (binary, seed) = (binary()?, seed(context));
    let points = if context.is_full() { Points::All } else { Points::Sample { seed, points: KILL_POINTS } };
    let scenarios = kill::scenarios();
    let (next, rows) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                while let Some((number, scenario)) = {
                    let number = next.fetch_add(1, Ordering::SeqCst);
                    scenarios.get(number).map(|s| (number, s))
                } {
                    context.bar.set_message(scenario.name);
                    let planned = AtomicUsize::new(0);
                    let progress = |_, total: usize| {
                        if planned.swap(total, Ordering::SeqCst) == 0 {
                            context.bar.inc_length(total as u64);
                        }
                        context.bar.inc(1);
                    };
                    let tally = kill::try_scenario(&binary, scenario, points, &progress);
                    let mut rows = rows.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                    rows.push((number, tally));
                }
            });
        }
    });
    let mut rows = rows.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    rows.sort_by_key(|(number, _)| *number);
    rows.into_iter().map(|(_, tally)| Ok(row(context, &tally?))).collect()
}

fn tortured(context: &Context<'_>) -> Result<Vec<Row>, Error> {
    let length = Duration::from_secs(context.seconds());
    let ordeal = Ordeal { seed: seed(context), length, actors: 6 };
    context.bar.set_message("torture");
    context.bar.inc_length(length.as_secs());
    let begun = context.bar.position();
    let progress = |over: Duration| context.bar.set_position(begun + over.as_secs());
    Ok(vec![row(context, &torture(&binary()?, ordeal, &progress)?)])
}

fn starved(context: &Context<'_>) -> Result<Vec<Row>, Error> {
    let (binary, full) = (binary()?, context.is_full());
    context.bar.set_message("faults");
    let mut rows = Vec::new();
    match faults::disk::try_disks(&binary, &["disk-not-writable", "job-record-not-written"])? {
        Some(tally) => rows.push(row(context, &tally)),
        None => rows.push(Row {
            operation: "disk: full, read-only".to_owned(),
            skipped: Some("a file system cannot be mounted (it needs root)".to_owned()),
            ..Row::default()
        }),
    }
    rows.push(row(context, &faults::limits::try_limits(&binary, if full { 1 } else { 5 })?));
    rows.push(row(context, &faults::clocks::try_clocks(&binary)?));
    let all = faults::effects::try_effects(&binary, seed(context), if full { 1 } else { 20 })?;
    rows.extend(all.iter().map(|tally| row(context, tally)));
    Ok(rows)
}

fn damaged(context: &Context<'_>) -> Result<Vec<Row>, Error> {
    let (binary, seed) = (binary()?, seed(context));
    let extent = match context.is_full() {
        true => Extent::All { seed },
        false => Extent::Sample { seed, damages: 12 },
    };
    context.bar.set_message("bytes");
    let mut all = bytes::try_files(&binary, extent, &|| context.bar.tick())?;
    all.push(bytes::folders::try_folders(&binary, "no-state-file")?);
    all.extend(bytes::parsers::try_parsers(seed, if context.is_full() { 300_000 } else { 3_000 }));
    Ok(all.iter().map(|tally| row(context, tally)).collect())
}

fn seed(context: &Context<'_>) -> u64 {
    let seed = context.seed().unwrap_or_else(|| Seed::from_environment("RECOVERYCTL_LAB_SEED"));
    context.bar.suspend(|| tell(&format!("--seed {seed} repeats this part")));
    seed
}

fn row(context: &Context<'_>, tally: &Tally) -> Row {
    tally.failures.iter().take(20).for_each(|failure| context.bar.suspend(|| tell(failure)));
    Row {
        operation: tally.operation.clone(),
        effects: tally.effects,
        images: tally.images,
        kill_points: tally.kills,
        faults: tally.faults,
        failures: tally.failures.len() as u64,
        skipped: None,
    }
}

/// Builds the binary as users have it.
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
