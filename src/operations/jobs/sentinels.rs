//! `jobs sentinels`: every sentinel, and whether what it says is true.

use crate::operations::prelude::*;
use crate::operations::settings::judging;
use crate::report::sentinels::Sentinels;

plain_requests! {
    /// Show every sentinel, and whether what it says is true
    SentinelsRequest in page;
}

impl Operation for SentinelsRequest {
    type Report = Sentinels;

    const ENTRY: Entry = Entry::get(
        &["jobs", "sentinels"],
        "/api/admin/recovery/jobs/sentinels",
        "Every sentinel, and whether it is true",
    );

    fn run(&self, context: &mut Context<'_>) -> Result<Done<Sentinels>, OperationError> {
        let dir = context.state_dir()?;
        let limits = judging(context).limits;
        let queue = context.queue_to_look(&dir)?;
        Ok(Done::all(Sentinels::new(&dir, queue.state(), limits, &self.page.page())?))
    }
}
