//! `findings`: what an operator should know, as a list.

use clap::Args;
use clap::builder::PossibleValuesParser;
use recovery::report::Severity;
use recovery::report::findings::{FindingFilter, FindingList};

use super::jobs::PageArgs;
use super::status::status_of;
use crate::context::Context;
use crate::error::{CliError, Ending};

/// Show what an operator should know, the worst first
#[derive(Debug, Args)]
pub(crate) struct FindingsArgs {
    /// At least so bad
    #[arg(long, value_name = "SEVERITY", value_parser = PossibleValuesParser::new(
        ["info", "warning", "error", "critical"]
    ))]
    severity: Option<String>,
    /// Only of this code
    #[arg(long, value_name = "CODE")]
    code: Option<String>,
    /// Only about this object, such as lock:web, or about objects of this kind, such as job
    #[arg(long, value_name = "OBJECT")]
    object: Option<String>,
    #[command(flatten)]
    page: PageArgs,
}

pub(crate) fn cmd_findings(context: &mut Context, args: &FindingsArgs) -> Result<Ending, CliError> {
    let all = [Severity::Info, Severity::Warning, Severity::Error, Severity::Critical];
    let severity = all.into_iter().find(|s| args.severity.as_deref() == Some(s.as_str()));
    let filter = FindingFilter { severity, code: args.code.clone(), object: args.object.clone() };
    let status = status_of(context)?;
    let report = FindingList::new(status.findings, &filter, &args.page.page())?;
    context.output.report(&report, |text| text.findings(&report.findings));
    if report.total == 0 {
        context.output.note("nothing was found");
    }
    Ok(Ending::Done)
}
