//! `skip PHASE`.

use recovery::operations::recovery::{SkipPhase, SkipReport};

use crate::operate::Show;
use crate::text::Text;

impl Show for SkipPhase {
    fn show(&self, report: &SkipReport, text: &mut Text) {
        let name = &report.phase;
        text.line(match (report.accepted, report.dry_run) {
            (true, false) => format!("phase {name} will be passed over (it was {})", report.was.word()),
            (true, true) => format!("phase {name} would be passed over (it is {})", report.was.word()),
            (false, _) => format!("phase {name} has already ended: {}", report.was.word()),
        });
    }
}
