//! The words that only this program says to itself: `supervise`, `exec-command` and `keep-output`.
//!
//! Not in the help, and no promise to anybody. They take neither configuration nor environment: the
//! process that starts them hands on what it has read.

use std::ffi::OsString;
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser};
use recovery::daemon::JobLocker;
use recovery::durable::log::Position;
use recovery::durable::{Disk, error_chain, has_weakness};
use recovery::jobs::{
    CommandRequest, HOST_TOO_WEAK, RequeuePauses, SuperviseSettings, Supervised, SupervisorHooks,
    exec_command, keep_output, not_begun, supervise,
};
use recovery::logging::events;
use recovery::queue::{Claim, JobId};
use recovery::state::config::JobSettings;
use recovery::state::{Clock, SEGMENT_BYTES, StateDir};
use recovery::system::{Confinement, Limit};
use tracing::{Level, enabled, error, info, info_span, warn};

use crate::descriptors;
use crate::host_end::end_of_host;
use crate::log;
use crate::surroundings;

/// The word of a keeper, by which it is known too.
const KEEP_OUTPUT: &str = "keep-output";

/// The supervisor of one attempt.
#[derive(Debug, Parser)]
struct SuperviseArgs {
    #[arg(long)]
    state_dir: PathBuf,
    /// Incarnation and folder of the state directory that it was started for.
    #[arg(long)]
    state_mark: Option<String>,
    #[arg(long)]
    job: JobId,
    #[arg(long)]
    claim: Claim,
    /// A position of the log not long before the claim.
    #[arg(long)]
    log_position: Option<Position>,
    #[arg(long)]
    heartbeat_ms: u64,
    #[arg(long)]
    kill_grace_ms: u64,
    #[arg(long, default_value_t = SEGMENT_BYTES)]
    segment_bytes: u64,
    #[arg(long, default_value_t = 1 << 30)]
    output_limit: u64,
    #[arg(long)]
    no_cgroup: bool,
    #[arg(long)]
    no_log_watch: bool,
    #[arg(long, default_value_t = 10_000)]
    requeue_pause_ms: u64,
    #[arg(long, default_value_t = 600_000)]
    requeue_pause_max_ms: u64,
    /// How many files it, and its job, may have open; as it is when not given.
    #[arg(long)]
    descriptors: Option<u64>,
    /// What it says; `info` when not given.
    #[arg(long)]
    log: Option<String>,
    #[command(flatten)]
    confinement: ConfinementArgs,
}

/// What the command starts with.
#[derive(Debug, Args)]
struct ConfinementArgs {
    /// In octal; as it is when not given
    #[arg(long, value_parser = |text: &str| u32::from_str_radix(text, 8))]
    umask: Option<u32>,
    #[arg(long = "limit")]
    limits: Vec<Limit>,
}

impl ConfinementArgs {
    /// The same for the program that reads them again.
    fn words(umask: Option<u32>, limits: &[Limit]) -> impl Iterator<Item = OsString> {
        let umask = umask.map(|mask| format!("--umask={mask:o}"));
        umask.into_iter().chain(limits.iter().map(|limit| format!("--limit={limit}"))).map(OsString::from)
    }
}

/// The process that becomes the command.
#[derive(Debug, Parser)]
struct ExecCommandArgs {
    #[arg(long)]
    state_dir: PathBuf,
    #[arg(long)]
    state_mark: Option<String>,
    #[arg(long)]
    job: JobId,
    #[arg(long)]
    attempt: u32,
    #[arg(long)]
    claim: Claim,
    #[arg(long)]
    supervisor: u32,
    #[arg(long)]
    cgroup: Option<PathBuf>,
    #[command(flatten)]
    confinement: ConfinementArgs,
    /// Standard input takes the report of a start that failed.
    #[arg(long)]
    reports: bool,
    #[arg(last = true, required = true)]
    command: Vec<OsString>,
}

/// The process that empties a job's pipe, its standard input, into the job's output, its standard output. The state
/// directory is not among its arguments: it belongs to the job, not to those who work on the directory.
#[derive(Debug, Parser)]
struct KeepOutputArgs {
    /// For people who look at the processes.
    #[arg(long)]
    job: JobId,
    #[arg(long)]
    limit: u64,
}

