//! What is opened behind a line: a job, and the evidence about jobs and locks, as a daemon sends them.

use recovery::report::why_job::WhyJob;
use recovery::report::why_lock::WhyLock;
use recovery_tui::panel::job::Job;
use serde_json::{Value, json, to_value};

use super::{Names, before, reports};

/// A job that crashed in its second attempt.
pub fn job(names: Names) -> Job {
    let mut detail = to_value(&reports::jobs(names, 7).0.jobs[2]).unwrap();
    let attempt = |attempt: u32, status: &str, ago: i64| {
        json!({
            "attempt": attempt, "status": status, "started_at": before(ago), "finished_at": before(ago - 90_000),
            "duration_ms": 90_000, "exit_code": null, "signal": 9, "reason": names.name(3),
            "memory_peak_bytes": 48 << 20,
        })
    };
    let step = |status: &str, ago: i64| json!({"at": before(ago), "status": status, "attempt": 1, "reason": names.name(1), "by": names.name(4)});
    let more = json!({
        "command": ["sh", "-c", names.name(0)],
        "resume_command": ["make", "--from", names.name(2)],
        "env": {}, "cwd": "/srv/build", "timeout_ms": 3_600_000, "on_crash": "requeue", "max_attempts": 3,
        "auto_cleanup": false, "resumable": true, "cancel_requested": false,
        "history": [step("queued", 400_000), step("running", 300_000), step("crashed", 100_000)],
        "attempts": [attempt(1, "crashed", 300_000), attempt(2, "crashed", 200_000)],
        "reconstructed": null, "source": null, "lock": null,
        "callbacks": [{"url": format!("https://hooks.example.com/{}", names.name(5))}],
        "checkpoint": {"path": "/var/lib/recoveryctl/jobs/x/checkpoint", "bytes": 18, "modified_at": before(120_000)},
        "workspace": "/var/lib/recoveryctl/jobs/x",
    });
    merge(&mut detail, more);
    let output = (0..20).map(|n| format!("line {n}: {}\n", names.name(n))).collect();
    Job { detail: serde_json::from_value(detail).unwrap(), output: Ok(output) }
}

fn merge(into: &mut Value, more: Value) {
    let (Value::Object(into), Value::Object(more)) = (into, more) else { panic!("two objects") };
    into.extend(more);
}

/// The evidence about a job that lives although its supervisor is gone.
pub fn why_job(names: Names) -> WhyJob {
    let piece = |kind: &str, i: usize| json!({"kind": kind, "detail": names.name(i)});
    let process = |role: &str, pid: u32, state: &str, i: usize| json!({"role": role, "pid": pid, "start_time": 77, "state": state, "uid": 0, "command_line": ["sh", names.name(i)]});
    let why = json!({
        "object": format!("job:{}", names.name(0)), "status": "running", "attempt": 2, "because": names.name(4),
        "verdict": "orphaned_process", "liveness": "alive",
        "evidence": [piece("lock", 0), piece("sentinel", 1), piece("supervisor", 2), piece("command", 3)],
        "processes": [process("supervisor", 811, "gone", 1), process("command", 812, "alive", 2)],
        "findings": [],
    });
    serde_json::from_value(why).unwrap()
}

/// The evidence about a lock whose holder is gone, and the line that waits for it.
pub fn why_lock(names: Names) -> WhyLock {
    let place = |position: usize, job: Option<&str>, i: usize| {
        json!({
            "position": position, "kind": if job.is_some() { "job" } else { "process" }, "job_id": job,
            "pid": job.is_none().then_some(901), "operation": names.name(i), "since": before(60_000 * position as i64),
        })
    };
    let why = json!({
        "object": format!("lock:{}", names.name(0)), "verdict": "stale", "reason": null, "copy": null,
        "evidence": [names.name(1), names.name(2), "process 812 with that start time is gone"],
        "running_job": null,
        "repair": {"action": "release", "reason": names.name(3), "evidence": [names.name(4)]},
        "lock": {
            "repository": names.name(0), "lock_id": "0195-1", "token": 17, "holder": names.name(5), "job_id": null,
            "operation": names.name(2), "acquired_at": before(300_000), "age_ms": 300_000, "pid": 812,
            "host": "batch-1", "liveness": "dead", "verdict": "stale", "recovered": false, "unavailable": false,
            "waiting_total": 2, "waiting": ["next", "process:901"],
            "waiting_line": [place(1, Some("next"), 1), place(2, None, 3)],
            "released_at": null, "released_by": null, "reason": null, "evidence": [], "file": "/var/lib/recoveryctl/locks/x.lock",
            "metadata": null,
        },
    });
    serde_json::from_value(why).unwrap()
}
