//! `jobs log ID`: what the daemon and the job's supervisors said of a job.

use recovery::logging::{JobLog, Level, LogLine};
use recovery::operations::jobs::JobLogRequest;

use crate::operate::Show;
use crate::output::Output;
use crate::paint::Tone;
use crate::text::Text;

impl Show for JobLogRequest {
    fn show(&self, report: &JobLog, text: &mut Text) {
        for line in &report.lines {
            text.toned(tone_of(line.level), render(line));
        }
    }

    fn remark(&self, report: &JobLog, output: &mut Output) {
        if report.lines.is_empty() {
            output.note(&format!(
                "nothing was said of job {}, or the logs do not go back so far",
                report.job_id
            ));
        }
    }
}

fn render(line: &LogLine) -> String {
    let LogLine { at, level, process, pid, message, .. } = line;
    format!("{at}  {:5}  {process}[{pid}]  {message}", level.as_str().to_uppercase())
}

fn tone_of(level: Level) -> Tone {
    match level {
        Level::Error => Tone::Bad,
        Level::Warn => Tone::Warning,
        Level::Info => Tone::Plain,
        Level::Debug | Level::Trace => Tone::Faint,
    }
}
