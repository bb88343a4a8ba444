//! The only writer to stdout and stderr.
//!
//! Stdout gets the result: text, or with `--json` exactly one document. Stderr gets notes, warnings and
//! errors. Writing never fails in a command's hands: when the reader of stdout is gone, the rest is
//! dropped silently; any other failure is told once at the end ([`Output::finish`]).
#![allow(clippy::print_stdout, clippy::print_stderr)] // The one place that may.

use std::io::{self, BufWriter, IsTerminal, Write};

use clap::builder::StyledStr;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde::Serialize;

use crate::control_chars::ControlCharEscaper;
use crate::error::{CliError, Ending, ErrorDocument, ErrorKind};
use crate::paint::{ColorChoice, Paint, Tone};
use crate::table::printable;
use crate::text::Text;

/// What is behind the streams: whether a person types, reads the results, reads the notes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Streams {
    stdin_is_terminal: bool,
    stdout_is_terminal: bool,
    stderr_is_terminal: bool,
}

impl Streams {
    fn own() -> Streams {
        Streams {
            stdin_is_terminal: io::stdin().is_terminal(),
            stdout_is_terminal: io::stdout().is_terminal(),
            stderr_is_terminal: io::stderr().is_terminal(),
        }
    }
}

/// See [`Output::reader_is_gone`].
pub(crate) fn reader_of_stdout_is_gone() -> bool {
    let stdout = io::stdout();
    let mut waited = [PollFd::new(&stdout, PollFlags::empty())];
    let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
    let is_told = poll(&mut waited, Some(&at_once)).is_ok_and(|ready| ready > 0);
    is_told && waited[0].revents().intersects(PollFlags::ERR | PollFlags::HUP)
}

/// A report, with the reason why nothing of what it reports was done.
#[derive(Debug, Serialize)]
pub(crate) struct WithError<R> {
    #[serde(flatten)]
    pub(crate) report: R,
    /// Over HTTP it is the problem that the answer is.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    error: Option<ErrorDocument>,
}

impl<R> WithError<R> {
    /// Of a command that ends so.
    pub(crate) fn new(report: R, ending: &Result<Ending, CliError>) -> WithError<R> {
        WithError { report, error: ending.as_ref().err().map(CliError::document) }
    }
}

/// Where results and notes go.
pub(crate) struct Output {
    json: bool,
    quiet: bool,
    verbose: u8,
    streams: Streams,
    stdout: BufWriter<Box<dyn Write + Send>>,
    stderr: Box<dyn Write + Send>,
    paint: Paint,
    paint_notes: Paint,
    /// A JSON document was printed; there must not be a second.
    document_printed: bool,
    failure: Option<io::Error>,
    escaper: ControlCharEscaper,
}

impl std::fmt::Debug for Output {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Output")
            .field("json", &self.json)
            .field("streams", &self.streams)
            .finish_non_exhaustive()
    }
}

impl Output {
    pub(crate) fn new(json: bool, quiet: bool, verbose: u8, color: ColorChoice) -> Output {
        Output {
            json,
            quiet,
            verbose,
            streams: Streams::own(),
            stdout: BufWriter::with_capacity(1 << 16, Box::new(io::stdout())),
            stderr: Box::new(io::stderr()),
            paint: Paint::for_stream(color, &io::stdout()),
            paint_notes: Paint::for_stream(color, &io::stderr()),
            document_printed: false,
            failure: None,
            escaper: ControlCharEscaper::default(),
        }
    }

    /// One that writes nowhere.
    pub(crate) fn nowhere() -> Output {
        Output {
            streams: Streams::default(),
            stdout: BufWriter::new(Box::new(io::sink())),
            stderr: Box::new(io::sink()),
            ..Output::new(false, true, 0, ColorChoice::Never)
        }
    }

    /// Whether nobody reads the results any more: the other end of the pipe is closed, the terminal is lost. Found
    /// out without writing, so that a command that waits can end then. A file always has a reader.
    pub(crate) fn reader_is_gone(&self) -> bool {
        reader_of_stdout_is_gone()
    }

    /// Whether `--quiet` was given.
    pub(crate) fn is_quiet(&self) -> bool {
        self.quiet
    }

    /// Whether `-v` was given.
    pub(crate) fn is_verbose(&self) -> bool {
        self.verbose > 0
    }

    /// Whether the result is to be one JSON document.
    pub(crate) fn is_json(&self) -> bool {
        self.json
    }

    /// Whether results are painted.
    pub(crate) fn has_colors(&self) -> bool {
        self.paint.is_on()
    }

    /// Whether a person seems to read stderr.
    pub(crate) fn is_attended(&self) -> bool {
        self.streams.stderr_is_terminal
    }

