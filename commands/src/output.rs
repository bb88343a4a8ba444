//! The only writer to stdout and stderr.
//!
//! Stdout gets the result: text, or with `--json` exactly one document. Stderr gets notes, warnings and
//! errors. Writing never fails in a command's hands: when the reader of stdout is gone, the rest is
//! dropped silently; any other failure is told once at the end ([`Output::finish`]).
#![allow(clippy::print_stdout, clippy::print_stderr)] // The one place that may.

use std::io::{self, BufWriter, IsTerminal, Stdout, Write};

use clap::builder::StyledStr;
use serde::Serialize;

use crate::error::{CliError, ErrorKind};
use crate::paint::{ColorChoice, Paint, Tone};
use crate::shield::Shield;
use crate::table::printable;
use crate::text::Text;

/// Where results and notes go.
#[derive(Debug)]
pub(crate) struct Output {
    json: bool,
    quiet: bool,
    verbose: u8,
    stdout: BufWriter<Stdout>,
    paint: Paint,
    paint_notes: Paint,
    /// A JSON document was printed; there must not be a second.
    document_printed: bool,
    failure: Option<io::Error>,
    shield: Shield,
}

impl Output {
    pub(crate) fn new(json: bool, quiet: bool, verbose: u8, color: ColorChoice) -> Output {
        Output {
            json,
            quiet,
            verbose,
            stdout: BufWriter::with_capacity(1 << 16, io::stdout()),
            paint: Paint::for_stream(color, &io::stdout()),
            paint_notes: Paint::for_stream(color, &io::stderr()),
            document_printed: false,
            failure: None,
            shield: Shield::default(),
        }
    }

    /// Whether `--quiet` was given.
    pub(crate) fn is_quiet(&self) -> bool {
        self.quiet
    }

    /// Whether the result is to be one JSON document.
    pub(crate) fn is_json(&self) -> bool {
        self.json
    }

    /// Whether results are painted.
    pub(crate) fn has_colors(&self) -> bool {
        self.paint.is_on()
    }

    /// Whether a person seems to read what goes to stderr.
    pub(crate) fn is_attended(&self) -> bool {
        io::stderr().is_terminal()
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
        let written = if io::stdout().is_terminal() {
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
        if io::stdout().is_terminal() {
            let shown = self.shield.shown(bytes);
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
        let _ = writeln!(io::stderr(), "{line}"); // Nobody is left to be told when stderr is gone.
    }

    /// A line about what is being done, to stderr; silent with `--quiet`.
    pub(crate) fn note(&mut self, line: &str) {
        if !self.quiet {
            self.stderr_line(&printable(line));
        }
    }

    /// A line for whoever gave `-v`.
    pub(crate) fn detail(&mut self, line: &str) {
        if self.verbose > 0 {
            self.note(line);
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
        let _ = io::stderr().write_all(text.into_string().as_bytes());
    }

    /// Asks a question on stderr and reads the answer; `None` when nobody can be asked.
    pub(crate) fn ask(&mut self, question: &str) -> Option<String> {
        if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
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
