//! The command line: global flags, the commands, and the match that runs them.

use std::ffi::{OsStr, OsString};
use std::process::ExitCode;

use clap::error::ErrorKind as ClapKind;
use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand};
use recovery::operations::jobs::ResumeJobs;
use recovery::operations::locks::ReleaseLock;
use recovery::operations::queue::RepairRequest;
use recovery::operations::recovery::SkipPhase;
use recovery::operations::status::StatusRequest;
use recovery::operations::trail::AuditRequest;
use recovery::operations::why::WhyRequest;

use crate::command::cleanup::{CleanupArgs, cmd_cleanup};
use crate::command::completions::{CompletionsArgs, cmd_completions};
use crate::command::config::{ConfigArgs, cmd_config};
use crate::command::daemon::{DaemonArgs, cmd_daemon};
use crate::command::demo::{DemoArgs, cmd_demo};
use crate::command::explain::{ExplainArgs, cmd_explain};
use crate::command::findings::{FindingsArgs, cmd_findings};
use crate::command::health::{HealthArgs, cmd_health, plugin_line};
use crate::command::import::{ImportArgs, cmd_import};
use crate::command::init::{InitArgs, cmd_init};
use crate::command::jobs::{JobsArgs, cmd_jobs};
use crate::command::locks::lock::{LockArgs, cmd_lock};
use crate::command::locks::{LocksArgs, cmd_locks};
use crate::command::man::{ManArgs, cmd_man};
use crate::command::openapi::{OpenapiArgs, cmd_openapi};
use crate::command::orphans::{OrphansArgs, cmd_orphans};
use crate::command::queue::{QueueArgs, cmd_queue};
use crate::command::recover::{RecoverArgs, cmd_recover};
use crate::command::recovery::{RecoveryArgs, cmd_recovery};
use crate::command::retry::{RetryArgs, cmd_retry};
use crate::command::scan::{ScanArgs, cmd_scan};
use crate::command::startup::{StartupArgs, cmd_startup};
use crate::command::state::{StateArgs, cmd_state};
use crate::command::submit::{SubmitArgs, cmd_submit};
use crate::command::token::{TokenArgs, cmd_token};
use crate::command::tui::{TuiArgs, cmd_tui};
use crate::command::webhooks::{WebhooksArgs, cmd_webhooks};
use crate::command::work::{RunArgs, WorkArgs, cmd_run, cmd_work};
use crate::context::Context;
use crate::error::{CliError, Ending, ErrorKind, status_table};
use crate::globals::Globals;
use crate::interruption::Interruption;
use crate::log::{self, LogArgs};
use crate::operate::operate;
use crate::output::Output;
use crate::paint::ColorChoice;
use crate::remote::{Target, target};
use crate::surroundings;

/// Brings a batch-job server back after any crash: nothing acknowledged is lost, nothing alive is
/// deleted, nothing runs twice at once.
#[derive(Debug, Parser)]
#[command(name = "recoveryctl", version, propagate_version = true, subcommand_required = true)]
#[command(arg_required_else_help = true, max_term_width = 110)]
struct Program {
    #[command(flatten)]
    globals: Globals,
}

/// A command line that was understood.
#[derive(Debug)]
struct Cli {
    globals: Globals,
    command: Command,
}

/// Makes the enum of the commands from their words and arguments.
macro_rules! commands {
    ($($word:literal $command:ident($arguments:ty),)*) => {
        #[derive(Debug, Subcommand)]
        pub(crate) enum Command {
            $(#[command(name = $word)] $command($arguments),)*
        }

        impl Command {
            /// Returns the command's word, for the audit trail.
            pub(crate) fn word(&self) -> &'static str {
                match self {
                    $(Command::$command(_) => $word,)*
                }
            }

            /// Defines the command of this word alone.
            fn definition_of(word: &str) -> Option<clap::Command> {
                match word {
                    $($word => Some(<$arguments>::augment_args(clap::Command::new($word))),)*
                    _ => None,
                }
            }
        }
    };
}

