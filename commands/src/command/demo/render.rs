//! The report as text: one screen that reads from top to bottom.

use recovery::queue::JobStatus;
use recovery::state::human;

use super::cast::{CAST, Fate, LOCK_HOLDER, LOCKED_REPOSITORY, Role};
use super::check::Check;
use super::facts::{Facts, JobFact, LockFact};
use super::report::DemoReport;
use crate::paint::Tone;
use crate::table::{Cell, Table};
use crate::text::Text;

/// The width at which lines are broken, in columns.
const WIDTH: usize = 100;

/// The whole report.
pub(super) fn render(text: &mut Text, report: &DemoReport) {
    let facts = &report.facts;
    text.toned(Tone::Strong, what_happened(facts));
    text.gap();
    jobs(text, facts);
    text.gap();
    line(text, "line before", &facts.line_before);
    line(text, "line after", &facts.line_after);
    text.gap();
    locks(text, facts);
    text.gap();
    recovery(text, facts);
    text.gap();
    checks(text, &report.checks);
    text.gap();
    verdict(text, report);
}

fn what_happened(facts: &Facts) -> String {
    let running = facts.before.iter().filter(|j| j.status == JobStatus::Running).count();
    let died = CAST.iter().filter(|r| r.dies()).count();
    let (waiting, damaged) = (facts.line_before.len(), facts.damaged.len());
    format!(
        "SIGKILL for the daemon while {running} jobs ran and {waiting} waited, and for {died} of those that ran; \
         {damaged} files damaged"
    )
}

fn jobs(text: &mut Text, facts: &Facts) {
    let mut table =
        Table::new(&["JOB", ">PRIORITY", "REPOSITORY", "BEFORE", "AFTER THE RECOVERY", "AT THE END"]);
    for id in &facts.acknowledged {
        let role = CAST.iter().find(|r| r.name == id);
        let find = |jobs: &'_ [JobFact]| jobs.iter().find(|j| j.job_id == *id).cloned();
        let lost = || Cell::toned("LOST", Tone::Bad);
        table.row([
            Cell::from(id),
            Cell::from(role.map_or_else(String::new, |r| r.priority.to_string())),
            Cell::from(role.and_then(|r| r.repository).unwrap_or_default()),
            find(&facts.before).map_or_else(lost, |j| before(&j)),
            find(&facts.recovered).map_or_else(lost, |j| after(&j, role)),
            find(&facts.end).map_or_else(lost, |j| at_the_end(&j, facts)),
        ]);
    }
    text.table(&table);
}

fn before(job: &JobFact) -> Cell {
    match job.status {
        JobStatus::Running => Cell::from("running"),
        JobStatus::Queued => Cell::toned("waiting", Tone::Faint),
        other => Cell::from(other.as_str()),
    }
}

fn after(job: &JobFact, role: Option<&'static Role>) -> Cell {
    let was_waiting = role.is_some_and(|r| r.fate == Fate::Waits);
    match job.status {
        JobStatus::Running => Cell::toned("re-attached", Tone::Good),
        JobStatus::Queued if job.attempt > 1 => Cell::toned("crashed, queued again", Tone::Warning),
        JobStatus::Queued if was_waiting => Cell::toned("waiting", Tone::Faint),
        JobStatus::Queued => Cell::toned("not started, waiting again", Tone::Warning),
        JobStatus::Crashed => Cell::toned("crashed, on hold", Tone::Warning),
        _ => Cell::from(format!("ended alone{}", exit_status(job))),
    }
}

fn at_the_end(job: &JobFact, facts: &Facts) -> Cell {
    match job.status {
        JobStatus::Crashed => Cell::toned("crashed, on hold", Tone::Warning),
        _ if CAST.iter().any(|r| r.counts && r.name == job.job_id) => {
            let first = facts.counted.iter().find(|(_, attempt)| *attempt > 1).map_or(0, |(n, _)| *n);
            Cell::from(format!("{}, went on at {first}", ended(job)))
        }
        _ => Cell::from(ended(job)),
    }
}

