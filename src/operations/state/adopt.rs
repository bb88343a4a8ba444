//! `state adopt`: a copy of a state directory becomes one of its own.

use crate::operations::prelude::*;
use crate::operations::settings::delivering;
use crate::repair::{Adoption, adopt_as_new};
use crate::report::state::StateReport;

/// Work with a copy: what runs and waits in the original is ended here
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema, clap::Args)]
pub struct AdoptState {
    /// Give it an id of its own: running jobs count as crashed, locks are given back, callbacks are held
    #[arg(long, required = true)]
    pub as_new: bool,
}

/// What an adoption did.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs)] // The members are the published form.
pub struct AdoptReport {
    #[serde(flatten)]
    pub state: StateReport,
    /// Jobs that ran in the original.
    pub crashed: Vec<String>,
    /// Repositories whose locks were given back.
    pub released: Vec<String>,
    /// Deliveries that wait until they are retried.
    pub deliveries_held: u64,
    pub dry_run: bool,
}

impl Operation for AdoptState {
    type Report = AdoptReport;

    const ENTRY: Entry = Entry::local(Method::Post, &["state", "adopt"]).for_copies();

    fn run(&self, context: &mut Context<'_>) -> Result<Done<AdoptReport>, OperationError> {
        debug_assert!(self.as_new);
        let dir = context.state_dir()?;
        let endpoints = delivering(context.settings())?.endpoints;
        let (actor, dry_run) = (context.actor(), context.is_dry_run());
        let (dir, done) = adopt_as_new(&dir, &endpoints, &actor, dry_run)?;
        let Adoption { crashed, released, held } = done;
        if !dry_run {
            let from = dir.past.copied_from.as_ref();
            let from = from.map_or_else(String::new, |from| from.path.display().to_string());
            let detail = format!("a copy of {from} is a state directory of its own");
            context.enter(&dir, "state adopt", "state", detail);
        }
        Ok(Done::all(AdoptReport {
            state: StateReport::of(&dir),
            crashed: crashed.iter().map(ToString::to_string).collect(),
            released,
            deliveries_held: held as u64,
            dry_run,
        }))
    }
}