commands! {
    "init" Init(InitArgs),
    "submit" Submit(Box<SubmitArgs>),
    "jobs" Jobs(JobsArgs),
    "queue" Queue(QueueArgs),
    "locks" Locks(LocksArgs),
    "lock" Lock(LockArgs),
    "release" Release(ReleaseLock),
    "repair" Repair(RepairRequest),
    "why" Why(WhyRequest),
    "audit" Audit(AuditRequest),
    "resume" Resume(ResumeJobs),
    "retry" Retry(RetryArgs),
    "skip" Skip(SkipPhase),
    "cleanup" Cleanup(CleanupArgs),
    "scan" Scan(ScanArgs),
    "orphans" Orphans(OrphansArgs),
    "status" Status(StatusRequest),
    "findings" Findings(FindingsArgs),
    "health" Health(HealthArgs),
    "token" Token(TokenArgs),
    "recover" Recover(RecoverArgs),
    "webhooks" Webhooks(WebhooksArgs),
    "recovery" Recovery(RecoveryArgs),
    "tui" Tui(TuiArgs),
    "startup" Startup(StartupArgs),
    "state" State(StateArgs),
    "work" Work(WorkArgs),
    "run" Run(RunArgs),
    "daemon" Daemon(DaemonArgs),
    "import" Import(ImportArgs),
    "demo" Demo(DemoArgs),
    "config" Config(ConfigArgs),
    "explain" Explain(ExplainArgs),
    "completions" Completions(CompletionsArgs),
    "man" Man(ManArgs),
    "openapi" Openapi(OpenapiArgs),
}

impl Command {
    /// Whether a daemon can execute it. Others work where they are given: on a terminal, on files of this
    /// machine, or as a process of their own.
    fn is_for_a_daemon(&self) -> bool {
        !matches!(
            self,
            Command::Init(_)
                | Command::Lock(_)
                | Command::Work(_)
                | Command::Run(_)
                | Command::Daemon(_)
                | Command::Import(_)
                | Command::Demo(_)
                | Command::Config(_)
                | Command::Tui(_)
        ) && !self.is_offline()
    }

    /// Whether it is a plugin of a monitoring system, which may print one line and has four exit statuses.
    fn is_plugin(&self) -> bool {
        matches!(self, Command::Health(args) if args.is_plugin())
    }

    /// Whether it needs neither a state directory nor a daemon.
    pub(crate) fn is_offline(&self) -> bool {
        matches!(self, Command::Explain(_) | Command::Completions(_) | Command::Man(_) | Command::Openapi(_))
    }

    /// Returns its logging arguments, if it is a server, that is, if it starts jobs.
    fn log(&self) -> Option<&LogArgs> {
        match self {
            Command::Daemon(args) => Some(&args.log),
            Command::Work(args) => Some(&args.log),
            Command::Run(args) => Some(&args.log),
            _ => None,
        }
    }

    /// Whether it changes the state directory itself, so that a copy must be refused before; other changes are
    /// operations, which refuse a copy themselves.
    fn changes_by_itself(&self) -> bool {
        matches!(
            self,
            Command::Lock(_)
                | Command::Work(_)
                | Command::Run(_)
                | Command::Daemon(_)
                | Command::Import(_)
                | Command::Recover(_)
        )
    }
}

