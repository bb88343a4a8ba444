//! `submit -- CMD ARG…`: one job enters the queue; `submit --from FILE` is in [`super::submit_from`].

mod from;
mod lines;

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use recovery::queue::{
    Callback, CheckedRequest, CrashPolicy, Exported, JobExists, JobId, JobRequest, Queue, RequestDefaults,
    Submitter, exported, masked_url,
};
use recovery::state::config::{Export, OnCrash};
use recovery::state::{BadUnit, human, parse_duration};
use schemars::JsonSchema;
use serde::Serialize;

use crate::command::submit::from::submit_from;
use crate::context::Context;
use crate::error::{CliError, Ending, ErrorKind};

/// Put a job into the queue, durably, and print its id
///
/// The id is printed after the job's record is on disk. It starts when a daemon, or
/// `recoveryctl work --once`, takes it.
#[derive(Debug, Args)]
#[command(
    override_usage = "recoveryctl submit [OPTIONS] -- CMD [ARG]...\n       recoveryctl submit --from FILE"
)]
pub(crate) struct SubmitArgs {
    /// A name for the job, which no other job may have [default: a new UUID]
    #[arg(long, value_name = "ID", allow_hyphen_values = true)]
    id: Option<String>,
    /// The repository it works on: one job at a time has it
    #[arg(long, value_name = "NAME")]
    repo: Option<String>,
    /// Higher goes first; may be negative
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    priority: Option<i32>,
    /// An http or https address to tell when it has ended; may be given several times
    #[arg(long = "callback", value_name = "URL")]
    callbacks: Vec<String>,
    /// A variable for its environment; may be given several times
    #[arg(long = "env", value_name = "K=V", value_parser = variable)]
    variables: Vec<(String, String)>,
    /// Which variables of this environment go along: all (but the session's, and what looks like a secret), none, or
    /// names with commas between them [default: the configured jobs.export]
    #[arg(long, value_name = "WHICH", value_parser = export)]
    export: Option<Export>,
    /// Where it runs [default: its workspace]
    #[arg(long, value_name = "DIR")]
    cwd: Option<PathBuf>,
    /// Time limit of an attempt, such as 90s or 1h30m
    #[arg(long, value_name = "DURATION", value_parser = timeout)]
    timeout: Option<Duration>,
    /// What happens when its process vanishes [default: the configured jobs.on_crash]
    #[arg(long, value_name = "POLICY", value_parser = policy())]
    on_crash: Option<String>,
    /// How many attempts `requeue` may make in all [default: the configured jobs.max_attempts]
    #[arg(long, value_name = "N")]
    max_attempts: Option<u32>,
    /// Runs instead of CMD when it continues from a checkpoint
    ///
    /// One argument, split into words as a POSIX shell does, without expanding anything:
    /// --resume-command 'make resume "FROM=last good"'
    #[arg(long, value_name = "COMMAND", value_parser = words)]
    resume_command: Option<Words>,
    /// Remove what it left when it has ended
    #[arg(long)]
    auto_cleanup: bool,
    /// A title for people
    #[arg(long, value_name = "TEXT")]
    title: Option<String>,
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
    /// Program and arguments
    #[arg(last = true, value_name = "CMD", required_unless_present = "from")]
    command: Vec<String>,
}

/// Words out of one argument; a type of its own, because clap takes a `Vec` for several arguments.
#[derive(Debug, Clone)]
struct Words(Vec<String>);

fn words(text: &str) -> Result<Words, &'static str> {
    shlex::split(text).map(Words).ok_or("a quotation mark or a backslash has no partner")
}

fn variable(text: &str) -> Result<(String, String), &'static str> {
    let (name, value) = text.split_once('=').ok_or("a variable is written as NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

fn export(text: &str) -> Result<Export, &'static str> {
    text.parse()
}

fn timeout(text: &str) -> Result<Duration, BadUnit> {
    parse_duration(text)
}

fn policy() -> clap::builder::PossibleValuesParser {
    [OnCrash::Hold, OnCrash::Requeue, OnCrash::Fail].map(OnCrash::as_str).into()
}

pub(crate) fn cmd_submit(context: &mut Context, args: SubmitArgs) -> Result<Ending, CliError> {
    let defaults = defaults(context, args.export.as_ref())?;
    match &args.from {
        Some(file) => submit_from(context, file, args.all_or_nothing, &defaults),
        None => submit_one(context, request(args).check(&defaults)?),
    }
}

fn defaults(context: &mut Context, export: Option<&Export>) -> Result<RequestDefaults, CliError> {
    if export.is_some_and(|which| *which != Export::None) && context.is_remote() {
        let message =
            "--export takes variables of this shell, and none are sent to a daemon: use --env".to_owned();
        return Err(CliError::new(ErrorKind::Usage, message).code("export-not-sent"));
    }
    let is_asked_for = export.is_some();
    let (base, ours) = (context.folder(), context.variables());
    let owner = context.operation()?.state_path()?.metadata().ok().map(|state| state.uid());
    let is_ours = owner.is_none_or(|owner| owner == rustix::process::geteuid().as_raw());
    let jobs = context.settings()?.jobs.clone();
    let export = export.unwrap_or(&jobs.export);
    let Exported { taken: mut env, missing, too_large } = exported(export, ours);
    // What the configuration names for all shells need not be set in each of them.
    if is_asked_for && !missing.is_empty() {
        context
            .output
            .warning(&format!("not set here, so it does not go with the job: {}", missing.join(", ")));
    }
    if !too_large.is_empty() {
        let names = too_large.join(", ");
        context
            .output
            .warning(&format!("the environment is too large, so this does not go with the job: {names}"));
    }
    // What the operator has configured for all jobs stands, unless somebody names it.
    let configured =
        |item: &String, name: &str| item.split_once('=').map_or(item.as_str(), |(n, _)| n) == name;
    env.retain(|name, _| export.names(name) || !jobs.environment.iter().any(|item| configured(item, name)));
    // Another user's home is nothing to the user that the daemon runs as.
    if !is_ours && !export.names("HOME") {
        env.remove("HOME");
    }
    Ok(RequestDefaults { on_crash: jobs.on_crash.into(), max_attempts: jobs.max_attempts, base, env })
}

