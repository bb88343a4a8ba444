//! `submit --from FILE`: many jobs as JSON Lines.
//!
//! Lines go in by batches, each with one sync; an id is printed only after its batch is on disk, so
//! somebody who kills us midway knows from our output which lines are in. Memory is bounded by a batch; with
//! `--all-or-nothing` by what one record of the queue log holds.

use std::collections::{BTreeMap, HashSet};
use std::io::{self, BufRead};

use super::lines::{LONGEST, Line, Lines};
use super::submit::defaults;
use crate::operations::prelude::*;
use crate::queue::{CheckedRequest, JobExists, JobRequest, RequestDefaults, SubmitError, Submitter};
use crate::state::config::Export;
use crate::state::human;

/// A batch ends with so many good lines …
const BATCH_LINES: usize = 10_000;
/// … or with so many bytes of them and of the environment that each job gets.
const BATCH_BYTES: usize = 16 << 20;
/// The same when they go in together: one record takes at most 100 MB, and JSON written anew may be longer than it
/// came.
const TOGETHER_BYTES: usize = 32 << 20;
/// So many bad lines are kept for the report; all are counted, and as text all are told.
const ERRORS_KEPT: usize = 100_000;

/// Jobs, a JSON object a line, which are read from the request's input.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema, clap::Args)]
pub struct SubmitJobs {
    /// One bad line, and nothing goes in
    #[arg(long)]
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub all_or_nothing: bool,
    /// Which variables of the asking process go along; the configured ones when not given.
    #[arg(skip)]
    #[serde(skip)]
    pub export: Option<Export>,
}

/// What became of each line. Where results are shown as they come it only counts.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs)] // The members are the published form.
pub struct SubmitManyReport {
    pub submitted: Vec<SubmittedLine>,
    pub errors: Vec<LineError>,
    /// More than `errors` has when there were very many.
    pub errors_total: u64,
    /// Lines that are not blank.
    pub total: u64,
    pub dry_run: bool,
}

/// A job that is in the queue.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs)]
pub struct SubmittedLine {
    pub line: u64,
    /// None in a dry run of a job without a name.
    pub job_id: Option<String>,
    /// Sequence number of its record; none in a dry run.
    pub seq: Option<u64>,
}

/// A line that is no job.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs)]
pub struct LineError {
    pub line: u64,
    pub message: String,
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
struct Intake<'a, 'c> {
    context: &'a mut Context<'c>,
    defaults: &'a RequestDefaults,
    report: SubmitManyReport,
    /// How many lines were good; the report has them only where they are not shown as they come.
    entered: u64,
    batch: Batch,
}

impl Operation for SubmitJobs {
    type Report = SubmitManyReport;

    const ENTRY: Entry = Entry::local(Method::Post, &["submit", "--from"]);

