//! `submit --from FILE`: many jobs as JSON Lines.
//!
//! Lines go in by batches, each with one sync; an id is printed only after its batch is on disk, so
//! somebody who kills us midway knows from our output which lines are in. Memory is bounded by a batch; with
//! `--all-or-nothing` by what one record of the queue log holds.

use std::collections::{BTreeMap, HashSet};
use std::io::{self, BufRead, BufReader, IsTerminal};
use std::path::Path;

use recovery::queue::{CheckedRequest, JobExists, JobRequest, RequestDefaults, SubmitError, Submitter};
use recovery::state::StateDir;
use serde::Serialize;

use crate::command::submit::lines::{Line, Lines};
use crate::context::Context;
use crate::error::{CliError, Ending, ErrorDocument, ErrorKind};
use crate::output::Output;

/// A batch ends with so many good lines …
const BATCH_LINES: usize = 10_000;
/// … or with so many bytes of them and of the environment that each job gets.
const BATCH_BYTES: usize = 16 << 20;
/// The same when they go in together: one record takes at most 100 MB, and JSON written anew may be longer than it
/// came.
const TOGETHER_BYTES: usize = 32 << 20;
/// So many bad lines are kept for the report; all are counted, and as text all are told.
const ERRORS_KEPT: usize = 100_000;

#[derive(Debug, Serialize)]
struct FromReport {
    submitted: Vec<SubmittedLine>,
    errors: Vec<LineError>,
    /// More than `errors` has when there were very many.
    errors_total: u64,
    /// Lines that are not blank.
    total: u64,
    dry_run: bool,
    /// Why it ended before its time, or why nothing went in.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    error: Option<ErrorDocument>,
}

#[derive(Debug, Serialize)]
struct SubmittedLine {
    line: u64,
    /// None in a dry run of a job without a name.
    job_id: Option<String>,
    /// Sequence number of its record; none in a dry run.
    seq: Option<u64>,
}

#[derive(Debug, Serialize)]
struct LineError {
    line: u64,
    message: String,
}

/// Good lines that wait for their sync.
#[derive(Debug, Default)]
struct Batch {
    lines: Vec<u64>,
    requests: Vec<CheckedRequest>,
    bytes: usize,
}

impl Batch {
    fn is_full(&self) -> bool {
        self.requests.len() >= BATCH_LINES || self.bytes >= BATCH_BYTES
    }
}

/// One run: what was read so far, and what became of it.
struct Intake<'a> {
    output: &'a mut Output,
    defaults: &'a RequestDefaults,
    report: FromReport,
    batch: Batch,
}

pub(crate) fn submit_from(
    context: &mut Context,
    file: &Path,
    all_or_nothing: bool,
    defaults: &RequestDefaults,
) -> Result<Ending, CliError> {
    let (actor, dry_run) = (context.actor(), context.is_dry_run());
    let input = open(context, file)?;
    // A dry run makes no state directory; without one no name can be taken.
    let dir = if dry_run {
        context.operation()?.state_dir_if_any()?
    } else {
        Some(context.operation()?.state_dir_or_create()?)
    };
    let report = FromReport {
        submitted: Vec::new(),
        errors: Vec::new(),
        errors_total: 0,
        total: 0,
        dry_run,
        error: None,
    };
    let mut intake = Intake { output: &mut context.output, defaults, report, batch: Batch::default() };
    let submitter = dir.as_ref().map(|dir: &StateDir| Submitter::new(dir, &actor));
    let outcome = match submitter {
        Some(mut submitter) if dry_run => intake.rehearse(input, Some(&mut submitter)),
        None => intake.rehearse(input, None),
        Some(mut submitter) if all_or_nothing => intake.together(input, &mut submitter),
        Some(mut submitter) => intake.by_batches(input, &mut submitter),
    };
    let mut report = intake.report;
    let ending = outcome.and_then(|()| judge(&report, all_or_nothing));
    report.errors.sort_by_key(|e| e.line); // Names are settled batch by batch.
    report.error = ending.as_ref().err().map(CliError::document);
    context.output.report(&report, |_| {}); // As text each line was told when it was settled.
    ending
}

