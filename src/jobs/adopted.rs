//! Jobs that another server started and that were running when they were adopted.
//!
//! No supervisor of this server watches them: only PID, start time and boot id say whether they live, and only
//! the last line of their output, `Exit code: N`, says how they ended.

use super::conditions::Condition;
use super::exit_record::ExitRecord;
use super::judgement::{Evidence, JudgeContext, Judgement, blank};
use super::output::exit_line;
use super::stored::DOCUMENT_VERSION;
use super::verdict::Verdict;
use crate::queue::{Adopted, AttemptOutcome, Job};
use crate::state::Timestamp;
use crate::system::{Presence, ProcessIdentity, SAME_START_SECONDS, probe_process};

/// The verdict on a job that was adopted from another server; `Unknown` for any other job.
pub(crate) fn judge_adopted(look: &JudgeContext<'_>, job: &Job) -> Judgement {
    let Some(adopted) = job.run_state().adopted.as_ref() else {
        return blank(job, Verdict::Unknown { why: "it was not taken over".to_owned() });
    };
    let process = ProcessIdentity { pid: adopted.pid, start_time: adopted.start_time };
    let sighting = probe_process(process);
    let started = adopted.booted_at.zip(look.host.booted_at);
    let is_same_start = started.is_some_and(|(then, now)| then.abs_diff(now) <= SAME_START_SECONDS);
    // A differing boot id alone does not prove another boot while a process with that PID and start time lives.
    let is_this_boot =
        adopted.boot_id == look.host.boot_id || is_same_start && sighting.presence == Presence::Alive;
    let (verdict, detail) = match sighting.presence {
        _ if !is_this_boot => (None, "was started in another boot and is gone".to_owned()),
        Presence::Alive => (Some(Verdict::Adopted { process }), "lives".to_owned()),
        Presence::Gone if sighting.is_zombie => (None, "has ended and is a zombie".to_owned()),
        Presence::Gone if sighting.is_succeeded => {
            (None, "is gone; its number belongs to another process now".to_owned())
        }
        Presence::Gone => (None, "is gone".to_owned()),
        Presence::Hidden => {
            let why = format!("process {} may not be looked at", adopted.pid);
            (Some(Verdict::Unknown { why }), "may not be looked at".to_owned())
        }
    };
    let mut evidence =
        vec![Evidence { kind: "command".into(), detail: format!("process {} {detail}", adopted.pid) }];
    let verdict = verdict.unwrap_or_else(|| outcome_of(job, adopted, is_this_boot, &mut evidence));
    let is_stopped = is_this_boot && sighting.is_stopped;
    let conditions = is_stopped.then_some(Condition::CommandStopped { process }).into_iter().collect();
    Judgement { evidence, command: Some(process), conditions, ..blank(job, verdict) }
}

fn outcome_of(job: &Job, adopted: &Adopted, is_this_boot: bool, evidence: &mut Vec<Evidence>) -> Verdict {
    let mut saw = |detail: String| evidence.push(Evidence { kind: "output".into(), detail });
    match exit_line(&adopted.output) {
        Ok(Some(code)) => {
            saw(format!("the last line of its output says exit code {code}"));
            Verdict::Ended(Box::new(exit_record(job, adopted, code)))
        }
        Ok(None) => {
            saw("its output has no exit line".to_owned());
            if is_this_boot { Verdict::Crashed } else { Verdict::DeadByReboot }
        }
        Err(e) if e.is_not_found() => {
            saw("it has no output".to_owned());
            if is_this_boot { Verdict::Crashed } else { Verdict::DeadByReboot }
        }
        Err(e) => Verdict::Unknown { why: format!("{e}: {}", e.source) },
    }
}

fn exit_record(job: &Job, adopted: &Adopted, code: i32) -> ExitRecord {
    let started_at = job.run_state().started_at.unwrap_or(job.submitted_at);
    // The exit line is the last thing written.
    let written = std::fs::metadata(&adopted.output).and_then(|m| m.modified()).map(Timestamp::from);
    ExitRecord {
        version: DOCUMENT_VERSION,
        job_id: job.id.clone(),
        attempt: job.attempt,
        claim: job.run_state().claim.unwrap_or_default(),
        outcome: AttemptOutcome::Exited,
        exit_code: Some(code),
        signal: None,
        reason: None,
        ended_by: None,
        by_itself: false,
        started_at,
        finished_at: written.unwrap_or(started_at),
        tree_empty: false,
        leftovers_ended: 0,
        cpu_ms: None,
        state: None,
        resources: None,
    }
}
