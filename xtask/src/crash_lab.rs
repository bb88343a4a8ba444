//! `cargo xtask crash-lab`: runs the parts of the laboratory one after the other and prints their table.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Mutex, PoisonError};

use clap::Args;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use recovery_lab::operations::{self, Operation};
use recovery_lab::table::{Row, head, not_tried, render};
use recovery_lab::write_paths::Untried;
use recovery_lab::{Error, Limits, Orders, Player, Report, Seed, Step, Which, run_operation, try_kept};

use crate::{real_binary, shutdown};

/// What to run.
#[derive(Args)]
pub(crate) struct Arguments {
    /// A hundred thousand crash images and thousands of kills; it takes long. Without it the bounded
    /// part that the tests run too.
    #[arg(long)]
    full: bool,
    /// With --full: no limits for an operation, every crash image and kill point that there is. Many hours.
    #[arg(long, requires = "full")]
    every: bool,
    /// Only this part: see the table's first column, or `crash-images`.
    #[arg(long, value_name = "NAME")]
    only: Option<String>,
    /// Only this operation's crash images, or with `--only shutdown` its power losses.
    #[arg(long, value_name = "NAME")]
    operation: Option<String>,
    /// Only this one image: a folder in which a failure was kept; or, with --operation, the number that a
    /// failure names, which may be another image in the next recording.
    #[arg(long, value_name = "DIR|N")]
    image: Option<String>,
    /// Where images are kept on which something does not hold.
    #[arg(long, value_name = "DIR", default_value = "target/crash-lab")]
    keep: PathBuf,
    /// With a fault of the library switched on; see `recovery::durable::seeded_bug`.
    #[arg(long, value_name = "NAME")]
    mutation: Option<String>,
    /// What is random follows from it; without it another each time, which is printed.
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// How long to torture, in seconds [default: 60].
    #[arg(long, value_name = "N")]
    seconds: Option<u64>,
    /// Write the table to this file too, anew with each row.
    #[arg(long, value_name = "FILE")]
    table: Option<PathBuf>,
}

/// What a part is given.
pub(crate) struct Context<'a> {
    arguments: &'a Arguments,
    pub(crate) player: Player,
    pub(crate) bar: ProgressBar,
    seed: u64,
    rows: Mutex<Vec<Row>>,
}

impl Context<'_> {
    /// A row is finished: it is printed at once, and is in the table whatever becomes of the run.
    pub(crate) fn finished(&self, row: Row) {
        self.bar.suspend(|| say(&row.line()));
        let mut rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        rows.push(row);
        // What cannot be written now is reported at the end, when the whole table is written.
        let _ = self.arguments.table.as_ref().map(|path| write_table(path, &render(&rows)));
    }

    /// Whether everything is tried.
    pub(crate) fn is_full(&self) -> bool {
        self.arguments.full
    }

    /// Whether there are no limits for an operation.
    pub(crate) fn is_every(&self) -> bool {
        self.arguments.every
    }

    /// The only operation to try, if one was named, and the fault of the library that is turned on.
    pub(crate) fn operation_and_bug(&self) -> (Option<String>, Option<String>) {
        (self.arguments.operation.clone(), self.arguments.mutation.clone())
    }

    /// The seed from which all parts derive their random choices.
    pub(crate) fn seed(&self) -> u64 {
        self.seed
    }

    /// How long to torture.
    pub(crate) fn seconds(&self) -> u64 {
        self.arguments.seconds.unwrap_or(60)
    }
}

