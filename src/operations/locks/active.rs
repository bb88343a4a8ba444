//! `locks active`: the locks that are not free.

use super::holders;
use crate::locks::list;
use crate::operations::prelude::*;
use crate::report::locks::ActiveLocks;

plain_requests! {
    /// List the locks that are not free
    ActiveLocksRequest in page;
}

impl Operation for ActiveLocksRequest {
    type Report = ActiveLocks;

    const ENTRY: Entry =
        Entry::get(&["locks", "active"], "/api/admin/locks/active", "The locks that are not free");

    fn run(&self, context: &mut Context<'_>) -> Result<Done<ActiveLocks>, OperationError> {
        let dir = context.state_dir()?;
        let holders = holders(context, &dir);
        let locks = list(&dir, &|id, claim| holders.liveness(id, claim))?;
        let queue = context.queue_to_look(&dir)?;
        Ok(Done::all(ActiveLocks::new(&dir, locks, queue.state(), &self.page.page())?))
    }
}
