//! `locks inspect`: all that is known of locks, with the evidence.

use super::holders;
use crate::locks::{LockRefused, inspect, list};
use crate::operations::prelude::*;
use crate::report::locks::InspectedLocks;

/// Show all that is known of locks, with the evidence
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema, clap::Args)]
pub struct InspectLocks {
    /// Only the lock of this repository
    #[arg(value_name = "REPO")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub repo: Option<String>,
    /// Which part of the list
    #[command(flatten)]
    #[serde(flatten)]
    pub page: PageRequest,
}

impl Operation for InspectLocks {
    type Report = InspectedLocks;

    const ENTRY: Entry = Entry::get(
        &["locks", "inspect"],
        "/api/admin/locks/inspect",
        "All that is known of locks, with the evidence",
    );

    fn run(&self, context: &mut Context<'_>) -> Result<Done<InspectedLocks>, OperationError> {
        let dir = context.state_dir()?;
        let holders = holders(context, &dir);
        let liveness = |id: &_, claim| holders.liveness(id, claim);
        let locks = match &self.repo {
            None => list(&dir, &liveness)?,
            Some(name) => {
                let lock = inspect(&dir, name, &liveness).map_err(LockRefused::from)?;
                vec![lock.ok_or_else(|| no_such_lock(name))?]
            }
        };
        let queue = context.queue_to_look(&dir)?;
        Ok(Done::all(InspectedLocks::new(&dir, locks, queue.state(), &self.page.page())?))
    }
}

/// That no lock of this repository was ever granted.
pub(crate) fn no_such_lock(repository: &str) -> OperationError {
    let message = format!("no lock of a repository '{repository}' was ever granted");
    OperationError::new(ErrorKind::NotFound, message).code("no-such-lock").hint("recoveryctl locks inspect")
}