/// Runs a command.
fn dispatch(context: &mut Context, command: Command) -> Result<Ending, CliError> {
    if command.changes_by_itself() && !context.is_elsewhere() && !context.is_dry_run() {
        context.operation()?.refuse_in_a_copy()?;
    }
    match command {
        Command::Init(args) => cmd_init(context, &args),
        Command::Submit(args) => cmd_submit(context, *args),
        Command::Jobs(args) => cmd_jobs(context, &args),
        Command::Queue(args) => cmd_queue(context, &args),
        Command::Locks(args) => cmd_locks(context, &args),
        Command::Lock(args) => cmd_lock(context, &args),
        Command::Release(request) => operate(context, &request),
        Command::Repair(request) => operate(context, &request),
        Command::Why(request) => operate(context, &request),
        Command::Audit(request) => operate(context, &request),
        Command::Resume(request) => operate(context, &request),
        Command::Retry(args) => cmd_retry(context, &args),
        Command::Skip(request) => operate(context, &request),
        Command::Cleanup(args) => cmd_cleanup(context, &args),
        Command::Scan(args) => cmd_scan(context, &args),
        Command::Orphans(args) => cmd_orphans(context, &args),
        Command::Status(request) => operate(context, &request),
        Command::Findings(args) => cmd_findings(context, &args),
        Command::Health(args) => cmd_health(context, &args),
        Command::Token(args) => cmd_token(context, &args),
        Command::Recover(args) => cmd_recover(context, &args),
        Command::Webhooks(args) => cmd_webhooks(context, &args),
        Command::Recovery(args) => cmd_recovery(context, &args),
        Command::Tui(args) => cmd_tui(context, &args),
        Command::Startup(args) => cmd_startup(context, &args),
        Command::State(args) => cmd_state(context, &args),
        Command::Work(args) => cmd_work(context, &args),
        Command::Run(args) => cmd_run(context, &args),
        Command::Daemon(args) => cmd_daemon(context, &args),
        Command::Import(args) => cmd_import(context, &args),
        Command::Demo(args) => cmd_demo(context, &args),
        Command::Config(args) => cmd_config(context, &args),
        Command::Explain(args) => cmd_explain(context, &args),
        Command::Completions(args) => cmd_completions(context, &args, definition()),
        Command::Man(args) => cmd_man(context, &args, definition()),
        Command::Openapi(args) => cmd_openapi(context, &args),
    }
}

/// The command line's definition, with the table of exit statuses at the end of the long help.
pub(crate) fn definition() -> clap::Command {
    Command::augment_subcommands(Program::command()).after_long_help(status_table())
}

/// What `--version` prints, as clap makes it. Scripts ask for nothing else, and need no definition for that.
fn version_line() -> String {
    format!("recoveryctl {}\n", env!("CARGO_PKG_VERSION"))
}

/// Understands a command line.
///
/// To define all commands takes longer than most of them do, so only the one whose word is given is defined. Whatever
/// that does not settle (a help text, a mistake, which may be the word) is left to the whole definition.
fn parse(arguments: &[OsString], color: clap::ColorChoice) -> Result<Cli, clap::Error> {
    let word = arguments.iter().skip(1).find_map(|word| Command::definition_of(word.to_str()?));
    let parsed = word.into_iter().fold(Program::command(), clap::Command::subcommand);
    let parsed = match parsed.color(color).try_get_matches_from(arguments) {
        Err(error) if error.kind() != ClapKind::DisplayVersion => {
            definition().color(color).try_get_matches_from(arguments)
        }
        settled => settled,
    };
    let matches = parsed?;
    let (Program { globals }, command) =
        (Program::from_arg_matches(&matches)?, Command::from_arg_matches(&matches)?);
    Ok(Cli { globals, command })
}

/// Parses, runs, and turns the outcome into an exit status.
pub(crate) fn run(arguments: &[OsString]) -> ExitCode {
    let guessed = Guess::from(arguments);
    if let [_, word] = arguments
        && (word == "--version" || word == "-V")
    {
        let mut output = Output::new(false, false, 0, guessed.color);
        output.bytes(version_line().as_bytes());
        return end(&mut output, Ok(Ending::Done));
    }
    let cli = match parse(arguments, guessed.clap_color()) {
        Ok(cli) => cli,
        Err(error) => return answer_without_command(&error, guessed),
    };
    match &cli.command {
        Command::Lock(_) => {}
        command if command.log().is_some() => surroundings::enter_server(),
        _ => surroundings::enter(),
    }
    let globals = cli.globals;
    let mut output = Output::new(globals.json, globals.quiet, globals.verbose, globals.color);
    let interruption = match Interruption::install() {
        Ok(interruption) => interruption,
        Err(error) => return end(&mut output, Err(error)),
    };
    if let Err(error) = log::listen(&globals, cli.command.word(), cli.command.log()) {
        return end(&mut output, Err(error));
    }
    let daemon = match is_for_elsewhere(&globals, &cli.command).then(|| elsewhere(&globals, &cli.command)) {
        // The caller knows no other statuses, and reads one line.
        Some(Err(error)) if cli.command.is_plugin() && !output.is_json() => {
            output.bytes(plugin_line("UNKNOWN", &error.message()).as_bytes());
            return end(&mut output, Ok(Ending::Command(3)));
        }
        Some(Err(error)) => return end(&mut output, Err(error)),
        Some(Ok(daemon)) => Some(daemon),
        None => None,
    };
    let mut context = Context::new(output, interruption, globals, cli.command.word());
    if let Some(daemon) = daemon {
        context.ask(daemon);
    }
    let outcome = dispatch(&mut context, cli.command);
    log::finish();
    end(&mut context.output, outcome)
}

