//! `state …`: what the state directory is, and the ways to deal with a copy.

use clap::{Args, Subcommand};
use recovery::operations::state::{AdoptReport, AdoptState, StateRequest};
use recovery::report::state::StateReport;

use crate::context::Context;
use crate::error::{CliError, Ending};
use crate::operate::{Show, operate};
use crate::output::Output;
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
    Adopt(AdoptState),
}

pub(crate) fn cmd_state(context: &mut Context, args: &StateArgs) -> Result<Ending, CliError> {
    match &args.word {
        StateWord::Show(request) => operate(context, request),
        StateWord::Adopt(request) => operate(context, request),
    }
}

impl Show for StateRequest {
    fn show(&self, report: &StateReport, text: &mut Text) {
        render(text, report);
    }
}

impl Show for AdoptState {
    fn show(&self, report: &AdoptReport, text: &mut Text) {
        render(text, &report.state);
        text.fields(&[
            ("crashed jobs", (!report.crashed.is_empty()).then(|| report.crashed.join(", "))),
            ("locks given back", (!report.released.is_empty()).then(|| report.released.join(", "))),
            ("callbacks held", (report.deliveries_held > 0).then(|| report.deliveries_held.to_string())),
        ]);
    }

    fn remark(&self, report: &AdoptReport, output: &mut Output) {
        if report.deliveries_held > 0 {
            output.hint("send what is held with: recoveryctl retry webhook --all");
        }
    }
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
