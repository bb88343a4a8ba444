//! Carries out a command line for a client of the daemon, with what it writes kept apart.

use std::ffi::OsString;
use std::io::{self, Write};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};

use recovery::operations::{self, Answered, Call, FrontEnd, Site};
use serde_json::{Map, Value};

use super::auth::Principal;
use crate::cli;
use crate::configuration::Loaded;
use crate::context::{Client, Context};
use crate::error::{CliError, Ending};
use crate::globals::Globals;
use crate::interruption::Interruption;
use crate::output::{Output, RemoteStreams, Streams};

/// Bytes that were written, to be taken by somebody else.
#[derive(Debug, Clone, Default)]
struct Kept(Arc<Mutex<Vec<u8>>>);

impl Kept {
    fn take(&self) -> Vec<u8> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Write for Kept {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What came of a command.
#[derive(Debug)]
pub(super) struct Carried {
    pub(super) ended: Result<Ending, CliError>,
    /// What it wrote to stdout: the document, with the line's end.
    pub(super) document: Vec<u8>,
}

impl Carried {
    /// Of what is not carried out here.
    pub(super) fn nothing() -> Carried {
        Carried { ended: Err(CliError::internal("no operation")), document: Vec::new() }
    }

    /// The document's members, when it is an object.
    pub(super) fn members(&self) -> Option<Map<String, Value>> {
        serde_json::from_slice(&self.document).ok()
    }
}

/// Carries out the words behind the program's name.
pub(super) fn carry_out(loaded: Loaded, principal: &Principal, words: Vec<OsString>) -> Carried {
    let arguments: Vec<OsString> = std::iter::once("recoveryctl".into()).chain(words).collect();
    match cli::parse(&arguments) {
        Err(error) => {
            let ended = Err(cli::usage_error(&error.render().to_string()));
            Carried { ended, document: Vec::new() }
        }
        Ok((globals, command)) => {
            let by = (principal, &arguments[1..]);
            with_context(loaded, globals, command.word(), by, |context| cli::dispatch(context, command))
        }
    }
}

/// Gives something what an operation works with; `words` are its command line, for the trail.
pub(super) fn in_context<T>(
    site: Site,
    principal: &Principal,
    (reason, dry_run): (Option<&str>, bool),
    words: &[OsString],
    run: impl FnOnce(&mut operations::Context<'_>) -> T,
) -> T {
    let word = words.iter().filter_map(|word| word.to_str()).find(|word| !word.starts_with('-'));
    let call = Call {
        actor: principal.invoker(words).actor(word.unwrap_or_default(), reason),
        dry_run,
        sees_output: principal.sees_output,
        inside: None,
        folder: None,
    };
    run(&mut operations::Context::new(site, call, Nobody))
}

impl From<Answered> for Carried {
    fn from(Answered { ended, document }: Answered) -> Carried {
        let report = ended.as_ref().err().and_then(CliError::report_json);
        let document = report.map_or(document, |report| report.to_string().into_bytes());
        Carried { ended, document }
    }
}

/// Nobody reads along: a client gets the report. It has said what is to be done, so it agrees.
struct Nobody;

impl FrontEnd for Nobody {
    fn warn(&mut self, _sentence: &str) {}

    fn note(&mut self, _sentence: &str) {}

    fn agrees(&mut self, _question: &str) -> Option<bool> {
        Some(true)
    }
}

/// Runs something that takes a command's context and reports as `--json` does, for who asks and with the words that the
/// trail gets.
pub(super) fn with_context(
    loaded: Loaded,
    globals: Globals,
    word: &'static str,
    (principal, words): (&Principal, &[OsString]),
    act: impl FnOnce(&mut Context) -> Result<Ending, CliError>,
) -> Carried {
    let (stdout, stderr) = (Kept::default(), Kept::default());
    let to = RemoteStreams {
        stdout: Box::new(stdout.clone()),
        stderr: Box::new(stderr),
        question: Box::new(|_| {}),
    };
    let output = Output::remote((true, false, 0), Streams::default(), (false, false), to);
    let interruption = Interruption::remote(Arc::new(AtomicBool::new(false)));
    let client = Client { input: Box::new(io::empty()), folder: None, sees_output: principal.sees_output };
    let invoker = principal.invoker(words);
    let mut context = Context::remote(output, interruption, globals, word, invoker, (loaded, client));
    let mut ended = act(&mut context);
    if let Err(failed) = context.output.finish() {
        ended = ended.and(Err(failed));
    }
    Carried { ended, document: stdout.take() }
}
