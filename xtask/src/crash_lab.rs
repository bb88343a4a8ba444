//! `cargo xtask crash-lab`: runs the parts of the laboratory one after the other and prints their table.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use recovery_lab::operations::{self, Operation};
use recovery_lab::table::{Row, render};
use recovery_lab::write_paths::Untried;
use recovery_lab::{Error, Limits, Orders, Player, Report, Step, Which, run_operation};

use crate::real_binary;

/// What to run.
#[derive(Args)]
pub(crate) struct Arguments {
    /// Everything: takes a while. Without it the bounded part that the tests run too.
    #[arg(long)]
    full: bool,
    /// Only this part: see the table's first column, or `crash-images`.
    #[arg(long, value_name = "NAME")]
    only: Option<String>,
    /// Only this operation's crash images.
    #[arg(long, value_name = "NAME")]
    operation: Option<String>,
    /// Only this one of the operation's images, by the number that a failure names.
    #[arg(long, value_name = "N", requires = "operation")]
    image: Option<usize>,
    /// With a fault of the library switched on; see `recovery::durable::mutation`.
    #[arg(long, value_name = "NAME")]
    mutation: Option<String>,
    /// What is random follows from it; without it another each time, which is printed.
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// How long to torture, in seconds [default: 60, with --full 300].
    #[arg(long, value_name = "N")]
    seconds: Option<u64>,
    /// Write the table to this file too.
    #[arg(long, value_name = "FILE")]
    table: Option<PathBuf>,
}

/// What a part is given.
pub(crate) struct Context<'a> {
    arguments: &'a Arguments,
    player: Player,
    pub(crate) bar: ProgressBar,
}

impl Context<'_> {
    /// Whether everything is to be tried.
    pub(crate) fn is_full(&self) -> bool {
        self.arguments.full
    }

    /// The seed that was asked for.
    pub(crate) fn seed(&self) -> Option<u64> {
        self.arguments.seed
    }

    /// How long to torture.
    pub(crate) fn seconds(&self) -> u64 {
        self.arguments.seconds.unwrap_or(if self.arguments.full { 300 } else { 60 })
    }
}

/// A part of the laboratory.
pub(crate) struct Part {
    /// For `--only`.
    pub(crate) name: &'static str,
    /// Its rows; what did not hold is printed as it is found.
    pub(crate) run: fn(&Context<'_>) -> Result<Vec<Row>, Error>,
}

/// All parts, in the order in which they run.
const PARTS: &[Part] = &[Part { name: "crash-images", run: crash_images }];

/// Runs what was asked for; success when nothing failed.
pub(crate) fn run(arguments: &Arguments) -> ExitCode {
    match run_parts(arguments) {
        Ok(rows) => {
            let text = render(&rows);
            say(&text);
            let written = arguments.table.as_ref().map(|path| write_table(path, &text));
            if let Some(Err(e)) = written {
                tell(&format!("the table cannot be written: {e}"));
                return ExitCode::from(2);
            }
            ExitCode::from(u8::from(rows.iter().any(|row| row.failures > 0)))
        }
        Err(e) => {
            tell(&format!("the laboratory failed: {e}"));
            ExitCode::from(2)
        }
    }
}

fn run_parts(arguments: &Arguments) -> Result<Vec<Row>, Error> {
    let player = Player::new(&std::env::current_exe()?);
    let bar = ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::stderr());
    let style = "{elapsed_precise} {wide_bar} {human_pos}/{human_len} {msg}";
    bar.set_style(ProgressStyle::with_template(style)?);
    let context = Context { arguments, player, bar };
    let mut rows = Vec::new();
    let only = if arguments.operation.is_some() { Some("crash-images") } else { arguments.only.as_deref() };
    for part in
        PARTS.iter().chain(&real_binary::PARTS).filter(|part| only.is_none_or(|name| name == part.name))
    {
        rows.extend((part.run)(&context)?);
    }
    context.bar.finish_and_clear();
    if rows.is_empty() {
        return Err("there is no part or operation of that name".into());
    }
    Ok(rows)
}

fn crash_images(context: &Context<'_>) -> Result<Vec<Row>, Error> {
    let arguments = context.arguments;
    let wanted = |o: &&Operation| arguments.operation.as_deref().is_none_or(|name| name == o.name);
    let (mut rows, mut passed) = (Vec::new(), BTreeSet::new());
    for operation in operations::ALL.iter().filter(wanted) {
        context.bar.set_message(operation.name);
        let limits = if arguments.full { Limits::full() } else { Limits::bounded_for(operation) };
        let which = arguments.image.map_or(Which::All, Which::One);
        let orders = Orders { mutation: arguments.mutation.clone(), ..Orders::default() };
        let progress = |step| match step {
            Step::Planned(disks) => context.bar.inc_length(disks as u64),
            Step::Tried => context.bar.inc(1),
        };
        let report = run_operation(&context.player, operation, &orders, &limits, which, &progress)?;
        passed.extend(report.sites.iter().cloned());
        report.failures.iter().take(20).for_each(|f| context.bar.suspend(|| tell(&f.to_string())));
        rows.push(row(operation, &report));
    }
    if arguments.operation.is_none() {
        let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let Untried { untried, stale } = Untried::find(&repository, &passed)?;
        let failures = (untried.len() + stale.len()) as u64;
        untried.iter().for_each(|path| tell(&format!("no operation takes this write path: {path}")));
        stale.iter().for_each(|excuse| tell(&format!("needs no excuse: {excuse}")));
        rows.push(Row { operation: "write paths".to_owned(), failures, ..Row::default() });
    }
    Ok(rows)
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
