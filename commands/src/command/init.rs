//! `init`: makes a state directory, or says what is there.

use clap::Args;
use recovery::durable::Disk;
use recovery::state::{Clock, StateDir, StateError, Timestamp, human};
use recovery::webhooks::make_own_secret;
use serde::Serialize;

use crate::context::Context;
use crate::error::{CliError, Ending};

/// Make a state directory; other commands make it on first need
#[derive(Debug, Args)]
pub(crate) struct InitArgs {}

#[derive(Debug, Serialize)]
struct InitReport {
    state_dir: String,
    /// Whether it was made now.
    created: bool,
    dry_run: bool,
    /// None in a dry run that would make one.
    state_id: Option<String>,
    layout: Option<u32>,
    created_at: Option<Timestamp>,
}

pub(crate) fn cmd_init(context: &mut Context, _args: &InitArgs) -> Result<Ending, CliError> {
    let path = context.operation()?.state_path()?;
    let existing = match StateDir::open(&path, Disk::real(), Clock::system()) {
        Ok(dir) => Some(dir),
        Err(StateError::Missing { .. }) => None,
        Err(other) => return Err(other.into()),
    };
    let created = existing.is_none();
    let dir = match existing {
        // The directory is opened so that it is durable when it is reported.
        Some(_) if !context.is_dry_run() => Some(context.operation()?.make_state_dir()?),
        Some(dir) => Some(dir),
        None if context.is_dry_run() => {
            StateDir::check_can_create(&path)?;
            None
        }
        None => Some(context.operation()?.make_state_dir()?),
    };
    if let Some(dir) = dir.as_ref().filter(|_| !context.is_dry_run()) {
        make_own_secret(dir)?;
    }
    if let Some(dir) = dir.as_ref().filter(|_| created) {
        context.enter(dir, "init", "state", format!("state id {}", dir.identity.state_id))?;
    }
    let identity = dir.as_ref().map(|d| &d.identity);
    let report = InitReport {
        state_dir: dir.as_ref().map_or(path.as_path(), |d| d.paths.root()).display().to_string(),
        created: created && dir.is_some(),
        dry_run: context.is_dry_run(),
        state_id: identity.map(|i| i.state_id.to_string()),
        layout: identity.map(|i| i.layout),
        created_at: identity.map(|i| i.created_at),
    };
    let place = &report.state_dir;
    context.output.report(&report, |text| match (&dir, created) {
        (None, _) => text.line(format!("would make a state directory in {place}")),
        (Some(_), true) => text.line(format!("made a state directory in {place}")),
        (Some(dir), false) => {
            let age = human::ago(Clock::system().now(), dir.identity.created_at);
            text.line(format!("{place} is a state directory already, made {age}"));
        }
    });
    Ok(Ending::Done)
}