fn open(context: &mut Context, file: &Path) -> Result<Box<dyn BufRead>, CliError> {
    if let Some(input) = context.client_input() {
        return Ok(input);
    }
    if file.as_os_str() == "-" {
        if io::stdin().is_terminal() {
            context.output.note("reading jobs from the terminal, a JSON object a line; Ctrl-D ends");
        }
        return Ok(Box::new(io::stdin().lock()));
    }
    let cannot = |e: io::Error| {
        CliError::new(ErrorKind::Failed, format!("cannot read {}: {e}", file.display())).code("input")
    };
    let opened = recovery::durable::plain::open(file).map_err(cannot)?;
    if opened.metadata().map_err(cannot)?.is_dir() {
        return Err(cannot(io::Error::from(io::ErrorKind::IsADirectory)));
    }
    Ok(Box::new(BufReader::with_capacity(1 << 16, opened)))
}

/// How it all ended.
fn judge(report: &FromReport, all_or_nothing: bool) -> Result<Ending, CliError> {
    let failed = |message: String| Err(CliError::new(ErrorKind::Failed, message).code("bad-lines"));
    match (report.errors_total, report.submitted.len() as u64) {
        (0, _) => Ok(Ending::Done),
        (bad, _) if all_or_nothing => {
            failed(format!("nothing was submitted: {bad} of {} lines are bad", report.total))
        }
        (bad, 0) => failed(format!("nothing was submitted: all {bad} lines are bad")),
        _ => Ok(Ending::Degraded),
    }
}

/// As a record has them: `"NAME":"value",`, where many characters take two bytes.
fn bytes_of(env: &BTreeMap<String, String>) -> usize {
    env.iter().map(|(name, value)| name.len() + value.len() + 6).sum()
}

