//! `state …`: what the state directory is, and what becomes of a copy.

use clap::{Args, Subcommand};
use recovery::operations::state::StateRequest;
use recovery::repair::{Adoption, adopt_as_new};
use recovery::report::state::StateReport;
use schemars::JsonSchema;
use serde::Serialize;

use crate::context::Context;
use crate::error::{CliError, Ending};
use crate::operate::{Show, operate};
use crate::settings::delivering;
use crate::text::Text;

/// Show which state directory this is, and make one of its own out of a copy
#[derive(Debug, Args)]
pub(crate) struct StateArgs {
    #[command(subcommand)]
    word: StateWord,
}

#[derive(Debug, Subcommand)]
enum StateWord {
    Show(StateRequest),
    /// Work with a copy: what runs and waits in the original is ended here
    Adopt(AdoptArgs),
}

#[derive(Debug, Args)]
struct AdoptArgs {
    /// Give it an id of its own: running jobs count as crashed, locks are given back, callbacks are held
    #[arg(long, required = true)]
    as_new: bool,
}

impl StateArgs {
    /// Whether it may change something.
    pub(crate) fn changes(&self) -> bool {
        matches!(self.word, StateWord::Adopt(_))
    }
}

/// What an adoption did.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct AdoptReport {
    #[serde(flatten)]
    state: StateReport,
    /// Jobs that ran in the original.
    crashed: Vec<String>,
    /// Repositories whose locks were given back.
    released: Vec<String>,
    /// Deliveries that wait until they are retried.
    deliveries_held: u64,
    dry_run: bool,
}

pub(crate) fn cmd_state(context: &mut Context, args: &StateArgs) -> Result<Ending, CliError> {
    match &args.word {
        StateWord::Show(request) => operate(context, request),
        StateWord::Adopt(args) => adopt(context, args),
    }
}

impl Show for StateRequest {
    fn show(&self, report: &StateReport, text: &mut Text) {
        render(text, report);
    }
}

fn adopt(context: &mut Context, args: &AdoptArgs) -> Result<Ending, CliError> {
    debug_assert!(args.as_new);
    let dir = context.state_dir()?;
    let endpoints = delivering(context.settings()?)?.endpoints;
    let (actor, dry_run) = (context.actor(), context.is_dry_run());
    let (dir, done) = adopt_as_new(&dir, &endpoints, &actor, dry_run)?;
    let Adoption { crashed, released, held } = done;
    if !dry_run {
        let from =
            dir.past.copied_from.as_ref().map_or_else(String::new, |from| from.path.display().to_string());
        context.enter(
            &dir,
            "state adopt",
            "state",
            format!("a copy of {from} is a state directory of its own"),
        )?;
    }
    let report = AdoptReport {
        state: StateReport::of(&dir),
        crashed: crashed.iter().map(ToString::to_string).collect(),
        released,
        deliveries_held: held as u64,
        dry_run,
    };
    context.output.report(&report, |text| {
        render(text, &report.state);
        text.fields(&[
            ("crashed jobs", (!report.crashed.is_empty()).then(|| report.crashed.join(", "))),
            ("locks given back", (!report.released.is_empty()).then(|| report.released.join(", "))),
            ("callbacks held", (report.deliveries_held > 0).then(|| report.deliveries_held.to_string())),
        ]);
    });
    if report.deliveries_held > 0 {
        context.output.hint("send what is held with: recoveryctl retry webhook --all");
    }
    Ok(Ending::Done)
}

fn render(text: &mut Text, report: &StateReport) {
    let copied = report.copied_from.as_ref().map(|from| match &from.why {
        Some(why) => format!("{} ({why})", from.path.display()),
        None => from.path.display().to_string(),
    });
    text.fields(&[
        ("id", Some(report.id.to_string())),
        ("incarnation", Some(report.incarnation.to_string())),
        ("path", Some(report.path.display().to_string())),
        ("layout", Some(report.layout.to_string())),
        ("created", Some(report.created_at.to_string())),
        (if report.is_copy { "copy of" } else { "was a copy of" }, copied),
        ("restored", report.restored.as_ref().map(|restored| format!("{}: {}", restored.at, restored.why))),
    ]);
    text.findings(&report.findings);
}
