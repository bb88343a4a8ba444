//! Who listens to what the library says with `tracing`: lines on standard error or in the journal, and for a server in
//! `daemon/daemon.log` too, where `jobs log` finds them.
//!
//! A server (`daemon`, `work`, `run`) speaks from `info` on; every other command is silent unless `RECOVERYCTL_LOG` is
//! set. Only this program's own modules are heard: what libraries say may hold addresses and headers that are secret.
//! A supervisor writes JSON lines to its standard error, which is `daemon/supervisors.log`, and is told the filter by
//! an argument: its environment is its job's.

mod fields;
mod journal;
mod layer;
#[cfg(feature = "otel")]
mod otel;
mod stream;
mod text;

use std::path::PathBuf;
use std::sync::OnceLock;

use clap::{Args, ValueEnum};
use recovery::logging::{Level, LogFile};
use recovery::state::StateDir;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;

use self::journal::Journal;
use self::layer::{LogLayer, Sink};
use self::stream::Stream;
use crate::error::{CliError, ErrorKind};
use crate::globals::Globals;
use crate::paint::Paint;

/// The variable with the filter.
const VARIABLE: &str = "RECOVERYCTL_LOG";
/// The targets of this program's crates begin so.
const OWN_TARGETS: &str = "recovery";

/// Where a server's own lines go.
static FILE: OnceLock<LogFile> = OnceLock::new();
/// The filter as it was given, for supervisors.
static FILTER: OnceLock<String> = OnceLock::new();

/// How a server says what it does.
#[derive(Debug, Args)]
pub(crate) struct LogArgs {
    /// The form of what is said on standard error; RECOVERYCTL_LOG says what is [env: RECOVERYCTL_LOG]
    #[arg(long, value_name = "FORM", value_enum, default_value_t)]
    log_format: LogFormat,
    /// Where the journal takes datagrams, for tests
    #[arg(long, hide = true, value_name = "PATH", default_value = journal::SOCKET)]
    journal_socket: PathBuf,
}

/// The form of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum LogFormat {
    /// The journal's fields where standard error is the journal, else text.
    #[default]
    Auto,
    /// A line for people.
    Text,
    /// A JSON object a line.
    Json,
    /// The journal's fields.
    Journal,
}

/// Listens from now on, if anybody is to: to the command of this word, and how it speaks if it is a server.
pub(crate) fn listen(
    globals: &Globals,
    word: &'static str,
    server: Option<&LogArgs>,
) -> Result<(), CliError> {
    let given = std::env::var_os(VARIABLE).filter(|given| !given.is_empty());
    let given =
        given.map(|given| given.into_string().map_err(|_| bad_filter("it is not UTF-8"))).transpose()?;
    if server.is_none() && given.is_none() {
        return Ok(());
    }
    let filter = parse_filter(given.as_deref().unwrap_or("info"))?;
    given.into_iter().for_each(|given| drop(FILTER.set(given)));
    let sink = match server {
        Some(args) => sink(args, globals)?,
        None => text_sink(globals),
    };
    // Results and errors only: what goes to the file is all the same.
    let least = if globals.quiet { Level::Error } else { Level::Trace };
    begin(LogLayer::new(word, sink, least, server.map(|_| &FILE)), filter)
}

/// The last lines and spans are handed on.
pub(crate) fn finish() {
    #[cfg(feature = "otel")]
    otel::finish();
}

/// Listens in a supervisor or keeper; a filter that cannot be read was refused by the process that hands it on.
pub(crate) fn listen_hidden(process: &'static str, filter: Option<&str>) {
    let filter: Option<Targets> = filter.and_then(|filter| filter.parse().ok());
    let filter = filter.unwrap_or_else(|| Targets::new().with_default(LevelFilter::INFO));
    // Why a job was not started is read from these lines (`why_not_started`).
    let least = filter.default_level().unwrap_or(LevelFilter::OFF).max(LevelFilter::WARN);
    let filter = own(&filter.with_default(least));
    let layer = LogLayer::new(process, Sink::Json(Stream::stderr()), Level::Trace, None);
    // It has the environment of its job: no collector is named there, and nothing else can fail.
    let _ = begin(layer, filter);
}

