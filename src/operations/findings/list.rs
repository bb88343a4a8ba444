//! `findings`: what an operator should know, the worst first.

use crate::findings::Severity;
use crate::losses::{Losses, acknowledged};
use crate::operations::arguments::word_of;
use crate::operations::prelude::*;
use crate::operations::status::status_of;
use crate::report::findings::{FindingFilter, FindingList};

/// Show what an operator should know, the worst first
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema, clap::Args)]
pub struct ListFindings {
    /// At least so bad
    #[arg(long, value_name = "SEVERITY", value_parser = word_of::<Severity>(
        ["info", "warning", "error", "critical"]
    ))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub severity: Option<Severity>,
    /// Only of this code
    #[arg(long, value_name = "CODE")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// Only about this object, such as lock:web, or about objects of this kind, such as job
    #[arg(long, value_name = "OBJECT")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub object: Option<String>,
    /// By code, with how many there are of each
    #[arg(long)]
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub group: bool,
    /// The losses that were acknowledged, the newest first
    #[arg(long)]
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub acknowledged: bool,
    /// Which part of the list
    #[command(flatten)]
    #[serde(flatten)]
    pub page: PageRequest,
}

impl Operation for ListFindings {
    type Report = FindingList;

    const ENTRY: Entry =
        Entry::get(&["findings"], "/api/admin/findings", "What an operator should know, the worst first");

    fn run(&self, context: &mut Context<'_>) -> Result<Done<FindingList>, OperationError> {
        let (code, object) = (self.code.clone(), self.object.clone());
        let filter = FindingFilter { severity: self.severity, code, object, is_grouped: self.group };
        let findings = match self.acknowledged {
            true => acknowledged(&Losses::read(&context.state_dir()?)?),
            false => status_of(context)?.findings,
        };
        Ok(Done::all(FindingList::new(findings, &filter, &self.page.page())?))
    }
}
