//! `jobs log ID`: what the daemon and the job's supervisors said of a job.

use clap::Args;
use recovery::logging::{Level, LogLine, lines_of_job};

use crate::context::Context;
use crate::error::{CliError, Ending};
use crate::paint::Tone;
use recovery::operations::jobs::ids::find_or_lost;

/// Show what the daemon and the supervisor said of a job, as far as their logs go back
#[derive(Debug, Args)]
pub(super) struct LogArgs {
    /// The job's id
    #[arg(value_name = "ID")]
    id: String,
}

pub(super) fn log(context: &mut Context, args: &LogArgs) -> Result<Ending, CliError> {
    let dir = context.state_dir()?;
    let queue = context.operation()?.queue_to_look(&dir)?;
    let job = find_or_lost(&dir, queue.state(), &args.id)?;
    let report = lines_of_job(&dir, &job.id)?;
    context.output.report(&report, |text| {
        for line in &report.lines {
            text.toned(tone_of(line.level), render(line));
        }
    });
    if report.lines.is_empty() {
        context
            .output
            .note(&format!("nothing was said of job {}, or the logs do not go back so far", job.id));
    }
    Ok(Ending::Done)
}

fn render(line: &LogLine) -> String {
    let LogLine { at, level, process, pid, message, .. } = line;
    format!("{at}  {:5}  {process}[{pid}]  {message}", level.as_str().to_uppercase())
}

fn tone_of(level: Level) -> Tone {
    match level {
        Level::Error => Tone::Bad,
        Level::Warn => Tone::Warning,
        Level::Info => Tone::Plain,
        Level::Debug | Level::Trace => Tone::Faint,
    }
}