/// From now on lines are also kept in the state directory.
pub(crate) fn keep_in(dir: &StateDir) {
    // The first one counts: a process works in one.
    let _ = FILE.set(LogFile::new(dir.disk.clone(), dir.paths.daemon_log()));
}

/// The filter that this process was given, for those that it starts.
pub(crate) fn given_filter() -> Option<&'static str> {
    FILTER.get().map(String::as_str)
}

fn begin(layer: LogLayer, filter: Targets) -> Result<(), CliError> {
    #[cfg(feature = "otel")]
    let registry = tracing_subscriber::registry().with(otel::layer(filter.clone())?);
    #[cfg(not(feature = "otel"))]
    let registry = tracing_subscriber::registry();
    // Refused only when somebody listens already, and this is called once a process.
    let _ = registry.with(layer.with_filter(filter)).try_init();
    Ok(())
}

fn parse_filter(text: &str) -> Result<Targets, CliError> {
    let parsed: Targets = text.parse().map_err(bad_filter)?;
    Ok(own(&parsed))
}

/// The filter, for this program's modules alone.
fn own(filter: &Targets) -> Targets {
    let all = Targets::new().with_target(OWN_TARGETS, filter.default_level().unwrap_or(LevelFilter::OFF));
    all.with_targets(filter.iter().filter(|(target, _)| target.starts_with(OWN_TARGETS)))
}

fn bad_filter(why: impl std::fmt::Display) -> CliError {
    CliError::new(ErrorKind::Usage, format!("{VARIABLE}: {why}"))
        .hint("a level (error, warn, info, debug, trace), or MODULE=LEVEL, separated by commas")
        .hint("such as RECOVERYCTL_LOG=info,recovery::webhooks=debug")
}

fn sink(args: &LogArgs, globals: &Globals) -> Result<Sink, CliError> {
    Ok(match args.log_format {
        LogFormat::Text => text_sink(globals),
        LogFormat::Json => Sink::Json(Stream::stderr()),
        LogFormat::Journal => {
            let socket = &args.journal_socket;
            let journal = Journal::connect(socket).map_err(|e| {
                let message = format!("the journal at {} cannot be used: {e}", socket.display());
                CliError::new(ErrorKind::Usage, message).hint("leave --log-format out, or give text or json")
            })?;
            Sink::Journal(journal, Stream::stderr())
        }
        LogFormat::Auto if journal::is_behind_stderr() => match Journal::connect(&args.journal_socket) {
            Ok(journal) => Sink::Journal(journal, Stream::stderr()),
            Err(_) => text_sink(globals), // The journal has the lines then, as text.
        },
        LogFormat::Auto => text_sink(globals),
    })
}

fn text_sink(globals: &Globals) -> Sink {
    Sink::Text(Stream::stderr(), Paint::for_stream(globals.color, &std::io::stderr()))
}

#[cfg(test)]
mod tests {
    use tracing_subscriber::filter::Targets;

    use super::*;

    fn enables(filter: &Targets, target: &str, level: tracing::Level) -> bool {
        filter.would_enable(target, &level)
    }

    #[test]
    fn filter_is_for_own_modules_only() {
        let filter = parse_filter("debug,recovery::webhooks=trace,hyper=trace").unwrap();
        assert!(enables(&filter, "recovery::locks", tracing::Level::DEBUG));
        assert!(enables(&filter, "recoveryctl::http", tracing::Level::DEBUG));
        assert!(enables(&filter, "recovery::webhooks::engine", tracing::Level::TRACE));
        assert!(!enables(&filter, "recovery::locks", tracing::Level::TRACE));
        assert!(!enables(&filter, "hyper::proto", tracing::Level::ERROR));
    }

    #[test]
    fn filter_of_modules_alone_leaves_the_others_silent() {
        let filter = parse_filter("recovery::locks=debug").unwrap();
        assert!(!enables(&filter, "recovery::webhooks", tracing::Level::ERROR));
        assert!(parse_filter("recovery=loud").is_err());
    }
}