fn ended(job: &JobFact) -> String {
    let attempt = if job.attempt > 1 { format!(", attempt {}", job.attempt) } else { String::new() };
    format!("{}{}{attempt}", job.status, exit_status(job))
}

/// Behind another word; nothing for 0 and for none.
fn exit_status(job: &JobFact) -> String {
    job.exit_code.filter(|code| *code != 0).map_or_else(String::new, |code| format!(", exit status {code}"))
}

/// A name, then words broken behind it.
fn line(text: &mut Text, name: &str, names: &[String]) {
    named(text, name, &names.join(", "));
}

fn named(text: &mut Text, name: &str, words: &str) {
    const INDENT: usize = 13;
    let mut rest = words;
    let mut name = name;
    loop {
        let room = WIDTH - INDENT;
        let cut = match rest.char_indices().nth(room) {
            None => rest.len(),
            Some((at, _)) => rest[..at].rfind(' ').unwrap_or(at),
        };
        text.line(format!("{name:<INDENT$}{}", rest[..cut].trim_end()));
        (rest, name) = (rest[cut..].trim_start(), "");
        if rest.is_empty() {
            return;
        }
    }
}

fn locks(text: &mut Text, facts: &Facts) {
    for (outcome, words) in
        [("kept", "locks kept"), ("released", "given back"), ("unavailable", "unavailable")]
    {
        let of = |l: &&LockFact| l.outcome == outcome;
        let names: Vec<String> = facts.locks.iter().filter(of).map(with_holder).collect();
        if !names.is_empty() {
            named(text, words, &names.join(", "));
        }
    }
}

/// `web (build-web)`
fn with_holder(lock: &LockFact) -> String {
    let job = CAST.iter().find(|r| r.runs_at_the_crash() && r.repository == Some(&lock.repository));
    match job {
        Some(role) => format!("{} ({})", lock.repository, role.name),
        None if lock.repository == LOCKED_REPOSITORY => {
            format!("{} (the command {LOCK_HOLDER} under 'recoveryctl lock')", lock.repository)
        }
        None => format!("{} ({})", lock.repository, lock.holder),
    }
}

fn recovery(text: &mut Text, facts: &Facts) {
    let recovery = &facts.recovery;
    named(text, "recovery", &format!("{} in {}", recovery.outcome, human::duration(recovery.duration_ms)));
    for (phase, _, message) in recovery.phases.iter().filter(|(_, _, message)| !message.is_empty()) {
        named(text, &format!("  {phase}"), message);
    }
    for (place, file) in facts.damaged.iter().enumerate() {
        let name = if place == 0 { "damaged" } else { "" };
        let kept = if facts.quarantined.contains(file) { "in quarantine" } else { "NOT in quarantine" };
        named(text, name, &format!("{file}: {kept}"));
    }
}

fn checks(text: &mut Text, checks: &[Check]) {
    for check in checks {
        let (word, tone) = if check.held { ("held", Tone::Plain) } else { ("LOST", Tone::Bad) };
        text.toned(tone, format!("{word}  {}", check.promise));
        for failure in &check.failures {
            text.toned(Tone::Bad, format!("      {failure}"));
        }
    }
}

fn verdict(text: &mut Text, report: &DemoReport) {
    let time = human::duration(report.duration_ms);
    let lost: usize = report.checks.iter().map(|c| c.failures.len()).sum();
    if report.ok {
        let jobs = report.facts.acknowledged.len();
        let words =
            format!("ALL HELD in {time}: {jobs} jobs acknowledged, none lost, none run twice at once");
        text.toned(Tone::Good, words);
    } else {
        text.toned(Tone::Bad, format!("NOT ALL HELD in {time}: {lost} failures, named above"));
    }
    match &report.state_dir {
        Some(path) => text.line(format!("kept: try  recoveryctl --state-dir {path} jobs list")),
        None => text.line(
            "try it on your own: recoveryctl submit -- make all, then recoveryctl daemon; --help lists more",
        ),
    }
}
