//! `release REPO`.

use recovery::operations::locks::ReleaseLock;
use recovery::report::locks::ReleaseReport;

use crate::operate::Show;
use crate::paint::Tone;
use crate::text::Text;

impl Show for ReleaseLock {
    fn show(&self, report: &ReleaseReport, text: &mut Text) {
        let id = report.lock_id.as_ref().map_or_else(String::new, |id| format!(" ({id})"));
        let act = if report.dry_run { "would give back" } else { "gave back" };
        text.line(format!("{act} the lock of '{}'{id}", report.repository));
        if let Some(was) = &report.was {
            text.line(format!("it was of {}", was.holder_text()));
        }
        report.breaks.iter().for_each(|sentence| text.toned(Tone::Warning, format!("  ! {sentence}")));
        report.evidence.iter().for_each(|piece| text.toned(Tone::Faint, format!("  - {piece}")));
    }
}
