//! Requests with an `Idempotency-Key`: sent again, they are answered as before, and not done again.
//!
//! What could be done twice is pinned before it is done (see [`recovery::daemon::IdempotencyStore`]): the id of the
//! job that a submission makes, the attempts that a resume begins, the grant that a release gives back. All
//! other writes change nothing when they are done again.

use recovery::daemon::{OpenKey, PriorRequest, StoredAnswer};
use recovery::locks::LockRefused;
use recovery::queue::{JobId, Queue};
use recovery::report::jobs::CheckpointFile;
use recovery::state::StateDir;
use serde_json::{Map, Value, json};

use super::answer::Answer;
use super::endpoint::Act;
use super::problem::Problem;
use super::request::Given;
use super::serving::Write;
use recovery::logging::{error_chain, events};
use tracing::warn;

/// The longest key, in bytes.
pub(super) const LONGEST: usize = 255;

/// Whether a text can be a key.
pub(super) fn is_key(text: &str) -> bool {
    (1..=LONGEST).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// Carries a write out under its key, or answers as before.
pub(super) fn carry_out(write: &Write<'_>, key: &str) -> Answer {
    let request = write.identity();
    let Some(open) = write.book.take(key, &request) else {
        let detail = "a request with this Idempotency-Key is being carried out";
        return Problem::new(409, "idempotency-key-in-use", "the key is in use", detail)
            .retry_after(1)
            .into();
    };
    match open.known() {
        Err(e) => {
            Problem::new(500, "disk", "the key cannot be looked at", format!("{e}: {}", e.source)).into()
        }
        Ok(PriorRequest::OtherRequest) => {
            let detail = "this Idempotency-Key was used for another request";
            Problem::new(409, "idempotency-key-reused", "the key belongs to another request", detail).into()
        }
        Ok(PriorRequest::Answered(kept)) => replayed(kept),
        Ok(PriorRequest::Unfinished(pins)) => finish(write, &open, &pins, true),
        Ok(PriorRequest::Nothing) => {
            let pins = pins_of(write);
            match open.begin(&pins) {
                Ok(()) => finish(write, &open, &pins, false),
                Err(e) => {
                    let detail = format!("nothing was done: {e}: {}", e.source);
                    Problem::new(507, "disk", "the key cannot be written", detail).into()
                }
            }
        }
    }
}

fn finish(write: &Write<'_>, open: &OpenKey<'_>, pins: &Value, again: bool) -> Answer {
    let answer = carry_out_pinned(write, pins, again);
    // What failed by a fault of ours, or came too early, may go well when it is sent again.
    if answer.status < 500 {
        let kept = StoredAnswer {
            status: answer.status,
            content_type: answer.content_type.to_owned(),
            body: String::from_utf8_lossy(&answer.body).into_owned(),
            location: answer.location.clone(),
        };
        if let Err(e) = open.answer(pins, &kept) {
            // It counts as unfinished: sent again, it is found done by its pins.
            warn!(
                event = events::TROUBLE,
                "the answer to a request with a key is not kept: {}",
                error_chain(&e)
            );
        }
    }
    answer
}

fn replayed(kept: StoredAnswer) -> Answer {
    let content_type = match kept.content_type.as_str() {
        "application/problem+json" => "application/problem+json",
        _ => "application/json",
    };
    let answer = Answer::new(kept.status, content_type, kept.body);
    Answer { location: kept.location, replayed: true, ..answer }
}

/// What this very request is to do.
fn pins_of(write: &Write<'_>) -> Value {
    match (write.endpoint.act, write.endpoint.path) {
        (Act::Submit, _) => json!({ "job_id": JobId::new() }),
        (_, "/api/admin/recovery/jobs/resume") => attempts(write.dir, &write.given),
        (_, "/api/admin/locks/{repo}") => json!({ "lock_id": present_grant(write) }),
        _ => Value::Null,
    }
}

/// The attempt that each job has come to.
fn attempts(dir: &StateDir, given: &Given) -> Value {
    let Ok(queue) = Queue::open(dir) else { return Value::Null };
    let attempt = |id: &String| {
        let job = queue.state().get(&id.parse::<JobId>().ok()?)?;
        Some((id.clone(), Value::from(job.attempt)))
    };
    json!({ "attempts": given.texts("job_ids").iter().filter_map(attempt).collect::<Map<_, _>>() })
}

fn present_grant(write: &Write<'_>) -> Option<String> {
    let repository = write.given.texts("repo").first()?;
    let holders = recovery::recovery::JobHolders::new(write.dir, recovery::jobs::FreshnessLimits::default());
    let lock = recovery::locks::inspect(write.dir, repository, &|id, claim| holders.liveness(id, claim));
    lock.map_err(LockRefused::from).ok()??.lock_id
}

fn carry_out_pinned(write: &Write<'_>, pins: &Value, again: bool) -> Answer {
    match (write.endpoint.act, write.endpoint.path) {
        (Act::Submit, _) => {
            let pinned = pins["job_id"].as_str().and_then(|id| id.parse().ok());
            write.submit(pinned.as_ref(), again)
        }
        (_, "/api/admin/recovery/jobs/resume") if again => resume_the_rest(write, &pins["attempts"]),
        (_, "/api/admin/locks/{repo}") => {
            let mut pinned = write.clone();
            if let Some(id) = pins["lock_id"].as_str().filter(|_| write.given.texts("id").is_empty()) {
                pinned.given.set("id", vec![id.to_owned()]);
            }
            pinned.command()
        }
        _ => write.command(),
    }
}

/// The jobs that have come to a later attempt were resumed by this request's first try.
fn resume_the_rest(write: &Write<'_>, before: &Value) -> Answer {
    let Ok(queue) = Queue::open(write.dir) else { return write.command() };
    let (mut done, mut rest) = (Vec::new(), Vec::new());
    for id in write.given.texts("job_ids") {
        let job = id.parse::<JobId>().ok().and_then(|id| queue.state().get(&id));
        match job.filter(|job| before[id].as_u64().is_some_and(|n| u64::from(job.attempt) > n)) {
            Some(job) => {
                let from_checkpoint =
                    !write.given.is_on("fresh") && CheckpointFile::of(write.dir, job).is_some();
                let attempt = before[id].as_u64().unwrap_or_default() + 1;
                done.push(json!({ "job_id": id, "attempt": attempt, "from_checkpoint": from_checkpoint }));
            }
            None => rest.push(id.clone()),
        }
    }
    if rest.is_empty() {
        let body = json!({ "resumed": done, "refused": [], "dry_run": false });
        return Answer::json(200, format!("{body}\n"));
    }
    let mut of_the_rest = write.clone();
    of_the_rest.given.set("job_ids", rest);
    let answer = of_the_rest.command();
    let Ok(mut body) = serde_json::from_slice::<Value>(&answer.body) else { return answer };
    if let Some(resumed) = body["resumed"].as_array_mut()
        && !done.is_empty()
    {
        resumed.splice(0..0, done);
        return Answer::json(200, format!("{body}\n"));
    }
    answer
}
