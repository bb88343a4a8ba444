//! `submit -- CMD ARG…`: enters one job into the queue; `submit --from FILE`: enters many.

use std::path::PathBuf;

use clap::Args;
use recovery::operations::jobs::{SubmitJob, SubmitJobs, SubmitManyReport, SubmitReport};
use recovery::queue::CrashPolicy;
use recovery::state::config::Export;
use recovery::state::human;

use crate::context::Context;
use crate::error::{CliError, Ending, ErrorKind};
use crate::operate::{Show, operate};
use crate::output::Output;
use crate::text::Text;

const ABOUT: &str = "Put a job into the queue, durably, and print its id";
const LONG_ABOUT: &str = "Put a job into the queue, durably, and print its id

The id is printed after the job's record is on disk. It starts when a daemon, or `recoveryctl work --once`, takes it.";

/// A job, or a file of them.
#[derive(Debug, Args)]
#[command(
    about = ABOUT,
    long_about = LONG_ABOUT,
    override_usage = "recoveryctl submit [OPTIONS] -- CMD [ARG]...\n       recoveryctl submit --from FILE"
)]
pub(crate) struct SubmitArgs {
    #[command(flatten)]
    job: SubmitJob,
    /// Submit many jobs: JSON Lines, an object a line; - reads stdin
    ///
    /// Members: command (a list of words), id, repository, priority, env, cwd, timeout or timeout_ms,
    /// on_crash, max_attempts, callbacks, resume_command (a list of words), auto_cleanup, title.
    /// Bad lines are told with their numbers, and the good ones go in (exit status 3).
    #[arg(long, value_name = "FILE", conflicts_with_all = [
        "id", "repo", "priority", "callbacks", "variables", "cwd", "timeout", "on_crash", "max_attempts",
        "resume_command", "auto_cleanup", "title", "command",
    ])]
    from: Option<PathBuf>,
    /// With --from: one bad line, and nothing goes in
    #[arg(long, requires = "from", conflicts_with = "command")]
    all_or_nothing: bool,
}

pub(crate) fn cmd_submit(context: &mut Context, args: SubmitArgs) -> Result<Ending, CliError> {
    let SubmitArgs { job, from, all_or_nothing } = args;
    if context.is_elsewhere() && job.export.as_ref().is_some_and(|which| *which != Export::None) {
        let message =
            "--export takes variables of this shell, and none are sent to a daemon: use --env".to_owned();
        return Err(CliError::new(ErrorKind::Usage, message).code("export-not-sent"));
    }
    match from {
        Some(file) => {
            context.reads(file);
            operate(context, &SubmitJobs { all_or_nothing, export: job.export })
        }
        None => operate(context, &job),
    }
}

impl Show for SubmitJob {
    fn show(&self, report: &SubmitReport, text: &mut Text) {
        if report.dry_run {
            text.line("would submit:");
            text.fields(&fields(report));
        } else {
            text.line(report.job_id.as_deref().unwrap_or_default());
        }
    }

    fn remark(&self, report: &SubmitReport, output: &mut Output) {
        if let Some(id) = report.job_id.as_deref().filter(|_| !report.dry_run && output.is_attended()) {
            output.hint(&format!("recoveryctl jobs show {}", quoted(id)));
        }
    }
}

/// Each line was reported when it was settled.
impl Show for SubmitJobs {
    fn show(&self, _report: &SubmitManyReport, _text: &mut Text) {}
}

fn fields(report: &SubmitReport) -> Vec<(&'static str, Option<String>)> {
    let list = |words: &[String]| (!words.is_empty()).then(|| words.join(" "));
    vec![
        ("  job", Some(report.job_id.clone().unwrap_or_else(|| "(a new id)".to_owned()))),
        ("  command", Some(command_line(&report.command))),
        ("  resume command", report.resume_command.as_deref().map(command_line)),
        ("  title", report.title.clone()),
        ("  repository", report.repository.clone()),
        ("  priority", (report.priority != 0).then(|| report.priority.to_string())),
        ("  folder", report.cwd.clone()),
        ("  time limit", report.timeout_ms.map(human::duration)),
        ("  on crash", Some(crash_policy(report.on_crash, report.max_attempts))),
        ("  variables", list(&report.env)),
        ("  callbacks", list(&report.callbacks)),
        ("  cleanup", report.auto_cleanup.then(|| "automatic".to_owned())),
    ]
}

/// `requeue, up to 3 attempts`
pub(crate) fn crash_policy(policy: CrashPolicy, max_attempts: u32) -> String {
    match policy {
        CrashPolicy::Hold => "hold".to_owned(),
        CrashPolicy::Fail => "fail".to_owned(),
        CrashPolicy::Requeue => format!("requeue, up to {}", human::count(max_attempts, "attempt")),
    }
}

/// Words as a shell would take them.
pub(crate) fn command_line(words: &[String]) -> String {
    shlex::try_join(words.iter().map(String::as_str)).unwrap_or_else(|_| words.join(" "))
}

/// A word for a command line in a hint.
pub(crate) fn quoted(word: &str) -> String {
    command_line(&[word.to_owned()])
}
