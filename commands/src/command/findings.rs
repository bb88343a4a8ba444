//! `findings`: what an operator should know, as a list; `findings ack`, `findings mute`.

use clap::{Args, Subcommand};
use recovery::operations::findings::{
    AckFindings, AckReport, ListFindings, MuteFindings, MuteReport, UnmuteFindings, named,
};
use recovery::report::findings::{FindingGroup, FindingList};

use crate::context::Context;
use crate::error::{CliError, Ending};
use crate::operate::{Show, operate};
use crate::output::Output;
use crate::text::Text;

/// Show what an operator should know, the worst first
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct FindingsArgs {
    #[command(subcommand)]
    word: Option<FindingsWord>,
    #[command(flatten)]
    request: ListFindings,
}

#[derive(Debug, Subcommand)]
enum FindingsWord {
    Ack(AckFindings),
    Mute(MuteFindings),
    Unmute(UnmuteFindings),
}

pub(crate) fn cmd_findings(context: &mut Context, args: &FindingsArgs) -> Result<Ending, CliError> {
    match &args.word {
        Some(FindingsWord::Ack(request)) => operate(context, request),
        Some(FindingsWord::Mute(request)) => operate(context, request),
        Some(FindingsWord::Unmute(request)) => operate(context, request),
        None => operate(context, &args.request),
    }
}

impl Show for ListFindings {
    fn show(&self, report: &FindingList, text: &mut Text) {
        match &report.groups {
            Some(groups) => {
                for FindingGroup { code, severity, count, sample, next } in groups {
                    text.line(format!("{severity}: {count} × {code}, such as {sample}"));
                    next.iter().for_each(|next| text.line(format!("  next: {next}")));
                }
            }
            None => text.findings(&report.findings),
        }
    }

    fn remark(&self, report: &FindingList, output: &mut Output) {
        if report.total == 0 {
            output.note("nothing was found");
        }
    }
}

impl Show for AckFindings {
    fn show(&self, report: &AckReport, text: &mut Text) {
        let would = if report.dry_run { "would be acknowledged" } else { "acknowledged" };
        for f in &report.acknowledged {
            text.line(format!("{} {would}: {}: {}", f.id, f.object, f.sentence));
        }
        for refused in &report.refused {
            text.line(format!("{}: {}", refused.id, refused.detail));
        }
    }
}

impl Show for MuteFindings {
    fn show(&self, report: &MuteReport, text: &mut Text) {
        for mute in &report.muted {
            let would = if report.dry_run { "would not count" } else { "does not count" };
            text.line(format!("{} {would} until {}", named(mute), mute.until));
        }
    }
}

impl Show for UnmuteFindings {
    fn show(&self, report: &MuteReport, text: &mut Text) {
        for mute in &report.muted {
            let would = if report.dry_run { "would count" } else { "counts" };
            text.line(format!("{} {would} again", named(mute)));
        }
    }
}
