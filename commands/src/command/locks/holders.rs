//! Who holds locks: the jobs behind them.

use recovery::recovery::JobHolders;
use recovery::state::StateDir;

use crate::context::Context;
use crate::error::CliError;
use crate::settings::judging;

/// Answers for the jobs that locks belong to.
pub(crate) fn holders(context: &mut Context, dir: &StateDir) -> Result<JobHolders, CliError> {
    Ok(JobHolders::new(dir, judging(&context.operation()?).limits))
}