/// Returns the daemon that is named, if it can execute this command.
fn elsewhere(globals: &Globals, command: &Command) -> Result<Target, CliError> {
    let daemon = target(globals)?;
    if !command.is_for_a_daemon() {
        let message = format!("'{}' works where it is given, not through a daemon", command.word());
        return Err(CliError::new(ErrorKind::Usage, message)
            .code("not-through-a-daemon")
            .hint("leave --url and --socket out"));
    }
    Ok(daemon)
}

/// Whether a daemon is to be asked. For `daemon` itself, `--socket` says where it listens; the dashboard asks
/// for reports, not for pictures.
fn is_for_elsewhere(globals: &Globals, command: &Command) -> bool {
    let is_named = globals.url.is_some() || globals.socket.is_some();
    is_named && !command.is_offline() && !matches!(command, Command::Daemon(_) | Command::Tui(_))
}

/// Reports the failure, flushes the buffers, decides the exit status.
pub(crate) fn end(output: &mut Output, outcome: Result<Ending, CliError>) -> ExitCode {
    ExitCode::from(status_of(output, outcome))
}

/// As [`end`], as a number.
pub(crate) fn status_of(output: &mut Output, outcome: Result<Ending, CliError>) -> u8 {
    let mut status = match outcome {
        Ok(ending) => ending.status(),
        Err(error) => {
            output.error(&error);
            error.status()
        }
    };
    if let Err(error) = output.finish() {
        output.error(&error);
        status = if status == 0 { error.status() } else { status };
    }
    status
}

/// What the command line seems to ask for, when it cannot be parsed.
#[derive(Debug, Clone, Copy)]
struct Guess {
    json: bool,
    nagios: bool,
    /// The command that runs another one, which must stand behind `--`, when there is no `--`.
    runs: Option<&'static str>,
    color: ColorChoice,
}

impl Guess {
    fn from(arguments: &[OsString]) -> Guess {
        let ours: Vec<&OsStr> =
            arguments.iter().map(OsString::as_os_str).take_while(|a| *a != "--").collect();
        let given = |joined: &str, word: &str| {
            ours.iter().any(|a| *a == joined) || ours.windows(2).any(|w| w[0] == "--color" && w[1] == word)
        };
        let color = match () {
            () if given("--color=never", "never") => ColorChoice::Never,
            () if given("--color=always", "always") => ColorChoice::Always,
            () => ColorChoice::Auto,
        };
        let has = |word: &str| ours.iter().any(|a| *a == word);
        let is_open = ours.len() == arguments.len();
        let runs = [("submit", "submit"), ("lock", "lock REPO")].into_iter().filter(|_| is_open);
        let runs = runs.filter(|(word, _)| has(word)).map(|(_, said)| said).next();
        Guess { json: has("--json"), nagios: has("health") && has("--nagios"), runs, color }
    }

    fn clap_color(self) -> clap::ColorChoice {
        match self.color {
            ColorChoice::Auto => clap::ColorChoice::Auto,
            ColorChoice::Always => clap::ColorChoice::Always,
            ColorChoice::Never => clap::ColorChoice::Never,
        }
    }
}