impl Intake<'_> {
    /// The next good line into the batch; false at the end.
    fn take(&mut self, lines: &mut Lines<Box<dyn BufRead>>) -> Result<bool, CliError> {
        let cannot =
            |e: io::Error| CliError::new(ErrorKind::Failed, format!("cannot read on: {e}")).code("input");
        let Some((number, line)) = lines.next_line().map_err(cannot)? else { return Ok(false) };
        self.report.total += 1;
        let checked = match line {
            Line::TooLong => {
                Err(format!("it has more than {} bytes", crate::command::submit::lines::LONGEST))
            }
            Line::Whole(bytes) => {
                self.batch.bytes += bytes.len();
                JobRequest::from_json(bytes).and_then(|r| r.check(self.defaults)).map_err(|e| e.to_string())
            }
        };
        match checked {
            Ok(request) => {
                // What every job gets besides is in its record as well.
                self.batch.bytes += bytes_of(&request.submission.spec.env);
                self.batch.lines.push(number);
                self.batch.requests.push(request);
            }
            Err(message) => self.refuse(number, message),
        }
        Ok(true)
    }

    fn by_batches(&mut self, input: Box<dyn BufRead>, submitter: &mut Submitter<'_>) -> Result<(), CliError> {
        let mut lines = Lines::new(input);
        loop {
            // What was good before the input failed goes in all the same.
            let more = self.take(&mut lines);
            if self.batch.is_full() || !matches!(more, Ok(true)) {
                self.enter(submitter)?;
            }
            if !more? {
                return Ok(());
            }
        }
    }

    fn enter(&mut self, submitter: &mut Submitter<'_>) -> Result<(), CliError> {
        let Batch { lines, requests, .. } = std::mem::take(&mut self.batch);
        let answers = match submitter.enter(requests) {
            Ok(answers) => answers,
            Err(error) => return Err(self.not_entered(&lines, error)),
        };
        for (line, answer) in lines.into_iter().zip(answers) {
            match answer {
                Ok(entered) => self.accept(line, Some(entered.job.to_string()), Some(entered.seq)),
                Err(taken) => self.refuse(line, taken.to_string()),
            }
        }
        self.output.flush();
        Ok(())
    }

    /// None of these lines was acknowledged; those before them were.
    fn not_entered(&mut self, lines: &[u64], error: SubmitError) -> CliError {
        for line in lines {
            self.keep_error(*line, "it was not submitted, because the queue could not take it".to_owned());
        }
        let first = lines.first().copied().unwrap_or_default();
        CliError::from(error)
            .hint(format!("all good lines before line {first} are in; submit the rest again"))
    }

    fn together(&mut self, input: Box<dyn BufRead>, submitter: &mut Submitter<'_>) -> Result<(), CliError> {
        self.read_all(input)?;
        let Batch { lines, requests, .. } = std::mem::take(&mut self.batch);
        if self.report.errors_total > 0 {
            return self.refuse_taken(&lines, &requests, submitter);
        }
        match submitter.enter_together(requests)? {
            Ok(entered) => {
                for (line, entered) in lines.into_iter().zip(entered) {
                    self.accept(line, Some(entered.job.to_string()), Some(entered.seq));
                }
            }
            Err(taken) => {
                taken.into_iter().for_each(|(at, exists)| self.refuse(lines[at], exists.to_string()));
            }
        }
        Ok(())
    }

    /// Nothing goes in, and the person who mends the lines is to know of all that are bad.
    fn refuse_taken(
        &mut self,
        lines: &[u64],
        requests: &[CheckedRequest],
        submitter: &mut Submitter<'_>,
    ) -> Result<(), CliError> {
        let mut seen = HashSet::new();
        for (line, request) in lines.iter().zip(requests).filter(|(_, r)| r.is_named) {
            let job = &request.submission.job;
            if !seen.insert(job) || submitter.is_taken(job)? {
                self.refuse(*line, JobExists(job.clone()).to_string());
            }
        }
        Ok(())
    }

    fn read_all(&mut self, input: Box<dyn BufRead>) -> Result<(), CliError> {
        let mut lines = Lines::new(input);
        while self.take(&mut lines)? {
            if self.batch.bytes > TOGETHER_BYTES {
                let message =
                    format!("more than {TOGETHER_BYTES} bytes cannot go in together; nothing was submitted");
                return Err(CliError::new(ErrorKind::Failed, message)
                    .code("batch-too-large")
                    .hint("submit it without --all-or-nothing, or in parts")
                    .hint("each job takes its environment with it; without: --export none"));
            }
        }
        Ok(())
    }

    /// Reads and checks everything, and enters nothing.
    fn rehearse(
        &mut self,
        input: Box<dyn BufRead>,
        mut submitter: Option<&mut Submitter<'_>>,
    ) -> Result<(), CliError> {
        let (mut lines, mut seen) = (Lines::new(input), HashSet::new());
        while self.take(&mut lines)? {
            let Batch { lines, requests, .. } = std::mem::take(&mut self.batch);
            for (line, request) in lines.into_iter().zip(requests) {
                let job = request.submission.job;
                if !request.is_named {
                    self.accept(line, None, None);
                } else if !seen.insert(job.clone())
                    || submitter.as_mut().map_or(Ok(false), |s| s.is_taken(&job))?
                {
                    self.refuse(line, JobExists(job).to_string());
                } else {
                    self.accept(line, Some(job.to_string()), None);
                }
            }
        }
        Ok(())
    }

    fn accept(&mut self, line: u64, job_id: Option<String>, seq: Option<u64>) {
        if !self.output.is_json() {
            let text = match (&job_id, seq) {
                (Some(id), Some(_)) => format!("{id}\n"),
                (Some(id), None) => format!("line {line}: would submit {id}\n"),
                (None, _) => format!("line {line}: would submit a new job\n"),
            };
            self.output.bytes(text.as_bytes());
        }
        // As text only the count is needed from here on.
        let job_id = job_id.filter(|_| self.output.is_json());
        self.report.submitted.push(SubmittedLine { line, job_id, seq });
    }

    /// As text a bad line is told at once: the operator may stop us and mend it.
    fn refuse(&mut self, line: u64, message: String) {
        if !self.output.is_json() {
            let error = CliError::new(ErrorKind::Usage, format!("line {line}: {message}"));
            self.output.error(&error);
        }
        self.keep_error(line, message);
    }

    fn keep_error(&mut self, line: u64, message: String) {
        self.report.errors_total += 1;
        if self.output.is_json() && self.report.errors.len() < ERRORS_KEPT {
            self.report.errors.push(LineError { line, message });
        }
    }
}
