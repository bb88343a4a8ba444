//! What is undelivered now.

use recovery::recovery::recovery_ends;
use recovery::state::StateDir;
use recovery::webhooks::Survey;

use crate::context::Context;
use crate::error::CliError;
use crate::settings::delivering;

pub(crate) fn survey(context: &mut Context, dir: &StateDir) -> Result<Survey, CliError> {
    let settings = delivering(context.settings()?)?;
    let queue = context.queue_to_look(dir)?;
    Ok(Survey::take(dir, queue.state(), &settings.endpoints, &recovery_ends(dir))?)
}
