//! `cleanup archive restore`: unpacks an archive into a new folder.

use std::path::PathBuf;

use super::archives::find_archive;
use crate::archive::{RestoreError, restore};
use crate::audit::{Entry as AuditEntry, Trail};
use crate::findings::Object;
use crate::operations::prelude::*;

/// Unpack an archive into a new folder
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema, clap::Args)]
pub struct RestoreArchive {
    /// The archive
    #[arg(value_name = "ID")]
    #[schemars(length(min = 1))]
    pub archive_id: String,
    /// The folder, which must not be there yet [default: the archive's id, here]
    #[arg(long, value_name = "DIR")]
    #[schemars(required)]
    pub to: Option<PathBuf>,
}

/// What was unpacked.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "ArchiveRestored")]
#[allow(missing_docs)] // The members are the published form.
pub struct RestoredReport {
    pub archive_id: String,
    pub path: PathBuf,
    pub entries: u64,
    pub bytes: u64,
    pub dry_run: bool,
}

impl Operation for RestoreArchive {
    type Report = RestoredReport;

    const ENTRY: Entry = Entry::post(
        &["cleanup", "archive", "restore"],
        "/api/admin/cleanup/archive/restore",
        "Unpacks an archive into a new folder of the daemon's machine",
    );

    fn run(&self, context: &mut Context<'_>) -> Result<Done<RestoredReport>, OperationError> {
        let dir = context.state_dir()?;
        let found = find_archive(&dir, &self.archive_id)?;
        let to = self.to.clone().unwrap_or_else(|| PathBuf::from(&found.archive_id));
        let absolute = context.folder().map(|folder| folder.join(&to)).or(to.is_absolute().then_some(to));
        let Some(path) = absolute else {
            let message = "the folder must be named by an absolute path";
            return Err(OperationError::new(ErrorKind::Usage, message));
        };
        let dry_run = context.is_dry_run();
        if dry_run && path.symlink_metadata().is_ok() {
            return Err(RestoreError::Taken { path }.into());
        }
        let (archive_id, entries, bytes) = (found.archive_id.clone(), found.entries, found.bytes);
        let mut report = RestoredReport { archive_id, path, entries, bytes, dry_run };
        if !dry_run {
            let (actor, trail) = (context.actor(), Trail::open(&dir)?);
            let restored = restore(&dir.disk, &found, &report.path)?;
            (report.entries, report.bytes) = (restored.entries, restored.bytes);
            let (at, object) = (dir.clock.now(), Object::Archive(found.archive_id.clone()));
            let detail = format!("to {}", report.path.display());
            trail.record(&AuditEntry::done(at, &actor, "cleanup archive restore", object, detail))?;
        }
        Ok(Done::all(report))
    }
}
