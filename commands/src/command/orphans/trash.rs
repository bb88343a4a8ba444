//! `orphans restore ID…` and `orphans empty-trash`.

use recovery::operations::orphans::{EmptyTrash, OrphansRestored, RestoreOrphans, TrashEmptied};
use recovery::state::human;

use crate::operate::Show;
use crate::paint::Tone;
use crate::text::Text;

impl Show for RestoreOrphans {
    fn show(&self, report: &OrphansRestored, text: &mut Text) {
        let word = if report.dry_run { "would restore" } else { "restored" };
        for r in &report.restored {
            text.line(format!("{word} {} to {}", r.object, r.path));
        }
        for r in &report.refused {
            text.line(format!("{}: {}", r.id, r.detail));
        }
    }
}

impl Show for EmptyTrash {
    fn show(&self, report: &TrashEmptied, text: &mut Text) {
        for f in &report.failed {
            text.toned(Tone::Bad, format!("failed {}: {}", f.object, f.error));
        }
        let (deleted, failed) = (report.emptied.len(), report.failed.len());
        let freed = human::size(report.bytes_freed);
        text.line(match report.dry_run {
            true => format!("{deleted} would be deleted; {freed} would be given back"),
            false => format!("{deleted} deleted, {failed} failed; {freed} given back"),
        });
    }
}