/// Prints help or version, which are results, or reports what is wrong with the command line.
fn answer_without_command(error: &clap::Error, guessed: Guess) -> ExitCode {
    let mut output = Output::new(guessed.json, false, 0, guessed.color);
    let rendered = error.render();
    if matches!(error.kind(), ClapKind::DisplayHelp | ClapKind::DisplayVersion) {
        output.report(&serde_json::json!({ "text": rendered.to_string() }), |text| text.styled(&rendered));
        return end(&mut output, Ok(Ending::Done));
    }
    if guessed.json {
        let usage = match error.kind() {
            ClapKind::DisplayHelpOnMissingArgumentOrSubcommand => {
                CliError::new(ErrorKind::Usage, "a command is missing").hint("recoveryctl --help")
            }
            _ => usage_error(&rendered.to_string()),
        };
        return end(&mut output, Err(usage));
    }
    if guessed.nagios {
        // The caller knows no other statuses, and reads one line.
        let what = rendered.to_string();
        output.bytes(plugin_line("UNKNOWN", what.trim_start_matches("error: ")).as_bytes());
        return end(&mut output, Ok(Ending::Command(3)));
    }
    output.usage(&rendered);
    if error.kind() == ClapKind::UnknownArgument
        && let Some(word) = guessed.runs
    {
        output.hint(&format!("put -- before the command: recoveryctl {word} -- CMD [ARG]..."));
    }
    ExitCode::from(ErrorKind::Usage.status())
}

/// Takes message and tips from clap's text: the first line, and the lines that begin with `tip:`.
fn usage_error(rendered: &str) -> CliError {
    let mut lines = rendered.lines().map(str::trim).filter(|line| !line.is_empty());
    let message = lines.next().unwrap_or("wrong usage").trim_start_matches("error: ").to_owned();
    let rest: Vec<&str> = lines.collect();
    // A list of missing arguments follows the first line.
    let listed = rest.iter().take_while(|_| message.ends_with(':')).take_while(|l| is_listed(l));
    let message = listed.fold(message.clone(), |all, argument| format!("{all} {argument}"));
    let error = CliError::new(ErrorKind::Usage, message);
    let hints = rest.iter().filter_map(|line| line.strip_prefix("tip: "));
    hints.fold(error, CliError::hint).hint("recoveryctl --help")
}

fn is_listed(line: &str) -> bool {
    !line.starts_with("Usage:") && !line.starts_with("tip:")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_that_is_defined_alone_is_the_one_of_the_whole_definition() {
        let whole = definition();
        for command in whole.get_subcommands() {
            let alone = Command::definition_of(command.get_name()).expect("every command has its definition");
            let help = |command: &clap::Command| command.clone().render_long_help().to_string();
            assert_eq!(help(&alone), help(command));
        }
    }

    #[test]
    fn parse_says_the_same_as_the_whole_definition() {
        for line in [
            "submit -- true",
            "--json submit --from - --all-or-nothing",
            "submit --repo web --priority 3 --env A=b -- make all",
            "--reason submit jobs list --limit 3",
            "--state-dir status --quiet queue status",
            "submit",
            "submit true",
            "submit --nope -- true",
            "jobs",
            "jobs lst",
            "lock",
            "help submit",
            "submit --help",
            "submit -h",
            "submit --version",
            "--version submit",
            "--json --version",
            "--nope --version",
            "nope",
            "",
            "-V",
        ] {
            let arguments: Vec<OsString> =
                std::iter::once("recoveryctl").chain(line.split_whitespace()).map(OsString::from).collect();
            let whole = definition().try_get_matches_from(&arguments).and_then(|matches| {
                Ok((Program::from_arg_matches(&matches)?, Command::from_arg_matches(&matches)?))
            });
            let told = |e: clap::Error| (e.kind(), e.render().ansi().to_string());
            let whole = whole.map(|(Program { globals }, command)| format!("{globals:?} {command:?}"));
            let parsed = parse(&arguments, clap::ColorChoice::Auto);
            let parsed = parsed.map(|Cli { globals, command }| format!("{globals:?} {command:?}"));
            assert_eq!(parsed.map_err(told), whole.map_err(told), "{line}");
        }
    }

    #[test]
    fn version_line_is_the_one_of_the_definition() {
        assert_eq!(version_line(), definition().render_version());
    }
}