/// Runs a hidden word, if the arguments begin with one.
pub(crate) fn run(arguments: &[OsString]) -> Option<ExitCode> {
    let word = arguments.get(1)?.to_str()?;
    if !["supervise", "exec-command", KEEP_OUTPUT].contains(&word) {
        return None;
    }
    surroundings::begin_hidden();
    match word {
        "supervise" => Some(run_supervise(&SuperviseArgs::parse_from(&arguments[1..]))),
        KEEP_OUTPUT => Some(run_keep_output(&KeepOutputArgs::parse_from(&arguments[1..]))),
        "exec-command" => Some(run_exec_command(ExecCommandArgs::parse_from(&arguments[1..]))),
        _ => None,
    }
}

/// How a supervisor for this state directory is started; job and claim are appended.
pub(crate) fn supervisor_command(dir: &StateDir, jobs: &JobSettings) -> Vec<OsString> {
    let ms = |d: Duration| OsString::from(d.as_millis().to_string());
    let mut command = vec![
        own_program(),
        "supervise".into(),
        "--state-dir".into(),
        dir.paths.root().into(),
        "--state-mark".into(),
        dir.mark().into(),
        "--heartbeat-ms".into(),
        ms(jobs.heartbeat),
        "--kill-grace-ms".into(),
        ms(jobs.kill_grace),
        "--segment-bytes".into(),
        dir.segment_bytes.to_string().into(),
        "--output-limit".into(),
        jobs.output_limit.to_string().into(),
        "--requeue-pause-ms".into(),
        ms(jobs.requeue_pause),
        "--requeue-pause-max-ms".into(),
        ms(jobs.requeue_pause_max),
    ];
    command.extend((!jobs.cgroup).then(|| "--no-cgroup".into()));
    command.extend(ConfinementArgs::words(Some(jobs.umask), &jobs.limits));
    command.extend(descriptors::before().map(|n| format!("--descriptors={n}").into()));
    command.extend(log::given_filter().map(|filter| format!("--log={filter}").into()));
    command
}

/// How a keeper of a job's output is started; `--job ID` is appended.
pub(crate) fn keeper_command(output_limit: u64) -> Vec<OsString> {
    vec![own_program(), KEEP_OUTPUT.into(), format!("--limit={output_limit}").into()]
}

/// This very program, also when its file was replaced meanwhile.
pub(crate) fn own_program() -> OsString {
    match std::env::current_exe() {
        Ok(path) if path.exists() => path.into_os_string(),
        _ => "/proc/self/exe".into(),
    }
}

fn run_supervise(args: &SuperviseArgs) -> ExitCode {
    surroundings::own_files_only();
    log::listen_hidden("supervisor", args.log.as_deref());
    let span = info_span!("attempt", job_id = %args.job, claim = args.claim.seq());
    let _entered = span.enter();
    args.descriptors.into_iter().for_each(descriptors::lower);
    let dir = match open(&args.state_dir, args.state_mark.as_deref()) {
        Ok(dir) => StateDir { segment_bytes: args.segment_bytes, ..dir },
        Err(status) => return status,
    };
    let mut trampoline =
        vec![own_program(), "exec-command".into(), "--state-dir".into(), dir.paths.root().into()];
    trampoline.extend(["--state-mark".into(), dir.mark().into()]);
    trampoline.extend(ConfinementArgs::words(args.confinement.umask, &args.confinement.limits));
    let settings = SuperviseSettings {
        log_position: args.log_position,
        heartbeat: Duration::from_millis(args.heartbeat_ms),
        kill_grace: Duration::from_millis(args.kill_grace_ms),
        output_limit: args.output_limit,
        keeper: keeper_command(args.output_limit),
        cgroup: !args.no_cgroup,
        watch_log: !args.no_log_watch,
        requeue: RequeuePauses {
            first: Duration::from_millis(args.requeue_pause_ms),
            longest: Duration::from_millis(args.requeue_pause_max_ms),
        },
        ..SuperviseSettings::new(args.job.clone(), args.claim, trampoline)
    };
    let notice = |line: &str| warn!(event = events::TROUBLE, "{line}");
    let surroundings = SupervisorHooks { gate: &JobLocker, notice: &notice, host_is_ending: &end_of_host };
    match supervise(&dir, &settings, &surroundings) {
        Ok(Supervised::NotStarted { why, of_host }) => {
            warn!(event = events::ATTEMPT_RETURNED, of_host, "{why}");
            if of_host { ExitCode::from(HOST_TOO_WEAK) } else { ExitCode::FAILURE }
        }
        Ok(Supervised::GivenBack { why } | Supervised::ClaimLost { why }) => {
            info!(event = events::ATTEMPT_RETURNED, "{why}");
            ExitCode::SUCCESS
        }
        Ok(Supervised::Ended { .. }) => ExitCode::SUCCESS,
        Err(e) => fail("the attempt", &e),
    }
}

