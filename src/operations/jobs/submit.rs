//! `submit -- CMD ARG…`: a job enters the queue, durably.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgMatches, Args, Command, FromArgMatches};
use schemars::{Schema, SchemaGenerator};
use serde::{Deserializer, Serializer};
use serde_json::{Value, json};

use crate::operations::prelude::*;
use crate::queue::{
    Callback, CheckedRequest, CrashPolicy, Exported, Job, JobExists, JobId, JobRequest, JobSpec, JobStatus,
    Queue, RequestDefaults, Submitter, exported, job_request_schema, masked_url,
};
use crate::state::config::{Export, OnCrash};
use crate::state::{BadUnit, parse_duration};

/// A job, as the request's document or the command line describes it.
#[derive(Debug, Clone)]
pub struct SubmitJob {
    /// The job.
    pub job: JobRequest,
    /// Which variables of the asking process go along; the configured ones when not given. A client of a daemon sends
    /// none.
    pub export: Option<Export>,
}

/// The arguments that describe a job.
#[derive(Debug, Args)]
struct JobArguments {
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
    #[arg(long, value_name = "WHICH", value_parser = str::parse::<Export>)]
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
    /// Program and arguments
    // A front end that takes many jobs has an argument `from`.
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

fn timeout(text: &str) -> Result<Duration, BadUnit> {
    parse_duration(text)
}

fn policy() -> clap::builder::PossibleValuesParser {
    [OnCrash::Hold, OnCrash::Requeue, OnCrash::Fail].map(OnCrash::as_str).into()
}

impl From<JobArguments> for SubmitJob {
    fn from(arguments: JobArguments) -> SubmitJob {
        let on_crash = arguments.on_crash.as_deref().map(|word| match word {
            "requeue" => CrashPolicy::Requeue,
            "fail" => CrashPolicy::Fail,
            _ => CrashPolicy::Hold,
        });
        let job = JobRequest {
            command: arguments.command,
            id: arguments.id,
            repository: arguments.repo,
            priority: arguments.priority.unwrap_or(0),
            env: arguments.variables.into_iter().collect::<BTreeMap<_, _>>(),
            cwd: arguments.cwd,
            timeout: arguments.timeout,
            on_crash,
            max_attempts: arguments.max_attempts,
            callbacks: arguments.callbacks.into_iter().map(Callback::to).collect(),
            resume_command: arguments.resume_command.map(|Words(words)| words),
            auto_cleanup: arguments.auto_cleanup,
            title: arguments.title,
        };
        SubmitJob { job, export: arguments.export }
    }
}

impl FromArgMatches for SubmitJob {
    fn from_arg_matches(matches: &ArgMatches) -> Result<SubmitJob, clap::Error> {
        JobArguments::from_arg_matches(matches).map(SubmitJob::from)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = SubmitJob::from_arg_matches(matches)?;
        Ok(())
    }
}

impl Args for SubmitJob {
    fn augment_args(command: Command) -> Command {
        JobArguments::augment_args(command)
    }

    fn augment_args_for_update(command: Command) -> Command {
        JobArguments::augment_args_for_update(command)
    }
}

impl Serialize for SubmitJob {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        self.job.serialize(to)
    }
}

impl<'de> Deserialize<'de> for SubmitJob {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<SubmitJob, D::Error> {
        let document = Value::deserialize(from)?.to_string();
        let job = JobRequest::from_json(document.as_bytes()).map_err(serde::de::Error::custom)?;
        Ok(SubmitJob { job, export: None })
    }
}

impl JsonSchema for SubmitJob {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "JobRequest".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        Schema::try_from(job_request_schema()).unwrap_or_default()
    }
}

/// The job as it is in the queue.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "SubmittedJob")]
#[allow(missing_docs)] // The members are the published form.
pub struct SubmitReport {
    /// None in a dry run of a job without a name: its id is not given yet.
    pub job_id: Option<String>,
    /// Sequence number of its record; none in a dry run.
    pub seq: Option<u64>,
    pub dry_run: bool,
    pub status: JobStatus,
    pub repository: Option<String>,
    pub priority: i32,
    pub command: Vec<String>,
    pub resume_command: Option<Vec<String>>,
    pub cwd: Option<String>,
    pub timeout_ms: Option<u64>,
    pub on_crash: CrashPolicy,
    pub max_attempts: u32,
    pub callbacks: Vec<String>,
    /// Names only: values may be secrets.
    pub env: Vec<String>,
    pub auto_cleanup: bool,
    pub title: Option<String>,
}

