//! `cleanup archive prune`: removes archives for good.

use super::archives::find_archive;
use crate::archive::{Archive, ArchiveRetention, archives, outlived, remove_audited};
use crate::operations::arguments::Size;
use crate::operations::prelude::*;
use crate::operations::settings::archive_retention;
use crate::state::human;

/// Remove archives for good: those that no rule keeps, of all or of those that are named
///
/// Without ids and rules, those of the configuration hold: cleanup.archive_keep and cleanup.archive_bytes. A daemon
/// applies them after each of its scans for orphans. With ids and rules, those of the ids go that no rule keeps.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema, clap::Args)]
pub struct PruneArchives {
    /// These archives
    #[arg(value_name = "ID")]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub archive_ids: Vec<String>,
    /// Keep those that were made within so many days
    #[arg(long, value_name = "N")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub keep_days: Option<u32>,
    /// Keep the newest, and of the others those that fit into so many bytes beside what is kept, such as 10GiB
    #[arg(long, value_name = "SIZE")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    // Of what is taken as a size, what fits into 64 bits.
    #[schemars(with = "Option<String>", regex(pattern = SIZE))]
    pub keep_bytes: Option<Size>,
}

const SIZE: &str = r"^([0-9]{1,7}(\.[0-9]{1,3})?\s?[KMGT](i?[Bb])?|[0-9]{1,18}\s?[Bb]?)$";

/// What was removed.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "ArchivePruned")]
#[allow(missing_docs)] // The members are the published form.
pub struct PrunedReport {
    pub removed: Vec<RemovedArchive>,
    pub bytes_freed: u64,
    pub dry_run: bool,
}

/// An archive that is gone, or would go.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs)]
pub struct RemovedArchive {
    pub archive_id: String,
    pub object: Option<String>,
    pub bytes: u64,
}

impl Operation for PruneArchives {
    type Report = PrunedReport;

    const ENTRY: Entry = Entry::post(
        &["cleanup", "archive", "prune"],
        "/api/admin/cleanup/archive/prune",
        "Removes archives for good",
    );

    fn run(&self, context: &mut Context<'_>) -> Result<Done<PrunedReport>, OperationError> {
        const DAY_MS: i64 = 24 * 3600 * 1000;
        let dir = context.state_dir()?;
        let configured = archive_retention(&context.settings().cleanup);
        let given = ArchiveRetention {
            keep_ms: self.keep_days.map(|days| i64::from(days) * DAY_MS),
            keep_bytes: self.keep_bytes.map(|size| size.0),
        };
        let is_without = given == ArchiveRetention::default();
        let rules = if is_without { configured } else { given };
        let named =
            self.archive_ids.iter().map(|id| find_archive(&dir, id)).collect::<Result<Vec<_>, _>>()?;
        if named.is_empty() && rules == ArchiveRetention::default() {
            context.note("no rule says which may go: give ids, --keep-days or --keep-bytes");
        }
        let going = if !named.is_empty() && is_without {
            named
        } else {
            let is_meant =
                |a: &Archive| named.is_empty() || named.iter().any(|n| n.archive_id == a.archive_id);
            let mut going = outlived(&archives(&dir)?, rules, dir.clock.now());
            going.retain(is_meant);
            going
        };
        let dry_run = context.is_dry_run();
        let bytes_freed: u64 = going.iter().map(|archive| archive.bytes).sum();
        if !dry_run && !going.is_empty() {
            let size = human::size(bytes_freed);
            context.confirm(&format!("remove git work of {} for good ({size})?", names_of(&going)))?;
            let actor = context.actor();
            going.iter().try_for_each(|archive| remove_audited(&dir, archive, &actor))?;
        }
        let removed =
            |a: Archive| RemovedArchive { archive_id: a.archive_id, object: a.object, bytes: a.bytes };
        let removed = going.into_iter().map(removed).collect();
        Ok(Done::all(PrunedReport { removed, bytes_freed, dry_run }))
    }
}

/// One archive by its name, more by their number.
fn names_of(archives: &[Archive]) -> String {
    match archives {
        [one] => format!("archive {}", one.archive_id),
        more => format!("{} archives", more.len()),
    }
}