/// A part of the laboratory.
#[derive(Clone, Copy)]
pub(crate) struct Part {
    /// Its name for `--only`.
    pub(crate) name: &'static str,
    /// Reports each row when it is finished, and each failed condition when it is found.
    pub(crate) run: fn(&Context<'_>) -> Result<(), Error>,
}

/// All parts, in the order in which they run.
const PARTS: &[Part] =
    &[Part { name: "crash-images", run: crash_images }, Part { name: "shutdown", run: shutdown::shut_down }];
/// This part runs only on request: `crash-images` shows the same.
const WRITE_PATHS: Part = Part { name: "write-paths", run: recordings };

/// Runs the requested parts; returns success when nothing failed.
pub(crate) fn run(arguments: &Arguments) -> ExitCode {
    let outcome = match &arguments.image {
        Some(image) if image.parse::<usize>().is_err() => again(Path::new(image)),
        _ => run_parts(arguments),
    };
    outcome.unwrap_or_else(|e| {
        tell(&format!("the laboratory failed: {e}"));
        ExitCode::from(2)
    })
}

/// Tries an image again that was kept.
fn again(folder: &Path) -> Result<ExitCode, Error> {
    let again = try_kept(folder)?;
    say(&format!("{} ({}): {}", again.operation, again.moment, again.then));
    say(&format!("now: {}", again.now.as_deref().unwrap_or("it holds")));
    Ok(ExitCode::from(u8::from(again.now.is_some())))
}

fn run_parts(arguments: &Arguments) -> Result<ExitCode, Error> {
    let player = Player::new(&std::env::current_exe()?);
    let bar = ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::stderr());
    let style = "{elapsed_precise} {wide_bar} {human_pos}/{human_len} {msg}";
    bar.set_style(ProgressStyle::with_template(style)?);
    let seed = arguments.seed.unwrap_or_else(|| Seed::from_environment("RECOVERYCTL_LAB_SEED"));
    tell(&format!("--seed {seed} repeats this run"));
    let context = Context { arguments, player, bar, seed, rows: Mutex::default() };
    let of_operations = arguments.operation.is_some().then_some("crash-images");
    let only = arguments.only.as_deref().or(of_operations);
    say(&head());
    let asked_for = [WRITE_PATHS].into_iter().filter(|part| only == Some(part.name));
    let parts = PARTS.iter().chain(&real_binary::PARTS);
    let wanted = parts.filter(|part| only.is_none_or(|name| name == part.name)).copied();
    for part in asked_for.chain(wanted) {
        if let Err(e) = (part.run)(&context) {
            context.finished(Row::broken_off(part.name, &e));
        }
    }
    context.bar.finish_and_clear();
    let rows = context.rows.into_inner().unwrap_or_else(PoisonError::into_inner);
    if rows.is_empty() {
        return Err("there is no part or operation of that name".into());
    }
    say(&Row::sum(&rows).line());
    not_tried(&rows).iter().for_each(|line| say(&format!("\n{line}")));
    if let Some(path) = &arguments.table {
        write_table(path, &render(&rows))?;
    }
    if rows.iter().any(|row| row.broken_off.is_some()) {
        return Err("not everything could be tried".into());
    }
    Ok(ExitCode::from(u8::from(rows.iter().any(|row| row.failures > 0))))
}

fn crash_images(context: &Context<'_>) -> Result<(), Error> {
    let arguments = context.arguments;
    let wanted = |o: &&Operation| arguments.operation.as_deref().is_none_or(|name| name == o.name);
    let mut passed = BTreeSet::new();
    for operation in operations::ALL.iter().filter(wanted) {
        context.bar.set_message(operation.name);
        let limits = match (arguments.full, arguments.every) {
            (_, true) => Limits::every(context.seed()),
            (true, _) => Limits::full(context.seed()),
            _ => Limits::bounded_for(operation),
        };
        let limits = Limits { keep: Some(arguments.keep.clone()), ..limits };
        let number = arguments.image.as_ref().map(|number| number.parse()).transpose()?;
        let which = number.map_or(Which::All, Which::One);
        let orders = Orders { bug: arguments.mutation.clone(), ..Orders::default() };
        let progress = |step| match step {
            Step::Planned(disks) => context.bar.inc_length(disks as u64),
            Step::Tried => context.bar.inc(1),
        };
        match run_operation(&context.player, operation, &orders, &limits, which, &progress) {
            Ok(report) => {
                passed.extend(report.sites.iter().cloned());
                report.failures.iter().take(20).for_each(|f| context.bar.suspend(|| tell(&f.to_string())));
                context.finished(row(operation, &report));
            }
            Err(e) => context.finished(Row::broken_off(operation.name, &e)),
        }
    }
    if arguments.operation.is_none() {
        write_paths(context, &passed)?;
    }
    Ok(())
}

/// Runs only the recordings: checks that they pass every write path.
fn recordings(context: &Context<'_>) -> Result<(), Error> {
    let mut passed = BTreeSet::new();
    for operation in operations::ALL {
        context.bar.set_message(operation.name);
        let limits = Limits::recording_of(operation);
        let orders = Orders::default();
        passed
            .extend(run_operation(&context.player, operation, &orders, &limits, Which::All, &|_| {})?.sites);
    }
    write_paths(context, &passed)
}

fn write_paths(context: &Context<'_>, passed: &BTreeSet<String>) -> Result<(), Error> {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let Untried { untried, stale } = Untried::find(&repository, passed)?;
    let failures = (untried.len() + stale.len()) as u64;
    untried.iter().for_each(|path| tell(&format!("no operation takes this write path: {path}")));
    stale.iter().for_each(|excuse| tell(&format!("needs no excuse: {excuse}")));
    context.finished(Row { operation: "write paths".to_owned(), failures, ..Row::default() });
    Ok(())
}

fn row(operation: &Operation, report: &Report) -> Row {
    Row {
        operation: operation.name.to_owned(),
        effects: report.effects,
        images: report.images,
        faults: report.faults,
        failures: report.failures.len() as u64,
        ..Row::default()
    }
}

#[allow(clippy::disallowed_methods)] // A report for people, written over as often as it is wanted.
fn write_table(path: &Path, text: &str) -> std::io::Result<()> {
    std::fs::write(path, text)
}

#[allow(clippy::print_stdout)]
fn say(text: &str) {
    println!("{text}");
}

#[allow(clippy::print_stderr)]
pub(crate) fn tell(text: &str) {
    eprintln!("{text}");
}
