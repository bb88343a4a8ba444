//! `explain [CODE]`: what a finding's code means, offline.

use clap::Args;
use recovery::findings::catalogue::{self, Entry};
use serde::Serialize;

use crate::context::Context;
use crate::error::{CliError, Ending, ErrorKind};
use crate::paint::Tone;
use crate::table::{Cell, Table};
use crate::text::{Text, tone_of};

const WIDTH: usize = 90;

/// Explain the code of a finding, or list all codes
#[derive(Debug, Args)]
pub(crate) struct ExplainArgs {
    /// A code such as lock-holder-gone
    code: Option<String>,
}

#[derive(Debug, Serialize)]
struct Codes {
    codes: &'static [&'static Entry],
    total: usize,
    next_cursor: Option<String>,
}

pub(crate) fn cmd_explain(context: &mut Context, args: &ExplainArgs) -> Result<Ending, CliError> {
    match &args.code {
        None => {
            let codes = Codes { codes: catalogue::ALL, total: catalogue::ALL.len(), next_cursor: None };
            context.output.report(&codes, list);
            context.output.hint("recoveryctl explain CODE tells what one means and what to do");
        }
        Some(code) => {
            let entry = catalogue::find(code).ok_or_else(|| unknown(code))?;
            context.output.report(entry, |text| explain(text, entry));
        }
    }
    Ok(Ending::Done)
}

fn list(text: &mut Text) {
    let mut table = Table::new(&["CODE", "SEVERITY", "MEANS"]);
    for entry in catalogue::ALL {
        let severity = Cell::toned(entry.severity.as_str(), tone_of(entry.severity));
        table.row([entry.code.into(), severity, entry.title.into()]);
    }
    text.table(&table);
}

fn explain(text: &mut Text, entry: &Entry) {
    text.toned(Tone::Strong, entry.title);
    text.toned(tone_of(entry.severity), format!("{} · {}", entry.code, entry.severity));
    for (heading, paragraph) in
        [("What it means", entry.meaning), ("What was done", entry.done), ("What to do", entry.advice)]
    {
        text.gap();
        text.toned(Tone::Strong, heading);
        text.paragraph(2, WIDTH, paragraph);
    }
    if let Some(next) = entry.next {
        text.gap();
        text.line(format!(
            "  {}",
            next.replace("{name}", "NAME").replace("{object}", "OBJECT").replace("{id}", "ID")
        ));
    }
}

fn unknown(code: &str) -> CliError {
    let error = CliError::new(ErrorKind::NotFound, format!("there is no code '{code}'")).code("unknown-code");
    match catalogue::suggest(code) {
        Some(meant) => error.hint(format!("did you mean '{meant}'?")),
        None => error.hint("recoveryctl explain lists all codes"),
    }
}
