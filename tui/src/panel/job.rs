//! One job: its report, its output, and the evidence of its verdict.

use recovery::jobs::Liveness;
use recovery::queue::JobStatus;
use recovery::report::attempts::AttemptReport;
use recovery::report::jobs::JobDetail;
use recovery::report::why_job::WhyJob;
use recovery::state::{Timestamp, human};

use super::finding::line_of;
use super::jobs::{actions, tone_of};
use crate::action::{Action, quoted};
use crate::listing::{Document, DocumentLine, Tone};

/// Lines of output below a job's report.
const TAIL: usize = 12;

/// Everything about one job.
pub struct Job {
    /// The report.
    pub detail: JobDetail,
    /// The end of its output, or why that is not shown.
    pub output: Result<String, String>,
}

impl Document for Job {
    fn title(&self) -> String {
        format!("Job {}", self.detail.summary.job_id)
    }

    fn lines(&self, now: Timestamp) -> Vec<DocumentLine> {
        let (detail, job) = (&self.detail, &self.detail.summary);
        let mut lines = vec![DocumentLine {
            tone: tone_of(job.status),
            ..DocumentLine::field("status", format!("{}, attempt {}", job.status, job.attempt))
        }];
        let mut field = |name: &str, value: Option<String>| {
            lines.extend(value.map(|value| DocumentLine::field(name, value)));
        };
        field("because", job.reason.clone());
        field("waits for", job.waiting_for.clone());
        field("not before", job.not_before.filter(|at| *at > now).map(|at| human::ago(now, at)));
        field("command", Some(quoted(&detail.command)).filter(|c| !c.is_empty()));
        field("to resume", detail.resume_command.as_ref().map(|words| quoted(words)));
        field("repository", job.repository.clone());
        field("submitted", Some(format!("{} ({})", human::ago(now, job.submitted_at), job.submitted_at)));
        field("folder", detail.cwd.clone());
        field("workspace", Some(detail.workspace.clone()));
        field("timeout", detail.timeout_ms.map(human::duration));
        let policy =
            format!("{:?}, at most {}", detail.on_crash, human::count(detail.max_attempts, "attempt"));
        field("on a crash", Some(policy.to_lowercase()));
        field(
            "checkpoint",
            detail.checkpoint.as_ref().map(|c| {
                format!("{} ({}, {})", c.path, human::size(c.bytes), human::ago(now, c.modified_at))
            }),
        );
        field("rebuilt from", detail.reconstructed.as_ref().map(|from| from.join("; ")));
        field("taken from", detail.source.clone());
        field(
            "callbacks",
            (!detail.callbacks.is_empty())
                .then(|| detail.callbacks.iter().map(|c| c.url.clone()).collect::<Vec<_>>().join(", ")),
        );
        if !detail.attempts.is_empty() {
            lines.push(DocumentLine::toned("Attempts", Tone::Strong));
            lines.extend(detail.attempts.iter().map(|attempt| line_of_attempt(attempt, now)));
        }
        lines.push(DocumentLine::toned("History", Tone::Strong));
        for step in detail.history.iter().rev() {
            let why = step.reason.as_ref().map_or_else(String::new, |why| format!(": {why}"));
            let by = step.by.as_ref().map_or_else(String::new, |by| format!(" by {by}"));
            let text = format!("  {:<9} {}{by}{why}", human::ago(now, step.at), step.status);
            lines.push(DocumentLine { text, tone: Tone::Plain, indent: 12 });
        }
        let output = match &self.output {
            Ok(output) => output.as_str(),
            Err(why) => {
                lines.push(DocumentLine::toned("Output", Tone::Strong));
                lines
                    .push(DocumentLine { indent: 2, ..DocumentLine::toned(format!("  {why}"), Tone::Quiet) });
                ""
            }
        };
        let printed: Vec<&str> = output.lines().collect();
        if !printed.is_empty() {
            lines.push(DocumentLine::toned("Output (o shows more, as it grows)", Tone::Strong));
            let shown = printed.iter().skip(printed.len().saturating_sub(TAIL));
            lines.extend(
                shown.map(|line| DocumentLine { indent: 2, ..DocumentLine::plain(format!("  {line}")) }),
            );
        }
        lines
    }

