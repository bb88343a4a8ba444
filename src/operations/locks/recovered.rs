//! `locks recovered`: what the last recovery did with the locks that it found held.

use crate::operations::history::last_recovery;
use crate::operations::prelude::*;
use crate::report::locks::RecoveredLocks;

plain_requests! {
    /// List what the last recovery did with the locks that it found held
    RecoveredLocksRequest in page;
}

impl Operation for RecoveredLocksRequest {
    type Report = RecoveredLocks;

    const ENTRY: Entry = Entry::get(
        &["locks", "recovered"],
        "/api/admin/locks/recovered",
        "What the last recovery did with locks",
    );

    fn run(&self, context: &mut Context<'_>) -> Result<Done<RecoveredLocks>, OperationError> {
        let dir = context.state_dir()?;
        let last = last_recovery(context, &dir);
        Ok(Done::all(RecoveredLocks::new(last.as_ref(), &self.page.page())?))
    }
}