    fn run(&self, context: &mut Context<'_>) -> Result<Done<SubmitManyReport>, OperationError> {
        let defaults = &defaults(context, self.export.as_ref())?;
        let (actor, dry_run) = (context.actor(), context.is_dry_run());
        let input = context.front().input()?;
        // A dry run makes no state directory; without one no name can be taken.
        let dir = if dry_run { context.state_dir_if_any()? } else { Some(context.state_dir_or_create()?) };
        let report = SubmitManyReport { dry_run, ..SubmitManyReport::default() };
        let mut intake = Intake { context, defaults, report, entered: 0, batch: Batch::default() };
        let submitter = dir.as_ref().map(|dir| Submitter::new(dir, &actor));
        let outcome = match submitter {
            Some(mut submitter) if dry_run => intake.rehearse(input, Some(&mut submitter)),
            None => intake.rehearse(input, None),
            Some(mut submitter) if self.all_or_nothing => intake.together(input, &mut submitter),
            Some(mut submitter) => intake.by_batches(input, &mut submitter),
        };
        let (mut report, entered) = (intake.report, intake.entered);
        report.errors.sort_by_key(|e| e.line); // Names are settled batch by batch.
        match outcome.and_then(|()| judge(&report, entered, self.all_or_nothing)) {
            Ok(ending) => Ok(Done { report, ending }),
            Err(error) => Err(error.with_report(report)),
        }
    }
}

/// How it all ended.
fn judge(report: &SubmitManyReport, entered: u64, all_or_nothing: bool) -> Result<Ending, OperationError> {
    let failed = |message: String| Err(OperationError::new(ErrorKind::Failed, message).code("bad-lines"));
    match (report.errors_total, entered) {
        (0, _) => Ok(Ending::Done),
        (bad, _) if all_or_nothing => {
            let (lines, are) = (human::count(report.total, "line"), if bad == 1 { "is" } else { "are" });
            failed(format!("nothing was submitted: {bad} of {lines} {are} bad"))
        }
        (1, 0) => failed("nothing was submitted: the line is bad".to_owned()),
        (bad, 0) => failed(format!("nothing was submitted: all {bad} lines are bad")),
        _ => Ok(Ending::Degraded),
    }
}

/// As a record has them: `"NAME":"value",`, where many characters take two bytes.
fn bytes_of(env: &BTreeMap<String, String>) -> usize {
    env.iter().map(|(name, value)| name.len() + value.len() + 6).sum()
}

impl Intake<'_, '_> {
    /// The next good line into the batch; false at the end.
    fn take(&mut self, lines: &mut Lines<Box<dyn BufRead + Send>>) -> Result<bool, OperationError> {
        let cannot = |e: io::Error| {
            OperationError::new(ErrorKind::Failed, format!("cannot read on: {e}")).code("input")
        };
        let Some((number, line)) = lines.next_line().map_err(cannot)? else { return Ok(false) };
        self.report.total += 1;
        let checked = match line {
            Line::TooLong => Err(format!("it is longer than {}", human::size(LONGEST as u64))),
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

    fn by_batches(
        &mut self,
        input: Box<dyn BufRead + Send>,
        submitter: &mut Submitter<'_>,
    ) -> Result<(), OperationError> {
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

    fn enter(&mut self, submitter: &mut Submitter<'_>) -> Result<(), OperationError> {
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
        self.context.front().flush();
        Ok(())
    }

    /// None of these lines was acknowledged; those before them were.
    fn not_entered(&mut self, lines: &[u64], error: SubmitError) -> OperationError {
        for line in lines {
            self.keep_error(*line, "it was not submitted, because the queue could not take it".to_owned());
        }
        let first = lines.first().copied().unwrap_or_default();
        OperationError::from(error).hint(match first {
            0 | 1 => "nothing was submitted; submit it again".to_owned(),
            _ => format!("all good lines before line {first} are in; submit the rest again"),
        })
    }

    fn together(
        &mut self,
        input: Box<dyn BufRead + Send>,
        submitter: &mut Submitter<'_>,
    ) -> Result<(), OperationError> {
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
    ) -> Result<(), OperationError> {
        let mut seen = HashSet::new();
        for (line, request) in lines.iter().zip(requests).filter(|(_, r)| r.is_named) {
            let job = &request.submission.job;
            if !seen.insert(job) || submitter.is_taken(job)? {
                self.refuse(*line, JobExists(job.clone()).to_string());
            }
        }
        Ok(())
    }

    fn read_all(&mut self, input: Box<dyn BufRead + Send>) -> Result<(), OperationError> {
        let mut lines = Lines::new(input);
        while self.take(&mut lines)? {
            if self.batch.bytes > TOGETHER_BYTES {
                let most = human::size(TOGETHER_BYTES as u64);
                let message = format!("more than {most} cannot go in together; nothing was submitted");
                return Err(OperationError::new(ErrorKind::Failed, message)
                    .code("batch-too-large")
                    .hint("submit it without --all-or-nothing, or in parts")
                    .hint("each job carries its environment; add --export none to leave it out"));
            }
        }
        Ok(())
    }

    /// Reads and checks everything, and enters nothing.
    fn rehearse(
        &mut self,
        input: Box<dyn BufRead + Send>,
        mut submitter: Option<&mut Submitter<'_>>,
    ) -> Result<(), OperationError> {
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
        self.entered += 1;
        if !self.context.is_streamed() {
            return self.report.submitted.push(SubmittedLine { line, job_id, seq });
        }
        let text = match (&job_id, seq) {
            (Some(id), Some(_)) => format!("{id}\n"),
            (Some(id), None) => format!("line {line}: would submit {id}\n"),
            (None, _) => format!("line {line}: would submit a new job\n"),
        };
        self.context.front().print(text.as_bytes());
    }

    /// A bad line is told at once where results are: the operator may stop us and mend it.
    fn refuse(&mut self, line: u64, message: String) {
        if self.context.is_streamed() {
            let error = OperationError::new(ErrorKind::Usage, format!("line {line}: {message}"));
            self.context.front().fail(&error);
        }
        self.keep_error(line, message);
    }

    fn keep_error(&mut self, line: u64, message: String) {
        self.report.errors_total += 1;
        if !self.context.is_streamed() && self.report.errors.len() < ERRORS_KEPT {
            self.report.errors.push(LineError { line, message });
        }
    }
}