    fn actions(&self) -> Vec<Action> {
        let job = &self.detail.summary;
        actions(&[(&job.job_id, job.status)])
    }
}

fn line_of_attempt(attempt: &AttemptReport, now: Timestamp) -> DocumentLine {
    let mut text = format!("  {:>3} {:<10}", attempt.attempt, attempt.status);
    if let Some(at) = attempt.started_at {
        text.push_str(&format!(" began {}", human::ago(now, at)));
    }
    if let Some(ms) = attempt.duration_ms {
        text.push_str(&format!(", took {}", human::duration(u64::try_from(ms).unwrap_or(0))));
    }
    match (attempt.exit_code, attempt.signal) {
        (Some(code), _) => text.push_str(&format!(", exit status {code}")),
        (None, Some(signal)) => text.push_str(&format!(", signal {signal}")),
        (None, None) => {}
    }
    if let Some(bytes) = attempt.memory_peak_bytes {
        text.push_str(&format!(", {} memory", human::size(bytes)));
    }
    if let Some(reason) = &attempt.reason {
        text.push_str(&format!(": {reason}"));
    }
    DocumentLine { text, tone: Tone::Plain, indent: 6 }
}

/// The end of a job's output, as it grows.
pub struct Output {
    /// The job's id.
    pub job_id: String,
    /// The attempt.
    pub attempt: u32,
    /// The job's status.
    pub status: JobStatus,
    /// How much it has printed in all, in bytes.
    pub bytes: u64,
    /// The end of the output.
    pub text: String,
}

impl Document for Output {
    fn title(&self) -> String {
        format!(
            "Output of {}, attempt {} ({}, {})",
            self.job_id,
            self.attempt,
            self.status,
            human::size(self.bytes)
        )
    }

    fn lines(&self, _now: Timestamp) -> Vec<DocumentLine> {
        if self.text.is_empty() {
            return vec![DocumentLine::toned("It has printed nothing.", Tone::Quiet)];
        }
        let mut lines: Vec<DocumentLine> = Vec::new();
        if self.bytes > self.text.len() as u64 {
            let text = "… the beginning is left out: recoveryctl jobs output shows all";
            lines.push(DocumentLine::toned(text, Tone::Quiet));
        }
        lines.extend(self.text.lines().map(DocumentLine::plain));
        lines
    }

    fn follows(&self) -> bool {
        true
    }

    fn actions(&self) -> Vec<Action> {
        actions(&[(&self.job_id, self.status)])
    }
}

impl Document for WhyJob {
    fn title(&self) -> String {
        format!("Why {} is {}", self.object, self.status)
    }

    fn lines(&self, _now: Timestamp) -> Vec<DocumentLine> {
        let mut lines = vec![DocumentLine::toned(self.because.clone(), Tone::Strong)];
        if let Some((verdict, liveness)) = self.verdict.as_ref().zip(self.liveness) {
            let tone = match liveness {
                Liveness::Alive => Tone::Good,
                Liveness::Dead => Tone::Warning,
                Liveness::Unknown => Tone::Bad,
            };
            lines.push(DocumentLine::toned(format!("{liveness} ({})", verdict.replace('_', " ")), tone));
        }
        lines.extend((1..).zip(&self.evidence).map(|(number, piece)| DocumentLine {
            text: format!("  {number}. [{}] {}", piece.kind, piece.detail),
            tone: Tone::Plain,
            indent: 5,
        }));
        if !self.processes.is_empty() {
            lines.push(DocumentLine::toned("Processes", Tone::Strong));
            lines.extend(self.processes.iter().map(|p| DocumentLine {
                text: format!("  {:<10} {:>7} {:<8} {}", p.role, p.pid, p.state, p.command_line.join(" ")),
                tone: Tone::Plain,
                indent: 4,
            }));
        }
        lines.extend(self.findings.iter().flat_map(line_of));
        lines
    }

    fn actions(&self) -> Vec<Action> {
        let id = self.object.name();
        actions(&[(&*id, self.status)])
    }
}
