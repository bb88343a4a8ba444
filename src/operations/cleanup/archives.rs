//! `cleanup archive list` and `cleanup archive show`.

use crate::archive::{Archive, archive};
use crate::operations::prelude::*;
use crate::report::cleanup::ArchiveList;
use crate::state::StateDir;

plain_requests! {
    /// Show the archives, the newest first
    ArchiveListRequest in page;
}

impl Operation for ArchiveListRequest {
    type Report = ArchiveList;

    const ENTRY: Entry = Entry::get(
        &["cleanup", "archive", "list"],
        "/api/admin/cleanup/archive",
        "The git work that was kept of workspaces that went",
    );

    fn run(&self, context: &mut Context<'_>) -> Result<Done<ArchiveList>, OperationError> {
        Ok(Done::all(ArchiveList::read(&context.state_dir()?, &self.page.page())?))
    }
}

/// Show what is in an archive, and why
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema, clap::Args)]
pub struct ShowArchive {
    /// The archive
    #[arg(value_name = "ID")]
    #[schemars(length(min = 1))]
    pub archive_id: String,
}

impl Operation for ShowArchive {
    type Report = Archive;

    const ENTRY: Entry = Entry::get(
        &["cleanup", "archive", "show"],
        "/api/admin/cleanup/archive/{archive_id}",
        "What is in an archive, and why",
    );

    fn run(&self, context: &mut Context<'_>) -> Result<Done<Archive>, OperationError> {
        Ok(Done::all(find_archive(&context.state_dir()?, &self.archive_id)?))
    }
}

/// The archive of this id.
pub(super) fn find_archive(dir: &StateDir, id: &str) -> Result<Archive, OperationError> {
    archive(dir, id)?.ok_or_else(|| {
        OperationError::new(ErrorKind::NotFound, format!("there is no archive '{id}'"))
            .code("no-such-archive")
            .hint("recoveryctl cleanup archive list")
    })
}
