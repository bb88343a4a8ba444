//! `jobs output ID [-f]`: what a job printed, byte for byte.

use recovery::operations::jobs::{OutputReport, PrintOutput, Printed, ShowOutput};

use crate::context::Context;
use crate::error::{CliError, Ending};
use crate::operate::{Show, carry_out, operate};
use crate::text::Text;

impl Show for ShowOutput {
    fn show(&self, _report: &OutputReport, _text: &mut Text) {}
}

/// The output was printed as it came.
impl Show for PrintOutput {
    fn show(&self, _report: &Printed, _text: &mut Text) {}
}

/// Prints the output. With `--json` the document has the output, when all of it is there.
pub(crate) fn output(context: &mut Context, request: &PrintOutput) -> Result<Ending, CliError> {
    if !context.output.is_json() {
        return operate(context, request);
    }
    if !request.follow {
        return operate(context, &request.request);
    }
    let Some(done) = carry_out(context, request)? else { return Ok(Ending::Done) };
    let attempt = Some(done.report.attempt);
    operate(context, &ShowOutput { id: done.report.job_id, attempt, ..request.request.clone() })
}
