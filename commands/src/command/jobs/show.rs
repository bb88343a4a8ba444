//! `jobs show ID`: everything about one job.

use recovery::operations::jobs::ShowJob;
use recovery::report::jobs::JobDetail;
use recovery::state::{Clock, Timestamp, human};

use crate::command::jobs::tone::tone_of;
use crate::command::submit::{command_line, crash_policy, quoted};
use crate::operate::Show;
use crate::output::Output;
use crate::paint::Tone;
use crate::table::{Cell, Table};
use crate::text::Text;

impl Show for ShowJob {
    fn show(&self, detail: &JobDetail, text: &mut Text) {
        render(text, detail, Clock::system().now());
    }

    fn remark(&self, detail: &JobDetail, output: &mut Output) {
        hints(detail).iter().for_each(|hint| output.hint(hint));
    }
}

fn render(text: &mut Text, detail: &JobDetail, now: Timestamp) {
    let job = &detail.summary;
    let tone = tone_of(job.status);
    text.toned(tone, format!("{}  {}", job.status.as_str().to_uppercase(), job.job_id));
    text.fields(&fields(detail, now));
    text.gap();
    let mut history = Table::new(&["WHEN", "AGO", "STATUS", ">TRY", "WHY", "BY"]);
    for change in &detail.history {
        history.row([
            Cell::from(change.at.to_string()),
            Cell::from(human::ago(now, change.at)),
            Cell::toned(change.status.as_str(), tone_of(change.status)),
            Cell::from(change.attempt.to_string()),
            Cell::from(change.reason.as_deref().unwrap_or_default()),
            Cell::toned(change.by.as_deref().unwrap_or_default(), Tone::Faint),
        ]);
    }
    text.table(&history);
    if !detail.attempts.is_empty() {
        text.gap();
        text.table(&attempts(detail, now));
    }
}

fn attempts(detail: &JobDetail, now: Timestamp) -> Table {
    let mut table =
        Table::new(&[">TRY", "ENDED", "STARTED", ">TOOK", ">EXIT", ">SIGNAL", ">CPU", ">PEAK", ">OUTPUT"]);
    let number = |n: Option<i32>| Cell::from(n.map_or_else(String::new, |n| n.to_string()));
    for attempt in &detail.attempts {
        let ms = |n: Option<u64>| Cell::from(n.map_or_else(String::new, human::duration));
        let memory = attempt.memory_peak_bytes.map_or_else(String::new, |n| format!("{} MiB", n >> 20));
        let printed = attempt.output_bytes.map_or_else(String::new, human::size);
        table.row([
            Cell::from(attempt.attempt.to_string()),
            Cell::toned(attempt.status.as_str(), tone_of(attempt.status)),
            Cell::from(attempt.started_at.map_or_else(String::new, |at| human::ago(now, at))),
            ms(attempt.duration_ms.and_then(|n| u64::try_from(n).ok())),
            number(attempt.exit_code),
            number(attempt.signal),
            ms(attempt.cpu_ms),
            Cell::from(memory),
            Cell::from(printed),
        ]);
    }
    table
}

fn requested(detail: &JobDetail, now: Timestamp) -> String {
    let by =
        detail.cancel.as_ref().map(|cancel| format!(" by {} ({})", cancel.by, human::ago(now, cancel.at)));
    format!("requested{}", by.unwrap_or_default())
}

fn fields(detail: &JobDetail, now: Timestamp) -> Vec<(&'static str, Option<String>)> {
    let job = &detail.summary;
    let at = |moment: Option<Timestamp>| moment.map(|m| format!("{m} ({})", human::ago(now, m)));
    let list = |words: Vec<String>| (!words.is_empty()).then(|| words.join(" "));
    let checkpoint = detail.checkpoint.as_ref();
    vec![
        ("title", job.title.clone()),
        ("command", Some(command_line(&detail.command))),
        ("resume command", detail.resume_command.as_deref().map(command_line)),
        ("repository", job.repository.clone()),
        ("waits for", job.waiting_for.clone()),
        ("place", job.position.map(|n| format!("{n} in the line"))),
        ("priority", (job.priority != 0).then(|| job.priority.to_string())),
        ("attempt", Some(job.attempt.to_string())),
        ("submitted", at(Some(job.submitted_at))),
        ("not before", at(job.not_before)),
        ("started", at(job.started_at)),
        ("finished", at(job.finished_at)),
        ("exit status", job.exit_code.map(|c| c.to_string())),
        ("signal", job.signal.map(|s| s.to_string())),
        ("reason", job.reason.clone()),
        ("cancel", detail.cancel_requested.then(|| requested(detail, now))),
        (
            "ended by",
            detail.ended_by.as_ref().map(|ended| format!("{} ({})", ended.by, human::ago(now, ended.at))),
        ),
        (
            "conditions",
            list(
                detail
                    .conditions
                    .iter()
                    .map(|c| format!("{}: {}", c.condition.replace('_', " "), c.detail))
                    .collect(),
            ),
        ),
        ("folder", detail.cwd.clone()),
        ("time limit", detail.timeout_ms.map(human::duration)),
        ("on crash", Some(crash_policy(detail.on_crash, detail.max_attempts))),
        ("variables", list(detail.env.keys().cloned().collect())),
        ("callbacks", list(detail.callbacks.iter().map(|c| c.url.clone()).collect())),
        ("lock", detail.lock.get("lock_id").and_then(|id| id.as_str()).map(str::to_owned)),
        (
            "checkpoint",
            checkpoint.map(|c| format!("{}, {}", human::size(c.bytes), human::ago(now, c.modified_at))),
        ),
        ("reconstructed", detail.reconstructed.as_ref().map(|from| format!("from {}", from.join(", ")))),
        ("taken over", detail.source.as_ref().map(|source| format!("from {source}"))),
        ("cleanup", detail.auto_cleanup.then(|| "automatic".to_owned())),
        ("workspace", Some(detail.workspace.clone())),
    ]
}

fn hints(detail: &JobDetail) -> Vec<String> {
    let id = quoted(&detail.summary.job_id);
    let mut hints = Vec::new();
    if detail.summary.started_at.is_some() {
        let follow = if detail.summary.finished_at.is_none() { " -f" } else { "" };
        hints.push(format!("recoveryctl jobs output {id}{follow}"));
        if let [.., before, _] = detail.attempts.as_slice() {
            hints.push(format!("recoveryctl jobs output {id} --attempt {}", before.attempt));
        }
    }
    if detail.resumable {
        hints.push(format!("recoveryctl resume {id}"));
    }
    hints
}