fn request(args: SubmitArgs) -> JobRequest {
    let on_crash = args.on_crash.as_deref().map(|word| match word {
        "requeue" => CrashPolicy::Requeue,
        "fail" => CrashPolicy::Fail,
        _ => CrashPolicy::Hold,
    });
    JobRequest {
        command: args.command,
        id: args.id,
        repository: args.repo,
        priority: args.priority.unwrap_or(0),
        env: args.variables.into_iter().collect::<BTreeMap<_, _>>(),
        cwd: args.cwd,
        timeout: args.timeout,
        on_crash,
        max_attempts: args.max_attempts,
        callbacks: args.callbacks.into_iter().map(Callback::to).collect(),
        resume_command: args.resume_command.map(|Words(words)| words),
        auto_cleanup: args.auto_cleanup,
        title: args.title,
    }
}

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "SubmittedJob")]
pub(crate) struct SubmitReport {
    /// None in a dry run of a job without a name: its id is not given yet.
    job_id: Option<String>,
    /// Sequence number of its record; none in a dry run.
    seq: Option<u64>,
    dry_run: bool,
    status: &'static str,
    repository: Option<String>,
    priority: i32,
    command: Vec<String>,
    resume_command: Option<Vec<String>>,
    cwd: Option<String>,
    timeout_ms: Option<u64>,
    on_crash: CrashPolicy,
    max_attempts: u32,
    callbacks: Vec<String>,
    /// Names only: values may be secrets.
    env: Vec<String>,
    auto_cleanup: bool,
    title: Option<String>,
}

impl SubmitReport {
    fn new(request: &CheckedRequest, seq: Option<u64>) -> SubmitReport {
        let (job, spec) = (&request.submission, &request.submission.spec);
        SubmitReport {
            job_id: (seq.is_some() || request.is_named).then(|| job.job.to_string()),
            seq,
            dry_run: seq.is_none(),
            status: "queued",
            repository: job.repository.clone(),
            priority: job.priority,
            command: spec.command.clone(),
            resume_command: spec.resume_command.clone(),
            cwd: spec.cwd.as_ref().map(|cwd| cwd.display().to_string()),
            timeout_ms: spec.timeout_ms,
            on_crash: spec.on_crash,
            max_attempts: spec.max_attempts,
            callbacks: spec.callbacks.iter().map(|c| masked_url(&c.url)).collect(),
            env: spec.env.keys().cloned().collect(),
            auto_cleanup: spec.auto_cleanup,
            title: spec.title.clone(),
        }
    }
}

/// One job as JSON has it, for a client of the daemon. With `pinned` it gets this id unless it names one itself;
/// when it may be in the queue already, by an earlier try of the same request, that counts as success.
pub(crate) fn submit_json(
    context: &mut Context,
    bytes: &[u8],
    pinned: Option<&JobId>,
    may_be_in: bool,
) -> Result<Ending, CliError> {
    let defaults = defaults(context, None)?;
    let mut request = JobRequest::from_json(bytes).and_then(|request| request.check(&defaults))?;
    if let Some(pinned) = pinned.filter(|_| !request.is_named) {
        request.submission.job = pinned.clone();
        request.is_named = may_be_in;
    }
    if may_be_in && let Some(entered) = entered_before(context, &request)? {
        let report = SubmitReport::new(&request, Some(entered));
        context.output.report(&report, |_| {});
        return Ok(Ending::Done);
    }
    submit_one(context, request)
}

/// The number of the record by which this very job is in the queue.
fn entered_before(context: &mut Context, request: &CheckedRequest) -> Result<Option<u64>, CliError> {
    let queue = Queue::open(&context.operation()?.state_dir_or_create()?)?;
    let job = queue.state().get(&request.submission.job);
    Ok(job.map(|job| job.place.seq))
}

fn submit_one(context: &mut Context, request: CheckedRequest) -> Result<Ending, CliError> {
    let actor = context.actor();
    if context.is_dry_run() {
        return rehearse(context, &request);
    }
    let dir = context.operation()?.state_dir_or_create()?;
    let mut report = SubmitReport::new(&request, Some(0));
    let answers = Submitter::new(&dir, &actor).enter(vec![request])?;
    for answer in answers {
        report.seq = Some(answer?.seq);
    }
    let id = report.job_id.as_deref().unwrap_or_default();
    context.output.report(&report, |text| text.line(id));
    if context.output.is_attended() {
        context.output.hint(&format!("recoveryctl jobs show {}", quoted(id)));
    }
    Ok(Ending::Done)
}

/// Everything but the append.
fn rehearse(context: &mut Context, request: &CheckedRequest) -> Result<Ending, CliError> {
    let dir = context.operation()?.state_dir_if_any()?;
    if let Some(dir) = dir {
        let job = &request.submission.job;
        if request.is_named && Submitter::new(&dir, &context.actor()).is_taken(job)? {
            return Err(JobExists(job.clone()).into());
        }
    }
    let report = SubmitReport::new(request, None);
    context.output.report(&report, |text| {
        text.line("would submit:");
        text.fields(&fields(&report));
    });
    Ok(Ending::Done)
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