fn run_keep_output(args: &KeepOutputArgs) -> ExitCode {
    // A session of its own: nothing that is sent to a group or by a terminal is meant for it. Who asks a daemon,
    // or everything in a service, to end does not mean the job's output.
    let _ = rustix::process::setsid();
    surroundings::ignore_requests_to_end();
    let own = |fd: BorrowedFd<'_>| fd.try_clone_to_owned().map(File::from);
    let (pipe, output) = match (own(std::io::stdin().as_fd()), own(std::io::stdout().as_fd())) {
        (Ok(pipe), Ok(output)) => (pipe, output),
        (Err(e), _) | (_, Err(e)) => return fail(&format!("the keeper of job {}", args.job), &e),
    };
    match keep_output(&Disk::real(), pipe, output, args.limit) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => fail(&format!("the keeper of job {}", args.job), &e),
    }
}

fn run_exec_command(args: ExecCommandArgs) -> ExitCode {
    let dir = match open(&args.state_dir, args.state_mark.as_deref()) {
        Ok(dir) => dir,
        Err(status) => {
            if args.reports {
                let of_host = status == ExitCode::from(HOST_TOO_WEAK);
                not_begun("the state directory cannot be opened", of_host);
            }
            return status;
        }
    };
    let ExecCommandArgs { job, attempt, claim, supervisor, cgroup, confinement, reports, command, .. } = args;
    let ConfinementArgs { umask, limits } = confinement;
    let confinement = Confinement { umask, limits };
    let request = CommandRequest { job, attempt, claim, supervisor, cgroup, confinement, reports, command };
    let not_started = exec_command(&dir, &request);
    ExitCode::from(u8::try_from(not_started.exit_code()).unwrap_or(126))
}

/// Opens the state directory, unless its path leads to another one by now.
fn open(root: &Path, mark: Option<&str>) -> Result<StateDir, ExitCode> {
    // With the mark, the starter says which folder it has checked and opened.
    let opened = if mark.is_some() { StateDir::open_expected } else { StateDir::open };
    let dir = opened(root, Disk::real(), Clock::system());
    let dir = dir.map_err(|e| fail("the state directory", &e))?;
    match mark.filter(|mark| *mark != dir.mark()) {
        None => Ok(dir),
        Some(mark) => {
            let root = root.display();
            tell(&format!(
                "{root} is {}, and not the state directory that this was started for, {mark}",
                dir.mark()
            ));
            Err(ExitCode::FAILURE)
        }
    }
}

fn fail(what: &str, error: &(dyn std::error::Error + 'static)) -> ExitCode {
    tell(&format!("{what}: {}", error_chain(error)));
    if has_weakness(error) { ExitCode::from(HOST_TOO_WEAK) } else { ExitCode::FAILURE }
}

/// A supervisor's line is one of the log; what a process says that is to become the command is part of the job's output.
#[allow(clippy::print_stderr)]
fn tell(line: &str) {
    if enabled!(Level::ERROR) {
        error!(event = events::ATTEMPT_RETURNED, "{line}");
    } else {
        eprintln!("{} {line}", Clock::system().now());
    }
}