impl SubmitReport {
    fn new(request: &CheckedRequest, seq: Option<u64>) -> SubmitReport {
        let (job, spec) = (&request.submission, &request.submission.spec);
        SubmitReport {
            job_id: (seq.is_some() || request.is_named).then(|| job.job.to_string()),
            seq,
            dry_run: seq.is_none(),
            status: JobStatus::Queued,
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

impl Operation for SubmitJob {
    type Report = SubmitReport;

    const ENTRY: Entry =
        Entry::post(&["submit"], "/api/jobs", "A job enters the queue, durably").creates().of_document();

    fn from_document(document: &[u8]) -> Result<SubmitJob, OperationError> {
        Ok(SubmitJob { job: JobRequest::from_json(document)?, export: None })
    }

    fn run(&self, context: &mut Context<'_>) -> Result<Done<SubmitReport>, OperationError> {
        let request = self.checked(context)?;
        enter(context, request)
    }

    /// The job's id, unless the request names one.
    fn pin(&self, _context: &mut Context<'_>) -> Value {
        json!({ "job_id": JobId::new() })
    }

    fn run_pinned(
        &self,
        context: &mut Context<'_>,
        pinned: &Value,
        is_repeated: bool,
    ) -> Result<Done<SubmitReport>, OperationError> {
        let mut request = self.checked(context)?;
        let id = pinned["job_id"].as_str().and_then(|id| id.parse().ok());
        if let Some(id) = id.filter(|_| !request.is_named) {
            request.submission.job = id;
            request.is_named = is_repeated;
        }
        // It may be in the queue already, by an earlier try of the same request.
        if is_repeated && let Some(seq) = entered_before(context, &request)? {
            return Ok(Done::all(SubmitReport::new(&request, Some(seq))));
        }
        enter(context, request)
    }
}

impl SubmitJob {
    fn checked(&self, context: &mut Context<'_>) -> Result<CheckedRequest, OperationError> {
        let defaults = defaults(context, self.export.as_ref())?;
        Ok(self.job.clone().check(&defaults)?)
    }
}

/// The number of the record by which this very job is in the queue. Another client may have given the same name to
/// another job meanwhile: that job is not the one that was asked for.
fn entered_before(
    context: &mut Context<'_>,
    request: &CheckedRequest,
) -> Result<Option<u64>, OperationError> {
    let queue = Queue::open(&context.state_dir_or_create()?)?;
    let asked = &request.submission;
    let is_asked_for = |job: &&Job| {
        // The environment is taken anew from the daemon, which may have been started anew with another one.
        let is_same = |spec: JobSpec| JobSpec { env: asked.spec.env.clone(), ..spec } == asked.spec;
        job.repository.as_deref() == asked.repository.as_deref() && job.spec().is_ok_and(is_same)
    };
    let job = queue.state().get(&asked.job).filter(is_asked_for);
    Ok(job.map(|job| job.place.seq))
}

fn enter(context: &mut Context<'_>, request: CheckedRequest) -> Result<Done<SubmitReport>, OperationError> {
    let actor = context.actor();
    if context.is_dry_run() {
        let job = &request.submission.job;
        if let Some(dir) = context.state_dir_if_any()?
            && request.is_named
            && Submitter::new(&dir, &actor).is_taken(job)?
        {
            return Err(JobExists(job.clone()).into());
        }
        return Ok(Done::all(SubmitReport::new(&request, None)));
    }
    let dir = context.state_dir_or_create()?;
    let mut report = SubmitReport::new(&request, Some(0));
    for answer in Submitter::new(&dir, &actor).enter(vec![request])? {
        report.seq = Some(answer?.seq);
    }
    Ok(Done::all(report))
}

/// Defaults for what a request leaves out: the configuration, and the variables of the asking process.
pub(super) fn defaults(
    context: &mut Context<'_>,
    export: Option<&Export>,
) -> Result<RequestDefaults, OperationError> {
    let is_asked_for = export.is_some();
    let base = context.folder().map(ToOwned::to_owned);
    let owner = context.state_path()?.metadata().ok().map(|state| state.uid());
    let is_ours = owner.is_none_or(|owner| owner == rustix::process::geteuid().as_raw());
    let jobs = context.settings().jobs.clone();
    let export = export.unwrap_or(&jobs.export);
    let Exported { taken: mut env, missing, too_large } = exported(export, context.variables().to_vec());
    // What the configuration names for all shells need not be set in each of them.
    if is_asked_for && !missing.is_empty() {
        context.warn(&format!("not set here, so it does not go with the job: {}", missing.join(", ")));
    }
    if !too_large.is_empty() {
        let names = too_large.join(", ");
        context.warn(&format!("the environment is too large, so this does not go with the job: {names}"));
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
