//! A command that is an operation: its arguments are the request; here is how its report is shown.

use recovery::operations::{self, Done, Operation};

use crate::context::Context;
use crate::error::{CliError, Ending};
use crate::output::{Output, WithError};
use crate::remote;
use crate::text::Text;

/// How an operation's report is shown to people.
pub(crate) trait Show: Operation {
    /// The text of the report.
    fn show(&self, report: &Self::Report, text: &mut Text);

    /// Notes and hints behind it, on standard error.
    fn remark(&self, _report: &Self::Report, _output: &mut Output) {}
}

/// Carries it out and shows the report.
pub(crate) fn operate<O: Show>(context: &mut Context, request: &O) -> Result<Ending, CliError> {
    let outcome = carry_out(context, request);
    shown(context, request, outcome)
}

/// Carries an operation out, here or in a daemon; `None` when the reader of its results has seen enough.
pub(crate) fn carry_out<O: Operation>(
    context: &mut Context,
    request: &O,
) -> Result<Option<Done<O::Report>>, CliError> {
    match context.daemon() {
        Some(daemon) => remote::carry_out(context, &daemon, request),
        None if let Some(outcome) = remote::carry_out_nearby(context, request) => outcome.map(Some),
        None => operations::run(&mut context.operation()?, request).map(Some),
    }
}

/// Shows what came of it.
pub(crate) fn shown<O: Show>(
    context: &mut Context,
    request: &O,
    outcome: Result<Option<Done<O::Report>>, CliError>,
) -> Result<Ending, CliError> {
    let output = &mut context.output;
    match outcome {
        Ok(None) => Ok(Ending::Done),
        Ok(Some(Done { report, ending })) => {
            output.report(&report, |text| request.show(&report, text));
            request.remark(&report, output);
            Ok(ending)
        }
        // The error of several objects holds the report, which says why none could be done.
        Err(mut error) => match error.take_report::<O::Report>() {
            Some(report) => {
                let ending = Err(error);
                let whole = WithError::new(report, &ending);
                output.report(&whole, |text| request.show(&whole.report, text));
                request.remark(&whole.report, output);
                ending
            }
            None => Err(error),
        },
    }
}