    /// The result of a command: the report itself with `--json`, else the text that `render` makes of it.
    pub(crate) fn report<T: Serialize>(&mut self, report: &T, render: impl FnOnce(&mut Text)) {
        if self.json {
            self.document(report);
        } else {
            let mut text = Text::new(self.paint);
            render(&mut text);
            self.bytes(text.into_string().as_bytes());
        }
    }

    fn document<T: Serialize>(&mut self, document: &T) {
        debug_assert!(!self.document_printed, "one document only");
        self.document_printed = true;
        let written = if self.streams.stdout_is_terminal {
            serde_json::to_vec_pretty(document)
        } else {
            serde_json::to_vec(document)
        };
        match written {
            Ok(mut bytes) => {
                bytes.push(b'\n');
                self.bytes(&bytes);
            }
            Err(e) => self.failure = Some(e.into()),
        }
    }

    /// Bytes as they are: a job's output, a completion script.
    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        if self.failure.is_none() {
            self.failure = self.stdout.write_all(bytes).err();
        }
    }

    /// Bytes that somebody else's program printed: as they are, unless a terminal would obey them.
    pub(crate) fn foreign_bytes(&mut self, bytes: &[u8]) {
        if self.streams.stdout_is_terminal {
            let shown = self.escaper.shown(bytes);
            self.bytes(&shown);
        } else {
            self.bytes(bytes);
        }
    }

    /// Hands on what was written so far, for commands whose output grows while they run.
    /// False when there is no use in going on: the reader is gone.
    pub(crate) fn flush(&mut self) -> bool {
        if self.failure.is_none() {
            self.failure = self.stdout.flush().err();
        }
        self.failure.is_none()
    }

    /// A line to stderr. What was written to stdout before it is handed on before it.
    fn stderr_line(&mut self, line: &str) {
        self.flush();
        let _ = writeln!(self.stderr, "{line}"); // Nobody is left to be told when stderr is gone.
    }

    /// A line about what is being done, to stderr; silent with `--quiet`.
    pub(crate) fn note(&mut self, line: &str) {
        if !self.quiet {
            self.stderr_line(&printable(line));
        }
    }

    /// Something that should not be overlooked; silent with `--quiet`.
    pub(crate) fn warning(&mut self, line: &str) {
        if !self.quiet {
            let word = self.paint_notes.tone(Tone::Warning, "warning:");
            self.stderr_line(&format!("{word} {}", printable(line)));
        }
    }

    /// What to do next; silent with `--quiet`.
    pub(crate) fn hint(&mut self, line: &str) {
        if !self.quiet {
            self.hint_line(line);
        }
    }

    fn hint_line(&mut self, line: &str) {
        self.stderr_line(&format!("{} {}", self.paint_notes.tone(Tone::Good, "hint:"), printable(line)));
    }

    /// How a command failed: the error document on stdout with `--json`, else message, causes and hints
    /// on stderr.
    pub(crate) fn error(&mut self, error: &CliError) {
        if self.json && !self.document_printed {
            self.document(&error.document());
            return;
        }
        let word = self.paint_notes.tone(Tone::Bad, "error:");
        self.stderr_line(&format!("{word} {}", printable(&error.message())));
        for cause in error.causes() {
            self.stderr_line(&format!("  because: {}", printable(&cause)));
        }
        for hint in error.hints() {
            self.hint_line(hint);
        }
    }

    /// What is wrong with the command line, in clap's own words, to stderr.
    pub(crate) fn usage(&mut self, rendered: &StyledStr) {
        let mut text = Text::new(self.paint_notes);
        text.styled(rendered);
        let _ = self.stderr.write_all(text.into_string().as_bytes());
    }

    /// Asks a question on stderr and reads the answer; `None` when nobody can be asked.
    pub(crate) fn ask(&mut self, question: &str) -> Option<String> {
        if !self.streams.stdin_is_terminal || !self.streams.stderr_is_terminal {
            return None;
        }
        let _ = write!(io::stderr(), "{} [y/N] ", printable(question));
        let mut answer = String::new();
        io::stdin().read_line(&mut answer).ok()?;
        Some(answer.trim().to_ascii_lowercase())
    }

    /// Hands on all that was written, and tells of a failure to do so.
    ///
    /// A reader that is gone is no failure: it had seen enough.
    pub(crate) fn finish(&mut self) -> Result<(), CliError> {
        self.flush();
        match self.failure.take() {
            Some(e) if e.kind() != io::ErrorKind::BrokenPipe => {
                self.document_printed = true; // Stdout does not take another one.
                Err(CliError::new(ErrorKind::Failed, format!("cannot write to stdout: {e}")).code("output"))
            }
            _ => Ok(()),
        }
    }
}
