//! `orphans candidates`: the plan of the last scan, with its checks.

use crate::operations::arguments::orphan_kind;
use crate::operations::prelude::*;
use crate::orphans::{OrphanKind, plan, trashed};
use crate::report::orphans::CandidatesReport;

/// Show the plan of the last scan: every candidate with its safety checks
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema, clap::Args)]
pub struct OrphanCandidates {
    /// Only of this kind; may be given several times
    #[arg(long = "kind", value_name = "KIND", value_parser = orphan_kind)]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub kinds: Vec<OrphanKind>,
    /// Which part of the list
    #[command(flatten)]
    #[serde(flatten)]
    pub page: PageRequest,
}

impl Operation for OrphanCandidates {
    type Report = CandidatesReport;

    const ENTRY: Entry = Entry::get(
        &["orphans", "candidates"],
        "/api/admin/orphans/candidates",
        "The plan of the last scan, with its checks",
    );

    fn run(&self, context: &mut Context<'_>) -> Result<Done<CandidatesReport>, OperationError> {
        let dir = context.state_dir()?;
        let saved = plan(&dir)?;
        let trash = trashed(&dir)?;
        Ok(Done::all(CandidatesReport::new(saved.as_ref(), &self.kinds, trash, &self.page.page())?))
    }
}
